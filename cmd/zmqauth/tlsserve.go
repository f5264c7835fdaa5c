package main

import (
	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

var tlsServeFlags = []linkFlag{
	{policyfile.EntryListen, "", textFlag, "address to accept TLS at"},
	{policyfile.EntryConnect, "", textFlag, "address of the service, in clear"},
	{policyfile.EntryCert, "", fileFlag, "certificate of the server with its chain, PEM"},
	{policyfile.EntryKey, "", fileFlag, "its private key, PEM (default: it is in --cert)"},
	{policyfile.EntryCA, "", fileFlag, "CAs whose clients are let in, PEM"},
	{policyfile.EntryCRL, "", fileFlag, "revocation lists of these CAs, PEM or DER"},
	{policyfile.EntryAllow, "", listFlag,
		"let in only certificates with this name, KIND=NAME: CN, OU, DNS, EMAIL or URI"},
	{policyfile.EntryFingerprint, "", listFlag,
		"let in only certificates with this SHA-256, in hexadecimal"},
	{policyfile.EntryAllowAny, "", switchFlag, "let everybody in, without a certificate"},
	{policyfile.EntryStaleLimit, "", textFlag,
		"how long CAs and lists that cannot be read any more stay in force (default no limit)"},
	{policyfile.EntryMinTLS, "", versionFlag, minTLSUsage},
	{policyfile.EntryMaxConns, "", textFlag, maxConnsUsage},
	{policyfile.EntryMaxHandshakes, "", textFlag, "handshakes at once (default 128)"},
	{policyfile.EntryHandshakeTimeout, "", textFlag, "time for a client's handshake (default 10s)"},
	{policyfile.EntryUnsafeTarget, "", switchFlag, "the service may be on another host, in clear"},
	{policyfile.EntryMode, "", textFlag, modeUsage},
	{policyfile.EntryGroup, "", textFlag, groupUsage},
}

func newTLSServe() *cobra.Command {
	var o linkOptions
	cmd := &cobra.Command{
		Use: "tls-serve --listen ADDRESS --connect ADDRESS --cert FILE [--key FILE] " +
			"(--ca FILE | --allow-any)",
		Short: "Accept TLS for a service that has none",
		Long: "tls-serve accepts connections with TLS, and carries those of admitted clients to a\n" +
			"service in clear. Who is admitted has to be said: --ca names the CAs that certify the\n" +
			"clients, and --allow, --fingerprint and --crl leave out some of them; --allow-any lets\n" +
			"everybody in.\n\n" +
			addressForms + "\n" +
			"The service is on this host, unless --unsafe-target is given.\n\n" +
			"Files that change are read again by themselves. Connections of clients that would not be\n" +
			"let in any more are ended within a second. SIGHUP logs whether the files are good. SIGTERM\n" +
			"and SIGINT end it: open connections may go on for the time of --linger. A second signal\n" +
			"ends it at once.\n\n" +
			"tls-serve logs every decision on stderr: refusals at the level INFO, acceptances at DEBUG.\n" +
			"A policy has the same as a section: zmqauth proxy.",
		Example: "  zmqauth tls-serve --listen '*:7001' --connect 127.0.0.1:6666 " +
			"--cert server.crt --key server.key --ca ca.crt --allow CN=ann",
		Args: cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			link, err := policyfile.NewTLSServe(valuesOf(cmd.Flags(), tlsServeFlags))
			if err != nil {
				return flagError(err, "")
			}
			return o.run(cmd, links.TLSServe(link), nil)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	addFlags(cmd, tlsServeFlags)
	o.addLink(cmd)
	return cmd
}
