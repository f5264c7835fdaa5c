package natsstore_test

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/fleet"
	"github.com/zmqauth/zmqauth/fleet/internal/testfleet"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// The size of the fleet that is measured, unless an environment variable says otherwise.
const (
	benchKeys      = 100_000
	benchServers   = 100
	benchProcesses = 5
)

// sizeOf is a size from the environment.
func sizeOf(b *testing.B, variable string, otherwise int) int {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	must.OK(b, err)
	return n
}

func keysOf(b *testing.B) int    { return sizeOf(b, "ZMQAUTH_FLEET_KEYS", benchKeys) }
func serversOf(b *testing.B) int { return sizeOf(b, "ZMQAUTH_FLEET_SERVERS", benchServers) }

// fill grants so many keys, and seals them.
func (w *world) fill(count int) {
	w.Helper()
	_, conn := w.engines.Store("admin", -1)
	js, err := jetstream.New(conn)
	must.OK(w, err)
	for n := range count {
		e := fleet.Entry{Kind: fleet.KindKey, Domain: testfleet.Domain, State: fleet.Granted,
			UserID: "user-" + strconv.Itoa(n), Metadata: map[string]string{"Role": "operator"},
			By: "admin", Why: "a measurement", At: time.Now(), Revision: 1}
		binary.BigEndian.PutUint32(e.PublicKey[:], uint32(n))
		e.PublicKey[31] = 1
		must.OK(w, e.Sign(testfleet.Name, admin))
		text, err := e.Encode()
		must.OK(w, err)
		_, err = js.PublishAsync("$KV.zmqauth."+e.Key(), text)
		must.OK(w, err)
		if n%1000 == 0 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
	_, err = w.admin.Seal(context.Background(), testfleet.Name, "admin", admin, w.config.Signer)
	must.OK(w, err)
}

// BenchmarkLoad is the time in which a server that has no snapshot loads everything, and the memory
// that it takes: what stays, and the most on the way. The processor time of the server and of the
// engine tell what it is where they have processors of their own.
func BenchmarkLoad(b *testing.B) {
	count := keysOf(b)
	w := newWorld(b, 1, 1, 1)
	w.fill(count)
	store, _ := w.engines.Store("s0", -1)
	before := heap(true)
	peak, done := uint64(0), make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				peak = max(peak, heap(false))
			}
		}
	}()
	var auth *zmqauth.Authenticator
	var member *fleet.Member
	var own, engines time.Duration
	end := func() {
		must.OK(b, member.Close())
		must.OK(b, auth.Close())
		auth, member = nil, nil
	}
	for b.Loop() {
		b.StopTimer()
		if member != nil {
			end()
		}
		runtime.GC()
		quiet := slog.New(slog.DiscardHandler)
		var err error
		auth, err = zmqauth.New(testzmq.NewContext(b), &zmqauth.Config{Logger: quiet})
		must.OK(b, err)
		own, engines = own-used(b), engines-w.engines.Used(0)
		b.StartTimer()
		member, err = fleet.Join(context.Background(), auth, store, fleet.Options{
			Fleet: testfleet.Name, Server: "s0", Signers: []ed25519.PublicKey{w.config.Signer},
			Domains: []string{testfleet.Domain}, Logger: quiet})
		must.OK(b, err)
		own, engines = own+used(b), engines+w.engines.Used(0)
	}
	close(done)
	<-stopped
	if got := member.Status().Keys; got != count {
		b.Fatalf("%d keys", got)
	}
	b.ReportMetric(own.Seconds()*1e3/float64(b.N), "ms-own")
	b.ReportMetric(engines.Seconds()*1e3/float64(b.N), "ms-engine")
	b.ReportMetric(float64(heap(true)-before)/1e6, "MB-kept")
	b.ReportMetric(float64(max(peak, before)-before)/1e6, "MB-peak")
	end()
}

// used is the processor time that this process has used.
func used(b *testing.B) time.Duration {
	b.Helper()
	var all syscall.Rusage
	must.OK(b, syscall.Getrusage(syscall.RUSAGE_SELF, &all))
	return time.Duration(all.Utime.Nano() + all.Stime.Nano())
}

func heap(collected bool) uint64 {
	if collected {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkRevocation is the time from the call that revokes a key to the last cut of 100 sessions
// of it on 100 servers, that many keys being known: the median and the worst.
func BenchmarkRevocation(b *testing.B) {
	for _, engines := range []int{1, 3} {
		b.Run(strconv.Itoa(engines)+"-engines", func(b *testing.B) {
			w, key := newBusyWorld(b, engines)
			var acknowledged, all []time.Duration
			for b.Loop() {
				begun := time.Now()
				w.mustPut(key, fleet.Revoked)
				acknowledged = append(acknowledged, time.Since(begun))
				last := w.await(testfleet.Cut)
				all = append(all, time.Unix(0, last.At).Sub(begun))
				b.StopTimer()
				w.mustPut(key, fleet.Granted)
				w.await(testfleet.Ready)
				b.StartTimer()
			}
			report(b, "acknowledged", acknowledged)
			report(b, "last-cut", all)
		})
	}
}

// BenchmarkRevocationLeaderKilled is the same, with the leader of three engines killed just before.
func BenchmarkRevocationLeaderKilled(b *testing.B) {
	w, key := newBusyWorld(b, 3)
	var all []time.Duration
	for b.Loop() {
		b.StopTimer()
		leader := w.engines.Leader()
		b.StartTimer()
		w.engines.Kill(leader)
		begun := time.Now()
		done := make(chan error, 1)
		go func() {
			_, err := w.put(context.Background(), key, fleet.Revoked)
			done <- err
		}()
		last := w.await(testfleet.Cut)
		all = append(all, time.Unix(0, last.At).Sub(begun))
		b.StopTimer()
		must.OK(b, <-done)
		w.engines.Start(leader)
		w.mustPut(key, fleet.Granted)
		w.await(testfleet.Ready)
		b.StartTimer()
	}
	report(b, "last-cut", all)
}

// newBusyWorld has all servers with a session of one key, and all keys.
func newBusyWorld(b *testing.B, engines int) (*world, zmqauth.PublicKey) {
	b.Helper()
	usual := patience
	patience = 10 * time.Minute
	b.Cleanup(func() { patience = usual })
	servers := serversOf(b)
	w := newWorld(b, engines, min(benchProcesses, servers), servers)
	w.fill(keysOf(b))
	public, secret, err := zmqauth.GenerateKeyPair()
	must.OK(b, err)
	w.config.Client, w.config.Jitter = secret.Z85(), time.Second
	w.mustPut(public, fleet.Granted)
	w.startAll()
	return w, public
}

func report(b *testing.B, what string, all []time.Duration) {
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1e3, "ms-"+what+"-median")
	b.ReportMetric(float64(all[len(all)-1].Microseconds())/1e3, "ms-"+what+"-worst")
}

// BenchmarkSteady is the share of a processor that an engine needs for servers that change nothing.
func BenchmarkSteady(b *testing.B) {
	w, _ := newBusyWorld(b, 1)
	const interval = 10 * time.Second
	var used, passed time.Duration
	for b.Loop() {
		begun, before := time.Now(), w.engines.Used(0)
		time.Sleep(interval)
		used, passed = used+w.engines.Used(0)-before, passed+time.Since(begun)
	}
	b.ReportMetric(100*used.Seconds()/passed.Seconds(), "%-of-a-core")
}
