package proxy

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/finding"
)

// TestCertificatesOfUpstreamsAreCheckedAsConfigured runs the gateway before an
// upstream whose authority only a bundle knows.
func TestCertificatesOfUpstreamsAreCheckedAsConfigured(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, okAnswer)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name          string
		settings, own string
		env           []string
		status        int
		finding       string
		severity      finding.Severity
	}{
		{name: "by the system's authorities", status: 500},
		{name: "a bundle for all", settings: "ssl_verify: " + bundle, status: 200},
		{name: "a bundle by variable", env: []string{"SSL_CERT_FILE=" + bundle}, status: 200},
		{name: "ssl_verify by variable beats the file", settings: "ssl_verify: false", env: []string{"SSL_VERIFY=true"}, status: 500},
		{name: "a bundle by SSL_VERIFY", env: []string{"SSL_VERIFY=" + bundle}, status: 200},
		{name: "no checks", settings: "ssl_verify: false", status: 200, finding: "not checked", severity: finding.Warning},
		{name: "no checks for one deployment", own: "ssl_verify: false", status: 200, finding: "like that of fast", severity: finding.Warning},
		{name: "a bundle for one deployment", own: "ssl_verify: " + bundle, status: 200},
		{name: "a deployment that checks where others do not", settings: "ssl_verify: false", own: "ssl_verify: true", status: 500, finding: "not checked", severity: finding.Warning},
		{name: "a bundle that is not there", settings: "ssl_verify: /no/such/ca.pem", status: 500, finding: "/no/such/ca.pem", severity: finding.Error},
		{name: "a deployment's word of the wrong kind", own: "ssl_verify: [1]", status: 500, finding: "must be true, false or the path", severity: finding.Warning},
	} {
		t.Run(tt.name, func(t *testing.T) {
			own := tt.own
			if own != "" {
				own = ", " + own
			}
			c, findings := load(t, fmt.Sprintf(`
model_list:
- model_name: fast
  litellm_params: {model: openai/gpt-4o-mini, api_key: k, api_base: %s/v1%s}
litellm_settings: {num_retries: 0, %s}
`, s.URL, own, tt.settings), tt.env...)
			found := tt.finding == ""
			for _, f := range findings {
				found = found || f.Severity == tt.severity && strings.Contains(f.Message, tt.finding)
			}
			if !found {
				t.Errorf("no finding says %q: %v", tt.finding, findings)
			}
			c.Router.InitialDelay = time.Millisecond
			_, url := gateway(t, c)
			if resp, body := post(t, url+"/v1/chat/completions", `{"model":"fast","messages":[]}`); resp.StatusCode != tt.status {
				t.Errorf("status %d, want %d: %s", resp.StatusCode, tt.status, body)
			}
		})
	}
}
