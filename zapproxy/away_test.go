package zapproxy_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/zmqauth/zmqauth"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
	"github.com/zmqauth/zmqauth/zapproxy"
)

// TestServiceKilled: without the service nobody gets in, and with the next one they do.
func TestServiceKilled(t *testing.T) {
	at := newEndpoint(t)
	zctx, link := relay(t, new(zapproxy.Dialer), at)
	p := servers(t, zctx, "orders")
	refused(t, p) // there has been none yet
	for range 2 {
		service := startService(t, at)
		awaitConnected(t, link)
		checkDoors(t, p)
		service.kill()
		testpeer.Eventually(t, "the relay has noticed", func() bool { return !link.Stats().Connected })
		away := link.Stats().Away
		refused(t, p)
		if link.Stats().Away == away {
			t.Error("nobody was refused")
		}
	}
}

// TestServiceFrozen: a service that stands still has a quarter of a second. What it answers to
// those who were refused meanwhile is dropped.
func TestServiceFrozen(t *testing.T) {
	at := newEndpoint(t)
	service := startService(t, at)
	zctx, link := relay(t, new(zapproxy.Dialer), at)
	p := servers(t, zctx, "orders")
	awaitConnected(t, link)
	checkDoors(t, p)
	service.signal(t, syscall.SIGSTOP)
	refused(t, p)
	testpeer.Eventually(t, "the relay has noticed", func() bool { return !link.Stats().Connected })
	frozen := link.Stats()
	refused(t, p) // not even asked
	if stats := link.Stats(); stats.Asked != frozen.Asked || stats.Away <= frozen.Away {
		t.Errorf("%+v, then %+v", frozen, stats)
	}
	service.signal(t, syscall.SIGCONT)
	awaitConnected(t, link)
	testpeer.Eventually(t, "the late answer has come", func() bool {
		return link.Stats().Dropped == frozen.Away
	})
	checkDoors(t, p)
}

// TestGrace: while the service is away, those come in whom it has let in before, and nobody else.
func TestGrace(t *testing.T) {
	at := newEndpoint(t)
	service := startService(t, at, "ZMQAUTH_TEST_GRACE=1h")
	zctx, link := relay(t, new(zapproxy.Dialer), at)
	p := servers(t, zctx, "orders")
	awaitConnected(t, link)
	must.OK(t, connect(t, p.plain, long, withPassword(password)))
	stranger := withKey(fixedCertificate(2))
	if err := connect(t, p.curve, long, stranger); !errors.Is(err, zmqauth.ErrDenied) {
		t.Error(err)
	}
	other := servers(t, zctx, "billing")
	service.kill()
	testpeer.Eventually(t, "the relay has noticed", func() bool { return !link.Stats().Connected })
	must.OK(t, connect(t, p.plain, long, withPassword(password)))
	for name, err := range map[string]error{
		"another password":            connect(t, p.plain, short, withPassword("another")),
		"a client who was not there":  connect(t, p.curve, short, withKey(annsCertificate())),
		"a client who was refused":    connect(t, p.curve, short, stranger),
		"the same in another domain":  connect(t, other.plain, short, withPassword(password)),
		"a stranger with no password": connect(t, p.null, short, nil),
	} {
		if err == nil {
			t.Errorf("%s: let in", name)
		}
	}
	if stats := link.Stats(); stats.Graced != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestPython: a relay in another language, in another process, that is killed with nothing, and
// whose service comes and goes.
func TestPython(t *testing.T) {
	for name, loop := range map[string]string{"a loop": pythonLoop, "zmq_proxy": pythonProxy} {
		t.Run(name, func(t *testing.T) {
			at := newEndpoint(t)
			p := python(t, loop, at)
			refused(t, p)
			for range 2 {
				service := startService(t, at)
				testpeer.Eventually(t, "the relay is there", func() bool {
					return connect(t, p.null, short, nil) == nil
				})
				checkDoors(t, p)
				service.signal(t, syscall.SIGSTOP)
				refused(t, p)
				service.signal(t, syscall.SIGCONT)
				must.OK(t, connect(t, p.plain, long, withPassword(password)))
				service.kill()
				refused(t, p)
			}
		})
	}
}

const pythonLoop = `
def relay():
    poller = zmq.Poller()
    poller.register(asked, zmq.POLLIN)
    poller.register(link, zmq.POLLIN)
    while True:
        for socket, _ in poller.poll():
            frames = socket.recv_multipart()
            try:
                (link if socket is asked else asked).send_multipart(frames, zmq.NOBLOCK)
            except zmq.Again:
                pass
`

const pythonProxy = `
def relay():
    zmq.proxy(asked, link)
`

// python runs servers like those of servers in a process of Python, with a relay.
func python(t *testing.T, loop, at string) ports {
	t.Helper()
	program := `
import sys, threading, time, zmq
from zmq.utils import z85
context = zmq.Context()
asked = context.socket(zmq.ROUTER)
asked.linger = 0
asked.bind("inproc://zeromq.zap.01")
link = context.socket(zmq.DEALER)
link.linger = 0
link.immediate = True
link.connect(sys.argv[1])
` + loop + `
threading.Thread(target=relay, daemon=True).start()
def bind(set):
    s = context.socket(zmq.DEALER)
    s.zap_domain = b"orders"
    set(s)
    s.setsockopt(93, 1)
    s.bind("tcp://127.0.0.1:*")
    print(s.last_endpoint.decode(), flush=True)
    return s
def plain(s): s.plain_server = True
def curve(s):
    s.curve_server = True
    s.curve_secretkey = sys.argv[2].encode()
sockets = [bind(lambda s: None), bind(plain), bind(curve)]
print("ready", flush=True)
time.sleep(1000)
`
	path := testpeer.Python(t, "zmq", "python3-zmq")
	secret := serverCertificate().Secret.Z85()
	out := start(t, command(path, "-c", program, at, secret)).log.String()
	lines := strings.Fields(out)
	return ports{lines[0], lines[1], lines[2]}
}
