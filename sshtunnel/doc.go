// Package sshtunnel opens SSH tunnels for ZeroMQ sockets and plain connections whose server listens
// on an address that only an SSH server can reach. It is pure Go and needs no ssh program.
//
//	// The settings of the host "gateway" are in ~/.ssh/config.
//	tunnel, err := sshtunnel.Open(ctx, sshtunnel.Config{Host: "gateway"})
//	…
//	defer tunnel.Close()
//	err = tunnel.Connect(socket, "tcp://10.1.2.3:5555") // instead of socket.Connect
//
// One [Tunnel] is one SSH connection, which all its streams share. [Tunnel.Connect],
// [Tunnel.Forward] and [Tunnel.ForwardTo] give ZeroMQ a local endpoint, [Tunnel.Dial] gives a
// net.Conn. [Tunnel.Reverse] lets the SSH server listen for a server of this machine, and
// [Tunnel.SOCKS] is a proxy to whatever the SSH server reaches.
//
// # Who the server is
//
// A server is trusted only if a known_hosts file has its key, or the authority that has signed it.
// A key that is unknown, changed or revoked is a [*HostKeyError]. Nothing turns that off:
// "StrictHostKeyChecking no" counts as yes. The key of an unknown host is accepted and recorded
// only if the program asks for it explicitly: with [Config.AcceptNewHostKeys], or with
// "StrictHostKeyChecking accept-new" in a file that [Config.ConfigFile] names.
//
// # Who the user is
//
// Keys come first: those of the agent, and key files. A key file is decrypted only after the server
// has accepted its public half. If that fails, the next key is tried. Then come
// keyboard-interactive and password, if [Config.Prompt] or [Config.Password] can answer. Answers
// are remembered in memory until Close, so that a lost connection can be opened again without the
// user. An answer that the server has refused is forgotten, and asked for again at the next
// attempt. There is never more than one such question at a time. A password is never sent to a jump
// host of ssh_config: a jump host that needs one is described in [Config.Jumps].
//
// # ssh_config
//
// The files are read as ssh reads them: ~/.ssh/config and then /etc/ssh/ssh_config, or only
// [Config.ConfigFile]. A file that ssh refuses is an error. So is a word that ssh does not know,
// unless IgnoreUnknown names it. Host, Match (with all, canonical, final, exec, host, originalhost,
// user and localuser) and Include work as in ssh. The fields of [Config] take precedence over the
// parts of its Host, and those over ssh_config.
//
// These settings are used: AddressFamily, BindAddress, CanonicalDomains,
// CanonicalizeFallbackLocal, CanonicalizeHostname, CanonicalizeMaxDots,
// CanonicalizePermittedCNAMEs, CASignatureAlgorithms, CertificateFile, Ciphers, ConnectTimeout,
// GlobalKnownHostsFile, HashKnownHosts, HostKeyAlgorithms, HostKeyAlias, HostName, IdentitiesOnly,
// IdentityAgent, IdentityFile, IgnoreUnknown, KbdInteractiveAuthentication, KexAlgorithms, MACs,
// PasswordAuthentication, Port, PreferredAuthentications, ProxyCommand, ProxyJump,
// PubkeyAcceptedAlgorithms, PubkeyAuthentication, RequiredRSASize, RevokedHostKeys,
// ServerAliveCountMax, ServerAliveInterval, StrictHostKeyChecking, User and UserKnownHostsFile.
// Algorithms that x/crypto does not have are left out with a warning.
//
// Some settings are errors, because without them the connection would be another one:
// BindInterface, CheckHostIP, KnownHostsCommand, PKCS11Provider, ProxyUseFdpass, RefuseConnection,
// SecurityKeyProvider and Tag. Host keys are checked in known_hosts whatever VerifyHostKeyDNS and
// NoHostAuthenticationForLocalhost say. A warning names those two and all others that have no
// effect here. For those of /etc/ssh/ssh_config it is a message of level debug.
//
// ProxyCommand and Match exec run the command with the user's shell, $SHELL. It has no terminal and
// ends with the connection. A host or user with characters that mean something to a shell is an
// error. Commands are not run on Windows.
//
// # Which files are trusted
//
// Every file must belong to root or to the user of this process. No other user may be able to write
// it; root's group and the group of this process may. That applies to keys and certificates,
// known_hosts, revoked keys, ssh_config and the files that it includes. A private key must not be
// readable by every user; a group may read it. A violation is a [*FileError] that names the command
// that mends it. On Windows, owners and modes are not checked.
//
// # When the connection is lost
//
// Keepalive messages detect a server that has disappeared silently. A lost connection is opened
// again, for as long as it takes, at growing intervals: from 0.1 s to 30 s, or to 5 min if the
// server refuses the user or cannot prove its identity. Each interval is shortened at random by up
// to half. Meanwhile forwards stay, [Tunnel.Dial] waits, and [Tunnel.Err] has the reason. Streams
// end with the connection: a ZeroMQ socket reconnects by itself, and a net.Conn returns an error,
// never io.EOF.
//
// # Addresses at the far end
//
// A server behind the tunnel sees the address of the SSH server. Address rules cannot tell the
// users of a tunnel apart. CURVE works as usual, and keeps the traffic secret from the SSH server,
// too.
package sshtunnel
