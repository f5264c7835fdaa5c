// Package sshtunnel opens SSH tunnels for ZeroMQ sockets and plain connections whose server listens
// on an address that only an SSH server can reach. It is pure Go: no ssh program and no shell are
// ever run.
//
//	tunnel, err := sshtunnel.Open(ctx, sshtunnel.Config{Host: "gateway"}) // as ~/.ssh/config knows it
//	…
//	defer tunnel.Close()
//	err = tunnel.Connect(socket, "tcp://10.1.2.3:5555") // instead of socket.Connect
//
// One [Tunnel] is one SSH connection, which all its streams share. [Tunnel.Connect] and
// [Tunnel.Forward] give ZeroMQ a local endpoint, [Tunnel.Dial] gives a net.Conn.
//
// # Who the server is
//
// A server is believed only where a known_hosts file has its key, or the authority that has signed
// it; a key that is unknown, changed or revoked is a [*HostKeyError]. Nothing turns that off:
// "StrictHostKeyChecking no" counts as yes. A key of a host that is not known at all is accepted
// and recorded only where the program asks for it by name: with [Config.AcceptNewHostKeys], or with
// "StrictHostKeyChecking accept-new" in a file that [Config.ConfigFile] names.
//
// # Who the user is
//
// Keys come first: those of the agent, and files, which are decrypted only once the server has
// accepted their public half. Then keyboard-interactive and password, where [Config.Prompt] or
// [Config.Password] can answer. What they answered is remembered, in memory and until Close, so
// that a connection that is lost can be opened again without anybody there; an answer that the
// server has refused is forgotten, and asked for again at the next attempt. Never are two such
// questions open at once, and a password is never sent to a jump host: one that wants a password is
// described in [Config.Jumps].
//
// # ssh_config
//
// Host, Match (with all, host, originalhost, user and localuser) and Include are read as ssh reads
// them. Of the settings these count: AddressFamily, CertificateFile, Ciphers, ConnectTimeout,
// GlobalKnownHostsFile, HashKnownHosts, HostKeyAlgorithms, HostKeyAlias, HostName, IdentitiesOnly,
// IdentityAgent, IdentityFile, KbdInteractiveAuthentication, KexAlgorithms, MACs,
// PasswordAuthentication, Port, PreferredAuthentications, ProxyJump, PubkeyAuthentication,
// RevokedHostKeys, ServerAliveCountMax, ServerAliveInterval, StrictHostKeyChecking, User and
// UserKnownHostsFile. All others are ignored, but what would run a program (ProxyCommand, Match
// exec) is an error. Fields of [Config] come before the parts of its Host, and those before
// ssh_config. The system's /etc/ssh/ssh_config is not read.
//
// # Whose files are believed
//
// Each file belongs to root or to the user of this process, and nobody else can write it, but for
// root's group and the group of this process: that holds for keys and certificates, known_hosts,
// revoked keys, ssh_config and what it includes. A private key others cannot read either; a group
// may. What is not so is a [*FileError] that names the command that mends it. On Windows, owners
// and modes are not looked at.
//
// # When the connection is lost
//
// A server that has gone away without a word is noticed by keepalive messages. The connection is
// then opened again, for as long as it takes, at growing intervals: 0.1 s to 30 s, or to 5 min
// where the server refuses the user or cannot prove who it is, each shortened at random by up to
// half. Meanwhile forwards stay, [Tunnel.Dial] waits, and [Tunnel.Err] has the reason. Streams end
// with the connection: a ZeroMQ socket connects again by itself and goes on, a net.Conn returns an
// error that says so, never a clean end of file.
//
// # Addresses at the far end
//
// A server behind the tunnel sees a client that comes from the SSH server. Address rules there
// cannot tell the users of a tunnel apart; CURVE works through it as ever, and keeps the traffic
// secret from the SSH server too.
package sshtunnel
