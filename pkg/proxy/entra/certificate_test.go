package entra

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

func selfSigned(t testing.TB, k crypto.Signer) *x509.Certificate {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pemOf(t testing.TB, parts ...any) []byte {
	t.Helper()
	var out []byte
	for _, p := range parts {
		switch p := p.(type) {
		case *x509.Certificate:
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Raw})...)
		default:
			der, err := x509.MarshalPKCS8PrivateKey(p)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})...)
		}
	}
	return out
}

func rsaCertificate(t *testing.T) (file string, cert *x509.Certificate) {
	t.Helper()
	k := rsaKey(t)
	cert = selfSigned(t, k)
	file = filepath.Join(t.TempDir(), "app.pem")
	if err := os.WriteFile(file, pemOf(t, k, cert), 0o600); err != nil {
		t.Fatal(err)
	}
	return file, cert
}

// verify checks a signed word as its reader does.
func verify(t *testing.T, word string, cert *x509.Certificate, audience string) {
	t.Helper()
	parts := strings.Split(word, ".")
	if len(parts) != 3 {
		t.Fatalf("%q is no JWT", word)
	}
	decode := func(s string, v any) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		if v != nil {
			if err := json.Unmarshal(b, v); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	var head struct {
		Alg string `json:"alg"`
		X5t string `json:"x5t#S256"`
	}
	var claims struct {
		Aud, Iss, Sub, Jti string
		Exp, Nbf           int64
	}
	decode(parts[0], &head)
	decode(parts[1], &claims)
	print := sha256.Sum256(cert.Raw)
	if head.Alg != "PS256" || head.X5t != base64.RawURLEncoding.EncodeToString(print[:]) {
		t.Errorf("head %+v", head)
	}
	if now := time.Now().Unix(); claims.Aud != audience || claims.Iss != "c1" || claims.Sub != "c1" || claims.Jti == "" || claims.Exp <= now || claims.Nbf > now {
		t.Errorf("claims %+v", claims)
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPSS(cert.PublicKey.(*rsa.PublicKey), crypto.SHA256, digest[:], decode(parts[2], nil), nil); err != nil {
		t.Error(err)
	}
}

func TestCertificatesThatCannotBeUsedSayWhy(t *testing.T) {
	k, other := rsaKey(t), rsaKey(t)
	cert := selfSigned(t, k)
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := pkcs12.Modern.Encode(k, cert, nil, "pw")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, password string
		data           []byte
		says           string
	}{
		{"PEM", "", pemOf(t, k, cert), ""},
		{"PEM, the certificate first", "", pemOf(t, cert, k), ""},
		{"PEM of the older form", "", append(pemOf(t, cert), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)})...), ""},
		{"PKCS#12", "pw", archive, ""},
		{"PKCS#12 under another password", "x", archive, "neither PEM nor PKCS#12"},
		{"nothing", "", nil, "neither PEM nor PKCS#12"},
		{"no key", "", pemOf(t, cert), "no private key"},
		{"no certificate", "", pemOf(t, k), "no certificate"},
		{"another key", "", pemOf(t, other, cert), "belongs to another certificate"},
		{"a curve", "", pemOf(t, curve, selfSigned(t, curve)), "not RSA"},
		{"an encrypted key", "", append(pemOf(t, cert), pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})...), "encrypted PEM"},
		{"a damaged one", "", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), "damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(file, tt.data, 0o600); err != nil {
				t.Fatal(err)
			}
			l := &call.Login{Path: file, Client: "c1"}
			l.Secret = redact.New(tt.password)
			word, err := signed(l, "https://aud", time.Now())
			switch {
			case tt.says != "":
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("%v, want %q", err, tt.says)
				}
			case err != nil:
				t.Error(err)
			default:
				verify(t, word, cert, "https://aud")
			}
		})
	}
}

func FuzzReadCertificate(f *testing.F) {
	k := rsaKey(f)
	f.Add(pemOf(f, k, selfSigned(f, k)), "")
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), "pw")
	f.Fuzz(func(t *testing.T, data []byte, password string) {
		cert, k, err := readCertificate(data, password)
		if err == nil && (cert == nil || k == nil) {
			t.Error("neither a certificate nor why not")
		}
	})
}
