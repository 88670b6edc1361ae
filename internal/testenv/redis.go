//go:build unix

package testenv

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const redisDatabases = 4096

var sharedRedis struct {
	once   sync.Once
	server *Server
	err    error
	serial atomic.Int64
}

// Redis returns the URL of an empty numbered database of its own, on a server
// that all tests of the process share. Tests that flush all databases, change
// the configuration or stop the server use RedisServer.
func Redis(t testing.TB) string {
	t.Helper()
	program := Need(t, "redis-server")
	sharedRedis.once.Do(func() { sharedRedis.server, sharedRedis.err = startRedis(program, nil) })
	if sharedRedis.err != nil {
		t.Fatalf("testenv: %v", sharedRedis.err)
	}
	n := sharedRedis.serial.Add(1)
	if n >= redisDatabases {
		t.Fatalf("testenv: more than %d Redis databases in one test process", redisDatabases)
	}
	return sharedRedis.server.URL(fmt.Sprint(n))
}

// RedisServer starts a server for this test alone. Extra arguments are handed
// to redis-server, for example "--requirepass", "x"; with that one the URL
// carries the password.
func RedisServer(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := startRedis(Need(t, "redis-server"), args)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(func() {
		s.Stop()
		s.home.close()
	})
	return s
}

func startRedis(program string, args []string) (*Server, error) {
	h, err := newHome(false)
	if err != nil {
		return nil, err
	}
	s := &Server{Host: "127.0.0.1", home: h}
	s.url = func(database string) string {
		u := url.URL{Scheme: "redis", Host: fmt.Sprintf("127.0.0.1:%d", s.Port), Path: "/" + database}
		for i, a := range args {
			if a == "--requirepass" && i+1 < len(args) {
				u.User = url.UserPassword("", args[i+1])
			}
		}
		return u.String()
	}
	s.launch = func() (*process, error) {
		all := append([]string{
			"--port", fmt.Sprint(s.Port), "--bind", "127.0.0.1", "--protected-mode", "no",
			"--save", "", "--appendonly", "no", "--dir", h.dir, "--daemonize", "no",
			"--databases", fmt.Sprint(redisDatabases),
		}, args...)
		return h.start(h.command(program, all...), func() error { return pingRedis(s) })
	}
	for attempt := 0; ; attempt++ {
		if s.Port, err = freePort(); err != nil {
			break
		}
		if s.process, err = s.launch(); err == nil {
			return s, nil
		}
		if attempt == 4 {
			break
		}
	}
	h.close()
	return nil, err
}

// pingRedis asks in Redis' own words, so that this package does not need a
// client; "NOAUTH" is an answer too.
func pingRedis(s *Server) error {
	conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", s.Port), time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := conn.Write([]byte("PING\r\n")); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "+PONG") && !strings.HasPrefix(line, "-NOAUTH") {
		return errors.New("unexpected answer " + strings.TrimSpace(line))
	}
	return nil
}
