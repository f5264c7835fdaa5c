//go:build unix

package sshtunnel

import (
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

// TestAnswersAreRemembered: a reconnection asks no questions again, except for answers that the
// server has refused.
func TestAnswersAreRemembered(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	for name, prompt := range map[string]bool{"Password": false, "Prompt": true} {
		t.Run(name, func(t *testing.T) {
			testpeer.NothingLeft(t)
			server := newSSHD(t, allowInteractive)
			address := echo(t)
			cfg := server.config(t)
			cfg.KeyFile = ""
			var count atomic.Int32
			var password atomic.Value
			password.Store(thePassword)
			if prompt {
				cfg.Prompt = func(_, _ string, questions []string, _ []bool) ([]string, error) {
					if len(questions) == 0 {
						return nil, nil
					}
					count.Add(1)
					return []string{password.Load().(string)}, nil
				}
			} else {
				cfg.Password = func() (string, error) {
					count.Add(1)
					return password.Load().(string), nil
				}
			}
			tunnel := open(t, cfg)
			restart := func() {
				t.Helper()
				server.stop(t)
				testpeer.Eventually(t, "the loss is noticed", func() bool { return tunnel.Err() != nil })
				must.OK(t, server.Start())
				echoes(t, tunnel, address)
			}
			restart()
			if count.Load() != 1 {
				t.Fatalf("asked %d times", count.Load())
			}
			// The password is changed: the old one is tried once, and then the program is asked.
			write(t, filepath.Join(server.Dir, "password"), "new password")
			password.Store("new password")
			restart()
			if count.Load() != 2 {
				t.Errorf("asked %d times", count.Load())
			}
		})
	}
}
