package fleet

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// BenchmarkReset is what 100,000 entries that have been read cost a server: to verify them by
// sums, or each by its signature, and to put them in force; and the memory that stays.
func BenchmarkReset(b *testing.B) {
	const count = 100_000
	signer := publicOf(signerOf(1))
	values := make([]Value, 0, count)
	entries := make([]Entry, count)
	inParallel(count, func(i int) {
		e := Entry{Kind: KindKey, Domain: "d", State: Granted, UserID: fmt.Sprint("user-", i),
			Metadata: map[string]string{"Role": "operator"}, By: "admin", Why: "a measurement",
			At: testTime, Revision: 1}
		binary.BigEndian.PutUint32(e.PublicKey[:], uint32(i)+1)
		must.OK(b, e.Sign(testFleet, signerOf(1)))
		entries[i] = e
	})
	sums, _ := Sums(testFleet, entries, signer)
	for i := range sums {
		sums[i].Revision = 1
		must.OK(b, sums[i].Sign(testFleet, signerOf(1)))
	}
	for _, e := range append(entries, sums...) {
		text, err := e.Encode()
		must.OK(b, err)
		values = append(values, Value{e.Key(), text})
	}
	quiet := slog.New(slog.DiscardHandler)
	for name, values := range map[string][]Value{"sums": values, "signatures": values[:count]} {
		b.Run(name, func(b *testing.B) {
			var kept float64
			for b.Loop() {
				b.StopTimer()
				auth, err := zmqauth.New(testzmq.NewContext(b), &zmqauth.Config{Logger: quiet})
				must.OK(b, err)
				o := Options{Fleet: testFleet, Server: "s", Logger: quiet, Signers: []ed25519.PublicKey{signer}}
				must.OK(b, o.complete())
				m := newMember(auth, nil, o)
				var before, after runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&before)
				b.StartTimer()
				log := new(Log)
				log.Read(values)
				log.Reset(m.Sink(), Position{Epoch: "e", Revision: 1})
				b.StopTimer()
				log = nil
				runtime.GC()
				runtime.ReadMemStats(&after)
				kept = float64(after.HeapAlloc-before.HeapAlloc) / 1e6
				if got := m.Status().Keys; got != count {
					b.Fatalf("%d keys", got)
				}
				must.OK(b, auth.Close())
				b.StartTimer()
			}
			b.ReportMetric(kept, "MB-kept")
		})
	}
}

// BenchmarkParseEntry is what one entry costs, whose name needs no escape, or has one.
func BenchmarkParseEntry(b *testing.B) {
	for name, user := range map[string]string{"plain": "ann", "escaped": "<ann>"} {
		b.Run(name, func(b *testing.B) {
			e := validEntries()["c.global.0101"+strings.Repeat("0", 60)]
			e.UserID, e.Metadata = user, map[string]string{"Role": "operator"}
			must.OK(b, e.Sign(testFleet, signerOf(1)))
			key := e.Key()
			text, err := e.Encode()
			must.OK(b, err)
			b.ReportAllocs()
			for b.Loop() {
				_, err = ParseEntry(key, text)
			}
			must.OK(b, err)
		})
	}
}
