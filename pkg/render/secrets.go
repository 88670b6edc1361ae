package render

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/redact"
)

var urlPassword = regexp.MustCompile(`^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#\s]*:[^/?#\s]+@`)

// literal is a credential written into the configuration.
type literal struct {
	node *config.Node
	name string // the variable it moves to
}

// isSecret reports whether a written value is a credential.
func isSecret(n *config.Node) bool {
	text, ok := n.Str()
	if !ok || text == "" || reference(n) != "" {
		return false
	}
	switch key := strings.ToLower(n.Key); {
	case key == "database_url" || key == "redis_url":
		return urlPassword.MatchString(text)
	case config.SecretName(n.Key), urlPassword.MatchString(text):
		return true
	}
	return redact.Text(text) != text
}

// reference is the variable that a value refers to.
func reference(n *config.Node) string {
	if n.Ref != "" {
		return n.Ref
	}
	text, _ := n.Str()
	name, ok := strings.CutPrefix(text, "os.environ/")
	if !ok {
		return ""
	}
	return strings.TrimSpace(name)
}

// literals finds the credentials in a configuration and names the variable
// each would move to: one name per value, one value per name.
func literals(root *config.Node) []literal {
	var found []literal
	byValue, taken := map[string]string{}, map[string]bool{}
	for n := range root.Walk() {
		if ref := reference(n); ref != "" {
			taken[ref] = true
		}
	}
	for n := range root.Walk() {
		if !isSecret(n) {
			continue
		}
		value := n.Secret().Reveal()
		name, known := byValue[value]
		if !known {
			base := variableName(n)
			name = base
			for i := 2; taken[name]; i++ {
				name = fmt.Sprintf("%s_%d", base, i)
			}
			byValue[value], taken[name] = name, true
		}
		found = append(found, literal{n, name})
	}
	return found
}

var notName = regexp.MustCompile(`[^A-Z0-9]+`)

// variableName is the name a person would have chosen.
func variableName(n *config.Node) string {
	upper := func(s string) string { return strings.Trim(notName.ReplaceAllString(strings.ToUpper(s), "_"), "_") }
	path := n.Path()
	switch {
	case path == "general_settings.master_key":
		return "LITELLM_MASTER_KEY"
	case path == "general_settings.database_url":
		return "DATABASE_URL"
	case strings.HasPrefix(path, "environment_variables."):
		return upper(n.Key)
	case strings.HasSuffix(path, "redis_password"), path == "litellm_settings.cache_params.password":
		return "REDIS_PASSWORD"
	case n.Key == "redis_url":
		return "REDIS_URL"
	}
	base := upper(n.Key)
	if base == "" {
		base = upper(path)
	}
	if params := n.Parent(); params != nil && params.Key == "litellm_params" {
		if model, ok := params.Parent().Get("model_name").Scalar(); ok {
			base = upper(model) + "_" + base
		}
	}
	if base == "" || base[0] >= '0' && base[0] <= '9' {
		base = "LLMGW_" + base
	}
	return base
}
