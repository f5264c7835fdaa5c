package proxy

import (
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/enrol"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// enrolment has clients with unknown keys wait, where the policy says so.
type enrolment struct {
	desk    *enrol.Desk
	noticed func(enrol.Request)               // is told of each key that begins to wait; nil: nobody
	policy  atomic.Pointer[policyfile.Policy] // in force; nil: none yet
	ends    map[string]time.Time              // of the windows; the goroutine's of the proxy
}

func newEnrolment() *enrolment {
	e := new(enrolment)
	e.desk = enrol.New(enrol.Options{OnNew: func(r enrol.Request) {
		if e.noticed != nil {
			e.noticed(r)
		}
	}})
	return e
}

// follow does what a policy says that has come into force. A window that the policy before had as
// well is not opened again.
func (e *enrolment) follow(p *policyfile.Policy) {
	ends := make(map[string]time.Time)
	before := e.policy.Load()
	for i := range p.Domains {
		d := &p.Domains[i]
		if d.Curve == nil && !d.Pending { // the keys are those of "*"
			continue
		}
		was := before.Domain(d.Name)
		same := was != nil && was.Pending && was.EnrolWindow == d.EnrolWindow
		ends[d.Name] = e.end(d.Name, d.Pending, d.EnrolWindow, same)
	}
	same := before != nil && before.FleetPending && before.FleetWindow == p.FleetWindow
	for _, domain := range p.FleetDomains() {
		ends[domain] = e.end(domain, p.FleetPending, p.FleetWindow, same)
	}
	e.ends = ends
	e.policy.Store(p)
	e.desk.SetOpen(ends)
}

// end is until when unknown keys of a domain wait: the zero time for ever. same says that they did
// by the policy before.
func (e *enrolment) end(domain string, pending bool, window time.Duration, same bool) time.Time {
	end, known := e.ends[domain]
	switch {
	case !pending:
		return time.Now() // over
	case window == 0:
		return time.Time{}
	case known && same:
		return end
	default:
		return time.Now().Add(window)
	}
}

// certificatesOf is the directory with the certificates of a domain's clients, "" where there is
// none.
func (e *enrolment) certificatesOf(domain string) string {
	p := e.policy.Load()
	for _, name := range []string{domain, policyfile.AnyDomain} {
		d := p.Domain(name)
		if d == nil || d.Curve == nil {
			continue
		}
		if d.Curve.Text == policyfile.AnyKey {
			return ""
		}
		return p.Resolve(d.Curve.Text)
	}
	return ""
}
