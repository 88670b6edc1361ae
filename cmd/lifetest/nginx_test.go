//go:build unix

package lifetest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/testenv"
)

// nginx in front of two gateways, as it comes: it keeps connections, it learns
// of an instance that is gone only by trying, and it never sends a POST twice.
const nginxConf = `
daemon off; pid %[1]s/nginx.pid; error_log %[1]s/error.log; worker_processes 1;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  upstream gateways { server 127.0.0.1:%[2]d fail_timeout=1s; server 127.0.0.1:%[3]d fail_timeout=1s; keepalive 16; }
  server {
    listen 127.0.0.1:%[4]d;
    location / { proxy_pass http://gateways; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
  }
}
`

func nginx(t testing.TB, first, second int) (url string) {
	t.Helper()
	path, err := exec.LookPath("nginx")
	if err != nil {
		path = "/usr/sbin/nginx"
	}
	testenv.NeedFile(t, path, "nginx", "apt-get install nginx-light, or make deps")
	dir, port := t.TempDir(), freePort(t)
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nginxConf, dir, first, second, port), 0o600); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 { // its workers run as another user
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command(path, "-p", dir, "-c", conf)
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Process.Signal(os.Interrupt)
		_ = c.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("nginx: %s", b[max(0, len(b)-2000):])
		}
	})
	url = fmt.Sprintf("http://127.0.0.1:%d", port)
	until(t, 20*time.Second, func() bool { return status(url+"/health/liveliness") == 200 }, "nginx answers")
	return url
}

// A rolling deploy: one instance after the other is told to end, and comes back.
func TestInstancesDrainBehindABalancer(t *testing.T) {
	base, conf, prog := upstream(t), filepath.Join(t.TempDir(), "config.yaml"), program(t)
	config(t, conf, base, 1, "")
	args := []string{"--config", conf, "--shutdown-timeout", "16s"}
	gateways := []*process{serve(t, prog, freePort(t), nil, args...), serve(t, prog, freePort(t), nil, args...)}
	l := startLoad(nginx(t, gateways[0].port, gateways[1].port), 4, 15*time.Millisecond)
	time.Sleep(time.Second)
	rounds := 1
	if long() {
		rounds = 6
	}
	for range rounds {
		for i, p := range gateways {
			begin := time.Now()
			p.stop()
			t.Logf("an instance drained in %s", time.Since(begin).Round(time.Millisecond))
			gateways[i] = serve(t, prog, p.port, nil, args...)
			fresh := gateways[i]
			until(t, 30*time.Second, func() bool { return fresh.count("POST /v1/chat/completions") > 20 }, "nginx uses the instance again")
		}
	}
	l.stop(t)
	for _, p := range gateways {
		p.stop()
	}
}
