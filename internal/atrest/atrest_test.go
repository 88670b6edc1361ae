package atrest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/redact"
)

const (
	signing = "sk-1234"
	plain   = "sk-upstream-0123456789"

	legacyText = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXvNW-GNH2kPJUsqqDgas96ISczct7HhgytISd8zJ6xUbQKyu9lCE="
	v2Text     = "v2:gcm:AAECAwQFBgcICQoLLB2dJzzfQdmJU6AM5qfGt15mwz1hc-T7sMrJ2yOn9jqqxdCBKAE="
	v3Text     = "v3:gcm:AAECAwQFBgcICQoLmUiiXfqdNn7nJ5edH63EWaala8BJq8a7zjPtX48hkVZ1pgBzvZw="
)

func newKeys(t testing.TB, signing string) *Keys {
	t.Helper()
	k, err := NewKeys(redact.New(signing))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeysAreDerivedAsLiteLLMDoes(t *testing.T) {
	k := newKeys(t, signing)
	if got, want := hex.EncodeToString(k.old[:]), "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"; got != want {
		t.Errorf("legacy and v2 key %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(k.v3[:]), "f8497a8093eb9719022fd2295a09b2a39062c796661c0fc915994b325a4067d3"; got != want {
		t.Errorf("v3 key %s, want %s", got, want)
	}
}

// counter yields 00 01 02 ..., the nonces of the vectors.
type counter struct{ n byte }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.n
		c.n++
	}
	return len(p), nil
}

func TestVectors(t *testing.T) {
	k := newKeys(t, signing)
	for _, tt := range []struct {
		format Format
		text   string
	}{{Legacy, legacyText}, {V2, v2Text}, {V3, v3Text}} {
		t.Run(tt.format.String(), func(t *testing.T) {
			if got := Detect(tt.text); got != tt.format {
				t.Errorf("detected as %v", got)
			}
			o := Open(tt.text, newKeys(t, "sk-other"), nil, k)
			if !o.OK || o.Format != tt.format || o.Text.Reveal() != plain {
				t.Errorf("opened: ok %v, format %v", o.OK, o.Format)
			}
			got, err := seal(redact.New(plain), k, tt.format, &counter{})
			if err != nil || got != tt.text {
				t.Errorf("sealed %q, %v; want %q", got, err, tt.text)
			}
		})
	}
}

func TestLegacyIsReadInEveryBase64(t *testing.T) {
	k := newKeys(t, signing)
	std := strings.NewReplacer("-", "+", "_", "/").Replace(legacyText)
	for _, text := range []string{std, strings.TrimRight(legacyText, "="), strings.TrimRight(std, "=")} {
		if o := Open(text, k); !o.OK || o.Text.Reveal() != plain {
			t.Errorf("%s is not opened", text)
		}
	}
}

func TestWhatIsNoCiphertextStaysAsItIs(t *testing.T) {
	k := newKeys(t, signing)
	for _, text := range []string{"", "sk-short", "gpt-4o", "https://api.example/v1?x=1", "os.environ/OPENAI_API_KEY", "v1:gcm:AAAA",
		strings.Repeat("plain words with blanks ", 10), "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXvNW\nGNH2kPJUsqqDgas96ISczct7HhgytISd8zJ6xUbQKyu9lCE="} {
		o := Open(text, k)
		if !o.OK || o.Format != Plain || o.Text.Reveal() != text {
			t.Errorf("%q: ok %v, format %v", text, o.OK, o.Format)
		}
	}
}

func TestCiphertextOfAnotherKeyIsUnusable(t *testing.T) {
	other := newKeys(t, "sk-other")
	for _, text := range []string{legacyText, v2Text, v3Text} {
		if o := Open(text, other); o.OK || !o.Text.IsZero() || o.Format == Plain {
			t.Errorf("%.10s…: ok %v, format %v", text, o.OK, o.Format)
		}
	}
	if o := Open(v3Text); o.OK {
		t.Error("opened without any key")
	}
}

func TestDamageIsNoticed(t *testing.T) {
	k := newKeys(t, signing)
	for _, text := range []string{legacyText, v2Text, v3Text} {
		for i := range text {
			for _, x := range []byte("Ab0=") {
				damaged := text[:i] + string(x) + text[i+1:]
				if damaged == text {
					continue
				}
				if o := Open(damaged, k); o.OK && o.Format != Plain && o.Text.Reveal() == plain {
					// The last character before the padding has bits that no byte holds.
					if i < len(strings.TrimRight(text, "="))-1 {
						t.Errorf("%q at %d of %.10s… goes unnoticed", x, i, text)
					}
				}
			}
		}
	}
	for _, text := range []string{"v3:gcm:", "v2:gcm:AAAA", "v3:gcm:###", "v2:gcm:" + strings.Repeat("A", 36)} {
		if o := Open(text, k); o.OK {
			t.Errorf("%q is taken for a secret", text)
		}
	}
}

func TestSealedSecretsOpenAgain(t *testing.T) {
	k := newKeys(t, "Schlüssel mit Umlaut ")
	for _, f := range []Format{Legacy, V2, V3} {
		for _, secret := range []string{"", "x", plain, strings.Repeat("läng", 5000), "\x00\xff"} {
			text, err := Seal(redact.New(secret), k, f)
			if err != nil {
				t.Fatal(err)
			}
			if o := Open(text, k); !o.OK || o.Format != f || o.Text.Reveal() != secret {
				t.Errorf("%v: %d bytes do not come back", f, len(secret))
			}
			if again, _ := Seal(redact.New(secret), k, f); again == text {
				t.Errorf("%v: the nonce repeats", f)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	if _, err := NewKeys(redact.Secret{}); err == nil {
		t.Error("an empty signing key is accepted")
	}
	k := newKeys(t, signing)
	if _, err := Seal(redact.New(plain), k, Plain); err == nil {
		t.Error("sealed as plain text")
	}
	if _, err := Seal(redact.New(plain), nil, V3); err == nil {
		t.Error("sealed without a key")
	}
	if _, err := seal(redact.New(plain), k, V3, bytes.NewReader(nil)); err == nil {
		t.Error("sealed without a nonce")
	}
}

// The hash that is stored for a virtual key is the key of the old formats when
// that virtual key signs them: what doctor warns about.
func TestStoredHashOfASigningKeyOpensOldSecrets(t *testing.T) {
	if k := newKeys(t, signing); fmt.Sprintf("%x", sha256.Sum256([]byte(signing))) != hex.EncodeToString(k.old[:]) {
		t.Error("the derivation has changed")
	}
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{legacyText, v2Text, v3Text, "", "v3:gcm:", "plain"} {
		f.Add(s)
	}
	k, err := NewKeys(redact.New(signing))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o := Open(text, k)
		if o.Format != Detect(text) {
			t.Errorf("opened as %v, detected as %v", o.Format, Detect(text))
		}
		if o.Format == Plain && (!o.OK || o.Text.Reveal() != text) {
			t.Error("plain text is changed")
		}
		if !o.OK && !o.Text.IsZero() {
			t.Error("a failed opening returns a text")
		}
	})
}
