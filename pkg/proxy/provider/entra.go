package provider

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// EntraLogin is what an entry says about tokens of Entra ID. What it does not
// say the variables do.
type EntraLogin struct {
	Tenant, Client, Scope, User string
	Secret, Password            redact.Secret
}

const (
	entraAuthority = "https://login.microsoftonline.com"
	entraScope     = "https://cognitiveservices.azure.com/.default"
	// entraTenant is where users log in whose tenant nobody names.
	entraTenant = "organizations"
)

// azureFamily are the providers that take tokens of Entra ID.
var azureFamily = []string{"azure", "azure_text", "azure_ai"}

// entra settles whether a deployment is called with a token of Entra ID in
// place of a key: one that stands there, or one that is fetched.
func (e *Entry) entra(name string, d *call.Deployment, getenv func(string) string) error {
	if name == "databricks" {
		return e.workspace(d, getenv)
	}
	if !slices.Contains(azureFamily, name) || e.ExtraHeaders.Get("Authorization") != "" {
		return nil // the operator brings a token
	}
	v := entraVariables{e: e, getenv: getenv}
	word := e.ADToken
	if word.IsZero() {
		if !d.APIKey.IsZero() {
			return nil
		}
		// The variable is for entries that bring no login of their own.
		if login, err := v.own(); err != nil {
			return err
		} else if login != nil {
			return withLogin(d, login)
		}
		word = redact.New(getenv("AZURE_AD_TOKEN"))
	}
	switch {
	case strings.HasPrefix(word.Reveal(), "oidc/"):
		login, err := v.exchanged(word.Reveal())
		if err != nil {
			return err
		}
		return withLogin(d, login)
	case !word.IsZero():
		d.APIKey = redact.Secret{}
		if d.ExtraHeaders == nil {
			d.ExtraHeaders = http.Header{}
		}
		d.ExtraHeaders.Set("Authorization", "Bearer "+word.Reveal())
		d.Secrets = append(d.Secrets, word)
		return nil
	case e.Settings.ADRefresh:
		login, err := v.around()
		if err != nil {
			return err
		}
		return withLogin(d, login)
	}
	return v.incomplete()
}

// workspace settles whether a deployment of Databricks logs in.
func (e *Entry) workspace(d *call.Deployment, getenv func(string) string) error {
	client, secret := getenv("DATABRICKS_CLIENT_ID"), redact.New(getenv("DATABRICKS_CLIENT_SECRET"))
	if !d.APIKey.IsZero() || client == "" || secret.IsZero() || e.ExtraHeaders.Get("Authorization") != "" {
		return nil
	}
	u, err := url.Parse(d.APIBase)
	if err != nil || u.Host == "" || !safe(u) {
		return errors.New("api_base must be an https:// address: the secret of DATABRICKS_CLIENT_SECRET is sent there")
	}
	return withLogin(d, &call.Login{Way: call.LoginWorkspace, Endpoint: u.Scheme + "://" + u.Host + "/oidc/v1/token", Client: client, Secret: secret, Scope: "all-apis"})
}

// safe reports whether a secret may be sent to an address.
func safe(u *url.URL) bool {
	return u.Scheme == "https" || u.Scheme == "http" && local(u.Hostname())
}

func withLogin(d *call.Deployment, l *call.Login) error {
	d.APIKey = redact.Secret{}
	d.Token = &call.Token{Login: *l}
	d.Secrets = append(d.Secrets, l.Secrets()...)
	return nil
}

// entraVariables puts an entry and its environment together.
type entraVariables struct {
	e      *Entry
	getenv func(string) string
}

func (v *entraVariables) either(own, variable string) string {
	if own != "" {
		return own
	}
	return v.getenv(variable)
}

func (v *entraVariables) tenant() string { return v.either(v.e.Login.Tenant, "AZURE_TENANT_ID") }
func (v *entraVariables) client() string { return v.either(v.e.Login.Client, "AZURE_CLIENT_ID") }

