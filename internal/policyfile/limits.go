package policyfile

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/zmqauth/zmqauth/internal/acl"
	"github.com/zmqauth/zmqauth/internal/endpoint"
)

// Limits are what the strangers of a frontend may cost. The zero value of a field is no limit. The
// fields are those of zmqauth.Limits.
type Limits struct {
	MaxConns   int            // entry max-connections
	PerAddress int            // connections-per-address
	Rate       float64        // connection-rate, as connections a second
	Burst      int            // connection-burst; without the entry as many as the rate names
	Deadline   time.Duration  // handshake-deadline
	Penalty    time.Duration  // penalty
	Exempt     []netip.Prefix // exempt
}

// The entries of limits below a frontend.
const (
	EntryMaxConnections = "max-connections"
	EntryPerAddress     = "connections-per-address"
	EntryRate           = "connection-rate"
	EntryBurst          = "connection-burst"
	EntryDeadline       = "handshake-deadline"
	EntryPenalty        = "penalty"
	EntryExempt         = "exempt"
)

// maxDeadline is when the server role of a frontend ends a handshake in any case.
const maxDeadline = 10 * time.Second

// limitFields describes the entries of limits.
func (f *Frontend) limitFields() []field {
	entry := func(name string, set func(l *Limits, value string) error) field {
		return field{name, new(string), func(value string) error {
			if f.Limits == nil {
				f.Limits = new(Limits)
			}
			return set(f.Limits, value)
		}, false}
	}
	return []field{
		entry(EntryMaxConnections, func(l *Limits, v string) error { return setCount(&l.MaxConns)(v) }),
		entry(EntryPerAddress, func(l *Limits, v string) error { return setCount(&l.PerAddress)(v) }),
		entry(EntryRate, (*Limits).setRate),
		entry(EntryBurst, func(l *Limits, v string) error { return setCount(&l.Burst)(v) }),
		entry(EntryDeadline, (*Limits).setDeadline),
		entry(EntryPenalty, func(l *Limits, v string) error { return setTime(&l.Penalty)(v) }),
		entry(EntryExempt, (*Limits).setExempt),
	}
}

// setRate reads a number of connections in a second, a minute or an hour. As many may come at once,
// unless the entry connection-burst says otherwise.
func (l *Limits) setRate(value string) error {
	text, unit, _ := strings.Cut(value, "/")
	seconds := map[string]float64{"s": 1, "m": 60, "h": 3600}[unit]
	count, err := strconv.ParseUint(text, 10, 31)
	if err != nil || count == 0 || seconds == 0 {
		return errors.New("not a rate such as 10/s, 100/m or 1000/h")
	}
	l.Rate = float64(count) / seconds
	if l.Burst == 0 {
		l.Burst = int(count)
	}
	return nil
}

func (l *Limits) setDeadline(value string) error {
	if err := setTime(&l.Deadline)(value); err != nil {
		return err
	}
	if l.Deadline > maxDeadline {
		return fmt.Errorf("a handshake has %v in any case", maxDeadline)
	}
	return nil
}

func (l *Limits) setExempt(value string) (err error) {
	l.Exempt, err = parseNetworks(value)
	return err
}

// parseNetworks reads a list of networks, and of addresses.
func parseNetworks(value string) (networks []netip.Prefix, err error) {
	for _, item := range splitList(value) {
		network, err := acl.ParseNetwork(item)
		if err != nil {
			return nil, fmt.Errorf("%.40q: %w", item, err)
		}
		networks = append(networks, network)
	}
	if len(networks) == 0 {
		return nil, errors.New("it names nothing")
	}
	return networks, nil
}

// checkLimits checks that no limit stands there without effect.
func (p *parser) checkLimits(f *Frontend, lines map[string]int) {
	without := func(entry, reason string) {
		if lines[entry] != 0 {
			p.fail(lines[entry], "%s %s", entry, reason)
		}
	}
	if f.isIPC() {
		for _, entry := range []string{EntryPerAddress, EntryRate, EntryBurst, EntryPenalty,
			EntryExempt} {
			without(entry, "is for endpoints of TCP: the clients of others have no addresses")
		}
		if f.Front == nil {
			without(EntryDeadline, "is for endpoints of TCP, and for others with front = yes")
		}
		return
	}
	if f.Mechanism == "gssapi" && f.Front == nil {
		without(EntryDeadline, "is for the mechanism gssapi only with front = yes")
		without(EntryPenalty, "is for the mechanism gssapi only with front = yes")
	}
	if lines[EntryRate] == 0 {
		without(EntryBurst, "needs a "+EntryRate)
	}
	if lines[EntryPerAddress]+lines[EntryRate]+lines[EntryDeadline]+lines[EntryPenalty] == 0 {
		without(EntryExempt, "has no limit from which it could exempt")
	}
}

// isIPC tells whether clients come by a Unix socket, and have no address.
func (f *Frontend) isIPC() bool {
	bind, err := endpoint.ParseBind(f.Bind)
	return f.TLS != "" || err == nil && bind.Transport == endpoint.IPC
}

// String is the limits as entries of a policy, in one line. It is empty where there are none.
func (l *Limits) String() string {
	if l == nil {
		return ""
	}
	var entries []string
	add := func(set bool, entry string, value any) {
		if set {
			entries = append(entries, fmt.Sprint(entry, " ", value))
		}
	}
	add(l.MaxConns > 0, EntryMaxConnections, l.MaxConns)
	add(l.PerAddress > 0, EntryPerAddress, l.PerAddress)
	add(l.Rate > 0, EntryRate, l.rate())
	add(l.Burst > 0, EntryBurst, l.Burst)
	add(l.Deadline > 0, EntryDeadline, l.Deadline)
	add(l.Penalty > 0, EntryPenalty, l.Penalty)
	var networks []string
	for _, network := range l.Exempt {
		networks = append(networks, network.String())
	}
	add(networks != nil, EntryExempt, strings.Join(networks, " "))
	return strings.Join(entries, ", ")
}

// rate is the rate in the unit in which it is a whole number.
func (l *Limits) rate() string {
	for _, unit := range []struct {
		name    string
		seconds float64
	}{{"s", 1}, {"m", 60}} {
		count := l.Rate * unit.seconds
		if rounded := math.Round(count); math.Abs(count-rounded) < rounded/1e9 {
			return fmt.Sprintf("%.0f/%s", count, unit.name)
		}
	}
	return fmt.Sprintf("%.0f/h", l.Rate*3600)
}
