package otel

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
)

type signal struct{ path, method string }

var (
	traceSignal  = signal{"/v1/traces", "/opentelemetry.proto.collector.trace.v1.TraceService/Export"}
	logSignal    = signal{"/v1/logs", "/opentelemetry.proto.collector.logs.v1.LogsService/Export"}
	metricSignal = signal{"/v1/metrics", "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"}
)

func newClient(o *Options) (*http.Client, error) {
	t := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if o.CAFile != "" {
		pem, err := os.ReadFile(o.CAFile)
		if err != nil {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE cannot be read: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_CERTIFICATE %s holds no certificate in PEM", o.CAFile)
		}
	}
	if o.Protocol == GRPC {
		// gRPC is a POST over HTTP/2, without TLS from the first byte.
		t.Protocols = new(http.Protocols)
		t.Protocols.SetHTTP2(true)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return &http.Client{Timeout: o.Timeout, Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, nil
}

// transient is a failure after which another try may help.
type transient struct {
	error
	after time.Duration
}

// send delivers a request, again where that may help.
func (e *Exporter) send(ctx context.Context, s signal, to redact.Secret, headers map[string]redact.Secret, body []byte) error {
	delay := 500 * time.Millisecond
	for try := 0; ; try++ {
		var err error
		if e.o.Protocol == GRPC {
			err = e.call(ctx, s, to, headers, body)
		} else {
			err = e.post(ctx, to, headers, body)
		}
		var again transient
		if !errors.As(err, &again) || try >= retries || ctx.Err() != nil {
			return err
		}
		timer := time.NewTimer(max(delay, min(again.after, 10*time.Second)))
		select {
		case <-timer.C:
		case <-e.stopping.Done(): // the last tries follow each other
			timer.Stop()
		}
		delay *= 2
	}
}

func (e *Exporter) request(ctx context.Context, address string, headers map[string]redact.Secret, kind string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the collector's address cannot be used")
	}
	for name, value := range headers {
		req.Header.Set(name, value.Reveal())
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("User-Agent", "llmgw")
	if kind == grpcType {
		req.Header.Set("Te", "trailers")
		if e.o.Gzip {
			req.Header.Set("Grpc-Encoding", "gzip")
		}
	} else if e.o.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := e.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // the address may hold a key
		}
		return nil, transient{error: fmt.Errorf("reach the collector: %w", err)}
	}
	return resp, nil
}

const grpcType = "application/grpc+proto"

func zipped(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(body) // a buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

func (e *Exporter) post(ctx context.Context, to redact.Secret, headers map[string]redact.Secret, body []byte) error {
	if e.o.Gzip {
		body = zipped(body)
	}
	resp, err := e.request(ctx, to.Reveal(), headers, "application/x-protobuf", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode < 300 {
		return nil
	}
	err = fmt.Errorf("the collector answered %s", resp.Status)
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		after, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return transient{err, time.Duration(after) * time.Second}
	}
	return err
}

// call makes a gRPC call: one message there, one back, the status in the trailer.
func (e *Exporter) call(ctx context.Context, s signal, to redact.Secret, headers map[string]redact.Secret, body []byte) error {
	frame := make([]byte, 5, 5+len(body))
	if e.o.Gzip {
		body = zipped(body)
		frame[0] = 1
	}
	binary.BigEndian.PutUint32(frame[1:], uint32(len(body))) //nolint:gosec // bounded by maxWaiting
	resp, err := e.request(ctx, strings.TrimRight(to.Reveal(), "/")+s.method, headers, grpcType, append(frame, body...))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	status := resp.Trailer.Get("Grpc-Status")
	if status == "" {
		status = resp.Header.Get("Grpc-Status") // an answer without a message
	}
	switch status {
	case "0":
		return nil
	case "":
		return fmt.Errorf("the collector does not speak gRPC: it answered %s", resp.Status)
	}
	err = fmt.Errorf("the collector answered with gRPC status %s", status)
	switch status {
	case "1", "4", "8", "10", "11", "14", "15": // as OTLP says
		return transient{error: err}
	}
	return err
}
