package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/zmqauth/zmqauth/bench/loadgen"
)

const (
	idleClients = 10_000
	idleTime    = 3 * time.Second
	idleRepeats = 3
)

// idleRun is what a proxy with idle clients takes.
type idleRun struct {
	memory    float64 // bytes for each client
	processor float64 // of one
}

// measureIdle measures a proxy with that many idle clients, beside zmq_proxy with as many.
func measureIdle(clients, repeats int, watched time.Duration) ([]table, error) {
	if err := needDescriptors(clients); err != nil {
		fmt.Fprintf(os.Stderr, "bench: left out: %d idle clients: %v\n", clients, err)
		return nil, nil
	}
	by := make(map[string][]idleRun)
	for range repeats {
		for _, start := range []relayStarter{startZmqProxy, startTool} {
			name, run, err := idle(start, clients, watched)
			if err != nil {
				return nil, fmt.Errorf("idle clients of %s: %w", name, err)
			}
			by[name] = append(by[name], run)
		}
	}
	title := fmt.Sprintf("A proxy with %d idle clients", clients)
	memory := table{name: "idle-memory", title: title,
		ratio: "kB of memory for each client, and zmqauth's times zmq_proxy's"}
	processor := table{name: "idle-cpu", title: title, ratio: "processor time, share of one processor"}
	var all [2][]float64
	for i, name := range []string{"zmq_proxy", "zmqauth"} {
		var used []float64
		for _, run := range by[name] {
			all[i] = append(all[i], run.memory/1000)
			used = append(used, run.processor)
		}
		memory.add(figure{"memory", name, all[i], bound{}})
		processor.add(figure{"processor time", name, used, bound{}})
	}
	memory.add(figure{"memory", "ratio", divide(all[1], all[0]), bound{}})
	return []table{memory, processor}, nil
}

// idle starts a proxy, connects the clients, and watches the proxy for some time.
func idle(
	start relayStarter, clients int, watched time.Duration,
) (name string, _ idleRun, err error) {
	p, err := newProxyCourse(proxies)
	if err != nil {
		return "", idleRun{}, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	service, err := loadgen.OpenTraffic(p.ctx, loadgen.Push, "")
	if err != nil {
		return "", idleRun{}, err
	}
	p.ends.add(func() error { service.Close(); return nil })
	relay, err := start(&p.ends, p.file, []front{{"idle", "pull", false, service.Endpoint()}})
	if err != nil {
		return "", idleRun{}, err
	}
	before, err := residentMemory(relay.process.PID)
	if err != nil {
		return relay.name, idleRun{}, err
	}
	if err := connectIdle(&p.ends, relay.endpoints["idle"], clients); err != nil {
		return relay.name, idleRun{}, err
	}
	used := func() (time.Duration, error) { return timeOfThreads(relay.process.PID, "") }
	begun, err := settled(used)
	if err != nil {
		return relay.name, idleRun{}, err
	}
	after, err1 := residentMemory(relay.process.PID)
	time.Sleep(watched)
	ended, err2 := used()
	return relay.name, idleRun{
		memory:    (after - before) / float64(clients),
		processor: (ended - begun).Seconds() / watched.Seconds(),
	}, errors.Join(err1, err2)
}

// connectIdle connects clients that do no more than the handshake, several at once.
func connectIdle(e *ends, endpoint string, clients int) error {
	address := strings.TrimPrefix(endpoint, "tcp://")
	results := make(chan error)
	at := runtime.NumCPU() * 8
	conns := make([][]net.Conn, at)
	for i := range at {
		go func() {
			var err error
			for range (clients + i) / at {
				var conn net.Conn
				if conn, err = greetNull(address); err != nil {
					break
				}
				conns[i] = append(conns[i], conn)
			}
			results <- err
		}()
	}
	var errs []error
	for range at {
		errs = append(errs, <-results)
	}
	for _, some := range conns {
		for _, conn := range some {
			e.add(conn.Close)
		}
	}
	return errors.Join(errs...)
}

const greetingSize = 64

// greetNull connects a PUSH client of ZMTP 3.0 with the NULL mechanism (RFC 23), and returns when
// the server has let it in.
func greetNull(address string) (net.Conn, error) {
	conn, err := net.DialTimeout("tcp", address, streamPatience)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(conn.SetDeadline(time.Now().Add(streamPatience)), greet(conn)); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func greet(conn io.ReadWriter) error {
	greeting := make([]byte, greetingSize)
	copy(greeting, "\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03\x00NULL")
	ready := []byte("\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH")
	message := append(append(greeting, 4, byte(len(ready))), ready...)
	if _, err := conn.Write(message); err != nil {
		return err
	}
	head := make([]byte, greetingSize+2)
	if _, err := io.ReadFull(conn, head); err != nil {
		return err
	}
	if !bytes.Equal(head[12:16], []byte("NULL")) || head[greetingSize] != 4 {
		return fmt.Errorf("not a server with NULL: %q", head)
	}
	body := make([]byte, head[greetingSize+1])
	if _, err := io.ReadFull(conn, body); err != nil {
		return err
	}
	if !bytes.HasPrefix(body, ready[:6]) {
		return fmt.Errorf("not let in: %q", body)
	}
	return nil
}

// residentMemory returns the resident memory of a process in bytes.
func residentMemory(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, fmt.Errorf("memory of the process: %q", text)
	}
	pages, err := strconv.ParseFloat(fields[1], 64)
	return pages * float64(os.Getpagesize()), err
}
