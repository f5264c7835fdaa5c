package admin

import (
	"maps"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// The metrics of the Fronts. Their labels are names of frontends and constants of package front.
var (
	descFrontOpen     = describe("front_connections", "Open connections of a front.", "frontend")
	descFrontAccepted = describe("front_connections_total",
		"Connections that a front has accepted, with those refused.", "frontend")
	descFrontRefused = describe("front_refused_total",
		"Connections that a front has refused before libzmq saw them.", "frontend", "reason")
	descFrontDropped = describe("front_dropped_packets_total",
		"Packets from denied networks that the kernel has dropped in floods, about.", "frontend")
	descFrontBytes = describe("front_bytes_total",
		"Bytes that a front has passed on, from clients (in) and to clients (out).",
		"frontend", "direction")
)

var frontDescs = []*prometheus.Desc{descFrontOpen, descFrontAccepted, descFrontRefused,
	descFrontDropped, descFrontBytes}

// collectFronts makes the metrics of the Fronts.
func (p *Program) collectFronts(s sink) {
	if p.Fronts == nil {
		return
	}
	all := p.Fronts()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		f := all[name]
		s.gauge(descFrontOpen, float64(f.Open), name)
		s.counter(descFrontAccepted, f.Accepted, name)
		for reason, count := range f.Reasons {
			s.counter(descFrontRefused, count, name, reason)
		}
		s.counter(descFrontDropped, f.Dropped, name)
		s.counter(descFrontBytes, f.Received, name, "in")
		s.counter(descFrontBytes, f.Sent, name, "out")
	}
}
