package provider

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/call/wire"
)

func TestWhichTokenAnAzureDeploymentIsCalledWith(t *testing.T) {
	const base = "model: azure/dep, api_base: 'https://r.openai.azure.com'"
	// Logins are written with their secrets shown.
	secret := func(tenant, client, s string) call.Login {
		return call.Login{Way: call.LoginSecret, Authority: entraAuthority, Tenant: tenant, Client: client, Scope: entraScope, Secret: redact.New(s)}
	}
	assertion := func(a call.Assertion) call.Login {
		return call.Login{Way: call.LoginAssertion, Authority: entraAuthority, Tenant: "t", Client: "c", Scope: entraScope, Assertion: a}
	}
	managed := func(client string) call.Login {
		return call.Login{Way: call.LoginManaged, Client: client, Scope: entraScope}
	}
	type env = map[string]string
	app := env{"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c", "AZURE_CLIENT_SECRET": "s"}
	with := func(a env, more ...string) env {
		e := env{}
		for k, v := range a {
			e[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			e[more[i]] = more[i+1]
		}
		return e
	}
	identity := env{"AZURE_TENANT_ID": "t", "AZURE_CLIENT_ID": "c"}
	file := with(identity, "AZURE_FEDERATED_TOKEN_FILE", "/f")
	other := secret("t", "c", "s")
	other.Authority, other.Scope = "https://login.microsoftonline.us", "api://x/.default"
	user := call.Login{Way: call.LoginPassword, Authority: entraAuthority, Tenant: "organizations", Client: "c", Scope: entraScope, User: "u", Secret: redact.New("p")}
	userOfTenant := user
	userOfTenant.Tenant = "t"
	certificate := call.Login{Way: call.LoginCertificate, Authority: entraAuthority, Tenant: "t", Client: "c", Scope: entraScope, Path: "/p", Secret: redact.New("pw")}
	aud := managed("")
	aud.Scope = "api://A"
	app443 := managed("c")
	app443.Endpoint, app443.Secret = "http://localhost:1/msi", redact.New("head")
	pod := managed("c")
	pod.Host = "http://imds"

	for _, tt := range []struct {
		name, yaml string
		env        env
		refresh    bool
		want       *call.Login
		header     string // of a token or a key that stands there
		says       string
	}{
		{"an application", "tenant_id: t, client_id: c, client_secret: s", nil, false, new(secret("t", "c", "s")), "", ""},
		{"an application of the variables", "", app, false, new(secret("t", "c", "s")), "", ""},
		{"an application of both", "client_secret: own", app, false, new(secret("t", "c", "own")), "", ""},
		{"another cloud and scope", "azure_scope: 'api://x/.default'", with(app, "AZURE_AUTHORITY_HOST", "login.microsoftonline.us/"), false, &other, "", ""},
		{"another scope by variable", "", with(app, "AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us", "AZURE_SCOPE", "api://x/.default"), false, &other, "", ""},
		{"a key comes before an application", "api_key: k, tenant_id: t, client_id: c, client_secret: s", nil, false, nil, "Api-Key: k", ""},
		{"a key comes before the variables", "api_key: k", with(app, "AZURE_AD_TOKEN", "v"), false, nil, "Api-Key: k", ""},
		{"a token comes before a key", "api_key: k, azure_ad_token: tok", nil, false, nil, "Authorization: Bearer tok", ""},
		{"a token comes before an application", "azure_ad_token: tok", app, false, nil, "Authorization: Bearer tok", ""},
		{"an application comes before the token of the variables", "", with(app, "AZURE_AD_TOKEN", "v"), false, new(secret("t", "c", "s")), "", ""},
		{"the token of the variables", "", env{"AZURE_AD_TOKEN": "v"}, false, nil, "Authorization: Bearer v", ""},
		{"the operator's own header", "tenant_id: t, client_id: c, client_secret: s, extra_headers: {authorization: 'Bearer mine'}", nil, false, nil, "Authorization: Bearer mine", ""},
		{"a user", "client_id: c, azure_username: u, azure_password: p", nil, false, &user, "", ""},
		{"a user of a tenant", "tenant_id: t, client_id: c, azure_username: u, azure_password: p", nil, false, &userOfTenant, "", ""},
		{"a user of the variables", "", env{"AZURE_CLIENT_ID": "c", "AZURE_USERNAME": "u", "AZURE_PASSWORD": "p", "AZURE_TENANT_ID": "t"}, false, &user, "", ""},
		{"half an application", "tenant_id: t", nil, false, nil, "", "no client_id (or AZURE_CLIENT_ID) and no client_secret"},
		{"half a user", "client_id: c, azure_username: u", nil, false, nil, "", "no azure_password (or AZURE_PASSWORD)"},
		{"an authority without TLS", "", with(app, "AZURE_AUTHORITY_HOST", "http://login.example"), false, nil, "", "AZURE_AUTHORITY_HOST must be an https:// address"},
		{"neither", "", nil, false, nil, "", ""},

		{"OIDC without an application", "azure_ad_token: oidc/env/X", nil, false, nil, "", "AZURE_CLIENT_ID and AZURE_TENANT_ID must be set"},
		{"OIDC of a variable", "azure_ad_token: oidc/env/X", with(identity, "X", "word"), false, new(assertion(call.Assertion{From: call.AssertionValue, Value: redact.New("word")})), "", ""},
		{"OIDC comes before all else", "azure_ad_token: oidc/env/X, api_key: k, client_secret: s", with(identity, "X", "word"), false, new(assertion(call.Assertion{From: call.AssertionValue, Value: redact.New("word")})), "", ""},
		{"OIDC of a variable that is not set", "azure_ad_token: oidc/env/X", identity, false, nil, "", "wants the variable X, which is not set"},
		{"OIDC of a file that a variable names", "azure_ad_token: oidc/env_path/X", with(identity, "X", "/f"), false, new(assertion(call.Assertion{From: call.AssertionFile, Path: "/f"})), "", ""},
		{"OIDC of a file", "azure_ad_token: oidc/file//run/secrets/f", identity, false, new(assertion(call.Assertion{From: call.AssertionFile, Path: "/run/secrets/f", Dirs: []string{"/var/run/secrets", "/run/secrets"}})), "", ""},
		{"OIDC of a file elsewhere", "azure_ad_token: oidc/file//f", with(identity, "LITELLM_OIDC_ALLOWED_CREDENTIAL_DIRS", "/a, /b"), false, new(assertion(call.Assertion{From: call.AssertionFile, Path: "/f", Dirs: []string{"/a", "/b"}})), "", ""},
		{"OIDC of CircleCI", "azure_ad_token: oidc/circleci/", with(identity, "CIRCLE_OIDC_TOKEN", "word"), false, new(assertion(call.Assertion{From: call.AssertionValue, Value: redact.New("word")})), "", ""},
		{"OIDC of CircleCI, the second", "azure_ad_token: oidc/circleci_v2/x", with(identity, "CIRCLE_OIDC_TOKEN_V2", "word"), false, new(assertion(call.Assertion{From: call.AssertionValue, Value: redact.New("word")})), "", ""},
		{"OIDC of GitHub", "azure_ad_token: 'oidc/github/api://A'", with(identity, "ACTIONS_ID_TOKEN_REQUEST_URL", "https://gh", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "word"), false, new(assertion(call.Assertion{From: call.AssertionGitHub, Value: redact.New("word"), URL: "https://gh", Audience: "api://A"})), "", ""},
		{"OIDC of GitHub elsewhere", "azure_ad_token: oidc/github/a", identity, false, nil, "", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"},
		{"OIDC of Google", "azure_ad_token: 'oidc/google/api://A'", identity, false, new(assertion(call.Assertion{From: call.AssertionGoogle, Audience: "api://A"})), "", ""},
		{"OIDC of Azure, with a file", "azure_ad_token: 'oidc/azure/api://A'", file, false, new(assertion(call.Assertion{From: call.AssertionFile, Path: "/f"})), "", ""},
		{"OIDC of Azure, of the machine", "azure_ad_token: 'oidc/azure/api://A', tenant_id: t, client_id: c", nil, false, new(assertion(call.Assertion{From: call.AssertionLogin, Audience: "api://A", Login: &aud})), "", ""},
		{"OIDC of nobody", "azure_ad_token: oidc/nobody/x", identity, false, nil, "", `"nobody", which is none of google`},
		{"OIDC without an audience", "azure_ad_token: oidc/google", identity, false, nil, "", "the part after oidc/google is missing"},

		{"refresh: the machine", "", nil, true, new(managed("")), "", ""},
		{"refresh: an identity given to the machine", "", env{"AZURE_CLIENT_ID": "c"}, true, new(managed("c")), "", ""},
		{"refresh: an app service", "", env{"AZURE_CLIENT_ID": "c", "IDENTITY_ENDPOINT": "http://localhost:1/msi", "IDENTITY_HEADER": "head"}, true, &app443, "", ""},
		{"refresh: another metadata service", "", env{"AZURE_CLIENT_ID": "c", "AZURE_POD_IDENTITY_AUTHORITY_HOST": "http://imds"}, true, &pod, "", ""},
		{"refresh: Azure Arc", "", env{"IDENTITY_ENDPOINT": "http://localhost:1", "IMDS_ENDPOINT": "x"}, true, nil, "", "Azure Arc"},
		{"refresh: a pod with a workload identity", "", file, true, new(assertion(call.Assertion{From: call.AssertionFile, Path: "/f"})), "", ""},
		{"refresh: an application", "", app, true, new(secret("t", "c", "s")), "", ""},
		{"refresh: a key comes first", "api_key: k", file, true, nil, "Api-Key: k", ""},
		{"refresh: the certificate that is asked for", "", with(identity, "AZURE_CREDENTIAL", "CertificateCredential", "AZURE_CERTIFICATE_PATH", "/p", "AZURE_CERTIFICATE_PASSWORD", "pw"), true, &certificate, "", ""},
		{"refresh: the certificate of the environment", "", with(identity, "AZURE_FEDERATED_TOKEN_FILE", "/f", "AZURE_CLIENT_CERTIFICATE_PATH", "/p", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "pw"), true, &certificate, "", ""},
		{"refresh: a certificate that nobody names", "", with(identity, "AZURE_CREDENTIAL", "CertificateCredential"), true, nil, "", "CertificateCredential wants the variable AZURE_CERTIFICATE_PATH"},
		{"refresh: the workload that is asked for", "", with(file, "AZURE_CREDENTIAL", "WorkloadIdentityCredential"), true, new(assertion(call.Assertion{From: call.AssertionFile, Path: "/f"})), "", ""},
		{"refresh: the machine that is asked for", "", with(file, "AZURE_CREDENTIAL", "ManagedIdentityCredential"), true, new(managed("c")), "", ""},
		{"refresh: whatever the deployment has", "", with(file, "AZURE_CREDENTIAL", "DeploymentIdentityCredential"), true, &call.Login{
			Way: call.LoginChain, Authority: entraAuthority, Tenant: "t", Client: "c", Scope: entraScope,
			Chain: []call.Login{assertion(call.Assertion{From: call.AssertionFile, Path: "/f"}), managed("c"), managed("")},
		}, "", ""},
		{"refresh: a login of developers", "", env{"AZURE_CREDENTIAL": "AzureCliCredential"}, true, nil, "", `AZURE_CREDENTIAL is "AzureCliCredential"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := base
			if tt.yaml != "" {
				text += ", " + tt.yaml
			}
			e := entryOf(t, "{"+text+"}", tt.env)
			e.Settings.ADRefresh = tt.refresh
			var d call.Deployment
			err := e.Deploy(&d, wire.Chat)
			switch {
			case tt.says != "":
				if err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Fatalf("%v, want %q", err, tt.says)
				}
				return
			case err != nil:
				t.Fatal(err)
			}
			var got *call.Login
			if d.Token != nil {
				got = &d.Token.Login
			}
			shown := cmp.Comparer(func(a, b redact.Secret) bool { return a.Reveal() == b.Reveal() })
			if diff := cmp.Diff(tt.want, got, shown, cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
			target := d.Lane.(wire.Lane).Target()
			if target.Token != d.Token {
				t.Error("the lane has another token than the deployment")
			}
			name, value, _ := strings.Cut(tt.header, ": ")
			for _, h := range []string{"Api-Key", "Authorization"} {
				want := ""
				if h == name {
					want = value
				}
				if got := target.Header.Get(h); got != want {
					t.Errorf("%s: %q, want %q", h, got, want)
				}
			}
			if tt.want != nil {
				for _, s := range tt.want.Secrets() {
					found := false
					for _, known := range d.Secrets {
						found = found || known.Reveal() == s.Reveal()
					}
					if !found {
						t.Error("a secret of the login is not masked")
					}
				}
			}
		})
	}
	t.Run("other providers do not log in", func(t *testing.T) {
		e := entryOf(t, "{model: openai/x, tenant_id: t, client_id: c, client_secret: s}", app)
		var d call.Deployment
		if err := e.Deploy(&d, wire.Chat); err != nil || d.Token != nil {
			t.Errorf("%v, %v", d.Token, err)
		}
	})
	t.Run("what clients bring is sent without the operator's login", func(t *testing.T) {
		e := entryOf(t, "{"+base+"}", app)
		var d call.Deployment
		if err := e.Deploy(&d, wire.Chat); err != nil {
			t.Fatal(err)
		}
		theirs, err := d.Lanes.(wire.Borrower).Borrow(&d, redact.New("theirs"), "")
		if err != nil {
			t.Fatal(err)
		}
		target := theirs.Lane.(wire.Lane).Target()
		if theirs.Token != nil || target.Token != nil || target.Header.Get("Api-Key") != "theirs" {
			t.Errorf("token %v, headers %v", target.Token, target.Header)
		}
	})
}

func TestWorkspacesOfDatabricksAreLoggedInTo(t *testing.T) {
	variables := map[string]string{"DATABRICKS_CLIENT_ID": "c", "DATABRICKS_CLIENT_SECRET": "planted"}
	for _, tt := range []struct {
		name, yaml string
		env        map[string]string
		endpoint   string
		says       string
	}{
		{"an application", "api_base: 'https://w.databricks.com/serving-endpoints'", variables, "https://w.databricks.com/oidc/v1/token", ""},
		{"a key comes first", "api_base: 'https://w.databricks.com/serving-endpoints', api_key: k", variables, "", ""},
		{"half an application", "api_base: 'https://w.databricks.com'", map[string]string{"DATABRICKS_CLIENT_ID": "c"}, "", ""},
		{"an address without TLS", "api_base: 'http://w.databricks.com'", variables, "", "must be an https:// address"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := entryOf(t, "{model: databricks/m, "+tt.yaml+"}", tt.env)
			var d call.Deployment
			err := e.Deploy(&d, wire.Chat)
			switch {
			case tt.says != "":
				if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "planted") {
					t.Errorf("%v", err)
				}
			case err != nil:
				t.Error(err)
			case (tt.endpoint == "") != (d.Token == nil):
				t.Errorf("token %v", d.Token)
			case d.Token != nil:
				if l := d.Token.Login; l.Way != call.LoginWorkspace || l.Endpoint != tt.endpoint || l.Client != "c" || l.Scope != "all-apis" || l.Secret.Reveal() != "planted" {
					t.Errorf("%+v", l)
				}
			}
		})
	}
}

func entryOf(t testing.TB, yaml string, env map[string]string) *Entry {
	t.Helper()
	e := read(t, yaml)
	e.Getenv = func(name string) string { return env[name] }
	return e
}
