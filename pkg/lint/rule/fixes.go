package rule

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
)

// fixers make the edits of rules whose repair follows from where the hit
// stands. nil means that this text cannot be edited with certainty.
var fixers = map[string]func(u *Unit, h Hit) []finding.Edit{
	"SEC025": setVariable("LITELLM_MODE", "PRODUCTION"),
	"LOG003": setVariable("LITELLM_LOG", "ERROR"),
	"K8S028": setVariable("LITELLM_NON_ROOT", "true"),
	"MIG001": setVariable("DISABLE_SCHEMA_UPDATE", "true"),
	"PRF010": setVariable("LITELLM_LOCAL_MODEL_COST_MAP", "True"),

	"SEC012": deleteHere, "SEC027": deleteHere, "LOG005": deleteHere, "LOG006": deleteHere,
	"MIG004": deleteHere, "RTE011": deleteHere, "K8S020": deleteHere, "RDS011": deleteHere,

	"DB020":  addSetting("general_settings", "database_statement_timeout: 60", "database_lock_timeout: 15"),
	"LOG009": addSetting("litellm_settings", "redact_messages_in_exceptions: true"),
	"TMO006": addSetting("litellm_settings", "sse_keepalive_ping_interval_seconds: 15"),

	"K8S004": func(u *Unit, h Hit) []finding.Edit {
		return replaceHere(u, h, u.Container.Resources.LimitsMemory.Text)
	},
	"K8S007": to("/health/readiness"),
	"K8S008": probePath,
	"K8S009": to("/health/liveliness"),
	"K8S011": func(u *Unit, h Hit) []finding.Edit {
		if n := u.nodeAt(h.Pos); n != nil && n.Kind == config.Map {
			return u.insertInto(n, "timeoutSeconds: 10")
		}
		return replaceHere(u, h, "10")
	},
	"K8S013": func(u *Unit, h Hit) []finding.Edit {
		n := u.nodeAt(h.Pos)
		if t := n.Get("type"); t != nil {
			n = t
		}
		if v, ok := n.Scalar(); !ok || v != "Recreate" || shared(n) {
			return nil
		}
		const rolling = "rollingUpdate: {maxUnavailable: 0, maxSurge: 1}"
		strategy := n.Parent()
		if strategy.Len() != 1 {
			return nil
		}
		if strategy.Style == config.Flow {
			return replaceValue(n, "RollingUpdate, "+rolling)
		}
		return append(replaceValue(n, "RollingUpdate"), u.insertInto(strategy, rolling)...)
	},
	"K8S014": func(u *Unit, h Hit) []finding.Edit {
		const rolling = "rollingUpdate: {maxUnavailable: 0, maxSurge: 1}"
		n := u.nodeAt(h.Pos)
		switch {
		case n == nil || u.Workload.Form != manifest.FromObject:
			return nil
		case n.Key == "maxUnavailable":
			return replaceHere(u, h, "0")
		case n.Key == "strategy" && n.Has("rollingUpdate"):
			return u.insertInto(n.Get("rollingUpdate"), "maxUnavailable: 0")
		case n.Key == "strategy":
			return u.insertInto(n, rolling)
		case n.Key == "spec" && !n.Has("strategy"):
			return u.insertInto(n, "strategy: {type: RollingUpdate, "+rolling+"}")
		}
		return nil
	},
	"K8S015": func(u *Unit, h Hit) []finding.Edit {
		if n := u.nodeAt(h.Pos); n == nil || n.Key != "maxSurge" {
			return nil
		}
		return replaceHere(u, h, "1")
	},
	"K8S018": to("60"),
	"MIG003": to(`"false"`),

	"K8S001": addToContainer(func(u *Unit) string {
		if u.Container.Resources.Set {
			return ""
		}
		size := facts.Size(facts.SizeInput{Target: u.Target, Workers: u.W.Value})
		amount := fmt.Sprintf("{cpu: %q, memory: %s}", trimFloat(float64(size.CPUMilli)/1000), gibibytes(float64(size.Memory)))
		return "resources: {requests: " + amount + ", limits: " + amount + "}"
	}),
	"K8S006": addToContainer(func(u *Unit) string {
		return "readinessProbe: {httpGet: {path: /health/readiness, port: " + u.servingPort() + "}, timeoutSeconds: 10}"
	}),
	"TMO004": addToContainer(func(u *Unit) string {
		if n := u.nodeAt(u.Container.Pos); n == nil || n.Has("lifecycle") {
			return ""
		}
		if u.Target == facts.LLMGW { // the image has no shell
			return "lifecycle: {preStop: {sleep: {seconds: 5}}}"
		}
		return `lifecycle: {preStop: {exec: {command: ["sh", "-c", "sleep 5"]}}}`
	}),
	"K8S027": func(u *Unit, _ Hit) []finding.Edit {
		c := u.containerNode()
		if s := c.Get("securityContext"); s != nil {
			if s.Has("capabilities") {
				return nil
			}
			return u.insertInto(s, `capabilities: {drop: ["ALL"]}`)
		}
		return u.insertInto(c, `securityContext: {capabilities: {drop: ["ALL"]}}`)
	},

	// Unsafe: somebody may rely on what is there.
	"RTE001": to("simple-shuffle"),
	"RTE002": to("simple-shuffle"),
	"LOG002": func(u *Unit, h Hit) []finding.Edit {
		if h.Path != "LITELLM_LOG" {
			return nil
		}
		return setVariable("LITELLM_LOG", "ERROR")(u, h)
	},
	"TMO003": func(u *Unit, h Hit) []finding.Edit {
		grace := facts.Grace(u.Facts.Request, u.Facts.PreStop, facts.Int{}, u.Facts.DrainEndpoint)
		entry := fmt.Sprint(grace.Recommended)
		if n := u.nodeAt(h.Pos); n != nil && n.IsScalar() {
			return replaceHere(u, h, entry)
		}
		if u.Workload == nil || u.Workload.Form != manifest.FromObject {
			return nil
		}
		return u.insertInto(u.containerNode().Parent().Parent(), "terminationGracePeriodSeconds: "+entry)
	},
}

