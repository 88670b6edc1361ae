package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/pkg/proxy/auth"
)

func TestPagesOfOtherOriginsMayCall(t *testing.T) {
	for _, tt := range []struct {
		name, origins, credentials, origin string
		allow, withCredentials             string
		status                             int
	}{
		{name: "every origin by default", origin: "https://app.example", allow: "*", status: 200},
		{name: "credentials asked for", credentials: "true", origin: "https://app.example", allow: "https://app.example", withCredentials: "true", status: 200},
		{name: "a named origin", origins: "https://app.example, https://b.example", origin: "https://b.example", allow: "https://b.example", withCredentials: "true", status: 200},
		{name: "another origin", origins: "https://app.example", origin: "https://evil.example", status: 400},
		{name: "a star among names", origins: "https://app.example,*", origin: "https://evil.example", allow: "*", status: 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := map[string]string{"LITELLM_CORS_ORIGINS": tt.origins, "LITELLM_CORS_ALLOW_CREDENTIALS": tt.credentials}
			c := Config{Auth: auth.Options{}}
			if remarks := ApplyEnvironment(&c, func(k string) string { return env[k] }); len(remarks) > 0 {
				t.Fatal(remarks)
			}
			_, url := gateway(t, c)
			send := func(method string, header ...string) *http.Response {
				req, err := http.NewRequest(method, url+"/v1/chat/completions", strings.NewReader(""))
				if err != nil {
					t.Fatal(err)
				}
				for i := 0; i < len(header); i += 2 {
					req.Header.Set(header[i], header[i+1])
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				return resp
			}
			ask := send("OPTIONS", "Origin", tt.origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization")
			if ask.StatusCode != tt.status || ask.Header.Get("Access-Control-Allow-Origin") != tt.allow || ask.Header.Get("Access-Control-Allow-Credentials") != tt.withCredentials {
				t.Errorf("preflight: %d %v", ask.StatusCode, ask.Header)
			}
			if got := ask.Header.Get("Access-Control-Allow-Headers"); (got == "authorization") != (tt.allow != "") {
				t.Errorf("allowed headers %q", got)
			}
			// A refusal must be readable too.
			refused := send("POST", "Origin", tt.origin)
			if refused.Header.Get("Access-Control-Allow-Origin") != tt.allow || (refused.Header.Get("Access-Control-Expose-Headers") != "") != (tt.allow != "") {
				t.Errorf("answer: %d %v", refused.StatusCode, refused.Header)
			}
			if plain := send("POST"); plain.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Error("an answer to no page has headers for pages")
			}
		})
	}
}
