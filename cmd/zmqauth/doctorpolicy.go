package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/zmqauth/zmqauth/internal/doctor"
	"github.com/zmqauth/zmqauth/internal/endpoint"
	"github.com/zmqauth/zmqauth/internal/policyfile"
	"github.com/zmqauth/zmqauth/internal/proxy"
)

// The steps of doctor that a policy adds.
const (
	stepFrontend = "frontend" // the policy has one with that endpoint
	stepPolicy   = "policy"   // what it decides about the client
)

// consult says which frontend of a policy an endpoint belongs to, and what decides about the
// client. A policy is no proof of what the running proxy does: where the server has accepted the
// client nothing here is bad.
func (c *connection) consult(ctx context.Context, config string, at endpoint.Endpoint,
	mechanism string, report *doctor.Report) []doctor.Step {
	wrong := doctor.Bad
	if report.Well() {
		wrong = doctor.Note
	}
	trial, err := newTrial(config)
	if err != nil {
		return []doctor.Step{{Name: stepPolicy, Result: doctor.Bad,
			Seen: strings.ReplaceAll(strings.TrimPrefix(err.Error(), prefix), "\n", "; "),
			Try:  "zmqauth check --config FILE"}}
	}
	defer trial.close()
	f := frontendAt(trial.config.File, at)
	if f == nil {
		step := doctor.Step{Name: stepFrontend, Result: doctor.Note,
			Seen: fmt.Sprintf("%s has no frontend that binds %s", config, at),
			Try: "compare the endpoint with the entries bind of the policy, or ask with that " +
				"host's policy"}
		if len(trial.config.File.Frontends) == 0 {
			step.Seen = config + " has no frontends: the server itself says what its domain is"
			step.Try = "zmqauth check --config FILE --mechanism M --domain D --address A, with the " +
				"server's domain, says what is decided and by which line"
		}
		return []doctor.Step{step}
	}
	steps := []doctor.Step{{Name: stepFrontend, Result: doctor.Good, Seen: fmt.Sprintf(
		"%s:%d: frontend %s binds %s: mechanism %s, domain %s", config, f.Line, f.Name, f.Bind,
		f.Mechanism, f.Domain)}}
	if !strings.EqualFold(f.Mechanism, mechanism) {
		return steps // the step for the mechanism has said so, or it never came so far
	}
	if cert, err := proxy.LoadSecret(f.Certificate); mechanism == "CURVE" && err == nil &&
		cert.Secret.Public() != c.server {
		return append(steps, doctor.Step{Name: stepPolicy, Result: wrong,
			Seen: fmt.Sprintf("the key of that frontend is %v, and --server-key is %v",
				cert.Secret.Public(), c.server),
			Try: "--server-key " + cert.Secret.Public().String()})
	}
	address := clientAddress(at, report.Local)
	if mechanism == "GSSAPI" || address == "" {
		return steps // who the client is, or from where, is not known here
	}
	return append(steps, c.judge(ctx, trial, f.Domain, address, mechanism, wrong))
}

// judge is what a policy decides about the client.
func (c *connection) judge(ctx context.Context, t *trial, domain, address, mechanism string,
	wrong doctor.Result) doctor.Step {
	var credentials []string
	who := ""
	switch mechanism {
	case "CURVE":
		key := c.secret.Secret.Public()
		credentials, who = []string{string(key[:])}, key.String()
	case "PLAIN":
		credentials, who = []string{c.username, c.password}, c.username
	}
	if problems := t.broken(); problems != nil {
		printError(problems)
	}
	decision := t.decide(ctx, domain, address, mechanism, credentials)
	v := newVerdict(decision)
	if rule, found := ruleFor(t.config.File, decision, who); found {
		v.Rule = "by " + rule.String()
	} else {
		v.Rule = "by no line"
	}
	step := doctor.Step{Name: stepPolicy, Result: doctor.Good, Seen: fmt.Sprintf(
		"a client of the domain %s with the address %s would be %s (%s), %s", domain, address,
		v.Decision, v.Reason, v.Rule)}
	if decision.Status != statusAccepted {
		step.Result = wrong
		step.Try = "change what that line names, which the proxy follows; or the line itself, and " +
			"reload the proxy (SIGHUP)"
		if wrong == doctor.Note {
			step.Try = "reload the proxy: the server that runs has accepted this client"
		}
	}
	return step
}

// frontendAt is the frontend that binds an endpoint; nil: there is none. One with the same port of
// another address counts where none receives what is sent there: the policy may be of another host.
func frontendAt(p *policyfile.Policy, at endpoint.Endpoint) (found *policyfile.Frontend) {
	for i := range p.Frontends {
		f := &p.Frontends[i]
		bound, err := endpoint.ParseBind(f.Bind)
		switch {
		case err != nil: // it is behind a tls-serve
		case bound.Receives(at):
			return f
		case found == nil && bound.Key() == at.Key() && !at.Addr().IsLoopback() &&
			!bound.Addr().IsLoopback():
			found = f
		}
	}
	return found
}

// clientAddress is the client's address as the server sees it, unless there is another between
// them; "" where nothing has been reached.
func clientAddress(at endpoint.Endpoint, local net.Addr) string {
	switch own := local.(type) {
	case nil:
		return ""
	case *net.TCPAddr:
		return own.AddrPort().Addr().Unmap().String()
	}
	if at.Transport == endpoint.IPC {
		return fmt.Sprintf("localhost:%d:%d:%d", os.Geteuid(), os.Getegid(), os.Getpid())
	}
	return ""
}
