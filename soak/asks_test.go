package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth"
)

// This file sends ZAP requests, as libzmq does. That is faster than a handshake.

// askable returns the clients that have ZAP requests.
func (w *world) askable() []*client {
	return w.clients(func(p *client) bool { return p.credentials != nil })
}

func status(reply [][]byte) string {
	if len(reply) != 6 {
		return fmt.Sprintf("%q", reply)
	}
	return string(reply[2])
}

// question is a ZAP request for a client, with the views when it was sent.
type question struct {
	client           *client
	standing, served view
}

func (w *world) question(p *client) question {
	return question{p, p.standing.look(), w.service.look()}
}

// check checks the status of the answer.
func (q question) check(how, status string) {
	w := q.client.server.world
	w.tally.count("answers "+how, status)
	in := status == "200" && q.standing.stillIn()
	out := status == "400" && q.standing.stillOut() && q.served.stillIn()
	w.countChanging(q.client, in, out)
	steady := q.standing.stillIn() && q.served.stillIn()
	switch status {
	case "200":
		if q.standing.stillOut() || q.served.stillOut() {
			w.fault("%s is accepted (%s), but was out, or the service stopped, all the while",
				q.client.name, how)
		}
	case "300": // the Authenticator was overloaded, or the callback was slow
	case "400", "500":
		if steady {
			w.fault("%s gets status %s (%s), but was in all the while", q.client.name, status, how)
		}
	default:
		w.fault("%s gets status %s (%s)", q.client.name, status, how)
	}
}

// askDirectly calls HandleZAPMessage.
func (w *world) askDirectly(ctx context.Context) {
	clients := w.askable()
	for every(ctx, time.Millisecond) {
		q := w.question(draw(clients))
		reply := w.auth.HandleZAPMessage(context.Background(), q.client.request())
		q.check("by HandleZAPMessage", status(reply))
	}
}

// askTooMuch sends more requests at once than the Authenticator takes, and then pauses.
func (w *world) askTooMuch(ctx context.Context) {
	slow := w.servers["ask"].clients["ask/stubborn"]
	for every(ctx, 3*time.Second) {
		var all sync.WaitGroup
		for range 2 * (maxConcurrent + maxPending) {
			all.Go(func() {
				q := w.question(slow)
				reply := w.auth.HandleZAPMessage(context.Background(), slow.request())
				q.check("in a crowd", status(reply))
			})
		}
		all.Wait()
	}
}

// mangled are functions that change a good request into one that must be refused.
var mangled = map[string]func(request [][]byte) [][]byte{
	"another version":   func(r [][]byte) [][]byte { r[0] = []byte("1.1"); return r },
	"cut short":         func(r [][]byte) [][]byte { return r[:2+rand.IntN(4)] },
	"one more frame":    func(r [][]byte) [][]byte { return append(r, []byte("more")) },
	"another mechanism": func(r [][]byte) [][]byte { r[5] = []byte("KRYPTON"); return r },
	"a denied address": func(r [][]byte) [][]byte {
		r[3] = []byte("::ffff:" + deniedAddress)
		return r
	},
	"no mechanism": func(r [][]byte) [][]byte { r[5] = nil; return r },
	"no server": func(r [][]byte) [][]byte {
		r[2] = []byte("nowhere")
		return append(r[:5], []byte("CURVE"), make([]byte, 32))
	},
}

// askLive sends requests to the ZAP endpoint, several at once, and nonsense in between.
func (w *world) askLive(ctx context.Context) {
	socket, err := w.zctx.NewSocket(zmq4.DEALER)
	if err != nil {
		w.fault("%v", err)
		return
	}
	defer socket.Close()
	w.must(errors.Join(
		socket.SetLinger(0),
		socket.SetRcvtimeo(patience),
		socket.Connect(zmqauth.ZAPEndpoint),
	))
	clients := w.askable()
	for round := 0; every(ctx, 20*time.Millisecond); round++ {
		asked := make(map[string]question)
		for i := range 10 {
			asked[fmt.Sprint(round, " ", i)] = w.question(draw(clients))
		}
		for id, q := range asked {
			request := q.client.request()
			request[1] = []byte(id)
			w.must(send(socket, request))
		}
		for _, nonsense := range [][]string{{"QUIT"}, {""}, {"", "1.0"}, {"no delimiter", "at all"}} {
			_, err := socket.SendMessage(nonsense)
			w.must(err)
			w.tally.count("answers to nonsense", "none")
		}
		for kind, mangle := range mangled {
			request := mangle(draw(clients).request())
			request[1] = []byte("mangled: " + kind)
			w.must(send(socket, request))
		}
		for range len(asked) + len(mangled) {
			reply, err := socket.RecvMessage(0)
			if err != nil || len(reply) != 7 {
				w.fault("at the endpoint: %q, %v", reply, err)
				return
			}
			if q, ok := asked[reply[2]]; ok {
				q.check("at the endpoint", reply[3])
				delete(asked, reply[2])
			} else if w.tally.count("answers to mangled requests", reply[3]); reply[3] != "400" {
				w.fault("%q: status %s", reply[2], reply[3])
			}
		}
		if len(asked) > 0 {
			w.fault("%d requests have had no reply", len(asked))
		}
	}
}

func send(socket *zmq4.Socket, request [][]byte) error {
	_, err := socket.SendMessage(append([][]byte{nil}, request...))
	return err
}
