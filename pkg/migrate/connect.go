package migrate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// session is one connection and what is known about its server.
type session struct {
	p    *Provider
	conn *pgx.Conn

	pid         int32  // of the server's process, behind any pooler
	version     string // 15.8
	versionNum  int    // 150008
	schemaThere bool
	replica     bool // in recovery
	readOnly    bool // by setting
	pooler      bool

	noClientCheck bool // the server's system cannot watch connections
}

// connect opens a connection and asks the server who it is. A server that does
// not answer yet is tried again until ConnectWait is over; one that answers
// with a refusal is not.
func (p *Provider) connect(ctx context.Context) (*session, error) {
	deadline := time.Now().Add(p.o.ConnectWait)
	pause := 250 * time.Millisecond
	for attempt := 1; ; attempt++ {
		s, err := p.connectOnce(ctx)
		if err == nil {
			return s, nil
		}
		e := p.connectError(err)
		if ctx.Err() != nil {
			return nil, p.cancelled(ctx, "while connecting", nil)
		}
		if !retryable(err) || time.Now().Add(pause).After(deadline) {
			return nil, e
		}
		p.emit(Event{Event: EventConnectRetry, Attempt: attempt, Code: e.Code, Message: e.Message})
		if !sleep(ctx, pause) {
			return nil, p.cancelled(ctx, "while connecting", nil)
		}
		pause = min(pause*2, 5*time.Second)
	}
}

func (p *Provider) open(ctx context.Context) (*pgx.Conn, error) {
	c := p.target.Config.Copy()
	// Unnamed statements: nothing is left on a server that a pooler hands to
	// somebody else.
	c.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	return pgx.ConnectConfig(ctx, c)
}

