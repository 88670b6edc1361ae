package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm/pyfmt"
)

// refPrefix begins a value that names a variable.
const refPrefix = "os.environ/"

// reference returns the variable a text names, and whether it is a reference at
// all. Token sources (oidc/...) are none.
func reference(text string) (name string, ok bool) {
	name, ok = strings.CutPrefix(text, refPrefix)
	if !ok || strings.HasPrefix(name, "oidc/") {
		return "", false
	}
	return name, true
}

// blockedNames are never set from a configuration.
var blockedNames = map[string]bool{
	"PATH": true, "LD_PRELOAD": true, "LD_LIBRARY_PATH": true, "DYLD_LIBRARY_PATH": true, "DYLD_INSERT_LIBRARIES": true,
	"PYTHONPATH": true, "PYTHONSTARTUP": true, "PYTHONHOME": true, "HOME": true, "USER": true, "SHELL": true,
	"LOGNAME": true, "NO_PROXY": true, "no_proxy": true,
}

// environmentVariables sets the variables of the section of that name, before
// anything refers to them. LiteLLM does it after; we warn where that differs.
func (l *loader) environmentVariables() {
	section := l.tree.root.Get("environment_variables")
	if section.IsNull() {
		return
	}
	if section.Kind != Map {
		l.add(finding.Finding{ID: "CFG006", Severity: finding.Warning, Pos: section.Where(), Path: section.Path(),
			Message: "environment_variables is " + section.Kind.String() + ", a mapping of names to values is expected; it has no effect",
			Fix:     "write NAME: value, one per line"})
		return
	}
	l.onlyHere = map[string]*Node{}
	env := l.tree.env
	for _, n := range section.children {
		warn := func(id, message, fix string) {
			l.add(finding.Finding{ID: id, Severity: finding.Warning, Pos: n.Where(), Path: n.Path(), Message: message, Fix: fix})
		}
		if strings.EqualFold(n.Key, "LITELLM_ENABLE_MCP_STDIO") {
			warn("", "Ignoring LITELLM_ENABLE_MCP_STDIO set in the config file. Set it in the proxy's environment instead", "delete the line")
			continue
		}
		if blockedNames[n.Key] {
			warn("", "Skipping blocked environment variable key: "+n.Key, "set it where the process is started")
			continue
		}
		if !l.KeepReferences {
			l.resolveNode(n)
		} else if text, ok := n.Str(); ok {
			n.Ref, _ = reference(text)
		}
		v := Var{Name: n.Key, Known: true, Source: "environment_variables", Pos: n.Where()}
		switch {
		case n.Ref != "" && (n.Unknown || l.KeepReferences):
			v.Known = false
		case n.Kind == Null:
			if n.Ref == "" { // a missing reference has its own finding
				warn("", "environment_variables."+n.Key+` is null and is not set (LiteLLM would store the text "None")`, "give it a value, or delete the line")
			}
			continue
		case n.Kind == Map || n.Kind == List:
			warn("CFG006", "environment_variables."+n.Key+" is "+n.Kind.String()+", text is expected; it is not set", "put the value in quotes")
			continue
		default:
			v.Value = n.pythonText()
		}
		if !env.Has(n.Key) {
			l.onlyHere[n.Key] = n
		}
		env.Set(v)
	}
}

// pythonText is the text Python makes of a scalar: True, 5, 1e-06.
func (n *Node) pythonText() string {
	switch n.Kind {
	case Bool:
		if n.b {
			return "True"
		}
		return "False"
	case Int:
		if v, ok := n.Int(); ok {
			return pyfmt.Str(v)
		}
	case Float:
		return pyfmt.Float(n.f)
	}
	return n.text
}

// resolve replaces every reference in the tree, those in lists included.
func (l *loader) resolve() {
	manager := !l.tree.root.Lookup("general_settings.key_management_system").IsNull()
	for n := range l.tree.root.Walk() {
		if n.parent != nil && n.parent.parent == nil && n.Key == "environment_variables" {
			for _, c := range n.children {
				if c.RefMissing {
					l.missing(c, manager)
				}
			}
			continue
		}
		if n.parent != nil && n.parent.Key == "environment_variables" && n.parent.parent == l.tree.root {
			continue
		}
		l.resolveNode(n)
		if n.RefMissing {
			l.missing(n, manager)
		}
		if def := l.onlyHere[n.Ref]; def != nil && n.Ref != "" {
			l.add(finding.Finding{ID: "CFG007", Severity: finding.Warning, Pos: n.Pos, Path: n.Path(),
				Message: fmt.Sprintf("%s: %s is set only under environment_variables; LiteLLM resolves references before it reads that section and would find null here", n.Path(), n.Ref),
				Fix:     "set " + n.Ref + " where the process is started",
				Related: []finding.Related{{Pos: def.Where(), Message: "set here"}}})
		}
	}
}

// pointerKeys hold the name of a secret, which is looked up when it is needed.
var pointerKeys = map[string]bool{"anthropic_issuer_signing_key_ref": true, "anthropic_keycloak_client_secret_ref": true}

