package admin

import (
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/zmqauth/zmqauth"
)

// collector shows an Authenticator to Prometheus. It keeps nothing: each collection reads what the
// Authenticator has counted.
type collector struct {
	auth *zmqauth.Authenticator
	p    Program
}

// The metrics. Their labels have the values of the configuration and constants of zmqauth, and
// nothing that a client sends.
var (
	descDecisions = describe("decisions_total",
		"Decisions by the domain that is configured, mechanism, ZAP status and reason.",
		"domain", "mechanism", "status", "reason")
	descDurations = describe("decision_duration_seconds",
		"Time from the arrival of a request until the decision.", "mechanism")
	descRequests = describe("requests_total", "Authentication requests that were received.")
	descPending  = describe("requests_pending", "Authentication requests that are not answered yet.")
	descSessions = describe("sessions", "Open sessions of guarded sockets.", "domain")
	descRunning  = describe("queue_running", "Callbacks and password hashes that run.", "queue")
	descWaiting  = describe("queue_waiting",
		"Requests that wait for a callback, a password hash or the end of a delay.", "queue")
	descTurned = describe("connections_turned_away_total", "Connections that limits have ended.")
	descBroken = describe("broken_entries_total",
		"Entries of followed files and directories that were broken and left out.")
	descUnreported = describe("unreported_total",
		"Decisions and log lines that a backlog had no room for.")
	descChanged = describe("followed_changed_timestamp_seconds",
		"When a change of what is followed was put in force last.", "kind", "domain", "path")
	descAge = describe("followed_age_seconds",
		"How long what is followed could not be used; 0 while it can.", "kind", "domain", "path")
	descAlive   = describe("up", "1 while requests are judged, 0 while everyone is refused.")
	descReloads = describe("reloads_total", "Reloads of the configuration.", "result")
	descGood    = describe("config_timestamp_seconds", "When a configuration was put in force last.")
	descCurrent = describe("config_current",
		"1 if the last reload has put the configuration in force, 0 if something was wrong with it.")
	descFleetAge = describe("fleet_age_seconds",
		"Time since the last proof of being up to date with the fleet.")
	descFleetFresh = describe("fleet_fresh",
		"1 while the fleet's news are fresh, 0 from half of the time on after which nobody new gets in.")
	descFleetClosed = describe("fleet_closed",
		"1 while nobody new gets in to the fleet's domains, because its news are too old.")
	descFleetEntries  = describe("fleet_entries", "Entries of the fleet that let clients in.", "kind")
	descFleetRevision = describe("fleet_revision", "The last change of the fleet that was applied.")
	descBuild         = describe("build_info", "1, with the version of the program.", "version")
)

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("zmqauth_"+name, help, labels, nil)
}

// Collector makes a Prometheus collector of an Authenticator, for a program to register. It may be
// registered at any time: what it shows was counted since zmqauth.New. A collection reads counters,
// and delays no decision. more is what the program has besides; nil: nothing.
//
// All series of an Authenticator have the same names. A program with several registers each with
// labels of its own, by prometheus.WrapRegistererWith.
func Collector(auth *zmqauth.Authenticator, more *Program) prometheus.Collector {
	c := &collector{auth: auth}
	if more != nil {
		c.p = *more
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descDecisions, descDurations, descRequests, descPending,
		descSessions, descRunning, descWaiting, descTurned, descBroken, descUnreported, descChanged,
		descAge, descAlive} {
		out <- d
	}
	if c.p.Reloads != nil {
		out <- descReloads
		out <- descGood
		out <- descCurrent
	}
	if c.p.Fleet != nil {
		for _, d := range []*prometheus.Desc{descFleetAge, descFleetFresh, descFleetClosed,
			descFleetEntries, descFleetRevision} {
			out <- d
		}
	}
	if c.p.Fronts != nil {
		for _, d := range frontDescs {
			out <- d
		}
	}
	if c.p.Version != "" {
		out <- descBuild
	}
}

// sink makes metrics.
type sink chan<- prometheus.Metric

func (s sink) counter(d *prometheus.Desc, value uint64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), valid(labels)...)
}

func (s sink) gauge(d *prometheus.Desc, value float64, labels ...string) {
	s <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, valid(labels)...)
}

// valid are labels as Prometheus takes them.
func valid(labels []string) []string {
	for i, label := range labels {
		labels[i] = strings.ToValidUTF8(label, "\ufffd")
	}
	return labels
}

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

func one(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	s, stats, state := sink(out), c.auth.Stats(), c.auth.Observe()
	for _, d := range state.Decisions.Counts() {
		s.counter(descDecisions, d.Count, d.Domain, d.Mechanism, strconv.Itoa(d.Status), d.Reason)
	}
	for _, d := range state.Decisions.Durations() {
		out <- prometheus.MustNewConstHistogram(descDurations, d.Count, d.Sum.Seconds(), d.Buckets,
			d.Mechanism)
	}
	s.counter(descRequests, stats.Requests)
	s.gauge(descPending, float64(stats.Pending))
	for domain, count := range state.Sessions {
		s.gauge(descSessions, float64(count), domain)
	}
	for _, q := range state.Queues {
		s.gauge(descRunning, float64(q.Running), q.Name)
		s.gauge(descWaiting, float64(q.Waiting), q.Name)
	}
	s.counter(descTurned, stats.TurnedAway)
	s.counter(descBroken, stats.BrokenEntries)
	s.counter(descUnreported, stats.Unreported)
	s.gauge(descAlive, one(c.auth.IsAlive()))
	c.collectProgram(s)
}

func (c *collector) collectProgram(s sink) {
	now := time.Now()
	type place struct{ kind, domain, path string }
	seen := make(map[place]bool)
	for _, f := range c.p.followed(c.auth) {
		at := place{f.Kind, f.Domain, strings.ToValidUTF8(f.Path, "\ufffd")}
		if seen[at] {
			continue
		}
		seen[at] = true
		if !f.Changed.IsZero() {
			s.gauge(descChanged, seconds(f.Changed), at.kind, at.domain, at.path)
		}
		s.gauge(descAge, f.age(now).Seconds(), at.kind, at.domain, at.path)
	}
	if c.p.Reloads != nil {
		r := c.p.Reloads.Status()
		s.counter(descReloads, r.OK, ReloadOK)
		s.counter(descReloads, r.Partly, ReloadPartly)
		s.counter(descReloads, r.Failed, ReloadFailed)
		if !r.Good.IsZero() {
			s.gauge(descGood, seconds(r.Good))
		}
		s.gauge(descCurrent, one(r.Last == "" || r.Last == ReloadOK))
	}
	if f := c.p.membership(); f != nil {
		f.collect(s)
	}
	c.p.collectFronts(s)
	if c.p.Version != "" {
		s.gauge(descBuild, 1, c.p.Version)
	}
}
