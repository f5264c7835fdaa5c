package zmqauth

import (
	"crypto/rand"
	"math"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/bench/loadgen"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// BenchmarkDecide measures the decision about a CURVE request, as the loop makes it. The requests
// come from some of the known clients, as they do between two restarts of a server. In the
// sub-benchmark in-turn they come from each key of a large set in turn, so that each decision waits
// for the memory.
func BenchmarkDecide(b *testing.B) {
	for _, c := range []struct {
		name         string
		keys, asking int
	}{
		{"keys=1", 1, 1},
		{"keys=1000", 1_000, deciderClients},
		{"keys=100000", 100_000, deciderClients},
		{"keys=1000000", manyKeys, deciderClients},
		{"keys=1000000/in-turn", manyKeys, manyKeys},
	} {
		b.Run(c.name, func(b *testing.B) {
			d := newCurveDecider(b, c.keys, c.asking)
			b.ReportAllocs()
			for b.Loop() {
				d.decide(b)
			}
		})
	}
}

// BenchmarkMillionKeys reports what a key costs in memory.
func BenchmarkMillionKeys(b *testing.B) {
	var perKey float64
	for b.Loop() {
		perKey = bytesPerKey(b, manyKeys)
	}
	b.ReportMetric(perKey, "bytes/key")
}

// roundTripChunk is how many requests one handler gets before the other has its turn.
const roundTripChunk = 5000

// BenchmarkZAPRoundTrips measures the live endpoint under 64 requests at once, beside a handler in
// C that accepts everybody. x-of-C is our rate divided by that of the handler in C.
func BenchmarkZAPRoundTrips(b *testing.B) {
	for _, c := range []struct {
		mechanism   string
		credentials []string
	}{
		{zap.MechanismNull, nil},
		{zap.MechanismPlain, []string{"alice", "secret"}},
		{zap.MechanismCurve, []string{string(make([]byte, 31)) + "k"}},
	} {
		b.Run(c.mechanism, func(b *testing.B) {
			a := startAuthenticator(b, Config{})
			must.OK(b, a.ConfigurePlain("global", map[string]string{"alice": "secret"}))
			must.OK(b, a.ConfigureCurveKeys("global", append(randomKeys(999), PublicKey{31: 'k'})...))
			load := loadgen.Load{
				Mechanism: c.mechanism, Domain: "global", Address: "192.0.2.1",
				Credentials: frames(c.credentials...), InFlight: 64,
			}
			limit := testzmq.NewContext(b)
			startReference(b, limit)
			var own, reference time.Duration
			b.ReportAllocs()
			for remaining := b.N; remaining > 0; remaining -= load.Requests {
				load.Requests = min(remaining, roundTripChunk)
				b.StartTimer()
				own += run(b, a.Context(), load)
				b.StopTimer()
				reference += run(b, limit, load)
			}
			b.ReportMetric(reference.Seconds()/own.Seconds(), "x-of-C")
		})
	}
}

func startReference(t testing.TB, ctx *zmq4.Context) {
	t.Helper()
	r, err := loadgen.StartReference(ctx)
	must.OK(t, err)
	t.Cleanup(func() { must.OK(t, r.Stop()) })
}

// run makes a load and fails where a request is not accepted.
func run(t testing.TB, ctx *zmq4.Context, load loadgen.Load) time.Duration {
	t.Helper()
	result, err := loadgen.Run(ctx, load)
	must.OK(t, err)
	if result.ByStatus[zap.StatusOK] != load.Requests {
		t.Fatalf("%s: %v", load.Mechanism, result.ByStatus)
	}
	return result.Elapsed
}

// curveDecider has CURVE requests judged, with the keys of asking in turn.
type curveDecider struct {
	a       *Authenticator
	asking  []PublicKey
	next    int
	request zap.Request
}

const (
	manyKeys       = 1_000_000
	deciderClients = 1_000
)

func newCurveDecider(t testing.TB, count, asking int) *curveDecider {
	t.Helper()
	keys := randomKeys(count)
	d := &curveDecider{a: newAuthenticator(t, Config{}), asking: slices.Clone(keys[:asking])}
	must.OK(t, d.a.ConfigureCurveKeys("global", keys...))
	request := zapRequest("global", "192.0.2.1", zap.MechanismCurve, string(make([]byte, 32)))
	must.OK(t, zap.Decode(request, &d.request))
	return d
}

func (d *curveDecider) decide(t testing.TB) {
	d.request.Credentials[0] = d.asking[d.next][:]
	if d.next++; d.next == len(d.asking) {
		d.next = 0
	}
	d.a.mu.RLock()
	v, in := d.a.decide(&d.request, nil)
	d.a.mu.RUnlock()
	if v.status != zap.StatusOK || in != nil {
		t.Fatalf("a known key: %+v", v)
	}
}

func (d *curveDecider) measure(t testing.TB, decisions int) time.Duration {
	t.Helper()
	start := time.Now()
	for range decisions {
		d.decide(t)
	}
	return time.Since(start)
}

// slowdown is the time of d divided by that of one. It takes the least of many short measurements
// that alternate, because whatever else the machine does only adds to them.
func (d *curveDecider) slowdown(t testing.TB, one *curveDecider) float64 {
	t.Helper()
	const rounds, decisions = 500, 200
	own, reference := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for range rounds {
		own = min(own, d.measure(t, decisions))
		reference = min(reference, one.measure(t, decisions))
	}
	return own.Seconds() / reference.Seconds()
}

// TestDecisionIsFlat: a decision costs no more with a million keys than with one, apart from the
// caches of the processor.
func TestDecisionIsFlat(t *testing.T) {
	limit, attempts := 1.5, 5
	if testpeer.Race { // the race detector's cost grows with the memory that is touched
		limit *= 10
	}
	one, many := newCurveDecider(t, 1, 1), newCurveDecider(t, manyKeys, deciderClients)
	var ratio float64
	for range attempts { // the machine may be busy with other things
		ratio = many.slowdown(t, one)
		t.Logf("a million keys: %.2f times the time of one", ratio)
		if ratio <= limit {
			return
		}
	}
	t.Errorf("a million keys: %.2f times the time of one, at most %.2f is wanted", ratio, limit)
}

func TestKeysAreSmall(t *testing.T) {
	const limit = 150
	perKey := bytesPerKey(t, manyKeys)
	t.Logf("%.1f bytes for each key", perKey)
	if perKey > limit {
		t.Errorf("%.1f bytes for each key, at most %d are wanted", perKey, limit)
	}
}

func TestDecisionAllocatesLittle(t *testing.T) {
	const limit = 5
	d := newCurveDecider(t, 1_000, 1_000)
	allocations := testing.AllocsPerRun(1_000, func() { d.decide(t) })
	t.Logf("%.0f allocations for each CURVE decision", allocations)
	if allocations > limit {
		t.Errorf("%.0f allocations, at most %d are wanted", allocations, limit)
	}
}

func randomKeys(count int) []PublicKey {
	keys := make([]PublicKey, count)
	for i := range keys {
		_, _ = rand.Read(keys[i][:]) // never fails
	}
	return keys
}

// bytesPerKey is the memory that each key of a set of count keys takes.
func bytesPerKey(t testing.TB, count int) float64 {
	t.Helper()
	a := newAuthenticator(t, Config{})
	keys := randomKeys(count)
	before := heapInUse()
	must.OK(t, a.ConfigureCurveKeys("global", keys...))
	after := heapInUse()
	runtime.KeepAlive(keys)
	runtime.KeepAlive(a)
	return (float64(after) - float64(before)) / float64(count)
}

func heapInUse() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}
