//go:build unix

package testenv

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Password is the one in the URLs that Postgres returns. The server does not
// ask for it from its superuser; it is there so that a test notices when it is
// printed.
const Password = "pgPlanted-s3cret"

// PostgresOptions sets up a server of one's own.
type PostgresOptions struct {
	// Settings go into postgresql.conf (names as there, values unquoted).
	Settings map[string]string
	// Files are written into the data folder, readable by the server only:
	// server.crt, server.key.
	Files map[string][]byte
	// HBA lines go in front of the default ones (superuser: trust from
	// loopback; every other role: scram-sha-256).
	HBA []string
}

// Server is a PostgreSQL or Redis server that belongs to one test.
type Server struct {
	Host    string
	Port    int
	home    *home
	process *process
	launch  func() (*process, error)
	url     func(database string) string
}

// URL addresses a database of the server: a name for PostgreSQL, a number for
// Redis.
func (s *Server) URL(database string) string { return s.url(database) }

// Stop ends the server at once, as a crash of its machine would look to a
// client that still has a network: connections are reset.
func (s *Server) Stop() { s.process.stop(syscall.SIGQUIT) }

// Start runs a stopped server again, on the same port and data.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	p, err := s.launch()
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	s.process = p
}

// Signal sends a signal to the server's main process.
func (s *Server) Signal(sig syscall.Signal) error { return s.process.cmd.Process.Signal(sig) }

// Log returns what the server wrote so far.
func (s *Server) Log() string {
	data, _ := os.ReadFile(s.home.logPath())
	return string(data)
}

// Dir is the server's folder; its socket and data lie in it.
func (s *Server) Dir() string { return s.home.dir }

var shared struct {
	once   sync.Once
	server *Server
	err    error
	serial atomic.Int64

	mu        sync.Mutex
	templates map[string]error
}

// Postgres returns the URL of an empty database of its own, on a server that
// all tests of the process share. The database goes when the test ends.
func Postgres(t testing.TB) string {
	t.Helper()
	return clone(t, sharedPostgres(t), "template1")
}

// PostgresFrom is Postgres with contents: prepare fills the template called
// name once per process, and every call gets a copy of it, which is much
// faster than preparing each.
func PostgresFrom(t testing.TB, name string, prepare func(url string) error) string {
	t.Helper()
	s := sharedPostgres(t)
	template := "template_" + name
	shared.mu.Lock()
	err, done := shared.templates[template]
	if !done {
		if err = execOn(s, `CREATE DATABASE `+pgx.Identifier{template}.Sanitize()); err == nil {
			err = prepare(s.URL(template))
		}
		if shared.templates == nil {
			shared.templates = map[string]error{}
		}
		shared.templates[template] = err
	}
	shared.mu.Unlock()
	if err != nil {
		t.Fatalf("testenv: preparing the template database %s: %v", name, err)
	}
	return clone(t, s, template)
}

// PostgresServer starts a server for this test alone, to stop, to signal or to
// configure.
func PostgresServer(t testing.TB, options ...PostgresOptions) *Server {
	t.Helper()
	var o PostgresOptions
	if len(options) > 0 {
		o = options[0]
	}
	s, err := startPostgres(Need(t, "postgres"), Need(t, "initdb"), o)
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(func() {
		s.Stop()
		s.home.close()
	})
	return s
}

func sharedPostgres(t testing.TB) *Server {
	t.Helper()
	postgres, initdb := Need(t, "postgres"), Need(t, "initdb")
	shared.once.Do(func() { shared.server, shared.err = startPostgres(postgres, initdb, PostgresOptions{}) })
	if shared.err != nil {
		t.Fatalf("testenv: %v", shared.err)
	}
	return shared.server
}

func clone(t testing.TB, s *Server, template string) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", shared.serial.Add(1))
	create := fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, pgx.Identifier{template}.Sanitize())
	// Somebody may still be leaving the template; that is over in a moment.
	var err error
	for range 100 {
		if err = execOn(s, create); err == nil || !strings.Contains(err.Error(), "55006") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("testenv: creating database %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := execOn(s, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("testenv: dropping database %s: %v", name, err)
		}
	})
	return s.URL(name)
}

func execOn(s *Server, sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

func startPostgres(postgres, initdb string, o PostgresOptions) (*Server, error) {
	h, err := newHome(true)
	if err != nil {
		return nil, err
	}
	s, err := initAndRun(h, postgres, initdb, o)
	if err != nil {
		h.close()
		return nil, err
	}
	return s, nil
}

func initAndRun(h *home, postgres, initdb string, o PostgresOptions) (*Server, error) {
	data := filepath.Join(h.dir, "data")
	out, err := h.command(initdb, "-D", data, "-U", "postgres", "--auth=trust", "--no-sync",
		"--encoding=UTF8", "--locale=C").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, out)
	}
	write := func(name string, text []byte) error {
		path := filepath.Join(data, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			return fmt.Errorf("writing the server's %s: %w", name, err)
		}
		if h.cred != nil {
			return os.Chown(path, int(h.cred.Uid), int(h.cred.Gid))
		}
		return nil
	}
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"unix_socket_directories": h.dir,
		"fsync":                   "off", // the data dies with the test
		"full_page_writes":        "off",
		"synchronous_commit":      "off",
		"shared_buffers":          "16MB",
		"max_connections":         "100",
		"autovacuum":              "off", // its backends show up in pg_stat_activity
		"max_wal_size":            "256MB",
		"log_min_messages":        "warning",
		"timezone":                "UTC",
		"password_encryption":     "scram-sha-256", // md5 before PostgreSQL 14
		"cluster_name":            "llmgw-testenv",
	}
	maps.Copy(settings, o.Settings)
	var conf strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	hba := strings.Join(append(slices.Clone(o.HBA),
		"local all all trust",
		"host all postgres 127.0.0.1/32 trust",
		"host all all 127.0.0.1/32 scram-sha-256", ""), "\n")
	files := maps.Clone(o.Files)
	if files == nil {
		files = map[string][]byte{}
	}
	files["postgresql.auto.conf"] = []byte(conf.String())
	files["pg_hba.conf"] = []byte(hba)
	for name, text := range files {
		if err := write(name, text); err != nil {
			return nil, err
		}
	}

	s := &Server{Host: "127.0.0.1", home: h}
	s.url = func(database string) string {
		u := url.URL{
			Scheme: "postgresql", User: url.UserPassword("postgres", Password),
			Host: fmt.Sprintf("127.0.0.1:%d", s.Port), Path: "/" + database,
		}
		return u.String()
	}
	s.launch = func() (*process, error) {
		cmd := h.command(postgres, "-D", data, "-p", fmt.Sprint(s.Port))
		return h.start(cmd, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			conn, err := pgx.Connect(ctx, s.URL("postgres"))
			if err != nil {
				return err
			}
			var name string
			err = conn.QueryRow(ctx, "SHOW cluster_name").Scan(&name)
			conn.Close(ctx)
			if err == nil && name != settings["cluster_name"] {
				return errors.New("another server answers on this port")
			}
			return err
		})
	}
	// Another process may take the port between our look and the start.
	for attempt := 0; ; attempt++ {
		if s.Port, err = freePort(); err != nil {
			return nil, err
		}
		if s.process, err = s.launch(); err == nil {
			return s, nil
		}
		if attempt == 4 {
			return nil, err
		}
	}
}
