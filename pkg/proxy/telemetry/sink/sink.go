// Package sink writes finished calls as JSON: to a file, to standard output, or
// to an HTTP endpoint. It stands in for every log target that the gateway has no
// client of. Records wait in a queue of bounded size behind the calls; what finds
// no room, or no taker, is dropped and counted. Prompts and answers are in the
// records only where an operator has asked for them.
package sink

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Format is how records are put together for an HTTP endpoint.
type Format string

// Formats, in LiteLLM's words (log_format).
const (
	Array  Format = "json_array"
	Lines  Format = "ndjson"
	Single Format = "single"
)

// Options configure a sink. One of URL, File and To says where records go.
type Options struct {
	// Name is the callback's, for messages and for the metric of failures.
	Name string
	// URL is an HTTP endpoint, with Headers and a Format.
	URL     redact.Secret
	Headers map[string]redact.Secret
	Format  Format
	// File is appended to; it is opened again after it was moved away.
	File string
	// To is any other target: standard output.
	To io.Writer
	// NoSuccess and NoFailure leave out what went well, and what did not.
	NoSuccess, NoFailure bool
	// Messages has prompts and answers in the records.
	Messages bool
	// HideCallers leaves out whose key it was, HideErrors the text of failures.
	HideCallers, HideErrors bool
	// Batch is how many records are sent at once, Interval how long they are
	// collected; 0 means 512 and 5 s.
	Batch    int
	Interval time.Duration
	// MaxBytes bounds what waits; 0 means 16 MiB.
	MaxBytes int
	// Retries is how often a batch is sent again, RetryDelay how long before the
	// first; it doubles. Timeout bounds one try; 0 means 1 s and 10 s.
	Retries    int
	RetryDelay time.Duration
	Timeout    time.Duration
	Secrets    *redact.Known
	Log        *slog.Logger
	// Failed is told of records that are lost.
	Failed func(n int)
}

// farewell is how long the last records may take.
const farewell = 5 * time.Second

// Sink takes finished calls. Close it.
type Sink struct {
	o       Options
	client  *http.Client
	dropped atomic.Int64

	mu      sync.Mutex
	waiting [][]byte // records, each without a line break
	size    int

	wake     chan struct{}
	stopping context.Context
	stop     context.CancelFunc
	done     chan struct{}
	file     *os.File
	silent   bool // the last try failed and was told of
}

