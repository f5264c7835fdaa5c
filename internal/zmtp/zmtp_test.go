package zmtp_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"
	"golang.org/x/crypto/curve25519"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzap"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/internal/z85"
	"github.com/zmqauth/zmqauth/internal/zmtp"
)

const long = 20 * time.Second

func config(curve *zmtp.Curve) zmtp.Config {
	return zmtp.Config{SocketType: "DEALER", Peers: []string{"DEALER"}, Curve: curve,
		MaxFrames: 8, MaxMessage: 1 << 16, MaxUnsent: 1 << 20, HandshakeTime: long}
}

// keys makes a key pair.
func keys(t testing.TB, seed byte) (public, secret [32]byte) {
	t.Helper()
	secret[3] = seed
	made, err := curve25519.X25519(secret[:], curve25519.Basepoint)
	must.OK(t, err)
	return [32]byte(made), secret
}

// pair is what two ends of a CURVE connection have.
func pair(t testing.TB) (client, server *zmtp.Curve) {
	client, server = new(zmtp.Curve), new(zmtp.Curve)
	client.Public, client.Secret = keys(t, 1)
	server.Public, server.Secret = keys(t, 2)
	client.Server = server.Public
	server.Accept = func(key [32]byte) error {
		if key != client.Public {
			return errors.New("unknown")
		}
		return nil
	}
	return client, server
}

var messages = [][]string{
	{"one"}, {"", "two", ""}, {strings.Repeat("x", 254)}, {strings.Repeat("y", 256), "z"},
	{strings.Repeat("long", 10_000), "end"},
}

// exchange sends messages both ways between a Conn and a socket of libzmq.
func exchange(t *testing.T, c *zmtp.Conn, s *zmq4.Socket) {
	t.Helper()
	must.OK(t, s.SetRcvtimeo(long))
	for _, message := range messages {
		must.OK(t, c.Send(testzap.Frames(message...)))
		got, err := s.RecvMessage(0)
		must.OK(t, err)
		if fmt.Sprint(got) != fmt.Sprint(message) {
			t.Errorf("libzmq got %.80q, want %.80q", got, message)
		}
		_, err = s.SendMessage(message)
		must.OK(t, err)
		frames, err := c.Receive(nil)
		must.OK(t, err)
		if string(bytes.Join(frames, []byte("|"))) != strings.Join(message, "|") {
			t.Errorf("got %.80q, want %.80q", frames, message)
		}
	}
	before := c.Heard()
	must.OK(t, c.Ping())
	go func() { _, _ = c.Receive(nil) }()
	testpeer.Eventually(t, "libzmq answers a ping", func() bool { return c.Heard().After(before) })
}

// TestLibzmqServer: the other end is a server of libzmq.
func TestLibzmqServer(t *testing.T) {
	for _, name := range []string{"NULL", "CURVE"} {
		t.Run(name, func(t *testing.T) {
			s := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.DEALER)
			client, server := pair(t)
			if name == "CURVE" {
				must.OK(t, errors.Join(s.SetCurveServer(1), s.SetCurveSecretkey(z85.Encode(server.Secret))))
			} else {
				client = nil
			}
			must.OK(t, s.Bind("tcp://127.0.0.1:*"))
			at, err := s.GetLastEndpoint()
			must.OK(t, err)
			nc, err := net.Dial("tcp", strings.TrimPrefix(at, "tcp://"))
			must.OK(t, err)
			c, err := zmtp.Client(nc, config(client))
			must.OK(t, err)
			defer c.Close()
			exchange(t, c, s)
		})
	}
}

// TestLibzmqClient: the other end is a client of libzmq, which pings.
func TestLibzmqClient(t *testing.T) {
	for _, name := range []string{"NULL", "CURVE"} {
		t.Run(name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must.OK(t, err)
			defer l.Close()
			s := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.DEALER)
			client, server := pair(t)
			if name == "CURVE" {
				must.OK(t, s.ClientAuthCurve(z85.Encode(server.Public), z85.Encode(client.Public),
					z85.Encode(client.Secret)))
			} else {
				server = nil
			}
			must.OK(t, errors.Join(s.SetHeartbeatIvl(20*time.Millisecond),
				s.SetHeartbeatTimeout(long), s.Connect("tcp://"+l.Addr().String())))
			nc, err := l.Accept()
			must.OK(t, err)
			c, err := zmtp.Server(nc, config(server))
			must.OK(t, err)
			defer c.Close()
			exchange(t, c, s)
		})
	}
}

