package difftest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// entraAnswer is a world with Entra ID, its metadata and an Azure OpenAI
// resource in it.
func entraAnswer(w http.ResponseWriter, r *sent) {
	u, _ := url.Parse(r.url)
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.HasSuffix(u.Path, "/common/discovery/instance"):
		fmt.Fprint(w, `{"tenant_discovery_endpoint":"https://login.microsoftonline.com/t/v2.0/.well-known/openid-configuration","api-version":"1.1","metadata":[]}`)
	case strings.HasSuffix(u.Path, "/.well-known/openid-configuration"):
		base := u.Scheme + "://" + u.Host + strings.TrimSuffix(u.Path, "/v2.0/.well-known/openid-configuration")
		fmt.Fprintf(w, `{"token_endpoint":"%s/oauth2/v2.0/token","authorization_endpoint":"%s/oauth2/v2.0/authorize","issuer":"%s/v2.0","device_authorization_endpoint":"%s/oauth2/v2.0/devicecode"}`, base, base, base, base)
	case strings.Contains(strings.ToLower(u.Path), "/userrealm/"):
		fmt.Fprint(w, `{"ver":"1.0","account_type":"Managed","domain_name":"x","cloud_instance_name":"microsoftonline.com"}`)
	case strings.HasSuffix(u.Path, "/oauth2/v2.0/token"):
		form, _ := url.ParseQuery(string(r.body))
		part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
		id := part(`{"alg":"none"}`) + "." + part(fmt.Sprintf(`{"aud":%q,"iss":"https://login.microsoftonline.com/tid/v2.0","sub":"s","oid":"o","tid":"tid","preferred_username":"u@x.org","ver":"2.0","exp":%d,"iat":%d}`, form.Get("client_id"), time.Now().Add(time.Hour).Unix(), time.Now().Unix())) + "."
		fmt.Fprintf(w, `{"token_type":"Bearer","expires_in":3599,"ext_expires_in":3599,"access_token":"tok.%s.%s.%s","id_token":%q,"client_info":%q}`,
			form.Get("client_id"), form.Get("grant_type"), strings.Fields(form.Get("scope"))[0], id, part(`{"uid":"o","utid":"tid"}`))
	case strings.HasSuffix(u.Path, "/oidc/v1/token"):
		fmt.Fprint(w, `{"token_type":"Bearer","expires_in":3600,"access_token":"tok.workspace","scope":"all-apis"}`)
	case strings.Contains(u.Path, "/metadata/identity/"):
		fmt.Fprintf(w, `{"access_token":"tok.machine.%s.%s","expires_in":"86399","expires_on":"%d","resource":"x","token_type":"Bearer"}`, u.Query().Get("client_id"), u.Query().Get("resource"), time.Now().Add(24*time.Hour).Unix())
	case u.Host == "gh.example":
		fmt.Fprint(w, `{"value":"word-of-github"}`)
	case u.Host == "metadata.google.internal":
		fmt.Fprint(w, `word-of-google`)
	default:
		providerAnswer(w, r)
	}
}

// entraForms are what a token endpoint is asked, without what only the library
// within LiteLLM adds.
func entraForms(list []*sent) (forms []string) {
	for _, s := range list {
		if !strings.HasSuffix(s.url, "/oauth2/v2.0/token") && !strings.HasSuffix(s.url, "/oidc/v1/token") {
			continue
		}
		form, _ := url.ParseQuery(string(s.body))
		form.Del("client_info")
		form.Set("scope", strings.Fields(form.Get("scope"))[0])
		forms = append(forms, s.url+" "+form.Encode()+" "+s.header.Get("Authorization"))
	}
	return forms
}

