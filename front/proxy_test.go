package front

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"

	"github.com/zmqauth/zmqauth/internal/must"
)

// header is a header of the PROXY protocol, of a version, for a client.
func header(t testing.TB, version byte, client string) []byte {
	t.Helper()
	at := netip.MustParseAddrPort(client)
	source := net.TCPAddrFromAddrPort(at)
	destination := &net.TCPAddr{IP: net.ParseIP("10.0.0.1"), Port: 5555}
	if at.Addr().Is6() {
		destination.IP = net.ParseIP("2001:db8::1")
	}
	formatted, err := proxyproto.HeaderProxyFromAddrs(version, source, destination).Format()
	must.OK(t, err)
	return formatted
}

func TestParseHeader(t *testing.T) {
	v2 := string(proxyproto.SIGV2)
	const rest = "\xff\x00\x00\x00"
	for _, c := range []struct{ name, sent, want string }{
		{"v1", string(header(t, 1, "192.0.2.1:1000")), "192.0.2.1:1000"},
		{"v1 IPv6", string(header(t, 1, "[2001:db8::7]:1000")), "[2001:db8::7]:1000"},
		{"v1 unknown", "PROXY UNKNOWN\r\n", "own"},
		{"v1 unknown with addresses", "PROXY UNKNOWN ffff:f::1 ffff::2 65535 65535\r\n", "own"},
		{"v1 without an end", "PROXY TCP4 192.0.2.1 10.0.0.1 1 2", "incomplete"},
		{"v1 too long", "PROXY UNKNOWN " + strings.Repeat("x", 100) + "\r\n", "bad"},
		{"v1 without a source", "PROXY TCP4\r\n", "bad"},
		{"v1 of another family", "PROXY TCP4 2001:db8::7 2001:db8::8 1 2\r\n", "bad"},
		{"v1 with a name", "PROXY TCP4 localhost 10.0.0.1 1 2\r\n", "bad"},
		{"v1 with a port too high", "PROXY TCP4 192.0.2.1 10.0.0.1 65536 2\r\n", "bad"},
		{"v2", string(header(t, 2, "192.0.2.1:1000")), "192.0.2.1:1000"},
		{"v2 IPv6", string(header(t, 2, "[2001:db8::7]:1000")), "[2001:db8::7]:1000"},
		{"v2 mapped", v2 + "\x21\x21\x00\x24" + strings.Repeat("\x00", 10) + "\xff\xff\xc0\x00\x02\x01" +
			strings.Repeat("\x00", 16) + "\x03\xe8\x00\x01", "192.0.2.1:1000"},
		{"v2 local", v2 + "\x20\x00\x00\x00", "own"},
		{"v2 local with addresses", v2 + "\x20\x11\x00\x0c" + strings.Repeat("\x01", 12), "own"},
		{"v2 with more", v2 + "\x21\x11\x00\x10\xc0\x00\x02\x01\x0a\x00\x00\x01\x03\xe8\x00\x01" +
			"\x04\x00\x01x", "192.0.2.1:1000"},
		{"v2 of UDP", v2 + "\x21\x12\x00\x0c" + strings.Repeat("\x01", 12), "bad"},
		{"v2 of a Unix socket", v2 + "\x21\x31\x00\xd8" + strings.Repeat("\x01", 216), "bad"},
		{"v2 too short", v2 + "\x21\x11\x00\x04\xc0\x00\x02\x01", "bad"},
		{"v2 of another version", v2 + "\x31\x11\x00\x0c" + strings.Repeat("\x01", 12), "bad"},
		{"v2 too long", v2 + "\x21\x11\xff\xff", "bad"},
		{"half a signature", v2[:5], "incomplete"},
		{"nothing", "", "incomplete"},
		{"a greeting", "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f", "bad"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent := c.sent
			if c.want != "incomplete" && c.want != "bad" {
				sent += rest
			}
			size, client, err := parseHeader([]byte(sent))
			got := client.String()
			switch {
			case errors.Is(err, errIncomplete):
				got = "incomplete"
			case err != nil:
				got = "bad"
			case !client.IsValid():
				got = "own"
			}
			if got != c.want || err == nil && size != len(c.sent) {
				t.Errorf("%s, %d bytes (%v); want %s, %d", got, size, err, c.want, len(c.sent))
			}
			for n := range len(c.sent) { // whatever comes of it so far is incomplete, or bad at once
				_, _, err := parseHeader([]byte(c.sent[:n]))
				if err == nil || c.want != "bad" && !errors.Is(err, errIncomplete) {
					t.Fatalf("the first %d bytes: %v", n, err)
				}
			}
		})
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add(header(f, 1, "192.0.2.1:1000"))
	f.Add(header(f, 2, "[2001:db8::7]:1000"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add([]byte(string(proxyproto.SIGV2) + "\x20\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		size, client, err := parseHeader(sent)
		switch {
		case err != nil:
			if size != 0 || client.IsValid() {
				t.Errorf("%d, %v with the error %v", size, client, err)
			}
			return
		case size <= 0 || size > len(sent) || size > maxHeader:
			t.Fatalf("%d of %d bytes", size, len(sent))
		}
		again, same, err := parseHeader(bytes.Clone(sent[:size]))
		if again != size || same != client || err != nil {
			t.Errorf("%d, %v, %v; then %d, %v", size, client, err, again, same)
		}
	})
}
