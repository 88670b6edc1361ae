package auth

import (
	"crypto/sha256"
	"net/http"
	"testing"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

type keyTable map[[32]byte]*call.Identity

func (t keyTable) Lookup(h [32]byte) (*call.Identity, *call.Error) { return t[h], nil }

func TestCredentialSourcesInTheirOrder(t *testing.T) {
	const master = "sk-master-key-of-the-test"
	tests := []struct {
		name      string
		keyHeader string
		header    map[string]string
		ok        bool
		message   string
	}{
		{name: "bearer", header: map[string]string{"Authorization": "Bearer " + master}, ok: true},
		{name: "lower-case bearer", header: map[string]string{"Authorization": "bearer " + master}, ok: true},
		{name: "basic scheme", header: map[string]string{"Authorization": "Basic " + master}, ok: true},
		{name: "aws signature that carries the key", header: map[string]string{"Authorization": "AWS4-HMAC-SHA256 Credential=Bearer " + master + "/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host"}, ok: true},
		{name: "azure's api-key", header: map[string]string{"api-key": master}, ok: true},
		{name: "anthropic's x-api-key", header: map[string]string{"x-api-key": master}, ok: true},
		{name: "google's x-goog-api-key", header: map[string]string{"x-goog-api-key": master}, ok: true},
		{name: "azure api management", header: map[string]string{"Ocp-Apim-Subscription-Key": master}, ok: true},
		{name: "x-litellm-api-key with a scheme beats authorization", header: map[string]string{"x-litellm-api-key": "Bearer " + master, "Authorization": "Bearer sk-other"}, ok: true},
		{name: "x-litellm-api-key without a scheme", header: map[string]string{"x-litellm-api-key": master}, ok: true},
		{name: "a configured header replaces the others", keyHeader: "X-My-Key", header: map[string]string{"X-My-Key": "Bearer " + master}, ok: true},
		{name: "a configured header needs a scheme", keyHeader: "X-My-Key", header: map[string]string{"X-My-Key": master}, message: errMalformedKey.Message},
		{name: "other headers do not count beside a configured one", keyHeader: "X-My-Key", header: map[string]string{"Authorization": "Bearer " + master}, message: errNoKey.Message},
		{name: "nothing", message: "Authentication Error, No api key passed in."},
		{name: "a bare key in authorization is malformed", header: map[string]string{"Authorization": master}, message: "Authentication Error, Malformed API Key passed in. Ensure Key has `Bearer ` prefix."},
		{name: "a scheme without a key is malformed", header: map[string]string{"Authorization": "Bearer "}, message: "Authentication Error, Malformed API Key passed in. Ensure Key has `Bearer ` prefix."},
		{name: "another key without a database", header: map[string]string{"Authorization": "Bearer sk-other"}, message: "No connected db."},
		{name: "the master key with a byte more", header: map[string]string{"Authorization": "Bearer " + master + "x"}, message: "No connected db."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := New(Options{MasterKey: redact.New(master), KeyHeader: tt.keyHeader})
			r, _ := http.NewRequest("POST", "/", nil)
			for k, v := range tt.header {
				r.Header.Set(k, v)
			}
			id, err := a.Identify(r)
			if tt.ok {
				if err != nil || id.Role != call.RoleProxyAdmin || id.KeyHash != call.MasterKeyAlias {
					t.Fatalf("got %+v, %v; want the admin", id, err)
				}
				return
			}
			if err == nil || err.Message != tt.message {
				t.Fatalf("got %+v, %v; want %q", id, err, tt.message)
			}
		})
	}
}

func TestVirtualKeysAreFoundByHash(t *testing.T) {
	id := &call.Identity{KeyHash: "x"}
	keys := keyTable{sha256.Sum256([]byte("sk-known")): id, sha256.Sum256([]byte("deadbeefdeadbeef")): id}
	a := New(Options{MasterKey: redact.New("sk-master"), Keys: keys})
	get := func(key string) (*call.Identity, *call.Error) {
		r, _ := http.NewRequest("POST", "/", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		return a.Identify(r)
	}
	if got, err := get("sk-known"); got != id || err != nil {
		t.Errorf("known key: %v, %v", got, err)
	}
	_, err := get("sk-unknown-1234")
	want := "Authentication Error, Invalid proxy server token passed. Received API Key = sk-...1234, Key Hash (Token) =6cd0d1a2a0b8a3c2c0de55b8a3c0b1d7b4ff3c5e6e6b6bb2c8f6f36f1df7a7c4"
	if err == nil || err.Message[:97] != want[:97] || err.Type != "token_not_found_in_db" {
		t.Errorf("unknown key: %v", err)
	}
	_, err = get("deadbeefdeadbeef")
	if err == nil || err.Message != "LiteLLM Virtual Key expected. Received=dead****beef, expected to start with 'sk-'." {
		t.Errorf("a value without sk-: %v", err)
	}
	_, err = get("short")
	if err == nil || err.Message != "LiteLLM Virtual Key expected. Received=****, expected to start with 'sk-'." {
		t.Errorf("a short value: %v", err)
	}
}

func TestOpenOnlyWithoutAMasterKey(t *testing.T) {
	r, _ := http.NewRequest("POST", "/", nil)
	if id, err := New(Options{Open: true}).Identify(r); err != nil || id.Role != call.RoleInternalUser {
		t.Errorf("open: %v, %v", id, err)
	}
	if _, err := New(Options{Open: true, MasterKey: redact.New("sk-1")}).Identify(r); err != errNoKey {
		t.Errorf("open beside a master key must not admit: %v", err)
	}
	if _, err := New(Options{}).Identify(r); err != errNoKey {
		t.Errorf("neither master key nor open must not admit: %v", err)
	}
}

func TestIdentifyAllocatesNothing(t *testing.T) {
	id := &call.Identity{}
	a := New(Options{MasterKey: redact.New("sk-master"), Keys: keyTable{sha256.Sum256([]byte("sk-known")): id}})
	for _, key := range []string{"sk-master", "sk-known"} {
		r, _ := http.NewRequest("POST", "/", nil)
		r.Header.Set("Authorization", "Bearer "+key)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := a.Identify(r); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations per call, want 0", key, n)
		}
	}
}
