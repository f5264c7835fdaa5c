package fleet

import (
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Log is what a store has read of everything, in the order of its log, for LogSink. It keeps the
// value of an entry and little else; of each server's reports the last. The zero value is empty.
// One goroutine at a time may use it.
type Log struct {
	items   []item
	reports map[string]int // where the report of a server is
}

// Value is what a store has for a key.
type Value struct {
	Key  string
	Text []byte
}

// Format writes how many entries there are, for every verb: they may hold hashes.
func (l Log) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "%d entries", len(l.items)) }

// Format writes the key, for every verb.
func (v Value) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(v.Key)) }

// item is an entry as a log has it.
type item struct {
	key      string
	text     string // the entry, encoded; empty: only the key is known
	state    State
	revision uint64
	err      error // why the entry cannot be read
	kind     Kind
}

// itemOf is an entry as a log has it. It is checked, its signature apart.
func itemOf(e Entry) item {
	i := item{key: e.Key(), text: e.text, state: e.State, revision: e.Revision,
		err: e.broken, kind: e.Kind}
	if i.err == nil && i.text == "" {
		text, err := e.Encode()
		i.text, i.err = string(text), err
	}
	return i
}

// Grow makes room for so many more entries.
func (l *Log) Grow(count int) { l.items = append(make([]item, 0, len(l.items)+count), l.items...) }

// Read adds values as ParseEntry reads them, on all processors. It keeps nothing of what it is
// given. What cannot be read is for the Sink, too, which refuses it.
func (l *Log) Read(values []Value) {
	l.add(len(values), func(i int) item {
		e, _ := ParseEntry(values[i].Key, values[i].Text) // the item has the error
		return itemOf(e)
	})
}

// Add adds entries.
func (l *Log) Add(entries ...Entry) {
	l.add(len(entries), func(i int) item { return itemOf(entries[i]) })
}

// add adds so many items, which are made on all processors.
func (l *Log) add(count int, item func(i int) item) {
	all := slices.Grow(l.items, count)[:len(l.items)+count]
	added := all[len(l.items):]
	inParallel(count, func(i int) { added[i] = item(i) })
	for _, i := range added {
		if i.kind == KindServer {
			if at, known := l.reports[i.key]; known {
				l.items[at] = i
				continue
			}
			if l.reports == nil {
				l.reports = make(map[string]int)
			}
			l.reports[i.key] = len(l.items)
		}
		l.items = append(l.items, i) // in its own place, or one before
	}
	clear(all[len(l.items):])
}

// Len is how many entries there are.
func (l *Log) Len() int { return len(l.items) }

// Entries are the entries, as ParseEntry returns them.
func (l *Log) Entries() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for i := range l.items {
			e, err := l.items[i].entry()
			if err != nil {
				e = Entry{key: l.items[i].key, broken: err}
			}
			if !yield(e) {
				return
			}
		}
	}
}

// Reset gives a sink everything.
func (l *Log) Reset(s Sink, p Position) {
	if taker, ok := s.(LogSink); ok {
		taker.ResetLog(l, p)
		return
	}
	s.Reset(slices.Collect(l.Entries()), p)
}

// domain is the part of the key that says the domain.
func (i *item) domain() string {
	_, rest, _ := strings.Cut(i.key, ".")
	domain, _, _ := strings.Cut(rest, ".")
	return domain
}

// entry is the entry itself. Where the error is not nil, it has the key alone.
func (i *item) entry() (Entry, error) { return i.entryInto(nil) }

// entryInto is entry with a map for the metadata, see scan.
func (i *item) entryInto(metadata map[string]string) (Entry, error) {
	switch {
	case i.err != nil:
		return Entry{key: i.key}, i.err
	case i.text == "":
		return parseKey(i.key)
	}
	return parseInto(metadata, i.key, i.text)
}
