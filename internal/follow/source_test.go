//go:build unix

package follow

import (
	"errors"
	"log/slog"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
)

// TestSourceRefusedAgain: what is refused, mended and refused again is logged each time, also if it
// was missing for a moment when it was mended.
func TestSourceRefusedAgain(t *testing.T) {
	for name, missing := range map[string]error{"mended": nil, "missing first": syscall.ENOENT} {
		t.Run(name, func(t *testing.T) {
			var log logbuffer.Buffer
			w := New(func(line func(*slog.Logger)) { line(log.Logger()) })
			defer w.Close()
			s := w.NewSource("directory", "keys", func() time.Duration { return 0 })
			var h health
			s.Follows(h.failing)
			refuse := func() { s.Refuse(errors.New("others can write it")) }
			refuse()
			h.set(missing)
			s.Accept()
			h.set(nil)
			s.Accept()
			refuse()
			got := log.String()
			if strings.Count(got, "what was in force stays") != 2 ||
				strings.Count(got, "can be used again") != 1 {
				t.Errorf("the log: %s", got)
			}
		})
	}
}
