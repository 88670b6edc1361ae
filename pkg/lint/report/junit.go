package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Name     string       `xml:"name,attr"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Skipped  int          `xml:"skipped,attr"`
	Errors   int          `xml:"errors,attr"`
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Skipped  int         `xml:"skipped,attr"`
	Errors   int         `xml:"errors,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Name    string         `xml:"name,attr"`
	Class   string         `xml:"classname,attr"`
	File    string         `xml:"file,attr,omitempty"`
	Line    int            `xml:"line,attr,omitempty"`
	Failure []junitMessage `xml:"failure,omitempty"`
	Error   *junitMessage  `xml:"error,omitempty"`
	Skipped *junitMessage  `xml:"skipped,omitempty"`
	Out     string         `xml:"system-out,omitempty"`
}

type junitMessage struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr,omitempty"`
	Text    string `xml:",chardata"`
}

// JUnit writes one suite for each file and one case for each rule that ran
// there. What reaches FailOn is a failure; the rest is told in a passed case.
func JUnit(w io.Writer, r *lint.Result, o Options) error {
	skipped := map[string]string{}
	for _, s := range r.Skipped {
		skipped[s.ID] = s.Reason
	}
	var files []string
	for _, in := range r.Inputs {
		files = append(files, in.Path)
	}
	for _, h := range r.Findings {
		if !slices.Contains(files, h.Pos.File) {
			files = append(files, h.Pos.File)
		}
	}
	out := junitSuites{Name: "llmgw doctor"}
	hits := shown(r.Findings, o.MinSeverity)
	for _, file := range files {
		suite := junitSuite{Name: file}
		for _, id := range r.Ran {
			known, ok := rule.Lookup(id)
			if !ok {
				continue
			}
			c := junitCase{Name: known.ID + " " + known.Name, Class: "llmgw.doctor." + known.Group()}
			for _, h := range hits {
				if h.ID != id || h.Pos.File != file {
					continue
				}
				text := h.Pos.String() + ": " + h.Message
				if len(h.Detail) > 0 {
					text += "\n" + strings.Join(h.Detail, "\n")
				}
				if h.Fix != "" {
					text += "\nfix: " + h.Fix
				}
				if c.File == "" {
					c.File, c.Line = h.Pos.File, h.Pos.Line
				}
				if o.fails(h) {
					c.Failure = append(c.Failure, junitMessage{h.Message, h.Severity.String(), text})
				} else {
					c.Out += fmt.Sprintf("%s %s\n", h.Severity, text)
				}
			}
			switch reason := skipped[id]; {
			case len(c.Failure) > 0:
				suite.Failures++
			case reason != "" && c.Out == "":
				c.Skipped = &junitMessage{Message: reason}
				suite.Skipped++
			}
			suite.Cases = append(suite.Cases, c)
		}
		suite.Tests = len(suite.Cases)
		out.add(suite)
	}
	for _, p := range r.Problems {
		out.add(junitSuite{Name: p.Path, Tests: 1, Errors: 1, Cases: []junitCase{{
			Name: "can be read", Class: "llmgw.doctor", Error: &junitMessage{Message: p.Message, Text: p.Path + " " + p.Message},
		}}})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(out); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (s *junitSuites) add(suite junitSuite) {
	s.Tests += suite.Tests
	s.Failures += suite.Failures
	s.Skipped += suite.Skipped
	s.Errors += suite.Errors
	s.Suites = append(s.Suites, suite)
}

// fails reports whether a finding reaches the threshold of the exit code.
func (o Options) fails(h rule.Hit) bool {
	if o.FailOn == "never" {
		return false
	}
	least, err := finding.ParseSeverity(o.FailOn)
	return err != nil && h.Severity >= finding.Error || err == nil && h.Severity >= least
}
