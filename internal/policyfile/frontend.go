package policyfile

import (
	"io/fs"
	"net/netip"
)

// Frontend is one frontend entry of a policy: an authenticated socket before a service that has
// none.
//
//	frontend = orders
//	    type = router
//	    bind = tcp://*:5555
//	    backend = tcp://127.0.0.1:6666
//	    mechanism = curve
//	    domain = global
//	    certificate = server.key_secret
//
// All required entries are there, and no entry that the mechanism does not use. As far as the file
// tells, no two frontends bind the same endpoint, and no frontend binds its own backend. The
// certificate has not been read.
type Frontend struct {
	Name      string // unique among the frontends
	Type      string // of the bound socket: "router", "xsub", "xpub" or "pull"
	Bind      string // tcp:// with a port or *, or ipc:// with an absolute path or @name
	Backend   string // the service's endpoint: tcp:// with host and port, or ipc:// as for Bind
	Mechanism string // "null", "plain", "curve" or "gssapi"
	Domain    string // never empty

	// MaxMessage is the size in bytes of the largest message that a client may send. libzmq cuts
	// off a client that announces a larger one, admitted or not. Without the limit a stranger
	// could fill the memory of the process. The entry max-message sets it, to 1024 at least; the
	// default is 64 MiB. For the type xpub it is MaxSubscription at most.
	MaxMessage int64

	Certificate string // curve: the absolute path of the secret certificate; else empty
	Principal   string // gssapi: the service's principal, or empty; else empty

	// TLS is the name of a tls-serve through which clients reach the frontend. Empty: they reach Bind.
	// Bind is empty otherwise.
	TLS string

	// Identity is the routing id that the service, a ROUTER, sees the frontend under. Empty: another
	// one for each connection. Frontends of a service that answers on one socket what it was asked on
	// another need the same, as those of a Jupyter kernel do.
	Identity string

	// Limits are what strangers may cost; nil: there are none. The entries that are about single
	// addresses are there only for TCP. Those about handshakes are not there for GSSAPI, and the
	// deadline not for IPC, unless there is a Front.
	Limits *Limits

	// Front is the listener before the socket; nil: libzmq listens itself. Never for an abstract IPC
	// endpoint.
	Front *Front
	front string // the value of the entry, while it is read

	// Mode and Group are those of the file of an ipc endpoint: who may connect needs to write it.
	// Mode 0 leaves it to the umask, and with a Front it is 0600. Group is a name or a number; empty:
	// the group of the process.
	Mode  fs.FileMode
	Group string

	File string // the path of the policy, as the caller gave it
	Line int    // of the frontend's first line
}

// Front is a listener of its own before a frontend's socket (package front). It is there where the
// entry front is yes.
type Front struct {
	// ProxyProtocol are the networks of the balancers, from the entry proxy-protocol. Only for TCP,
	// and never a network of all addresses.
	ProxyProtocol []netip.Prefix
}
