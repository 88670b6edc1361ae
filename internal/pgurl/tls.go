package pgurl

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	pkcs12 "software.sslmate.com/src/go-pkcs12"
)

// verify is how much of a server's certificate is checked.
type verify int

const (
	verifyNothing verify = iota
	verifyChain
	verifyHost
)

// applyTLS reads the TLS parameters of both vocabularies and sets up every
// host, with a plain fallback where the mode allows one. Where the two
// disagree, the reading that checks more wins: a connection that was meant to
// be verified must fail rather than go unverified.
func (t *Target) applyTLS(r *reader, hosts []address, prisma bool) error {
	mode, modeGiven := r.text("sslmode")
	accept, acceptGiven := r.text("sslaccept")
	cert, _ := r.text("sslcert")
	key, _ := r.text("sslkey")
	root, _ := r.text("sslrootcert")
	identity, _ := r.text("sslidentity")
	password, _ := r.text("sslpassword")

	required, plain, check := false, true, verifyNothing
	switch mode {
	case "disable":
	case "", "prefer", "allow":
	case "require":
		required, plain = true, false
	case "verify-ca", "verify-full":
		if prisma {
			t.Notes = append(t.Notes, "sslmode="+mode+" is read as prefer, as Prisma does: the server's certificate is not checked")
			break
		}
		t.Notes = append(t.Notes, "sslmode="+mode+" is enforced here; Prisma and older LiteLLM read it as prefer and check nothing")
		required, plain, check = true, false, verifyChain
		if mode == "verify-full" {
			check = verifyHost
		}
	default:
		t.Notes = append(t.Notes, "sslmode is not a mode that PostgreSQL knows (disable, prefer, require, verify-ca, verify-full); it is read as prefer")
	}
	if mode == "disable" {
		if acceptGiven && accept == "strict" {
			return fmt.Errorf("the database URL says sslmode=disable and sslaccept=strict at once; drop one of them")
		}
		t.setHosts(hosts, nil, true)
		return nil
	}
	if acceptGiven && accept != "accept_invalid_certs" && accept != "" {
		check = verifyHost // Prisma: every other word is strict
		if plain {
			t.Notes = append(t.Notes, "sslaccept=strict makes TLS required: a fallback to an unencrypted connection would check nothing")
		}
		required, plain = true, false
	}

	c := &tls.Config{MinVersion: tls.VersionTLS12}
	// One file name, two meanings: Prisma's server CA, libpq's client certificate.
	var client string
	if cert != "" {
		data, err := readPEM("sslcert", cert)
		if err != nil {
			return err
		}
		switch {
		case key != "" || hasPrivateKey(data):
			client = cert
		case root != "":
			t.Notes = append(t.Notes, "sslcert without sslkey is a CA certificate, and sslrootcert names one too; both are trusted")
			if err := addRoots(c, "sslcert", data); err != nil {
				return err
			}
		default:
			if err := addRoots(c, "sslcert", data); err != nil {
				return err
			}
		}
	}
	if root == "system" {
		check = verifyHost
		required, plain = true, false
	} else if root != "" {
		data, err := readPEM("sslrootcert", root)
		if err != nil {
			return err
		}
		if err := addRoots(c, "sslrootcert", data); err != nil {
			return err
		}
	}
	if c.RootCAs != nil && check == verifyNothing && !prisma && !(acceptGiven && accept == "accept_invalid_certs") {
		// Who names a CA wants it asked; libpq reads sslmode=require so.
		check, required, plain = verifyChain, true, false
		t.Notes = append(t.Notes, "a CA certificate is given, so TLS is required and the server's certificate must come from it; sslaccept=strict would check the host name too")
	}
	if client != "" {
		if key == "" {
			key = client
		}
		pair, err := loadPair(client, key, password)
		if err != nil {
			return err
		}
		c.Certificates = []tls.Certificate{pair}
	} else if key != "" {
		return fmt.Errorf("the database URL has sslkey but no sslcert; a client certificate needs both")
	}
	if identity != "" {
		pair, roots, err := loadIdentity(identity, password)
		if err != nil {
			return err
		}
		c.Certificates = []tls.Certificate{pair}
		if c.RootCAs == nil && roots != nil && check != verifyNothing {
			c.RootCAs = roots
		}
	}
	if modeGiven && required && check == verifyNothing && !prisma {
		t.Notes = append(t.Notes, "the connection is encrypted but the server's certificate is not checked; add sslaccept=strict or sslmode=verify-full")
	}
	t.setHosts(hosts, func(host string) *tls.Config { return forHost(c, host, check) }, plain)
	return nil
}

