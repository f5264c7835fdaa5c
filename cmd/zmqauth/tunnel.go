package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

var tunnelFlags = []linkFlag{
	{policyfile.EntryForward, "L", listFlag,
		"LOCAL=REMOTE, or as ssh has it: [BIND:]PORT:HOST:HOSTPORT"},
	{policyfile.EntryReverse, "R", listFlag,
		"REMOTE=LOCAL, or as ssh has it: the gateway listens at REMOTE"},
	{policyfile.EntrySOCKS, "D", listFlag, "address or port of a SOCKS5 proxy"},
	{policyfile.EntrySSHConfig, "F", fileFlag,
		"the only ssh_config to read, or none (default: those of ssh)"},
	{policyfile.EntryIdentity, "i", fileFlag, "the only private key to log in with"},
	{policyfile.EntryKnownHosts, "", fileFlag, "the only known_hosts (default: those of ssh)"},
	{policyfile.EntryAgent, "", fileFlag, "socket of the agent, or none (default: that of ssh)"},
	{policyfile.EntryAcceptNew, "", switchFlag, "record the key of an unknown gateway unseen"},
	{policyfile.EntryMaxConns, "", textFlag, "connections at once at each address (default no limit)"},
	{policyfile.EntryUnsafeListen, "", switchFlag, "clients may be on other hosts"},
	{policyfile.EntryUnsafeTarget, "", switchFlag, "what --reverse leads to may be on another host"},
	{policyfile.EntryMode, "", textFlag, modeUsage},
	{policyfile.EntryGroup, "", textFlag, groupUsage},
}

func newTunnel() *cobra.Command {
	var o linkOptions
	cmd := &cobra.Command{
		Use: "tunnel [USER@]HOST[:PORT] [--forward LOCAL=REMOTE]… [--reverse REMOTE=LOCAL]… " +
			"[--socks LOCAL]…",
		Short: "Carry connections through an SSH server",
		Long: "tunnel logs in to an SSH server, the gateway, and carries connections through it. For\n" +
			"--forward it listens on this host, and the gateway connects to REMOTE. For --reverse the\n" +
			"gateway listens, and connections to it are carried to LOCAL. --socks is a SOCKS5 proxy to\n" +
			"whatever the gateway reaches. Each of them may be repeated.\n\n" +
			addressForms + "\n" +
			"Addresses of this host are for this host alone, unless --unsafe-listen or --unsafe-target\n" +
			"is given.\n\n" +
			"ssh_config, known_hosts, keys and the agent are those of ssh. The gateway is trusted only\n" +
			"if known_hosts has its key. Passwords and passphrases are read from the terminal alone.\n\n" +
			"A gateway that cannot be logged in to at the start is an error. A lost connection is\n" +
			"opened again, for as long as it takes. SIGTERM and SIGINT end the tunnel: open connections\n" +
			"may go on for the time of --linger. A second signal ends it at once.\n\n" +
			"A policy has the same as a section: zmqauth proxy.",
		Example: "  zmqauth tunnel ann@gateway.example.org -L 7777:10.1.2.3:5555\n" +
			"  zmqauth tunnel gateway --forward /run/me/orders.sock=10.1.2.3:5555 --socks 1080",
		Args: cobra.ExactArgs(1),
		RunE: action(func(cmd *cobra.Command, args []string) error {
			values := append(valuesOf(cmd.Flags(), tunnelFlags),
				policyfile.Value{Entry: policyfile.EntryHost, Text: args[0]})
			link, err := policyfile.NewTunnel(values)
			if err != nil {
				return flagError(err, policyfile.EntryHost)
			}
			return o.run(cmd, links.Tunnel(link), login(cmd.Context(), args[0]))
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addFlags(cmd, tunnelFlags)
	o.addLink(cmd)
	return cmd
}

// login asks the user on the terminal. Without one there is nobody to ask: what stdin holds then is
// for others.
func login(ctx context.Context, host string) *links.Login {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil
	}
	return &links.Login{
		Password: func() (string, error) {
			return readHidden(ctx, os.Stdin, "Password for "+printable(host)+": ")
		},
		Passphrase: func(file string) (string, error) {
			return readHidden(ctx, os.Stdin, "Passphrase of "+printable(file)+": ")
		},
		Prompt: func(name, instruction string, questions []string, echo []bool) ([]string, error) {
			return answer(ctx, name, instruction, questions, echo)
		},
	}
}

// answer asks the user what an SSH server asks. Its words may be anybody's.
func answer(
	ctx context.Context, name, instruction string, questions []string, echo []bool,
) (answers []string, err error) {
	for _, text := range []string{name, instruction} {
		if text = strings.TrimSpace(text); text != "" {
			fmt.Fprintln(os.Stderr, printable(text))
		}
	}
	if len(echo) != len(questions) {
		return nil, errors.New("the server's questions make no sense")
	}
	for _, question := range questions {
		// All answers are read without echo, also those that the server would let be seen.
		text, err := readHidden(ctx, os.Stdin, printable(strings.TrimSpace(question))+" ")
		if err != nil {
			return nil, err
		}
		answers = append(answers, text)
	}
	return answers, nil
}
