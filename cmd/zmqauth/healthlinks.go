package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/zmqauth/zmqauth/internal/links"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// linkHealth says whether a link serves at one of its addresses, and can read its files.
type linkHealth struct {
	Kind    string `json:"kind"` // tls-serve, tls-connect or tunnel
	Name    string `json:"name"`
	Line    int    `json:"line"` // of the policy
	Listen  string `json:"listen,omitempty"`
	Healthy bool   `json:"healthy"`
	Error   string `json:"error,omitempty"`
}

// checkLinks checks the links of a policy, all at the same time. A tunnel that listens only at its
// gateway has nothing that can be seen from here but its files.
func checkLinks(ctx context.Context, policy *policyfile.Policy) (all []linkHealth, faults []error) {
	all = []linkHealth{} // an empty list in JSON
	type question struct {
		spec links.Spec
		at   *policyfile.Address
	}
	var questions []question
	for _, spec := range links.Of(policy) {
		ports := spec.Ports()
		for i := range ports {
			questions = append(questions, question{spec, &ports[i]})
		}
		if len(ports) == 0 {
			questions = append(questions, question{spec: spec})
		}
	}
	all = append(all, make([]linkHealth, len(questions))...)
	var work sync.WaitGroup
	for i, q := range questions {
		work.Go(func() { all[i] = checkLink(ctx, q.spec, q.at) })
	}
	work.Wait()
	for _, h := range all {
		if !h.Healthy {
			faults = append(faults, fmt.Errorf("%s %s: %s", h.Kind, h.Name, h.Error))
		}
	}
	return all, faults
}

// checkLink checks a link at one of its addresses; nil: it has none.
func checkLink(ctx context.Context, spec links.Spec, at *policyfile.Address) linkHealth {
	section := spec.Section()
	h := linkHealth{Kind: section.Kind, Name: section.Name, Line: section.Line}
	err := links.Check([]links.Spec{spec})
	if at != nil {
		h.Listen = at.String()
		if reached := links.Reach(ctx, spec, *at); reached != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", at, reached))
		}
	}
	if h.Healthy = err == nil; !h.Healthy {
		h.Error = strings.ReplaceAll(err.Error(), "\n", "; ")
	}
	return h
}
