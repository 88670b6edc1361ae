// Package pgurl turns the database URLs that LiteLLM's users write, in Prisma's
// vocabulary, into configuration for pgx, whose vocabulary is libpq's.
//
// The two differ where it hurts: sslcert names the server's CA to one and the
// client's certificate to the other, and a parameter that only Prisma knows
// would reach the server as a setting and break the connection. So nothing of
// a URL is passed through: every parameter is translated here or dropped with
// a note that names it.
//
// The package opens no connection and prints no secret; it reads only the
// certificate files that the URL names.
package pgurl

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/llmgw/llmgw/internal/redact"
)

// Purpose is what a connection is for. It decides the application name and
// the details that differ between serving and migrating.
type Purpose string

const (
	Serve   Purpose = "serve"
	Migrate Purpose = "migrate"
	Doctor  Purpose = "doctor"
)

// DefaultPoolLimit is the pool maximum when nothing sets one.
const DefaultPoolLimit = 10

// Options are what Parse needs beside the URL.
type Options struct {
	Purpose Purpose
	Version string // of llmgw, for application_name; empty: none
	// Override wins over parameters of the URL, Default fills in what the URL
	// lacks. Settings makes both from general_settings.
	Override, Default map[string]string
	// PrismaTLS reads sslmode as Prisma does: verify-ca and verify-full are
	// prefer, and only sslaccept=strict checks a certificate.
	PrismaTLS bool
}

// Pool is what the URL and its overrides say about pooling.
type Pool struct {
	Max      int
	MaxGiven bool          // false: Max is the default
	Wait     time.Duration // for a free connection; 0 waits without limit
	Idle     time.Duration // before an unused connection is closed; 0 never
	Lifetime time.Duration // of a connection; 0 without limit
}

// Target is a translated URL.
type Target struct {
	// Config connects; its Password is the secret, so print Target instead.
	Config *pgx.ConnConfig
	Pool   Pool
	// Schema is the one to work in, "public" unless SchemaGiven.
	Schema      string
	SchemaGiven bool
	// Simple: a pooler is announced (pgbouncer=true); no server-side prepared
	// statements may be used. Config is set up for it already.
	Simple bool
	// SocketTimeout is the limit for one query; 0 is none.
	SocketTimeout time.Duration
	// Ignored are the parameters that mean nothing here, by name.
	Ignored []string
	// Notes are sentences about what is read differently than one may expect.
	Notes []string

	addresses []*pgconn.FallbackConfig // every host, TLS and plain, in order
}

// blank is what pgx wants to have parsed before it takes a configuration. It
// overrides all that libpq's environment could put in; the socket keeps pgx
// from reading certificate files of its own choice. Only PGSERVICE gets past.
const blank = "host=/blank port=5432 user=x password=x dbname=x sslmode=disable target_session_attrs=any " +
	"channel_binding=prefer sslcertmode=allow sslnegotiation=postgres min_protocol_version=3.0 " +
	"max_protocol_version=3.0 connect_timeout=0"

var errService = errors.New("the environment variable PGSERVICE cannot be used together with a database URL; unset it")

