// Package telemetry writes what operators read: log records and access lines.
// It masks nothing itself (values that may hold secrets arrive masked) and
// never makes a request wait for a slow terminal or pipe.
package telemetry

import (
	"io"
	"sync"
	"sync/atomic"
	"time"
)

const (
	flushDelay = 100 * time.Millisecond
	flushSize  = 64 << 10
	maxBacklog = 4 << 20
)

// Writer collects lines and writes them every 100 ms or 64 KiB on a goroutine of
// its own. When the reader of its output stands still, lines beyond 4 MiB are
// dropped and counted.
type Writer struct {
	to      io.Writer
	mu      sync.Mutex
	buf     []byte
	dropped atomic.Int64
	wake    chan struct{}
	stop    chan struct{}
	done    chan struct{}
}

// NewWriter starts a writer; Close it.
func NewWriter(to io.Writer) *Writer {
	w := &Writer{to: to, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

// Write takes one or more whole lines. It never fails and never blocks on the
// output.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	n := len(w.buf)
	if n+len(line) > maxBacklog {
		w.mu.Unlock()
		w.dropped.Add(1)
		return len(line), nil
	}
	w.buf = append(w.buf, line...)
	w.mu.Unlock()
	if n == 0 || n < flushSize && n+len(line) >= flushSize {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
	return len(line), nil
}

// Dropped is the number of writes that found no room.
func (w *Writer) Dropped() int64 { return w.dropped.Load() }

// Close writes what is left. Lines that follow are lost.
func (w *Writer) Close() {
	close(w.stop)
	<-w.done
}

func (w *Writer) run() {
	defer close(w.done)
	var spare []byte
	flush := func() {
		w.mu.Lock()
		text := w.buf
		w.buf = spare
		w.mu.Unlock()
		if len(text) > 0 {
			_, _ = w.to.Write(text) // where would one report that the log cannot be written
		}
		spare = nil
		if cap(text) <= 2*flushSize {
			spare = text[:0]
		}
	}
	for {
		select {
		case <-w.wake:
		case <-w.stop:
			flush()
			return
		}
		timer := time.NewTimer(flushDelay)
		select {
		case <-timer.C:
		case <-w.wake:
		case <-w.stop:
		}
		timer.Stop()
		flush()
	}
}
