package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/zap"
)

func newPasswd() *cobra.Command {
	var remove bool
	cmd := &cobra.Command{
		Use:   "passwd FILE USER",
		Short: "Add a user to a password file, change the password, or delete the user",
		Long: "passwd adds a user to a password file, or changes the user's password. If there is no\n" +
			"file it makes one. It asks for the password on the terminal, twice and without echo, or\n" +
			"reads it from stdin, where it is the only line. It writes an argon2id hash.\n\n" +
			"passwd replaces the file in one step, so that nobody sees half of it. The other lines, the\n" +
			"owner, the group, the mode, the access control list and the attributes stay the same. If\n" +
			"one of them cannot be kept, that is an error, and nothing is changed. A new file has mode\n" +
			"0600. A server that follows the file uses the change within a second.",
		Example: "  zmqauth passwd passwords ann\n" +
			"  zmqauth passwd passwords ann --delete\n" +
			"  generate | zmqauth passwd passwords ann",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: completeFirst(cobra.ShellCompDirectiveDefault),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			file, user := args[0], args[1]
			if err := checkUser(user); err != nil {
				return err
			}
			if remove {
				return editPasswords(file, false, func(content []byte) ([]byte, error) {
					return deleteUser(content, user)
				})
			}
			password, err := readNewSecret(cmd.Context(), "Password of "+printable(user)+": ", "Again: ")
			if err != nil {
				return err
			}
			hash, err := zmqauth.HashPassword(password)
			if err != nil {
				return err
			}
			return editPasswords(file, true, func(content []byte) ([]byte, error) {
				return setUser(content, user, hash), nil
			})
		}),
	}
	cmd.Flags().BoolVar(&remove, "delete", false, "delete the user")
	return cmd
}

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
	case strings.IndexFunc(user, unicode.IsControl) >= 0:
		return fmt.Errorf("user %q: a control character in the name", user)
	}
	return nil
}
