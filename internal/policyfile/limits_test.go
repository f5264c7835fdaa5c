package policyfile

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// limited is a policy of one frontend with more entries, the first of them in line 7.
func limited(mechanism, bind string, entries ...string) string {
	text := "frontend = f\n    type = pull\n    bind = " + bind +
		"\n    backend = tcp://127.0.0.1:2\n    mechanism = " + mechanism + "\n    domain = a\n"
	for _, entry := range entries {
		text += "    " + entry + "\n"
	}
	return text
}

func TestLimits(t *testing.T) {
	for name, test := range map[string]struct {
		entries []string
		want    *Limits
		text    string
	}{
		"none": {},
		"all": {
			[]string{"max-connections = 1000", "connections-per-address = 20", "connection-burst = 7",
				"connection-rate = 10/s", "handshake-deadline = 2s", "penalty = 500ms",
				"exempt = 10.1.2.3/8, ::1 ::ffff:192.0.2.1"},
			&Limits{MaxConns: 1000, PerAddress: 20, Rate: 10, Burst: 7, Deadline: 2 * time.Second,
				Penalty: 500 * time.Millisecond, Exempt: []netip.Prefix{
					netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128"),
					netip.MustParsePrefix("192.0.2.1/32")}},
			"max-connections 1000, connections-per-address 20, connection-rate 10/s, " +
				"connection-burst 7, handshake-deadline 2s, penalty 500ms, " +
				"exempt 10.0.0.0/8 ::1/128 192.0.2.1/32",
		},
		"a rate a minute": {
			[]string{"connection-rate = 100/m"}, &Limits{Rate: 100.0 / 60, Burst: 100},
			"connection-rate 100/m, connection-burst 100",
		},
		"a rate an hour": {
			[]string{"connection-rate = 7/h", "connection-burst = 1"},
			&Limits{Rate: 7.0 / 3600, Burst: 1}, "connection-rate 7/h, connection-burst 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := mustParse(t, limited("null", "tcp://*:1", test.entries...)).Frontends[0]
			if !reflect.DeepEqual(f.Limits, test.want) || f.Limits.String() != test.text {
				t.Errorf("%+v is %q\nwant %+v, %q", f.Limits, f.Limits, test.want, test.text)
			}
		})
	}
}

func TestLimitErrors(t *testing.T) {
	const tcp, ipc = "tcp://*:1", "ipc:///run/a"
	for name, test := range map[string]struct {
		text string
		want string // after the file's name
	}{
		"no connections": {limited("null", tcp, "max-connections = 0"),
			`:7: max-connections "0": not a number, from 1 on`},
		"a rate without a unit": {limited("null", tcp, "connection-rate = 10"),
			`:7: connection-rate "10": not a rate such as 10/s, 100/m or 1000/h`},
		"another unit":      {limited("null", tcp, "connection-rate = 10/d"), "not a rate such as"},
		"a rate of nothing": {limited("null", tcp, "connection-rate = 0/s"), "not a rate such as"},
		"a negative rate":   {limited("null", tcp, "connection-rate = -1/s"), "not a rate such as"},
		"a burst alone": {limited("null", tcp, "connection-burst = 2"),
			":7: connection-burst needs a connection-rate"},
		"a long deadline": {limited("null", tcp, "handshake-deadline = 11s"),
			`:7: handshake-deadline "11s": a handshake has 10s in any case`},
		"a deadline that is no time": {limited("null", tcp, "handshake-deadline = 2"),
			`:7: handshake-deadline "2": not a time such as 30s`},
		"no penalty": {limited("null", tcp, "penalty = 0s"), `:7: penalty "0s": not a time`},
		"no network": {limited("null", tcp, "penalty = 1s", "exempt = 10.0.0.0/8 ipc"),
			`:8: exempt "10.0.0.0/8 ipc": "ipc": not an IPv4 or IPv6 address or a network`},
		"an exemption from nothing": {limited("null", tcp, "max-connections = 9", "exempt = ::1"),
			":8: exempt has no limit from which it could exempt"},
		"an empty exemption": {limited("null", tcp, "penalty = 1s", "exempt = ,"),
			`:8: exempt ",": it names nothing`},
		"twice": {limited("null", tcp, "penalty = 1s", "penalty = 2s"),
			":8: a second penalty, the first is in line 7"},
		"an address of IPC": {limited("null", ipc, "max-connections = 2", "connection-rate = 1/s"),
			":8: connection-rate is for endpoints of TCP: the clients of others have no addresses"},
		"a penalty of IPC": {limited("null", ipc, "penalty = 1s"), ":7: penalty is for"},
		"a deadline of IPC": {limited("null", ipc, "handshake-deadline = 1s"),
			":7: handshake-deadline is for endpoints of TCP, and for others with front = yes"},
		"a penalty of IPC with a front": {limited("null", ipc, "front = yes", "penalty = 1s"),
			":8: penalty is for endpoints of TCP"},
		"a deadline of GSSAPI": {limited("gssapi", tcp, "handshake-deadline = 1s", "front = no"),
			":7: handshake-deadline is for the mechanism gssapi only with front = yes"},
		"a penalty of GSSAPI": {limited("gssapi", tcp, "penalty = 1s"),
			":7: penalty is for the mechanism gssapi only with front = yes"},
		"an unknown entry of limit": {limited("null", tcp, "max-conns = 1"), ":7: unknown name"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("f", []byte(test.text))
			if err == nil || !strings.Contains(err.Error(), test.want) ||
				strings.Contains(err.Error(), "\n") {
				t.Errorf("%v\nwant %s", err, test.want)
			}
		})
	}
}