// resolveNode replaces one reference. true and false become booleans, as in
// LiteLLM; numbers stay text.
func (l *loader) resolveNode(n *Node) {
	if n.Kind != String || pointerKeys[n.Key] {
		return
	}
	name, ok := reference(n.text)
	if !ok {
		return
	}
	n.Ref = name
	v, set := l.tree.env.Lookup(name)
	n.Origin = Origin{Kind: FromReference, Name: name, Via: v.Source, Pos: n.Pos}
	switch {
	case !set && l.tree.env.Closed():
		n.RefMissing = true
		n.Kind, n.text = Null, ""
	case !set || !v.Known:
		n.Unknown = true
		n.text = ""
	default:
		n.text = v.Value
		switch strings.ToLower(strings.TrimSpace(v.Value)) {
		case "true":
			n.Kind, n.b = Bool, true
		case "false":
			n.Kind, n.b = Bool, false
		}
	}
}

// missing records a reference to a variable that is not set.
func (l *loader) missing(n *Node, manager bool) {
	if manager {
		return // the secret manager may hold it
	}
	path := n.Path()
	f := finding.Finding{ID: "CFG007", Name: "env-ref-missing", Severity: finding.Warning, Pos: n.Pos, Path: path,
		Message: path + ": environment variable " + n.Ref + " is not set", Fix: "set " + n.Ref + ", or correct the name"}
	if n.parent != nil && n.parent.Key == "environment_variables" {
		f.Message = path + ": " + n.Ref + ` is not set (LiteLLM would store the text "None")`
	}
	if near := l.tree.env.nearest(n.Ref); near != "" {
		f.Message += " (" + near + " is set; did you mean it?)"
	} else if path == "general_settings.master_key" && l.tree.env.Has("LITELLM_MASTER_KEY") {
		f.Message += " (LITELLM_MASTER_KEY is set; did you mean it?)"
	}
	l.add(f)
}

// nearest finds a variable that is set and whose name is a slip away.
func (e *Env) nearest(name string) string {
	best, at := "", 3
	for _, have := range e.Names() {
		if len(name) < 5 || len(have) < 5 {
			continue
		}
		if d := distance(strings.ToUpper(name), strings.ToUpper(have), at); d < at {
			best, at = have, d
		}
	}
	return best
}

// distance is the number of insertions, deletions and replacements between two
// names, or limit if there are at least that many.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return min(row[len(b)], limit)
}

var (
	identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	passHeader = regexp.MustCompile(`^general_settings\.pass_through_endpoints\[\d+\]\.headers\.`)
	// lookalikes are spellings of references that nothing expands.
	lookalikes = []*regexp.Regexp{
		regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)(?::?[-=?+][^}]*)?\}`),
		regexp.MustCompile(`^\$([A-Z_][A-Z0-9_]*)$`),
		regexp.MustCompile(`^os\.environ\.([A-Za-z_][A-Za-z0-9_]*)$`),
		regexp.MustCompile(`^os\.environ\[["']?([A-Za-z_][A-Za-z0-9_]*)["']?\]$`),
		regexp.MustCompile(`^os\.(?:getenv|environ\.get)\(["']?([A-Za-z_][A-Za-z0-9_]*)["']?[^)]*\)$`),
		regexp.MustCompile(`^env\.([A-Z_][A-Z0-9_]*)$`),
		regexp.MustCompile(`^.+os\.environ/([A-Za-z_][A-Za-z0-9_]*)`),
	}
)

// malformedReferences warns of texts that look like references and are not.
func (l *loader) malformedReferences() {
	for n := range l.tree.root.Walk() {
		if n.Kind != String || n.Ref != "" || len(n.text) > 4096 {
			if n.Ref != "" && !identifier.MatchString(n.Ref) {
				l.malformed(n, refPrefix+short(n.Ref)+" is not the name of a variable", "")
			}
			continue
		}
		text := n.text
		if strings.HasPrefix(text, refPrefix) {
			if _, ok := reference(text); !ok {
				l.malformed(n, n.Path()+": tokens from oidc/ sources are not supported by this build; the text stays as it is", "use a variable")
			}
			continue
		}
		if !strings.ContainsAny(text, "$[(") && !strings.Contains(text, "env") {
			continue
		}
		for i, re := range lookalikes {
			m := re.FindStringSubmatch(text)
			if m == nil {
				continue
			}
			if i == len(lookalikes)-1 && passHeader.MatchString(n.Path()) {
				break // LiteLLM expands it there, and there alone
			}
			what := text
			switch {
			case i == 0:
				what = "${...}"
			case i == len(lookalikes)-1:
				what = "os.environ/ behind other text"
			case strings.Contains(what, "("): // it may hold a fallback value
				what, _, _ = strings.Cut(what, "(")
				what += "(...)"
			}
			l.malformed(n, n.Path()+": "+what+" is not expanded", "write "+refPrefix+m[1])
			break
		}
	}
}

func (l *loader) malformed(n *Node, message, fix string) {
	l.add(finding.Finding{ID: "CFG008", Name: "env-ref-malformed", Severity: finding.Warning, Pos: n.Pos, Path: n.Path(),
		Message: message, Fix: fix})
}