// TestEntraTokensAreFetchedAlike has both proxies call Azure deployments in
// every way to log in, and compares what the authority is asked and what the
// resource is called with.
func TestEntraTokensAreFetchedAlike(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte("word-of-a-file"), 0o600); err != nil {
		t.Fatal(err)
	}
	common := []string{"MY_WORD=word", "MY_FILE=" + file, "ACTIONS_ID_TOKEN_REQUEST_URL=https://gh.example/x?a=1", "ACTIONS_ID_TOKEN_REQUEST_TOKEN=ght", "CIRCLE_OIDC_TOKEN=word-1", "CIRCLE_OIDC_TOKEN_V2=word-2", "LITELLM_OIDC_ALLOWED_CREDENTIAL_DIRS=" + dir}
	for _, r := range []struct {
		name, settings string
		env            []string
		entries        []string
		// known are the entries for which docs/compatibility.md explains a
		// difference.
		known []string
	}{
		{"entries", "", common, []string{
			"secret: tenant_id: t1, client_id: c1, client_secret: s1",
			"secret and token: tenant_id: t1, client_id: c1, client_secret: s1, azure_ad_token: text",
			"secret and key: tenant_id: t1, client_id: c1, client_secret: s1, api_key: k",
			"key and token: api_key: k, azure_ad_token: text",
			"scope: tenant_id: t1, client_id: c2, client_secret: s1, azure_scope: 'api://x/.default'",
			"password: client_id: c3, azure_username: u@x.org, azure_password: p",
			"password of a tenant: tenant_id: t9, client_id: c4, azure_username: u@x.org, azure_password: p",
			"password and key: client_id: c30, azure_username: u@x.org, azure_password: p, api_key: k",
			"env: tenant_id: t1, client_id: c5, azure_ad_token: oidc/env/MY_WORD",
			"env_path: tenant_id: t1, client_id: c6, azure_ad_token: oidc/env_path/MY_FILE",
			"file: tenant_id: t1, client_id: c7, azure_ad_token: 'oidc/file/" + file + "'",
			"github: tenant_id: t1, client_id: c8, azure_ad_token: 'oidc/github/api://AzureADTokenExchange'",
			"circleci: tenant_id: t1, client_id: c10, azure_ad_token: oidc/circleci/x",
			"circleci_v2: tenant_id: t1, client_id: c11, azure_ad_token: oidc/circleci_v2/x",
			"env and key: tenant_id: t1, client_id: c12, api_key: k, azure_ad_token: oidc/env/MY_WORD",
			"env and secret: tenant_id: t1, client_id: c13, client_secret: s, azure_ad_token: oidc/env/MY_WORD",
			"v1: api_version: v1, tenant_id: t1, client_id: c1, client_secret: s1",
			"azure/*: tenant_id: t1, client_id: c1, client_secret: s1",
			"header: tenant_id: t1, client_id: c1, client_secret: s1, extra_headers: {Authorization: Bearer mine}",
		}, []string{"password of a tenant", "password and key"}},
		{"variables", "", append([]string{"DATABRICKS_CLIENT_ID=d1", "DATABRICKS_CLIENT_SECRET=d2", "AZURE_TENANT_ID=t2", "AZURE_CLIENT_ID=c20", "AZURE_CLIENT_SECRET=s2", "AZURE_SCOPE=api://y/.default", "AZURE_AUTHORITY_HOST=https://login.microsoftonline.us"}, common...), []string{
			"databricks: timeout: 60", "databricks with a key: api_key: k",
			"all of it: timeout: 60", "another secret: client_secret: s3", "a word: azure_ad_token: oidc/env/MY_WORD", "a key: api_key: k",
		}, nil},
		{"workload", ", enable_azure_ad_token_refresh: true", []string{"AZURE_TENANT_ID=t2", "AZURE_CLIENT_ID=c20", "AZURE_FEDERATED_TOKEN_FILE=" + file}, []string{
			"refreshed: timeout: 60", "a key: api_key: k", "azure: azure_ad_token: 'oidc/azure/api://A'",
		}, nil},
	} {
		t.Run(r.name, func(t *testing.T) {
			var b strings.Builder
			b.WriteString("model_list:\n")
			var names []string
			for _, e := range r.entries {
				name, params, _ := strings.Cut(e, ": ")
				names = append(names, name)
				model, base := "azure/dep", "https://r1.openai.azure.com"
				switch {
				case name == "azure/*":
					model = name
				case strings.HasPrefix(name, "databricks"):
					model, base = "databricks/dep", "https://w.databricks.example/serving-endpoints"
				}
				fmt.Fprintf(&b, "- {model_name: %q, litellm_params: {model: %q, api_base: %q, %s}}\n", name, model, base, params)
			}
			fmt.Fprintf(&b, "general_settings: {master_key: %s}\nrouter_settings: {num_retries: 0, disable_cooldowns: true}\nlitellm_settings: {num_retries: 0%s}\n", master, r.settings)
			theirs, ours := beside(t, b.String(), r.env, entraAnswer)
			our := entraForms(ours.world.before)
			for _, name := range names {
				body := fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}]}`, strings.Replace(name, "*", "another", 1))
				lr, err := answer(theirs.client, theirs.base, ask{method: http.MethodPost, path: "/v1/chat/completions", body: body})
				if err != nil {
					t.Fatal(err)
				}
				l := theirs.world.take()
				or, err := answer(ours.client, ours.base, ask{method: http.MethodPost, path: "/v1/chat/completions", body: body})
				if err != nil {
					t.Fatal(err)
				}
				o := ours.world.take()
				our = append(our, entraForms(o)...)
				var last, own *sent
				if len(l) > 0 {
					last = l[len(l)-1]
				}
				for _, s := range o {
					if strings.Contains(s.url, "r1.openai") || strings.Contains(s.url, "/serving-endpoints") {
						own = s
					}
				}
				d := calls(last, own, lr, or)
				for _, form := range entraForms(l) {
					if !slices.Contains(our, form) {
						d = append(d, fmt.Sprintf("asked %s, ours %v", form, our))
					}
				}
				d = slices.DeleteFunc(d, func(s string) bool { return s == "member stream false, ours none" })
				if known := slices.Contains(r.known, name); known != (len(d) > 0) {
					t.Errorf("%s: %s", name, strings.Join(d, "\n"))
				}
			}
		})
	}
}
