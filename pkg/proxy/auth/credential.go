package auth

import (
	"net/http"
	"strings"
)

// credential finds the caller's key. found says that a header for a key was
// there at all; key is empty when it held nothing usable.
//
// Header names are the canonical forms of LiteLLM's, read straight from the
// map: this runs for every request.
func (a *Authenticator) credential(r *http.Request) (key string, found bool) {
	h := r.Header
	if a.keyHeader != "" {
		// A configured header replaces all others, and needs a scheme.
		v, ok := first(h, a.keyHeader)
		if !ok {
			return "", false
		}
		key, _ = stripScheme(v)
		return key, true
	}
	if v, ok := first(h, "X-Litellm-Api-Key"); ok && v != "" {
		if key, ok := stripScheme(v); ok {
			return key, true
		}
		return v, true
	}
	if v, ok := first(h, "Authorization"); ok && v != "" {
		key, _ = stripScheme(v)
		return key, true
	}
	for _, name := range [...]string{"Api-Key", "X-Api-Key", "X-Goog-Api-Key", "Ocp-Apim-Subscription-Key"} {
		if v, ok := first(h, name); ok && v != "" {
			return v, true
		}
	}
	if r.URL != nil && r.URL.RawQuery != "" && generates(r.URL.Path) {
		if v := r.URL.Query().Get("key"); v != "" { // Google's SDKs
			return v, true
		}
	}
	return "", false
}

// generates reports whether a path is one of Google's for calls of models.
func generates(path string) bool {
	return strings.HasSuffix(path, ":generateContent") || strings.HasSuffix(path, ":streamGenerateContent") || strings.HasSuffix(path, ":countTokens")
}

func first(h http.Header, canonical string) (string, bool) {
	if v := h[canonical]; len(v) > 0 {
		return v[0], true
	}
	return "", false
}

// stripScheme takes the key out of an Authorization value. Any form it does not
// know has no key: a bare "Authorization: sk-..." is malformed, as in LiteLLM.
func stripScheme(v string) (key string, ok bool) {
	for _, scheme := range [...]string{"Bearer ", "bearer ", "Basic "} {
		if rest, ok := strings.CutPrefix(v, scheme); ok {
			return strings.TrimSpace(rest), true
		}
	}
	if strings.HasPrefix(v, "AWS4-HMAC-SHA256") {
		_, rest, ok := strings.Cut(v, "Credential=")
		if !ok {
			return "", false
		}
		rest = strings.TrimPrefix(rest, "Bearer ")
		key, _, _ := strings.Cut(rest, "/")
		return strings.TrimSpace(key), true
	}
	return "", false
}
