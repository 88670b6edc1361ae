// Package atrest opens and seals the secrets that LiteLLM stores in its
// database: provider keys of models, credentials, configuration values. It
// knows the three formats in use and nothing about tables.
//
// It does no I/O. Neither texts nor plaintexts appear in its errors.
package atrest

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/nacl/secretbox"

	"github.com/llmgw/llmgw/internal/redact"
)

// Format is one layout of a stored secret.
type Format uint8

const (
	// Plain is text that is no ciphertext of any format.
	Plain Format = iota
	// Legacy is NaCl's secretbox (XSalsa20-Poly1305) in URL-safe base64, without
	// any prefix.
	Legacy
	// V2 is AES-256-GCM under the SHA-256 of the signing key.
	V2
	// V3 is AES-256-GCM under a key derived with HKDF.
	V3
)

// The prefixes of the AES formats; a colon cannot occur in base64.
const (
	prefixV2 = "v2:gcm:"
	prefixV3 = "v3:gcm:"
)

// String returns the name used in output and logs.
func (f Format) String() string {
	switch f {
	case Legacy:
		return "legacy"
	case V2:
		return "v2:gcm"
	case V3:
		return "v3:gcm"
	default:
		return "plain"
	}
}

const (
	nonceNaCl = 24
	nonceGCM  = 12
	tagSize   = 16
	minLegacy = nonceNaCl + tagSize
	minGCM    = nonceGCM + tagSize
	infoV3    = "litellm-at-rest-v3"
)

// Keys opens and seals under one signing key: the salt key, or the master key
// where there is none.
type Keys struct {
	old [32]byte // SHA-256: legacy and v2
	v3  [32]byte
	gcm map[Format]cipher.AEAD
}

// ErrNoKey says that nothing can be opened or sealed.
var ErrNoKey = errors.New("the signing key is empty: set LITELLM_SALT_KEY or the master key")

// NewKeys derives the keys of all formats from a signing key, taken as its
// UTF-8 bytes without trimming.
func NewKeys(signing redact.Secret) (*Keys, error) {
	if signing.IsZero() {
		return nil, ErrNoKey
	}
	ikm := []byte(signing.Reveal())
	k := &Keys{old: sha256.Sum256(ikm), gcm: map[Format]cipher.AEAD{}}
	derived, err := hkdf.Key(sha256.New, ikm, nil, infoV3, 32)
	if err != nil {
		return nil, fmt.Errorf("deriving the key for secrets at rest: %w", err)
	}
	copy(k.v3[:], derived)
	for f, key := range map[Format][]byte{V2: k.old[:], V3: k.v3[:]} {
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("preparing AES: %w", err)
		}
		if k.gcm[f], err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("preparing AES-GCM: %w", err)
		}
	}
	return k, nil
}

// Opened is what became of a stored text.
type Opened struct {
	// Text is the plaintext; for a text that is no ciphertext it is that text.
	Text redact.Secret
	// Format is the format of the stored text, by its looks when it could not be
	// opened.
	Format Format
	// OK is false when the text looks like a ciphertext and does not open: it is
	// of another key, or damaged, and must not be used.
	OK bool
}

// Open opens a stored text under the first of keys that fits.
func Open(text string, keys ...*Keys) Opened {
	format, sealed := split(text)
	if format == Plain {
		return Opened{Text: redact.New(text), OK: true}
	}
	for _, k := range keys {
		if k == nil {
			continue
		}
		if plain, ok := k.open(format, sealed); ok {
			return Opened{Text: redact.New(string(plain)), Format: format, OK: true}
		}
	}
	return Opened{Format: format}
}

// Detect tells the format of a stored text by its looks. Long base64 counts as
// Legacy, since nothing else marks that format: only opening it makes sure.
func Detect(text string) Format {
	format, _ := split(text)
	return format
}

// split tells the format and decodes the ciphertext.
func split(text string) (Format, []byte) {
	switch {
	case strings.HasPrefix(text, prefixV3):
		sealed, _ := decode(text[len(prefixV3):])
		return V3, sealed
	case strings.HasPrefix(text, prefixV2):
		sealed, _ := decode(text[len(prefixV2):])
		return V2, sealed
	}
	if sealed, ok := decode(text); ok && len(sealed) >= minLegacy {
		return Legacy, sealed
	}
	return Plain, nil
}

// decode reads base64 in either alphabet, padded or not. Anything outside the
// alphabet makes it no ciphertext, where Python's decoder would skip it.
func decode(text string) ([]byte, bool) {
	text = strings.TrimRight(text, "=")
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return nil, false // Go's decoder would skip line ends
	}
	for _, enc := range []*base64.Encoding{base64.RawURLEncoding, base64.RawStdEncoding} {
		if b, err := enc.DecodeString(text); err == nil {
			return b, true
		}
	}
	return nil, false
}

func (k *Keys) open(f Format, sealed []byte) ([]byte, bool) {
	if f == Legacy {
		if len(sealed) < minLegacy {
			return nil, false
		}
		return secretbox.Open(nil, sealed[nonceNaCl:], (*[nonceNaCl]byte)(sealed), &k.old)
	}
	if len(sealed) < minGCM {
		return nil, false
	}
	plain, err := k.gcm[f].Open(nil, sealed[:nonceGCM], sealed[nonceGCM:], nil)
	return plain, err == nil
}

// Seal seals a secret. Plain is refused: storing a secret openly is never what
// a caller of Seal means.
func Seal(secret redact.Secret, k *Keys, f Format) (string, error) {
	return seal(secret, k, f, rand.Reader)
}

func seal(secret redact.Secret, k *Keys, f Format, random io.Reader) (string, error) {
	if k == nil {
		return "", ErrNoKey
	}
	size, prefix := nonceGCM, prefixV3
	switch f {
	case Legacy:
		size, prefix = nonceNaCl, ""
	case V2:
		prefix = prefixV2
	case V3:
	default:
		return "", fmt.Errorf("format %q cannot hold a secret", f)
	}
	plain := []byte(secret.Reveal())
	sealed := make([]byte, size, size+len(plain)+tagSize)
	if _, err := io.ReadFull(random, sealed); err != nil {
		return "", fmt.Errorf("reading a nonce: %w", err)
	}
	if f == Legacy {
		sealed = secretbox.Seal(sealed, plain, (*[nonceNaCl]byte)(sealed), &k.old)
	} else {
		sealed = k.gcm[f].Seal(sealed, sealed, plain, nil)
	}
	return prefix + base64.URLEncoding.EncodeToString(sealed), nil
}