// login is what all ways have in common.
func (v *entraVariables) login(way call.LoginWay) (*call.Login, error) {
	l := &call.Login{Way: way, Tenant: v.tenant(), Client: v.client(), Scope: v.either(v.e.Login.Scope, "AZURE_SCOPE"), Authority: entraAuthority}
	if l.Scope == "" {
		l.Scope = entraScope
	}
	if text := strings.TrimRight(strings.TrimSpace(v.getenv("AZURE_AUTHORITY_HOST")), "/"); text != "" {
		if !strings.Contains(text, "://") {
			text = "https://" + text
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || !safe(u) {
			return nil, errors.New("AZURE_AUTHORITY_HOST must be an https:// address without user name and query: secrets are sent there")
		}
		l.Authority = text
	}
	return l, nil
}

// local reports whether a host is this machine.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// own is the login of an application or a user that entry and variables name
// completely; nil without one.
func (v *entraVariables) own() (*call.Login, error) {
	tenant, client := v.tenant(), v.client()
	secret := v.e.Login.Secret
	if secret.IsZero() {
		secret = redact.New(v.getenv("AZURE_CLIENT_SECRET"))
	}
	if tenant != "" && client != "" && !secret.IsZero() {
		l, err := v.login(call.LoginSecret)
		if err == nil {
			l.Secret = secret
		}
		return l, err
	}
	user, password := v.either(v.e.Login.User, "AZURE_USERNAME"), v.e.Login.Password
	if password.IsZero() {
		password = redact.New(v.getenv("AZURE_PASSWORD"))
	}
	if user != "" && !password.IsZero() && client != "" {
		l, err := v.login(call.LoginPassword)
		if err == nil {
			l.User, l.Secret = user, password
			if l.Tenant = v.e.Login.Tenant; l.Tenant == "" {
				l.Tenant = entraTenant
			}
		}
		return l, err
	}
	return nil, nil
}

// incomplete says what a login of the entry's lacks.
func (v *entraVariables) incomplete() error {
	o := v.e.Login
	o.Scope = ""
	if o == (EntraLogin{}) {
		return nil
	}
	need := func(has bool, names string) string {
		if has {
			return ""
		}
		return names
	}
	lacks := []string{
		need(v.client() != "", "client_id (or AZURE_CLIENT_ID)"), need(v.tenant() != "", "tenant_id (or AZURE_TENANT_ID)"),
		need(!o.Secret.IsZero() || v.getenv("AZURE_CLIENT_SECRET") != "", "client_secret (or AZURE_CLIENT_SECRET)"),
	}
	if o.User != "" || !o.Password.IsZero() {
		lacks = []string{
			lacks[0], need(v.either(o.User, "AZURE_USERNAME") != "", "azure_username (or AZURE_USERNAME)"),
			need(!o.Password.IsZero() || v.getenv("AZURE_PASSWORD") != "", "azure_password (or AZURE_PASSWORD)"),
		}
	}
	lacks = slices.DeleteFunc(lacks, func(s string) bool { return s == "" })
	return fmt.Errorf("it asks for tokens of Entra ID, and there is no %s: set it, or api_key, or enable_azure_ad_token_refresh where the process has an identity", strings.Join(lacks, " and no "))
}

// exchanged is the login with another issuer's word, which oidc/... names.
func (v *entraVariables) exchanged(word string) (*call.Login, error) {
	l, err := v.login(call.LoginAssertion)
	if err != nil {
		return nil, err
	}
	if l.Client == "" || l.Tenant == "" {
		return nil, errors.New("AZURE_CLIENT_ID and AZURE_TENANT_ID must be set, or client_id and tenant_id: azure_ad_token names an OIDC source, whose token is exchanged for one of Entra ID")
	}
	rest := strings.TrimPrefix(word, "oidc/")
	issuer, audience, found := strings.Cut(rest, "/")
	if !found {
		return nil, fmt.Errorf("azure_ad_token must be oidc/ISSUER/AUDIENCE; the part after oidc/%s is missing", issuer)
	}
	variable := func(name string) (string, error) {
		if text := v.getenv(name); text != "" {
			return text, nil
		}
		return "", fmt.Errorf("azure_ad_token wants the variable %s, which is not set", name)
	}
	a := &l.Assertion
	a.Audience = audience
	var text string
	switch issuer {
	case "google":
		a.From = call.AssertionGoogle
	case "circleci", "circleci_v2":
		name := "CIRCLE_OIDC_TOKEN"
		if issuer == "circleci_v2" {
			name = "CIRCLE_OIDC_TOKEN_V2"
		}
		text, err = variable(name)
		a.From, a.Value, a.Audience = call.AssertionValue, redact.New(text), ""
	case "github":
		a.From = call.AssertionGitHub
		if text, err = variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN"); err == nil {
			a.Value = redact.New(text)
			a.URL, err = variable("ACTIONS_ID_TOKEN_REQUEST_URL")
		}
	case "azure":
		if a.Path = v.getenv("AZURE_FEDERATED_TOKEN_FILE"); a.Path != "" {
			a.From, a.Audience = call.AssertionFile, ""
			break
		}
		a.From = call.AssertionLogin
		if a.Login, err = v.around(); err == nil && audience != "" {
			a.Login.Scope = audience
			for i := range a.Login.Chain {
				a.Login.Chain[i].Scope = audience
			}
		}
	case "file":
		a.From, a.Path, a.Audience, a.Dirs = call.AssertionFile, audience, "", credentialDirs(v.getenv)
	case "env":
		text, err = variable(audience)
		a.From, a.Value, a.Audience = call.AssertionValue, redact.New(text), ""
	case "env_path":
		a.From, a.Audience = call.AssertionFile, ""
		a.Path, err = variable(audience)
	default:
		return nil, fmt.Errorf("azure_ad_token names the OIDC issuer %q, which is none of google, circleci, circleci_v2, github, azure, file, env, env_path", issuer)
	}
	return l, err
}

