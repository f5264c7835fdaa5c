// Package logs is what the tool's log does beyond log/slog: it leaves out refusals of one address
// that repeat, and counts them, and it speaks the protocol of systemd's journal.
package logs

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// limitPeriod is the time that refusals are counted for.
	limitPeriod = time.Minute
	// maxAddresses is how many addresses are told apart in that time.
	maxAddresses = 4096
	// allTimes is how many times as many refusals are logged of all addresses together.
	allTimes = 20
	// maxSums is how many addresses have a line of their own about what was left out. The rest has
	// one line together.
	maxSums = 20
)

// Limit makes a handler that passes records on to next, but of refusals of one address at most
// each in a minute, and of all addresses 20 times as many. What is left out is counted: a line at
// the end of the minute says how many more there were. IPv6 addresses of one /64
// count as one, and so do all processes of one user.
//
// Records are refusals if they have what those of an Authenticator have: a reason, an address and a
// status that is not 200.
func Limit(next slog.Handler, each int) *Limited {
	return &Limited{next: next, limit: &limit{each: each, next: next}}
}

// Limited is a handler with a limit that it shares with those that were derived from it.
type Limited struct {
	next  slog.Handler
	limit *limit
}

// limit counts refusals.
type limit struct {
	each int
	next slog.Handler // for the sums

	mu     sync.Mutex
	begun  time.Time // of the period; zero: there is none
	timer  *time.Timer
	counts map[string]int
	logged int // refusals of all addresses
	others int // that were left out, of addresses that there was no room for
}

// Enabled implements slog.Handler.
func (l *Limited) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (l *Limited) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Limited{l.next.WithAttrs(attrs), l.limit}
}

// WithGroup implements slog.Handler.
func (l *Limited) WithGroup(name string) slog.Handler {
	return &Limited{l.next.WithGroup(name), l.limit}
}

// Handle implements slog.Handler.
func (l *Limited) Handle(ctx context.Context, record slog.Record) error {
	if address, ok := refusedAddress(record); ok && !l.limit.admits(address) {
		return nil
	}
	return l.next.Handle(ctx, record)
}

// Flush logs what was left out, before the end of the minute.
func (l *Limited) Flush() { l.limit.end() }

// refusedAddress is whose refusal a record is about.
func refusedAddress(record slog.Record) (address string, ok bool) {
	hasReason, refused := false, false
	record.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "address":
			address = a.Value.String()
		case "reason":
			hasReason = true
		case "status":
			refused = a.Value.Kind() == slog.KindInt64 && a.Value.Int64() != 200
		}
		return true
	})
	return address, hasReason && refused
}

// group is what counts as one address.
func group(address string) string {
	if ip, err := netip.ParseAddr(address); err == nil {
		if ip = ip.Unmap(); ip.Is6() {
			return netip.PrefixFrom(ip.WithZone(""), 64).Masked().String()
		}
		return ip.String()
	}
	if rest, ok := strings.CutPrefix(address, "localhost:"); ok {
		uid, _, _ := strings.Cut(rest, ":")
		if n, err := strconv.ParseUint(uid, 10, 32); err == nil {
			return fmt.Sprint("uid:", n)
		}
	}
	return "unknown"
}

// admits counts a refusal, and tells whether it is to be logged.
func (l *limit) admits(address string) bool {
	by := group(address)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun.IsZero() {
		l.begun, l.counts = time.Now(), make(map[string]int)
		l.timer = time.AfterFunc(limitPeriod, l.end)
	}
	if _, known := l.counts[by]; !known && len(l.counts) >= maxAddresses {
		if l.logged < l.each*allTimes {
			l.logged++
			return true
		}
		l.others++
		return false
	}
	if l.logged < l.each*allTimes && l.counts[by] < l.each {
		// Below the limit it counts what was logged, from then on what was left out.
		l.counts[by]++
		l.logged++
		return true
	}
	l.counts[by] = max(l.counts[by], l.each) + 1
	return false
}

// sum is how many refusals of an address were left out.
type sum struct {
	address string
	count   int
}

// end ends a period, and logs what was left out.
func (l *limit) end() {
	l.mu.Lock()
	if l.begun.IsZero() { // Flush has come first
		l.mu.Unlock()
		return
	}
	l.timer.Stop()
	seconds := int(time.Since(l.begun).Round(time.Second).Seconds())
	var sums []sum
	for address, count := range l.counts {
		if count > l.each {
			sums = append(sums, sum{address, count - l.each})
		}
	}
	others := l.others
	l.begun, l.counts, l.logged, l.others = time.Time{}, nil, 0, 0
	l.mu.Unlock()
	slices.SortFunc(sums, func(a, b sum) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.address, b.address))
	})
	for i, s := range sums {
		if i >= maxSums {
			others += s.count
			continue
		}
		l.say(s.count, seconds, slog.String("address", s.address))
	}
	if others > 0 {
		l.say(others, seconds, slog.String("address", "others"))
	}
}

// say logs how many refusals were left out.
func (l *limit) say(count, seconds int, of slog.Attr) {
	ctx := context.Background()
	if !l.next.Enabled(ctx, slog.LevelInfo) {
		return
	}
	record := slog.NewRecord(time.Now(), slog.LevelInfo, fmt.Sprintf(
		"zmqauth: refused %s more in %d s, not logged one by one", thousands(count), seconds), 0)
	record.AddAttrs(of, slog.Int("times", count))
	_ = l.next.Handle(ctx, record) // there is nobody to tell
}

// thousands is a number in groups of three digits.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
