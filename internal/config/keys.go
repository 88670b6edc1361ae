package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
)

// keys warns of keys that nothing reads: unknown ones with the nearest known
// name, known ones that stand in the wrong section with the right one.
func (l *loader) keys() {
	root := l.tree.root
	for _, n := range root.children {
		l.key(litellm.SectionTop, n)
	}
	for _, name := range []string{litellm.SectionGeneral, litellm.SectionLiteLLM, litellm.SectionRouter, litellm.SectionLLMGW} {
		section := root.Get(name)
		if section.IsNull() {
			continue
		}
		if section.Kind != Map {
			l.wrongShape(section, "a mapping")
			continue
		}
		for _, n := range section.children {
			l.key(name, n)
		}
	}
	for _, n := range root.Get(litellm.SectionLLMGW).Get("log_sink").Items() {
		l.key(litellm.SectionLogSink, n)
	}
	for _, name := range []string{"retry_policy", "allowed_fails_policy"} {
		if policy := root.Get("router_settings").Get(name); !policy.IsNull() && policy.Kind == Map {
			for _, n := range policy.children {
				l.key(name, n)
			}
		}
	}
	for _, group := range root.Get("router_settings").Get("model_group_retry_policy").Items() {
		for _, n := range group.Items() {
			l.key("retry_policy", n)
		}
	}
	models := root.Get("model_list")
	if models.IsNull() {
		return
	}
	if models.Kind != List {
		l.wrongShape(models, "a list")
		return
	}
	for _, entry := range models.children {
		for _, n := range entry.Items() {
			l.entryKey(n)
		}
		if params := entry.Get("litellm_params"); params != nil && params.Kind == Map {
			for _, n := range params.children {
				l.paramKey(n)
			}
		}
	}
}

func (l *loader) wrongShape(n *Node, want string) {
	l.add(finding.Finding{ID: "CFG006", Name: "wrong-type", Severity: finding.Warning, Pos: n.Where(), Path: n.Path(),
		Message: n.Path() + " is " + n.Kind.String() + ", " + want + " is expected; it has no effect", Fix: "write " + want})
}

// renamed are names of documentation examples that are neither known keys nor
// near one.
var renamed = map[string]string{
	"general_settings.alerts": "general_settings.alerting",
}

// misplacedWhy says what a well-known misplacement does, beyond having no
// effect.
var misplacedWhy = map[string]string{
	"master_key":    "As written, requests need no key.",
	"database_url":  "As written, there is no database.",
	"cache_params":  "As written, nothing is cached in Redis.",
	"cooldown_time": "As written, a failing deployment rests for the default of 5 seconds.",
}

func (l *loader) key(section string, n *Node) {
	name := n.Key
	if section == litellm.SectionTop && strings.HasPrefix(name, "x-") {
		return // the customary place for anchors
	}
	if k, ok := litellm.LookupKey(section, name); ok {
		if k.Instead != "" && (k.Status == litellm.Deprecated || k.Status == litellm.Dead) {
			l.add(finding.Finding{ID: "CFG013", Name: "deprecated-key", Severity: finding.Info, Pos: n.KeyPos, Path: n.Path(),
				Message: n.Path() + " is " + string(k.Status), Fix: "use " + k.Instead + " instead"})
		}
		if k.Status != litellm.Internal {
			return
		}
		l.add(finding.Finding{ID: "CFG004", Name: "unknown-key", Severity: finding.Warning, Pos: n.KeyPos, Path: n.Path(),
			Message: n.Path() + " is set by the server itself and has no effect in the file", Fix: "delete it"})
		return
	}
	if to := renamed[n.Path()]; to != "" {
		l.misplaced(n, to)
		return
	}
	if owner, ok := homeOf(name, section); ok {
		l.misplaced(n, join(owner, name))
		return
	}
	if section == litellm.SectionGeneral || section == litellm.SectionLiteLLM || section == litellm.SectionTop {
		if v, ok := litellm.LookupEnv(strings.ToUpper(name)); ok && (v.Name == name || v.Secret) {
			l.add(finding.Finding{ID: "CFG005", Name: "misplaced-key", Severity: finding.Warning, Pos: n.KeyPos, Path: n.Path(),
				Message: n.Path() + " has no effect; " + v.Name + " is an environment variable",
				Fix:     "set it where the process is started, or under environment_variables"})
			return
		}
	}
	f := finding.Finding{ID: "CFG004", Name: "unknown-key", Severity: finding.Warning, Pos: n.KeyPos, Path: n.Path()}
	switch section {
	case litellm.SectionTop:
		f.ID, f.Name = "CFG003", "unknown-top-level-key"
		f.Message = fmt.Sprintf("%s is not a section that is read", name)
	case litellm.SectionRouter:
		f.Message = fmt.Sprintf("Key '%s' is not a valid argument for Router.__init__(). Ignoring this key.", name)
	default:
		f.Message = fmt.Sprintf("%s is not known to this version of llmgw and has no effect", n.Path())
	}
	if near, ok := litellm.Nearest(section, name); ok {
		f.Fix = "did you mean " + near + "?"
	} else {
		f.Fix = "delete it, or correct the name"
	}
	l.add(f)
}

