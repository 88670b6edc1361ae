// Package otel sends traces and metrics of calls to an OpenTelemetry collector,
// with the semantic conventions for generative AI. It speaks OTLP in protobuf,
// over HTTP and over gRPC, and prints spans where no collector is named. Spans
// are made from finished calls behind the requests and wait in a queue of bounded
// size; what finds no room, or no taker, is dropped and counted.
//
// It is not built on OpenTelemetry's SDK: with its two exporters that adds 6.3 MB
// to a binary (gRPC and its gateway among them, for HTTP too), and it wants spans
// to begin and end on the path of a request, where a finished call has all there
// is to say.
package otel

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// Protocol is how a collector is spoken to.
type Protocol string

// Protocols.
const (
	HTTP    Protocol = "http/protobuf"
	GRPC    Protocol = "grpc"
	Console Protocol = "console"
)

// Options configure an Exporter. FromEnv reads them.
type Options struct {
	Protocol Protocol
	// Traces and Metrics are the addresses of the signals; a zero one is not sent.
	Traces, Metrics, Logs redact.Secret
	// TraceHeaders, MetricHeaders and LogHeaders go with every request.
	TraceHeaders, MetricHeaders, LogHeaders map[string]redact.Secret
	// Gzip compresses, CAFile names the authorities that are trusted.
	Gzip   bool
	CAFile string
	// Resource describes this process, in this order.
	Resource [][2]string
	Sampler  Sampler
	// IgnoreParent begins a new trace although the client has one.
	IgnoreParent bool
	// Messages has prompts and answers in the spans; HideCallers and HideErrors
	// leave out whose key it was, and the text of failures.
	Messages, HideCallers, HideErrors bool
	// EventContent has them in the events that Logs takes: one for each message of
	// a prompt, one for each choice of an answer.
	EventContent bool
	// Delay is how long spans are collected, Batch how many are sent at once,
	// Capacity how many may wait; 0 means 5 s, 512 and 2048.
	Delay           time.Duration
	Batch, Capacity int
	// Delta sends what was counted since the last time, in place of all.
	Delta bool
	// MetricInterval is how often metrics are sent; 0 means 60 s.
	MetricInterval time.Duration
	// Timeout bounds one try; 0 means 10 s.
	Timeout time.Duration
	// To is where Console prints.
	To      io.Writer
	Secrets *redact.Known
	Log     *slog.Logger
	// Failed is told of spans that are lost.
	Failed func(n int)
}

const (
	// maxWaiting bounds the bytes of spans, whatever their number.
	maxWaiting = 32 << 20
	farewell   = 5 * time.Second
	retries    = 3
)

// Exporter takes finished calls. Close it.
type Exporter struct {
	o        Options
	client   *http.Client
	resource []byte // encoded
	dropped  atomic.Int64
	// hosts are the addresses of upstreams, taken apart; known counts them.
	hosts sync.Map
	known atomic.Int64

	mu      sync.Mutex
	waiting [][]byte
	notes   [][]byte // events
	size    int
	meter   *meter

	wake     chan struct{}
	stopping context.Context
	stop     context.CancelFunc
	done     chan struct{}
	silent   bool // the last try failed and was told of
}

