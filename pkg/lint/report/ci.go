package report

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// GitHub writes workflow commands, which GitHub Actions shows beside the
// lines they name.
func GitHub(w io.Writer, r *lint.Result, o Options) error {
	b := bufio.NewWriter(w)
	q := newQuoter(r)
	word := map[finding.Severity]string{finding.Error: "error", finding.Warning: "warning", finding.Info: "notice"}
	for _, h := range shown(r.Findings, o.MinSeverity) {
		f := q.json(r, h)
		props := []string{"file=" + property(h.Pos.File)}
		if f.Line > 0 {
			props = append(props, fmt.Sprintf("line=%d", f.Line))
		}
		if f.Column > 0 {
			props = append(props, fmt.Sprintf("col=%d", f.Column))
		}
		if f.EndColumn > 0 {
			props = append(props, fmt.Sprintf("endColumn=%d", f.EndColumn))
		}
		props = append(props, "title="+property(h.ID+" "+h.Name))
		message := h.Message
		if len(h.Detail) > 0 {
			message += "\n" + strings.Join(h.Detail, "\n")
		}
		if h.Fix != "" {
			message += "\nfix: " + h.Fix
		}
		fmt.Fprintf(b, "::%s %s::%s\n", word[h.Severity], strings.Join(props, ","), escape(message))
	}
	return b.Flush()
}

func escape(s string) string {
	return strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace(s)
}

func property(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(escape(s))
}

type obj = map[string]any

