package pgurl

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	pkcs12 "software.sslmate.com/src/go-pkcs12"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/testenv"
)

// authority signs certificates for one test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newAuthority(t *testing.T, name string) authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert, key}
}

func (a authority) issue(t *testing.T, name string, ips ...net.IP) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: ips,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func keyPEM(t *testing.T, k *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func write(t *testing.T, dir, name string, data ...[]byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	var all []byte
	for _, d := range data {
		all = append(all, d...)
	}
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func connect(url string, o Options) (tls bool, user string, err error) {
	target, err := Parse(redact.New(url), o)
	if err != nil {
		return false, "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, target.Config)
	if err != nil {
		return false, "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, "SELECT ssl, current_user::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&tls, &user)
	return tls, user, err
}

// TestVerifyFull checks every TLS spelling against real servers: one whose
// certificate is for 127.0.0.1, one whose certificate is for another name, one
// without TLS.
func TestVerifyFull(t *testing.T) {
	ca, other := newAuthority(t, "right ca"), newAuthority(t, "wrong ca")
	start := func(name string, ips ...net.IP) *testenv.Server {
		cert, key := ca.issue(t, name, ips...)
		return testenv.PostgresServer(t, testenv.PostgresOptions{
			Settings: map[string]string{"ssl": "on", "ssl_ca_file": "root.crt"},
			Files:    map[string][]byte{"server.crt": certPEM(cert), "server.key": keyPEM(t, key), "root.crt": certPEM(ca.cert)},
			HBA: []string{
				"hostssl all certuser 127.0.0.1/32 cert",
				"hostssl all all 127.0.0.1/32 trust",
			},
		})
	}
	good := start("db.internal", net.IPv4(127, 0, 0, 1)).URL("postgres")
	misnamed := start("db.internal").URL("postgres")
	plain := testenv.Postgres(t)

	dir := t.TempDir()
	caFile := write(t, dir, "ca.pem", certPEM(ca.cert))
	wrongCA := write(t, dir, "wrong.pem", certPEM(other.cert))
	tests := map[string]struct {
		url   string
		query string
		o     Options
		tls   bool
		fails string
	}{
		"by default TLS is used and nothing checked":             {url: good, tls: true},
		"prefer falls back to plain":                             {url: plain, query: "sslmode=prefer"},
		"disable stays plain":                                    {url: good, query: "sslmode=disable"},
		"require needs TLS":                                      {url: plain, query: "sslmode=require", fails: "TLS"},
		"require alone checks nothing":                           {url: misnamed, query: "sslmode=require", tls: true},
		"verify-full with the right CA and name":                 {url: good, query: "sslmode=verify-full&sslrootcert=" + caFile, tls: true},
		"verify-full with the wrong name":                        {url: misnamed, query: "sslmode=verify-full&sslrootcert=" + caFile, fails: "certificate"},
		"verify-full with the wrong CA":                          {url: good, query: "sslmode=verify-full&sslrootcert=" + wrongCA, fails: "certificate"},
		"verify-full without a CA asks the system's":             {url: good, query: "sslmode=verify-full", fails: "certificate"},
		"verify-full never falls back to plain":                  {url: plain, query: "sslmode=verify-full&sslrootcert=" + caFile, fails: "TLS"},
		"verify-ca takes any name":                               {url: misnamed, query: "sslmode=verify-ca&sslrootcert=" + caFile, tls: true},
		"verify-ca with the wrong CA":                            {url: misnamed, query: "sslmode=verify-ca&sslrootcert=" + wrongCA, fails: "certificate"},
		"verify-full read as Prisma reads it":                    {url: misnamed, query: "sslmode=verify-full", o: Options{PrismaTLS: true}, tls: true},
		"sslaccept=strict checks name and chain":                 {url: good, query: "sslaccept=strict&sslcert=" + caFile, tls: true},
		"sslaccept=strict with the wrong name":                   {url: misnamed, query: "sslaccept=strict&sslcert=" + caFile, fails: "certificate"},
		"any other word of sslaccept is strict":                  {url: misnamed, query: "sslaccept=yes&sslcert=" + caFile, fails: "certificate"},
		"sslaccept=strict never falls back to plain":             {url: plain, query: "sslaccept=strict", fails: "TLS"},
		"sslcert alone is a CA and is asked":                     {url: misnamed, query: "sslmode=require&sslcert=" + caFile, tls: true},
		"sslcert alone with the wrong CA":                        {url: good, query: "sslmode=require&sslcert=" + wrongCA, fails: "certificate"},
		"a CA beside accept_invalid_certs is not asked":          {url: good, query: "sslaccept=accept_invalid_certs&sslcert=" + wrongCA, tls: true},
		"a CA is not asked when read as Prisma reads it":         {url: good, query: "sslcert=" + wrongCA, o: Options{PrismaTLS: true}, tls: true},
		"accept_invalid_certs does not weaken verify-full":       {url: misnamed, query: "sslmode=verify-full&sslaccept=accept_invalid_certs&sslcert=" + caFile, fails: "certificate"},
		"an unknown mode is prefer, as in Prisma, with a remark": {url: plain, query: "sslmode=verify_full"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			url := tt.url
			if tt.query != "" {
				url += "?" + tt.query
			}
			tls, _, err := connect(url, tt.o)
			switch {
			case tt.fails == "" && err != nil:
				t.Fatalf("connecting: %v", err)
			case tt.fails != "" && err == nil:
				t.Fatalf("connected (TLS %v), want an error", tls)
			case tt.fails != "" && !strings.Contains(err.Error(), tt.fails):
				t.Errorf("error %q does not speak of %s", err, tt.fails)
			case err == nil && tls != tt.tls:
				t.Errorf("TLS %v, want %v", tls, tt.tls)
			}
		})
	}

	// Client certificates, in libpq's and in Prisma's form.
	cert, key := ca.issue(t, "certuser")
	asUser := strings.Replace(good, "postgres:"+testenv.Password, "certuser", 1)
	if _, _, err := connect(good, Options{}); err != nil {
		t.Fatal(err)
	}
	admin, err := pgx.Connect(context.Background(), good)
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(context.Background())
	if _, err := admin.Exec(context.Background(), "CREATE ROLE certuser LOGIN"); err != nil {
		t.Fatal(err)
	}
	certFile, keyFile := write(t, dir, "client.crt", certPEM(cert)), write(t, dir, "client.key", keyPEM(t, key))
	both := write(t, dir, "both.pem", certPEM(cert), keyPEM(t, key))
	p12, err := pkcs12.Modern.Encode(key, cert, []*x509.Certificate{ca.cert}, "p12pass")
	if err != nil {
		t.Fatal(err)
	}
	identity := write(t, dir, "id.p12", p12)
	for name, query := range map[string]string{
		"certificate and key":              "sslmode=require&sslcert=" + certFile + "&sslkey=" + keyFile,
		"one file with both":               "sslmode=require&sslcert=" + both,
		"certificate, key and CA verified": "sslmode=verify-full&sslrootcert=" + caFile + "&sslcert=" + certFile + "&sslkey=" + keyFile,
		"a PKCS#12 identity":               "sslidentity=" + identity + "&sslpassword=p12pass&sslaccept=strict",
	} {
		t.Run(name, func(t *testing.T) {
			if tls, user, err := connect(asUser+"?"+query, Options{}); err != nil || !tls || user != "certuser" {
				t.Errorf("TLS %v user %q: %v", tls, user, err)
			}
		})
	}
	for name, tt := range map[string]struct{ query, want string }{
		"a wrong PKCS#12 password": {"sslidentity=" + identity + "&sslpassword=wrong", "does not open"},
		"a PKCS#12 that is none":   {"sslidentity=" + caFile, "not a PKCS#12"},
		"a CA file without a CA":   {"sslrootcert=" + keyFile, "holds no certificate"},
		"a root file without one":  {"sslrootcert=" + identity, "holds no certificate"},
		"a pair that is none":      {"sslcert=" + caFile + "&sslkey=" + keyFile, "do not make a pair"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(redact.New(asUser+"?"+tt.query), Options{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestEveryConnectionWorksInTheSchemaOfTheURL(t *testing.T) {
	url := testenv.Postgres(t)
	for _, tt := range []struct {
		query, path, zone string
		purpose           Purpose
	}{
		{"", "public", "UTC", Serve},
		{"?schema=My%22Schema&connection_limit=4&pool_timeout=3&sslmode=prefer&zzz=1", `"My""Schema"`, "UTC", Serve},
		{"?options=-c%20TimeZone%3DEurope/Vienna&application_name=x", "public", "Europe/Vienna", Migrate},
		{"?options=-c%20TimeZone%3DEurope/Vienna", "public", "UTC", Serve},
	} {
		target := parse(t, url+tt.query, Options{Purpose: tt.purpose})
		ctx := context.Background()
		conn, err := pgx.ConnectConfig(ctx, target.Config)
		if err != nil {
			t.Fatalf("%s: %v", tt.query, err)
		}
		var path, zone string
		err = conn.QueryRow(ctx, "SELECT current_setting('search_path'), current_setting('TimeZone')").Scan(&path, &zone)
		conn.Close(ctx)
		if err != nil || path != tt.path || zone != tt.zone {
			t.Errorf("%s: search_path %s zone %s: %v; want %s %s", tt.query, path, zone, err, tt.path, tt.zone)
		}
	}
}

func TestTheNextHostIsTriedWhenTheFirstIsGone(t *testing.T) {
	s := testenv.PostgresServer(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := l.Addr().String()
	l.Close()
	url := strings.Replace(s.URL("postgres"), "@", "@"+gone+",", 1)
	if _, _, err := connect(url+"?target_session_attrs=read-write", Options{}); err != nil {
		t.Errorf("two hosts: %v", err)
	}
	// The same server through its Unix socket.
	socket := strings.Replace(url[:strings.Index(url, "@")+1], ":"+testenv.Password, "", 1) + "/postgres?host=" + s.Dir() +
		"&port=" + s.URL("x")[strings.LastIndex(s.URL("x"), ":")+1:strings.LastIndex(s.URL("x"), "/")]
	if tls, _, err := connect(socket+"&sslmode=require", Options{}); err != nil || tls {
		t.Errorf("Unix socket: TLS %v: %v", tls, err)
	}
}
