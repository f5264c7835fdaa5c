package sshtunnel

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/crypto/ssh"
)

// Config says which SSH server to go to, as whom, and through which others. Open copies it.
type Config struct {
	// Host is a name from ssh_config, host, host:port, user@host:port or [IPv6]:port. It is never an
	// option of anything.
	Host string
	User string // "": that of Host, then of ssh_config, then the local user's name
	Port int    // 0: that of Host, then of ssh_config, then 22

	// KeyFile is the one private key to log in with; neither those of ssh_config nor others of the
	// agent are offered then. "": those of ssh_config, and without any the agent's and the usual files
	// in ~/.ssh. It may also be a public key, whose private half the agent has. A jump host that
	// ssh_config names no key for gets it too.
	KeyFile string
	// Agent is the agent's socket. "": IdentityAgent of ssh_config, then $SSH_AUTH_SOCK; "none": no
	// agent. Windows has agents of another kind, which are not supported.
	Agent string
	// ConfigFile is an ssh_config. "": ~/.ssh/config, if there is one; "none": no file.
	ConfigFile string
	// KnownHosts is the known_hosts file to believe, and no other. "": those of ssh_config
	// (UserKnownHostsFile and GlobalKnownHostsFile), which are ~/.ssh/known_hosts and
	// /etc/ssh/ssh_known_hosts by default.
	KnownHosts string
	// AcceptNewHostKeys accepts a key of a host that known_hosts has none for, and appends it there.
	// Whoever stands between at that moment is then believed for good. Changed and revoked keys are
	// refused all the same.
	AcceptNewHostKeys bool

	// Password is asked for the user's password, and for the passphrases of keys where Passphrase is
	// nil; nil: there is none. It also answers a server that asks one question by
	// keyboard-interactive, where Prompt is nil. It is called once for each purpose, again only when
	// the server has refused what it said, and never twice at a time. Open does not ask twice: it
	// fails. Open and Close do not wait for one that does not return.
	Password func() (string, error)
	// Passphrase is asked for the passphrase of an encrypted key; nil: Password is.
	Passphrase func(keyFile string) (string, error)
	// Prompt answers the questions of keyboard-interactive; nil: see Password. Where it waits for
	// somebody, the server's patience (LoginGraceTime, two minutes as a rule) and the context of Open
	// set its time.
	Prompt ssh.KeyboardInteractiveChallenge

	// Jumps are the hosts to go through, first to last. nil: ProxyJump of ssh_config; empty: none.
	// Each may have everything here but Jumps of its own; ConfigFile, KnownHosts, KeyFile and Agent
	// are those of this Config where they are empty, and AcceptNewHostKeys counts for all where it is
	// set here.
	Jumps []Config

	// LocalTCP makes Forward listen on a port of 127.0.0.1, which every user and program of this
	// machine can use, instead of a Unix socket in a private directory.
	LocalTCP bool

	// ConnectTimeout is how long a server may take to accept a connection and to prove who it is. 0:
	// that of ssh_config, then 30 s.
	ConnectTimeout time.Duration
	// KeepAlive is how long the server may be silent before it is asked for a sign of life; after as
	// many more without an answer as ServerAliveCountMax says (3 by default) the connection counts as
	// lost. 0: ServerAliveInterval of ssh_config, then 15 s; negative: it is never asked.
	KeepAlive time.Duration

	Logger *slog.Logger // nil: slog.Default()

	// The key of the Config that this one is a jump host of: offered where ssh_config has none for it.
	jumpKey string
}

const (
	defaultConnectTimeout = 30 * time.Second
	defaultKeepAlive      = 15 * time.Second
	defaultAliveCount     = 3
	// What a server, and whoever types a password, may take for a login: sshd's own default.
	loginTime = 2 * time.Minute
	// How many hosts may be gone through: ssh stops at as many files that include each other.
	maxJumps = 16
)

func (c *Config) check() error {
	switch {
	case c.Host == "":
		return errors.New("sshtunnel: Config.Host is empty")
	case c.Port < 0 || c.Port > 65535:
		return fmt.Errorf("sshtunnel: Config.Port %d: not a port", c.Port)
	case c.ConnectTimeout < 0:
		return fmt.Errorf("sshtunnel: Config.ConnectTimeout %s: negative", c.ConnectTimeout)
	case len(c.Jumps) > maxJumps:
		return fmt.Errorf("sshtunnel: Config.Jumps: more than %d", maxJumps)
	}
	for _, jump := range c.Jumps {
		if jump.Jumps != nil {
			return fmt.Errorf("sshtunnel: Config.Jumps: %q has Jumps of its own; name all of them in one list", jump.Host)
		}
		if err := jump.check(); err != nil {
			return err
		}
	}
	return nil
}