// fix fills in the edits of a hit.
func (r *Rule) fix(u *Unit, h *Hit) {
	if h.Edits != nil || r.Fix == Manual {
		return
	}
	if f := fixers[r.ID]; f != nil {
		h.Edits = f(u, *h)
	}
}

func to(text string) func(*Unit, Hit) []finding.Edit {
	return func(u *Unit, h Hit) []finding.Edit { return replaceHere(u, h, text) }
}

func probePath(u *Unit, h Hit) []finding.Edit {
	n := u.nodeAt(h.Pos)
	for p := n; p != nil; p = p.Parent() {
		if p.Key == "readinessProbe" {
			return replaceHere(u, h, "/health/readiness")
		}
		if p.Key == "livenessProbe" || p.Key == "startupProbe" {
			return replaceHere(u, h, "/health/liveliness")
		}
	}
	return nil
}

// roots are the trees a hit of the unit can stand in.
func (u *Unit) roots() []*config.Node {
	var out []*config.Node
	if u.Config != nil && u.Config.Exact && !u.Config.Root.Has("include") {
		out = append(out, u.Config.Root)
	}
	if u.Workload != nil {
		out = append(out, u.Workload.Object.Node)
		if s := u.Workload.Scaler; s != nil && s.Object != u.Workload.Object {
			out = append(out, s.Object.Node)
		}
	}
	for _, j := range u.Jobs() {
		out = append(out, j.Object.Node)
	}
	return out
}

// nodeAt finds the entry that stands at a position, in the config or in a
// manifest; the outermost, when several begin there.
func (u *Unit) nodeAt(pos finding.Position) *config.Node {
	if u.places == nil {
		u.places = map[place]*config.Node{}
		for _, root := range u.roots() {
			for n := range root.Walk() {
				w := n.Where()
				at := place{w.File, w.Line, w.Col}
				if _, taken := u.places[at]; !taken && n != root {
					u.places[at] = n
				}
			}
		}
	}
	return u.places[place{pos.File, pos.Line, pos.Col}]
}

// place is where an entry begins.
type place struct {
	file      string
	line, col int
}

func (u *Unit) containerNode() *config.Node {
	if u.Container == nil || u.Workload == nil || u.Workload.Form != manifest.FromObject {
		return nil
	}
	for n := range u.Workload.Object.Node.Walk() {
		if n.Kind == config.Map && n.Pos == u.Container.Pos {
			return n
		}
	}
	return nil
}

// text is what a node was read from.
func (u *Unit) text(n *config.Node) []byte {
	for p := n; p != nil; p = p.Parent() {
		if u.Config != nil && p == u.Config.Root {
			return u.Config.Data
		}
	}
	for _, o := range u.Model.ObjectsOf(n.Pos.File) {
		return o.Data
	}
	if u.Workload != nil && u.Workload.Object.File == n.Pos.File {
		return u.Workload.Object.Data
	}
	return nil
}

// shared reports whether the text of a node also stands for other nodes.
func shared(n *config.Node) bool {
	for p := n; p != nil; p = p.Parent() {
		if !p.Anchored.IsZero() {
			return true
		}
	}
	return false
}

