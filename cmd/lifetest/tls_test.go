//go:build unix

package lifetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate writes a certificate of the test's own, and its key.
func certificate(t testing.TB) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	public, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: public}, key: {Type: "EC PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// With TLS a connection that is being greeted when a worker gives the socket up
// must still be served.
func TestWorkersAreReplacedUnderLoadWithTLS(t *testing.T) {
	base, conf := upstream(t), filepath.Join(t.TempDir(), "config.yaml")
	config(t, conf, base, 1, "")
	cert, key := certificate(t)
	env, _, _ := ports(t)
	p := launch(t, program(t), freePort(t), env, "--config", conf, "--ssl-certfile-path", cert, "--ssl-keyfile-path", key, "--max-requests-before-restart", "150")
	until(t, time.Minute, func() bool { return strings.Contains(p.text(), "running on https://") }, "the gateway is ready")
	l := startLoad("https://"+strings.TrimPrefix(p.url(), "http://"), 4, 15*time.Millisecond)
	const line = "a new worker serves, the old one drains"
	end := time.Now().Add(span())
	until(t, 5*span()+time.Minute, func() bool { return time.Now().After(end) && p.count(line) >= 3 }, "three workers were replaced")
	l.stop(t)
	t.Logf("%d workers were replaced", p.count(line))
	p.stop()
}
