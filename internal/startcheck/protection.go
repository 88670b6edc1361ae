package startcheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
)

// hooks are the settings that name Python code which decides about access.
var hooks = []string{
	"custom_auth", "custom_key_generate", "custom_key_update", "custom_sso",
	"custom_ui_sso_sign_in_handler", "custom_team_metadata_validate",
}

// logins are the switches of ways to authenticate that this build lacks.
var logins = []struct{ key, what string }{
	{"enable_jwt_auth", "JWT authentication"},
	{"enable_oauth2_auth", "OAuth2 authentication"},
	{"enable_oauth2_proxy_auth", "authentication by an OAuth2 proxy"},
	{"enforce_rbac", "role-based access"},
}

// authentication refuses rules of access that would not be applied.
func (c *checker) authentication() {
	general := c.tree.Section("general_settings")
	for _, key := range hooks {
		if n := general.Get(key); !n.IsNull() {
			c.refuse(n.Where(), n.Path(), "CFG022", n.Path()+" names Python code, which cannot run here: requests would be let in without its check",
				"delete the key and use virtual keys, or keep this gateway on LiteLLM")
		}
	}
	for _, l := range logins {
		n := general.Get(l.key)
		if on, ok := n.Bool(); ok && on || n != nil && n.Unknown {
			c.refuse(n.Where(), n.Path(), "CFG022", n.Path()+": "+l.what+" is not supported by this build, and access would be decided without it",
				"delete the key and use virtual keys, or keep this gateway on LiteLLM")
		}
	}
	if n := general.Get("oauth2_config_mappings"); n.Len() > 0 {
		c.refuse(n.Where(), n.Path(), "CFG022", n.Path()+" is not supported by this build, and access would be decided without it",
			"delete the key and use virtual keys, or keep this gateway on LiteLLM")
	}
	if c.env.Get("LITELLM_WORKER_STARTUP_HOOKS") != "" {
		c.refuse(c.envPos("LITELLM_WORKER_STARTUP_HOOKS"), "", "CFG022",
			"LITELLM_WORKER_STARTUP_HOOKS names Python code, which cannot run here", "unset it")
	}
}

// guardrails refuses checks of content that every request should pass and that
// would not happen.
func (c *checker) guardrails() {
	report := func(n *config.Node, name, kind string) {
		what := "guardrail"
		if name != "" {
			what += " " + name
		}
		if kind != "" {
			what += " (" + kind + ")"
		}
		message := what + " is on by default and not supported by this build: traffic would go out unfiltered"
		if c.facts.AllowMissingGuardrails {
			c.warn(n.Where(), n.Path(), "CFG022", message+"; --allow-missing-guardrails allows it", "use a guardrail that this build has")
			return
		}
		c.refuse(n.Where(), n.Path(), "CFG022", message, "set default_on: false, or start with --allow-missing-guardrails")
	}
	if list := c.tree.Section("guardrails"); list != nil && list.Kind == config.List {
		for _, g := range list.Items() {
			params := g.Get("litellm_params")
			on := params.Get("default_on")
			if v, ok := on.Bool(); (!ok || !v) && (on == nil || !on.Unknown) {
				continue
			}
			kind, _ := params.Get("guardrail").Scalar()
			if slices.Contains(c.facts.Guardrails, kind) {
				continue
			}
			name, _ := g.Get("guardrail_name").Scalar()
			report(on, name, kind)
		}
	}
	// The older form: litellm_settings.guardrails: [{name: {callbacks: [...], default_on: true}}].
	for _, item := range c.tree.Section("litellm_settings").Get("guardrails").Items() {
		for _, g := range item.Items() {
			if on := g.Get("default_on"); on != nil {
				if v, ok := on.Bool(); ok && v {
					report(on, g.Key, "")
				}
			}
		}
	}
}

// keyManagement refuses a secret manager that would not be asked: every
// reference would silently be null.
func (c *checker) keyManagement() {
	const consequence = ": every os.environ/ value it holds would be missing"
	known := []string{"google_kms", "azure_key_vault", "aws_secret_manager", "google_secret_manager", "hashicorp_vault", "cyberark", "custom", "aws_kms"}
	general := c.tree.Section("general_settings")
	if n := general.Get("key_management_system"); !n.IsNull() {
		system, _ := n.Scalar()
		switch {
		case slices.Contains(c.facts.KeyManagement, system):
		case !slices.Contains(known, system):
			c.refuse(n.Where(), n.Path(), "CFG022", "Invalid Key Management System selected", "use one of "+strings.Join(known, ", "))
		default:
			c.refuse(n.Where(), n.Path(), "CFG022", fmt.Sprintf("%s: %s is not supported by this build%s", n.Path(), system, consequence),
				"let the platform put the secrets into the environment, and delete the key")
		}
	}
	for _, key := range []string{"use_google_kms", "use_azure_key_vault"} {
		n := general.Get(key)
		if v, ok := n.Bool(); ok && v {
			c.refuse(n.Where(), n.Path(), "CFG022", n.Path()+" is not supported by this build"+consequence,
				"let the platform put the secrets into the environment, and delete the key")
		}
	}
	if c.on("USE_AWS_KMS") {
		c.refuse(c.envPos("USE_AWS_KMS"), "", "CFG022", "USE_AWS_KMS is not supported by this build: LITELLM_SECRET_AWS_KMS_* variables would not be decrypted",
			"let the platform put the secrets into the environment, and unset it")
	}
}
