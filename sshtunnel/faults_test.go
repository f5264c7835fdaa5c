//go:build unix

package sshtunnel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// goServer starts an SSH server in this process, for what sshd does not do. handle gets the
// connections of users that are logged in.
func goServer(
	t testing.TB, config *ssh.ServerConfig, handle func(ssh.Conn, <-chan ssh.NewChannel),
) Config {
	t.Helper()
	key := newKey(t, filepath.Join(t.TempDir(), "key"))
	signer, err := ssh.ParsePrivateKey([]byte(readText(t, key)))
	must.OK(t, err)
	config.AddHostKey(signer)
	address := serve(t, func(conn net.Conn) {
		server, channels, requests, err := ssh.NewServerConn(conn, config)
		if err != nil {
			return
		}
		defer server.Close()
		go ssh.DiscardRequests(requests)
		handle(server, channels)
	})
	cfg := Config{Host: address, User: "ann", KeyFile: key, ConfigFile: "none", Agent: "none",
		Logger: testLogger(t)}
	host, port, err := net.SplitHostPort(address)
	must.OK(t, err)
	cfg.known(t, fmt.Sprintf("[%s]:%s %s", host, port, readText(t, key+".pub")))
	return cfg
}

// TestSilentServers: at whatever step the server becomes silent, Open ends with its context and
// with ConnectTimeout.
func TestSilentServers(t *testing.T) {
	testpeer.NothingLeft(t)
	hang := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	type step struct {
		handle func(net.Conn)
		doing  string
	}
	for name, s := range map[string]step{
		"says nothing": {hang, "prove who it is"},
		"greets, and says nothing more": {func(conn net.Conn) {
			_, _ = io.WriteString(conn, "SSH-2.0-silent\r\n")
			hang(conn)
		}, "prove who it is"},
		"greets very slowly": {func(conn net.Conn) {
			for {
				if _, err := conn.Write([]byte("x")); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
			}
		}, "prove who it is"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Host: serve(t, s.handle), User: "ann", ConfigFile: "none", KnownHosts: os.DevNull,
				Agent: "none"}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			began := time.Now()
			_, err := Open(ctx, cfg)
			if saysAll(t, err, s.doing, cfg.Host); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v, want the context's", err)
			}
			cfg.ConnectTimeout = 50 * time.Millisecond
			_, err = Open(context.Background(), cfg)
			var timeout interface{ Timeout() bool }
			if saysAll(t, err, s.doing, "50ms"); !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Errorf("%v is no timeout", err)
			}
			if time.Since(began) > patience {
				t.Errorf("it takes %s", time.Since(began))
			}
			reason := errors.New("the program has changed its mind")
			ctx2, cancel2 := context.WithCancelCause(t.Context())
			cancel2(reason)
			if _, err := Open(ctx2, cfg); !errors.Is(err, reason) || !errors.Is(err, context.Canceled) {
				t.Errorf("%v does not say why", err)
			}
		})
	}
	t.Run("does not decide about the user", func(t *testing.T) {
		release := make(chan struct{})
		wait := func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
			<-release
			return nil, errors.New("no")
		}
		cfg := goServer(t, &ssh.ServerConfig{PublicKeyCallback: wait}, nil)
		t.Cleanup(func() { close(release) })
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := Open(ctx, cfg)
		if saysAll(t, err, "logging in"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the context's", err)
		}
	})
	t.Run("does not open streams", func(t *testing.T) {
		cfg := goServer(t, &ssh.ServerConfig{NoClientAuth: true},
			func(conn ssh.Conn, _ <-chan ssh.NewChannel) {
				_ = conn.Wait()
			})
		tunnel := open(t, cfg)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := tunnel.Dial(ctx, "tcp", "127.0.0.1:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the context's", err)
		}
	})
	t.Run("does not close streams", func(t *testing.T) {
		cfg := goServer(t, &ssh.ServerConfig{NoClientAuth: true},
			func(conn ssh.Conn, channels <-chan ssh.NewChannel) {
				for channel := range channels {
					_, _, _ = channel.Accept()
				}
			})
		tunnel := open(t, cfg)
		for range 3 {
			conn, err := tunnel.Dial(patient(t), "tcp", "127.0.0.1:1")
			must.OK(t, err)
			_, err = conn.Write([]byte("hello"))
			must.OK(t, errors.Join(err, conn.Close()))
		}
		must.OK(t, tunnel.Close())
	})
}

