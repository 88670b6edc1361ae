package difftest

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// world is the outside of a proxy: every host that it calls through HTTPS_PROXY
// and HTTP_PROXY is answered here, under a certificate of the world's own
// authority, and every request is kept. So addresses that nobody configures are
// seen, too.
type world struct {
	url    string // for HTTPS_PROXY
	caFile string
	answer func(w http.ResponseWriter, r *sent)

	mu     sync.Mutex
	sent   []*sent
	before []*sent // what was asked before the first request

	ca    *x509.Certificate
	key   *ecdsa.PrivateKey
	leafs sync.Map // host -> *tls.Certificate
}

// sent is one request that reached the world.
type sent struct {
	method, url string
	header      http.Header
	body        []byte
}

func newWorld(t *testing.T, answer func(w http.ResponseWriter, r *sent)) *world {
	t.Helper()
	w := &world{answer: answer}
	var err error
	if w.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "world"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &w.key.PublicKey, w.key)
	if err != nil {
		t.Fatal(err)
	}
	if w.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	w.caFile = filepath.Join(t.TempDir(), "world.pem")
	if err := os.WriteFile(w.caFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(w.serve))
	t.Cleanup(s.Close)
	w.url = s.URL
	return w
}

// env is what makes a process see the world.
func (w *world) env() []string {
	return []string{
		"HTTPS_PROXY=" + w.url, "HTTP_PROXY=" + w.url, "https_proxy=" + w.url, "http_proxy=" + w.url, "NO_PROXY=", "no_proxy=",
		"SSL_CERT_FILE=" + w.caFile, "REQUESTS_CA_BUNDLE=" + w.caFile, "DISABLE_AIOHTTP_TRANSPORT=True",
	}
}

func (w *world) serve(rw http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		if r.URL.Host == "" {
			r.URL.Scheme, r.URL.Host = "http", r.Host
		}
		w.record(rw, r, r.URL.String())
		return
	}
	conn, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	host, _, _ := net.SplitHostPort(r.Host)
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	secure := tls.Server(conn, &tls.Config{NextProtos: []string{"http/1.1"}, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return w.leaf(host) }})
	in := bufio.NewReader(secure)
	for {
		inner, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		answer := httptest.NewRecorder()
		w.record(answer, inner, "https://"+strings.TrimSuffix(r.Host, ":443")+inner.URL.RequestURI())
		resp := answer.Result()
		resp.ContentLength = int64(answer.Body.Len())
		if resp.Write(secure) != nil {
			return
		}
	}
}

func (w *world) record(rw http.ResponseWriter, r *http.Request, url string) {
	body, _ := io.ReadAll(r.Body)
	s := &sent{r.Method, url, r.Header, bytes.Clone(body)}
	w.mu.Lock()
	w.sent = append(w.sent, s)
	w.mu.Unlock()
	w.answer(rw, s)
}

// take returns what came since the last time.
func (w *world) take() []*sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.sent
	w.sent = nil
	return list
}

func (w *world) leaf(host string) (*tls.Certificate, error) {
	if c, ok := w.leafs.Load(host); ok {
		return c.(*tls.Certificate), nil
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: host}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(12 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		template.IPAddresses = []net.IP{ip}
	} else {
		template.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, w.ca, &w.key.PublicKey, w.key)
	if err != nil {
		return nil, err
	}
	c := &tls.Certificate{Certificate: [][]byte{der, w.ca.Raw}, PrivateKey: w.key}
	w.leafs.Store(host, c)
	return c, nil
}
