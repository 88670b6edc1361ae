package proxy

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// A client that has connected and does not go on with its TLS handshake must not
// keep a drain from cutting the others: a connection tells its protocol only when
// the handshake is over, so a cut ends handshakes before it asks.
func TestAHandshakeThatHangsDelaysNoCut(t *testing.T) {
	var reached atomic.Int32
	base := upstreamFunc(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		reached.Add(1)
		<-r.Context().Done()
	})
	c := Config{Deployments: []*call.Deployment{deployment(t, "d1", base)}, ShutdownTimeout: 100 * time.Millisecond}
	c.Listener.CertFile, c.Listener.KeyFile = testenv.Certificate(t, "localhost")
	p, _, stop, ended := startGateway(t, c)
	silent, err := net.Dial("tcp", p.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // the test's own certificate
	defer client.CloseIdleConnections()
	status := make(chan int, 1)
	go func() {
		req, _ := http.NewRequest(http.MethodPost, "https://"+p.Addr().String()+"/v1/chat/completions", strings.NewReader(`{"model":"fast","messages":[]}`))
		req.Header.Set("Authorization", "Bearer "+testKey)
		resp, err := client.Do(req)
		if err != nil {
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	waitFor(t, func() bool { return reached.Load() == 1 })
	stop()
	select {
	case <-ended:
	case <-time.After(15 * time.Second): // the handshake itself may take 30
		t.Error("the drain goes on beyond its deadline")
	}
	if got := <-status; got != http.StatusServiceUnavailable {
		t.Errorf("status %d", got)
	}
}