func (p *Provider) connectOnce(ctx context.Context) (*session, error) {
	conn, err := p.open(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{p: p, conn: conn}
	var product string
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version'), current_setting('server_version_num')::int, version(),
		EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1), pg_is_in_recovery(), current_setting('transaction_read_only')::bool, pg_backend_pid()`, p.target.Schema).
		Scan(&s.version, &s.versionNum, &product, &s.schemaThere, &s.replica, &s.readOnly, &s.pid)
	if err != nil {
		s.close()
		return nil, err
	}
	if strings.Contains(product, "CockroachDB") {
		s.close()
		return nil, &Error{Code: "LM0006", kind: kindUsage, Message: "the server is CockroachDB; llmgw migrates PostgreSQL only"}
	}
	s.version, _, _ = strings.Cut(s.version, " ")
	return s, nil
}

// guards sets the session's limits. They hold until a migration sets its own,
// and are set again after each file.
func (s *session) guards(ctx context.Context, mode Mode) error {
	lock := time.Duration(0) // a concurrent index build waits for old snapshots; that is its nature
	if mode == Atomic && s.p.o.DDLLockTimeout > 0 {
		lock = s.p.o.DDLLockTimeout
	}
	sql := fmt.Sprintf("SET search_path = %s; SET lock_timeout = %d; SET statement_timeout = %d; SET idle_in_transaction_session_timeout = '5min'",
		pgx.Identifier{s.p.target.Schema}.Sanitize(), lock.Milliseconds(), s.p.o.StatementTimeout.Milliseconds())
	// Limits that an administrator set for the role or the database would cut a
	// long migration as surely as a statement_timeout.
	if s.versionNum >= 140000 {
		sql += "; SET idle_session_timeout = 0"
	}
	if s.versionNum >= 170000 {
		sql += "; SET transaction_timeout = 0"
	}
	if s.versionNum >= 140000 && !s.noClientCheck {
		// A killed llmgw must not leave its statement running. Some systems cannot
		// watch a connection and refuse the setting.
		_, err := s.conn.PgConn().Exec(ctx, sql+"; SET client_connection_check_interval = '2s'").ReadAll()
		if !isState(err, "22023") {
			return err
		}
		s.noClientCheck = true
	}
	_, err := s.conn.PgConn().Exec(ctx, sql).ReadAll()
	return err
}

// forget undoes what a file set for its session.
func (s *session) forget(ctx context.Context, mode Mode) error {
	if _, err := s.conn.PgConn().Exec(ctx, resetSession).ReadAll(); err != nil {
		return err
	}
	return s.guards(ctx, mode)
}

const resetSession = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL"

// bookLimit bounds what must be done after the end of a context: to give a lock
// back, to roll back.
const bookLimit = 5 * time.Second

func (s *session) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = s.conn.Close(ctx)
}

func (s *session) database() Database {
	c := s.p.target.Config
	return Database{Host: c.Host, Port: int(c.Port), Name: c.Database, Schema: s.p.target.Schema, ServerVersion: s.version, Pooler: s.pooler}
}

// retryable reports a server that may be there in a moment.
func retryable(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.err != nil && retryable(e.err)
	}
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		// Starting up, shutting down, out of connections, connection exceptions.
		return pe.Code == "57P03" || pe.Code == "57P01" || pe.Code == "53300" || strings.HasPrefix(pe.Code, "08")
	}
	return !isTLS(err)
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "server refused TLS connection") || strings.Contains(text, "tls: ") || strings.Contains(text, "x509: ")
}

// connectError gives a failed connection Prisma's code and one clear sentence.
func (p *Provider) connectError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	c, at := p.target.Config, p.target.HostPort()
	e := &Error{kind: kindUnreachable, err: err}
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		e.SQLState = pe.Code
		switch pe.Code {
		case "28P01":
			e.Code, e.Message = "P1000", fmt.Sprintf("Authentication failed against database server, the provided database credentials for `%s` are not valid.", c.User)
			e.Hint = fmt.Sprintf("Check user and password of %s.", p.target)
			return e
		case "28000":
			e.Code, e.Message = "P1010", fmt.Sprintf("User `%s` was denied access on the database `%s`: %s", c.User, c.Database, pe.Message)
			if strings.Contains(pe.Message, "no encryption") {
				e.Hint = "The server wants TLS: add sslmode=require to the URL."
			}
			return e
		case "3D000":
			e.Code, e.Message = "P1003", fmt.Sprintf("Database `%s` does not exist on the server at `%s`.", c.Database, at)
			e.Hint = fmt.Sprintf("Create it: createdb %s", c.Database)
			return e
		case "42501":
			e.Code, e.Message = "P1010", fmt.Sprintf("User `%s` was denied access on the database `%s`: %s", c.User, c.Database, pe.Message)
			return e
		case "53300":
			e.Code, e.Message = "P2037", fmt.Sprintf("Too many database connections opened: %s", pe.Message)
			return e
		case "57P03":
			e.Code, e.Message = "P1001", fmt.Sprintf("Can't reach database server at `%s`: %s", at, pe.Message)
			return e
		}
		e.Code, e.Message = "P1001", fmt.Sprintf("The database server at `%s` refused the connection: %s", at, pe.Message)
		return e
	}
	if isTLS(err) {
		e.Code, e.Message = "P1011", fmt.Sprintf("Error opening a TLS connection to `%s`: %s", at, tlsReason(err))
		return e
	}
	e.Code, e.Message = "P1001", fmt.Sprintf("Can't reach database server at `%s`", at)
	e.extra = []string{"", fmt.Sprintf("Please make sure your database server is running at `%s`.", at)}
	if why := dialReason(err); why != "" {
		e.Hint = "Reason: " + why + "."
	}
	return e
}

func tlsReason(err error) string {
	text := err.Error()
	for _, marker := range []string{"tls: ", "x509: "} {
		if i := strings.LastIndex(text, marker); i >= 0 {
			text = text[i:]
		}
	}
	if strings.Contains(text, "server refused TLS connection") {
		return "the server offers no TLS, and the URL requires it"
	}
	text = strings.TrimPrefix(text, "tls: ")
	text, _, _ = strings.Cut(text, "\n")
	return strings.TrimRight(text, ")")
}

func dialReason(err error) string {
	if de, ok := errors.AsType[*net.DNSError](err); ok {
		if de.IsNotFound {
			return "the host name does not resolve"
		}
		return "the host name could not be looked up"
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ENOENT):
		return "no such socket"
	case errors.Is(err, syscall.EACCES):
		return "no permission for the socket"
	case errors.Is(err, syscall.ECONNRESET):
		return "connection reset"
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "no answer in time"
	case strings.Contains(err.Error(), "EOF"):
		return "the connection was closed before the server answered"
	}
	return ""
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}

// sleep waits; false means that the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// cancelled is the error for a run that a signal or a limit ended.
func (p *Provider) cancelled(ctx context.Context, when string, err error) *Error {
	by := p.o.CancelledBy(context.Cause(ctx))
	return &Error{Code: "LM1430", kind: kindCancelled, Cause: by, Message: fmt.Sprintf("cancelled by %s %s", by, when), err: err}
}
