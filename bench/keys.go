package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"github.com/zmqauth/zmqauth"
)

const (
	keyRepeats   = 21
	keyTurns     = 50
	decisions    = 400 // in one turn
	manyKeys     = 1_000_000
	clients      = 1_000 // how many keys of a set come in requests
	wantedKeys   = 0.7   // share of the rate with one key
	keySize      = 32    // bytes of a key
	wantedMemory = 2.5   // bytes for each key, times keySize
)

// keySet is an Authenticator with a number of keys, and a request that has some of them in turn.
type keySet struct {
	authenticator *zmqauth.Authenticator
	asked         []zmqauth.PublicKey
	next          int
	request       [][]byte
}

// newKeySet makes a set of count keys. The first asked keys come in requests.
func newKeySet(count, asked int) (*keySet, error) {
	a, err := zmqauth.New(nil, &zmqauth.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	keys := randomKeys(count)
	s := &keySet{authenticator: a, asked: slices.Clone(keys[:asked])}
	for _, text := range []string{"1.0", "1", "global", "192.0.2.1", "", "CURVE", ""} {
		s.request = append(s.request, []byte(text))
	}
	return s, a.ConfigureCurveKeys("global", keys...)
}

func (s *keySet) decide() error {
	s.request[len(s.request)-1] = s.asked[s.next][:]
	s.next = (s.next + 1) % len(s.asked)
	reply := s.authenticator.HandleZAPMessage(context.Background(), s.request)
	if string(reply[2]) != "200" {
		return fmt.Errorf("a known key is refused: %q", reply)
	}
	return nil
}

func (s *keySet) measure() (time.Duration, error) {
	start := time.Now()
	for range decisions {
		if err := s.decide(); err != nil {
			return 0, err
		}
	}
	return time.Since(start), nil
}

// measureKeys shows that the time of a decision does not depend on the number of keys. It does
// depend on the processor's cache: if all keys of a large set come in turn, each decision waits for
// the memory. That figure has no bound.
func measureKeys() ([]table, error) {
	single, err := newKeySet(1, 1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = single.authenticator.Close() }()
	var figures []figure
	for _, c := range []struct {
		what         string
		count, asked int
		wanted       bound
	}{
		{"10 keys", 10, 10, atLeast(wantedKeys)},
		{"1,000 keys", 1_000, clients, atLeast(wantedKeys)},
		{"100,000 keys, of 1,000 clients", 100_000, clients, atLeast(wantedKeys)},
		{"1,000,000 keys, of 1,000 clients", manyKeys, clients, atLeast(wantedKeys)},
		{"1,000,000 keys, each in turn", manyKeys, manyKeys, bound{}},
	} {
		set, err := newKeySet(c.count, c.asked)
		if err != nil {
			return nil, err
		}
		shares, err := compareKeys(set, single)
		if err := errors.Join(err, set.authenticator.Close()); err != nil {
			return nil, err
		}
		figures = append(figures, figure{c.what, "zmqauth", shares, c.wanted})
	}
	return []table{{
		name:    "keys",
		title:   "HandleZAPMessage with many keys in a set",
		ratio:   "rate, share of that with one key",
		figures: figures,
	}}, nil
}

// compareKeys returns the rate of a set as a share of the rate of single, for each repeat.
func compareKeys(set, single *keySet) ([]float64, error) {
	var ratios []float64
	for range keyRepeats {
		var large, small time.Duration
		for range keyTurns {
			elapsed, err := set.measure()
			if err != nil {
				return nil, err
			}
			large += elapsed
			if elapsed, err = single.measure(); err != nil {
				return nil, err
			}
			small += elapsed
		}
		ratios = append(ratios, small.Seconds()/large.Seconds())
	}
	return ratios, nil
}

const memoryRepeats = 3

// measureMemory measures the memory of a large set.
func measureMemory() ([]table, error) {
	var perKey []float64
	for range memoryRepeats {
		a, err := zmqauth.New(nil, nil)
		if err != nil {
			return nil, err
		}
		keys := randomKeys(manyKeys)
		before, err1 := memoryInUse()
		err2 := a.ConfigureCurveKeys("global", keys...)
		after, err3 := memoryInUse()
		perKey = append(perKey, (after-before)/manyKeys/keySize)
		runtime.KeepAlive(keys)
		if err := errors.Join(err1, err2, err3, a.Close()); err != nil {
			return nil, err
		}
	}
	return []table{{"memory", "Memory of a set of keys", "bytes for each, times the 32 of a key",
		[]figure{{"1,000,000 keys", "zmqauth", perKey, atMost(wantedMemory)}}}}, nil
}

// memoryInUse is the memory of this process in bytes: a large set is not in the heap.
func memoryInUse() (float64, error) {
	debug.FreeOSMemory()
	return residentMemory(os.Getpid())
}
