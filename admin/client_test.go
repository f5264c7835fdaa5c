package admin

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zmqauth/zmqauth/internal/must"
)

// TestSilentSocket: who asks a program that stands still is told so.
func TestSilentSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	listener, err := net.Listen("unix", path)
	must.OK(t, err)
	defer listener.Close()
	client := NewClient(path)
	client.http.Transport = client.transport(10 * time.Millisecond)
	_, err = client.Status(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "stands still") {
		t.Errorf("%v", err)
	}
}
