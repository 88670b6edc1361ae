package render

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
)

// maxConfig is what a ConfigMap may hold.
const maxConfig = 1 << 20

// configFile decides the bytes of the rendered config.yaml and which variables
// come from the Secret.
func (p *plan) configFile() {
	files := p.o.Tree.Files()
	if len(files) == 0 {
		p.fail("E-CONFIG", "there is no configuration to render")
		return
	}
	main := files[0]
	if len(files) > 1 {
		p.includes(files)
	}
	edits, want := p.secretEdits(main)
	for _, where := range slices.Sorted(maps.Keys(p.edits)) {
		section, key, _ := strings.Cut(where, ".")
		edit, ok := setKey(main, p.o.Tree.Root(), section, key, p.edits[where])
		if !ok {
			p.note(finding.Error, "E-CONFIG-EDIT", p.section(section), "%s cannot be written into this file: write %s: %s there yourself", where, key, p.edits[where])
			continue
		}
		edits, want[where] = append(edits, edit), p.edits[where]
	}
	if p.failed() {
		return
	}
	text, err := rewrite(main, edits, want)
	if err != nil {
		p.fail("E-CONFIG-EDIT", "%s", err)
		return
	}
	p.configText = text
	total := len(text)
	for _, f := range files[1:] {
		total += len(f.Data)
	}
	if total > maxConfig {
		p.fail("E-CONFIG-SIZE", "the configuration has %d bytes; a ConfigMap holds %d", total, maxConfig)
	}
	p.variables(want)
}

