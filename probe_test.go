package zmqauth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/libzmq"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testzmq"
)

// probe calls Probe and returns its results as text.
func probe(t *testing.T, ctx context.Context, endpoint string) (string, error) {
	t.Helper()
	results, err := Probe(ctx, endpoint)
	var texts []string
	for _, r := range results {
		if r.Accepted != (r.Err == nil) || r.Accepted != (r.Status == 200) ||
			errors.Is(r.Err, ErrDenied) != (r.Status == 400) {
			t.Errorf("a result that contradicts itself: %+v", r)
		}
		texts = append(texts, r.String())
	}
	return strings.Join(texts, ", "), err
}

// within is a context that ends after d.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// TestProbe meets servers of each mechanism, open and closed.
func TestProbe(t *testing.T) {
	key := newCertificate(t)
	a := startAuthenticator(t, Config{})
	letIn := func(context.Context, string, string, string) (*Identity, error) {
		return &Identity{}, nil
	}
	later := func(context.Context, string, string, string) (*Identity, error) {
		return nil, ErrTemporary
	}
	fail := func(context.Context, string, string, string) (*Identity, error) {
		return nil, errors.New("broken")
	}
	must.OK(t, errors.Join(
		a.DenyDomain("closed", "127.0.0.1"), a.ConfigureCurve("open", CurveAllowAny),
		a.ConfigurePlainCallback("open", letIn), a.ConfigurePlainCallback("later", later),
		a.ConfigurePlainCallback("broken", fail)))
	withoutHandler := testzmq.NewContext(t)
	var all sync.WaitGroup // the cases run at once, because they mostly wait
	for _, test := range []struct {
		name string
		zctx *zmq4.Context
		role func(*zmq4.Socket) error
		want string
		ends time.Duration // of the context; 0: the answer comes by itself
	}{
		{"no role", a.Context(), nullClient, "NULL: accepted, PLAIN: cut off, CURVE: cut off", 0},
		{
			"NULL, open", a.Context(), nullServer("open"),
			"NULL: accepted, PLAIN: cut off, CURVE: cut off", 0,
		},
		{
			"NULL, closed", a.Context(), nullServer("closed"),
			"NULL: refused (status 400), PLAIN: cut off, CURVE: cut off", 0,
		},
		{
			"PLAIN, open", a.Context(), plainServer("open"),
			"NULL: cut off, PLAIN: accepted, CURVE: cut off", 0,
		},
		{
			"PLAIN, closed", a.Context(), plainServer("closed"),
			"NULL: cut off, PLAIN: refused (status 400), CURVE: cut off", 0,
		},
		{
			"PLAIN, broken", a.Context(), plainServer("broken"),
			"NULL: cut off, PLAIN: refused (status 500), CURVE: cut off", 0,
		},
		{
			"CURVE, open", a.Context(), curveServer("open", key),
			"NULL: cut off, PLAIN: cut off, CURVE: cut off", 0,
		},
		{
			"CURVE, closed", a.Context(), curveServer("closed", key),
			"NULL: cut off, PLAIN: cut off, CURVE: cut off", 0,
		},
		{
			"PLAIN, try again", a.Context(), plainServer("later"),
			"NULL: cut off, PLAIN: no answer in time, CURVE: cut off", 3 * time.Second,
		},
		{
			"NULL, no handler", withoutHandler, nullServer("open"),
			"NULL: no answer in time, PLAIN: cut off, CURVE: cut off", 3 * time.Second,
		},
		{
			"PLAIN, no handler", withoutHandler, plainServer("open"),
			"NULL: cut off, PLAIN: cut off, CURVE: cut off", 0,
		},
		{
			"CURVE, no handler", withoutHandler, curveServer("open", key),
			"NULL: cut off, PLAIN: cut off, CURVE: cut off", 0,
		},
	} {
		server := newServer(t, test.zctx, "tcp://127.0.0.1:*", test.role)
		ctx := within(t, cmp.Or(test.ends, patience))
		all.Go(func() {
			begun := time.Now()
			got, err := probe(t, ctx, server.endpoint)
			took := time.Since(begun)
			if err != nil || got != test.want {
				t.Errorf("%s: %s, %v\nwant %s", test.name, got, err, test.want)
			}
			if took > cmp.Or(2*test.ends, 5*time.Second) {
				t.Errorf("%s: it took %v", test.name, took)
			}
		})
	}
	all.Wait()
}

