package entra

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// longestAssertion bounds what is read of a file or an answer.
const longestAssertion = 64 << 10

// metadataHost is where Google's metadata is asked for.
const googleIdentity = "http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity"

// assertion gets the word of another issuer.
func (s *Sources) assertion(ctx context.Context, a *call.Assertion) (string, error) {
	switch a.From {
	case call.AssertionValue:
		return usable(a.Value.Reveal(), "the variable of azure_ad_token")
	case call.AssertionFile:
		path, err := InDirs(a.Path, a.Dirs)
		if err != nil {
			return "", &problem{text: err.Error(), final: true}
		}
		f, err := os.Open(path)
		if err != nil {
			return "", &problem{text: "the federated credential cannot be read: " + err.Error()}
		}
		defer f.Close()
		text, err := io.ReadAll(io.LimitReader(f, longestAssertion))
		if err != nil {
			return "", &problem{text: "the federated credential cannot be read: " + err.Error()}
		}
		return usable(string(text), a.Path)
	case call.AssertionGoogle:
		base := a.URL
		if base == "" {
			base = googleIdentity
		}
		return s.foreign(ctx, s.direct, base+"?audience="+url.QueryEscape(a.Audience), func(h http.Header) { h.Set("Metadata-Flavor", "Google") }, func(body []byte) string { return string(body) })
	case call.AssertionGitHub:
		u, err := url.Parse(a.URL)
		if err != nil {
			return "", &problem{text: "ACTIONS_ID_TOKEN_REQUEST_URL is not a URL", final: true}
		}
		q := u.Query()
		q.Set("audience", a.Audience)
		u.RawQuery = q.Encode()
		header := func(h http.Header) {
			h.Set("Authorization", "Bearer "+a.Value.Reveal())
			h.Set("Accept", "application/json; api-version=2.0")
		}
		return s.foreign(ctx, s.client, u.String(), header, func(body []byte) string {
			var v struct {
				Value string `json:"value"`
			}
			_ = json.Unmarshal(body, &v)
			return v.Value
		})
	case call.AssertionLogin:
		g, err := s.ask(ctx, a.Login)
		if err != nil {
			return "", err
		}
		return g.token, nil
	}
	return "", &problem{text: "the source of the federated credential is not known", final: true}
}

// foreign asks another issuer.
func (s *Sources) foreign(ctx context.Context, client *http.Client, address string, header func(http.Header), read func([]byte) string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", &problem{text: "the address of the federated credential cannot be used", final: true}
	}
	header(req.Header)
	where := req.URL.Scheme + "://" + req.URL.Host
	resp, err := client.Do(req)
	if err != nil {
		return "", &problem{text: "the federated credential cannot be had: " + where + ": " + plain(err)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, longestAssertion))
	switch {
	case err != nil:
		return "", &problem{text: "the federated credential cannot be had: the answer of " + where + " breaks off"}
	case resp.StatusCode != http.StatusOK:
		return "", &problem{text: fmt.Sprintf("the federated credential cannot be had: %s answered %d", where, resp.StatusCode), final: final(resp.StatusCode), after: retryAfter(resp.Header)}
	}
	return usable(read(body), where)
}

// usable refuses what cannot be a token.
func usable(text, where string) (string, error) {
	if text = strings.TrimSpace(text); text == "" {
		return "", &problem{text: "the federated credential of " + where + " is empty"}
	}
	return text, nil
}

// InDirs returns where a path leads when that is in one of the directories; no
// directories allow all.
func InDirs(path string, dirs []string) (string, error) {
	if len(dirs) == 0 {
		return path, nil
	}
	if !filepath.IsAbs(path) {
		return "", fmt.Errorf("oidc/file wants an absolute path, as in oidc/file//var/run/secrets/token")
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		real = filepath.Clean(path) // it may come later; what it leads to is asked again then
	}
	for _, dir := range dirs {
		if d, err := filepath.EvalSymlinks(dir); err == nil {
			dir = d
		}
		if rel, err := filepath.Rel(dir, real); err == nil && filepath.IsLocal(rel) {
			return real, nil
		}
	}
	return "", fmt.Errorf("oidc/file: %s is in none of %s: put it there, or set LITELLM_OIDC_ALLOWED_CREDENTIAL_DIRS", path, strings.Join(dirs, ", "))
}
