package main

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/activation"
	"github.com/zmqauth/zmqauth/internal/privatedir"
)

// httpOptions are the flags of the commands that serve metrics and the status page.
type httpOptions struct {
	address, token, cert, key, clientCA, group string
}

// httpHelp is said in the help of these commands.
const httpHelp = "At a loopback address other users of the host see numbers alone; the page is\n" +
	"for root, this user and who has the token. A Unix socket (unix:PATH) is for root, this user\n" +
	"and --http-group. Other addresses need TLS, and a token or a CA of clients."

// addHTTP gives a command the flags.
func (o *httpOptions) addHTTP(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&o.address, "http", "",
		"serve metrics and a status page at HOST:PORT or unix:PATH, such as 127.0.0.1:9090")
	flags.StringVar(&o.token, "http-token-file", "", "file with a token that shows everything")
	flags.StringVar(&o.cert, "http-cert", "", "certificate for TLS with its chain, PEM")
	flags.StringVar(&o.key, "http-key", "", "its private key, PEM")
	flags.StringVar(&o.clientCA, "http-client-ca", "", "CAs whose clients see everything, PEM")
	flags.StringVar(&o.group, "http-group", "",
		"group that may use the Unix socket, by name or number")
}

// config checks the flags and returns what they describe.
func (o *httpOptions) config() (cfg admin.HTTPConfig, err error) {
	cfg = admin.HTTPConfig{TokenFile: o.token, CertFile: o.cert, KeyFile: o.key,
		ClientCAFile: o.clientCA}
	if o.address == "" {
		if *o != (httpOptions{}) {
			return cfg, usagef("the flags that begin with --http- need --http")
		}
		return cfg, nil
	}
	if o.group != "" {
		if cfg.Group, err = privatedir.LookupGroup(o.group); err != nil {
			return cfg, usagef("--http-group: %w", err)
		}
	}
	if err := cfg.Check(o.address); err != nil {
		return cfg, usagef("--http %s: %w", o.address, err)
	}
	return cfg, nil
}

// inherited is the listening socket that is at the address already, or nil.
func (o *httpOptions) inherited(from *activation.Sockets) *os.File {
	if path, ok := strings.CutPrefix(o.address, "unix:"); ok {
		return inheritedFile(from, path)
	}
	if strings.HasPrefix(o.address, "/") {
		return inheritedFile(from, o.address)
	}
	return from.At(activation.TCP, o.address)
}

// inheritedFile is the listening Unix socket that is at a path already, or nil. Paths that systemd
// passes are absolute.
func inheritedFile(from *activation.Sockets, path string) *os.File {
	if path == "" {
		return nil
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil // the working directory is gone: nobody listens there
	}
	return from.At(activation.Unix, absolute)
}
