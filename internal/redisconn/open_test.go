package redisconn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/testenv"
)

func open(t *testing.T, yaml string) redis.UniversalClient {
	t.Helper()
	p, findings := FromCache(parse(t, yaml), environ())
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	c, err := Open(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestOpenSingle(t *testing.T) {
	s := testenv.RedisServer(t, "--requirepass", "pa ss@word")
	ctx := within(t, 10*time.Second)
	parts := open(t, fmt.Sprintf("{host: 127.0.0.1, port: %d, password: 'pa ss@word', db: 2, client_name: llmgw-test}", s.Port))
	if err := parts.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	byURL := open(t, fmt.Sprintf("{url: 'redis://:pa%%20ss%%40word@127.0.0.1:%d/2'}", s.Port))
	if v, err := byURL.Get(ctx, "k").Result(); err != nil || v != "v" {
		t.Errorf("by URL: %q, %v", v, err)
	}
	if v := open(t, fmt.Sprintf("{host: 127.0.0.1, port: %d, password: 'pa ss@word'}", s.Port)).Exists(ctx, "k").Val(); v != 0 {
		t.Error("the database number is ignored")
	}
	info, err := parts.Do(ctx, "CLIENT", "GETNAME").Text()
	if err != nil || info != "llmgw-test" {
		t.Errorf("name %q, %v", info, err)
	}
	err = open(t, fmt.Sprintf("{host: 127.0.0.1, port: %d, password: wrong}", s.Port)).Ping(ctx).Err()
	if err == nil || strings.Contains(err.Error(), "wrong ") || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestOpenSentinel(t *testing.T) {
	main := testenv.RedisServer(t)
	conf := filepath.Join(t.TempDir(), "sentinel.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "sentinel monitor main 127.0.0.1 %d 1\n", main.Port), 0o666); err != nil {
		t.Fatal(err)
	}
	port := startSentinel(t, conf)
	ctx := within(t, 20*time.Second)
	c := open(t, fmt.Sprintf("{sentinel_nodes: [[127.0.0.1, %d]], service_name: main, db: 1}", port))
	if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	direct := open(t, fmt.Sprintf("{host: 127.0.0.1, port: %d, db: 1}", main.Port))
	if v := direct.Get(ctx, "k").Val(); v != "v" {
		t.Errorf("the server behind the sentinel holds %q", v)
	}
}

// startSentinel runs redis-server as a sentinel and returns its port.
func startSentinel(t *testing.T, conf string) int {
	t.Helper()
	program := testenv.Need(t, "redis-server")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	p, err := os.StartProcess(program, []string{program, conf, "--sentinel", "--port", fmt.Sprint(port), "--bind", "127.0.0.1"},
		&os.ProcAttr{Dir: filepath.Dir(conf)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Kill()
		_, _ = p.Wait()
	})
	for range 200 {
		if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			c.Close()
			return port
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatal("the sentinel does not answer")
	return 0
}

func TestOpenCluster(t *testing.T) {
	s := testenv.RedisServer(t, "--cluster-enabled", "yes")
	ctx := within(t, 20*time.Second)
	single := open(t, fmt.Sprintf("{host: 127.0.0.1, port: %d}", s.Port))
	if err := single.Do(ctx, "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	for {
		info, err := single.Do(ctx, "CLUSTER", "INFO").Text()
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(info, "cluster_state:ok") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	c := open(t, fmt.Sprintf("{redis_startup_nodes: [{host: 127.0.0.1, port: %d}]}", s.Port))
	if _, ok := c.(*redis.ClusterClient); !ok {
		t.Fatalf("a %T", c)
	}
	if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if v := c.Get(ctx, "k").Val(); v != "v" {
		t.Errorf("%q", v)
	}
}

func TestOpenSocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "llmgw") // short: socket paths are
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "r.sock")
	testenv.RedisServer(t, "--unixsocket", path)
	if err := open(t, fmt.Sprintf("{url: 'unix://%s?db=1'}", path)).Ping(within(t, 10*time.Second)).Err(); err != nil {
		t.Error(err)
	}
}

// TestOpenTLS puts TLS in front of a real server, since not every build of
// redis-server has it.
func TestOpenTLS(t *testing.T) {
	s := testenv.RedisServer(t)
	certFile, keyFile := testenv.Certificate(t, "redis.test")
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go forward(l, s.Port)
	port := l.Addr().(*net.TCPAddr).Port
	ctx := within(t, 20*time.Second)
	for _, tt := range []struct {
		name, yaml string
		fails      string
	}{
		{"a certificate nobody knows", fmt.Sprintf("{host: 127.0.0.1, port: %d, ssl: true}", port), "certificate"},
		{"a trusted one with another name", fmt.Sprintf("{host: 127.0.0.1, port: %d, ssl: true, ssl_ca_certs: %s}", port, certFile), "127.0.0.1"},
		{"any name", fmt.Sprintf("{host: 127.0.0.1, port: %d, ssl: true, ssl_ca_certs: %s, ssl_check_hostname: false}", port, certFile), ""},
		{"any name does not mean any certificate", fmt.Sprintf("{host: 127.0.0.1, port: %d, ssl: true, ssl_check_hostname: false}", port), "certificate"},
		{"no check", fmt.Sprintf("{host: 127.0.0.1, port: %d, ssl: true, ssl_cert_reqs: none}", port), ""},
		{"no check by URL", fmt.Sprintf("{url: 'rediss://127.0.0.1:%d/0?ssl_cert_reqs=none'}", port), ""},
		{"a CA by URL", fmt.Sprintf("{url: 'rediss://127.0.0.1:%d/0?ssl_ca_certs=%s&ssl_check_hostname=false'}", port, certFile), ""},
	} {
		err := open(t, tt.yaml).Ping(ctx).Err()
		switch {
		case tt.fails == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.fails != "" && (err == nil || !strings.Contains(err.Error(), tt.fails)):
			t.Errorf("%s: %v, want an error about %s", tt.name, err, tt.fails)
		}
	}
}

func forward(l net.Listener, port int) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if err != nil {
				return
			}
			defer out.Close()
			go func() {
				defer out.Close()
				buf := make([]byte, 4096)
				for {
					n, err := in.Read(buf)
					if _, werr := out.Write(buf[:n]); err != nil || werr != nil {
						return
					}
				}
			}()
			buf := make([]byte, 4096)
			for {
				n, err := out.Read(buf)
				if _, werr := in.Write(buf[:n]); err != nil || werr != nil {
					return
				}
			}
		}()
	}
}

func TestOpenFails(t *testing.T) {
	if _, err := Open(&Params{}); !errors.Is(err, ErrNone) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := Open(nil); !errors.Is(err, ErrNone) {
		t.Errorf("nil: %v", err)
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]TLS{
		"a missing CA file":   {CAFile: "/nowhere/ca.pem"},
		"an empty CA file":    {CAFile: empty},
		"a missing cert file": {CertFile: "/nowhere/cert.pem", KeyFile: "/nowhere/key.pem"},
	} {
		if _, err := Open(&Params{Mode: Single, Addresses: []string{"h:1"}, TLS: &c}); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// A server that is gone is noticed within the timeout, and again at once.
func TestServerGone(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	c := open(t, fmt.Sprintf("{host: 127.0.0.1, port: %d, socket_timeout: 0.05}", l.Addr().(*net.TCPAddr).Port))
	begin := time.Now()
	if err := c.Get(within(t, 10*time.Second), "k").Err(); err == nil {
		t.Error("an answer from nobody")
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("noticed after %s", d)
	}
}
