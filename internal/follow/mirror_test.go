//go:build unix

package follow

import (
	"log/slog"
	"maps"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/logbuffer"
	"github.com/zmqauth/zmqauth/internal/must"
	"github.com/zmqauth/zmqauth/internal/testpeer"
)

type links = map[string]files.Stamp

// mirror is a target that keeps the content of a directory's files. It reads only the files that
// Refresh is told about.
type mirror struct {
	t    *testing.T
	path string

	mu       sync.Mutex
	files    map[string]string      // the content of each file
	linked   map[string]files.Stamp // of each link's target, as it was read
	leave    Changes                // what the next Refresh does not finish
	again    Changes                // what Unfinished returns next
	received []Changes
}

// newMirror returns the mirror of a directory that a watcher follows until the test ends.
func newMirror(t *testing.T, path string) (*mirror, *Watcher, *logbuffer.Buffer) {
	t.Helper()
	log := new(logbuffer.Buffer)
	w := New(func(line func(*slog.Logger)) { line(log.Logger()) })
	t.Cleanup(w.Close)
	return follow(t, w, path), w, log
}

func follow(t *testing.T, w *Watcher, path string) *mirror {
	t.Helper()
	m := &mirror{t: t, path: path, files: make(map[string]string), linked: links{}}
	d, err := w.FollowDirectory(path, m)
	must.OK(t, err)
	m.take(m.names())
	d.Start()
	return m
}

// names returns the names of the files in the directory.
func (m *mirror) names() []string {
	entries, _ := os.ReadDir(m.path)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

// take reads the named files.
func (m *mirror) take(names []string) {
	for _, name := range names {
		path := files.Below(m.path, name)
		delete(m.files, name)
		delete(m.linked, name)
		content, stamp, err := files.Read(path, 1<<10, nil)
		if err == nil {
			m.files[name] = string(content)
		}
		if _, err := os.Readlink(path); err == nil {
			m.linked[name] = stamp
		}
	}
}

func (m *mirror) Refresh(c Changes) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.received = append(m.received, c)
	m.again.Merge(m.leave)
	m.leave = Changes{}
	m.take(slices.Collect(maps.Keys(c.Names)))
	if c.Links {
		m.take(slices.Collect(maps.Keys(m.linked)))
	}
	if c.All {
		m.take(slices.Collect(maps.Keys(m.files)))
		m.take(m.names())
	}
}

func (m *mirror) Links() map[string]files.Stamp {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.linked)
}

func (m *mirror) Unfinished() Changes {
	m.mu.Lock()
	defer m.mu.Unlock()
	again := m.again
	m.again = Changes{}
	return again
}

// write writes a file in place.
func (m *mirror) write(name, content string) {
	m.t.Helper()
	must.OK(m.t, os.WriteFile(files.Below(m.path, name), []byte(content), 0o644))
}

func (m *mirror) remove(name string) {
	m.t.Helper()
	must.OK(m.t, os.Remove(files.Below(m.path, name)))
}

// shows waits until the mirror has exactly these files.
func (m *mirror) shows(what string, want map[string]string) {
	m.t.Helper()
	testpeer.Eventually(m.t, what, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return maps.Equal(m.files, want)
	})
}
