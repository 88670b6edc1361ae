package report

import (
	"encoding/json"
	"io"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Schema names the shape of the JSON report.
const Schema = "llmgw.doctor/1"

// ruleURL is where a rule's page is.
const ruleURL = "https://github.com/llmgw/llmgw/blob/main/docs/rules/"

type jsonReport struct {
	Schema   string         `json:"schema"`
	Tool     jsonTool       `json:"tool"`
	Profile  rule.Profile   `json:"profile"`
	Target   string         `json:"target"`
	Inputs   []lint.Input   `json:"inputs"`
	Findings []jsonFinding  `json:"findings"`
	Skipped  []lint.Skipped `json:"skipped"`
	Problems []jsonProblem  `json:"problems"`
	Notes    []string       `json:"notes"`
	Summary  jsonSummary    `json:"summary"`
}

type jsonTool struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Rules   int    `json:"rules"`
}

type jsonProblem struct {
	Path    string `json:"path"`
	Message string `json:"message"`
}

type jsonSummary struct {
	Error      int `json:"error"`
	Warning    int `json:"warning"`
	Info       int `json:"info"`
	Suppressed int `json:"suppressed"`
	Baseline   int `json:"baseline"`
	Fixed      int `json:"fixed_since_baseline"`
}

type jsonFinding struct {
	ID          string           `json:"id"`
	Name        string           `json:"name"`
	Severity    finding.Severity `json:"severity"`
	Message     string           `json:"message"`
	File        string           `json:"file"`
	Line        int              `json:"line,omitempty"`
	Column      int              `json:"column,omitempty"`
	EndLine     int              `json:"endLine,omitempty"`
	EndColumn   int              `json:"endColumn,omitempty"`
	Path        string           `json:"path,omitempty"`
	Why         string           `json:"why,omitempty"`
	Fix         string           `json:"fix,omitempty"`
	Detail      []string         `json:"detail,omitempty"`
	Related     []jsonRelated    `json:"related,omitempty"`
	Properties  map[string]any   `json:"properties,omitempty"`
	Edits       []finding.Edit   `json:"edits,omitempty"`
	Fingerprint string           `json:"fingerprint"`
	Suppressed  *jsonSuppressed  `json:"suppressed"`
	URL         string           `json:"url"`
}

type jsonRelated struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
}

type jsonSuppressed struct {
	Reason string `json:"reason"`
	By     string `json:"by"`
	File   string `json:"file"`
	Line   int    `json:"line"`
}

// JSON writes the report for programs: one object.
func JSON(w io.Writer, r *lint.Result, o Options) error {
	q := newQuoter(r)
	e, warn, info := r.Counts()
	out := jsonReport{
		Schema: Schema, Tool: jsonTool{"llmgw doctor", o.Version, len(rule.All())}, Profile: r.Profile, Target: string(r.Target),
		Inputs: r.Inputs, Findings: []jsonFinding{}, Skipped: r.Skipped, Problems: []jsonProblem{}, Notes: r.Notes,
		Summary: jsonSummary{e, warn, info, len(r.Suppressed), len(r.Baseline), len(r.Gone)},
	}
	if out.Inputs == nil {
		out.Inputs = []lint.Input{}
	}
	if out.Skipped == nil {
		out.Skipped = []lint.Skipped{}
	}
	if out.Notes == nil {
		out.Notes = []string{}
	}
	for _, p := range r.Problems {
		out.Problems = append(out.Problems, jsonProblem(p))
	}
	for _, h := range shown(r.Findings, o.MinSeverity) {
		out.Findings = append(out.Findings, q.json(r, h))
	}
	for _, s := range r.Suppressed {
		f := q.json(r, s.Hit)
		f.Suppressed = &jsonSuppressed{s.Reason, s.From, s.By.File, s.By.Line}
		out.Findings = append(out.Findings, f)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(out)
}

func (q *quoter) json(r *lint.Result, h rule.Hit) jsonFinding {
	f := jsonFinding{
		ID: h.ID, Name: h.Name, Severity: h.Severity, Message: h.Message, File: h.Pos.File, Line: h.Pos.Line, Column: h.Pos.Col,
		Path: h.Path, Why: h.Why, Fix: h.Fix, Detail: h.Detail, Properties: h.Props, Edits: h.Edits,
		Fingerprint: lint.Fingerprint(r, h), URL: ruleURL + h.ID + ".md",
	}
	for _, rel := range h.Related {
		f.Related = append(f.Related, jsonRelated{rel.Pos.File, rel.Pos.Line, rel.Pos.Col, rel.Message})
	}
	if from, to, ok := q.start(h.Pos.File, h.Pos.Line); ok && h.Pos.End > from && h.Pos.End <= to {
		f.EndLine = h.Pos.Line
		f.EndColumn = q.runes(h.Pos.File, from, h.Pos.End) + 1
	}
	return f
}
