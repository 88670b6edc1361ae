package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Explain writes a rule's page for a terminal.
func Explain(w io.Writer, r *rule.Rule) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "%s %s: %s\n\n", r.ID, r.Name, r.Title)
	fmt.Fprintf(b, "severity  %s\n", r.Severity)
	if r.Target != "" {
		fmt.Fprintf(b, "target    %s only\n", r.Target)
	}
	for _, line := range profileLines(r) {
		fmt.Fprintf(b, "profile   %s\n", line)
	}
	fmt.Fprintf(b, "\nwhen\n%s\nwhy\n%s\nfix\n%s\n", indent(r.When), indent(r.Why), indent(r.Remedy))
	fmt.Fprintf(b, "bad\n%s\ngood\n%s\n", indentLines(r.Bad.Text()), indentLines(r.Good.Text()))
	fmt.Fprintf(b, "sources\n%s\n", indentLines(strings.Join(r.Source, "\n")))
	fmt.Fprintf(b, "ignore it\n    # llmgw:ignore %s -- why it is fine here\n", r.ID)
	return b.Flush()
}

func profileLines(r *rule.Rule) []string {
	var out []string
	for _, p := range r.Off {
		out = append(out, string(p)+": off")
	}
	for _, p := range r.Soft {
		out = append(out, string(p)+": info")
	}
	if r.OptIn {
		out = append(out, "all: off until --only "+r.ID+" or rules: in .llmgw-doctor.yaml name it")
	}
	for _, p := range r.OnlyIn {
		out = append(out, "only in "+string(p))
	}
	return out
}

func indent(text string) string {
	var b strings.Builder
	line := "   "
	for _, word := range strings.Fields(text) {
		if len(line)+1+len(word) > 84 && strings.TrimSpace(line) != "" {
			b.WriteString(line + "\n")
			line = "   "
		}
		line += " " + word
	}
	return b.String() + line + "\n"
}

func indentLines(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ") + "\n"
}

// Page is a rule's documentation in Markdown.
func Page(r *rule.Rule) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s %s\n\n%s.\n\n", r.ID, r.Name, upper(r.Title))
	fmt.Fprintf(&b, "| | |\n|---|---|\n| Severity | %s |\n| Group | %s |\n", r.Severity, groupNames[r.Group()])
	if r.Target != "" {
		fmt.Fprintf(&b, "| Target | %s only |\n", r.Target)
	}
	if lines := profileLines(r); len(lines) > 0 {
		fmt.Fprintf(&b, "| Profiles | %s |\n", strings.Join(lines, ", "))
	}
	fmt.Fprintf(&b, "\n## When\n\n%s\n\n## Why\n\n%s\n\n## What to do\n\n%s\n\n", upper(r.When), upper(r.Why), upper(r.Remedy))
	fmt.Fprintf(&b, "## Bad\n\n```yaml\n%s\n```\n\n## Good\n\n```yaml\n%s\n```\n\n", strings.TrimRight(r.Bad.Text(), "\n"), strings.TrimRight(r.Good.Text(), "\n"))
	fmt.Fprintf(&b, "## Ignoring it\n\n```yaml\n# llmgw:ignore %s -- why it is fine here\n```\n\n## Sources\n\n", r.ID)
	for _, s := range r.Source {
		fmt.Fprintf(&b, "- %s\n", s)
	}
	b.WriteString("\n<!-- Generated from pkg/lint/rule; run go test ./pkg/lint/report -update. -->\n")
	return b.String()
}