// recorder keeps what goes over a connection.
type recorder struct {
	net.Conn
	written bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.written.Write(p)
	return r.Conn.Write(p)
}

// ends makes the handshake of both ends over a pipe.
func ends(t *testing.T, client, server *zmtp.Curve) (
	a *zmtp.Conn, sent *recorder, b *zmtp.Conn, err error,
) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer l.Close()
	nc, err := net.Dial("tcp", l.Addr().String())
	must.OK(t, err)
	sent = &recorder{Conn: nc}
	failed := make(chan error, 1)
	go func() {
		var err error
		a, err = zmtp.Client(sent, config(client))
		failed <- err
	}()
	accepted, err := l.Accept()
	must.OK(t, err)
	b, err = zmtp.Server(accepted, config(server))
	err = errors.Join(err, <-failed)
	for _, c := range []*zmtp.Conn{a, b} {
		if c != nil {
			t.Cleanup(c.Close)
		}
	}
	return a, sent, b, err
}

// TestBadKeys: without the right keys there is no connection.
func TestBadKeys(t *testing.T) {
	client, server := pair(t)
	_, _, _, err := ends(t, client, server)
	must.OK(t, err)
	for name, change := range map[string]func(c, s *zmtp.Curve){
		"an unknown key":     func(c, _ *zmtp.Curve) { c.Public, c.Secret = keys(t, 3) },
		"not its own key":    func(c, _ *zmtp.Curve) { _, c.Secret = keys(t, 3) },
		"another server":     func(c, _ *zmtp.Curve) { c.Server, _ = keys(t, 3) },
		"a server's own key": func(_, s *zmtp.Curve) { _, s.Secret = keys(t, 3) },
		"no key":             func(c, _ *zmtp.Curve) { c.Public = [32]byte{} },
	} {
		client, server := pair(t)
		change(client, server)
		known, _ := keys(t, 1)
		server.Accept = func(key [32]byte) error {
			if key != known {
				return errors.New("unknown")
			}
			return nil
		}
		if _, _, _, err := ends(t, client, server); err == nil {
			t.Errorf("%s: connected", name)
		}
	}
	client, server = pair(t)
	for name, config := range map[string][2]*zmtp.Curve{
		"NULL and CURVE": {nil, server}, "CURVE and NULL": {client, nil},
	} {
		if _, _, _, err := ends(t, config[0], config[1]); err == nil {
			t.Errorf("%s: connected", name)
		}
	}
}

// TestSealed: who sends a sealed frame again, changes one, or sends one in clear is cut off.
func TestSealed(t *testing.T) {
	for name, attack := range map[string]func(frame []byte) []byte{
		"again":    func(frame []byte) []byte { return frame },
		"changed":  func(frame []byte) []byte { frame[len(frame)-1] ^= 1; return frame },
		"number":   func(frame []byte) []byte { frame[17] = 9; return frame },
		"in clear": func([]byte) []byte { return []byte("\x00\x05hello") },
		"short":    func([]byte) []byte { return []byte("\x00\x08\x07MESSAGE") },
	} {
		client, server := pair(t)
		a, sent, b, err := ends(t, client, server)
		must.OK(t, err)
		start := sent.written.Len()
		must.OK(t, a.Send(testzap.Frames("a secret word")))
		frames, err := b.Receive(nil)
		must.OK(t, err)
		if string(frames[0]) != "a secret word" {
			t.Errorf("%s: %q", name, frames)
		}
		wire := bytes.Clone(sent.written.Bytes()[start:])
		if bytes.Contains(wire, []byte("secret")) {
			t.Error("it is sent in clear")
		}
		_, err = sent.Conn.Write(attack(wire))
		must.OK(t, err)
		if frames, err := b.Receive(nil); err == nil {
			t.Errorf("%s: %q", name, frames)
		}
	}
}

// stream is a connection from which some bytes come, and into which everything goes.
type stream struct {
	net.Conn
	in *bytes.Reader
}

func (s stream) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s stream) Write(p []byte) (int, error)      { return len(p), nil }
func (s stream) Close() error                     { return nil }
func (s stream) SetDeadline(time.Time) error      { return nil }
func (s stream) SetReadDeadline(time.Time) error  { return nil }
func (s stream) SetWriteDeadline(time.Time) error { return nil }

const greeting = "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x01NULL"

var opening = greeting + strings.Repeat("\x00", 64-len(greeting)) +
	"\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"