// includes checks that included files can lie beside the main one.
func (p *plan) includes(files []config.File) {
	slashes := func(name string) string { return strings.ReplaceAll(name, `\`, "/") }
	seen := map[string]bool{"config.yaml": true}
	for _, f := range files[1:] {
		name := slashes(f.Name)
		switch base := path.Base(name); {
		case path.Dir(name) != path.Dir(slashes(files[0].Name)):
			p.fail("E-INCLUDE", "%s: a ConfigMap has no directories; put the included file beside %s", f.Name, files[0].Name)
		case seen[base]:
			p.fail("E-INCLUDE", "%s: there is a second file called %s for the same ConfigMap", f.Name, base)
		default:
			seen[base] = true
		}
	}
}

// secretEdits refuses credentials in the configuration, or moves them out.
func (p *plan) secretEdits(main config.File) ([]finding.Edit, map[string]string) {
	var edits []finding.Edit
	want := map[string]string{}
	if p.o.AllowPlaintext {
		if n := p.key("general_settings.master_key"); n.IsScalar() && reference(n) == "" {
			if text, _ := n.Scalar(); !strings.HasPrefix(text, "sk-") {
				p.note(finding.Warning, "K-MASTER-KEY", n.Where(), "the master key does not begin with sk-, which the proxy demands")
			}
		}
		return nil, want
	}
	for n := range p.o.Tree.Root().Walk() {
		for _, shadowed := range n.Shadowed {
			for s := range shadowed.Walk() {
				if isSecret(s) {
					p.note(finding.Error, "E-PLAINTEXT", s.Where(), "an earlier %s, which has no effect, holds a credential in plain text (remove it)", shadowed.Key)
				}
			}
		}
	}
	for _, l := range literals(p.o.Tree.Root()) {
		n := l.node
		where := n.Path()
		switch {
		case !p.o.ExtractSecrets:
			p.note(finding.Error, "E-PLAINTEXT", n.Where(), "%s is a credential in plain text (write os.environ/%s, or let --extract-secrets do it)", where, l.name)
		case n.Pos.File != main.Name:
			p.note(finding.Error, "E-PLAINTEXT", n.Where(), "%s is a credential in an included file (write os.environ/%s there)", where, l.name)
		default:
			edits = append(edits, finding.Edit{File: main.Name, Offset: n.Pos.Offset, End: n.Pos.End, Text: "os.environ/" + l.name})
			want[where] = "os.environ/" + l.name
			p.note(finding.Info, "N-EXTRACTED", n.Where(), "%s is now os.environ/%s: put its value into the Secret", where, l.name)
		}
	}
	// A value that stands once and is seen through an alias is one edit.
	slices.SortFunc(edits, func(a, b finding.Edit) int { return a.Offset - b.Offset })
	edits = slices.CompactFunc(edits, func(a, b finding.Edit) bool { return a.Offset == b.Offset && a.End == b.End })
	return edits, want
}

// variables lists what the pods take from the Secret.
func (p *plan) variables(extracted map[string]string) {
	names := p.references()
	for _, text := range extracted {
		if name, ok := strings.CutPrefix(text, "os.environ/"); ok {
			names = append(names, name)
		}
	}
	if p.key("general_settings.master_key").IsNull() {
		names = append(names, "LITELLM_MASTER_KEY")
	}
	if p.database {
		names = append(names, "LITELLM_SALT_KEY")
		if p.key("general_settings.database_url").IsNull() {
			names = append(names, p.urlKey)
		}
		if p.target == facts.LiteLLM && p.ui {
			// Without one the UI's login is the master key.
			names = append(names, "UI_PASSWORD")
		}
	}
	for n := range p.key("general_settings.alerting").Walk() {
		if s, _ := n.Str(); s == "slack" && !p.key("general_settings.alert_to_webhook_url").IsScalar() && p.key("general_settings.alert_to_webhook_url").Len() == 0 {
			names = append(names, "SLACK_WEBHOOK_URL")
		}
	}
	// A variable that environment_variables defines in the file itself is there
	// already, unless it is a reference to itself.
	for _, n := range p.key("environment_variables").Items() {
		if reference(n) == "" && extracted[n.Path()] == "" {
			names = slices.DeleteFunc(names, func(name string) bool { return name == n.Key })
		}
	}
	slices.Sort(names)
	p.secretEnv = slices.Compact(names)
	for _, name := range p.secretEnv {
		if !validVariable(name) {
			p.fail("E-ENV-NAME", "os.environ/%s: that is not a name a container can have", name)
		}
	}
	for _, name := range p.o.OptionalEnv {
		if !slices.Contains(p.secretEnv, name) {
			p.fail("E-ENV-NAME", "--optional-env %s: the pods take no such variable; they take %s", name, strings.Join(p.secretEnv, ", "))
		}
	}
	if env := p.o.KnownEnv; env != nil {
		for _, name := range p.SecretKeys() {
			if env.Has(name) || slices.Contains(p.o.OptionalEnv, name) {
				continue
			}
			code := "K-ENV-MISSING"
			if name == "LITELLM_SALT_KEY" {
				code = "K-SALT"
			}
			p.warn(code, "%s is not in the --env-file: the Secret must hold it", name)
		}
	}
}

func validVariable(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for i, r := range name {
		letter := r == '_' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return true
}

// SecretKeys are the keys that the Secret must hold.
func (p *plan) SecretKeys() []string {
	keys := slices.Clone(p.secretEnv)
	if p.database {
		keys = append(keys, p.urlKey)
		if p.directKey != "" {
			keys = append(keys, p.directKey)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// files are the ConfigMap's entries.
func (p *plan) files() map[string]any {
	out := map[string]any{"config.yaml": string(p.configText)}
	for i, f := range p.o.Tree.Files() {
		if i > 0 {
			out[path.Base(strings.ReplaceAll(f.Name, `\`, "/"))] = string(f.Data)
		}
	}
	return out
}

// describe is a number of bytes as a Kubernetes quantity.
func describe(bytes int64) string {
	for _, u := range []struct {
		suffix string
		size   int64
	}{{"Ti", 1 << 40}, {"Gi", 1 << 30}, {"Mi", 1 << 20}, {"Ki", 1 << 10}} {
		if bytes >= u.size && bytes%u.size == 0 {
			return fmt.Sprintf("%d%s", bytes/u.size, u.suffix)
		}
	}
	return fmt.Sprint(bytes)
}
