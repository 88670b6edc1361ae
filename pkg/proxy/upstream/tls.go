package upstream

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Trust says how the certificates of upstreams are checked.
type Trust struct {
	// Insecure turns the checks off.
	Insecure bool
	// CAFile names a bundle of authorities that replaces the system's.
	CAFile string
	// CertFile names a file with the client's certificate and its key.
	CertFile string
}

// Config reads the files. Only what they are named is in its errors.
func (t Trust) Config() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: t.Insecure, //nolint:gosec // ssl_verify: false is the operator's word
		ClientSessionCache: tls.NewLRUClientSessionCache(256),
	}
	if t.CAFile != "" && !t.Insecure {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("read the bundle of certificate authorities: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate in PEM form", t.CAFile)
		}
	}
	if t.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(t.CertFile, t.CertFile)
		if err != nil {
			return nil, fmt.Errorf("read the client certificate and its key from %s: %w", t.CertFile, err)
		}
		c.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// handshakeError says that a handshake failed, whatever the reason reads like.
type handshakeError struct{ err error }

func (e *handshakeError) Error() string { return "tls: " + e.err.Error() }
func (e *handshakeError) Unwrap() error { return e.err }

// handshakeFailed explains the commonest mistake about schemes.
func handshakeFailed(err error) error {
	var record tls.RecordHeaderError
	if errors.As(err, &record) {
		return &handshakeError{errors.New("the upstream does not speak TLS on this port: is api_base meant to begin with http://?")}
	}
	return &handshakeError{err}
}
