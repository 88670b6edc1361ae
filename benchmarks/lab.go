package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lab holds the processes of a comparison.
type lab struct {
	dir, bin string
	mock     *exec.Cmd
	mockURL  string
	proxies  []*proxy
	cached   *proxy // llmgw with its cache in memory on
	told     []*proxy
	// collector takes what the gateways send of their traces.
	collector *http.Server
	notes     []string
	ready     time.Duration // of llmgw serve, from its start
}

// proxy is one process under test, pinned to a CPU of its own.
type proxy struct {
	name string
	url  string
	cmd  *exec.Cmd
	log  string
	idle int64 // resident bytes before any request
}

func (p *proxy) pid() int { return p.cmd.Process.Pid }

// pinned runs a command on one CPU, where taskset is at hand.
func pinned(cpu int, name string, args ...string) *exec.Cmd {
	if _, err := exec.LookPath("taskset"); err == nil {
		return exec.Command("taskset", append([]string{"-c", strconv.Itoa(cpu), name}, args...)...)
	}
	return exec.Command(name, args...)
}

// urlOf starts a command that prints its URL on its first line.
func urlOf(cmd *exec.Cmd) (string, error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return "", fmt.Errorf("%s printed no URL: %w", cmd, err)
	}
	return strings.TrimSpace(line), nil
}

func (l *lab) startMock(context.Context) error {
	l.mock = pinned(0, l.bin, "mock", "--quiet", "--port", "0", "--chunks", "50", "--chunk-bytes", "24")
	l.mock.Env = append(os.Environ(), "GOMAXPROCS=1")
	l.mock.Stderr = os.Stderr
	var err error
	if l.mockURL, err = urlOf(l.mock); err != nil {
		l.mock = nil
		return fmt.Errorf("start the mock: %w", err)
	}
	return nil
}

func freePort() (int, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}

func (l *lab) startProxies(ctx context.Context) error {
	if err := l.startRefProxy(); err != nil {
		return fmt.Errorf("start the ReverseProxy: %w", err)
	}
	if err := l.startNginx(ctx); err != nil {
		l.notes = append(l.notes, "nginx left out: "+err.Error())
	}
	if err := l.startServe(ctx); err != nil {
		return fmt.Errorf("start llmgw serve: %w", err)
	}
	if err := l.startCached(ctx); err != nil {
		return fmt.Errorf("start llmgw serve with a cache: %w", err)
	}
	time.Sleep(500 * time.Millisecond) // let start-up work settle before "idle" is read
	for _, p := range l.proxies {
		p.idle = resident(p.pid())
	}
	return nil
}

func (l *lab) startRefProxy() error {
	cmd := pinned(1, l.bin, "bench", "refproxy", "--port", "0", "--upstream", l.mockURL)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1")
	url, err := urlOf(cmd)
	if err != nil {
		return err
	}
	l.proxies = append(l.proxies, &proxy{name: "ReverseProxy", url: url, cmd: cmd})
	return nil
}

const nginxConf = `%s
daemon off;
worker_processes 1;
pid %[2]s/nginx.pid;
error_log %[2]s/nginx.log crit;
events { worker_connections 8192; }
http {
    access_log off;
    client_body_temp_path %[2]s/body;
    proxy_temp_path %[2]s/proxy;
    fastcgi_temp_path %[2]s/fastcgi;
    uwsgi_temp_path %[2]s/uwsgi;
    scgi_temp_path %[2]s/scgi;
    keepalive_requests 100000000;
    keepalive_timeout 75s;
    client_body_buffer_size 64k;
    upstream mock { server %[3]s; keepalive 1024; keepalive_requests 100000000; }
    server {
        listen 127.0.0.1:%[4]d backlog=4096;
        location / {
            proxy_pass http://mock;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "Bearer upstream";
            proxy_buffering off;
        }
    }
}
`

