package proxy

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/call"
	"github.com/llmgw/llmgw/pkg/proxy/provider"
)

// environments are the words of supported_environments and LITELLM_ENVIRONMENT.
var environments = []string{"production", "staging", "development"}

// inEnvironment says whether an entry is meant for where this gateway runs. An
// entry that says so in words which nobody knows is disabled, as in LiteLLM: it
// must not be served where it is not wanted.
func (l *loader) inEnvironment(m config.Entry) (bool, error) {
	n := m.Info.Get("supported_environments")
	if n.IsNull() {
		return true, nil
	}
	words := strings.Join(environments, ", ")
	if n.Kind != config.List {
		return false, fmt.Errorf("model_info.supported_environments must be a list of %s", words)
	}
	here := l.env.Get("LITELLM_ENVIRONMENT")
	switch {
	case here == "":
		return false, errors.New("it has model_info.supported_environments, and LITELLM_ENVIRONMENT is not set")
	case !slices.Contains(environments, here):
		return false, fmt.Errorf("it has model_info.supported_environments, and LITELLM_ENVIRONMENT is %q, which is none of %s", here, words)
	}
	found := false
	for _, item := range n.Items() {
		word, _ := item.Scalar()
		if !slices.Contains(environments, word) {
			return false, fmt.Errorf("model_info.supported_environments has %q, which is none of %s", word, words)
		}
		found = found || word == here
	}
	if !found {
		name, _ := m.Node.Get("model_name").Scalar()
		l.report(finding.Info, n, "model_list[%d] %q is not loaded: LITELLM_ENVIRONMENT is %s", m.Index, name, here)
	}
	return found, nil
}

// organizations are those of a list, which makes one deployment for each; one
// nil where there is no list.
func organizations(params *config.Node) ([]*string, error) {
	n := params.Get("organization")
	if n.IsNull() || n.Kind != config.List {
		return []*string{nil}, nil
	}
	if n.Len() == 0 {
		return nil, errors.New("organization is a list without entries: name one, or delete the key")
	}
	var list []*string
	for _, item := range n.Items() {
		text, ok := item.Scalar()
		if text = strings.TrimSpace(text); !ok || text == "" {
			return nil, fmt.Errorf("organization must be a name or a list of names")
		}
		list = append(list, &text)
	}
	return list, nil
}

// tagPatterns reads tag_regex. Where tags route, an entry with a pattern that
// cannot be used is disabled, since it would take every request or none.
func (l *loader) tagPatterns(d *call.Deployment, n *config.Node) error {
	routes := l.c.Router.TagFiltering
	if d.TagFiltering != nil {
		routes = *d.TagFiltering
	}
	for _, item := range l.list(n) {
		text, ok := item.Str()
		pattern, err := regexp.Compile(text)
		switch {
		case ok && err == nil:
			d.TagPatterns = append(d.TagPatterns, pattern)
		case !routes:
			l.report(finding.Warning, item, "%s is no pattern that can be used here, which matters once router_settings.enable_tag_filtering is on", item.Path())
		case !ok:
			return fmt.Errorf("tag_regex must be a list of texts, not of %s", item.Kind)
		default:
			return fmt.Errorf("tag_regex has %q, which cannot be used: %s. Patterns are those of RE2, without look-around and back references", text, plainRegexpError(err))
		}
	}
	return nil
}

// programs says whether the router wants to know which program asks. That tags
// route may be said by another entry of the same group.
func (l *loader) programs() {
	l.c.API.Routing.UserAgent = l.c.API.Routing.Tags && slices.ContainsFunc(l.c.Deployments, func(d *call.Deployment) bool { return len(d.TagPatterns) > 0 })
}

func plainRegexpError(err error) string {
	return strings.TrimPrefix(err.Error(), "error parsing regexp: ")
}

// defaults names what default_litellm_params say and nobody reads.
func (l *loader) defaults() {
	for _, n := range l.tree.Get("router_settings.default_litellm_params").Items() {
		if !n.IsNull() && !provider.Defaultable(n.Key) {
			l.report(finding.Warning, n, "%s has no effect: default_litellm_params gives requests their parameters, api_key, organization, extra_headers and extra_body. Write it into litellm_params of the entries", n.Path())
		}
	}
}

// settings reads what litellm_settings says about upstreams.
func (l *loader) settings() {
	s := l.tree.Section("litellm_settings")
	for _, name := range provider.KeySettings() {
		n := s.Get(name)
		if n.IsNull() {
			continue
		}
		if !n.IsScalar() {
			l.report(finding.Warning, n, "%s must be text, not %s; it is left out", n.Path(), n.Kind)
			continue
		}
		if l.upstreams.Keys == nil {
			l.upstreams.Keys = map[string]redact.Secret{}
		}
		l.upstreams.Keys[name] = n.Secret()
	}
	if on := l.flag(s.Get("enable_azure_ad_token_refresh")); on != nil {
		l.upstreams.ADRefresh = *on
	}
	l.upstreams.APIBase = l.text(s.Get("api_base"))
	l.upstreams.Organization = l.text(s.Get("organization"))
	if n := s.Get("api_version"); !n.IsNull() {
		l.upstreams.APIVersion, _ = n.Scalar() // dates without a suffix are no text in YAML
	}
}