// credentialDirs are where oidc/file may read.
func credentialDirs(getenv func(string) string) (list []string) {
	for dir := range strings.SplitSeq(getenv("LITELLM_OIDC_ALLOWED_CREDENTIAL_DIRS"), ",") {
		if dir = strings.TrimSpace(dir); dir != "" {
			list = append(list, dir)
		}
	}
	if list == nil {
		list = []string{"/var/run/secrets", "/run/secrets"}
	}
	return list
}

// around is the login that the process was given from outside, by variables, by
// a file, or by the machine it runs on.
func (v *entraVariables) around() (*call.Login, error) {
	get := v.getenv
	client, tenant, file := get("AZURE_CLIENT_ID"), get("AZURE_TENANT_ID"), get("AZURE_FEDERATED_TOKEN_FILE")
	kind := get("AZURE_CREDENTIAL")
	if kind == "" {
		switch {
		case client != "" && tenant != "" && get("AZURE_CLIENT_SECRET") != "":
			kind = "ClientSecretCredential"
		case file == "" && client != "":
			kind = "ManagedIdentityCredential"
		default:
			kind = "DefaultAzureCredential"
		}
	}
	if kind == "DefaultAzureCredential" {
		switch {
		case client != "" && tenant != "" && get("AZURE_CLIENT_SECRET") != "":
			kind = "ClientSecretCredential"
		case client != "" && tenant != "" && get("AZURE_CLIENT_CERTIFICATE_PATH") != "":
			kind = "EnvironmentCredential"
		case client != "" && get("AZURE_USERNAME") != "" && get("AZURE_PASSWORD") != "":
			kind = "EnvironmentCredential"
		case client != "" && tenant != "" && file != "":
			kind = "WorkloadIdentityCredential"
		default:
			kind = "ManagedIdentityCredential"
		}
	}
	need := func(names ...string) error {
		for _, name := range names {
			if get(name) == "" {
				return fmt.Errorf("%s wants the variable %s, which is not set", kind, name)
			}
		}
		return nil
	}
	certificate := func(path, password string) (*call.Login, error) {
		l, err := v.outside(call.LoginCertificate)
		if err == nil {
			l.Path, l.Secret, err = get(path), redact.New(get(password)), need("AZURE_CLIENT_ID", "AZURE_TENANT_ID", path)
		}
		return l, err
	}
	switch kind {
	case "ClientSecretCredential":
		l, err := v.outside(call.LoginSecret)
		if err == nil {
			l.Secret, err = redact.New(get("AZURE_CLIENT_SECRET")), need("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET")
		}
		return l, err
	case "CertificateCredential":
		return certificate("AZURE_CERTIFICATE_PATH", "AZURE_CERTIFICATE_PASSWORD")
	case "EnvironmentCredential":
		switch {
		case get("AZURE_CLIENT_SECRET") != "":
			l, err := v.outside(call.LoginSecret)
			if err == nil {
				l.Secret, err = redact.New(get("AZURE_CLIENT_SECRET")), need("AZURE_CLIENT_ID", "AZURE_TENANT_ID")
			}
			return l, err
		case get("AZURE_CLIENT_CERTIFICATE_PATH") != "":
			return certificate("AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_CLIENT_CERTIFICATE_PASSWORD")
		}
		l, err := v.outside(call.LoginPassword)
		if err == nil {
			l.User, l.Secret = get("AZURE_USERNAME"), redact.New(get("AZURE_PASSWORD"))
			if l.Tenant == "" {
				l.Tenant = entraTenant
			}
			err = need("AZURE_CLIENT_ID", "AZURE_USERNAME", "AZURE_PASSWORD")
		}
		return l, err
	case "WorkloadIdentityCredential":
		if err := need("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE"); err != nil {
			return nil, err
		}
		return v.workload()
	case "ManagedIdentityCredential":
		return v.managed(client)
	case "DeploymentIdentityCredential":
		l, err := v.outside(call.LoginChain)
		if err != nil {
			return nil, err
		}
		if client != "" && tenant != "" && file != "" {
			w, err := v.workload()
			if err != nil {
				return nil, err
			}
			l.Chain = append(l.Chain, *w)
		}
		for _, id := range slices.Compact([]string{client, ""}) {
			m, err := v.managed(id)
			if err != nil {
				return nil, err
			}
			l.Chain = append(l.Chain, *m)
		}
		return l, nil
	}
	return nil, fmt.Errorf("AZURE_CREDENTIAL is %q, which this version does not have: use ClientSecretCredential, CertificateCredential, EnvironmentCredential, WorkloadIdentityCredential, ManagedIdentityCredential, DeploymentIdentityCredential or DefaultAzureCredential", kind)
}

