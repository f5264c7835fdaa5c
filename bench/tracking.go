package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// trackedConnections is how many connections a run makes within the minutes that the kernel
// remembers them for.
const trackedConnections = 500_000

// warnOfTracking warns where the kernel keeps track of connections, as for a firewall or a Docker
// engine, and may not have room for all: it loses packets then, and figures are of that.
func warnOfTracking() {
	const directory = "/proc/sys/net/netfilter/"
	most, count := numberIn(directory+"nf_conntrack_max"), numberIn(directory+"nf_conntrack_count")
	if most > 0 && most-count < trackedConnections {
		fmt.Fprintf(os.Stderr, "bench: the kernel tracks %d connections, at most %d: figures may be "+
			"wrong; sysctl -w net.netfilter.nf_conntrack_max=%d\n", count, most, count+2*trackedConnections)
	}
}

// numberIn is the number in a file; 0: there is none.
func numberIn(path string) int {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	number, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return number
}
