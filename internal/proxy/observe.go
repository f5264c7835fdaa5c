package proxy

import (
	"strings"
	"time"

	"github.com/zmqauth/zmqauth/admin"
)

// views adds to what is shown what the proxy knows.
func (p *proxy) views(v admin.Views) admin.Views {
	v.Program.Frontends, v.Program.Fronts = p.served.names, p.frontends.fronts.stats
	v.Program.Desk, v.Program.CertificatesOf = p.enrolment.desk, p.enrolment.certificatesOf
	if p.fleet != nil {
		v.Program.Followed, v.Program.Fleet = p.fleet.followed, p.fleet.member
	}
	return v
}

// fleetPatience is how old the last proof of being up to date may be. It is renewed every 5 s.
const fleetPatience = 15 * time.Second

// followed is what others see of the fleet's store.
func (m *membership) followed() []admin.Followed {
	s, now := m.member.Status(), time.Now()
	f := admin.Followed{Kind: "fleet", Path: strings.Join(m.file.Engines, " ")}
	if s.Fresh.IsZero() {
		f.Since = s.Since.UTC()
	} else if now.Sub(s.Fresh) > fleetPatience {
		f.Since = s.Fresh.UTC()
	}
	if f.Error = s.Trouble; f.Error == "" && !f.Since.IsZero() {
		f.Error = "no engine has proved that this is up to date"
	}
	return []admin.Followed{f}
}
