package proxy

import (
	"strings"
	"sync/atomic"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// served is the frontends of the policy in force. Any goroutine may use it.
type served struct {
	frontends atomic.Pointer[[]policyfile.Frontend]
}

func (s *served) set(frontends []policyfile.Frontend) { s.frontends.Store(&frontends) }

// names are the names of the frontends that a session may be at: those with its domain and
// mechanism. A request does not say for which socket it is.
func (s *served) names(session zmqauth.Session) (names []string) {
	frontends := s.frontends.Load()
	if frontends == nil {
		return nil
	}
	for _, f := range *frontends {
		if f.Domain == session.Domain && strings.EqualFold(f.Mechanism, session.Mechanism) {
			names = append(names, f.Name)
		}
	}
	return names
}
