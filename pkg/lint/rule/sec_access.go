package rule

import (
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
)

func init() {
	soft := []Profile{Dev}
	register(
		&Rule{
			ID: "SEC013", Name: "fail-open-public", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "requests pass while the database is down, and the gateway is public",
			When:   "allow_requests_on_db_unavailable is true and an Ingress, HTTPRoute, NodePort or public LoadBalancer leads to the gateway.",
			Why:    "while the database is away nobody's key can be checked, so strangers are let in.",
			Remedy: "drop the setting, or make the endpoint private.",
			Source: []string{"LiteLLM production guide, sections 1 and 6"},
			Bad: k8s("      disable_error_logs: true\n", "      disable_error_logs: true\n      allow_requests_on_db_unavailable: true\n").
				and("spec: {selector: {app: litellm}, ports: [{port: 4000, targetPort: http}]}", "spec: {type: NodePort, selector: {app: litellm}, ports: [{port: 4000, targetPort: http}]}"),
			Good: k8s("spec: {selector: {app: litellm}, ports: [{port: 4000, targetPort: http}]}", "spec: {type: NodePort, selector: {app: litellm}, ports: [{port: 4000, targetPort: http}]}"),
			Check: func(u *Unit) []Hit {
				const path = "general_settings.allow_requests_on_db_unavailable"
				if !u.On(path) {
					return nil
				}
				for _, e := range u.exposures() {
					h := hitf(u.At(path), path, sevError, "requests pass while the database is down, and %s makes the gateway public", e.what)
					h.Related = []finding.Related{{Pos: e.pos, Message: e.what}}
					return []Hit{h}
				}
				return nil
			},
		},
		&Rule{
			ID: "SEC014", Name: "fail-open-unconfirmed", Severity: "warning", Priority: 1, Fix: Manual, Off: []Profile{VPC},
			Title:  "requests pass while the database is down",
			When:   "allow_requests_on_db_unavailable is true, nothing shows a public endpoint, and the profile is not vpc.",
			Why:    "only you know whether the gateway can be reached from outside; if it can, strangers are let in while the database is away.",
			Remedy: "put profile: vpc into .llmgw-doctor.yaml if the network is private, so that the statement is on record; drop the setting otherwise.",
			Source: []string{"LiteLLM production guide, section 6"},
			Bad:    Example{Config: oneModel + "general_settings: {allow_requests_on_db_unavailable: true}\n"},
			Good:   Example{Config: oneModel + "general_settings: {allow_requests_on_db_unavailable: true}\n", Flags: Flags{Profile: VPC}},
			Check: func(u *Unit) []Hit {
				const path = "general_settings.allow_requests_on_db_unavailable"
				return when(u.On(path) && len(u.exposures()) == 0, u.At(path), path, sevWarn, "requests pass while the database is down; that is right only where strangers cannot reach the gateway")
			},
		},
		&Rule{
			ID: "SEC015", Name: "client-side-api-base", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "callers may choose where the gateway sends its keys",
			When:   "allow_client_side_credentials is true, or a deployment lists api_base in configurable_clientside_auth_params.",
			Why:    "a caller points the gateway at a host of his own and receives the deployment's provider key.",
			Remedy: "remove api_base from the list, and the global switch.",
			Source: []string{"LiteLLM issue 37053"},
			Bad:    Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, configurable_clientside_auth_params: [api_base]}\n"},
			Good:   Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, configurable_clientside_auth_params: [api_key]}\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				const path = "general_settings.allow_client_side_credentials"
				out = append(out, when(u.On(path), u.At(path), path, sevError, "any caller may pass an api_base of his own")...)
				for m := range u.models() {
					for _, n := range m.Params.Get("configurable_clientside_auth_params").Items() {
						if text, _ := n.Scalar(); text == "api_base" || n.Has("api_base") {
							out = append(out, hitf(n.Parent().Where(), n.Parent().Path(), sevError, "callers of %q may pass an api_base of their own", m.Name))
						}
					}
				}
				return out
			},
		},
		&Rule{
			ID: "SEC016", Name: "url-validation-off", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "URLs that users pass are not checked",
			When:   "litellm_settings.user_url_validation is false.",
			Why:    "a user can make the gateway fetch addresses inside your network.",
			Remedy: "delete the setting, and list the hosts you need in user_url_allowed_hosts.",
			Source: []string{"LiteLLM configuration reference", "LiteLLM issue 35177"},
			Bad:    Example{Config: oneModel + "litellm_settings: {user_url_validation: false}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {user_url_validation: true}\n"},
			Check:  offRule("litellm_settings.user_url_validation", "URLs that users pass are not checked against private addresses"),
		},
		&Rule{
			ID: "SEC017", Name: "tls-verify-off", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "certificates of the providers are not verified",
			When:   "litellm_settings.ssl_verify is false, or SSL_VERIFY is.",
			Why:    "provider keys and prompts travel to whoever answers.",
			Remedy: "point ssl_verify at a CA bundle if you need your own.",
			Source: []string{"LiteLLM security settings guide"},
			Bad:    Example{Config: oneModel + "litellm_settings: {ssl_verify: false}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {ssl_verify: /etc/ssl/corp-ca.pem}\n"},
			Check: func(u *Unit) []Hit {
				if hits := offRule("litellm_settings.ssl_verify", "certificates of the providers are not verified")(u); hits != nil {
					return hits
				}
				v := u.variable("SSL_VERIFY")
				return when(v.State == Known && strings.EqualFold(strings.TrimSpace(v.Text), "false"), v.Pos, "SSL_VERIFY", sevError, "certificates of the providers are not verified")
			},
		},
		&Rule{
			ID: "SEC018", Name: "wildcard-model", Severity: "warning/info", Priority: 2, Fix: Manual,
			Title:  "a wildcard model",
			When:   "a model_name is * (warning) or contains * (info).",
			Why:    "every model the provider ever ships becomes callable, priced or not.",
			Remedy: "list the models, or give every key a list of models.",
			Source: []string{"LiteLLM configuration guide"},
			Bad:    Example{Config: "model_list:\n  - model_name: \"*\"\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}\n"},
			Good:   Example{Config: oneModel},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for m := range u.models() {
					if !strings.Contains(m.Name, "*") {
						continue
					}
					sev := sevInfo
					if m.Name == "*" {
						sev = sevWarn
					}
					n := m.Node.Get("model_name")
					out = append(out, hitf(entrySpan(n), n.Path(), sev, "model_name %q lets callers use whatever the provider offers", m.Name))
				}
				return out
			},
		},
		&Rule{
			ID: "SEC019", Name: "pass-through-without-auth", Severity: "error/warning", Priority: 1, Fix: Manual,
			Title:  "a pass-through endpoint without authentication",
			When:   "an item of pass_through_endpoints has auth: false (error) or no auth (warning).",
			Why:    "auth: false publishes the target with the gateway's credentials; without the key, budgets and model lists are not checked.",
			Remedy: "write auth: true.",
			Source: []string{"LiteLLM issues 35534 and 41295"},
			Bad:    Example{Config: oneModel + "general_settings:\n  pass_through_endpoints:\n    - {path: /v1/ocr, target: \"https://api.mistral.ai/v1/ocr\", auth: false}\n"},
			Good:   Example{Config: oneModel + "general_settings:\n  pass_through_endpoints:\n    - {path: /v1/ocr, target: \"https://api.mistral.ai/v1/ocr\", auth: true}\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, n := range u.Node("general_settings.pass_through_endpoints").Items() {
					path, _ := n.Get("path").Scalar()
					auth := n.Get("auth")
					if auth == nil {
						pos := n.Pos
						pos.Offset, pos.End = 0, 0
						out = append(out, hitf(pos, n.Path(), sevWarn, "the pass-through endpoint %s does not say auth: true", path))
					} else if v, ok := auth.Bool(); ok && !v {
						out = append(out, hitf(entrySpan(auth), auth.Path(), sevError, "the pass-through endpoint %s is open to everybody", path))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "SEC020", Name: "ui-login-default", Severity: "error/warning", Priority: 1, Fix: Manual, Target: facts.LiteLLM, Soft: soft, Closed: true,
			Title:  "the admin UI takes the master key, or a weak password",
			When:   "a database is in use, the UI and its login from the environment are on, and UI_PASSWORD is absent (warning) or weak (error).",
			Why:    "the login page itself says that the password is the master key.",
			Remedy: "use single sign-on and disable_env_credential_login: true, or a strong UI_PASSWORD, or DISABLE_ADMIN_UI=true.",
			Source: []string{"LiteLLM admin UI guide", "LiteLLM issues 9418 and 30232"},
			Bad:    k8s("      disable_env_credential_login: true\n", ""),
			Good:   k8sGood("disable_env_credential_login: true"),
			Check:  uiLogin,
		},
		&Rule{
			ID: "SEC021", Name: "api-docs-exposed", Severity: "info", Priority: 2, Fix: Manual, Closed: true, Off: []Profile{VPC},
			Title:  "the API description is public",
			When:   "NO_DOCS, NO_REDOC and NO_OPENAPI are not all true.",
			Why:    "there are three pages that describe every route to a stranger.",
			Remedy: "set all three to True.",
			Source: []string{"LiteLLM configuration guide"},
			Bad:    Example{Config: oneModel, Env: "NO_DOCS=True\nOPENAI_API_KEY=sk-proj-0123456789\n"},
			Good:   Example{Config: oneModel, Env: "NO_DOCS=True\nNO_REDOC=True\nNO_OPENAPI=True\nOPENAI_API_KEY=sk-proj-0123456789\n"},
			Target: facts.LiteLLM,
			Check: func(u *Unit) []Hit {
				var open []string
				for _, name := range []string{"NO_DOCS", "NO_REDOC", "NO_OPENAPI"} {
					if !u.EnvOn(name) && !u.EnvMaybe(name) {
						open = append(open, name)
					}
				}
				return when(u.Config != nil && u.Env.Closed() && len(open) > 0, u.Top(), "", sevInfo, "the API description is public: set %s to True", quoteList(open))
			},
		},
		&Rule{
			ID: "SEC022", Name: "cors-any-origin-credentials", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "any website may act as a logged-in administrator",
			When:   "LITELLM_CORS_ALLOW_CREDENTIALS is true and LITELLM_CORS_ORIGINS is unset or *.",
			Why:    "a page that an administrator visits can use his session.",
			Remedy: "list the origins in LITELLM_CORS_ORIGINS.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Env: "LITELLM_CORS_ALLOW_CREDENTIALS=true\n"},
			Good:   Example{Env: "LITELLM_CORS_ALLOW_CREDENTIALS=true\nLITELLM_CORS_ORIGINS=https://admin.example.com\n"},
			Check: func(u *Unit) []Hit {
				on, origins := u.variable("LITELLM_CORS_ALLOW_CREDENTIALS"), u.variable("LITELLM_CORS_ORIGINS")
				any := origins.State == Absent && u.Env.Closed() || origins.State == Known && strings.TrimSpace(origins.Text) == "*"
				return when(strings.EqualFold(on.Text, "true") && any, on.Pos, on.Ref, sevWarn, "credentials are allowed from any origin")
			},
		},
		&Rule{
			ID: "SEC023", Name: "compromised-version", Severity: "error", Priority: 1, Fix: Manual, Target: facts.LiteLLM,
			Title:  "this LiteLLM release carried a credential stealer",
			When:   "the LiteLLM version is 1.82.7 or 1.82.8.",
			Why:    "the packages of those two releases sent secrets of the host to a stranger.",
			Remedy: "rebuild the host from scratch and replace every secret it could read.",
			Source: []string{"LiteLLM security update of March 2026", "LiteLLM issues 24512 and 24518"},
			Bad:    k8s("image: ghcr.io/berriai/litellm:v1.91.4\n          args", "image: ghcr.io/berriai/litellm:v1.82.8\n          args"),
			Good:   k8sGood("image: ghcr.io/berriai/litellm:v1.91.4"),
			Also:   map[string]string{"SEC024": "a compromised release has advisories", "MIG007": "the Job runs another release"},
			Check: func(u *Unit) []Hit {
				bad := u.VersionKnown && u.Version.Release[0] == 1 && u.Version.Release[1] == 82 && (u.Version.Release[2] == 7 || u.Version.Release[2] == 8)
				return when(bad, u.versionAt(), "", sevError, "LiteLLM %s carried a credential stealer", u.Version)
			},
		},
		&Rule{
			ID: "SEC024", Name: "vulnerable-version", Severity: "error", Priority: 1, Fix: Manual, Target: facts.LiteLLM,
			Title:  "this LiteLLM release has known vulnerabilities",
			When:   "the LiteLLM version is in the table of advisories.",
			Why:    "one of them, CVE-2026-42208, needs no credentials.",
			Remedy: "upgrade LiteLLM.",
			Source: []string{"LiteLLM security blog, March and April 2026"},
			Bad:    k8s("image: ghcr.io/berriai/litellm:v1.91.4\n          args", "image: ghcr.io/berriai/litellm:v1.82.0\n          args"),
			Good:   k8sGood("image: ghcr.io/berriai/litellm:v1.91.4"),
			Also:   map[string]string{"MIG007": "the Job runs another release"},
			Check:  vulnerable,
		},
		&Rule{
			ID: "SEC025", Name: "dotenv-enabled", Severity: "warning", Priority: 1, Fix: Safe, Target: facts.LiteLLM, Closed: true,
			Title:  "a .env file would be read in production",
			When:   "LITELLM_MODE is certainly absent, or DEV.",
			Why:    "a .env that lies in the working directory adds credentials that nobody sees.",
			Remedy: "set LITELLM_MODE=PRODUCTION.",
			Source: []string{"LiteLLM production guide, section 5"},
			Bad:    k8s("            - {name: LITELLM_MODE, value: \"PRODUCTION\"}\n", ""),
			Good:   k8sGood(`{name: LITELLM_MODE, value: "PRODUCTION"}`),
			Check: func(u *Unit) []Hit {
				v := u.variable("LITELLM_MODE")
				if v.State == Known && v.Text == "DEV" {
					return hit(v.Pos, "LITELLM_MODE", sevWarn, "LITELLM_MODE is DEV: a .env file in the working directory is read")
				}
				return when(u.EnvAbsent("LITELLM_MODE"), u.Top(), "LITELLM_MODE", sevWarn, "LITELLM_MODE is not set: a .env file in the working directory is read")
			},
		},
		&Rule{
			ID: "SEC026", Name: "drain-endpoint-open", Severity: "warning", Priority: 2, Fix: Manual, Closed: true,
			Title:  "anybody can take the pod out of rotation",
			When:   "enable_drain_endpoint is true and no drain_endpoint_token is set.",
			Why:    "GET /health/drain needs no key.",
			Remedy: "set drain_endpoint_token and send it as X-Drain-Token from the preStop hook.",
			Source: []string{"LiteLLM issue 29439"},
			Bad:    Example{Config: oneModel + "general_settings: {enable_drain_endpoint: true}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\n"},
			Good:   Example{Config: oneModel + "general_settings: {enable_drain_endpoint: true, drain_endpoint_token: os.environ/DRAIN_ENDPOINT_TOKEN}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\nDRAIN_ENDPOINT_TOKEN=4b1f0c9d7e6a\n"},
			Check: func(u *Unit) []Hit {
				const path = "general_settings.enable_drain_endpoint"
				open := u.On(path) && !u.Setting("general_settings.drain_endpoint_token").Present() && u.EnvAbsent("DRAIN_ENDPOINT_TOKEN")
				return when(open, u.At(path), path, sevWarn, "GET /health/drain is open to everybody: no drain_endpoint_token is set")
			},
		},
		&Rule{
			ID: "SEC027", Name: "ownership-checks-off", Severity: "warning", Priority: 2, Fix: Safe,
			Title:  "one key can read what belongs to another",
			When:   "a setting that switches ownership checks of responses or spend off is on.",
			Why:    "one key reads another key's responses or spend.",
			Remedy: "delete the setting.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: oneModel + "general_settings: {disable_responses_id_security: true}\n"},
			Good:   Example{Config: oneModel + "general_settings: {disable_responses_id_security: false}\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for key, bad := range map[string]bool{"disable_responses_id_security": true, "allow_unmanaged_response_ids": true,
					"legacy_unscoped_spend_list_endpoints": true, "scope_spend_list_endpoints_to_caller": false} {
					path := "general_settings." + key
					if v, ok := u.Bool(path); ok && v == bad {
						out = append(out, hitf(u.At(path), path, sevWarn, "%s is %t: one key can read what belongs to another", key, v))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "SEC028", Name: "custom-auth-skips-checks", Severity: "warning", Priority: 2, Fix: Manual, Target: facts.LiteLLM,
			Title:  "custom authentication without budgets and limits",
			When:   "custom_auth is set and custom_auth_run_common_checks is not true.",
			Why:    "budgets, rate limits and model lists are not enforced.",
			Remedy: "set custom_auth_run_common_checks: true, after testing.",
			Source: []string{"LiteLLM configuration reference"},
			Bad:    Example{Config: oneModel + "general_settings: {custom_auth: my_auth.check}\n"},
			Good:   Example{Config: oneModel + "general_settings: {custom_auth: my_auth.check, custom_auth_run_common_checks: true}\n"},
			Check: func(u *Unit) []Hit {
				const path = "general_settings.custom_auth"
				return when(u.Setting(path).Present() && !u.On("general_settings.custom_auth_run_common_checks"), u.At(path), path, sevWarn, "custom_auth alone enforces no budgets, rate limits or model lists")
			},
		},
		&Rule{
			ID: "SEC031", Name: "hooks-cannot-run", Severity: "error", Priority: 1, Fix: Manual, Target: facts.LLMGW,
			Title:  "an authentication hook that llmgw cannot run",
			When:   "the target is llmgw and the config names Python authentication, or a login that this build does not have.",
			Why:    "llmgw refuses to start: traffic would be less protected than configured.",
			Remedy: "use the master key and virtual keys, or keep LiteLLM for this deployment.",
			Source: []string{"docs/compatibility.md, D16"},
			Bad:    Example{Config: oneModel + "general_settings: {custom_auth: my_auth.check}\n", Flags: Flags{Target: facts.LLMGW}},
			Good:   Example{Config: oneModel + "general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}\n", Flags: Flags{Target: facts.LLMGW}},
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, key := range []string{"custom_auth", "custom_sso", "custom_ui_sso_sign_in_handler", "custom_key_generate"} {
					path := "general_settings." + key
					out = append(out, when(u.Setting(path).Present(), u.At(path), path, sevError, "llmgw cannot run the Python hook %s", key)...)
				}
				for _, key := range []string{"enable_jwt_auth", "enable_oauth2_auth", "enable_oauth2_proxy_auth"} {
					path := "general_settings." + key
					out = append(out, when(u.On(path), u.At(path), path, sevError, "llmgw does not implement %s", key)...)
				}
				v := u.variable("LITELLM_WORKER_STARTUP_HOOKS")
				return append(out, when(v.Present() && v.Text != "", v.Pos, v.Ref, sevError, "llmgw cannot run Python start-up hooks")...)
			},
		},
	)
}
