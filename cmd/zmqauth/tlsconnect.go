package main

import (
	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

var tlsConnectFlags = []linkFlag{
	{policyfile.EntryListen, "", textFlag, "address to accept connections at, in clear"},
	{policyfile.EntryConnect, "", textFlag, "the server, HOST:PORT"},
	{policyfile.EntryCA, "", fileFlag, "CAs that certify the server, PEM (default: the system's)"},
	{policyfile.EntryCert, "", fileFlag, "certificate of this client with its chain, PEM"},
	{policyfile.EntryKey, "", fileFlag, "its private key, PEM (default: it is in --cert)"},
	{policyfile.EntryCRL, "", fileFlag, "revocation lists of the CAs, PEM or DER"},
	{policyfile.EntryServerName, "", textFlag,
		"name that the server's certificate must have (default: the host of --connect)"},
	{policyfile.EntryMinTLS, "", versionFlag, minTLSUsage},
	{policyfile.EntryMaxConns, "", textFlag, maxConnsUsage},
	{policyfile.EntryUnsafeListen, "", switchFlag, "clients may be on other hosts, in clear"},
	{policyfile.EntryMode, "", textFlag, modeUsage},
	{policyfile.EntryGroup, "", textFlag, groupUsage},
}

func newTLSConnect() *cobra.Command {
	var o linkOptions
	cmd := &cobra.Command{
		Use: "tls-connect --listen ADDRESS --connect HOST:PORT [--ca FILE] " +
			"[--cert FILE --key FILE]",
		Short: "Connect with TLS for clients that have none",
		Long: "tls-connect accepts connections in clear, and carries each of them to a server with\n" +
			"TLS. The server must prove that it is the host of --connect, or that of --server-name.\n\n" +
			addressForms + "\n" +
			"Only this host reaches the address, unless --unsafe-listen is given. Whoever can connect\n" +
			"to it is the client for the server: every user of this host for a port, those that --mode\n" +
			"and --group let in for a Unix socket.\n\n" +
			"Files are read again for each connection. SIGHUP logs whether they are good. SIGTERM and\n" +
			"SIGINT end it: open connections may go on for the time of --linger. A second signal ends\n" +
			"it at once.\n\n" +
			"A policy has the same as a section: zmqauth proxy.",
		Example: "  zmqauth tls-connect --listen 127.0.0.1:7777 --connect server.example.org:7001 " +
			"--ca ca.crt --cert ann.crt --key ann.key",
		Args: cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			link, err := policyfile.NewTLSConnect(valuesOf(cmd.Flags(), tlsConnectFlags))
			if err != nil {
				return flagError(err, "")
			}
			return o.run(cmd, links.TLSConnect(link), nil)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addFlags(cmd, tlsConnectFlags)
	o.addLink(cmd)
	return cmd
}
