package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
)

// The gateways that are compared for what it costs to tell of calls: one that
// tells nothing, one with metrics, lines of JSON and a file of records, and one
// that sends traces beside.
const (
	plainName  = "llmgw"
	toldName   = "llmgw, told"
	tracedName = "llmgw, traced"
)

// startTold starts the gateways that tell of their calls: Prometheus, an access
// line in JSON for every request, a record in a file; then OpenTelemetry, too.
func (l *lab) startTold(ctx context.Context) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	l.collector = &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
	})}
	go func() { _ = l.collector.Serve(ln) }()
	for _, g := range []struct{ name, callbacks string }{{toldName, "[prometheus]"}, {tracedName, "[prometheus, otel]"}} {
		file := filepath.Join(l.dir, fmt.Sprintf("calls-%d.jsonl", len(l.told)))
		p, err := l.serve(ctx, g.name, serveConf+"litellm_settings: {callbacks: "+g.callbacks+", json_logs: true}\nllmgw: {log_sink: "+file+"}\n",
			"LITELLM_LOG=INFO", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+ln.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
		if err != nil {
			return err
		}
		l.told = append(l.told, p)
	}
	return nil
}

// told prints what telling of calls adds to what a call costs.
func (r *results) told(w io.Writer) {
	for _, s := range scenarios {
		plain := r.cell(s.Name, plainName)
		if !s.told || len(plain.CPU) == 0 {
			continue
		}
		unit := "us/request"
		if s.stream {
			unit = "us/event"
		}
		fmt.Fprintf(w, "%-9s %-13s %-24s %-20s %8s %7s %6s %6s\n", s.Name, "", unit, "x llmgw", "req/s", "p99 ms", "failed", "wrong")
		for _, name := range []string{plainName, toldName, tracedName} {
			c := r.cell(s.Name, name)
			fmt.Fprintf(w, "%-9s %-13s %-24s %-20s %8.0f %7.1f %6d %6d\n", "", c.Proxy, spread(c.cost(), 1), spread(ratio(c, plain), 2),
				median(c.RPS), median(floats(c.P99))/1000, c.Failed, c.Wrong)
		}
	}
}
