package zmqauth

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// These tests set the clock. A period of time must not notice that; a date must, at once.

// jumped is the reading of a clock that has been set forward by so many whole seconds. The
// monotonic clock, whose reading a time carries too, goes on as before.
func jumped(t testing.TB, at time.Time, by time.Duration) time.Time {
	t.Helper()
	const seconds = 30 // the bit of a time.Time's first word where they begin, see package time
	after := at
	*(*uint64)(unsafe.Pointer(&after)) += uint64(by/time.Second) << seconds
	// Round takes the reading of the monotonic clock away.
	if after.Sub(at) != 0 || after.Round(0).Sub(at.Round(0)) != by {
		t.Fatalf("package time has changed inside: %v has become %v", at, after)
	}
	return after
}

var clockJumps = map[string]time.Duration{
	"ten years on":   3652 * 24 * time.Hour,
	"ten years back": -3652 * 24 * time.Hour,
	"a second back":  -time.Second,
}

// TestClockAndValidity: the dates of a certificate and of an Entry go by the clock, also where a
// program has them from time.Now.
func TestClockAndValidity(t *testing.T) {
	now := time.Now()
	from, to := now.Add(-time.Hour), now.Add(time.Hour)
	entry, err := newCredential(Entry{NotBefore: from, NotAfter: to})
	must.OK(t, err)
	cert := newCertificate(t)
	cert.Metadata = map[string]string{
		"not-before": from.Format(time.RFC3339Nano), "not-after": to.Format(time.RFC3339Nano),
	}
	for what, known := range map[string]*credential{
		"an entry": entry, "a certificate": new(Authenticator).credentialOf(cert.Metadata),
	} {
		for by, want := range map[time.Duration]string{
			0: "", time.Minute: "", -time.Minute: "",
			time.Hour + time.Second: ReasonKeyExpired, -time.Hour - time.Second: ReasonKeyNotYetValid,
		} {
			now := jumped(t, now, by)
			if got := known.refusalAt(now, ReasonKeyExpired, ReasonKeyNotYetValid); got != want {
				t.Errorf("%s, the clock set by %v: %q, want %q", what, by, got, want)
			}
		}
	}
}

// TestClockAndRefusals: refused GSSAPI clients are remembered for a minute, whatever the clock
// says.
func TestClockAndRefusals(t *testing.T) {
	for name, by := range clockJumps {
		t.Run(name, func(t *testing.T) {
			p, now := newRefusalPenalties(), time.Now()
			p.Refuse(localhost, someone, now)
			now = jumped(t, now, by)
			if delay := p.Refuse(localhost, someone, now); delay != firstRefusalDelay {
				t.Errorf("after the clock was set: %v", delay)
			}
			now = now.Add(refusalMemory + 1)
			if delay := p.Refuse(localhost, someone, now); delay != 0 {
				t.Errorf("a minute later: %v", delay)
			}
		})
	}
}

// TestClockAndLevel: the logger is asked for its level once a second, whatever the clock says.
func TestClockAndLevel(t *testing.T) {
	for name, by := range clockJumps {
		t.Run(name, func(t *testing.T) {
			var level slog.LevelVar
			r := newReporter(levelLogger(&level), nil, new(atomic.Uint64))
			level.Set(slog.LevelDebug)
			now := jumped(t, time.Now(), by)
			r.keepUp(now)
			if r.wants(zap.StatusOK) {
				t.Error("the logger is asked at once")
			}
			later := now.Add(2 * levelPeriod)
			r.keepUp(later)
			testpeer.Eventually(t, "the new level is noticed", func() bool { return r.wants(zap.StatusOK) })
		})
	}
}