// setHosts writes the addresses into the configuration, TLS first.
func (t *Target) setHosts(hosts []address, withTLS func(host string) *tls.Config, plain bool) {
	var list []*pgconn.FallbackConfig
	for _, a := range hosts {
		if strings.HasPrefix(a.host, "/") { // a Unix socket needs none
			list = append(list, &pgconn.FallbackConfig{Host: a.host, Port: a.port})
			continue
		}
		if withTLS != nil {
			list = append(list, &pgconn.FallbackConfig{Host: a.host, Port: a.port, TLSConfig: withTLS(a.host)})
		}
		if withTLS == nil || plain {
			list = append(list, &pgconn.FallbackConfig{Host: a.host, Port: a.port})
		}
	}
	t.addresses = list
}

func forHost(base *tls.Config, host string, check verify) *tls.Config {
	c := base.Clone()
	if net.ParseIP(host) == nil {
		c.ServerName = host
	}
	switch check {
	case verifyNothing:
		c.InsecureSkipVerify = true
	case verifyChain:
		// crypto/tls cannot check the chain without the name, so it is told to
		// check nothing and this does the rest.
		c.InsecureSkipVerify = true
		roots := c.RootCAs
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return errors.New("the server sent no certificate")
			}
			o := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			for _, ic := range s.PeerCertificates[1:] {
				o.Intermediates.AddCert(ic)
			}
			_, err := s.PeerCertificates[0].Verify(o)
			return err
		}
	case verifyHost:
		c.ServerName = host // an IP address is checked against the certificate's
	}
	return c
}

func readPEM(parameter, path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("reading the file of the database URL's %s, %s: %w", parameter, path, err)
	}
	return data, nil
}

func hasPrivateKey(data []byte) bool {
	for {
		var block *pem.Block
		if block, data = pem.Decode(data); block == nil {
			return false
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return true
		}
	}
}

// addRoots trusts every certificate of a file, in PEM or as one DER block.
func addRoots(c *tls.Config, parameter string, data []byte) error {
	if c.RootCAs == nil {
		c.RootCAs = x509.NewCertPool()
	}
	if c.RootCAs.AppendCertsFromPEM(data) {
		return nil
	}
	if cert, err := x509.ParseCertificate(data); err == nil {
		c.RootCAs.AddCert(cert)
		return nil
	}
	return fmt.Errorf("the file of the database URL's %s holds no certificate", parameter)
}

func loadPair(certFile, keyFile, password string) (tls.Certificate, error) {
	var none tls.Certificate
	certPEM, err := readPEM("sslcert", certFile)
	if err != nil {
		return none, err
	}
	keyPEM, err := readPEM("sslkey", keyFile)
	if err != nil {
		return none, err
	}
	var keyBlocks []byte
	for rest := keyPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" {
			return none, fmt.Errorf("the key of the database URL's sslkey is encrypted as PKCS#8, which is not supported; decrypt it, or use sslidentity with a PKCS#12 file")
		}
		//lint:ignore SA1019 the old PEM encryption is what sslpassword is for
		if x509.IsEncryptedPEMBlock(block) {
			//lint:ignore SA1019 see above
			der, err := x509.DecryptPEMBlock(block, []byte(password))
			if err != nil {
				return none, fmt.Errorf("the key of the database URL's sslkey cannot be decrypted with sslpassword")
			}
			block = &pem.Block{Type: block.Type, Bytes: der}
		}
		keyBlocks = append(keyBlocks, pem.EncodeToMemory(block)...)
	}
	pair, err := tls.X509KeyPair(certPEM, keyBlocks)
	if err != nil {
		return none, fmt.Errorf("the database URL's sslcert and sslkey do not make a pair: %w", err)
	}
	return pair, nil
}

func loadIdentity(path, password string) (tls.Certificate, *x509.CertPool, error) {
	data, err := readPEM("sslidentity", path)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	key, leaf, chain, err := pkcs12.DecodeChain(data, password)
	if err != nil {
		if errors.Is(err, pkcs12.ErrIncorrectPassword) {
			return tls.Certificate{}, nil, fmt.Errorf("the PKCS#12 file of the database URL's sslidentity does not open with sslpassword")
		}
		return tls.Certificate{}, nil, fmt.Errorf("the file of the database URL's sslidentity is not a PKCS#12 identity: %w", err)
	}
	pair := tls.Certificate{PrivateKey: key, Certificate: [][]byte{leaf.Raw}, Leaf: leaf}
	var roots *x509.CertPool
	for _, c := range chain {
		pair.Certificate = append(pair.Certificate, c.Raw)
		if slices.Equal(c.RawIssuer, c.RawSubject) {
			if roots == nil {
				roots = x509.NewCertPool()
			}
			roots.AddCert(c)
		}
	}
	return pair, roots, nil
}
