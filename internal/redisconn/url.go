package redisconn

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
)

// url reads a Redis URL. What is set beside it (host, port, db, password) does
// not count; timeouts and the size of the pool do.
func (r *resolver) url() {
	p := &r.params
	p.Mode, p.URL = Single, true
	a := r.use("url")
	for _, name := range []string{"host", "port", "db", "password"} {
		if o := r.values[name]; o != nil && o.file {
			r.warn(o.where, name+" is ignored: a Redis URL is set as well, and it wins", "put it into the URL, or remove the URL")
		}
	}
	for _, name := range []string{"ssl", "ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname"} {
		if o := r.values[name]; o != nil && o.file {
			r.warn(o.where, name+" is ignored beside a Redis URL", "use the scheme rediss:// and put the option into the URL's query")
		}
	}
	if !a.known {
		return
	}
	u, err := url.Parse(a.scalar())
	if err != nil {
		// The parser's error quotes the URL with its password.
		r.fail(a.where, "the Redis URL cannot be read: a password with special characters must be percent-encoded", "")
		return
	}
	switch strings.ToLower(u.Scheme) {
	case "redis":
	case "rediss":
		p.TLS = &TLS{}
	case "unix":
		p.Socket = true
	default:
		r.fail(a.where, "the Redis URL must begin with redis://, rediss:// or unix://", "")
		return
	}
	if u.User != nil {
		p.Username = u.User.Username()
		password, _ := u.User.Password()
		p.Password = redact.New(password)
	}
	if p.Username == "" {
		p.Username = r.text("username")
	}
	query := u.Query()
	db := query.Get("db")
	if p.Socket {
		p.Addresses = []string{u.Path}
		if u.Path == "" {
			r.fail(a.where, "the Redis URL names no socket", "write unix:///path/to/redis.sock")
		}
	} else {
		host := u.Hostname()
		if host == "" {
			host = "localhost"
		}
		port := DefaultPort
		if text := u.Port(); text != "" {
			if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
				r.fail(a.where, "the port in the Redis URL is not a number from 1 to 65535", "")
				return
			}
		}
		p.Addresses = []string{join(host, port)}
		if path := strings.Trim(u.Path, "/"); path != "" && db == "" {
			db = path
		}
	}
	if db != "" {
		if p.DB, err = strconv.Atoi(db); err != nil || p.DB < 0 {
			r.fail(a.where, "the database in the Redis URL is not a number", "")
			return
		}
	}
	for name, values := range query {
		r.option(a, name, values[len(values)-1])
	}
}

// option reads one member of the URL's query.
func (r *resolver) option(a *argument, name, value string) {
	p := &r.params
	seconds := func(to *time.Duration) {
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || !(n > 0 && n < 1e6) {
			r.fail(a.where, fmt.Sprintf("%s in the Redis URL is not a number of seconds above 0", name), "")
			return
		}
		*to = time.Duration(n * float64(time.Second))
	}
	switch name {
	case "db":
	case "socket_timeout":
		seconds(&p.SocketTimeout)
	case "socket_connect_timeout":
		seconds(&p.ConnectTimeout)
	case "max_connections":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > 1<<20 {
			r.fail(a.where, "max_connections in the Redis URL is not a number of connections", "")
			return
		}
		p.MaxConnections = n
	case "client_name":
		p.ClientName = value
	case "username":
		p.Username = value
	case "password":
		p.Password = redact.New(value)
	case "ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname":
		if p.TLS == nil {
			r.warn(a.where, fmt.Sprintf("%s in the Redis URL has no effect without TLS", name), "use the scheme rediss://")
			return
		}
		switch name {
		case "ssl_ca_certs":
			p.TLS.CAFile = value
		case "ssl_certfile":
			p.TLS.CertFile = value
			if p.TLS.KeyFile == "" {
				p.TLS.KeyFile = value
			}
		case "ssl_keyfile":
			p.TLS.KeyFile = value
		case "ssl_check_hostname":
			p.TLS.SkipHostname = !truth(value)
		default:
			switch strings.ToLower(value) {
			case "none", "cert_none":
				p.TLS.SkipVerify = true
			case "required", "optional", "cert_required", "cert_optional":
			default:
				r.fail(a.where, "ssl_cert_reqs in the Redis URL must be required, optional or none", "")
			}
		}
	case "health_check_interval", "socket_keepalive", "protocol", "decode_responses", "retry_on_timeout", "encoding":
		// redis-py's own affairs: the client here does its own.
	default:
		r.warn(a.where, fmt.Sprintf("the option %q in the Redis URL is not known and has no effect", name), "remove it")
	}
}
