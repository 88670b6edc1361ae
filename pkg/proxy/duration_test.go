package proxy

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/mock"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// TestAStreamThatMayNotGoOnSaysWhy: its error names the limit that ended it, not
// the one for gaps.
func TestAStreamThatMayNotGoOnSaysWhy(t *testing.T) {
	m := mock.New(mock.Options{Seed: 1, ITL: mock.Fixed(20 * time.Millisecond), Chunks: 1000})
	up := httptest.NewServer(m)
	t.Cleanup(up.Close)
	t.Cleanup(m.Close)
	c := Config{Deployments: []*call.Deployment{entry(t, up.URL)}}
	c.API.MaxStreamDuration = 300 * time.Millisecond
	_, url := gateway(t, c)
	begin := time.Now()
	_, body := post(t, url+"/v1/chat/completions", `{"model":"fast","stream":true,"messages":[]}`)
	const want = `data: {"error":{"message":"litellm.Timeout: Timeout Error: OpenAIException - Stream exceeded max streaming duration of 0.3s.",`
	if !strings.Contains(body, want) || strings.Contains(body, "[DONE]") || time.Since(begin) < 300*time.Millisecond {
		t.Errorf("after %v: %.600s", time.Since(begin), body[max(0, len(body)-600):])
	}
}
