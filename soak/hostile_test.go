package soak

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	mathrand "math/rand/v2"
	"syscall"
	"time"
)

// This file has peers that break the protocol. None of their messages may reach a server.

// smuggled is the message of hostile peers.
var smuggled = message("hostile")

// hostilities are the attacks on a connection to a server. After each the peer waits until the
// server ends the connection.
var hostilities = map[string]func(w *wire, mechanism string) error{
	"silence": func(*wire, string) error { return nil },
	"half a greeting": func(w *wire, mechanism string) error {
		return w.say(greeting(3, 1, mechanism)[:1+mathrand.IntN(greetingSize-1)])
	},
	"noise": func(w *wire, _ string) error {
		noise := make([]byte, 1+mathrand.IntN(4096))
		_, _ = rand.Read(noise)
		return w.say(noise)
	},
	"HTTP": func(w *wire, _ string) error {
		return w.say([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	},
	"ZMTP 1.0": func(w *wire, _ string) error {
		return w.say([]byte{1, 0}, []byte{8, 0}, []byte("hostile"))
	},
	"ZMTP 2.0": func(w *wire, _ string) error {
		const push = 8
		return w.say(greeting(0, 0, "")[:10], []byte{1, push}, frame(0, nil), smuggled)
	},
	"another mechanism": func(w *wire, mechanism string) error {
		other := "PLAIN"
		if mechanism == "PLAIN" || mechanism == "CURVE" {
			other = "NULL"
		}
		return w.greet(other, command("READY", property("Socket-Type", "PUSH")...), smuggled)
	},
	"an unknown mechanism": func(w *wire, _ string) error {
		return w.greet("KRYPTON", command("READY", property("Socket-Type", "PUSH")...), smuggled)
	},
	"no command": func(w *wire, mechanism string) error {
		return w.greet(mechanism, smuggled, smuggled)
	},
	"the last command first": func(w *wire, mechanism string) error {
		socket := property("Socket-Type", "PUSH")
		initiate, ready := command("INITIATE", socket...), command("READY", socket...)
		return w.greet(mechanism, initiate, ready, smuggled)
	},
	"a wrong password, and on": func(w *wire, mechanism string) error {
		initiate := command("INITIATE", property("Socket-Type", "PUSH")...)
		return w.greet(mechanism, hello("good0", secretMark+" wrong"), initiate, smuggled)
	},
	"lengths that lie": func(w *wire, mechanism string) error {
		return w.greet(mechanism, command("HELLO", 200, 'x', 200, 'y'), smuggled)
	},
	"many HELLOs": func(w *wire, mechanism string) error {
		err := w.say(greeting(3, 1, mechanism))
		for range 50 {
			err = errors.Join(err, w.say(hello("good0", secretMark+" wrong")))
		}
		return err
	},
	"large metadata": func(w *wire, mechanism string) error {
		large := property("X-Large", string(make([]byte, 1<<20)))
		metadata := append(property("Socket-Type", "PUSH"), large...)
		return w.greet(mechanism, command("READY", metadata...), smuggled)
	},
	"broken metadata": func(w *wire, mechanism string) error {
		metadata := append(property("Socket-Type", "PUSH"), 255, 'x', 255, 255, 255, 255)
		return w.greet(mechanism, command("READY", metadata...), smuggled)
	},
	"a command without end": func(w *wire, mechanism string) error {
		head := binary.BigEndian.AppendUint64([]byte{flagCommand | flagLong}, 1<<62)
		return w.greet(mechanism, head, make([]byte, 1<<16))
	},
	"a CURVE HELLO of noise": func(w *wire, mechanism string) error {
		noise := make([]byte, 194)
		_, _ = rand.Read(noise)
		hello := command("HELLO", append([]byte{1, 0}, noise[2:]...)...)
		return w.greet(mechanism, hello, command("INITIATE", noise...), smuggled)
	},
	"ERROR and PING": func(w *wire, mechanism string) error {
		return w.greet(mechanism, command("PING", 0, 1, 'x'), command("ERROR", 1, 'x'), smuggled)
	},
	"byte by byte": func(w *wire, mechanism string) error {
		for _, b := range append(greeting(3, 1, mechanism), hello("good0", secretMark+" wrong")...) {
			if err := w.say([]byte{b}); err != nil {
				return err
			}
			time.Sleep(10 * time.Millisecond)
		}
		return w.say(smuggled)
	},
}

// hostile attacks the servers, one attack after the other.
func (w *world) hostile(ctx context.Context) {
	for every(ctx, 5*time.Millisecond) {
		for kind, attack := range hostilities { // in a random order
			for _, h := range w.servers {
				if ctx.Err() == nil {
					w.attack(h, kind, attack)
				}
				break // one server, chosen at random
			}
		}
	}
}

// attack attacks a server. NULL servers accept every client from an allowed address, so attacks on
// them come from a denied one.
func (w *world) attack(h *server, kind string, attack func(*wire, string) error) {
	source := allowedAddress
	if h.mechanism == "NULL" {
		source = deniedAddress
	}
	connection, err := h.dial(source)
	if h.fronted && errors.Is(err, syscall.ECONNRESET) {
		w.tally.count("hostile peers", kind) // the service is stopped
		return
	}
	if err != nil {
		w.fault("%s: %v", kind, err)
		return
	}
	defer connection.Close()
	err = attack(connection, h.mechanism)
	stays := mathrand.IntN(3) > 0
	if kind == "silence" || kind == "half a greeting" {
		// The server waits for handshakeTime before it cuts these off.
		stays = mathrand.IntN(10) == 0
	}
	ending := "left"
	switch {
	case err != nil:
		ending = "cut off while it spoke"
	case !stays:
	case connection.untilCut():
		ending = "cut off"
	default:
		w.fault("%s: the %s server keeps the connection open for more than %v",
			kind, h.mechanism, connectionTime)
	}
	w.tally.count("hostile peers", kind)
	w.tally.count("hostile peers in the end", ending)
}

// retries is a stranger that connects again as soon as it is refused, for ever.
func (w *world) retries(ctx context.Context) {
	for every(ctx, 2*time.Millisecond) {
		h := w.servers["table"]
		connection, err := h.dial(allowedAddress)
		if err != nil {
			w.fault("retrying: %v", err)
			return
		}
		if connection.handshake(h.mechanism, strangersUser, secretMark) == nil {
			w.fault("a stranger's handshake by hand has succeeded")
		}
		_ = connection.say(smuggled)
		_ = connection.Close()
		w.tally.count("hostile peers", "endless retries")
	}
}
