package policyfile

import "github.com/zmqauth/zmqauth/internal/zpl"

// parseFleet reads the entry of a fleet.
func (p *parser) parseFleet(n *zpl.Node) {
	if p.policy.Fleet != nil {
		p.fail(n.Line, "a second %s, the first is in line %d", n.Name, p.policy.Fleet.Line)
		return
	}
	p.policy.Fleet = &Entry{Text: n.Value, Line: n.Line}
	if n.Value == "" {
		p.fail(n.Line, "%s has no value: leave the line out, or write one", n.Name)
	}
	var unknown, window *Entry
	for _, child := range n.Children {
		switch child.Name {
		case EntryUnknown:
			p.parseOnce(&unknown, child)
		case EntryEnrolWindow:
			p.parseOnce(&window, child)
		default:
			p.unknown(child, "below a fleet", EntryUnknown, EntryEnrolWindow)
		}
	}
	p.policy.FleetPending, p.policy.FleetWindow = p.parsePending(unknown, window)
}

// checkFleet checks that the fleet has something to decide about.
func (p *parser) checkFleet() {
	if p.policy.Fleet != nil && len(p.policy.FleetDomains()) == 0 {
		p.fail(p.policy.Fleet.Line, "fleet: it decides about the domains of frontends that have no "+
			"section here, and there are none")
	}
}
