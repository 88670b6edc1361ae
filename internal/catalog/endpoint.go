package catalog

import (
	"fmt"
	"net/url"
	"strings"
)

// Target is where and how a provider is reached. It names the variable that
// holds the key and never holds the key.
type Target struct {
	Provider Provider
	// Base is the address to which "/chat/completions" and the like are
	// appended; it has no trailing slash. It is empty when none is known: Missing
	// then says what to set.
	Base string
	// BaseFrom says where Base came from: "api_base", a variable's name, or
	// "default".
	BaseFrom string
	// KeyVar is the first of the provider's key variables that is set and not
	// empty; empty when none is. A deployment's own api_key comes before it.
	KeyVar  string
	KeyVars []string
	// Auth is the form in which the key is sent; for the variable in KeyVar it
	// may differ from the provider's usual one.
	Auth    Auth
	Missing string
}

// Endpoint works out where a provider is reached: the deployment's api_base,
// then the provider's base variables, then its default. getenv looks a variable
// up (nil: no environment). It is false for a provider that is not known.
func Endpoint(provider string, p Params, getenv func(string) string) (Target, bool) {
	known, ok := LookupProvider(provider)
	if !ok {
		return Target{Missing: fmt.Sprintf("provider %q is not known", provider)}, false
	}
	if getenv == nil {
		getenv = func(string) string { return "" }
	}
	t := Target{Provider: known, KeyVars: known.KeyVars, Auth: known.Auth}
	switch {
	case p.APIBase != "":
		t.Base, t.BaseFrom = p.APIBase, "api_base"
	default:
		for _, name := range known.BaseVars {
			if v := strings.TrimSpace(getenv(name)); v != "" {
				t.Base, t.BaseFrom = v, name
				break
			}
		}
		if t.Base == "" && known.Base != "" {
			base, unset := expand(known.Base, getenv)
			if unset == "" {
				t.Base, t.BaseFrom = base, "default"
			} else {
				t.Missing = fmt.Sprintf("the address of provider %q needs %s: set it, or api_base", provider, unset)
			}
		}
	}
	t.Base = strings.TrimRight(t.Base, "/")
	if t.BaseFrom == "GRADIENT_AI_AGENT_ENDPOINT" && !strings.HasSuffix(t.Base, "/v1") {
		t.Base += "/api/v1" // agents are served elsewhere than models
	}
	if provider == "azure_ai" {
		t.foundry(p.Model)
	}
	if known.Suffix != "" && t.Base != "" && !strings.HasSuffix(t.Base, known.Suffix) {
		t.Base += known.Suffix
	}
	if t.Base == "" && t.Missing == "" && (known.Family == OpenAI || known.Family == Azure) {
		t.Missing = fmt.Sprintf("provider %q has no default address: set api_base", provider)
		if len(known.BaseVars) > 0 {
			t.Missing += " or " + known.BaseVars[0]
		}
	}
	for _, name := range known.KeyVars {
		if getenv(name) != "" {
			t.KeyVar = name
			break
		}
	}
	switch t.KeyVar {
	case "ANTHROPIC_AUTH_TOKEN", "AWS_BEARER_TOKEN_BEDROCK":
		t.Auth = Bearer
	}
	return t, true
}

// foundry settles what differs within Azure AI: Claude speaks Anthropic's
// format below /anthropic, and resource endpoints serve all other models below
// /models and want the api-key header.
func (t *Target) foundry(model string) {
	if strings.Contains(strings.ToLower(model), "claude") {
		t.Provider.Family, t.Auth = Anthropic, XAPIKey
		if t.Base != "" && !strings.HasSuffix(t.Base, "/anthropic") {
			t.Base += "/anthropic"
		}
		return
	}
	u, err := url.Parse(t.Base)
	if err != nil || !strings.HasSuffix(strings.ToLower(u.Hostname()), ".services.ai.azure.com") {
		return
	}
	t.Auth = APIKey
	if u.Path == "" {
		t.Base += "/models"
	}
}

// expand puts variables into a default base: ${A|B|=x} is the first of A and B
// that is set, or x. unset names a variable that is needed and not set.
func expand(base string, getenv func(string) string) (text, unset string) {
	before, rest, ok := strings.Cut(base, "${")
	if !ok {
		return base, ""
	}
	names, after, _ := strings.Cut(rest, "}")
	for name := range strings.SplitSeq(names, "|") {
		if fixed, ok := strings.CutPrefix(name, "="); ok {
			return before + fixed + after, ""
		}
		if v := strings.TrimSpace(getenv(name)); v != "" {
			return before + v + after, ""
		}
	}
	first, _, _ := strings.Cut(names, "|")
	return "", first
}
