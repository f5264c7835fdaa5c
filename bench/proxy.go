package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/bench/loadgen"
)

// The bounds for zmqauth proxy: its rate as a share of zmq_proxy's, and its latency, times
// zmq_proxy's.
var (
	wantedProxyRate    = atLeast(0.95)
	wantedProxyLatency = atMost(1.05)
)

// traffic is what goes through a proxy: the messages of one frontend, or of several at once.
type traffic struct {
	of      string
	pattern loadgen.Pattern
	curve   bool
	clients int // of each frontend
	size    int // bytes of a message
	at      int // how many frontends there are at once; 0: one
}

// kind is the type of the frontend.
func (t traffic) kind() string {
	return map[loadgen.Pattern]string{
		loadgen.Push: "pull", loadgen.Request: "router", loadgen.Subscribe: "xpub",
	}[t.pattern]
}

// inTurn is the same number of messages for all ways, and takes longer than a turn must. The
// numbers must be equal: how a turn begins and ends counts more in a short one.
func (t traffic) inTurn() int {
	switch t.pattern {
	case loadgen.Subscribe:
		return manyMessages / t.clients
	case loadgen.Request:
		return min(t.clients, 8) * 500
	default:
		return min(manyMessages, manyBytes/t.size)
	}
}

const (
	manyMessages = 20_000
	manyBytes    = 40_000_000
)

const smallMessage = 100

// The traffic of each table.
var (
	sizesThroughProxy = []traffic{
		{of: "NULL, 100 B", clients: 1, size: smallMessage},
		{of: "NULL, 10 kB", clients: 1, size: 10_000},
		{of: "NULL, 1 MB", clients: 1, size: 1_000_000},
		{of: "CURVE, 100 B", curve: true, clients: 1, size: smallMessage},
		{of: "CURVE, 10 kB", curve: true, clients: 1, size: 10_000},
		{of: "CURVE, 1 MB", curve: true, clients: 1, size: 1_000_000},
	}
	clientsOfProxy = []traffic{
		{of: "100 clients", clients: 100, size: smallMessage},
		{of: "5,000 clients", clients: 5_000, size: smallMessage},
		{of: "100 subscribers", pattern: loadgen.Subscribe, clients: 100, size: smallMessage},
		{of: "2 frontends at once", clients: 1, size: smallMessage, at: 2},
	}
	requestsToProxy = []traffic{
		{of: "1 client", pattern: loadgen.Request, clients: 1, size: smallMessage},
		{of: "64 clients", pattern: loadgen.Request, clients: manyAtOnce, size: smallMessage},
	}
)

// measureProxy measures the same traffic straight, through zmq_proxy, and through zmqauth proxy.
func measureProxy() (_ []table, err error) {
	return measureRelays(proxies, []proxyTable{
		{table{
			name:  "proxy",
			title: "Messages from PUSH to PULL through a proxy, one client",
			ratio: "zmqauth's rate, share of another's",
		}, sizesThroughProxy},
		{table{
			name:  "proxy-clients",
			title: "Messages of 100 B through a proxy, NULL",
			ratio: "zmqauth's rate, share of another's",
		}, clientsOfProxy},
		{table{
			name:  "proxy-latency",
			title: "Requests of 100 B and their replies through a proxy, NULL",
			ratio: "zmqauth's latency, times another's",
		}, requestsToProxy},
	}, rules{repeats: 21, turn: 10 * time.Millisecond})
}

// measureObserved measures messages through a zmqauth proxy that is looked at, and one that is not.
func measureObserved() (_ []table, err error) {
	all := []traffic{sizesThroughProxy[0], sizesThroughProxy[3], clientsOfProxy[0]}
	return measureRelays(observed, []proxyTable{
		{table{
			name:  "observed",
			title: "Messages of 100 B through a proxy whose metrics and status page are read",
			ratio: "rate, share of a proxy's that has neither",
		}, all},
		{table{
			name:  "observed-latency",
			title: "Requests of 100 B through a proxy whose metrics and status page are read",
			ratio: "latency, times that through a proxy that has neither",
		}, requestsToProxy},
	}, rules{repeats: 21, turn: 10 * time.Millisecond})
}

// proxyTable is a table and the traffic that it shows.
type proxyTable struct {
	table
	all []traffic
}

