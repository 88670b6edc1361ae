package redisconn

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// ErrNone says that there is no Redis to open.
var ErrNone = errors.New("no Redis is configured")

// silence keeps the library from writing to standard error on its own: callers
// get every error, and say it once.
var silence = sync.OnceFunc(func() { redis.SetLogger(quiet{}) })

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// Open returns a client. It reads certificate files and connects at the first
// command, so a server that is down is no error here.
func Open(p *Params) (redis.UniversalClient, error) {
	if p == nil || p.Mode == None || len(p.Addresses) == 0 {
		return nil, ErrNone
	}
	silence()
	config, err := p.TLS.config()
	if err != nil {
		return nil, err
	}
	timeout := func(d, def time.Duration) time.Duration {
		if d > 0 {
			return d
		}
		return def
	}
	o := &redis.UniversalOptions{
		Addrs:                 p.Addresses,
		ClientName:            p.ClientName,
		DB:                    p.DB,
		Username:              p.Username,
		Password:              p.Password.Reveal(),
		SentinelPassword:      p.SentinelPassword.Reveal(),
		DialTimeout:           timeout(p.ConnectTimeout, DefaultSocketTimeout),
		ReadTimeout:           timeout(p.SocketTimeout, DefaultSocketTimeout),
		WriteTimeout:          timeout(p.SocketTimeout, DefaultSocketTimeout),
		PoolTimeout:           timeout(p.PoolTimeout, DefaultPoolTimeout),
		PoolSize:              p.MaxConnections,
		MaxActiveConns:        p.MaxConnections,
		ContextTimeoutEnabled: true,
		TLSConfig:             config,
		// Servers behind proxies and older ones answer extra handshake commands
		// with errors.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	switch p.Mode {
	case Cluster:
		return redis.NewClusterClient(o.Cluster()), nil
	case Sentinel:
		o.MasterName = p.Service
		return redis.NewFailoverClient(o.Failover()), nil
	}
	single := o.Simple()
	if p.Socket {
		single.Network = "unix"
		single.Dialer = func(ctx context.Context, _, address string) (net.Conn, error) {
			return (&net.Dialer{Timeout: single.DialTimeout}).DialContext(ctx, "unix", address)
		}
	}
	return redis.NewClient(single), nil
}

func (t *TLS) config() (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.SkipVerify} //nolint:gosec // ssl_cert_reqs: none is the operator's word
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("reading the CA file for Redis: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("the CA file for Redis, %s, holds no certificate", t.CAFile)
		}
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("reading the client certificate for Redis: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if t.SkipHostname && !t.SkipVerify {
		// The chain is checked as usual, the name is not.
		c.InsecureSkipVerify = true
		c.VerifyConnection = func(s tls.ConnectionState) error {
			o := x509.VerifyOptions{Roots: c.RootCAs, Intermediates: x509.NewCertPool()}
			for _, cert := range s.PeerCertificates[1:] {
				o.Intermediates.AddCert(cert)
			}
			_, err := s.PeerCertificates[0].Verify(o)
			return err
		}
	}
	return c, nil
}
