package follow

import (
	"errors"
	"maps"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
)

const (
	// eventLimit is how many events a directory may have in a checkInterval that is watched for the
	// sake of single names. That is 1,000 in a second, which take about a percent of a processor.
	// Without a limit, somebody who writes in the directory of a followed file, or of what a link
	// leads to, could have this process take all of one. Events of the names that are followed count
	// too: where there is no file of such a name, anybody may make and remove one.
	eventLimit = 250
	// noisyPeriod is how long a directory with more of them is not watched. Those who follow a name
	// in it look from time to time instead.
	noisyPeriod = 10 * time.Second
)

// errNoisy says that a directory is not watched because too much happens in it.
var errNoisy = errors.New("too much happens in the directory")

// count counts an event. The caller holds w.mu.
func (w *Watcher) count(x *watch) {
	now := time.Now()
	if now.Sub(x.counted) >= checkInterval {
		x.counted, x.events = now, 0
	}
	if x.events++; x.events <= eventLimit {
		return
	}
	maps.DeleteFunc(w.noisy, func(_ files.ID, until time.Time) bool { return now.After(until) })
	w.noisy[x.id] = now.Add(noisyPeriod)
	w.end(x)
}

// isNoisy tells whether a directory should not be watched for the sake of single names. The caller
// holds w.mu.
func (w *Watcher) isNoisy(id files.ID) bool {
	until, noisy := w.noisy[id]
	return noisy && time.Now().Before(until)
}
