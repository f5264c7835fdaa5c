package policyfile

import (
	"io/fs"
	"time"
)

// Section is where a link stands in a policy, or what it is called on a command line.
type Section struct {
	Kind string // EntryTLSServe, EntryTLSConnect or EntryTunnel
	Name string // unique among the sections of its kind
	File string // the path of the policy, as the caller gave it; "": a command line
	Line int    // of the section's first line
}

// TLSServe is a link that accepts TLS, and passes on in clear what admitted clients send:
//
//	tls-serve = orders
//	    listen = *:7001
//	    connect = /run/orders.sock
//	    cert = server.crt
//	    key = server.key
//	    ca = ca.crt
//
// Either CA is set or AllowAny. Only a CA has the other lists.
type TLSServe struct {
	Section
	Listener
	TLSFiles
	Connect Address // in clear: local, unless the entry unsafe-target allows another

	AllowAny         bool          // everybody is let in, without a certificate
	Allow            []string      // KIND=NAME; nil: every certificate of the CA
	Fingerprints     []string      // SHA-256 in hexadecimal; nil: every certificate of the CA
	StaleLimit       time.Duration // how long files that cannot be used stay in force; 0: no limit
	HandshakeTimeout time.Duration // of a client; 0: that of package stream
	MaxHandshakes    int           // at once; 0: that of package stream
}

// TLSConnect is a link that accepts connections in clear, and passes them on over TLS.
type TLSConnect struct {
	Section
	Listener
	TLSFiles
	Connect Address // a TCP port

	ServerName string // that the server's certificate must have; "": the host of Connect
}

// Listener is where a link accepts connections, and how many.
type Listener struct {
	Listen   Address
	Mode     fs.FileMode // of a Unix socket's file; 0: 0600
	Group    string      // of a Unix socket's file, a name or a number; "": that of the process
	MaxConns int         // at once; 0: no limit
}

// TLSFiles are files in PEM, with absolute paths, and the oldest version of TLS.
type TLSFiles struct {
	Cert, Key string // Key "": it is in Cert
	CA, CRL   string
	MinTLS    uint16 // as crypto/tls has it; 0: TLS 1.2
}

// Tunnel is a link through an SSH server, its gateway.
type Tunnel struct {
	Section
	Host     string // as sshtunnel.Config has it
	Forwards []Pair // Listen is of this host, Connect as the gateway reaches it
	Reverses []Pair // Listen is of the gateway, Connect as this host reaches it
	SOCKS    []Address
	Mode     fs.FileMode // of the files of Unix sockets; 0: 0600
	Group    string      // of the files of Unix sockets; "": that of the process
	MaxConns int         // at once, at each of the addresses; 0: no limit

	SSHConfig, Identity, KnownHosts string // absolute paths, "none", or "": those of ssh
	Agent                           string // the path of its socket, or "none"; "": that of ssh
	AcceptNew                       bool   // the unknown key of a host is recorded unseen
}

// The names of the sections for links, and of their entries. The commands have flags of the same
// names.
const (
	EntryTLSServe   = "tls-serve"
	EntryTLSConnect = "tls-connect"
	EntryTunnel     = "tunnel"

	EntryListen           = "listen"
	EntryConnect          = "connect"
	EntryMode             = "mode"
	EntryGroup            = "group"
	EntryMaxConns         = "max-conns"
	EntryCert             = "cert"
	EntryKey              = "key"
	EntryCA               = "ca"
	EntryCRL              = "crl"
	EntryMinTLS           = "min-tls"
	EntryAllowAny         = "allow-any"
	EntryFingerprint      = "fingerprint"
	EntryHandshakeTimeout = "handshake-timeout"
	EntryMaxHandshakes    = "max-handshakes"
	EntryUnsafeTarget     = "unsafe-target"
	EntryUnsafeListen     = "unsafe-listen"
	EntryServerName       = "server-name"
	EntryHost             = "host"
	EntryForward          = "forward"
	EntryReverse          = "reverse"
	EntrySOCKS            = "socks"
	EntrySSHConfig        = "ssh-config"
	EntryIdentity         = "identity"
	EntryKnownHosts       = "known-hosts"
	EntryAgent            = "agent"
	EntryAcceptNew        = "accept-new-host-keys"
)

// None takes the place of a file or an agent that must not be used.
const None = "none"

// Yes and No are the values of entries that are switches.
const Yes, No = "yes", "no"