func join(section, name string) string {
	if section == litellm.SectionTop {
		return name
	}
	return section + "." + name
}

// homeOf finds the section a key belongs to, if it is not at home in the given
// one: the four places that people mix up, in the order of how likely they are.
func homeOf(name, section string) (string, bool) {
	owners := litellm.OwnerOf(name)
	for _, s := range []string{litellm.SectionGeneral, litellm.SectionLiteLLM, litellm.SectionRouter, litellm.SectionTop} {
		if s != section && slices.Contains(owners, s) {
			return s, true
		}
	}
	return "", false
}

func (l *loader) misplaced(n *Node, to string) {
	f := finding.Finding{ID: "CFG005", Name: "misplaced-key", Severity: finding.Warning, Pos: n.KeyPos, Path: n.Path(),
		Message: n.Path() + " has no effect; move it to " + to + ".", Why: misplacedWhy[n.Key]}
	if !strings.Contains(to, ".") && to == n.Key {
		f.Message = n.Path() + " has no effect; move it to the top level of the file."
	}
	if f.Why != "" {
		f.Message += " " + f.Why
		f.Why = ""
	}
	f.Message = strings.TrimSuffix(f.Message, ".")
	f.Fix = "move it to " + to
	l.add(f)
}

// entryKey looks at the keys of a model_list entry, where extra ones are kept,
// for those that belong one level deeper.
func (l *loader) entryKey(n *Node) {
	if _, ok := litellm.LookupKey(litellm.SectionModelEntry, n.Key); ok {
		return
	}
	section := litellm.SectionLiteLLMParams
	if _, ok := litellm.LookupKey(section, n.Key); !ok {
		section = litellm.SectionModelInfo
		if _, ok := litellm.LookupKey(section, n.Key); !ok {
			if near, ok := litellm.Nearest(litellm.SectionModelEntry, n.Key); ok {
				l.add(finding.Finding{ID: "CFG004", Name: "unknown-key", Severity: finding.Warning, Pos: n.KeyPos, Path: n.Path(),
					Message: n.Path() + " is not a key of a model entry and has no effect", Fix: "did you mean " + near + "?"})
			}
			return
		}
	}
	l.add(finding.Finding{ID: "CFG005", Name: "misplaced-key", Severity: finding.Warning, Pos: n.KeyPos, Path: n.Path(),
		Message: n.Path() + " belongs under " + section, Fix: "indent it below " + section + ":"})
}

// infoOnly are the keys that belong into model_info and do nothing, or harm, in
// litellm_params, which are sent to the provider.
var infoOnly = []string{"mode", "health_check_model", "access_groups", "base_model", "health_check_timeout", "supported_environments"}

func (l *loader) paramKey(n *Node) {
	if n.Key == "model_info" || n.Key == "litellm_params" || n.Key == "model_name" {
		l.add(finding.Finding{ID: "CFG005", Name: "misplaced-key", Severity: finding.Warning, Pos: n.KeyPos, Path: n.Path(),
			Message: n.Path() + " is read as a parameter of the call; it belongs to the entry, beside litellm_params",
			Fix:     "move it one level up"})
		return
	}
	if _, ok := litellm.LookupKey(litellm.SectionLiteLLMParams, n.Key); ok {
		return
	}
	if slices.Contains(infoOnly, n.Key) {
		l.add(finding.Finding{ID: "CFG005", Name: "misplaced-key", Severity: finding.Warning, Pos: n.KeyPos, Path: n.Path(),
			Message: n.Path() + " is sent to the provider as a parameter; it belongs under model_info", Fix: "move it to model_info"})
		return
	}
	// Everything else is passed on: vendors have options of their own. Only a slip
	// of a name that matters is worth a word.
	if near, ok := litellm.Nearest(litellm.SectionLiteLLMParams, n.Key); ok && critical[near] {
		l.add(finding.Finding{ID: "CFG004", Name: "unknown-key", Severity: finding.Warning, Pos: n.KeyPos, Path: n.Path(),
			Message: n.Path() + " is not known and is sent to the provider as a parameter", Fix: "did you mean " + near + "?"})
	}
}

var critical = map[string]bool{
	"model": true, "api_key": true, "api_base": true, "api_version": true, "timeout": true, "stream_timeout": true, "rpm": true, "tpm": true,
	"weight": true, "order": true, "max_parallel_requests": true, "custom_llm_provider": true, "mock_response": true, "drop_params": true,
	"extra_headers": true, "num_retries": true, "max_retries": true, "cooldown_time": true, "litellm_credential_name": true,
}
