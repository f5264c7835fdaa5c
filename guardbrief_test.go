package zmqauth

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// TestGuardAfterBriefOnes: who comes from an address from which somebody has just asked and hung up
// has a session, which is exact.
func TestGuardAfterBriefOnes(t *testing.T) {
	for _, threads := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(threads), func(t *testing.T) {
			zctx := testzmq.NewContext(t)
			must.OK(t, zctx.SetIoThreads(threads))
			a, err := New(zctx, &Config{Logger: quiet()})
			must.OK(t, err)
			t.Cleanup(func() { must.OK(t, a.Close()) })
			must.OK(t, a.Start())
			endpoint := lateGuard(t, zctx, a, "tcp://127.0.0.1:*")
			for n := 2; n < 34; n++ {
				address := fmt.Sprintf("127.9.0.%d", n)
				gone := askAndHangUp(t, address, endpoint, time.Duration(n%8)*200*time.Microsecond)
				client := testzmq.NewSocket(t, zctx, zmq4.DEALER)
				must.OK(t, client.Connect("tcp://"+address+":0;"+strings.TrimPrefix(endpoint, "tcp://")))
				testpeer.Eventually(t, address+" has an exact session", func() bool {
					for _, s := range a.Sessions() {
						if s.Client.Addr().String() == address && s.Client.String() != gone && s.Exact {
							return true
						}
					}
					return false
				})
			}
		})
	}
}

// askAndHangUp is a NULL client that hangs up as soon as it has said what it is, or soon after. It
// returns where it came from.
func askAndHangUp(t *testing.T, address, endpoint string, pause time.Duration) (from string) {
	t.Helper()
	greeting := append([]byte{0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0}, make([]byte, 52)...)
	copy(greeting[12:], "NULL")
	const ready = "\x04\x1c\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	conn, err := dialer.Dial("tcp", strings.TrimPrefix(endpoint, "tcp://"))
	must.OK(t, err)
	_, err = conn.Write(append(greeting, ready...))
	must.OK(t, err)
	time.Sleep(pause)
	must.OK(t, conn.Close())
	return conn.LocalAddr().String()
}
