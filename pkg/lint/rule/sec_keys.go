package rule

import (
	"fmt"
	"strings"

	"github.com/llmgw/llmgw/internal/litellm"
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
	)
}
