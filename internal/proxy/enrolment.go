package proxy

import (
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/enrol"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// enrolment has clients with unknown keys wait, where the policy says so.
type enrolment struct {
	desk   *enrol.Desk
	policy atomic.Pointer[policyfile.Policy] // in force; nil: none yet
	ends   map[string]time.Time              // of the windows; the goroutine's of the proxy
}

func newEnrolment() *enrolment { return &enrolment{desk: enrol.New(enrol.Options{})} }

// follow does what a policy says that has come into force. A window that the policy before had as
// well is not opened again.
func (e *enrolment) follow(p *policyfile.Policy) {
	before, ends := e.policy.Load(), make(map[string]time.Time)
	for i := range p.Domains {
		d := &p.Domains[i]
		if d.Curve == nil && !d.Pending { // the keys are those of "*"
			continue
		}
		ends[d.Name] = time.Now() // closed
		if !d.Pending {
			continue
		}
		was := before.Domain(d.Name)
		end, known := e.ends[d.Name]
		switch {
		case d.EnrolWindow == 0:
			ends[d.Name] = time.Time{}
		case known && was != nil && was.Pending && was.EnrolWindow == d.EnrolWindow:
			ends[d.Name] = end
		default:
			ends[d.Name] = time.Now().Add(d.EnrolWindow)
		}
	}
	e.ends = ends
	e.policy.Store(p)
	e.desk.SetOpen(ends)
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
