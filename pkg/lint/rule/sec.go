package rule

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/manifest"
)

func init() {
	soft := []Profile{Dev}
	register(
		&Rule{
			ID: "SEC001", Name: "master-key-missing", Severity: "error", Priority: 1, Fix: Manual, Closed: true, Soft: soft,
			Title:  "there is no master key",
			When:   "neither general_settings.master_key nor LITELLM_MASTER_KEY has a value, every environment source could be read, and no other authentication is on.",
			Why:    "older proxies then serve everybody; current ones, and llmgw, refuse to start.",
			Remedy: "generate one (openssl rand -hex 32, with sk- in front), keep it in a secret, and write master_key: os.environ/LITELLM_MASTER_KEY.",
			Source: []string{"LiteLLM production guide, section 1", "LiteLLM issues 37054 and 42019"},
			Bad:    Example{Config: oneModel + "general_settings: {alerting: [slack]}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\n"},
			Good:   Example{Config: oneModel + "general_settings: {alerting: [slack], master_key: os.environ/LITELLM_MASTER_KEY}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\nLITELLM_MASTER_KEY=" + strongKey + "\n"},
			Check: func(u *Unit) []Hit {
				v := u.masterKey()
				missing := v.State == Absent || v.State == Unset || v.State == Known && strings.TrimSpace(v.Text) == ""
				if u.Config == nil || !u.Env.Closed() || !missing ||
					u.On("general_settings.enable_jwt_auth") || u.On("general_settings.enable_oauth2_auth") || u.Setting("general_settings.custom_auth").Present() {
					return nil
				}
				return hit(u.At("general_settings.master_key"), "general_settings.master_key", sevError, "there is no master key: nothing authenticates the callers")
			},
		},
		&Rule{
			ID: "SEC002", Name: "master-key-well-known", Severity: "error", Priority: 1, Fix: Manual, Soft: soft,
			Title:  "the master key is the one from LiteLLM's tutorials",
			When:   "the effective master key is a key of the tutorials, or a placeholder.",
			Why:    "anyone who can reach the proxy is its administrator; current LiteLLM releases and llmgw refuse to start with it.",
			Remedy: "write general_settings.master_key: os.environ/LITELLM_MASTER_KEY and generate the value with openssl rand -hex 32, sk- in front. If no salt key is set, stored credentials are encrypted with the old key: start once with LITELLM_MIGRATE_FROM_MASTER_KEY set to it.",
			Source: []string{"LiteLLM production guide, section 1", "LiteLLM issues 42011 and 42019"},
			Bad:    Example{Config: oneModel + "general_settings: {master_key: sk-1234}\n"},
			Good:   Example{Config: oneModel + "general_settings: {master_key: os.environ/LITELLM_MASTER_KEY}\n"},
			Check: func(u *Unit) []Hit {
				v := u.masterKey()
				return when(v.State == Known && litellm.WellKnownKey(v.Text), v.Pos, v.path("LITELLM_MASTER_KEY"), sevError, "the master key is the one from LiteLLM's tutorials")
			},
		},
		&Rule{
			ID: "SEC003", Name: "master-key-prefix", Severity: "error", Priority: 1, Fix: Manual, Soft: soft,
			Title:  "the master key does not begin with sk-",
			When:   "the effective master key is known and does not begin with sk-.",
			Why:    "keys are expected to begin with sk-; one that does not fails later checks.",
			Remedy: "generate a new one that begins with sk-.",
			Source: []string{"LiteLLM production guide, section 1"},
			Bad:    Example{Env: "LITELLM_MASTER_KEY=4b1f0c9d7e6a5832c1d0e9f8a7b6c5d4\n"},
			Good:   Example{Env: "LITELLM_MASTER_KEY=" + strongKey + "\n"},
			Check: func(u *Unit) []Hit {
				v := u.masterKey()
				bad := v.State == Known && strings.TrimSpace(v.Text) != "" && !strings.HasPrefix(v.Text, "sk-")
				return when(bad, v.Pos, v.path("LITELLM_MASTER_KEY"), sevError, "the master key does not begin with sk-")
			},
		},
		&Rule{
			ID: "SEC004", Name: "master-key-weak", Severity: "warning", Priority: 1, Fix: Manual, Soft: soft,
			Title:  "the master key is easy to guess",
			When:   "the effective master key has fewer than 20 characters, or fewer than 10 different ones after sk-.",
			Why:    "it is the administrator's credential and the password of the admin UI.",
			Remedy: "generate one: openssl rand -hex 32, with sk- in front.",
			Source: []string{"LiteLLM production guide"},
			Bad:    Example{Env: "LITELLM_MASTER_KEY=sk-aaaaaaaa\n"},
			Good:   Example{Env: "LITELLM_MASTER_KEY=" + strongKey + "\n"},
			Check: func(u *Unit) []Hit {
				v := u.masterKey()
				rest, ok := strings.CutPrefix(v.Text, "sk-")
				if v.State != Known || !ok || litellm.WellKnownKey(v.Text) {
					return nil
				}
				different := map[rune]bool{}
				for _, r := range rest {
					different[r] = true
				}
				return when(len(v.Text) < 20 || len(different) < 10, v.Pos, v.path("LITELLM_MASTER_KEY"), sevWarn,
					"the master key is easy to guess: %d characters, %d different ones after sk-", len(v.Text), len(different))
			},
		},
		&Rule{
			ID: "SEC005", Name: "secret-literal-in-config", Severity: "error", Priority: 1, Fix: Unsafe, Soft: soft,
			Title:  "a secret stands in the config in plain text",
			When:   "a literal at a key that holds secrets, a database URL with its password, a secret-like entry of environment_variables, or any text with a provider's key prefix.",
			Why:    "the config lives in Git and in a ConfigMap, where everybody can read it.",
			Remedy: "put the value in a secret and write os.environ/NAME here. A secret that was committed must be replaced.",
			Source: []string{"LiteLLM security best practices"},
			Bad:    Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: sk-proj-Zz9yX8wV7uT6sR5q}\n"},
			Good:   Example{Config: oneModel},
			Check:  secretInConfig,
		},
		&Rule{
			ID: "SEC006", Name: "secret-literal-in-manifest", Severity: "error", Priority: 1, Fix: Manual, Soft: soft,
			Title:  "a secret stands in a manifest in plain text",
			When:   "a gateway container's env entry, or a ConfigMap's data key, whose name says secret has a literal value; URLs count when they hold a password.",
			Why:    "manifests are committed, and ConfigMaps are readable for many.",
			Remedy: "take the value from a Secret: valueFrom.secretKeyRef.",
			Source: []string{"LiteLLM security best practices", "kube-linter, env-var-secret"},
			Bad:    k8s("{name: LITELLM_SALT_KEY, valueFrom: {secretKeyRef: {name: litellm, key: salt}}}", "{name: LITELLM_SALT_KEY, value: "+strongSalt+"}"),
			Good:   k8sGood("{name: LITELLM_SALT_KEY, valueFrom: {secretKeyRef: {name: litellm, key: salt}}}"),
			Check:  secretInManifest,
		},
		&Rule{
			ID: "SEC007", Name: "salt-key-missing", Severity: "error/warning", Priority: 1, Fix: Manual, Closed: true, Soft: soft,
			Title:  "there is no salt key",
			When:   "a database is in use and LITELLM_SALT_KEY is certainly absent. error when models are kept in the database, warning otherwise.",
			Why:    "stored provider credentials are then encrypted with the master key, so the master key can no longer be replaced freely.",
			Remedy: "new installation: set a random LITELLM_SALT_KEY before the first model is added. Existing one: set it to the current master key first, then replace the master key.",
			Source: []string{"LiteLLM production guide, section 8", "LiteLLM master key rotation guide"},
			Bad:    k8s("            - {name: LITELLM_SALT_KEY, valueFrom: {secretKeyRef: {name: litellm, key: salt}}}\n", ""),
			Good:   k8sGood("{name: LITELLM_SALT_KEY, valueFrom: {secretKeyRef: {name: litellm, key: salt}}}"),
			Check: func(u *Unit) []Hit {
				if !u.DatabaseInUse() || !u.EnvAbsent("LITELLM_SALT_KEY") {
					return nil
				}
				sev, more := sevWarn, ""
				if u.On("general_settings.store_model_in_db") || u.EnvOn("STORE_MODEL_IN_DB") {
					sev, more = sevError, ", and models with their provider keys are kept in the database"
				}
				return when(true, u.At("general_settings.database_url"), "LITELLM_SALT_KEY", sev, "LITELLM_SALT_KEY is not set%s", more)
			},
		},
		&Rule{
			ID: "SEC008", Name: "salt-key-weak", Severity: "error", Priority: 1, Fix: Manual, Soft: soft,
			Title:  "the salt key is easy to guess",
			When:   "the known LITELLM_SALT_KEY is a key of the tutorials or has fewer than 16 characters.",
			Why:    "it protects every provider key in the database.",
			Remedy: "new installation: openssl rand -base64 32. Existing one: do not just change it, every stored credential would become unreadable; re-register the credentials under a new salt.",
			Source: []string{"LiteLLM production guide, section 8"},
			Bad:    Example{Env: "LITELLM_SALT_KEY=sk-1234\n"},
			Good:   Example{Env: "LITELLM_SALT_KEY=" + strongSalt + "\n"},
			Check: func(u *Unit) []Hit {
				v := u.variable("LITELLM_SALT_KEY")
				if v.State != Known {
					return nil
				}
				message := fmt.Sprintf("the salt key has only %d characters", len(v.Text))
				if litellm.WellKnownKey(v.Text) {
					message = "the salt key is the one from LiteLLM's tutorials"
				}
				return when(litellm.WellKnownKey(v.Text) || len(v.Text) < 16, v.Pos, "LITELLM_SALT_KEY", sevError, "%s", message)
			},
		},
		&Rule{
			ID: "SEC009", Name: "salt-equals-master", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "salt key and master key are the same",
			When:   "both are known and equal.",
			Why:    "that is right only as a step on the way to a new master key: whoever holds the master key can decrypt the database.",
			Remedy: "replace the master key next and leave the salt key as it is; then re-encrypt under a salt of its own.",
			Source: []string{"LiteLLM master key rotation guide"},
			Bad:    Example{Env: "LITELLM_MASTER_KEY=" + strongKey + "\nLITELLM_SALT_KEY=" + strongKey + "\n"},
			Good:   Example{Env: "LITELLM_MASTER_KEY=" + strongKey + "\nLITELLM_SALT_KEY=" + strongSalt + "\n"},
			Check: func(u *Unit) []Hit {
				salt, master := u.variable("LITELLM_SALT_KEY"), u.masterKey()
				return when(salt.State == Known && master.State == Known && salt.Text == master.Text, salt.Pos, "LITELLM_SALT_KEY", sevWarn, "the salt key is the master key")
			},
		},
		&Rule{
			ID: "SEC011", Name: "key-drift-between-instances", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "two deployments have different keys",
			When:   "two gateway containers of one run carry different known values of LITELLM_SALT_KEY or LITELLM_MASTER_KEY.",
			Why:    "what one pool of pods writes, the other cannot read.",
			Remedy: "take both from one Secret.",
			Source: []string{"LiteLLM production guide, section 8"},
			Bad:    Example{Manifest: driftManifest("9Yh3qLw2ZkVt7PnXr5Jd8MfBs1CgTa6E", "x7Kp4WnB9sRtQ2vYc6Hj3LmDz8FgUa5T")},
			Good:   Example{Manifest: driftManifest("9Yh3qLw2ZkVt7PnXr5Jd8MfBs1CgTa6E", "9Yh3qLw2ZkVt7PnXr5Jd8MfBs1CgTa6E")},
			Check:  keyDrift,
		},
		&Rule{
			ID: "SEC012", Name: "weak-key-override", Severity: "error", Priority: 1, Fix: Safe, Soft: soft,
			Title:  "the refusal to start without a proper master key is switched off",
			When:   "one of the settings, variables or flags that allow a weak or missing master key is on.",
			Why:    "the proxy starts with a key that everybody knows, or with none.",
			Remedy: "delete it, and set a master key.",
			Source: []string{"LiteLLM issue 42019"},
			Bad:    Example{Config: oneModel + "general_settings: {dangerously_permit_weak_or_unset_master_key: true}\n"},
			Good:   Example{Config: oneModel + "general_settings: {dangerously_permit_weak_or_unset_master_key: false}\n"},
			Check: func(u *Unit) []Hit {
				for _, key := range []string{"dangerously_permit_weak_or_unset_master_key", "dangerously_allow_unsafe_proxy"} {
					if path := "general_settings." + key; u.On(path) {
						return hit(u.At(path), path, sevError, key+" is on: the proxy starts with any master key, or none")
					}
				}
				for _, name := range []string{"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY", "LITELLM_DANGEROUSLY_ALLOW_UNSAFE_PROXY"} {
					if u.EnvOn(name) || strings.EqualFold(u.variable(name).Text, "true") {
						return hit(u.variable(name).Pos, name, sevError, name+" is on: the proxy starts with any master key, or none")
					}
				}
				if a, ok := u.Args.Get("insecure_no_auth"); ok {
					return hit(a.Pos, "--insecure-no-auth", sevError, "--insecure-no-auth is given: nothing authenticates the callers")
				}
				return nil
			},
		},
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
			Also:   []string{"SEC024", "MIG007"},
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
			Also:   []string{"MIG007"},
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

func (u *Unit) masterKey() Val {
	return u.SettingOr("general_settings.master_key", "LITELLM_MASTER_KEY")
}

// path is the logical path of a value that may come from a variable.
func (v Val) path(variable string) string {
	if v.Path != "" {
		return v.Path
	}
	return variable
}

func offRule(path, message string) func(*Unit) []Hit {
	return func(u *Unit) []Hit {
		v, ok := u.Bool(path)
		return when(ok && !v, u.At(path), path, sevError, "%s", message)
	}
}

// secretKeys are config keys whose value is a secret.
var secretKeys = []string{
	"api_key", "master_key", "password", "redis_password", "aws_secret_access_key", "aws_access_key_id", "aws_session_token",
	"s3_aws_secret_access_key", "s3_aws_access_key_id", "sentinel_password", "vertex_credentials", "azure_ad_token", "client_secret",
	"litellm_license", "drain_endpoint_token", "azure_password",
}

// noSecret are values that people write where a client demands some key.
var noSecret = []string{"", "none", "null", "empty", "dummy", "na", "n/a", "not-needed", "anything", "unused", "no-key", "no-key-required"}

var providerKey = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(sk-ant-[\w-]{8,}|sk-proj-[\w-]{8,}|AKIA[0-9A-Z]{12,}|AIza[\w-]{20,}|ghp_\w{20,}|gsk_\w{20,}|xai-\w{20,}|hf_\w{20,}|sk-[A-Za-z0-9]{20,})$`)
})

// secretName reports whether a variable's name says that it holds a secret.
func secretName(name string) bool {
	name = strings.ToUpper(name)
	if strings.HasSuffix(name, "PUBLIC_KEY") {
		return false
	}
	for _, end := range []string{"_KEY", "_TOKEN", "_SECRET", "PASSWORD", "_WEBHOOK_URL", "_CREDENTIALS", "_API_KEYS", "_SECRET_ACCESS_KEY"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}

// urlPassword reports whether a URL holds a literal password.
func urlPassword(text string) bool {
	_, rest, ok := strings.Cut(text, "://")
	if !ok {
		return false
	}
	authority, _, _ := strings.Cut(rest, "/")
	at := strings.LastIndexByte(authority, '@')
	if at < 0 {
		return false
	}
	_, password, ok := strings.Cut(authority[:at], ":")
	return ok && password != "" && !strings.HasPrefix(password, "$(") && !strings.HasPrefix(password, "${")
}

func literal(text string) bool {
	return !strings.HasPrefix(text, "os.environ") && !slices.Contains(noSecret, strings.ToLower(strings.TrimSpace(text))) && malformedRef().FindString(text) == ""
}

func secretInConfig(u *Unit) []Hit {
	var out []Hit
	u.scalars(func(n *config.Node, text string) {
		if !literal(text) || n.Kind == config.Bool {
			return
		}
		what := ""
		inVariables := n.Parent() != nil && n.Parent().Key == "environment_variables" && n.Parent().Parent() != nil && n.Parent().Parent().Parent() == nil
		switch {
		case slices.Contains(secretKeys, n.Key), inVariables && secretName(n.Key):
			what = "holds a secret in plain text"
		case urlPassword(text):
			what = "holds a password in plain text"
		case providerKey().MatchString(text):
			what = "looks like a provider's key in plain text"
		default:
			return
		}
		if n.Path() == "general_settings.master_key" && litellm.WellKnownKey(text) {
			return
		}
		h := hitf(valueSpan(n), n.Path(), sevError, "%s %s (%s)", n.Path(), what, mask(text))
		if urlPassword(text) {
			h.Message = fmt.Sprintf("%s %s", n.Path(), what)
		}
		out = append(out, h)
	})
	return out
}

func secretInManifest(u *Unit) []Hit {
	var out []Hit
	check := func(name, value string, v manifest.EnvVar, where string) {
		url := name == "DATABASE_URL" || name == "DIRECT_URL" || name == "REDIS_URL" || strings.HasSuffix(name, "_URL") && !strings.HasSuffix(name, "_WEBHOOK_URL")
		switch {
		case value == "" || strings.Contains(value, "$("), !literal(value), litellm.Placeholder(value):
			return
		case url && !urlPassword(value), !url && !secretName(name):
			return
		}
		pos := v.Pos
		if v.ValPos.Line == pos.Line {
			pos.Offset, pos.End = v.ValPos.Offset, v.ValPos.End
		}
		out = append(out, hitf(pos, name, sevError, "%s holds %s in plain text", where, name))
	}
	for _, w := range u.Model.Workloads {
		for _, c := range slices.Concat(w.Containers, w.Init) {
			if !c.Gateway {
				continue
			}
			for _, v := range c.Env {
				if v.From == "value" && v.Known {
					check(v.Name, v.Value, v, w.Kind+" "+w.Name)
				}
			}
		}
	}
	for _, o := range u.Model.Objects {
		if o.Kind != "ConfigMap" || !u.usesConfigMap(o.Name) {
			continue
		}
		for _, n := range o.Node.Get("data").Items() {
			if text, ok := n.Scalar(); ok && !strings.Contains(text, "\n") {
				check(n.Key, text, manifest.EnvVar{Pos: n.Where(), ValPos: n.Pos}, "ConfigMap "+o.Name)
			}
		}
	}
	return out
}

// usesConfigMap reports whether a gateway container takes anything from it.
func (u *Unit) usesConfigMap(name string) bool {
	if u.Workload == nil {
		return false
	}
	for _, f := range u.Container.EnvFrom {
		if f.Kind == "ConfigMap" && f.Name == name {
			return true
		}
	}
	return slices.ContainsFunc(u.Workload.Volumes, func(v manifest.Volume) bool { return v.Kind == "configMap" && v.Source == name })
}

func keyDrift(u *Unit) []Hit {
	var out []Hit
	for _, name := range []string{"LITELLM_SALT_KEY", "LITELLM_MASTER_KEY"} {
		mine, ok := u.Container.LookupEnv(name)
		if !ok || !mine.Known {
			continue
		}
		for _, other := range u.Model.Units {
			if other == u {
				break
			}
			theirs, ok := other.Container.LookupEnv(name)
			if !ok || !theirs.Known || theirs.Value == mine.Value {
				continue
			}
			h := hitf(mine.Pos, name, sevError, "%s of %s differs from that of %s", name, u.Workload.Name, other.Workload.Name)
			h.Related = []finding.Related{{Pos: theirs.Pos, Message: name + " of " + other.Workload.Name}}
			out = append(out, h)
			break
		}
	}
	return out
}

func driftManifest(a, b string) string {
	one := func(name, salt string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: " + name + "}\nspec:\n  selector: {matchLabels: {app: " + name + "}}\n  template:\n    metadata: {labels: {app: " + name + "}}\n    spec:\n      containers:\n        - name: litellm\n          image: ghcr.io/berriai/litellm:v1.91.4\n          env: [{name: LITELLM_SALT_KEY, value: " + salt + "}]\n"
	}
	return one("a", a) + "---\n" + one("b", b)
}

type exposure struct {
	what string
	pos  finding.Position
}

// exposures are the objects that make the gateway reachable for strangers.
func (u *Unit) exposures() []exposure {
	var out []exposure
	services, routes := u.Model.Objects, u.Model.Objects
	if u.Workload != nil {
		services, routes = u.Workload.Services, u.Workload.Ingresses
	}
	for _, o := range routes {
		if o.Kind != "Ingress" && o.Kind != "HTTPRoute" {
			continue
		}
		_, source := o.Annotations["nginx.ingress.kubernetes.io/whitelist-source-range"]
		_, allow := o.Annotations["nginx.ingress.kubernetes.io/allowlist-source-range"]
		if source || allow || o.Annotations["alb.ingress.kubernetes.io/scheme"].Value == "internal" {
			continue
		}
		out = append(out, exposure{o.String(), o.NamePos})
	}
	for _, o := range services {
		if o.Kind != "Service" {
			continue
		}
		t := o.Node.Lookup("spec.type")
		kind, _ := t.Scalar()
		internal := false
		for key, v := range o.Annotations {
			if strings.Contains(key, "internal") && v.Value != "false" || strings.HasSuffix(key, "load-balancer-type") && strings.EqualFold(v.Value, "internal") || strings.HasSuffix(key, "scheme") && v.Value == "internal" {
				internal = true
			}
		}
		if kind == "NodePort" || kind == "LoadBalancer" && !internal {
			out = append(out, exposure{o.String() + " of type " + kind, t.Where()})
		}
	}
	return out
}

func uiLogin(u *Unit) []Hit {
	if !u.DatabaseInUse() || u.EnvOn("DISABLE_ADMIN_UI") || u.EnvMaybe("DISABLE_ADMIN_UI") || u.On("general_settings.disable_env_credential_login") {
		return nil
	}
	v := u.variable("UI_PASSWORD")
	if v.State == Known {
		weak := slices.Contains([]string{"admin", "password", "litellm", "langchain", "changeme", "sk-1234"}, strings.ToLower(v.Text)) || len(v.Text) < 8
		return when(weak, v.Pos, "UI_PASSWORD", sevError, "UI_PASSWORD is easy to guess")
	}
	return when(u.EnvAbsent("UI_PASSWORD"), u.At("general_settings.disable_env_credential_login"), "UI_PASSWORD", sevWarn, "the admin UI accepts the user admin with the master key")
}

// versionAt is where to report the LiteLLM version.
func (u *Unit) versionAt() finding.Position {
	if !u.VersionPos.IsZero() {
		return u.VersionPos
	}
	return u.Top()
}

func vulnerable(u *Unit) []Hit {
	if !u.VersionKnown {
		return nil
	}
	var ids []string
	h := Hit{}
	for _, a := range litellm.Advisories(u.Version.String()) {
		if a.Severity != "error" || strings.HasPrefix(a.ID, "compromised") {
			continue // SEC023 speaks of those
		}
		if a.ID == "CVE-2026-35030" && u.Config != nil && !u.On("general_settings.enable_jwt_auth") {
			continue // concerns JWT authentication only
		}
		ids = append(ids, a.ID)
		h.Detail = append(h.Detail, a.ID+": "+a.Summary)
		if a.Fix != "" {
			h.Fix = a.Fix + "."
		}
	}
	if len(ids) == 0 {
		return nil
	}
	h.Finding.Pos, h.Severity = u.versionAt(), sevError
	h.Message = fmt.Sprintf("LiteLLM %s has known vulnerabilities: %s", u.Version, quoteList(ids))
	return []Hit{h}
}
