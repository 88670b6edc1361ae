// Package redact keeps secrets out of everything llmgw prints.
//
// It has two halves. [Secret] is the type that holds a secret inside the
// program: every way of printing or marshalling it yields a mask, so a secret
// can only leave through [Secret.Reveal]. [Text] masks secrets in text that
// comes from elsewhere: upstream errors, SQL errors, log tails.
//
// The package imports nothing of llmgw and does no I/O.
package redact

import (
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
)

// Mask is what is shown in place of a secret.
const Mask = "***"

// Secret is a value that must never be printed. The zero value is the empty
// secret. Comparing two secrets of a request path must be done with
// crypto/subtle on the revealed bytes, not with ==.
type Secret struct{ text string }

// New wraps a secret.
func New(text string) Secret { return Secret{text} }

// Reveal returns the secret itself. Every call is a place to review.
func (s Secret) Reveal() string { return s.text }

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.text == "" }

// String masks the secret; the empty secret stays empty, so that "is it set"
// remains visible.
func (s Secret) String() string {
	if s.text == "" {
		return ""
	}
	return Mask
}

// Format masks the secret under every verb, %#v and %x included.
func (s Secret) Format(f fmt.State, verb rune) {
	if verb == 'q' {
		fmt.Fprintf(f, "%q", s.String())
		return
	}
	fmt.Fprint(f, s.String())
}

// GoString masks the secret.
func (s Secret) GoString() string { return s.String() }

// MarshalJSON masks the secret.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// MarshalText masks the secret (text encoders, map keys).
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML masks the secret.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue masks the secret in structured logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

var (
	_ fmt.Formatter          = Secret{}
	_ fmt.GoStringer         = Secret{}
	_ json.Marshaler         = Secret{}
	_ encoding.TextMarshaler = Secret{}
	_ slog.LogValuer         = Secret{}
)