func (l *lab) startNginx(ctx context.Context) error {
	path, err := exec.LookPath("nginx")
	if err != nil {
		if _, serr := os.Stat("/usr/sbin/nginx"); serr != nil {
			return errors.New("not installed")
		}
		path = "/usr/sbin/nginx"
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	conf := filepath.Join(l.dir, "nginx.conf")
	text := fmt.Sprintf(nginxConf, user, l.dir, strings.TrimPrefix(l.mockURL, "http://"), port)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	cmd := pinned(1, path, "-p", l.dir, "-c", conf)
	p := &proxy{name: "nginx", url: fmt.Sprintf("http://127.0.0.1:%d", port), cmd: cmd, log: filepath.Join(l.dir, "nginx.err")}
	if err := l.begin(ctx, p, "/v1/models"); err != nil {
		return err
	}
	l.proxies = append(l.proxies, p)
	return nil
}

const serveConf = `model_list:
  - model_name: mock/plain
    litellm_params:
      model: openai/mock/plain/x
      api_base: %[1]s/v1
      api_key: upstream
  - model_name: mock/itl-5ms
    litellm_params:
      model: openai/mock/itl-5ms/x
      api_base: %[1]s/v1
      api_key: upstream
  - model_name: mock/itl-20ms
    litellm_params:
      model: openai/mock/itl-20ms/x
      api_base: %[1]s/v1
      api_key: upstream
  - model_name: mock/itl-50ms
    litellm_params:
      model: openai/mock/itl-50ms/x
      api_base: %[1]s/v1
      api_key: upstream
general_settings:
  master_key: %[2]s
`

// startServe starts the gateway with its whole default path on: key, routing,
// accounting, counters, response headers. Only the access log is off.
func (l *lab) startServe(ctx context.Context) error {
	start := time.Now()
	p, err := l.serve(ctx, plainName, serveConf)
	if err != nil {
		return err
	}
	l.ready = time.Since(start)
	l.proxies = append(l.proxies, p)
	return nil
}

// cachedName is the gateway that answers from its cache.
const cachedName = "llmgw, cache"

// startCached starts a second gateway, which answers from its cache.
func (l *lab) startCached(ctx context.Context) (err error) {
	l.cached, err = l.serve(ctx, cachedName, serveConf+"litellm_settings: {cache: true, cache_params: {type: local}}\n")
	return err
}

func (l *lab) serve(ctx context.Context, name, text string, env ...string) (*proxy, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	conf := filepath.Join(l.dir, fmt.Sprintf("config-%d.yaml", port))
	if err := os.WriteFile(conf, fmt.Appendf(nil, text, l.mockURL, masterKey), 0o600); err != nil {
		return nil, err
	}
	cmd := pinned(1, l.bin, "serve", "--config", conf, "--host", "127.0.0.1", "--port", strconv.Itoa(port))
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + l.dir, "XDG_STATE_HOME=" + l.dir, "GOMAXPROCS=1",
		"LITELLM_LOG=ERROR", "LITELLM_MODE=PRODUCTION",
	}
	cmd.Env = append(cmd.Env, env...) // the last of two with one name counts
	p := &proxy{name: name, url: fmt.Sprintf("http://127.0.0.1:%d", port), cmd: cmd, log: filepath.Join(l.dir, fmt.Sprintf("serve-%d.err", port))}
	return p, l.begin(ctx, p, "/health/readiness")
}

// of are the proxies that a scenario is sent through. What a proxy delays is
// counted from the mock, asked without one; an answer from a cache is held
// against answers through the other proxies.
func (l *lab) of(s scenario) []*proxy {
	switch {
	case s.delay != nil:
		return append([]*proxy{{name: direct, url: l.mockURL, cmd: l.mock}}, l.proxies...)
	case s.told:
		return append(slices.DeleteFunc(slices.Clone(l.proxies), func(p *proxy) bool { return p.name != plainName }), l.told...)
	case s.same:
		return append(slices.DeleteFunc(slices.Clone(l.proxies), func(p *proxy) bool { return p.name == plainName }), l.cached)
	}
	return l.proxies
}

// begin starts a proxy and waits until a path answers 200.
func (l *lab) begin(ctx context.Context, p *proxy, path string) error {
	f, err := os.Create(p.log)
	if err != nil {
		return err
	}
	defer f.Close()
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() { _ = p.cmd.Wait(); close(exited) }()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		resp, err := client.Get(p.url + path)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-exited:
			b, _ := os.ReadFile(p.log)
			return fmt.Errorf("%s ended: %s", p.name, strings.TrimSpace(string(b)))
		case <-ctx.Done():
			_ = p.cmd.Process.Kill()
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	_ = p.cmd.Process.Kill()
	b, _ := os.ReadFile(p.log)
	return fmt.Errorf("%s was not ready within 15 s: %s", p.name, strings.TrimSpace(string(b)))
}

// all are the processes on the CPU of the proxies.
func (l *lab) all() []*proxy {
	list := append(slices.Clip(l.proxies), l.told...)
	if l.cached != nil {
		list = append(list, l.cached)
	}
	return list
}

// stop ends all processes, each by its own number.
func (l *lab) stop() {
	for _, p := range l.all() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
	}
	if l.collector != nil {
		_ = l.collector.Close()
	}
	if l.mock != nil {
		_ = l.mock.Process.Signal(syscall.SIGTERM)
		_ = l.mock.Wait()
	}
	time.Sleep(200 * time.Millisecond)
	for _, p := range l.all() {
		_ = p.cmd.Process.Kill()
	}
}

// resident is the memory of a process and its children, in bytes.
func resident(pid int) int64 {
	var total int64
	for pids := []int{pid}; len(pids) > 0; pids = pids[1:] {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pids[0]))
		if err != nil {
			continue
		}
		if _, rest, ok := strings.Cut(string(b), "\nVmRSS:"); ok {
			if f := strings.Fields(rest); len(f) > 0 {
				kb, _ := strconv.ParseInt(f[0], 10, 64)
				total += kb << 10
			}
		}
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pids[0]))
		for _, t := range tasks {
			c, _ := os.ReadFile(t)
			for f := range strings.FieldsSeq(string(c)) {
				if n, err := strconv.Atoi(f); err == nil {
					pids = append(pids, n)
				}
			}
		}
	}
	return total
}
