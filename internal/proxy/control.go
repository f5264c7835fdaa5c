package proxy

import (
	"context"
	"strings"
	"sync/atomic"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/admin"
	"github.com/zmqauth/zmqauth/internal/policyfile"
)

// listen opens the control socket.
func (p *proxy) listen(ctx context.Context, o Options, feed *admin.Feed) (*admin.Control, error) {
	ctx, cancel := context.WithTimeout(ctx, bindTime)
	defer cancel()
	control, err := admin.Listen(ctx, o.Control, admin.Config{
		Auth: p.auth, Feed: feed, Log: o.Log, Group: o.ControlGroup, Frontends: p.served.names,
	})
	if err != nil {
		return nil, err
	}
	o.Log.Info(MessageControl, "control", o.Control)
	return control, nil
}

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
