package zmqauth

import (
	"context"
	"errors"
	"testing"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/internal/testzmq"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// TestHandleZAPMessageInAPollLoop serves real clients from a program's own REP socket, without
// Start.
func TestHandleZAPMessageInAPollLoop(t *testing.T) {
	a := newAuthenticator(t, Config{})
	key, client := newCertificate(t), newCertificate(t)
	must.OK(t, a.ConfigureCurveKeys("d", client.Public))
	handler := testzmq.NewSocket(t, a.Context(), zmq4.REP)
	must.OK(t, handler.Bind(ZAPEndpoint))
	server := newServer(t, a.Context(), "tcp://127.0.0.1:*", curveServer("d", key))
	outcomes := make(chan int, 2)
	go func() {
		for _, c := range []*Certificate{client, newCertificate(t)} {
			_, err := connect(t, server.endpoint, curveClient(key.Public, c))
			outcomes <- status(err)
		}
	}()
	must.OK(t, handler.SetRcvtimeo(patience))
	for _, want := range []int{200, 400} {
		request, err := handler.RecvMessageBytes(0)
		must.OK(t, err)
		_, err = handler.SendMessage(a.HandleZAPMessage(context.Background(), request))
		must.OK(t, err)
		if got := <-outcomes; got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
}

// TestHandleZAPMessageBesideOtherSockets: one poll loop serves the ZAP socket and the program's own
// server.
func TestHandleZAPMessageBesideOtherSockets(t *testing.T) {
	a := newAuthenticator(t, Config{})
	must.OK(t, a.ConfigurePlain("d", map[string]string{"ann": "secret"}))
	handler := testzmq.NewSocket(t, a.Context(), zmq4.REP)
	must.OK(t, handler.Bind(ZAPEndpoint))
	server := newServer(t, a.Context(), "tcp://127.0.0.1:*", plainServer("d"))
	client := testzmq.NewSocket(t, testzmq.NewContext(t), zmq4.PUSH)
	must.OK(t, errors.Join(PlainClient(client, "ann", "secret"), client.Connect(server.endpoint)))
	_, err := client.Send("hello", 0)
	must.OK(t, err)
	poller := zmq4.NewPoller()
	poller.Add(handler, zmq4.POLLIN)
	poller.Add(server.socket, zmq4.POLLIN)
	for judged := 0; ; {
		ready, err := poller.Poll(patience)
		must.OK(t, err)
		if len(ready) == 0 {
			t.Fatal("nothing has come")
		}
		if ready[0].Socket == server.socket {
			text, metadata := server.receive(t, "User-Id")
			if text != "hello" || metadata["User-Id"] != "ann" || judged != 1 {
				t.Errorf("%q from %q after %d requests", text, metadata["User-Id"], judged)
			}
			return
		}
		request, err := handler.RecvMessageBytes(0)
		must.OK(t, err)
		_, err = handler.SendMessage(a.HandleZAPMessage(context.Background(), request))
		must.OK(t, err)
		judged++
	}
}

// TestHandleZAPMessageContext: when the context of the call ends, the status is 300, whether the
// callback runs or waits for its place.
func TestHandleZAPMessageContext(t *testing.T) {
	a := newAuthenticator(t, Config{MaxConcurrent: 1})
	begun := make(chan bool, 2)
	callback := func(ctx context.Context, _, _, _ string) (*Identity, error) {
		begun <- true
		<-ctx.Done()
		return nil, ctx.Err()
	}
	must.OK(t, a.ConfigurePlainCallback("*", callback))
	running, cancelRunning := context.WithCancel(context.Background())
	waiting, cancelWaiting := context.WithCancel(context.Background())
	replies := make(chan string)
	handle := func(ctx context.Context) {
		replies <- string(a.HandleZAPMessage(ctx, plainRequest("d", "ann", "x"))[2])
	}
	go handle(running)
	<-begun
	go handle(waiting)
	testpeer.Eventually(t, "one runs, one waits", func() bool { return a.Stats().Pending == 2 })
	cancelWaiting()
	if got := <-replies; got != "300" {
		t.Errorf("status %s of the one that waited", got)
	}
	cancelRunning()
	if got := <-replies; got != "300" {
		t.Errorf("status %s of the one that ran", got)
	}
	//lint:ignore SA1012 careless callers pass nil
	if status := string(a.HandleZAPMessage(nil, nullRequest())[2]); status != "200" {
		t.Errorf("without a context: status %s", status)
	}
}

func TestHandleZAPMessageOwnsItsReply(t *testing.T) {
	a := newAuthenticator(t, Config{Properties: []string{"Role"}})
	first := a.HandleZAPMessage(context.Background(), nullRequest())
	clear(first[5])
	second := a.HandleZAPMessage(context.Background(), nullRequest())
	if string(second[5]) != string(zap.EncodeMetadata(nil, []string{"Role"})) {
		t.Errorf("metadata %q", second[5])
	}
}
