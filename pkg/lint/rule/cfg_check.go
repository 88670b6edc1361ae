package rule

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/startcheck"
)

func wrongType(u *Unit) []Hit {
	var out []Hit
	for _, section := range sections {
		for _, n := range u.Section(section).Items() {
			key, ok := litellm.LookupKey(section, n.Key)
			if !ok || n.IsNull() {
				continue
			}
			if text, _ := n.Scalar(); strings.HasPrefix(text, refPrefix) {
				continue
			}
			want := ""
			switch key.Type {
			case litellm.Int:
				if _, ok := n.Int(); !ok {
					want = "a whole number"
				}
			case litellm.Float, litellm.Sec:
				if _, ok := n.Number(); !ok {
					want = "a number"
				}
			case litellm.Bool:
				if _, ok := n.Bool(); !ok {
					want = "true or false"
				}
			case litellm.List:
				if n.Kind != config.List && !bareString[n.Key] {
					want = "a list"
				}
			case litellm.Map:
				if n.Kind != config.Map {
					want = "a mapping"
				}
			}
			if want == "" {
				continue
			}
			h := hitf(entrySpan(n), n.Path(), sevError, "%s must be %s, not %s", n.Path(), want, n.Kind)
			h.Fix = "write " + want + "."
			if text, _ := n.Scalar(); key.Type == litellm.Int || key.Type == litellm.Float || key.Type == litellm.Sec {
				if s, ok := inSeconds(text); ok {
					h.Fix = fmt.Sprintf("write seconds: %s: %s.", n.Key, s)
				}
			}
			out = append(out, h)
		}
	}
	return append(out, u.refusals("CFG006")...)
}

// refusals are the reasons not to start that the gateway itself would give,
// under one id of the catalogue.
func (u *Unit) refusals(id string) []Hit {
	if u.Config == nil || u.Tree == nil {
		return nil
	}
	if !u.checked {
		u.refused, u.checked = startcheck.Check(u.Tree, startcheck.Facts{Host: "127.0.0.1"}), true
	}
	var out []Hit
	for _, f := range u.refused {
		if f.ID == id && f.Pos.Line > 0 {
			f.ID, f.Name = "", ""
			out = append(out, Hit{Finding: f})
		}
	}
	return out
}

// bareString are list settings that accept a single text.
var bareString = map[string]bool{"callbacks": true, "success_callback": true, "failure_callback": true, "alerting": true}

// inSeconds reads 10m as 600.
func inSeconds(text string) (string, bool) {
	if text == "" {
		return "", false
	}
	unit := map[byte]int{'s': 1, 'm': 60, 'h': 3600}[text[len(text)-1]]
	n, ok := atoi(text[:len(text)-1])
	if unit == 0 || !ok {
		return "", false
	}
	return fmt.Sprint(n * unit), true
}

// scalars yields every text of the config with its node.
func (u *Unit) scalars(yield func(n *config.Node, text string)) {
	if u.Config == nil {
		return
	}
	for n := range u.Config.Root.Walk() {
		if text, ok := n.Scalar(); ok {
			yield(n, text)
		}
	}
}

func envRefMissing(u *Unit) []Hit {
	if !u.Env.Closed() || u.secretManager() {
		return nil
	}
	var out []Hit
	u.scalars(func(n *config.Node, text string) {
		name, ok := strings.CutPrefix(text, refPrefix)
		if !ok || !identifier(name) || u.Env.Has(name) {
			return
		}
		h := hitf(valueSpan(n), n.Path(), sevError, "%s refers to %s, which is not set", n.Path(), name)
		if near := nearestOf(name, u.Env.Names()); near != "" {
			h.Message += fmt.Sprintf("; did you mean %s?", near)
		}
		out = append(out, h)
	})
	return out
}

// nearestOf finds the candidate within two edits, or that contains or is
// contained in the word.
func nearestOf(word string, candidates []string) string {
	best, at := "", 3
	for _, c := range candidates {
		if d := distance(word, c); d < at {
			best, at = c, d
		}
	}
	if best != "" {
		return best
	}
	parts := strings.Split(word, "_")
	for _, c := range candidates {
		have := strings.Split(c, "_")
		if len(parts) > 1 && have[0] == parts[0] && have[len(have)-1] == parts[len(parts)-1] {
			return c
		}
	}
	return ""
}

func identifier(s string) bool {
	for i, r := range s {
		switch {
		case r == '_', r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z':
		case i > 0 && r >= '0' && r <= '9':
		default:
			return false
		}
	}
	return s != ""
}