func TestServersThatAreNone(t *testing.T) {
	testpeer.NothingLeft(t)
	for name, handle := range map[string]func(net.Conn){
		"closes": func(net.Conn) {},
		"speaks otherwise": func(conn net.Conn) {
			_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		},
		"speaks SSH 1": func(conn net.Conn) { _, _ = io.WriteString(conn, "SSH-1.5-old\r\n") },
		"speaks nonsense": func(conn net.Conn) {
			_, _ = io.WriteString(conn, "SSH-2.0-x\r\n"+strings.Repeat("nonsense", 10000))
		},
		"talks and talks": func(conn net.Conn) { _, _ = io.Copy(conn, zeros{}) },
		"greets in a novel": func(conn net.Conn) {
			_, _ = io.Copy(conn, io.MultiReader(strings.NewReader(strings.Repeat("line\r\n", 1<<20))))
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Config{Host: serve(t, handle), User: "ann", ConfigFile: "none", KnownHosts: os.DevNull,
				Agent: "none"}
			openFails(t, cfg, cfg.Host)
		})
	}
	t.Run("nobody", func(t *testing.T) {
		cfg := Config{Host: fmt.Sprint("127.0.0.1:", testpeer.FreePort(t)), User: "ann",
			ConfigFile: "none", Agent: "none"}
		openFails(t, cfg, cfg.Host, "connection refused")
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// TestHostWithADash: a host that begins with a dash is refused, as by ssh, and is never an option.
func TestHostWithADash(t *testing.T) {
	dir := t.TempDir()
	for _, host := range []string{"-oProxyCommand=touch " + dir + "/executed", "-F" + dir, "--", "-"} {
		openFails(t, Config{Host: host, User: "ann", ConfigFile: "none", KnownHosts: os.DevNull,
			Agent: "none"}, "it begins with a dash")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestIPv6(t *testing.T) {
	testpeer.NeedIPv6(t)
	testpeer.NothingLeft(t)
	server := newSSHD(t, "ListenAddress ::1")
	server.logged(t, "Server listening on ::1", 1)
	cfg := server.config(t)
	cfg.known(t, fmt.Sprintf("[::1]:%d %s", server.Port, readText(t, server.HostKey+".pub")))
	for _, host := range []string{"::1", fmt.Sprintf("[::1]:%d", server.Port)} {
		cfg.Host = host
		tunnel := open(t, cfg)
		listener, err := net.Listen("tcp", "[::1]:0")
		must.OK(t, err)
		serveOn(t, listener, func(conn net.Conn) {
			_, _ = io.Copy(struct{ io.Writer }{conn}, struct{ io.Reader }{conn})
		})
		echoes(t, tunnel, listener.Addr().String())
		endpoint, err := tunnel.Forward("tcp://" + listener.Addr().String())
		must.OK(t, err)
		conn, err := net.Dial("unix", strings.TrimPrefix(endpoint, "ipc://"))
		must.OK(t, err)
		says(t, conn, "hello")
		must.OK(t, conn.Close())
	}
}

// TestTamperedConnection: if somebody on the way changes a bit, the connection ends, and no stream
// looks complete.
func TestTamperedConnection(t *testing.T) {
	testpeer.NothingLeft(t)
	server := newSSHD(t)
	address := echo(t)
	var tamper atomic.Bool
	proxy := serve(t, func(conn net.Conn) {
		back, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", server.Port))
		if err != nil {
			return
		}
		defer back.Close()
		go func() {
			_, _ = io.Copy(struct{ io.Writer }{back}, struct{ io.Reader }{conn})
			_ = back.Close()
		}()
		buffer := make([]byte, 1<<16)
		for {
			n, err := back.Read(buffer)
			if n > 0 && tamper.CompareAndSwap(true, false) {
				buffer[n-1] ^= 1
			}
			if _, err := conn.Write(buffer[:n]); err != nil {
				return
			}
			if err != nil {
				return
			}
		}
	})
	cfg := server.config(t)
	cfg.Port = 0
	cfg.Host = proxy
	host, port, err := net.SplitHostPort(proxy)
	must.OK(t, err)
	cfg.known(t, fmt.Sprintf("[%s]:%s %s", host, port, readText(t, server.HostKey+".pub")))
	tunnel := open(t, cfg)
	for range 3 {
		var conns []net.Conn
		for range 20 {
			conn, err := tunnel.Dial(patient(t), "tcp", address)
			must.OK(t, err)
			says(t, conn, "hello")
			conns = append(conns, conn)
		}
		tamper.Store(true)
		_, err = conns[0].Write([]byte("what comes back is changed"))
		must.OK(t, err)
		for _, conn := range conns {
			must.OK(t, conn.SetDeadline(time.Now().Add(patience)))
			_, err := io.ReadAll(conn)
			saysAll(t, err, proxy)
			must.OK(t, conn.Close())
		}
	}
	echoes(t, tunnel, address)
}
