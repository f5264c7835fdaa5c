package daemon

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
)

// lowestPort is the first port that FreePort returns. Services of the machine are below it.
const lowestPort = 10_000

// FreePort returns a port of 127.0.0.1 that nobody uses. The port is below those that the system
// chooses for connections and for listeners on port 0. So it stays free until its user asks for
// it, even if he gives it up for a while.
func FreePort() (int, error) {
	first := firstOfTheSystem()
	var err error
	for range 100 {
		listener, fault := net.Listen("tcp",
			fmt.Sprintf("127.0.0.1:%d", lowestPort+rand.IntN(first-lowestPort)))
		if fault == nil {
			return listener.Addr().(*net.TCPAddr).Port, listener.Close()
		}
		err = errors.Join(err, fault)
	}
	return 0, err
}

// firstOfTheSystem returns the first port that the system chooses by itself (ip(7),
// ip_local_port_range).
func firstOfTheSystem() (first int) {
	const usual = 32_768
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return usual
	}
	if _, err := fmt.Sscan(string(text), &first); err != nil || first < 2*lowestPort {
		return usual // it cannot be told apart there: as good as a port of the system's choice
	}
	return first
}
