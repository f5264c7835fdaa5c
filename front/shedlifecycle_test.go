//go:build linux

package front

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/sys/unix"

	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestShedEnds: after its time the next one is closed and counted again. If the flood goes on, so
// does the dropping. The log says so at once, and then at growing intervals.
func TestShedEnds(t *testing.T) {
	needFilters(t)
	var lines logbuffer.Buffer
	s := newShedding(t, "tcp://127.0.0.1:*",
		&Config{Logger: slog.New(slog.NewTextHandler(&lines, nil))})
	tune(s.front, 100*time.Millisecond)
	must.OK(t, s.a.Deny("127.9.0.0/16"))
	for range 3 {
		s.flood(t, "127.9.0.1")
		testpeer.Eventually(t, "it is closed", func() bool { return !s.drops(t, "127.9.0.1") })
	}
	const text = "the kernel drops connections from denied networks"
	testpeer.Eventually(t, "a line", func() bool { return strings.Contains(lines.String(), text) })
	log := lines.String()
	if strings.Count(log, text) > 2 || !strings.Contains(log, "network=127.9.0.0/16") {
		t.Error(log)
	}
}

// TestShedClose: a Front can be closed in a flood.
func TestShedClose(t *testing.T) {
	needFilters(t)
	testpeer.NothingLeft(t)
	for range 5 {
		s := newShedding(t, "tcp://127.0.0.1:*", nil)
		must.OK(t, s.a.Deny("127.9.0.0/16"))
		endpoint := s.front.Endpoint()
		s.flood(t, "127.9.0.1")
		var closing sync.WaitGroup
		closing.Go(func() { must.OK(t, s.front.Close()) })
		for range 10 * few {
			must.OK(t, unix.Close(knock(t, endpoint, "127.9.0.1")))
		}
		closing.Wait()
		s.a.ResetAddresses() // tells nobody any more
		must.OK(t, s.front.Reconfigure(nil))
		if n := s.front.Stats().Dropped; n == 0 {
			t.Error("the drops are forgotten")
		}
	}
}

// TestShedReplace: a Front that takes the place of another one begins without a filter, has one of
// its own when the flood goes on, and keeps it when the other one has ended.
func TestShedReplace(t *testing.T) {
	needFilters(t)
	testpeer.NothingLeft(t)
	s := newShedding(t, "tcp://127.0.0.1:*", nil)
	must.OK(t, s.a.Deny("127.9.0.0/16"))
	s.flood(t, "127.9.0.1")
	old := s.front
	var err error
	s.front, err = Listen(s.a, s.socket, old.Endpoint(), &Config{Replace: old})
	must.OK(t, err)
	tune(s.front, time.Hour)
	if s.drops(t, "127.9.0.1") {
		t.Error("the old Front's filter is left")
	}
	testpeer.Eventually(t, "the new Front closes and counts one", func() bool {
		return !s.enters(t, "127.9.0.1") && s.front.Stats().Reasons[ReasonAddressDenied] > 0
	})
	s.flood(t, "127.9.0.1")
	must.OK(t, old.Close())
	if !s.drops(t, "127.9.0.1") {
		t.Error("the filter went with the old Front")
	}
	if !s.enters(t, "127.0.0.1") {
		t.Error("a good client is not let in")
	}
}

// TestShedInherited: a socket that another process may have gets no filter.
func TestShedInherited(t *testing.T) {
	tcp, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	at := "tcp://" + tcp.Addr().String()
	s := newServer(t, zmq4.ROUTER, "NULL", at, &Config{Listener: filed(t, tcp, err)})
	s2, err := Listen(s.a, s.socket, at, &Config{Replace: s.front})
	must.OK(t, err)
	defer s2.Close()
	if s.front.engine.shed != nil || s2.engine.shed != nil {
		t.Error("there is a shed")
	}
	must.OK(t, s2.Reconfigure(nil))
	if n := s2.Stats().Dropped; n != 0 {
		t.Errorf("%d are dropped", n)
	}
}

// TestShedNoFilter: where the kernel takes no filter, all are closed and counted, and the log says
// so once.
func TestShedNoFilter(t *testing.T) {
	var lines logbuffer.Buffer
	logger := slog.New(slog.NewTextHandler(&lines, nil))
	s := newShedding(t, "tcp://127.0.0.1:*", &Config{Logger: logger})
	must.OK(t, s.a.Deny("127.9.0.0/16"))
	must.OK(t, unix.SetsockoptInt(s.front.engine.public.fd, unix.SOL_SOCKET, unix.SO_LOCK_FILTER, 1))
	for range 5 * few {
		if s.enters(t, "127.9.0.1") {
			t.Fatal("let in")
		}
	}
	s.refused(t, ReasonAddressDenied, 5*few)
	const text = "the kernel does not drop connections"
	testpeer.Eventually(t, "a line", func() bool { return strings.Contains(lines.String(), text) })
	if strings.Count(lines.String(), text) > 1 || s.drops(t, "127.9.0.1") {
		t.Errorf("%s", &lines)
	}
}

// TestShedManyNetworks: where more networks flood than the kernel is given, it has the last ones.
func TestShedManyNetworks(t *testing.T) {
	needFilters(t)
	s := newShedding(t, "tcp://127.0.0.1:*", nil)
	const count = maxNetworks + 2*maxSeen
	entries := make([]string, count)
	for i := range entries {
		entries[i] = fmt.Sprintf("127.9.%d.0/24", i)
	}
	must.OK(t, s.a.Deny(entries...))
	for i := range count {
		s.flood(t, fmt.Sprintf("127.9.%d.1", i))
	}
	if n := len(s.dropped()); n > maxNetworks || n < maxSeen {
		t.Errorf("%d networks", n)
	}
}

// TestShedStopped: after Stop nobody passes, but not for a rule that the kernel could be told.
func TestShedStopped(t *testing.T) {
	needFilters(t)
	s := newShedding(t, "tcp://127.0.0.1:*", nil)
	must.OK(t, s.a.Deny("127.9.0.0/16"))
	must.OK(t, s.a.Stop())
	for range 3 * few {
		if s.drops(t, "127.0.0.1") {
			t.Fatal("dropped")
		}
	}
	s.flood(t, "127.9.0.1")
}
