// Package redisconn turns what a configuration and an environment say about
// Redis into one connection: a single server, sentinels, or a cluster, by
// LiteLLM's rules of precedence.
//
// Resolving does no I/O. [Open] reads certificate files and returns a client
// that connects at its first command. Passwords never appear in texts.
package redisconn

import (
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/redact"
)

// Mode is the kind of installation.
type Mode uint8

const (
	// None means that no Redis is configured.
	None Mode = iota
	// Single is one server.
	Single
	// Sentinel asks sentinels for the server that leads.
	Sentinel
	// Cluster is a Redis Cluster.
	Cluster
)

// String returns the word for output.
func (m Mode) String() string {
	switch m {
	case Single:
		return "single"
	case Sentinel:
		return "sentinel"
	case Cluster:
		return "cluster"
	default:
		return "none"
	}
}

// Defaults, LiteLLM's where it has some.
const (
	DefaultPort           = 6379
	DefaultSocketTimeout  = 5 * time.Second
	DefaultPoolTimeout    = 5 * time.Second
	DefaultMaxConnections = 50
)

// Params is one way to reach Redis.
type Params struct {
	Mode Mode
	// Addresses holds the server, the sentinels, or some nodes of the cluster, as
	// host:port, or the path of a socket when Socket is set.
	Addresses []string
	// Socket says that the only address is the path of a Unix socket.
	Socket bool
	// URL says that the address came as a URL.
	URL      bool
	DB       int
	Username string
	Password redact.Secret
	// Service is the name by which sentinels know the server.
	Service          string
	SentinelPassword redact.Secret
	// TLS is nil without TLS.
	TLS *TLS
	// SocketTimeout bounds one answer, ConnectTimeout the connecting, PoolTimeout
	// the wait for a free connection.
	SocketTimeout, ConnectTimeout, PoolTimeout time.Duration
	// MaxConnections bounds the pool, per node in a cluster.
	MaxConnections int
	ClientName     string
	// Origins says for each argument that counts, by LiteLLM's name ("host",
	// "socket_timeout"), where its value came from.
	Origins map[string]config.Origin
	// Unknown names arguments that are set to values which cannot be known here,
	// such as those of a Kubernetes secret.
	Unknown []string
}

// TLS is how the server proves itself, and the client.
type TLS struct {
	// CAFile holds the certificates to trust; empty means the system's.
	CAFile string
	// CertFile and KeyFile are the client's own certificate.
	CertFile, KeyFile string
	// SkipVerify accepts every certificate (ssl_cert_reqs: none).
	SkipVerify bool
	// SkipHostname accepts a trusted certificate of any name.
	SkipHostname bool
}

// String describes the connection without its secrets.
func (p *Params) String() string {
	if p.Mode == None {
		return "no Redis"
	}
	var b strings.Builder
	b.WriteString(p.Mode.String())
	b.WriteByte(' ')
	b.WriteString(strings.Join(p.Addresses, ","))
	if p.Service != "" && p.Mode == Sentinel {
		b.WriteString(" service ")
		b.WriteString(p.Service)
	}
	if p.Mode != Cluster {
		b.WriteString(" db ")
		b.WriteString(strconv.Itoa(p.DB))
	}
	if p.TLS != nil {
		b.WriteString(" tls")
	}
	return b.String()
}

func join(host string, port int) string {
	return net.JoinHostPort(strings.Trim(host, "[]"), strconv.Itoa(port))
}

// Key puts a configuration's namespace before the name of a key, as LiteLLM does.
func Key(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + ":" + name
}
