package api

import (
	"net/http"
	"testing"

	"github.com/llmgw/llmgw/internal/redact"
)

// openaiHeaders are those of an answer of OpenAI's, by name and length.
func openaiHeaders() http.Header {
	h := http.Header{}
	for name, value := range map[string]string{
		"Date": "Sat, 28 Nov 2026 10:00:00 GMT", "Content-Type": "application/json", "Content-Length": "842", "Server": "cloudflare",
		"Access-Control-Expose-Headers": "X-Request-ID", "Openai-Organization": "user-abcdefghijklmnop", "Openai-Processing-Ms": "412", "Openai-Project": "proj_0123456789abcdefghijklmn",
		"Openai-Version": "2020-10-01", "X-Envoy-Upstream-Service-Time": "430", "X-Ratelimit-Limit-Requests": "10000", "X-Ratelimit-Limit-Tokens": "2000000",
		"X-Ratelimit-Remaining-Requests": "9999", "X-Ratelimit-Remaining-Tokens": "1999982", "X-Ratelimit-Reset-Requests": "6ms", "X-Ratelimit-Reset-Tokens": "0s",
		"X-Request-Id": "req_0123456789abcdef0123456789abcdef", "Cf-Cache-Status": "DYNAMIC", "X-Content-Type-Options": "nosniff", "Cf-Ray": "8e9f0a1b2c3d4e5f-FRA",
		"Alt-Svc": `h3=":443"; ma=86400`, "Strict-Transport-Security": "max-age=31536000; includeSubDomains; preload",
		"Set-Cookie": "__cf_bm=QmVuY2htYXJrQmVuY2htYXJrQmVuY2htYXJrQmVuY2htYXJr-1764324000-1.0.1.1-QmVuY2htYXJrQmVuY2htYXJrQmVuY2htYXJrQmVuY2htYXJrQmVuY2htYXJr; path=/; expires=Sat, 28-Nov-26 10:30:00 GMT; domain=.api.openai.com; HttpOnly; Secure; SameSite=None",
	} {
		h[name] = []string{value}
	}
	return h
}

// BenchmarkUpstreamHeaders is what an answer's headers cost, and what it adds to
// look for the provider's key in them.
func BenchmarkUpstreamHeaders(b *testing.B) {
	key := redact.New("sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	from := openaiHeaders()
	for _, bb := range []struct {
		name    string
		secrets []redact.Secret
	}{{"no key", nil}, {"a key", []redact.Secret{key}}, {"a short key", []redact.Secret{redact.New("sk-12345678")}}, {"a key and two headers", []redact.Secret{key, redact.New("Basic QmVuY2htYXJrQmVuY2htYXJr"), redact.New("x-token-value-0123")}}} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			h := make(http.Header, 64)
			upstreamHeaders(h, from, bb.secrets)
			for b.Loop() {
				upstreamHeaders(h, from, bb.secrets)
			}
		})
	}
}

// BenchmarkShows is the search alone, over all headers of an answer.
func BenchmarkShows(b *testing.B) {
	secrets := []redact.Secret{redact.New("sk-proj-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")}
	var values [][]string
	for name, v := range openaiHeaders() {
		if passed(name).prefixed != "" {
			values = append(values, v)
		}
	}
	for b.Loop() {
		for _, v := range values {
			if shows(v, secrets) {
				b.Fatal(v)
			}
		}
	}
}