func replaceHere(u *Unit, h Hit, text string) []finding.Edit {
	n := u.nodeAt(h.Pos)
	if n == nil || !n.IsScalar() || shared(n) || text == "" {
		return nil
	}
	return replaceValue(n, text)
}

// lineEnd is where the line ends that holds an offset, with its line break,
// provided that only blanks and a comment follow the offset.
func lineEnd(data []byte, from int) (int, bool) {
	if from > len(data) {
		return 0, false
	}
	if from > 0 && data[from-1] == '\n' {
		return from, true
	}
	rest := data[from:]
	end := bytes.IndexByte(rest, '\n')
	if end < 0 {
		return 0, false
	}
	left := strings.TrimSpace(string(rest[:end]))
	return from + end + 1, left == "" || left[0] == '#'
}

// deleteHere takes an entry away, with its line: a key of a mapping, an item of
// an environment, a line of an environment file. The last entry of a mapping
// stays, because nothing is not the same as an empty mapping.
func deleteHere(u *Unit, h Hit) []finding.Edit {
	for _, f := range u.Model.EnvFiles {
		if f.File != h.Pos.File {
			continue
		}
		for _, v := range f.Vars {
			if v.Pos.Line != h.Pos.Line {
				continue
			}
			start := bytes.LastIndexByte(f.Data[:v.Pos.Offset], '\n') + 1
			end, ok := lineEnd(f.Data, v.ValuePos.End)
			if !ok {
				return nil
			}
			return []finding.Edit{{File: f.File, Offset: start, End: end}}
		}
		return nil
	}
	n := u.nodeAt(h.Pos)
	if n == nil || shared(n) {
		return nil
	}
	if n.Key == "name" && n.Parent().Parent() != nil && n.Parent().Parent().Key == "env" {
		n = n.Parent()
	}
	list := n.Parent()
	data := u.text(n)
	if list == nil || data == nil {
		return nil
	}
	if list.Style == config.Flow {
		return deleteFlow(n, data)
	}
	if list.Len() < 2 {
		return nil
	}
	at := n.KeyPos.Offset
	if list.Kind == config.List {
		at = n.Pos.Offset
	}
	end := n.Pos.End
	if n.Kind == config.Map && n.Style == config.Block {
		end = bytes.IndexByte(data[n.Pos.Offset:], '\n') + n.Pos.Offset
		for c := range n.Walk() {
			end = max(end, c.Pos.End)
		}
	}
	if at > len(data) || end > len(data) {
		return nil
	}
	start := bytes.LastIndexByte(data[:at], '\n') + 1
	before := strings.TrimSpace(string(data[start:at]))
	stop, ok := lineEnd(data, end)
	if !ok || list.Kind == config.Map && before != "" || list.Kind == config.List && before != "-" {
		return nil
	}
	return []finding.Edit{{File: h.Pos.File, Offset: start, End: stop}}
}

func addSetting(section string, entries ...string) func(*Unit, Hit) []finding.Edit {
	return func(u *Unit, _ Hit) []finding.Edit {
		if u.Config == nil {
			return nil
		}
		var out []finding.Edit
		for _, entry := range entries {
			key, _, _ := strings.Cut(entry, ":")
			if u.Section(section).Has(key) {
				continue
			}
			e := u.insert(section, entry)
			if e == nil {
				return nil
			}
			if len(out) > 0 { // one insertion, so that no second one overlaps it
				out[0].Text += e[0].Text
				continue
			}
			out = e
		}
		return out
	}
}

func addToContainer(entry func(u *Unit) string) func(*Unit, Hit) []finding.Edit {
	return func(u *Unit, _ Hit) []finding.Edit {
		n := u.containerNode()
		if n == nil {
			return nil
		}
		text := entry(u)
		if key, _, _ := strings.Cut(text, ":"); text == "" || n.Has(key) {
			return nil
		}
		return u.insertInto(n, text)
	}
}

// insertInto adds an entry to a mapping of a manifest. In a block it goes below
// the first entry that stands on one line, so that every comment keeps its
// neighbour above; in braces it goes first.
func (u *Unit) insertInto(n *config.Node, entry string) []finding.Edit {
	if n == nil || n.Kind != config.Map || n.Len() == 0 || shared(n) {
		return nil
	}
	data := u.text(n)
	if data == nil {
		return nil
	}
	first := n.At(0)
	if n.Style == config.Flow {
		at := first.KeyPos.Offset
		return []finding.Edit{{File: n.Pos.File, Offset: at, End: at, Text: entry + ", "}}
	}
	for _, c := range n.Items() {
		if !c.IsScalar() && c.Style != config.Flow || c.Style == config.Literal || c.Style == config.Folded {
			continue
		}
		at, ok := lineEnd(data, c.Pos.End)
		if !ok || bytes.Contains(data[c.KeyPos.Offset:c.Pos.End], []byte("\n")) {
			continue
		}
		return []finding.Edit{{File: n.Pos.File, Offset: at, End: at, Text: strings.Repeat(" ", first.KeyPos.Col-1) + entry + lineBreak(data)}}
	}
	// Only blocks in it: above the first, unless that has a comment over it.
	start := bytes.LastIndexByte(data[:first.KeyPos.Offset], '\n') + 1
	above := bytes.LastIndexByte(data[:max(0, start-1)], '\n') + 1
	if strings.TrimSpace(string(data[start:first.KeyPos.Offset])) != "" || strings.HasPrefix(strings.TrimSpace(string(data[above:start])), "#") {
		return nil
	}
	return []finding.Edit{{File: n.Pos.File, Offset: start, End: start, Text: strings.Repeat(" ", first.KeyPos.Col-1) + entry + lineBreak(data)}}
}

