package sshtunnel

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

// times sets the timeouts.
func (r *resolver) times() error {
	r.connectTimeout, r.keepAlive = defaultConnectTimeout, defaultKeepAlive
	r.aliveCount = defaultAliveCount
	for _, setting := range []struct {
		keyword string
		use     func(int)
	}{
		{"connecttimeout", func(n int) {
			if n > 0 {
				r.connectTimeout = time.Duration(n) * time.Second
			}
		}},
		{"serveraliveinterval", func(n int) {
			r.keepAlive = time.Duration(n) * time.Second
			if n == 0 {
				r.keepAlive = -1
			}
		}},
		{"serveralivecountmax", func(n int) { r.aliveCount = min(max(n, 1), 1000) }},
	} {
		if d, ok := r.found.first(setting.keyword); ok {
			seconds, err := readSeconds(d.words[0])
			if err != nil {
				return d.errorf("%s: %w", setting.keyword, err)
			}
			setting.use(seconds)
		}
	}
	if r.cfg.ConnectTimeout > 0 {
		r.connectTimeout = r.cfg.ConnectTimeout
	}
	if r.cfg.KeepAlive != 0 {
		r.keepAlive = r.cfg.KeepAlive
	}
	r.keepAlive = min(r.keepAlive, 24*time.Hour)
	return nil
}

// readSeconds parses a number of seconds, or a time in the format of sshd_config(5): 90, 90s,
// 1m30s, 1m30, 2h.
func readSeconds(text string) (int, error) {
	if number, err := strconv.ParseUint(text, 10, 31); err == nil {
		return int(number), nil
	}
	if text == "" {
		return 0, fmt.Errorf("%q is not a time", text)
	}
	if last := text[len(text)-1]; last >= '0' && last <= '9' {
		text += "s"
	}
	units := map[byte]uint64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}
	total, digits := uint64(0), ""
	for i := range len(text) {
		if c := text[i]; c >= '0' && c <= '9' {
			digits += text[i : i+1]
			continue
		}
		unit, ok := units[text[i]|0x20]
		number, err := strconv.ParseUint(digits, 10, 31)
		total, digits = total+number*unit, ""
		if !ok || err != nil || total > math.MaxInt32 {
			return 0, fmt.Errorf("%q is not a time", text)
		}
	}
	return int(total), nil
}
