package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/internal/zap"
)

// passwdOptions are the flags of passwd.
type passwdOptions struct {
	remove, list, verify bool
	hash                 hashOptions
}

func newPasswd() *cobra.Command {
	var o passwdOptions
	cmd := &cobra.Command{
		Use: "passwd FILE USER [--delete | --verify | --hash KIND --cost N] | " +
			"passwd --list FILE",
		Short: "Add a user to a password file, change, verify or delete a password, list the users",
		Long: "passwd adds a user to a password file, or changes the user's password. If there is no\n" +
			"file it makes one. It asks for the password on the terminal, twice and without echo, or\n" +
			"reads it from stdin, where it is the only line.\n\n" +
			"It writes a hash: argon2id, or bcrypt, which htpasswd and Apache read, too. --cost is the\n" +
			"number of argon2id's passes over 19 MiB, or bcrypt's cost, of which one more takes twice\n" +
			"the time. A password has 1 to 255 bytes, with bcrypt 72. A hash that takes longer here\n" +
			"than the 10 s that a server gives it is refused.\n\n" +
			"passwd replaces the file in one step, so that nobody sees half of it. The other lines, the\n" +
			"owner, the group, the mode, the access control list and the attributes stay the same. If\n" +
			"one of them cannot be kept, that is an error, and nothing is changed. A new file has mode\n" +
			"0600. A server that follows the file uses the change within a second.\n\n" +
			"--list shows the users in force, the kinds of their hashes, and the broken lines. It shows\n" +
			"no hash and no password. The exit code is 1 if a line is broken, or if a server of this\n" +
			"user would refuse the file.\n\n" +
			"--verify asks for a password and tells whether it is the user's, by the exit code, too. It\n" +
			"takes the same time if there is no such user.",
		Example: "  zmqauth passwd passwords ann\n" +
			"  zmqauth passwd passwords ann --delete\n" +
			"  generate | zmqauth passwd passwords ann --hash bcrypt --cost 12\n" +
			"  zmqauth passwd passwords ann --verify\n" +
			"  zmqauth passwd --list passwords",
		Args: func(cmd *cobra.Command, args []string) error {
			if o.list {
				return cobra.ExactArgs(1)(cmd, args)
			}
			return cobra.ExactArgs(2)(cmd, args)
		},
		ValidArgsFunction: completeFirst(cobra.ShellCompDirectiveDefault),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			if o.list {
				return listPasswords(newOutput(cmd), args[0])
			}
			if err := checkUser(args[1]); err != nil {
				return err
			}
			if o.verify {
				return verifyPassword(cmd, args[0], args[1])
			}
			if cmd.Flags().Changed("json") {
				return usagef("--json goes with --list and --verify")
			}
			if o.remove {
				edit := func(content []byte) ([]byte, error) { return deleteUser(content, args[1]) }
				return editPasswords(cmd.Context(), args[0], false, edit)
			}
			return o.setPassword(cmd.Context(), args[0], args[1])
		}),
	}
	flags := cmd.Flags()
	flags.BoolVar(&o.remove, "delete", false, "delete the user")
	flags.BoolVar(&o.list, "list", false, "list the users")
	flags.BoolVar(&o.verify, "verify", false, "tell whether a password is the user's")
	o.hash.addFlags(cmd)
	addJSON(cmd)
	for _, other := range []string{"hash", "cost"} {
		cmd.MarkFlagsMutuallyExclusive("delete", "list", "verify", other)
	}
	return cmd
}

// setPassword asks for a password and writes its hash to a password file.
func (o passwdOptions) setPassword(ctx context.Context, file, user string) error {
	kind, cost, err := o.hash.choose()
	if err != nil {
		return err
	}
	password, err := readNewSecret(ctx, askFor(user), "Again: ")
	if err != nil {
		return err
	}
	hash, err := hashPassword(password, kind, cost)
	if err != nil {
		return err
	}
	return editPasswords(ctx, file, true, func(content []byte) ([]byte, error) {
		edited := setUser(content, user, hash)
		return edited, checkInForce(edited, user)
	})
}

// askFor returns the prompt for a user's password.
func askFor(user string) string { return "Password of " + printable(user) + ": " }

// checkUser checks that a password file can have a user of that name.
func checkUser(user string) error {
	switch {
	case user == "":
		return errors.New("the user name is empty")
	case len(user) > zap.MaxCredential:
		return fmt.Errorf("a user name has at most %d bytes", zap.MaxCredential)
	case strings.ContainsAny(user, "=:"):
		return fmt.Errorf("user %q: = and : end the name in a password file", user)
	case strings.HasPrefix(user, "#"):
		return fmt.Errorf("user %q: a password file takes a line that begins with # for a comment", user)
	case strings.HasPrefix(user, "\ufeff"):
		return fmt.Errorf("user %q: a password file cannot begin with a byte order mark", user)
	case strings.IndexFunc(user, unicode.IsControl) >= 0:
		return fmt.Errorf("user %q: a control character in the name", user)
	}
	return nil
}
