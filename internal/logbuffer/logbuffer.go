// Package logbuffer keeps a log in memory, for tests and measurements.
package logbuffer

import (
	"bytes"
	"log/slog"
	"sync"
)

// Buffer is a log that many goroutines may write and read. The zero value is an empty log.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends to the log. It never fails.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns everything that has been written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Logger returns a logger that writes all levels, debug included, to the buffer.
func (b *Buffer) Logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
