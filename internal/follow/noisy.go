package follow

import (
	"errors"
	"maps"
	"time"

	"github.com/zmqauth/zmqauth/internal/files"
)

const (
	// unheardLimit is how many events that nobody follows a directory may have in a checkInterval.
	// That is 1,000 in a second, which take about a percent of a processor. Without a limit, somebody
	// who writes in the directory of a followed file could have this process take all of one.
	unheardLimit = 250
	// noisyPeriod is how long a directory with more of them is not watched. Those who follow a name
	// in it look from time to time instead.
	noisyPeriod = 10 * time.Second
)

// errNoisy says that a directory is not watched because too much happens in it.
var errNoisy = errors.New("too much happens in the directory that nobody follows")

// unheard counts an event that nobody follows. The caller holds w.mu.
func (w *Watcher) unheard(x *watch) {
	now := time.Now()
	if now.Sub(x.counted) >= checkInterval {
		x.counted, x.unheard = now, 0
	}
	if x.unheard++; x.unheard <= unheardLimit {
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
