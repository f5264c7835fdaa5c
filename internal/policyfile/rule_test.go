package policyfile

import (
	"fmt"
	"testing"
)

func TestRuleFor(t *testing.T) {
	p := mustParse(t, `domain = *
    deny = 9.9.9.9, 10.0.0.0/8
    plain = passwords
    gssapi = host/*@R
domain = a
    allow = 1.1.1.0/24
    allow = 2.2.2.2
    curve = certificates
    gssapi = ann@R
domain = b
    curve = "*"
domain = k
    gssapi = "*"
`)
	const here = "2.2.2.2"
	tests := map[string]struct {
		question       Question
		line           int
		text, location string // no text: no rule
	}{
		"a general address": {Question{"a", "NULL", "9.9.9.9", "", true}, 2, "deny 9.9.9.9", ""},
		"a general network": {Question{"b", "NULL", "10.1.1.1", "", true}, 2, "deny 10.0.0.0/8", ""},
		"none of a list": {Question{"a", "NULL", "3.3.3.3", "", true}, 6,
			"allow: none of 1.1.1.0/24 2.2.2.2", ""},
		"no address": {Question{"a", "NULL", "nowhere", "", true}, 2,
			"no address that can be read, where there are rules", ""},
		"an allowed address": {Question{"a", "NULL", here, "", false}, 7, "allow 2.2.2.2", ""},
		"no rule for it":     {Question{"b", "NULL", here, "", false}, 0, "", ""},
		"a general user": {Question{"a", "PLAIN", here, "", false}, 3,
			"plain passwords", "/etc/passwords"},
		"a key": {Question{"a", "CURVE", here, "", false}, 8,
			"curve certificates", "/etc/certificates"},
		"any key":     {Question{"b", "CURVE", here, "", false}, 11, "curve *", AnyKey},
		"no keys":     {Question{"c", "CURVE", here, "", false}, 0, "", ""},
		"a principal": {Question{"a", "GSSAPI", here, "ann@R", false}, 9, "gssapi ann@R", ""},
		"a general principal": {Question{"b", "GSSAPI", here, "host/x@R", false}, 4,
			"gssapi host/*@R", ""},
		"none of principals": {Question{"a", "GSSAPI", here, "host/x@R", false}, 9,
			"gssapi: none of ann@R", ""},
		"any principal":     {Question{"k", "GSSAPI", here, "host/x@S", false}, 13, "gssapi *", ""},
		"another mechanism": {Question{"a", "NONE", here, "", false}, 0, "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			rule, found := p.RuleFor(test.question)
			if found != (test.text != "") || rule.Text != test.text || rule.Line != test.line ||
				rule.Location != test.location {
				t.Errorf("%+v, want %s in line %d", rule, test.text, test.line)
			}
			want := fmt.Sprintf("/etc/policy.zpl:%d: %s", test.line, test.text)
			if found && rule.String() != want {
				t.Errorf("%v, want %s", rule, want)
			}
		})
	}
}