// Parse translates a URL. Errors never quote the URL.
func Parse(text redact.Secret, o Options) (*Target, error) {
	parts, err := split(strings.TrimSpace(text.Reveal()))
	if err != nil {
		return nil, err
	}
	for name, value := range o.Default {
		if _, ok := parts.params[name]; !ok {
			parts.params[name] = value
		}
	}
	maps.Copy(parts.params, o.Override)

	t := &Target{Schema: "public"}
	hosts, err := parts.hostPorts()
	if err != nil {
		return nil, err
	}
	c, err := pgx.ParseConfig(blank)
	if err != nil {
		return nil, errService
	}
	c.User, c.Password, c.Database = parts.user, parts.password, parts.database
	if c.User == "" {
		c.User = "postgres"
	}
	if c.Database == "" {
		c.Database = "postgres"
	}
	c.RequireAuth, c.KerberosSpn, c.KerberosSrvName = "", "", ""
	c.RuntimeParams = map[string]string{"application_name": applicationName(o)}
	c.ConnectTimeout = 5 * time.Second

	r := &reader{params: parts.params, used: map[string]bool{}}
	if v, ok := r.duration("connect_timeout"); ok {
		c.ConnectTimeout = v
	}
	// The limit of one attempt is ConnectTimeout, applied by pgconn per host.
	c.DialFunc = (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext

	t.Pool = Pool{Max: DefaultPoolLimit, Wait: 60 * time.Second, Idle: 60 * time.Second}
	if v, ok := r.number("connection_limit", 1, 100_000); ok {
		t.Pool.Max, t.Pool.MaxGiven = v, true
	}
	if v, ok := r.duration("pool_timeout"); ok {
		t.Pool.Wait = v
	}
	if v, ok := r.duration("max_idle_connection_lifetime"); ok {
		t.Pool.Idle = v
	}
	if v, ok := r.duration("max_connection_lifetime"); ok {
		t.Pool.Lifetime = v
	}
	if v, ok := r.duration("socket_timeout"); ok && v > 0 {
		if o.Purpose == Migrate {
			t.Notes = append(t.Notes, "socket_timeout is left aside for migrations: it would cut off long statements")
		} else {
			t.SocketTimeout = v
		}
	}
	if v, ok := r.text("schema"); ok && v != "" {
		if strings.ContainsRune(v, 0) {
			return nil, fmt.Errorf("the database URL's schema holds a NUL character")
		}
		t.Schema, t.SchemaGiven = v, true
	}
	if v, ok := r.text("pgbouncer"); ok {
		t.Simple = v == "true"
	}
	cache := -1
	if v, ok := r.number("statement_cache_size", 0, 1_000_000); ok {
		cache = v
	}
	switch {
	case o.Purpose == Migrate:
		c.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
		c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	case t.Simple || cache == 0:
		// Unnamed statements, sent and forgotten in one round trip.
		c.DefaultQueryExecMode = pgx.QueryExecModeExec
		c.StatementCacheCapacity, c.DescriptionCacheCapacity = 0, 0
	case cache > 0:
		c.StatementCacheCapacity = cache
	}
	if v, ok := r.text("application_name"); ok && v != "" {
		c.RuntimeParams["application_name"] = v
	}
	if v, ok := r.text("options"); ok && v != "" {
		c.RuntimeParams["options"] = v
	}
	if v, ok := r.text("client_encoding"); ok && !strings.EqualFold(v, "utf8") && !strings.EqualFold(v, "utf-8") {
		t.Notes = append(t.Notes, "client_encoding is always UTF8")
	}
	if v, ok := r.text("channel_binding"); ok && v != "" {
		if !slices.Contains([]string{"disable", "prefer", "require"}, v) {
			return nil, fmt.Errorf("the database URL's channel_binding is not disable, prefer or require")
		}
		c.ChannelBinding = v
	}
	if v, ok := r.text("target_session_attrs"); ok && v != "" {
		validate, ok := sessionAttrs[v]
		if !ok {
			return nil, fmt.Errorf("the database URL's target_session_attrs is not any, read-write, read-only, primary, standby or prefer-standby")
		}
		c.ValidateConnect = validate
	}
	if err := t.applyTLS(r, hosts, o.PrismaTLS); err != nil {
		return nil, err
	}
	if r.err != nil {
		return nil, r.err
	}

	first := t.addresses[0]
	c.Host, c.Port, c.TLSConfig, c.Fallbacks = first.Host, first.Port, first.TLSConfig, t.addresses[1:]
	c.AfterConnect = prepareSession(t.Schema, o.Purpose)
	for name := range parts.params {
		if !r.used[name] {
			t.Ignored = append(t.Ignored, printableName(name))
		}
	}
	slices.Sort(t.Ignored)
	t.Ignored = slices.Compact(t.Ignored)
	t.Config = c
	return t, nil
}

// prepareSession puts the schema into search_path. It is a SET and not a
// startup parameter, because poolers refuse the latter. Serving binds times
// without a zone and means UTC; migrations leave the zone as it is.
func prepareSession(schema string, p Purpose) pgconn.AfterConnectFunc {
	sql := "SET search_path = " + pgx.Identifier{schema}.Sanitize()
	if p == Serve {
		sql += "; SET TIME ZONE 'UTC'"
	}
	return func(ctx context.Context, conn *pgconn.PgConn) error {
		_, err := conn.Exec(ctx, sql).ReadAll()
		return err
	}
}

var sessionAttrs = map[string]pgconn.ValidateConnectFunc{
	"any":            nil,
	"read-write":     pgconn.ValidateConnectTargetSessionAttrsReadWrite,
	"read-only":      pgconn.ValidateConnectTargetSessionAttrsReadOnly,
	"primary":        pgconn.ValidateConnectTargetSessionAttrsPrimary,
	"standby":        pgconn.ValidateConnectTargetSessionAttrsStandby,
	"prefer-standby": pgconn.ValidateConnectTargetSessionAttrsPreferStandby,
}

func applicationName(o Options) string {
	name := "llmgw"
	if o.Purpose != "" {
		name += "-" + string(o.Purpose)
	}
	if o.Version != "" {
		name += "/" + o.Version
	}
	return name
}

// PoolConfig returns a configuration for pgxpool with the pool's limits.
func (t *Target) PoolConfig() (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(blank)
	if err != nil {
		return nil, errService
	}
	pc.ConnConfig = t.Config.Copy()
	pc.MaxConns = int32(min(t.Pool.Max, 100_000))
	// pgxpool has no "never"; a year is.
	pc.MaxConnIdleTime, pc.MaxConnLifetime = 365*24*time.Hour, 365*24*time.Hour
	if t.Pool.Idle > 0 {
		pc.MaxConnIdleTime = t.Pool.Idle
	}
	if t.Pool.Lifetime > 0 {
		pc.MaxConnLifetime = t.Pool.Lifetime
	}
	return pc, nil
}

// HostPort is the first server, as a person writes it; the socket's path for a
// Unix socket.
func (t *Target) HostPort() string { return hostPort(t.Config.Host, t.Config.Port) }

func hostPort(host string, port uint16) string {
	if strings.HasPrefix(host, "/") {
		return fmt.Sprintf("%s/.s.PGSQL.%d", strings.TrimSuffix(host, "/"), port)
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}

// String is the URL without its password and without parameters that may
// hold one.
func (t *Target) String() string {
	var b strings.Builder
	b.WriteString("postgresql://" + url.User(t.Config.User).String())
	if t.Config.Password != "" {
		b.WriteString(":" + redact.Mask)
	}
	b.WriteString("@")
	var hosts, sockets []string
	for _, a := range t.addresses {
		if strings.HasPrefix(a.Host, "/") {
			sockets = append(sockets, a.Host)
		} else {
			hosts = append(hosts, hostPort(a.Host, a.Port))
		}
	}
	b.WriteString(strings.Join(slices.Compact(hosts), ",") + "/" + url.PathEscape(t.Config.Database))
	var query []string
	if len(sockets) > 0 {
		query = append(query, "host="+strings.Join(sockets, ","))
	}
	if t.SchemaGiven {
		query = append(query, "schema="+url.QueryEscape(t.Schema))
	}
	if len(query) > 0 {
		b.WriteString("?" + strings.Join(query, "&"))
	}
	return b.String()
}

// GoString keeps %#v from printing the password.
func (t *Target) GoString() string { return t.String() }

// Pooled guesses from the address whether a transaction pooler answers there,
// and says why. It is a hint: only asking the server proves it.
func (t *Target) Pooled() (reason string, pooled bool) {
	if t.Simple {
		return "the URL says pgbouncer=true", true
	}
	host := strings.ToLower(t.Config.Host)
	switch {
	case strings.Contains(host, "pgbouncer"):
		return "the host name says PgBouncer", true
	case strings.HasSuffix(host, ".neon.tech") && strings.Contains(host, "-pooler."):
		return "the host is a Neon pooler", true
	case strings.HasSuffix(host, ".pooler.supabase.com") && t.Config.Port != 5432:
		return "the host is Supabase's transaction pooler", true
	case strings.Contains(host, ".proxy-") && strings.HasSuffix(host, ".rds.amazonaws.com"):
		return "the host is an RDS Proxy", true
	case t.Config.Port == 6432:
		return "port 6432 is PgBouncer's", true
	}
	return "", false
}

// printableName keeps a mangled URL from showing a piece of its password as
// the name of a parameter.
func printableName(name string) string {
	if name == "" || len(name) > 64 {
		return "(unreadable name)"
	}
	for _, r := range name {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.') {
			return "(unreadable name)"
		}
	}
	return name
}

// reader hands out parameters, notes which were asked for, and keeps the first
// mistake.
type reader struct {
	params map[string]string
	used   map[string]bool
	err    error
}

func (r *reader) text(name string) (string, bool) {
	r.used[name] = true
	v, ok := r.params[name]
	return v, ok
}

func (r *reader) number(name string, low, high int) (int, bool) {
	v, ok := r.text(name)
	if !ok || v == "" {
		return 0, false
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < low || n > high {
		if r.err == nil {
			r.err = fmt.Errorf("the database URL's %s is not a number from %d to %d", name, low, high)
		}
		return 0, false
	}
	return n, true
}

// duration reads seconds, 0 included.
func (r *reader) duration(name string) (time.Duration, bool) {
	v, ok := r.text(name)
	if !ok || v == "" {
		return 0, false
	}
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 0 && f <= 1e9) {
		if r.err == nil {
			r.err = fmt.Errorf("the database URL's %s is not a number of seconds", name)
		}
		return 0, false
	}
	return time.Duration(f * float64(time.Second)), true
}