// TestBadFrames: what is no ZMTP, or too much of it, is an error, and takes no memory.
func TestBadFrames(t *testing.T) {
	good, err := zmtp.Server(stream{in: bytes.NewReader([]byte(opening + "\x00\x02hi"))}, config(nil))
	must.OK(t, err)
	frames, err := good.Receive(nil)
	must.OK(t, err)
	if string(frames[0]) != "hi" {
		t.Errorf("%q", frames)
	}
	if _, err := good.Receive(nil); err != io.EOF {
		t.Error(err)
	}
	for name, text := range map[string]string{
		"a huge frame":      "\x02\x7f\xff\xff\xff\xff\xff\xff\xff",
		"a negative size":   "\x02\xff\xff\xff\xff\xff\xff\xff\xff",
		"more than a frame": "\x02\x00\x00\x00\x00\x00\x02\x00\x00",
		"too many frames":   strings.Repeat("\x01\x00", 8) + "\x00\x00",
		"a long ping":       "\x04\x20\x04PING\x00\x00" + strings.Repeat("x", 25),
		"half a frame":      "\x00\x05abc",
	} {
		c, err := zmtp.Server(stream{in: bytes.NewReader([]byte(opening + text))}, config(nil))
		must.OK(t, err)
		if frames, err := c.Receive(nil); err == nil {
			t.Errorf("%s: %q", name, frames)
		}
		c.Close()
	}
	for name, text := range map[string]string{
		"HTTP":           "GET / HTTP/1.1\r\n" + strings.Repeat("x", 100),
		"ZMTP 2":         strings.Replace(opening, "\x7f\x03", "\x7f\x02", 1),
		"a socket type":  strings.Replace(opening, "DEALER", "ROUTER", 1),
		"no READY":       strings.Replace(opening, "READY", "STEAD", 1),
		"long value":     strings.Replace(opening, "\x00\x00\x00\x06", "\xff\xff\xff\xff", 1),
		"value too long": strings.Replace(opening, "\x00\x00\x00\x06", "\x00\x00\x00\x07", 1),
		"name too long":  strings.Replace(opening, "\x0bSocket", "\xf0Socket", 1),
		"a message":      strings.Replace(opening, "\x04\x1c", "\x00\x1c", 1),
		"ERROR":          opening[:64] + "\x04\x06\x05ERROR",
	} {
		if _, err := zmtp.Server(stream{in: bytes.NewReader([]byte(text))}, config(nil)); err == nil {
			t.Errorf("%s: connected", name)
		}
	}
}

// TestFull: what the other end does not take is bounded.
func TestFull(t *testing.T) {
	a, _, _, err := ends(t, nil, nil)
	must.OK(t, err)
	for range 1000 {
		if err = a.Send([][]byte{make([]byte, 1<<15)}); err != nil {
			break
		}
	}
	if !errors.Is(err, zmtp.ErrFull) {
		t.Error(err)
	}
	if err := a.Ping(); err == nil {
		t.Error("it is still open")
	}
}

// FuzzReceive: whatever comes, the handshake and Receive end, within the limits.
func FuzzReceive(f *testing.F) {
	f.Add([]byte(opening + "\x00\x02hi"))
	f.Add([]byte(opening + "\x01\x00\x00\x02hi\x04\x07\x04PING\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, text := range [][]byte{data, append([]byte(opening), data...)} {
			c, err := zmtp.Server(stream{in: bytes.NewReader(text)}, config(nil))
			if err != nil {
				continue
			}
			for {
				frames, err := c.Receive(nil)
				if err != nil {
					break
				}
				if len(frames) > 8 || len(bytes.Join(frames, nil)) > 1<<16+64 {
					t.Fatalf("%d frames", len(frames))
				}
			}
			c.Close()
		}
	})
}

// FuzzCurve: whatever a client sends to a server with keys, it is not connected.
func FuzzCurve(f *testing.F) {
	_, server := pair(f)
	curve := strings.Replace(greeting, "NULL", "CURVE", 1)
	curve += strings.Repeat("\x00", 64-len(curve))
	f.Add([]byte("\x04\xc8\x05HELLO\x01\x00" + strings.Repeat("x", 192)))
	f.Fuzz(func(t *testing.T, data []byte) {
		text := append([]byte(curve), data...)
		if _, err := zmtp.Server(stream{in: bytes.NewReader(text)}, config(server)); err == nil {
			t.Fatal("connected")
		}
	})
}
