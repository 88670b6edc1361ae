//go:build !unix

package testenv

import "testing"

const why = "servers for tests are started on Unix only"

// Password is the one in the URLs that Postgres returns.
const Password = "pgPlanted-s3cret"

// PostgresOptions sets up a server of one's own.
type PostgresOptions struct {
	Settings map[string]string
	Files    map[string][]byte
	HBA      []string
}

// Server is a PostgreSQL or Redis server that belongs to one test.
type Server struct {
	Host string
	Port int
}

func (s *Server) URL(string) string { return "" }
func (s *Server) Stop()             {}
func (s *Server) Start(testing.TB)  {}
func (s *Server) Log() string       { return "" }
func (s *Server) Dir() string       { return "" }

// Postgres skips the test on this system.
func Postgres(t testing.TB) string { missing(t, "postgres", why); return "" }

// PostgresFrom skips the test on this system.
func PostgresFrom(t testing.TB, _ string, _ func(string) error) string {
	missing(t, "postgres", why)
	return ""
}

// PostgresServer skips the test on this system.
func PostgresServer(t testing.TB, _ ...PostgresOptions) *Server {
	missing(t, "postgres", why)
	return nil
}

// Redis skips the test on this system.
func Redis(t testing.TB) string { missing(t, "redis-server", why); return "" }

// RedisServer skips the test on this system.
func RedisServer(t testing.TB, _ ...string) *Server { missing(t, "redis-server", why); return nil }
