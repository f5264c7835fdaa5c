package sshtunnel

import (
	"io"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestLoopbackPair tests the replacement for socketpair(2).
func TestLoopbackPair(t *testing.T) {
	testpeer.NothingLeft(t)
	here, there, err := loopbackPair()
	must.OK(t, err)
	for _, ends := range [][2]localEnd{{here, there}, {there, here}} {
		_, err := io.WriteString(ends[0], "hello")
		must.OK(t, err)
		must.OK(t, ends[0].CloseWrite())
		if text, err := io.ReadAll(ends[1]); err != nil || string(text) != "hello" {
			t.Errorf("%q, %v", text, err)
		}
	}
	must.OK(t, here.Close())
	must.OK(t, there.Close())
}
