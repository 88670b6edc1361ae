package proxy

import (
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
)

// unserved names the settings that LiteLLM acts on and this build does not: a
// setting is never ignored without a word.
func (l *loader) unserved() {
	u := unserved{loader: l, seen: map[string]bool{}}
	for _, n := range l.tree.Root().Items() {
		u.key(litellm.SectionTop, n)
	}
	for _, s := range []string{litellm.SectionGeneral, litellm.SectionLiteLLM, litellm.SectionRouter, litellm.SectionLLMGW} {
		u.keys(s, l.tree.Section(s))
	}
	u.keys(litellm.SectionCacheParams, l.tree.Get("litellm_settings.cache_params"))
	u.keys(litellm.SectionCoordinationRedis, l.tree.Get("general_settings.coordination_redis"))
	for m := range l.tree.Entries() {
		u.keys(litellm.SectionLiteLLMParams, m.Params)
		u.keys(litellm.SectionModelInfo, m.Info)
	}
	l.unservedVariables()
}

// unserved reports each key once, however many deployments have it.
type unserved struct {
	*loader
	seen map[string]bool
}

func (u *unserved) keys(section string, n *config.Node) {
	for _, item := range n.Items() {
		u.key(section, item)
	}
}

func (u *unserved) key(section string, n *config.Node) {
	key, known := litellm.LookupKey(section, n.Key)
	if !known || key.Implemented || u.seen[key.Path()] || n.IsNull() {
		return
	}
	// What LiteLLM does not act on either has been said by the reader of the file.
	if key.Status != litellm.Live && key.Status != litellm.Deprecated {
		return
	}
	// A switch that is off, a list without entries: nothing is asked for.
	if on, ok := n.Bool(); ok && !on || !n.IsScalar() && n.Len() == 0 {
		return
	}
	// Prices and capabilities of models, which LiteLLM's releases add to, are
	// shown as they are written.
	if section == litellm.SectionModelInfo && !key.Listed {
		return
	}
	u.seen[key.Path()] = true
	if key.Needless != "" {
		u.report(finding.Info, n, "%s has no effect here: %s", n.Path(), key.Needless)
		return
	}
	u.report(finding.Warning, n, "%s is not served by this build yet and has no effect", n.Path())
}

// elsewhere are variables that have been spoken of in other words, or that
// matter only with a database, which is spoken of as a whole.
func elsewhere(v litellm.EnvVar) bool {
	switch v.Group {
	case "database", "provider", "package":
		return true
	}
	return slices.Contains([]string{"STORE_MODEL_IN_DB", "LITELLM_SALT_KEY", "LITELLM_MIGRATE_FROM_MASTER_KEY", "DEFAULT_IN_MEMORY_TTL"}, v.Name)
}

// unservedVariables names, in one line, the variables that LiteLLM reads and
// this build does not.
func (l *loader) unservedVariables() {
	var names []string
	for _, v := range litellm.Env() {
		word := l.env.Get(v.Name)
		if v.Implemented || elsewhere(v) || word == "" {
			continue
		}
		if on, _, ok := litellm.ParseEnvBool(v.Name, word); v.Type == litellm.Bool && ok && !on {
			continue // a switch that is off: nothing is asked for
		}
		names = append(names, v.Name)
	}
	switch len(names) {
	case 0:
	case 1:
		l.report(finding.Warning, nil, "the variable %s is not read by this build yet and has no effect", names[0])
	default:
		l.report(finding.Warning, nil, "the variables %s are not read by this build yet and have no effect", strings.Join(names, ", "))
	}
}
