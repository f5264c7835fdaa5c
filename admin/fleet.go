package admin

import "github.com/zmqauth/zmqauth/fleet"

// Fleet is how a member of a fleet stands, in JSON.
type Fleet struct {
	fleet.Status
	Age     float64 `json:"age_seconds"`       // of the last proof that it is up to date; 0: none
	Problem string  `json:"problem,omitempty"` // what fleet.Member.Health says
}

const (
	errStale   = reason("the fleet's news are too old: nobody new gets in to its domains")
	warnsStale = "the fleet's news are old: soon nobody new gets in to its domains"
)

// membership is how the program stands in its fleet; nil: there is none.
func (p *Program) membership() *Fleet {
	if p.Fleet == nil {
		return nil
	}
	f := new(Fleet)
	if err := p.Fleet.Health(); err != nil { // judges the age, so it is first
		f.Problem = err.Error()
	}
	f.Status = p.Fleet.Status()
	if age, ok := p.Fleet.Age(); ok {
		f.Age = age.Seconds()
	}
	return f
}

// ready tells that nobody new gets in. warning is that this is to come.
func (f *Fleet) ready() (warning string, err error) {
	switch {
	case f == nil:
		return "", nil
	case f.Suspended:
		return "", errStale
	case f.Problem != "":
		return warnsStale, nil
	}
	return "", nil
}

// collect makes the metrics of a membership.
func (f *Fleet) collect(s sink) {
	if !f.Fresh.IsZero() {
		s.gauge(descFleetAge, f.Age)
	}
	s.gauge(descFleetFresh, one(f.Problem == ""))
	s.gauge(descFleetClosed, one(f.Suspended))
	s.gauge(descFleetEntries, float64(f.Keys), "key")
	s.gauge(descFleetEntries, float64(f.Users), "user")
	s.gauge(descFleetEntries, float64(f.Principals), "principal")
	s.gauge(descFleetRevision, float64(f.Position.Revision))
}
