package sshtunnel_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/zmqauth/zmqauth/sshtunnel"
)

// Any client that takes a dialler can use a tunnel. This one is of package net/http.
func ExampleTunnel_Dial() {
	gateway := startGateway()
	defer gateway.stop()
	website := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "hello")
	}))
	defer website.Close()

	tunnel, err := sshtunnel.Open(context.Background(),
		sshtunnel.Config{Host: "gateway", ConfigFile: gateway.sshConfig})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tunnel.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: tunnel.Dial}}
	response, err := client.Get(website.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	fmt.Printf("%s, %v\n", text, err)
	// Output: hello, <nil>
}

// The first connection to a host: the user is asked, and the key is recorded.
func ExampleHostKeyError() {
	gateway := startGateway()
	defer gateway.stop()
	cfg := sshtunnel.Config{Host: "gateway", ConfigFile: gateway.sshConfig,
		KnownHosts: gateway.dir + "/empty"}
	_, err := sshtunnel.Open(context.Background(), cfg)
	var stranger *sshtunnel.HostKeyError
	if !errors.As(err, &stranger) || !errors.Is(err, sshtunnel.ErrUnknownHost) {
		fmt.Println("want an unknown host, got", err)
		return
	}
	fmt.Println("the fingerprint that somebody is to compare:",
		strings.HasPrefix(stranger.Fingerprint, "SHA256:"))
	if err := os.WriteFile(stranger.File, []byte(stranger.Entry+"\n"), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	tunnel, err := sshtunnel.Open(context.Background(), cfg)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("known now:", tunnel.Err(), tunnel.Close())
	// Output:
	// the fingerprint that somebody is to compare: true
	// known now: <nil> <nil>
}

// A gateway behind another one that needs a password, which cannot be in ssh_config. Each password
// is sent to its own host only.
func ExampleConfig_jumps() {
	outer, inner := startGateway(), startGateway()
	defer outer.stop()
	defer inner.stop()
	tunnel, err := sshtunnel.Open(context.Background(), sshtunnel.Config{
		Host: "gateway", ConfigFile: inner.sshConfig,
		Jumps: []sshtunnel.Config{{
			Host: "gateway", ConfigFile: outer.sshConfig,
			Password: func() (string, error) { return os.Getenv("GATEWAY_PASSWORD"), nil },
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tunnel.Close()
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	defer listener.Close()
	conn, err := tunnel.Dial(context.Background(), "tcp", listener.Addr().String())
	fmt.Println(conn.RemoteAddr().Network(), err)
	// Output: tcp <nil>
}
