package main

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/proxy"
)

// question describes the client that check asks about.
type question struct {
	mechanism, domain, address string
	key, username, principal   string
}

func newCheck() *cobra.Command {
	var config string
	var strict bool
	var q question
	cmd := &cobra.Command{
		Use: "check --config FILE [--strict] [--mechanism M --domain D --address A " +
			"[--key K | --username U | --principal P]]",
		Short: "Check a policy, or show what it decides about a client and by which rule",
		Long: "check reads a policy and all files that it names, and reports their faults. It\n" +
			"warns of frontends that let everybody or nobody in. With --strict a warning is a fault.\n\n" +
			"Given the mechanism, domain and address of a client, and its key, user name or principal,\n" +
			"it shows the decision about that client and the line of the policy that makes it. The\n" +
			"exit code is 0 if the client would be accepted, else 1. A decision is printed on stdout, an\n" +
			"error is not: that tells a refusal from an error. check warns if the policy does not name\n" +
			"the domain. It judges the domain, and not a frontend. It asks for the password of a user on\n" +
			"the terminal, or reads it from stdin. It uses no network.",
		Example: "  zmqauth check --config zmqauth.zpl\n" +
			"  zmqauth check --config zmqauth.zpl --mechanism curve --domain global " +
			"--address 10.1.2.3 --key keys/ann.key",
		Args: cobra.ExactArgs(0),
		RunE: action(func(cmd *cobra.Command, _ []string) error {
			if config == "" {
				return usagef("--config is missing")
			}
			if !slices.ContainsFunc(questionFlags, cmd.Flags().Changed) {
				return checkConfig(newOutput(cmd), config, strict)
			}
			return checkClient(cmd, config, q, strict)
		}),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	flags := cmd.Flags()
	flags.StringVar(&config, "config", "", "the policy")
	flags.BoolVar(&strict, "strict", false, "fail if there are warnings")
	flags.StringVar(&q.mechanism, "mechanism", "", "null, plain, curve or gssapi")
	flags.StringVar(&q.domain, "domain", "", "the domain of the server's socket")
	flags.StringVar(&q.address, "address", "",
		"the client's address: an IP address, or localhost:UID:GID:PID for IPC")
	flags.StringVar(&q.key, "key", "",
		"a CURVE client's public key "+keyForms+", or a certificate that has it")
	flags.StringVar(&q.username, "username", "", "a PLAIN client's user name")
	flags.StringVar(&q.principal, "principal", "", "a GSSAPI client's principal: name@REALM")
	completeFlag(cmd, "mechanism", "null", "plain", "curve", "gssapi")
	addJSON(cmd)
	return cmd
}

// questionFlags are the flags that describe a client.
var questionFlags = []string{"mechanism", "domain", "address", "key", "username", "principal"}

// warningInfo is what check shows of a warning.
type warningInfo struct {
	Line int    `json:"line,omitempty"` // of the policy; 0: of none
	Text string `json:"text"`
}

// checkConfig checks a policy and all files that it names. With strict a warning is an error.
func checkConfig(out output, config string, strict bool) error {
	trial, err := newTrial(config)
	if err != nil {
		return err
	}
	defer trial.close()
	if err := errors.Join(trial.broken(), trial.config.Resolve()); err != nil {
		return err
	}
	warnings := trial.config.Warnings()
	domains, frontends := len(trial.config.File.Domains), len(trial.config.File.Frontends)
	linked := len(links.Of(trial.config.File))
	limited := describeLimits(trial.config.File.Frontends)
	var failed error
	if strict && len(warnings) > 0 {
		failed = fmt.Errorf("%s: warnings: %d", config, len(warnings))
	}
	if out.json {
		return errors.Join(out.printJSON(struct {
			Domains   int           `json:"domains"`
			Frontends int           `json:"frontends"`
			Links     int           `json:"links"`
			Limits    []limitsInfo  `json:"limits,omitempty"`
			Warnings  []warningInfo `json:"warnings"`
		}{domains, frontends, linked, limited, describeWarnings(warnings)}), failed)
	}
	for _, warning := range warnings {
		printError(warning.Err)
	}
	if failed != nil {
		return failed
	}
	counts := fmt.Sprintf("domains: %d, frontends: %d", domains, frontends)
	if linked > 0 {
		counts += fmt.Sprintf(", links: %d", linked)
	}
	_, err = fmt.Fprintf(out.w, "%s: good, %s\n", config, counts)
	for _, l := range limited {
		text := strings.Join(slices.DeleteFunc([]string{l.Front, l.Limits}, isEmpty), ", ")
		_, failed := fmt.Fprintf(out.w, "%s: %s\n", printable(l.Frontend), text)
		err = errors.Join(err, failed)
	}
	return err
}

// limitsInfo is what check shows of the front and the limits of a frontend.
type limitsInfo struct {
	Frontend string `json:"frontend"`
	Front    string `json:"front,omitempty"`
	Limits   string `json:"limits"` // as entries of the policy, with commas between them
}

// describeLimits describes the frontends that have a front or limits.
func describeLimits(frontends []policyfile.Frontend) (infos []limitsInfo) {
	for _, f := range frontends {
		info := limitsInfo{f.Name, f.Front.String(), f.Limits.String()}
		if info.Front+info.Limits != "" {
			infos = append(infos, info)
		}
	}
	return infos
}

func isEmpty(text string) bool { return text == "" }

func describeWarnings(warnings []proxy.Warning) []warningInfo {
	infos := []warningInfo{} // no warnings are an empty list in JSON
	for _, warning := range warnings {
		info := warningInfo{Text: warning.Err.Error()}
		if located, ok := errors.AsType[*zmqauth.FileError](warning.Err); ok {
			info = warningInfo{located.Line, strings.TrimPrefix(located.Err.Error(), "warning: ")}
		}
		infos = append(infos, info)
	}
	return infos
}

// checkClient shows the decision about one client. With strict a warning, or a fault in a file, is
// an error.
func checkClient(cmd *cobra.Command, config string, q question, strict bool) error {
	credentials, who, err := q.credentials(cmd)
	if err != nil {
		return err
	}
	trial, err := newTrial(config)
	if err != nil {
		return err
	}
	defer trial.close()
	problems := trial.broken()
	if problems != nil {
		printError(problems)
	}
	mechanism := strings.ToUpper(q.mechanism)
	decision := trial.decide(cmd.Context(), q.domain, q.address, mechanism, credentials)
	verdict := newVerdict(decision)
	if rule, found := ruleFor(trial.config.File, decision, who); found {
		verdict.Rule = rule.String()
		verdict.Entry = findEntry(rule, who)
	}
	out := newOutput(cmd)
	if warning := trial.config.DomainWarning(q.domain); warning != nil {
		verdict.Warnings = describeWarnings([]proxy.Warning{{Err: warning}})
		if !out.json {
			printError(warning)
		}
	}
	if err := verdict.print(out); err != nil {
		return err
	}
	if decision.Status != statusAccepted || strict && (problems != nil || verdict.Warnings != nil) {
		return errNo
	}
	return nil
}

// credentials returns the credential frames that libzmq would send for the client. who is the
// client's user name, key or principal.
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
	if err := q.checkFlags(cmd, mechanism); err != nil {
		return nil, "", err
	}
	switch mechanism {
	case "plain":
		password, err := readSecret(cmd.Context(), "Password of "+printable(q.username)+": ")
		return []string{q.username, password}, q.username, err
	case "curve":
		key, err := publicKeyFrom("key", q.key)
		return []string{string(key[:])}, key.String(), err
	case "gssapi":
		return []string{q.principal}, q.principal, nil
	}
	return nil, "", nil
}

// checkFlags checks that the mechanism is known and that the flag for its credentials is the only
// one given.
func (q question) checkFlags(cmd *cobra.Command, mechanism string) error {
	flags := map[string]string{"null": "", "plain": "username", "curve": "key", "gssapi": "principal"}
	wanted, known := flags[mechanism]
	if !known {
		return usagef("--mechanism %q: none of null, plain, curve, gssapi", q.mechanism)
	}
	for _, flag := range []string{"key", "username", "principal"} {
		if cmd.Flags().Changed(flag) != (flag == wanted) {
			if flag == wanted {
				return usagef("--%s is missing", flag)
			}
			return usagef("--%s is not for the mechanism %s", flag, mechanism)
		}
	}
	return nil
}

// checkAddress checks that libzmq could report an address.
func checkAddress(address string) error {
	if _, err := netip.ParseAddr(address); err != nil && !ipcAddress.MatchString(address) {
		return usagef("--address %q: neither an IP address nor localhost:UID:GID:PID", address)
	}
	return nil
}

var ipcAddress = regexp.MustCompile(`^localhost:\d+:\d+:\d+$`)
