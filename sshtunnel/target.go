package sshtunnel

import (
	"log/slog"
	"net"
	"strconv"
	"time"

	"golang.org/x/crypto/ssh"
)

// target is one SSH server on the way, with its settings from Config, Config.Host and ssh_config.
type target struct {
	host    string // what is dialled
	port    int
	user    string
	network string // tcp, tcp4, tcp6
	given   string // the host as Config or ProxyJump has it
	bind    string // the local address to dial from; "": any
	command string // ProxyCommand, expanded; "": none

	keys           []keyFile
	certificates   []string // user certificates, in addition to KEY-cert.pub
	onlyKeys       bool     // other keys of the agent are not offered
	agent          string   // its socket; "": none
	methods        []string // of authentication, in order
	password       func() (string, error)
	passphrase     func(keyFile string) (string, error)
	prompt         ssh.KeyboardInteractiveChallenge
	knownName      string   // as known_hosts has it
	plainName      string   // the host without the port; "" if knownName has none
	knownHosts     []string // new keys go to the first one
	revokedKeys    string   // a file; "": none
	acceptNew      bool
	hashNew        bool
	algorithms     ssh.Algorithms
	authoritySigns []string // the algorithms that a host certificate may be signed with
	minRSA         int      // the smallest RSA key of a host or user, in bits
	connectTimeout time.Duration
	keepAlive      time.Duration // negative: no keepalive requests
	aliveCount     int
	logger         *slog.Logger
}

// keyFile is a private key to be offered.
type keyFile struct {
	path      string
	named     bool // by the Config: that it cannot be used is an error
	byDefault bool // one of those that are tried where nothing is said
}

func (t *target) address() string { return net.JoinHostPort(t.host, strconv.Itoa(t.port)) }

// String returns user@host:port.
func (t *target) String() string { return t.user + "@" + t.address() }