// SARIF writes a SARIF 2.1.0 log.
func SARIF(w io.Writer, r *lint.Result, o Options) error {
	q := newQuoter(r)
	level := map[finding.Severity]string{finding.Error: "error", finding.Warning: "warning", finding.Info: "note"}
	rules := []obj{}
	index := map[string]int{}
	for i, known := range rule.All() {
		index[known.ID] = i
		rules = append(rules, obj{
			"id": known.ID, "name": known.Name,
			"shortDescription": obj{"text": upper(known.Title)}, "fullDescription": obj{"text": upper(known.When)},
			"helpUri":              ruleURL + known.ID + ".md",
			"help":                 obj{"text": upper(known.Why) + "\n" + upper(known.Remedy), "markdown": Page(known)},
			"defaultConfiguration": obj{"level": level[known.Highest()]},
		})
	}
	results := []obj{}
	notifications := []obj{}
	add := func(h rule.Hit, by *lint.Suppressed) {
		f := q.json(r, h)
		message := h.Message
		if len(h.Detail) > 0 {
			message += "\n" + strings.Join(h.Detail, "\n")
		}
		if h.Fix != "" {
			message += "\nFix: " + h.Fix
		}
		result := obj{
			"ruleId": h.ID, "ruleIndex": index[h.ID], "level": level[h.Severity], "message": obj{"text": message},
			"locations":           []obj{location(f.File, f.Line, f.Column, f.EndColumn, "")},
			"partialFingerprints": obj{"llmgw/v1": f.Fingerprint},
		}
		var related []obj
		for _, rel := range h.Related {
			related = append(related, location(rel.Pos.File, rel.Pos.Line, rel.Pos.Col, 0, rel.Message))
		}
		if related != nil {
			result["relatedLocations"] = related
		}
		if h.Props != nil {
			result["properties"] = h.Props
		}
		if known, _ := rule.Lookup(h.ID); known != nil && known.Fix == rule.Safe && by == nil {
			if fix := q.sarifFix(known, h.Edits); fix != nil {
				result["fixes"] = []obj{fix}
			}
		}
		if by != nil {
			result["suppressions"] = []obj{{"kind": "inSource", "justification": by.Reason}}
		}
		results = append(results, result)
		if at := result["locations"].([]obj)[0]; at["physicalLocation"] == nil && by == nil {
			// Viewers that place results in files drop this one.
			notifications = append(notifications, obj{"level": level[h.Severity], "message": obj{"text": f.File + ": " + h.ID + " " + message}})
		}
	}
	for _, h := range shown(r.Findings, o.MinSeverity) {
		add(h, nil)
	}
	for _, s := range r.Suppressed {
		add(s.Hit, &s)
	}
	for _, p := range r.Problems {
		notifications = append(notifications, obj{"level": "error", "message": obj{"text": p.Path + " " + p.Message}})
	}
	log := obj{
		"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0",
		"runs": []obj{{
			"tool":        obj{"driver": obj{"name": "llmgw doctor", "version": o.Version, "informationUri": "https://github.com/llmgw/llmgw", "rules": rules}},
			"columnKind":  "unicodeCodePoints",
			"results":     results,
			"invocations": []obj{{"executionSuccessful": len(r.Problems) == 0, "toolExecutionNotifications": notifications}},
		}},
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(log)
}

func location(file string, line, col, endCol int, message string) obj {
	physical := obj{"artifactLocation": obj{"uri": filepath.ToSlash(file)}}
	region := obj{}
	if line > 0 {
		region["startLine"] = line
	}
	if col > 0 {
		region["startColumn"] = col
	}
	if endCol > col {
		region["endLine"], region["endColumn"] = line, endCol
	}
	if len(region) > 0 {
		physical["region"] = region
	}
	l := obj{"physicalLocation": physical}
	if slices.Contains([]string{"-", "<args>", "<env>"}, file) || strings.Contains(file, "://") || strings.HasSuffix(file, lint.RenderedSuffix) {
		l = obj{"logicalLocations": []obj{{"name": file}}}
	}
	if message != "" {
		l["message"] = obj{"text": message}
	}
	return l
}

// GitHubSummary writes the findings as a table for the page of a job.
func GitHubSummary(w io.Writer, r *lint.Result, o Options) error {
	b := bufio.NewWriter(w)
	cell := strings.NewReplacer("|", "\\|", "\n", " ", "\r", " ", "<", "&lt;").Replace
	fmt.Fprintf(b, "### llmgw doctor\n\n%s\n\n", cell(Summary(r, o.MinSeverity)))
	if hits := shown(r.Findings, o.MinSeverity); len(hits) > 0 {
		fmt.Fprintf(b, "| Severity | Rule | Where | What |\n|---|---|---|---|\n")
		for _, h := range hits {
			fmt.Fprintf(b, "| %s | [%s](%s%s.md) %s | `%s` | %s |\n", h.Severity, h.ID, ruleURL, h.ID, h.Name, cell(h.Pos.String()), cell(h.Message))
		}
		fmt.Fprintln(b)
	}
	return b.Flush()
}

// sarifFix is what --fix would do, as lines and columns; nil when there is no
// edit, or one of a text that is no file.
func (q *quoter) sarifFix(known *rule.Rule, edits []finding.Edit) obj {
	var changes []obj
	byFile := map[string]int{}
	for _, e := range edits {
		data, ok := q.sources[e.File]
		if !ok || e.End > len(data) || location(e.File, 1, 1, 0, "")["physicalLocation"] == nil {
			return nil
		}
		startLine, startCol := q.lineCol(e.File, e.Offset)
		endLine, endCol := q.lineCol(e.File, e.End)
		i, seen := byFile[e.File]
		if !seen {
			i = len(changes)
			byFile[e.File] = i
			changes = append(changes, obj{"artifactLocation": location(e.File, 1, 1, 0, "")["physicalLocation"].(obj)["artifactLocation"], "replacements": []obj{}})
		}
		changes[i]["replacements"] = append(changes[i]["replacements"].([]obj), obj{
			"deletedRegion":   obj{"startLine": startLine, "startColumn": startCol, "endLine": endLine, "endColumn": endCol},
			"insertedContent": obj{"text": e.Text},
		})
	}
	if changes == nil {
		return nil
	}
	return obj{"description": obj{"text": upper(known.Remedy)}, "artifactChanges": changes}
}

// lineCol is where an offset stands, columns in code points.
func (q *quoter) lineCol(file string, offset int) (line, col int) {
	starts := q.lineStarts(file)
	line, exact := slices.BinarySearch(starts, offset)
	if exact {
		line++
	}
	if n := len(q.sources[file]); line > 1 && starts[line-1] == n {
		line-- // the end of the file is behind its last line
	}
	return line, q.runes(file, starts[line-1], offset) + 1
}