// TestProbeSocketTypes: an open server is found whatever type its socket has.
func TestProbeSocketTypes(t *testing.T) {
	zctx := testzmq.NewContext(t)
	for _, kind := range []zmq4.Type{
		zmq4.REQ, zmq4.REP, zmq4.DEALER, zmq4.ROUTER, zmq4.PUB, zmq4.SUB, zmq4.XPUB, zmq4.XSUB,
		zmq4.PUSH, zmq4.PULL, zmq4.PAIR,
	} {
		t.Run(kind.String(), func(t *testing.T) {
			server := testzmq.NewSocket(t, zctx, kind)
			must.OK(t, server.Bind("tcp://127.0.0.1:*"))
			endpoint, err := server.GetLastEndpoint()
			must.OK(t, err)
			nullIsIn(t, endpoint)
		})
	}
}

// nullIsIn probes a server that lets strangers in with NULL.
func nullIsIn(t *testing.T, endpoint string) {
	t.Helper()
	_, strangers, err := newStrangers()
	must.OK(t, err)
	outcomes, err := libzmq.Probe(within(t, patience), endpoint, strangers[:1])
	if err != nil || outcomes[0] != nil {
		t.Errorf("%s: %v, %v", endpoint, outcomes, err)
	}
}

// TestProbeTellsNothing: where Probe has met no server it returns an error, so that a test which
// wants no stranger to get in does not pass.
func TestProbeTellsNothing(t *testing.T) {
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	open := newServer(t, testzmq.NewContext(t), "tcp://127.0.0.1:*", nullClient).endpoint
	for _, test := range []struct {
		name     string
		ctx      context.Context
		endpoint string
		kind     error
		says     string
	}{
		{
			"nobody listens", within(t, 300*time.Millisecond), nobodysEndpoint(t), context.DeadlineExceeded,
			"nobody has accepted a connection",
		},
		{"cancelled", cancelled, open, context.Canceled, open},
		{"over before", within(t, 0), open, context.DeadlineExceeded, open},
		{"inproc", context.Background(), "inproc://here", nil, "inproc"},
		{"nonsense", context.Background(), "nonsense", nil, "nonsense"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := probe(t, test.ctx, test.endpoint)
			if err == nil || !strings.HasPrefix(err.Error(), "zmqauth: ") ||
				!strings.Contains(err.Error(), test.says) {
				t.Fatalf("%s, %v", got, err)
			}
			if strings.Count(err.Error(), "zmqauth: ") != 1 {
				t.Errorf("the prefix more than once: %v", err)
			}
			if test.kind != nil && !errors.Is(err, test.kind) {
				t.Errorf("%v is no %v", err, test.kind)
			}
			if strings.Contains(got, "accepted") {
				t.Error(got)
			}
		})
	}
}

// TestProbeIsCancelled cancels a Probe that waits for a silent server.
func TestProbeIsCancelled(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must.OK(t, err)
	defer listener.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			defer conn.Close()
		}
		cancel()
		<-ctx.Done()
	}()
	got, err := probe(t, ctx, fmt.Sprintf("tcp://%s", listener.Addr()))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestProbeTransports(t *testing.T) {
	zctx := testzmq.NewContext(t)
	for _, bind := range []string{"tcp://[::1]:*", "ipc://*"} {
		t.Run(bind, func(t *testing.T) {
			server := newServer(t, zctx, bind, nullClient)
			nullIsIn(t, server.endpoint)
		})
	}
}