func upper(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

var groupNames = map[string]string{
	"CFG": "CFG, shape of the config", "SEC": "SEC, security", "DB": "DB, database and pool", "RDS": "RDS, Redis",
	"RTE": "RTE, routing and reliability", "TMO": "TMO, timeouts and draining", "LOG": "LOG, logs and alerts",
	"K8S": "K8S, Kubernetes", "MIG": "MIG, migrations", "PRF": "PRF, processes and performance", "RUN": "RUN, running systems",
}

// RulesText lists the catalogue for a terminal.
func RulesText(w io.Writer) error {
	b := bufio.NewWriter(w)
	group := ""
	for _, r := range rule.All() {
		if r.Group() != group {
			if group != "" {
				fmt.Fprintln(b)
			}
			group = r.Group()
			fmt.Fprintf(b, "%s\n", groupNames[group])
		}
		fmt.Fprintf(b, "  %-7s %-14s %-32s %s\n", r.ID, r.Severity, r.Name, r.Title)
	}
	fmt.Fprintf(b, "\n%d rules. llmgw doctor explain RULE says more.\n", len(rule.All()))
	return b.Flush()
}

// RulesMarkdown lists the catalogue as a page of links.
func RulesMarkdown(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "# Rules of llmgw doctor\n")
	group := ""
	for _, r := range rule.All() {
		if r.Group() != group {
			group = r.Group()
			fmt.Fprintf(b, "\n## %s\n\n| Rule | Name | Severity | Says |\n|---|---|---|---|\n", groupNames[group])
		}
		fmt.Fprintf(b, "| [%s](%s.md) | `%s` | %s | %s |\n", r.ID, r.ID, r.Name, r.Severity, r.Title)
	}
	coverageTable(b)
	fmt.Fprintf(b, "\n## What the production page says\n\nLiteLLM's \"best practices for production\" page, statement by statement, and the rules that check it.\n\n| Section | Says | Rules |\n|---|---|---|\n")
	for _, s := range rule.Coverage() {
		var links []string
		for _, id := range s.Rules {
			links = append(links, fmt.Sprintf("[%s](%s.md)", id, id))
		}
		if len(links) == 0 {
			links = []string{"only a running system shows it"}
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", s.Section, s.Says, strings.Join(links, " "))
	}
	return b.Flush()
}

type jsonRule struct {
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	Group    string         `json:"group"`
	Severity string         `json:"severity"`
	Target   facts.Target   `json:"target,omitempty"`
	Title    string         `json:"title"`
	When     string         `json:"when"`
	Why      string         `json:"why"`
	Fix      string         `json:"fix"`
	FixClass rule.Fix       `json:"fix_class"`
	Closed   bool           `json:"needs_closed_environment"`
	Off      []rule.Profile `json:"off_in,omitempty"`
	Soft     []rule.Profile `json:"info_in,omitempty"`
	OptIn    bool           `json:"off_by_default,omitempty"`
	Priority int            `json:"priority"`
	Live     bool           `json:"live"`
	Sources  []string       `json:"sources"`
	Bad      string         `json:"bad"`
	Good     string         `json:"good"`
	URL      string         `json:"url"`
}

// RulesJSON exports the catalogue.
func RulesJSON(w io.Writer) error {
	out := struct {
		Schema string     `json:"schema"`
		Rules  []jsonRule `json:"rules"`
	}{Schema: "llmgw.doctor.rules/1"}
	for _, r := range rule.All() {
		out.Rules = append(out.Rules, jsonRule{r.ID, r.Name, r.Group(), r.Severity, r.Target, r.Title, r.When, r.Why, r.Remedy, r.Fix, r.Closed,
			r.Off, r.Soft, r.OptIn, r.Priority, r.Live, r.Source, r.Bad.Text(), r.Good.Text(), ruleURL + r.ID + ".md"})
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

// coverageTable counts the rules there are and the rules the catalogue asks
// for, by group and priority, and names those that are left out.
func coverageTable(w io.Writer) {
	type cell struct{ have, asked int }
	counts := map[string]*[4]cell{}
	all := &[4]cell{}
	var left []rule.Entry
	for _, e := range rule.Catalogue() {
		row := counts[e.Group()]
		if row == nil {
			row = &[4]cell{}
			counts[e.Group()] = row
		}
		_, have := rule.Lookup(e.ID)
		if !have {
			left = append(left, e)
		}
		for _, c := range []*cell{&row[e.Priority], &row[0], &all[e.Priority], &all[0]} {
			c.asked++
			if have {
				c.have++
			}
		}
	}
	fmt.Fprintf(w, "\n## How much of the catalogue there is\n\nRules implemented / in the catalogue.\n\n| Group | P1 | P2 | P3 | All |\n|---|---|---|---|---|\n")
	line := func(name string, row *[4]cell) {
		fmt.Fprintf(w, "| %s", name)
		for _, i := range []int{1, 2, 3, 0} {
			if row[i].asked == 0 {
				fmt.Fprint(w, " | –")
				continue
			}
			fmt.Fprintf(w, " | %d/%d", row[i].have, row[i].asked)
		}
		fmt.Fprintln(w, " |")
	}
	for _, g := range rule.Groups() {
		line(groupNames[g], counts[g])
	}
	line("All", all)
	if len(left) > 0 {
		fmt.Fprintf(w, "\n| Left out | Name | Priority | Why |\n|---|---|---|---|\n")
	}
	for _, e := range left {
		fmt.Fprintf(w, "| %s | `%s` | P%d | %s |\n", e.ID, e.Name, e.Priority, e.LeftOut)
	}
}
