package zmqauth

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/pebbe/zmq4"

	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestDirectoryStress rewrites, renames, breaks and removes certificates while clients ask. A key
// that stays good is never refused. A key that has been gone for more than a second is never
// accepted. Nothing is left behind.
func TestDirectoryStress(t *testing.T) {
	duration := 20 * time.Second
	if testing.Short() {
		duration = 2 * time.Second
	}
	goroutines, descriptors := runtime.NumGoroutine(), testpeer.Descriptors()
	t.Run("under load", func(t *testing.T) {
		for try := 1; ; try++ {
			wrong, slowest := stressDirectory(t, duration)
			if len(wrong) == 0 {
				break
			}
			// Where a rename took so long, the file was really gone for a while.
			if slowest < follow.QuietPeriod || try == 3 {
				t.Fatalf("%v; the slowest disturbance took %v", wrong, slowest)
			}
			t.Logf("once more, a disturbance took %v: %v", slowest, wrong)
		}
	})
	testpeer.Eventually(t, "no goroutine is left", func() bool {
		return runtime.NumGoroutine() <= goroutines
	})
	testpeer.Eventually(t, "no descriptor is left", func() bool {
		return testpeer.Descriptors() <= descriptors
	})
}

// gracePeriod is how long a removed key may still be accepted.
const gracePeriod = time.Second

// stressDirectory returns the wrong answers that keys which stay good have got, and how long the
// slowest disturbance of their files took.
func stressDirectory(t *testing.T, duration time.Duration) (wrong []string, slowest time.Duration) {
	const steady = 8
	dir := t.TempDir()
	a := startAuthenticator(t, Config{})
	var good []*Certificate
	for i := range steady {
		c := newCertificate(t)
		good = append(good, c)
		must.OK(t, c.SavePublic(filepath.Join(dir, fmt.Sprintf("steady%d.key", i))))
	}
	must.OK(t, a.ConfigureCurve("*", dir))
	stop := make(chan bool)
	time.AfterFunc(duration, func() { close(stop) })
	var writers, askers sync.WaitGroup
	var mu sync.Mutex
	gone := make(map[PublicKey]time.Time) // when each key was removed
	fault := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		wrong = append(wrong, fmt.Sprintf(format, args...))
	}

	// The steady files are rewritten in place, replaced, renamed and broken. The key of each stays the
	// same.
	writers.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				begun := time.Now()
				disturb(t, dir, i/5%steady, good[i/5%steady], i)
				slowest = max(slowest, time.Since(begun))
			}
		}
	})
	// Others come and go.
	for w := range 3 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				c := newCertificate(t)
				path := filepath.Join(dir, fmt.Sprintf("passing%d-%d.key", w, i))
				if err := c.SavePublic(path); err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond) // the load's own pace
				if err := os.Remove(path); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				gone[c.Public] = time.Now()
				mu.Unlock()
			}
		})
	}
	// Clients with good keys connect over TCP, one after the other.
	key := newCertificate(t)
	server := newServer(t, a.Context(), "tcp://127.0.0.1:*", curveServer("d", key))
	connected := 0
	askers.Go(func() {
		for ; ; connected++ {
			select {
			case <-stop:
				return
			default:
			}
			if err := visit(server.endpoint, key.Public, good[connected%steady]); err != nil {
				fault("a client whose key stays good: %v", err)
				return
			}
		}
	})
	for range 2 {
		zap := newZAPClient(t, a.Context())
		askers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				c := good[i%steady]
				if status, err := zapStatus(zap, c.Public); err != nil || status != "200" {
					fault("a key that stays good: status %s, %v", status, err)
					return
				}
				mu.Lock()
				key, removed := anyKey(gone)
				delete(gone, key)
				mu.Unlock()
				if removed.IsZero() {
					continue
				}
				if time.Since(removed) < gracePeriod {
					mu.Lock()
					gone[key] = removed
					mu.Unlock()
					continue
				}
				if status, err := zapStatus(zap, key); err != nil || status != "400" {
					t.Errorf("a key that is gone for %v: status %s, %v", time.Since(removed), status, err)
					return
				}
			}
		})
	}
	writers.Wait()
	askers.Wait()
	if connected < 10 && len(wrong) == 0 {
		t.Errorf("only %d clients have connected", connected)
	}
	zap := newZAPClient(t, a.Context())
	for key := range gone {
		testpeer.Eventually(t, "the last keys are out", func() bool {
			status, err := zapStatus(zap, key)
			must.OK(t, err)
			return status == "400"
		})
	}
	return wrong, slowest
}

// visit connects with a certificate from a context of its own, as another program would, and
// leaves.
func visit(endpoint string, server PublicKey, c *Certificate) error {
	zctx, err := zmq4.NewContext()
	if err != nil {
		return err
	}
	socket, err := zctx.NewSocket(zmq4.PUSH)
	if err != nil {
		return errors.Join(err, zctx.Term())
	}
	err = errors.Join(socket.SetLinger(0), CurveClient(socket, server, c))
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = Connect(ctx, socket, endpoint)
	}
	return errors.Join(err, socket.Close(), zctx.Term())
}

func anyKey(keys map[PublicKey]time.Time) (PublicKey, time.Time) {
	for key, when := range keys {
		return key, when
	}
	return PublicKey{}, time.Time{}
}

// disturb does to a file what programs do to files. The file's key never goes away for good.
func disturb(t *testing.T, dir string, i int, c *Certificate, round int) {
	path := filepath.Join(dir, fmt.Sprintf("steady%d.key", i))
	content := fmt.Appendf(nil, "metadata\n    round = \"%d\"\ncurve\n    public-key = \"%s\"\n",
		round, c.Public)
	var err error
	switch round % 5 {
	case 0:
		err = os.WriteFile(path, content, 0o644)
	case 1:
		if err = os.WriteFile(path+".new~", content, 0o644); err == nil {
			err = os.Rename(path+".new~", path)
		}
	case 2:
		err = os.WriteFile(path, content[:rand.IntN(len(content))], 0o644)
	case 3:
		if err = os.Rename(path, path+".renamed"); err == nil {
			err = os.Rename(path+".renamed", path)
		}
	case 4:
		if err = os.Link(path, filepath.Join(dir, "0-second name")); err == nil {
			err = os.Remove(filepath.Join(dir, "0-second name"))
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func zapStatus(c *zapClient, key PublicKey) (string, error) {
	request := zapRequest("d", "127.0.0.1", "CURVE", string(key[:]))
	if _, err := c.socket.SendMessage(append([][]byte{nil}, request...)); err != nil {
		return "", err
	}
	reply, err := c.socket.RecvMessage(0)
	if err != nil || len(reply) < 4 {
		return "", err
	}
	return reply[3], nil
}