// New starts an exporter.
func New(o Options) (*Exporter, error) {
	if o.Delay <= 0 {
		o.Delay = 5 * time.Second
	}
	if o.Batch <= 0 {
		o.Batch = 512
	}
	if o.Capacity <= 0 {
		o.Capacity = 2048
	}
	if o.MetricInterval <= 0 {
		o.MetricInterval = time.Minute
	}
	if o.Timeout <= 0 {
		o.Timeout = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Exporter{o: o, meter: newMeter(time.Now()), wake: make(chan struct{}, 1), done: make(chan struct{})}
	e.meter.delta = o.Delta
	var err error
	if e.client, err = newClient(&o); err != nil {
		return nil, err
	}
	var m message
	for _, a := range o.Resource {
		m.attributes(1, []attr{{a[0], a[1]}})
	}
	e.resource = m
	e.stopping, e.stop = context.WithCancel(context.Background())
	go e.run()
	return e, nil
}

// Messages reports whether it wants prompts and answers: for spans that hold them,
// or for events, which are made of them.
func (e *Exporter) Messages() bool { return e.o.Messages || !e.o.Logs.IsZero() }

// Dropped is how many spans were lost.
func (e *Exporter) Dropped() int64 { return e.dropped.Load() }

// Record takes a batch of finished calls. It never waits for the collector.
func (e *Exporter) Record(batch []call.Call) {
	lost := 0
	for i := range batch {
		c := &batch[i]
		if !e.o.Metrics.IsZero() {
			e.mu.Lock()
			e.meter.record(c)
			e.mu.Unlock()
		}
		if c.Trace == nil || !c.Trace.Sampled || e.o.Protocol != Console && e.o.Traces.IsZero() {
			continue
		}
		spans := e.spans(c)
		for j := range spans {
			var b []byte
			if e.o.Protocol == Console {
				b = spans[j].line()
			} else {
				b = spans[j].encode()
			}
			if !e.add(&e.waiting, b) {
				lost++
			}
		}
		if e.o.Logs.IsZero() {
			continue
		}
		told := e.events(c)
		for j := range told {
			if !e.add(&e.notes, told[j].encode()) {
				lost++
			}
		}
	}
	e.lose(lost)
}

func (e *Exporter) add(to *[][]byte, b []byte) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(*to) >= e.o.Capacity || e.size+len(b) > maxWaiting {
		return false
	}
	e.size += len(b)
	*to = append(*to, b)
	if len(*to)%e.o.Batch == 0 {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
	return true
}

func (e *Exporter) lose(n int) {
	if n == 0 {
		return
	}
	e.dropped.Add(int64(n))
	if e.o.Failed != nil {
		e.o.Failed(n)
	}
}

// Close sends what waits, for at most a few seconds, and stops.
func (e *Exporter) Close() {
	e.stop()
	select {
	case <-e.done:
	case <-time.After(farewell + time.Second): // a pipe that nobody reads takes no deadline
	}
	e.client.CloseIdleConnections()
}

func (e *Exporter) run() {
	defer close(e.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer context.AfterFunc(e.stopping, func() { time.AfterFunc(farewell, cancel) })()
	traces := time.NewTicker(e.o.Delay)
	defer traces.Stop()
	metrics := time.NewTicker(e.o.MetricInterval)
	defer metrics.Stop()
	for {
		select {
		case <-traces.C:
		case <-e.wake:
		case <-metrics.C:
			e.flushMetrics(ctx)
		case <-e.stopping.Done():
			e.flush(ctx)
			e.flushMetrics(ctx)
			return
		}
		e.flush(ctx)
	}
}

// flush sends the spans and the events that wait.
func (e *Exporter) flush(ctx context.Context) {
	e.empty(ctx, &e.waiting, e.sendSpans)
	e.empty(ctx, &e.notes, func(ctx context.Context, batch [][]byte) error {
		return e.send(ctx, logSignal, e.o.Logs, e.o.LogHeaders, e.wrap(batch))
	})
}

// empty sends what waits, in batches.
func (e *Exporter) empty(ctx context.Context, from *[][]byte, send func(context.Context, [][]byte) error) {
	for {
		e.mu.Lock()
		n := min(len(*from), e.o.Batch)
		batch := (*from)[:n:n]
		*from = (*from)[n:]
		if len(*from) == 0 {
			*from = nil
		}
		for _, b := range batch {
			e.size -= len(b)
		}
		e.mu.Unlock()
		if n == 0 {
			return
		}
		err := send(ctx, batch)
		if err != nil {
			e.lose(n)
		}
		e.tell(err)
	}
}

func (e *Exporter) sendSpans(ctx context.Context, batch [][]byte) error {
	if e.o.Protocol == Console {
		for _, line := range batch {
			if _, err := e.o.To.Write(line); err != nil {
				return err
			}
		}
		return nil
	}
	return e.send(ctx, traceSignal, e.o.Traces, e.o.TraceHeaders, e.wrap(batch))
}

// wrap is a request with a batch of spans or of events.
func (e *Exporter) wrap(batch [][]byte) []byte {
	return e.envelope(func(m *message) {
		for _, b := range batch {
			m.bytes(2, b)
		}
	})
}

// envelope wraps what a scope holds into a request: of ResourceSpans, of
// ResourceMetrics or of ResourceLogs, which have the same shape.
func (e *Exporter) envelope(fill func(*message)) []byte {
	var m message
	m.nested(1, func(m *message) {
		m.bytes(1, e.resource)
		m.nested(2, func(m *message) {
			m.nested(1, func(m *message) { m.text(1, "llmgw") })
			fill(m)
		})
	})
	return m
}

func (e *Exporter) flushMetrics(ctx context.Context) {
	if e.o.Metrics.IsZero() {
		return
	}
	e.mu.Lock()
	now, told := time.Now(), e.meter
	if e.o.Delta && told.empty() {
		e.mu.Unlock()
		return
	}
	body := e.envelope(func(m *message) { told.encode(m, now) })
	if e.o.Delta {
		e.meter = newMeter(now)
		e.meter.delta = true
	}
	e.mu.Unlock()
	err := e.send(ctx, metricSignal, e.o.Metrics, e.o.MetricHeaders, body)
	if err != nil && e.o.Delta {
		e.mu.Lock()
		e.meter.join(told) // it comes with the next
		e.mu.Unlock()
	}
	e.tell(err)
}

// tell says once that the collector has stopped to take data, and once that it
// takes them again.
func (e *Exporter) tell(err error) {
	switch {
	case err != nil && !e.silent:
		e.silent = true
		e.o.Log.Warn("OpenTelemetry data are lost: " + e.o.Secrets.Text(err.Error(), e.secrets()...))
	case err == nil && e.silent:
		e.silent = false
		e.o.Log.Info("the OpenTelemetry collector takes data again", "lost_spans", e.Dropped())
	}
}

// secrets are those of the exporter alone.
func (e *Exporter) secrets() (list []redact.Secret) {
	for _, headers := range []map[string]redact.Secret{e.o.TraceHeaders, e.o.MetricHeaders, e.o.LogHeaders} {
		for _, h := range headers {
			list = append(list, h)
		}
	}
	return list
}
