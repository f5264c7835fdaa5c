package main

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/admin"
)

// controlOptions are the flags of the commands that use a control socket: which one, and which
// sessions.
type controlOptions struct {
	path string
	text map[string]*string // the flags that choose sessions, by name
}

// controlVariable names the environment variable that has the path of the control socket.
const controlVariable = "ZMQAUTH_CONTROL"

// chosen is said in the help of these commands.
const chosen = "A session has to match all flags that are given. --key is a public key in each\n" +
	"form that check takes, or a certificate that has it. --address is an entry as those of\n" +
	"allow in a policy: an address, a network, ipc, uid:N, gid:N or pid:N. The control socket\n" +
	"is that of --control, or of the environment variable " + controlVariable + ", or else\n" +
	admin.DefaultPath + "."

// addControl gives a command these flags.
func (o *controlOptions) addControl(cmd *cobra.Command) {
	o.text = make(map[string]*string)
	for _, f := range [][2]string{
		{"user", "sessions of this user id"},
		{"key", "sessions with this public key " + keyForms},
		{"address", "sessions from this address or network"},
		{"id", "the session with this number"},
		{"domain", "sessions of this domain"},
		{"frontend", "sessions of this frontend"},
	} {
		o.text[f[0]] = cmd.Flags().String(f[0], "", f[1])
		if f[0] != "key" {
			completeFlag(cmd, f[0])
		}
	}
	o.addPath(cmd)
}

// addPath gives a command the flag that says which control socket.
func (o *controlOptions) addPath(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.path, "control", "", "the control socket of the proxy (default "+
		admin.DefaultPath+")")
}

// whichSocket is said in the help of commands that take no selector.
const whichSocket = "The control socket is that of --control, or of the environment variable\n" +
	controlVariable + ", or else " + admin.DefaultPath + "."

// selector reads the flags that choose sessions.
func (o *controlOptions) selector(cmd *cobra.Command) (s admin.Selector, err error) {
	for name, text := range o.text {
		if !cmd.Flags().Changed(name) {
			continue
		}
		value := *text
		if name == "key" {
			key, err := publicKeyFrom(name, value)
			if err != nil {
				return s, err
			}
			value = key.String()
		}
		if err := s.Set(name, value); err != nil {
			return s, usagef("--%w", err)
		}
	}
	return s, nil
}

// client is that of the control socket.
func (o *controlOptions) client() *admin.Client {
	return admin.NewClient(cmp.Or(o.path, os.Getenv(controlVariable), admin.DefaultPath))
}