// measureRelays starts the relays with a frontend for each traffic, and measures one after the
// other. The tables have what could be measured. The last relay is compared with the others.
func measureRelays(relays []relayKind, tables []proxyTable, r rules) (out []table, err error) {
	p, err := newProxyCourse(relays)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	for _, t := range tables {
		for _, traffic := range t.all {
			if err := p.add(traffic); err != nil {
				return nil, fmt.Errorf("%s: %w", traffic.of, err)
			}
		}
	}
	if err := p.start(); err != nil {
		return nil, err
	}
	next := p.lines
	p.used.name = tables[0].name + "-cpu"
	var errs []error
	for _, t := range tables {
		for range t.all {
			if err := next[0].measure(p, &t.table, r); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", next[0].of, err))
			}
			next = next[1:]
		}
		out = append(out, t.table)
	}
	return append(out, p.used), errors.Join(errs...)
}

// proxyCourse has the services of all traffic, and the proxies before them.
type proxyCourse struct {
	ends
	relays      []relayKind
	ctx         *zmq4.Context
	certificate *zmqauth.Certificate // of all CURVE servers and clients
	file        string               // that has it
	lines       []*proxyLine
	used        table // processor time of the proxies
}

// proxyLine is traffic on several ways.
type proxyLine struct {
	traffic
	name string // of the frontends, before a number
	ways []*way
}

// way is one way of traffic: the services, and the relay before them, or none.
type way struct {
	name     string
	services []*loadgen.Traffic
	relay    *relay
}

// relayKind is a kind of relay: its name, and how to start it; nil: clients go straight.
type relayKind struct {
	name  string
	start relayStarter
}

// The relays that are compared.
var (
	proxies  = []relayKind{{"direct", nil}, {zmqProxy, startZmqProxy}, {"zmqauth", startTool}}
	observed = []relayKind{{"not observed", startTool}, {"observed", startObserved}}
)

// zmqProxy is the name of libzmq's proxy.
const zmqProxy = "zmq_proxy"

