package sshtunnel

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/crypto/ssh"
)

// Config says which SSH server to connect to, as which user, and through which other servers. Open
// copies it.
type Config struct {
	// Host is a name from ssh_config, host, host:port, user@host:port or [IPv6]:port. A name that ssh
	// refuses is an error: one that begins with a dash, or has a blank, a comma or a character of the
	// shell.
	Host string
	// User is the user to log in as. "": that of Host, then of ssh_config, then the local user's name.
	// A name that ssh refuses on its command line is an error.
	User string
	Port int // 0: that of Host, then of ssh_config, then 22

	// KeyFile is the only private key to log in with: neither keys of ssh_config nor other keys of the
	// agent are offered. If the agent has the private half, the public key is enough: KeyFile is its
	// file, or that without .pub. "": the keys of ssh_config; if it has none, the agent's keys and the
	// default files in ~/.ssh. A jump host for which ssh_config has no key uses KeyFile, too.
	KeyFile string
	// Agent is the socket of the SSH agent. "": IdentityAgent of ssh_config, then $SSH_AUTH_SOCK;
	// "none": no agent. The agents of Windows are not supported.
	Agent string
	// ConfigFile is the only ssh_config to read. "": ~/.ssh/config and then /etc/ssh/ssh_config, if
	// they exist; "none": no file. Such a file may name commands that are run: see the package's
	// description.
	ConfigFile string
	// KnownHosts is the only known_hosts file to use. "": the files of ssh_config (UserKnownHostsFile
	// and GlobalKnownHostsFile), by default ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts.
	KnownHosts string
	// AcceptNewHostKeys accepts the key of a host for which known_hosts has none, and appends it
	// there. An attacker between client and server at that moment is trusted from then on. Changed and
	// revoked keys are still refused.
	AcceptNewHostKeys bool

	// Password returns the user's password, and the passphrases of keys if Passphrase is nil; nil:
	// there is none. If Prompt is nil, it also answers a server that asks a single question by
	// keyboard-interactive. It is called once for each purpose, and again only after the server has
	// refused the answer. There is never more than one call at a time. After a wrong answer, Open
	// tries the other keys and methods, and fails without asking the same again. Open and Close do not
	// wait for a Password that does not return.
	Password func() (string, error)
	// Passphrase returns the passphrase of an encrypted key; nil: Password is called.
	Passphrase func(keyFile string) (string, error)
	// Prompt answers the questions of keyboard-interactive; nil: see Password. If it waits for a
	// person, the time is limited by the server (LoginGraceTime, usually two minutes) and by the
	// context of Open.
	Prompt ssh.KeyboardInteractiveChallenge

	// Jumps are the jump hosts, first to last. nil: ProxyJump of ssh_config; empty: none. Each may use
	// all fields but Jumps. ConfigFile, KnownHosts, KeyFile and Agent default to those of this Config.
	// If AcceptNewHostKeys is set here, it applies to all jump hosts.
	Jumps []Config

	// LocalTCP makes Forward and SOCKS listen on a port of 127.0.0.1 instead of a Unix socket in a
	// private directory, unless they are given another endpoint. Every user and program of this
	// machine can connect to that port.
	LocalTCP bool

	// ConnectTimeout is how long a server may take to accept a connection and to prove its identity.
	// 0: that of ssh_config, then 30 s.
	ConnectTimeout time.Duration
	// KeepAlive is how long the server may be silent before it is sent a keepalive request. The
	// connection counts as lost after ServerAliveCountMax (default 3) more intervals without an
	// answer. 0: ServerAliveInterval of ssh_config, then 15 s; negative: no keepalive requests.
	KeepAlive time.Duration

	Logger *slog.Logger // nil: slog.Default()

	// jumpKey is the KeyFile of the Config that this one is a jump host of. It is offered if
	// ssh_config has no key for this host.
	jumpKey string
}

const (
	defaultPort           = 22
	defaultConnectTimeout = 30 * time.Second
	defaultKeepAlive      = 15 * time.Second
	defaultAliveCount     = 3
	// loginTime is how long a server, and a person who types a password, may take for a login. It is
	// sshd's default.
	loginTime = 2 * time.Minute
	// maxJumps is the largest number of jump hosts. ssh limits nested includes to the same number.
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
			return fmt.Errorf("sshtunnel: Config.Jumps: %q has Jumps of its own; "+
				"name all of them in one list", jump.Host)
		}
		if err := jump.check(); err != nil {
			return err
		}
	}
	return nil
}
