package main

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// question is the client that check asks about.
type question struct {
	mechanism, domain, address string
	key, username, principal   string
}

func newCheck() *cobra.Command {
	var config string
	var q question
	cmd := &cobra.Command{
		Use:   "check --config FILE [--mechanism M --domain D --address A [--key K | --username U | --principal P]]",
		Short: "Check a policy, or tell what it decides about a client and by which rule",
		Long: "check reads a policy and all the files that it names, and says what is wrong with them.\n\n" +
			"With a client's mechanism, domain and address, and its key, user name or principal, it tells what would be decided\n" +
			"about this client, and by which line of the policy: the exit code is 0 where it would be accepted, else 1. The\n" +
			"password of a user is asked for on the terminal, or read from stdin. Nothing goes over a network.",
		Example: "  zmqauth check --config zmqauth.zpl\n" +
			"  zmqauth check --config zmqauth.zpl --mechanism curve --domain global --address 10.1.2.3 --key keys/ann.key",
		Args: cobra.ExactArgs(0),
		RunE: does(func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return usagef("--config is missing")
			}
			asked := false
			for _, flag := range []string{"mechanism", "domain", "address", "key", "username", "principal"} {
				asked = asked || cmd.Flags().Changed(flag)
			}
			if !asked {
				return checkConfig(newOutput(cmd), config)
			}
			return checkClient(cmd, config, q)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.StringVar(&config, "config", "", "the policy")
	flags.StringVar(&q.mechanism, "mechanism", "", "null, plain, curve or gssapi")
	flags.StringVar(&q.domain, "domain", "", "the domain of the server's socket")
	flags.StringVar(&q.address, "address", "", "where the client comes from: an IP address, or localhost:UID:GID:PID for IPC")
	flags.StringVar(&q.key, "key", "", "of a CURVE client: its public key in Z85, or a certificate that has it")
	flags.StringVar(&q.username, "username", "", "of a PLAIN client")
	flags.StringVar(&q.principal, "principal", "", "of a GSSAPI client: name@REALM")
	mechanisms := []string{"null", "plain", "curve", "gssapi"}
	_ = cmd.RegisterFlagCompletionFunc("mechanism", cobra.FixedCompletions(mechanisms, cobra.ShellCompDirectiveNoFileComp))
	addJSON(cmd)
	return cmd
}

// checkConfig validates a policy and everything that it names.
func checkConfig(out output, config string) error {
	trial, err := newTrial(config)
	if err != nil {
		return err
	}
	defer trial.close()
	if err := errors.Join(trial.broken(), trial.config.LoadCertificates()); err != nil {
		return err
	}
	for _, warning := range trial.config.Warnings() {
		complain(warning.Err)
	}
	domains, frontends := trial.config.File.Domains, trial.config.File.Frontends
	if out.json {
		return out.printJSON(map[string]int{"domains": len(domains), "frontends": len(frontends)})
	}
	_, err = fmt.Fprintf(out.w, "%s: good, domains: %d, frontends: %d\n", config, len(domains), len(frontends))
	return err
}

// checkClient tells what is decided about one client.
func checkClient(cmd *cobra.Command, config string, q question) error {
	credentials, who, err := q.credentials(cmd)
	if err != nil {
		return err
	}
	trial, err := newTrial(config)
	if err != nil {
		return err
	}
	defer trial.close()
	if problems := trial.broken(); problems != nil {
		complain(problems)
	}
	decision := trial.decide(cmd.Context(), q.domain, q.address, strings.ToUpper(q.mechanism), credentials)
	report := newVerdictReport(decision)
	if rule, found := ruleFor(trial.config.File, decision, who); found {
		report.Rule = rule.String()
		report.Entry = findEntry(rule, who)
	}
	if err := report.print(newOutput(cmd)); err != nil {
		return err
	}
	if decision.Status != statusAccepted {
		return errNo
	}
	return nil
}

// credentials are the frames that libzmq would send for the client, and who it is.
func (q question) credentials(cmd *cobra.Command) (frames []string, who string, err error) {
	for _, flag := range []string{"mechanism", "domain", "address"} {
		if !cmd.Flags().Changed(flag) {
			return nil, "", usagef("--%s is missing", flag)
		}
	}
	if err := checkAddress(q.address); err != nil {
		return nil, "", err
	}
	mechanism := strings.ToLower(q.mechanism)
	wanted, known := map[string]string{"null": "", "plain": "username", "curve": "key", "gssapi": "principal"}[mechanism]
	if !known {
		return nil, "", usagef("--mechanism %q: none of null, plain, curve, gssapi", q.mechanism)
	}
	for _, flag := range []string{"key", "username", "principal"} {
		if cmd.Flags().Changed(flag) != (flag == wanted) {
			if flag == wanted {
				return nil, "", usagef("--%s is missing", flag)
			}
			return nil, "", usagef("--%s is not for the mechanism %s", flag, mechanism)
		}
	}
	switch mechanism {
	case "plain":
		password, err := readSecret(cmd.Context(), "Password of "+printable(q.username)+": ")
		return []string{q.username, password}, q.username, err
	case "curve":
		key, err := keyFrom(q.key)
		return []string{string(key[:])}, key.String(), err
	case "gssapi":
		return []string{q.principal}, q.principal, nil
	}
	return nil, "", nil
}

// checkAddress tells whether libzmq could say that of a client.
func checkAddress(address string) error {
	if _, err := netip.ParseAddr(address); err != nil && !ipcAddress.MatchString(address) {
		return usagef("--address %q: neither an IP address nor localhost:UID:GID:PID", address)
	}
	return nil
}

var ipcAddress = regexp.MustCompile(`^localhost:\d+:\d+:\d+$`)

const statusAccepted = 200 // RFC 27

// verdictReport is what check tells about a decision.
type verdictReport struct {
	Decision string `json:"decision"`
	Status   int    `json:"status"`
	Reason   string `json:"reason"`
	UserID   string `json:"user_id,omitempty"`
	Rule     string `json:"rule,omitempty"`  // FILE:LINE: what stands there
	Entry    string `json:"entry,omitempty"` // the file or line that the rule leads to
}

func newVerdictReport(d zmqauth.Decision) verdictReport {
	report := verdictReport{Decision: "refused", Status: d.Status, Reason: d.Reason, UserID: d.UserID}
	if d.Status == statusAccepted {
		report.Decision = "accepted"
	}
	return report
}

func (r verdictReport) print(out output) error {
	if out.json {
		return out.printJSON(r)
	}
	if r.Rule == "" {
		r.Rule = "none"
	}
	return out.pairs([2]string{"decision", r.Decision}, [2]string{"status", fmt.Sprint(r.Status)}, [2]string{"reason", r.Reason},
		[2]string{"user id", r.UserID}, [2]string{"rule", r.Rule}, [2]string{"entry", r.Entry})
}

// ruleFor is the policy's line that a decision goes back to. There is none for requests that were
// not judged by any.
func ruleFor(p *policyfile.Policy, d zmqauth.Decision, who string) (policyfile.Rule, bool) {
	switch d.Reason {
	case zmqauth.ReasonMalformed, zmqauth.ReasonStopped, zmqauth.ReasonUnknownMechanism,
		zmqauth.ReasonNotConfigured:
		return policyfile.Rule{}, false
	}
	return p.RuleFor(policyfile.Question{
		Domain: d.Domain, Mechanism: d.Mechanism, Address: d.Address, Principal: who,
		AddressDenied: d.Reason == zmqauth.ReasonAddressDenied,
	})
}

// findEntry names the certificate or the line of the password file that knows the client, "" where
// none does.
func findEntry(rule policyfile.Rule, who string) string {
	switch {
	case rule.Location == "" || rule.Location == zmqauth.CurveAllowAny:
		return ""
	case rule.Entry == policyfile.EntryPlain:
		content, _, err := readPasswords(rule.Location, false)
		if err != nil {
			return ""
		}
		if line := lineOf(content, who); line > 0 {
			return fmt.Sprintf("%s:%d", rule.Location, line)
		}
		return ""
	}
	certificates, err := readDirectory(rule.Location)
	if err != nil {
		return ""
	}
	at := slices.IndexFunc(certificates, func(c certificateInfo) bool { return c.Kind == kindPublic && c.Key == who })
	if at < 0 {
		return ""
	}
	return filepath.Join(rule.Location, certificates[at].File)
}
