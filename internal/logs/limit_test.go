package logs

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
)

// limitedLog is a log with a limit, and what it has written.
func limitedLog(each int) (*slog.Logger, *logbuffer.Buffer) {
	out := new(logbuffer.Buffer)
	return slog.New(Limit(slog.NewTextHandler(out, nil), each)), out
}

func refuse(log *slog.Logger, address string) {
	log.Info("zmqauth: refused", "reason", "unknown-key", "status", 400, "domain", "d",
		"address", address)
}

// TestLimit: of one address so many refusals are logged in a minute, and then how many more there
// were. Other addresses and other records are not left out.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limitedLog(5)
		for range 1209 {
			refuse(log, "192.0.2.1")
			log.Debug("nobody reads this", "reason", "x", "status", 400)
		}
		for range 4 {
			refuse(log, "192.0.2.2")
		}
		log.With("more", 1).Warn("something else")
		log.Info("zmqauth: accepted", "reason", "accepted", "status", 200, "address", "192.0.2.1")
		if n := strings.Count(out.String(), "refused"); n != 9 {
			t.Errorf("%d refusals are logged", n)
		}
		time.Sleep(2 * limitPeriod)
		synctest.Wait()
		text := out.String()
		if !strings.Contains(text, `msg="zmqauth: refused 1,204 more in 60 s, `) ||
			!strings.Contains(text, "address=192.0.2.1 times=1204") ||
			strings.Count(text, " more in ") != 1 || !strings.Contains(text, "something else") ||
			!strings.Contains(text, "accepted") {
			t.Error(text)
		}
		refuse(log, "192.0.2.1") // in the next minute
		if n := strings.Count(out.String(), "msg=\"zmqauth: refused\""); n != 10 {
			t.Errorf("%d refusals are logged", n)
		}
		time.Sleep(2 * limitPeriod)
		synctest.Wait()
		if strings.Count(out.String(), " more in ") != 1 {
			t.Error(out.String())
		}
		for range 7 {
			refuse(log, "192.0.2.1")
		}
		log.Handler().(*Limited).Flush()
		log.Handler().(*Limited).Flush()
		if !strings.Contains(out.String(), "refused 2 more in 0 s") {
			t.Error(out.String())
		}
	})
}

// TestLimitIsBounded: a flood from many addresses fills neither memory nor disk, and nothing is
// lost in the sums.
func TestLimitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := limitedLog(10)
		l := log.Handler().(*Limited).limit
		const all = 3 * maxAddresses
		for i := range all {
			for range 2 {
				refuse(log, fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))
			}
		}
		kept := func() int {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.counts)
		}
		if n := kept(); n > maxAddresses {
			t.Errorf("%d addresses are kept", n)
		}
		time.Sleep(2 * limitPeriod)
		synctest.Wait()
		logged, sums, times := 0, 0, 0
		for line := range strings.Lines(out.String()) {
			if !strings.Contains(line, " more in ") {
				logged++
				continue
			}
			sums++
			var n int
			_, rest, _ := strings.Cut(line, "times=")
			if _, err := fmt.Sscan(rest, &n); err != nil {
				t.Fatal(err)
			}
			times += n
		}
		if logged != 10*allTimes || sums > maxSums+1 || logged+times != 2*all {
			t.Errorf("%d logged, %d left out in %d lines, of %d", logged, times, sums, 2*all)
		}
		if kept() > 0 {
			t.Error("the addresses are kept")
		}
	})
}

// TestGroup: what counts as one address.
func TestGroup(t *testing.T) {
	for _, same := range [][]string{
		{"192.0.2.1", "::ffff:192.0.2.1"}, {"2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::"},
		{"localhost:7:8:9", "localhost:7:1:2"}, {"", "<b>", "localhost:x:1:1"},
	} {
		for _, address := range same {
			if group(address) != group(same[0]) {
				t.Errorf("%q is apart from %q", address, same[0])
			}
		}
	}
	if group("2001:db8::") == group("2001:db8:0:1::") || group("10.0.0.1") == group("10.0.0.2") ||
		group("localhost:1:1:1") == group("localhost:2:1:1") {
		t.Error("others are taken together")
	}
}