// New starts a sink. A file that cannot be opened is an error.
func New(o Options) (*Sink, error) {
	if o.Batch <= 0 {
		o.Batch = 512
	}
	if o.Interval <= 0 {
		o.Interval = 5 * time.Second
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 16 << 20
	}
	if o.RetryDelay <= 0 {
		o.RetryDelay = time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Format == "" {
		o.Format = Array
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Sink{o: o, wake: make(chan struct{}, 1), done: make(chan struct{})}
	if o.File != "" {
		if err := s.open(); err != nil {
			return nil, err
		}
	}
	s.client = &http.Client{Timeout: o.Timeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	s.stopping, s.stop = context.WithCancel(context.Background())
	go s.run()
	return s, nil
}

// Name is the callback's.
func (s *Sink) Name() string { return s.o.Name }

// Messages reports whether records hold prompts and answers.
func (s *Sink) Messages() bool { return s.o.Messages }

// Dropped is how many records were lost.
func (s *Sink) Dropped() int64 { return s.dropped.Load() }

// scratch holds the records of a batch while they are written.
type scratch struct {
	b    []byte
	ends []int
}

// maxScratch is what is kept of a scratch.
const maxScratch = 1 << 20

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// Record takes a batch of finished calls. It never waits for the target.
func (s *Sink) Record(batch []call.Call) {
	w := scratches.Get().(*scratch)
	for i := range batch {
		if c := &batch[i]; c.NoLog || c.Err == nil && s.o.NoSuccess || c.Err != nil && s.o.NoFailure {
			continue
		}
		w.b = s.encode(w.b, &batch[i])
		w.ends = append(w.ends, len(w.b))
	}
	if len(w.ends) > 0 {
		s.lose(s.add(bytes.Clone(w.b), w.ends))
	}
	if w.b, w.ends = w.b[:0], w.ends[:0]; cap(w.b) <= maxScratch {
		scratches.Put(w)
	}
}

// add lets records wait; it returns how many found no room.
func (s *Sink) add(all []byte, ends []int) (lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, from := len(s.waiting), 0
	for _, end := range ends {
		record := all[from:end:end]
		from = end
		if s.size+len(record) > s.o.MaxBytes {
			lost++
			continue
		}
		s.size += len(record)
		s.waiting = append(s.waiting, record)
	}
	if len(s.waiting)/s.o.Batch > before/s.o.Batch {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	return lost
}

func (s *Sink) lose(n int) {
	if n == 0 {
		return
	}
	s.dropped.Add(int64(n))
	if s.o.Failed != nil {
		s.o.Failed(n)
	}
}

// Close sends what waits, for at most a few seconds, and stops.
func (s *Sink) Close() {
	s.stop()
	select {
	case <-s.done:
	case <-time.After(farewell + time.Second):
		return // a pipe that nobody reads takes no deadline
	}
	s.client.CloseIdleConnections()
	if s.file != nil {
		_ = s.file.Close() // everything was written
	}
}

func (s *Sink) run() {
	defer close(s.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// The end must not wait for a target that hangs, also when it comes in the
	// middle of a batch.
	defer context.AfterFunc(s.stopping, func() { time.AfterFunc(farewell, cancel) })()
	ticker := time.NewTicker(s.o.Interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.wake:
		case <-s.stopping.Done():
			s.flush(ctx)
			return
		}
		s.flush(ctx)
	}
}

// flush sends what waits, in batches.
func (s *Sink) flush(ctx context.Context) {
	for {
		s.mu.Lock()
		n := min(len(s.waiting), s.o.Batch)
		batch := s.waiting[:n:n]
		s.waiting = s.waiting[n:]
		if len(s.waiting) == 0 {
			s.waiting = nil
		}
		s.mu.Unlock()
		if n == 0 {
			return
		}
		err := s.deliver(ctx, batch)
		size := 0
		for _, r := range batch {
			size += len(r)
		}
		// Until here the batch counts as waiting: it is in memory.
		s.mu.Lock()
		s.size -= size
		s.mu.Unlock()
		s.tell(err)
	}
}

// tell says once that a target has stopped to take records, and once that it
// takes them again.
func (s *Sink) tell(err error) {
	switch {
	case err != nil && !s.silent:
		s.silent = true
		s.o.Log.Warn(fmt.Sprintf("records for %s are lost: %s", s.o.Name, s.o.Secrets.Text(err.Error(), s.secrets()...)))
	case err == nil && s.silent:
		s.silent = false
		s.o.Log.Info(s.o.Name+" takes records again", "lost", s.Dropped())
	}
}

// secrets are those of the sink alone.
func (s *Sink) secrets() []redact.Secret {
	list := []redact.Secret{s.o.URL}
	for _, h := range s.o.Headers {
		list = append(list, h)
	}
	return list
}

func (s *Sink) deliver(ctx context.Context, batch [][]byte) error {
	if s.o.URL.IsZero() {
		err := s.write(batch)
		if err != nil {
			s.lose(len(batch))
		}
		return err
	}
	if s.o.Format == Single {
		var failed error
		for _, r := range batch {
			if err := s.post(ctx, r); err != nil {
				s.lose(1)
				failed = err
			}
		}
		return failed
	}
	var b []byte
	if s.o.Format == Lines {
		b = bytes.Join(batch, []byte("\n"))
	} else {
		b = append(b, '[')
		b = append(b, bytes.Join(batch, []byte(","))...)
		b = append(b, ']')
	}
	err := s.post(ctx, b)
	if err != nil {
		s.lose(len(batch))
	}
	return err
}
