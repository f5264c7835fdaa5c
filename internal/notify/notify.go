// Package notify tells the service manager, which is systemd, how a program is: sd_notify(3). A
// program that was started by something else has a nil Manager, which says nothing.
package notify

import (
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// MessageUnheard is in the log, once, when the service manager cannot be reached.
const MessageUnheard = "zmqauth: the service manager cannot be told how the program is"

// statusInterval is how old the status line may be.
const statusInterval = 10 * time.Second

// Manager is the service manager. Any goroutine may call its methods; those of nil do nothing.
type Manager struct {
	log     *slog.Logger
	beat    time.Duration // between two signs of life
	watched bool          // there is a watchdog
	tick    *time.Ticker

	mu      sync.Mutex
	status  string // that was said last
	unheard bool
}

// New returns the manager that the variables NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID
// describe, or nil.
func New(log *slog.Logger) *Manager {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	m := &Manager{log: log, beat: statusInterval}
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("zmqauth: there is no watchdog", "error", err)
	}
	if limit > 0 {
		m.watched = true
		m.beat = min(m.beat, max(limit/2, time.Millisecond))
	}
	m.tick = time.NewTicker(m.beat)
	return m
}

// C has a value whenever Beat is due: after half the time of the watchdog, and every 10 s at least.
func (m *Manager) C() <-chan time.Time {
	if m == nil {
		return nil
	}
	return m.tick.C
}

// Ready says that the program serves, and how.
func (m *Manager) Ready(status string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.say(daemon.SdNotifyReady, m.changed(status))
}

// Beat gives the watchdog a sign of life, if the program is alive, and says how it serves.
func (m *Manager) Beat(alive bool, status string) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.say(m.life(alive), m.changed(status))
}

// Reload calls f, which reads the configuration again. Before, it says so, and afterwards that the
// program is ready. f may take as long as Busy says.
func (m *Manager) Reload(alive func() bool, limit time.Duration, status func() string,
	f func() error) error {
	if m == nil {
		return f()
	}
	m.mu.Lock()
	m.say(daemon.SdNotifyReloading, strings.TrimSpace(daemon.SdNotifyMonotonicUsec()))
	m.mu.Unlock()
	done := m.Busy(alive, limit)
	err := f()
	done()
	m.Ready(status())
	return err
}

// Busy gives the watchdog signs of life until done is called, for limit at most, for a loop that
// does something long and does not come to Beat.
func (m *Manager) Busy(alive func() bool, limit time.Duration) (done func()) {
	if m == nil || !m.watched {
		return func() {}
	}
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		beat, over := time.NewTicker(m.beat), time.NewTimer(limit)
		defer beat.Stop()
		defer over.Stop()
		for {
			select {
			case <-beat.C:
				m.mu.Lock()
				m.say(m.life(alive()))
				m.mu.Unlock()
			case <-over.C:
				return
			case <-end:
				return
			}
		}
	}()
	return func() {
		close(end)
		<-ended
	}
}

// Stopping says that the program ends.
func (m *Manager) Stopping() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.say(daemon.SdNotifyStopping, m.changed("ending"))
}

// life is the sign of life; empty: there is none.
func (m *Manager) life(alive bool) string {
	if !m.watched || !alive {
		return ""
	}
	return daemon.SdNotifyWatchdog
}

// changed is the line for a status; empty: it is known.
func (m *Manager) changed(status string) string {
	status = strings.ReplaceAll(status, "\n", " ")
	if status == m.status {
		return ""
	}
	m.status = status
	return "STATUS=" + status
}

// say sends the lines that are not empty. The caller holds mu.
func (m *Manager) say(lines ...string) {
	var state strings.Builder
	for _, line := range lines {
		if line != "" {
			state.WriteString(line + "\n")
		}
	}
	if state.Len() == 0 {
		return
	}
	if _, err := daemon.SdNotify(false, state.String()); err != nil && !m.unheard {
		m.unheard = true
		m.log.Warn(MessageUnheard, "error", err)
	}
}