func lineBreak(data []byte) string {
	if bytes.Contains(data[:min(len(data), 4096)], []byte("\r\n")) {
		return "\r\n"
	}
	return "\n"
}

// setVariable gives a variable a value: where it is written, else in the
// container's env, else at the end of the last environment file.
func setVariable(name, value string) func(*Unit, Hit) []finding.Edit {
	quoted := value
	if value == "true" || value == "True" {
		quoted = `"` + value + `"`
	}
	return func(u *Unit, _ Hit) []finding.Edit {
		if e, ok := u.Env.Lookup(name); ok {
			return u.replaceVariable(e, value, quoted)
		}
		if c := u.containerNode(); c != nil {
			env := c.Get("env")
			if env == nil {
				return u.insertInto(c, "env: [{name: "+name+", value: "+quoted+"}]")
			}
			return u.appendItem(env, "{name: "+name+", value: "+quoted+"}")
		}
		if u.Workload != nil || len(u.Model.EnvFiles) == 0 {
			return nil
		}
		f := u.Model.EnvFiles[len(u.Model.EnvFiles)-1]
		if len(f.Data) == 0 || f.Data[len(f.Data)-1] != '\n' {
			return nil
		}
		return []finding.Edit{{File: f.File, Offset: len(f.Data), End: len(f.Data), Text: name + "=" + value + lineBreak(f.Data)}}
	}
}

func (u *Unit) replaceVariable(e config.Var, value, quoted string) []finding.Edit {
	for _, f := range u.Model.EnvFiles {
		if f.File == e.Pos.File {
			i := slices.IndexFunc(f.Vars, func(v config.Var) bool { return v.Name == e.Name && v.Pos.Line == e.Pos.Line })
			if i < 0 || f.Vars[i].ValuePos.End <= f.Vars[i].ValuePos.Offset {
				return nil
			}
			at := f.Vars[i].ValuePos
			return []finding.Edit{{File: f.File, Offset: at.Offset, End: at.End, Text: value}}
		}
	}
	n := u.nodeAt(e.Pos)
	if n == nil || shared(n) {
		return nil
	}
	if n.Key == "name" {
		return replaceValue(n.Parent().Get("value"), quoted)
	}
	return replaceValue(n, quoted)
}

// appendItem adds an item behind the last one of a list in block form.
func (u *Unit) appendItem(list *config.Node, item string) []finding.Edit {
	data := u.text(list)
	if list.Kind != config.List || list.Len() == 0 || shared(list) || data == nil {
		return nil
	}
	last := list.At(list.Len() - 1)
	if list.Style == config.Flow {
		at := last.Pos.End
		return []finding.Edit{{File: list.Pos.File, Offset: at, End: at, Text: ", " + item}}
	}
	end := last.Pos.End
	for c := range last.Walk() {
		if c.Style == config.Literal || c.Style == config.Folded {
			return nil
		}
		end = max(end, c.Pos.End)
	}
	if last.Kind == config.Map && last.Style == config.Block {
		end = 0
		for c := range last.Walk() {
			if c != last {
				end = max(end, c.Pos.End)
			}
		}
	}
	start := bytes.LastIndexByte(data[:last.Pos.Offset], '\n') + 1
	prefix := string(data[start:last.Pos.Offset])
	at, ok := lineEnd(data, end)
	if !ok || strings.TrimSpace(prefix) != "-" {
		return nil
	}
	return []finding.Edit{{File: list.Pos.File, Offset: at, End: at, Text: prefix + item + lineBreak(data)}}
}

// servingPort is the port the gateway listens on.
func (u *Unit) servingPort() string {
	if a, ok := u.Args.Get("port"); ok {
		return a.Value
	}
	if v := u.variable("PORT"); v.State == Known && v.Text != "" {
		return v.Text
	}
	return "4000"
}
