package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/account"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// recorded is a Sink that hands calls to a test.
func recorded() (chan call.Call, func([]call.Call)) {
	calls := make(chan call.Call, 16)
	return calls, func(batch []call.Call) {
		for _, c := range batch {
			calls <- c
		}
	}
}

func TestAnAnswerSaysWhatItCosts(t *testing.T) {
	base := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer) // 8 and 1 tokens
	})
	d := deployment(t, "d1", base)
	d.Price = account.Prices{}.Lookup(d.Provider, d.Model)
	calls, sink := recorded()
	p, url := gateway(t, Config{Deployments: []*call.Deployment{d}, Sink: sink})
	resp, _ := post(t, url+"/v1/chat/completions", `{"model":"fast","messages":[]}`)
	for name, want := range map[string]string{
		"x-litellm-response-cost": "1.8e-06", "x-litellm-response-cost-original": "1.8e-06", "x-litellm-key-spend": "1.8e-06",
		"x-litellm-response-cost-input": "1.2e-06", "x-litellm-response-cost-output": "6e-07", "x-litellm-response-cost-tool-usage": "0.0",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if c := <-calls; !c.Cost.Known || c.Cost.Total != 1.8e-06 {
		t.Errorf("recorded %+v", c.Cost)
	}
	if got := p.Totals()["fast"].Cost; got != 1.8e-06 {
		t.Errorf("total %g", got)
	}
}

func TestAStreamIsChargedByItsUsageEvent(t *testing.T) {
	base := upstreamFunc(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, okStream)
	})
	d := deployment(t, "d1", base)
	d.Price = account.Prices{}.Lookup(d.Provider, d.Model)
	calls, sink := recorded()
	_, url := gateway(t, Config{Deployments: []*call.Deployment{d}, Sink: sink})
	resp, _ := post(t, url+"/v1/chat/completions", `{"model":"fast","stream":true,"messages":[]}`)
	if got := resp.Header.Get("x-litellm-response-cost"); got != "" {
		t.Errorf("a stream's cost is not known at its head, but it says %q", got)
	}
	if c := <-calls; c.Cost.Total != 1.8e-06 || c.Usage.Estimated {
		t.Errorf("recorded %+v %+v", c.Usage, c.Cost)
	}
}

func TestAStreamThatItsClientLeavesIsCharged(t *testing.T) {
	base := upstreamFunc(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 10 {
			fmt.Fprintf(w, "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"twelve bytes\"}}]}\n\n")
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	d := deployment(t, "d1", base)
	d.Price = account.Prices{}.Lookup(d.Provider, d.Model)
	calls, sink := recorded()
	_, url := gateway(t, Config{Deployments: []*call.Deployment{d}, Sink: sink})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/chat/completions",
		strings.NewReader(`{"model":"fast","stream":true,"messages":[{"role":"user","content":"`+strings.Repeat("word ", 80)+`"}]}`))
	req.Header.Set("Authorization", "Bearer "+testKey)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 500)); err != nil {
		t.Fatal(err)
	}
	cancel()
	resp.Body.Close()
	select {
	case c := <-calls:
		if !c.Usage.Estimated || c.Usage.CompletionTokens < 20 || c.Usage.CompletionTokens > 40 || c.Usage.PromptTokens < 80 || !c.Cost.Known || c.Cost.Total <= 0 {
			t.Errorf("recorded %+v %+v", c.Usage, c.Cost)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("nothing was recorded")
	}
}