func newProxyCourse(relays []relayKind) (p *proxyCourse, err error) {
	ours, other := relays[len(relays)-1].name, relays[len(relays)-2].name
	p = &proxyCourse{relays: relays, used: table{
		title: "Messages through a proxy",
		ratio: fmt.Sprintf("processor time of %s for each, times %s's", ours, other),
	}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if p.ctx, err = zmq4.NewContext(); err != nil {
		return p, err
	}
	p.ends.add(p.ctx.Term)
	directory, err := p.directory()
	if err != nil {
		return p, err
	}
	if p.certificate, err = zmqauth.NewCertificate(); err != nil {
		return p, err
	}
	p.file = filepath.Join(directory, "server.key_secret")
	return p, errors.Join(p.ctx.SetMaxSockets(maxSockets), p.ctx.SetIoThreads(runtime.NumCPU()),
		p.certificate.SaveSecret(p.file))
}

// add binds the services of some traffic, on all ways.
func (p *proxyCourse) add(t traffic) error {
	l := &proxyLine{traffic: t, name: fmt.Sprintf("front%d", len(p.lines))}
	for _, relay := range p.relays {
		w := &way{name: relay.name}
		secret := ""
		if relay.start == nil && t.curve {
			secret = p.certificate.Secret.Z85()
		}
		for range max(t.at, 1) {
			service, err := loadgen.OpenTraffic(p.ctx, t.pattern, secret)
			if err != nil {
				return err
			}
			p.ends.add(func() error { service.Close(); return nil })
			w.services = append(w.services, service)
		}
		l.ways = append(l.ways, w)
	}
	p.lines = append(p.lines, l)
	return nil
}

// start starts the proxies.
func (p *proxyCourse) start() error {
	for which, kind := range p.relays {
		if kind.start == nil {
			continue
		}
		var fronts []front
		for _, l := range p.lines {
			for i, service := range l.ways[which].services {
				fronts = append(fronts, front{l.front(i), l.kind(), l.curve, service.Endpoint()})
			}
		}
		relay, err := kind.start(&p.ends, p.file, fronts)
		if err != nil {
			return err
		}
		for _, l := range p.lines {
			l.ways[which].relay = relay
		}
	}
	return nil
}

// front is the name of a frontend.
func (l *proxyLine) front(number int) string { return fmt.Sprintf("%s-%d", l.name, number) }

// measure adds the figures of the traffic to a table, and ends the traffic.
func (l *proxyLine) measure(p *proxyCourse, t *table, r rules) error {
	ways := slices.Clone(l.ways)
	if err := needDescriptors(4 * l.clients); err != nil {
		// Both ends of the direct connections are in this process.
		fmt.Fprintf(os.Stderr, "bench: left out: %s, direct: %v\n", l.of, err)
		ways = slices.DeleteFunc(ways, func(w *way) bool { return w.relay == nil })
	}
	if err := needDescriptors(2 * l.clients); err != nil {
		fmt.Fprintf(os.Stderr, "bench: left out: %s: %v\n", l.of, err)
		return nil
	}
	var entrants []entrant
	for _, w := range ways {
		if err := p.connect(l, w); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		defer w.close()
		if _, err := w.carry(l.inTurn(), l.size); err != nil { // until all are connected
			return err
		}
		entrants = append(entrants, entrant{w.name, func(count int) (cost, error) {
			return w.carry(count, l.size)
		}})
	}
	r.least = l.inTurn()
	lanes, err := race(r, entrants)
	if err != nil {
		return err
	}
	ours, beside := lanes[len(lanes)-1], lanes[len(lanes)-2]
	for _, other := range lanes[:len(lanes)-1] {
		if l.pattern == loadgen.Request {
			wanted := only(other == beside, wantedProxyLatency)
			t.add(figure{l.of, other.name, ratios(ours, other, elapsed), wanted})
		} else {
			wanted := only(other == beside, wantedProxyRate)
			t.add(figure{l.of, other.name, ratios(other, ours, elapsed), wanted})
		}
	}
	p.used.add(figure{l.kind() + ", " + l.of, beside.name, ratios(ours, beside, cpu), bound{}})
	return nil
}

// only returns a bound if it holds, and otherwise none.
func only(holds bool, b bound) bound {
	if holds {
		return b
	}
	return bound{}
}

// connect connects the clients of a way.
func (p *proxyCourse) connect(l *proxyLine, w *way) error {
	for i, service := range w.services {
		client := loadgen.Client{Endpoint: service.Endpoint()}
		if w.relay != nil {
			client.Endpoint = w.relay.endpoints[l.front(i)]
		}
		if l.curve {
			client.ServerKey = p.certificate.Public.String()
			client.PublicKey, client.SecretKey = client.ServerKey, p.certificate.Secret.Z85()
		}
		if err := service.Connect(client, l.clients); err != nil {
			return err
		}
	}
	return nil
}

// carry sends that many messages to each service of the way at once. The processor time is that of
// the relay.
func (w *way) carry(count, size int) (cost, error) {
	before, err := w.used()
	if err != nil {
		return cost{}, err
	}
	elapsed, err := w.run(count, size)
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w", w.name, err)
	}
	after, err := w.used()
	return cost{elapsed, after - before}, err
}

// used is the processor time that the relay has used until now.
func (w *way) used() (time.Duration, error) {
	if w.relay == nil {
		return 0, nil
	}
	return timeOfThreads(w.relay.process.PID, "")
}

func (w *way) run(count, size int) (longest time.Duration, err error) {
	type outcome struct {
		took time.Duration
		err  error
	}
	outcomes := make(chan outcome, len(w.services))
	for _, service := range w.services {
		go func() {
			took, err := service.Run(count, size)
			outcomes <- outcome{took, err}
		}()
	}
	var errs []error
	for range w.services {
		o := <-outcomes
		longest = max(longest, o.took)
		errs = append(errs, o.err)
	}
	return longest, errors.Join(errs...)
}

func (w *way) close() {
	for _, service := range w.services {
		service.Close()
	}
}

// spareDescriptors are for everything but the connections of a measurement.
const spareDescriptors = 500

// needDescriptors tells whether this process may have that many connections.
func needDescriptors(connections int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if need := uint64(connections) + spareDescriptors; limit.Cur < need {
		return fmt.Errorf("%d descriptors are needed, the limit is %d", need, limit.Cur)
	}
	return nil
}
