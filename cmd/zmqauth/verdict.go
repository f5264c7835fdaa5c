package main

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// verdict is what check shows of a decision.
type verdict struct {
	Decision string `json:"decision"` // "accepted" or "refused"
	Status   int    `json:"status"`
	Reason   string `json:"reason"`
	UserID   string `json:"user_id,omitempty"`
	Rule     string `json:"rule,omitempty"`  // FILE:LINE: TEXT
	Entry    string `json:"entry,omitempty"` // the certificate or password line of the client

	Warnings []warningInfo `json:"warnings,omitempty"` // about the question
}

// statusAccepted is the status of an acceptance (RFC 27).
const statusAccepted = 200

func newVerdict(d zmqauth.Decision) verdict {
	v := verdict{Decision: "refused", Status: d.Status, Reason: d.Reason, UserID: d.UserID}
	if d.Status == statusAccepted {
		v.Decision = "accepted"
	}
	return v
}

func (v verdict) print(out output) error {
	if out.json {
		return out.printJSON(v)
	}
	if v.Rule == "" {
		v.Rule = "none"
	}
	return out.pairs([][2]string{
		{"decision", v.Decision},
		{"status", fmt.Sprint(v.Status)},
		{"reason", v.Reason},
		{"user id", v.UserID},
		{"rule", v.Rule},
		{"entry", v.Entry},
	}...)
}

// ruleFor returns the line of the policy that has made a decision. Some requests are refused
// without any rule.
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

// findEntry returns the path of the client's certificate, or its line in the password file. It is
// "" if there is none.
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
	at := slices.IndexFunc(certificates, func(c certificateInfo) bool {
		return c.Kind == kindPublic && c.Key == who
	})
	if at < 0 {
		return ""
	}
	return filepath.Join(rule.Location, certificates[at].File)
}