var malformedRef = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:\$\{([^}]*)\}|\$\(?([A-Za-z_][A-Za-z0-9_]*)\)?|os\.environ\.([A-Za-z_]\w*)|os\.environ\[["']?([^\]"']*)["']?\]|os\.environ\.get\(.*|os\.getenv\(["']?([^)"']*)["']?\)|env\.([A-Z_][A-Z0-9_]*))$`)
})

func envRefMalformed(u *Unit) []Hit {
	var out []Hit
	u.scalars(func(n *config.Node, text string) {
		name := ""
		if rest, ok := strings.CutPrefix(text, refPrefix); ok {
			if identifier(rest) {
				return
			}
			name = rest
		} else {
			m := malformedRef().FindStringSubmatch(text)
			if m == nil {
				return
			}
			name = strings.Join(m[1:], "")
		}
		h := hitf(valueSpan(n), n.Path(), sevError, "%s looks like a reference to a variable, but LiteLLM takes it as plain text", n.Path())
		if identifier(name) {
			h.Fix = "write " + refPrefix + name + "."
		}
		out = append(out, h)
	})
	return out
}

func incompleteEntry(u *Unit) []Hit {
	var out []Hit
	for i, n := range u.Section("model_list").Items() {
		var missing []string
		if n.Kind != config.Map {
			out = append(out, hitf(n.Pos, n.Path(), sevError, "model_list[%d] is %s, not a mapping with model_name and litellm_params", i, n.Kind))
			continue
		}
		if n.Get("model_name").IsNull() {
			missing = append(missing, "model_name")
		}
		if n.Get("litellm_params").Get("model").IsNull() {
			missing = append(missing, "litellm_params.model")
		}
		if len(missing) > 0 {
			pos := n.Pos
			pos.Offset, pos.End = 0, 0
			out = append(out, hitf(pos, n.Path(), sevError, "model_list[%d] lacks %s", i, quoteList(missing)))
		}
	}
	return out
}

func notInThisBuild(u *Unit) []Hit {
	out := u.refusals("CFG022")
	for m := range u.models() {
		v := u.Resolve(m.Params.Get("model"))
		if v.State != Known || v.Ref != "" {
			continue
		}
		prefix, _, found := strings.Cut(v.Text, "/")
		if p, ok := catalog.LookupProvider(prefix); found && ok && !p.Supported() {
			where := fmt.Sprintf("model_list[%d] %q", m.Index, m.Name)
			out = append(out, hitf(u.spanOf(v), v.Path, sevError, "%s", catalog.NotSupported(where, prefix)))
		}
	}
	return out
}

func placeholderValue(u *Unit) []Hit {
	var out []Hit
	u.scalars(func(n *config.Node, text string) {
		if litellm.Placeholder(text) {
			out = append(out, hitf(valueSpan(n), n.Path(), sevError, "%s is a placeholder of the documentation", n.Path()))
		}
	})
	for _, name := range u.Env.Names() {
		v, _ := u.Env.Lookup(name)
		if v.Known && v.Source != "environment_variables" && litellm.Placeholder(v.Value) {
			out = append(out, hitf(v.Pos, name, sevError, "the value of %s is a placeholder of the documentation", name))
		}
	}
	return out
}

func envWord(u *Unit) []Hit {
	var out []Hit
	for _, name := range u.Env.Names() {
		v, _ := u.Env.Lookup(name)
		known, ok := litellm.LookupEnv(name)
		if !ok || !v.Known || known.Theirs == litellm.WordsNone {
			continue
		}
		if _, warning, _ := litellm.ParseEnvBool(name, v.Value); warning != "" {
			out = append(out, hitf(v.Pos, name, sevError, "%s", warning))
		}
	}
	return out
}

func envNameUnknown(u *Unit) []Hit {
	referenced := map[string]bool{}
	u.scalars(func(_ *config.Node, text string) {
		if name, ok := strings.CutPrefix(text, refPrefix); ok {
			referenced[name] = true
		}
	})
	var out []Hit
	for _, name := range u.Env.Names() {
		if _, ok := litellm.LookupEnv(name); ok || referenced[name] || !ourPrefix(name) {
			continue
		}
		best, at := "", 3
		for _, known := range litellm.Env() {
			if d := distance(name, known.Name); d < at {
				best, at = known.Name, d
			}
		}
		if best == "" {
			continue
		}
		v, _ := u.Env.Lookup(name)
		h := hitf(v.Pos, name, sevWarn, "nothing reads the variable %s; did you mean %s?", name, best)
		h.Fix = "rename it to " + best + "."
		out = append(out, h)
	}
	return out
}

func ourPrefix(name string) bool {
	for _, p := range []string{"LITELLM_", "LITELM_", "DATABASE_", "REDIS_"} {
		if strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}