// outside is a login of the variables alone.
func (v *entraVariables) outside(way call.LoginWay) (*call.Login, error) {
	l, err := v.login(way)
	if err == nil {
		l.Tenant, l.Client = v.getenv("AZURE_TENANT_ID"), v.getenv("AZURE_CLIENT_ID")
	}
	return l, err
}

func (v *entraVariables) workload() (*call.Login, error) {
	l, err := v.outside(call.LoginAssertion)
	if err == nil {
		l.Assertion = call.Assertion{From: call.AssertionFile, Path: v.getenv("AZURE_FEDERATED_TOKEN_FILE")}
	}
	return l, err
}

func (v *entraVariables) managed(client string) (*call.Login, error) {
	l, err := v.login(call.LoginManaged)
	if err != nil {
		return nil, err
	}
	l.Tenant, l.Client, l.Authority = "", client, ""
	l.Host = v.getenv("AZURE_POD_IDENTITY_AUTHORITY_HOST")
	if endpoint, header := v.getenv("IDENTITY_ENDPOINT"), v.getenv("IDENTITY_HEADER"); endpoint != "" {
		switch {
		case header == "" || v.getenv("IDENTITY_SERVER_THUMBPRINT") != "":
			return nil, errors.New("the managed identities of Azure Arc and Service Fabric are not supported by this version: log in with a certificate or a secret")
		case v.getenv("IMDS_ENDPOINT") == "":
			l.Endpoint, l.Secret, l.Host = endpoint, redact.New(header), ""
		}
	}
	return l, nil
}
