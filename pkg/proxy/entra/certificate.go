package entra

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// signed is the word of an application for itself, signed with the key of its
// certificate.
func signed(l *call.Login, audience string, now time.Time) (string, error) {
	data, err := os.ReadFile(l.Path)
	if err != nil {
		return "", fmt.Errorf("the certificate cannot be read: %w", err)
	}
	cert, k, err := readCertificate(data, l.Secret.Reveal())
	if err != nil {
		return "", fmt.Errorf("the certificate %s cannot be used: %w", l.Path, err)
	}
	print := sha256.Sum256(cert.Raw)
	head := map[string]string{"alg": "PS256", "typ": "JWT", "x5t#S256": base64.RawURLEncoding.EncodeToString(print[:])}
	claims := map[string]any{
		"aud": audience, "iss": l.Client, "sub": l.Client, "jti": rand.Text(),
		"nbf": now.Add(-5 * time.Minute).Unix(), "iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	}
	part := func(v any) string {
		b, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(head) + "." + part(claims)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPSS(rand.Reader, k, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	if err != nil {
		return "", fmt.Errorf("the certificate %s cannot sign: %w", l.Path, err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}

// readCertificate reads a certificate and its RSA key, as PEM or PKCS#12.
func readCertificate(data []byte, password string) (*x509.Certificate, *rsa.PrivateKey, error) {
	var cert *x509.Certificate
	var found any
	if block, _ := pem.Decode(data); block == nil {
		k, c, _, err := pkcs12.DecodeChain(data, password)
		if err != nil {
			return nil, nil, errors.New("it is neither PEM nor PKCS#12 under that password")
		}
		cert, found = c, k
	}
	for rest := data; found == nil || cert == nil; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		var err error
		switch block.Type {
		case "CERTIFICATE":
			if cert == nil {
				cert, err = x509.ParseCertificate(block.Bytes)
			}
		case "PRIVATE KEY":
			found, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			found, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, nil, errors.New("its key is encrypted PEM: use PKCS#12, or a key without a password")
		}
		if err != nil {
			return nil, nil, errors.New("it is damaged")
		}
	}
	k, ok := found.(*rsa.PrivateKey)
	switch {
	case cert == nil:
		return nil, nil, errors.New("there is no certificate in it")
	case found == nil:
		return nil, nil, errors.New("there is no private key in it")
	case !ok:
		return nil, nil, errors.New("its key is not RSA")
	}
	if pub, ok := cert.PublicKey.(*rsa.PublicKey); !ok || !pub.Equal(&k.PublicKey) {
		return nil, nil, errors.New("its key belongs to another certificate")
	}
	return cert, k, nil
}
