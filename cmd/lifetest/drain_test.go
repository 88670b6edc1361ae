//go:build unix

package lifetest

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A preStop hook asks an instance to drain, not the worker that happens to serve:
// none takes its place, and readiness fails until the end, however many requests
// still come and whichever worker dies.
func TestADrainIsTheWholeInstances(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "config.yaml")
	text := "model_list: [{model_name: m, litellm_params: {model: openai/x, api_key: k, mock_response: hi}}]\ngeneral_settings: {master_key: " + key + ", enable_drain_endpoint: true}\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p := serve(t, program(t), freePort(t), nil, "--config", conf, "--max-requests-before-restart", "30")
	if code := status(p.url() + "/health/drain"); code != 200 {
		t.Fatalf("the drain answers %d", code)
	}
	before := p.count("a new worker serves")
	for range 100 {
		if code := status(p.url() + "/health/liveliness"); code != 200 {
			t.Fatalf("while it drains: %d", code)
		}
	}
	time.Sleep(500 * time.Millisecond) // a worker would have taken over
	if n := p.count("a new worker serves"); n != before {
		t.Errorf("%d workers took over in an instance that drains", n-before)
	}
	if code := status(p.url() + "/health/readiness"); code != 503 {
		t.Errorf("readiness is %d", code)
	}
	// One that must be started, because there is none left, is not ready either.
	for _, pid := range children(t, p.cmd.Process.Pid) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	until(t, 20*time.Second, func() bool { return p.count("a new worker serves") > before }, "the worker that died is replaced")
	until(t, 5*time.Second, func() bool { return status(p.url()+"/health/readiness") == 503 }, "readiness fails again")
	p.stop()
}
