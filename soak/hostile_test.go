package soak

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	mathrand "math/rand/v2"
	"time"
)

// This file has peers that keep to no protocol. Whatever they do, none of their messages may reach
// a server.

// smuggled is what they want to bring in.
var smuggled = message("hostile")

// hostilities are what they do on a connection to a house, before they wait to be cut off.
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
	"HTTP":     func(w *wire, _ string) error { return w.say([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")) },
	"ZMTP 1.0": func(w *wire, _ string) error { return w.say([]byte{1, 0}, []byte{8, 0}, []byte("hostile")) },
	"ZMTP 2.0": func(w *wire, _ string) error {
		const push = 8
		return w.say(greeting(0, 0, "")[:10], []byte{1, push}, frame(0, nil), smuggled)
	},
	"another mechanism": func(w *wire, mechanism string) error {
		other := map[string]string{"NULL": "PLAIN", "PLAIN": "NULL", "CURVE": "NULL", "GSSAPI": "PLAIN"}[mechanism]
		return w.say(greeting(3, 1, other), command("READY", property("Socket-Type", "PUSH")...), smuggled)
	},
	"an unknown mechanism": func(w *wire, _ string) error {
		return w.say(greeting(3, 1, "KRYPTON"), command("READY", property("Socket-Type", "PUSH")...), smuggled)
	},
	"no command": func(w *wire, mechanism string) error { return w.say(greeting(3, 1, mechanism), smuggled, smuggled) },
	"the last command first": func(w *wire, mechanism string) error {
		socket := property("Socket-Type", "PUSH")
		return w.say(greeting(3, 1, mechanism), command("INITIATE", socket...), command("READY", socket...), smuggled)
	},
	"a wrong password, and on": func(w *wire, mechanism string) error {
		return w.say(greeting(3, 1, mechanism), hello("good0", secretMark+" wrong"), command("INITIATE", property("Socket-Type", "PUSH")...), smuggled)
	},
	"lengths that lie": func(w *wire, mechanism string) error {
		return w.say(greeting(3, 1, mechanism), command("HELLO", 200, 'x', 200, 'y'), smuggled)
	},
	"many HELLOs": func(w *wire, mechanism string) error {
		err := w.say(greeting(3, 1, mechanism))
		for range 50 {
			err = errors.Join(err, w.say(hello("good0", secretMark+" wrong")))
		}
		return err
	},
	"large metadata": func(w *wire, mechanism string) error {
		return w.say(greeting(3, 1, mechanism), command("READY", append(property("Socket-Type", "PUSH"), property("X-Large", string(make([]byte, 1<<20)))...)...), smuggled)
	},
	"broken metadata": func(w *wire, mechanism string) error {
		return w.say(greeting(3, 1, mechanism), command("READY", append(property("Socket-Type", "PUSH"), 255, 'x', 255, 255, 255, 255)...), smuggled)
	},
	"a command without end": func(w *wire, mechanism string) error {
		return w.say(greeting(3, 1, mechanism), binary.BigEndian.AppendUint64([]byte{flagCommand | flagLong}, 1<<62), make([]byte, 1<<16))
	},
	"a CURVE HELLO of noise": func(w *wire, mechanism string) error {
		noise := make([]byte, 194)
		_, _ = rand.Read(noise)
		return w.say(greeting(3, 1, mechanism), command("HELLO", append([]byte{1, 0}, noise[2:]...)...), command("INITIATE", noise...), smuggled)
	},
	"ERROR and PING": func(w *wire, mechanism string) error {
		return w.say(greeting(3, 1, mechanism), command("PING", 0, 1, 'x'), command("ERROR", 1, 'x'), smuggled)
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

// hostile has them come, one after the other. To houses that let in who has nothing to prove they
// come from where nobody may.
func (w *world) hostile(ctx context.Context) {
	for every(ctx, 5*time.Millisecond) {
		for kind, attack := range hostilities { // in another order each time
			for _, h := range w.houses {
				if ctx.Err() == nil {
					w.attack(h, kind, attack)
				}
				break // any one
			}
		}
	}
}

func (w *world) attack(h *house, kind string, attack func(*wire, string) error) {
	source := welcome
	if h.mechanism == "NULL" {
		source = outlaw
	}
	connection, err := h.dial(source)
	if err != nil {
		w.fault("%s: %v", kind, err)
		return
	}
	defer connection.Close()
	err = attack(connection, h.mechanism)
	stays := mathrand.IntN(3) > 0
	if kind == "silence" || kind == "half a greeting" { // to be cut off takes all of the handshake's time
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
		w.fault("%s: the %s server keeps the connection open for more than %v", kind, h.mechanism, connectionTime)
	}
	w.tally.count("hostile peers", kind)
	w.tally.count("hostile peers in the end", ending)
}

// retries has one come back at once, for ever.
func (w *world) retries(ctx context.Context) {
	for every(ctx, 2*time.Millisecond) {
		h := w.houses["table"]
		connection, err := h.dial(welcome)
		if err != nil {
			w.fault("retrying: %v", err)
			return
		}
		if connection.comeAlong(h.mechanism, strangersUser, secretMark) == nil {
			w.fault("a stranger's handshake by hand has succeeded")
		}
		_ = connection.say(smuggled)
		_ = connection.Close()
		w.tally.count("hostile peers", "endless retries")
	}
}
