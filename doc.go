// Package zmqauth authenticates the clients of ZeroMQ servers. It answers the questions that libzmq
// asks in a context (ZAP, RFC 27) with rules that the program sets and may change at any time: who
// may connect from where, with which password, which CURVE key, which Kerberos principal.
//
// An [Authenticator] owns the ZAP endpoint of one libzmq context:
//
//	auth, err := zmqauth.New(ctx, nil)
//	…
//	err = auth.ConfigureCurveKeys("global", client.Public)
//	err = auth.Start()
//
// and the server's socket gets its role before it is bound:
//
//	err = zmqauth.CurveServer(socket, "global", serverCertificate)
//	err = socket.Bind("tcp://*:5555")
//
// # How a request is judged
//
// The address comes first: the general rules ([Authenticator.Allow], [Authenticator.Deny]) and
// those of the request's domain must both let it pass. Then the mechanism's setup for exactly that
// domain decides, or the one for [AnyDomain] where there is none:
//
//	mechanism      nothing configured   configured
//	NULL           accepted
//	PLAIN          refused              by table, file, Credentials or callback
//	CURVE          refused              by keys, directory, Credentials or callback;
//	                                    CurveAllowAny: every key
//	GSSAPI         accepted             by principals, Credentials or callback;
//	                                    GSSAPIAllowAny: every principal
//	anything else  refused
//
// [Credentials] are keys, users and principals, which change one by one while they are in force.
// Empty means nobody: an allow list, a table, a set of keys, a list of principals, Credentials. A
// deny list without entries is no list. An allowed address never replaces a credential.
//
// All of that may stand in one file. [LoadPolicy] reads it, and [Authenticator.Apply] puts it in
// force in one step.
//
// # It fails closed
//
// libzmq lets clients in where no handler answers. So Stop, and a failure of the service, keep the
// endpoint bound and refuse. Only Close and the end of the context free it. The server roles
// ([NullServer], [PlainServer], [CurveServer]) make their socket refuse everyone even then.
// [GSSAPIServer] is the exception: libzmq accepts GSSAPI clients where there is no handler,
// whatever the socket's options are.
//
// [Connect] tells a client how its handshake ended, and [Probe] tells what a stranger meets at a
// port.
//
// # Nothing waits for anything slow
//
// The goroutine that owns the socket makes the decisions from memory. Callbacks and password hashes
// run beside it, many at once, each with a time limit. Each reply goes out when it is ready. Where
// there are too many callbacks or hashes, client addresses take turns. The log has a goroutine of
// its own, and so has [Config.OnDecision].
package zmqauth
