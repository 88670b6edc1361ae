//go:build unix

package lifetest

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
)

// With TLS a connection that is being greeted when a worker gives the socket up
// must still be served.
func TestWorkersAreReplacedUnderLoadWithTLS(t *testing.T) {
	base, conf := upstream(t), filepath.Join(t.TempDir(), "config.yaml")
	config(t, conf, base, 1, "")
	cert, key := testenv.Certificate(t, "127.0.0.1")
	env, _, _ := ports(t)
	p := launch(t, program(t), freePort(t), env, "--config", conf, "--ssl-certfile-path", cert, "--ssl-keyfile-path", key, "--max-requests-before-restart", "150")
	until(t, time.Minute, func() bool { return strings.Contains(p.text(), "running on https://") }, "the gateway is ready")
	l := startLoad("https://"+strings.TrimPrefix(p.url(), "http://"), 4, 15*time.Millisecond)
	const line = "a new worker serves, the old one drains"
	end := time.Now().Add(span())
	until(t, 5*span()+time.Minute, func() bool { return time.Now().After(end) && p.count(line) >= 3 }, "three workers were replaced")
	l.stop(t)
	if l.second.Load() == 0 {
		t.Error("nothing went by HTTP/2")
	}
	t.Logf("%d workers were replaced", p.count(line))
	p.stop()
}
