package main

import (
	"context"
	"net"
	"testing"
	"time"
)

func TestDialable(t *testing.T) {
	for endpoint, want := range map[string]string{
		"tcp://*:5555":         "tcp :5555",
		"tcp://192.0.2.1:5555": "tcp 192.0.2.1:5555",
		"tcp://[::1]:5555":     "tcp [::1]:5555",
		"tcp://lo:5555":        "tcp 127.0.0.1:5555",
		"ipc:///run/a.sock":    "unix /run/a.sock",
		"ipc://@abstract":      "unix @abstract",
	} {
		network, address, err := dialable(endpoint)
		if got := network + " " + address; got != want || err != nil {
			t.Errorf("%s: %q, %v; want %q", endpoint, got, err, want)
		}
	}
	for _, endpoint := range []string{"tcp://127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://127.0.0.1"} {
		if network, address, err := dialable(endpoint); err == nil {
			t.Errorf("%s: %s %s", endpoint, network, address)
		}
	}
}

// TestGreetsRefusesOthers: a server that is not a ZeroMQ socket is an error, and so is one that
// sends nothing before the deadline.
func TestGreetsRefusesOthers(t *testing.T) {
	for name, says := range map[string]string{
		"a web server": "HTTP/1.1 400 Bad Request\r\n", "nobody": "", "half": "\xff\x00",
	} {
		t.Run(name, func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			go func() {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = conn.Write([]byte(says))
				_, _ = conn.Read(make([]byte, 1)) // waits until the client closes the connection
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			if err := greets(ctx, "tcp://"+listener.Addr().String()); err == nil {
				t.Error("taken for a ZeroMQ socket")
			}
		})
	}
}
