package main

import (
	"io"
	"sync"
	"time"
)

// maxUnwritten is how many bytes of a log wait for their reader. Lines that have no room are left
// out, and counted.
const maxUnwritten = 1 << 20

// flushTime is how long the end of the program waits for a reader that has stalled.
const flushTime = time.Second

// A patientWriter writes lines to w from a goroutine of its own. Write never waits, and never
// fails: a reader of the log that stalls or ends stops nothing.
type patientWriter struct {
	w       io.Writer
	omitted func(count int) []byte // the line that says how many lines were left out

	mu        sync.Mutex
	lines     [][]byte // that are not written yet
	unwritten int      // their bytes, and those of the line that is being written
	missing   int      // lines that were left out since the last line in lines
	wake      chan struct{}
	idle      chan struct{} // has a token while nothing is unwritten
}

func newPatientWriter(w io.Writer, omitted func(count int) []byte) *patientWriter {
	p := &patientWriter{
		w:       w,
		omitted: omitted,
		wake:    make(chan struct{}, 1),
		idle:    make(chan struct{}, 1),
	}
	p.idle <- struct{}{}
	go p.run()
	return p
}

// Write takes one line.
func (p *patientWriter) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.missing > 0 && p.unwritten <= maxUnwritten/2 {
		p.add(p.omitted(p.missing))
		p.missing = 0
	}
	if p.missing > 0 || p.unwritten+len(line) > maxUnwritten {
		p.missing++
		return len(line), nil
	}
	p.add(append([]byte(nil), line...))
	return len(line), nil
}

// add queues a line. The caller holds p.mu.
func (p *patientWriter) add(line []byte) {
	p.lines = append(p.lines, line)
	p.unwritten += len(line)
	select {
	case <-p.idle:
	default:
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *patientWriter) run() {
	for range p.wake {
		for {
			line, ok := p.next()
			if !ok {
				break
			}
			_, _ = p.w.Write(line) // there is nobody to tell
			p.done(len(line))
		}
	}
}

func (p *patientWriter) next() (line []byte, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lines) == 0 {
		p.lines = nil
		return nil, false
	}
	line = p.lines[0]
	p.lines = p.lines[1:]
	return line, true
}

func (p *patientWriter) done(bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unwritten -= bytes; p.unwritten == 0 {
		p.idle <- struct{}{}
	}
}

// flush waits until everything is written, or for flushTime. It is called after the last Write.
func (p *patientWriter) flush() {
	p.mu.Lock()
	if p.missing > 0 {
		p.add(p.omitted(p.missing))
		p.missing = 0
	}
	p.mu.Unlock()
	select {
	case <-p.idle:
	case <-time.After(flushTime):
	}
}
