package lint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// BaselineFile is where a baseline is kept unless --baseline says otherwise.
const BaselineFile = ".llmgw-doctor.baseline.json"

// BaselineSchema names the shape of the file.
const BaselineSchema = "llmgw.doctor.baseline/1"

// Known is one finding that was there when the baseline was written. It holds
// no line number and no value of a file.
type Known struct {
	Rule        string `json:"rule"`
	File        string `json:"file"`
	Path        string `json:"path,omitempty"`
	Fingerprint string `json:"fingerprint"`
	Message     string `json:"message"`
	Date        string `json:"date"`
}

type baselineFile struct {
	Schema   string  `json:"schema"`
	Findings []Known `json:"findings"`
}

// ReadBaseline reads a baseline file.
func ReadBaseline(path string) ([]Known, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("baseline %s cannot be read: %s", path, cause(err))
	}
	return ParseBaseline(path, data)
}

// ParseBaseline reads what --write-baseline wrote.
func ParseBaseline(path string, data []byte) ([]Known, error) {
	var f baselineFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("baseline %s is not JSON as --write-baseline writes it: %w", path, err)
	}
	if f.Schema != BaselineSchema {
		return nil, fmt.Errorf("baseline %s says schema %q, not %s; write it again with --write-baseline", path, f.Schema, BaselineSchema)
	}
	for i, k := range f.Findings {
		if _, ok := rule.Lookup(k.Rule); !ok {
			return nil, fmt.Errorf("baseline %s: entry %d names the rule %q, which there is not; write it again with --write-baseline", path, i+1, k.Rule)
		}
		if k.Fingerprint == "" {
			return nil, fmt.Errorf("baseline %s: entry %d has no fingerprint; write it again with --write-baseline", path, i+1)
		}
	}
	return f.Findings, nil
}

// Accept takes the findings that a baseline knows out of the result, each
// entry once, and notes the entries that nothing matches any more. Entries of
// rules that did not run say nothing.
func (r *Result) Accept(known []Known) {
	left := map[string][]Known{}
	key := func(id, print string) string { return id + " " + print }
	for _, k := range known {
		left[key(k.Rule, k.Fingerprint)] = append(left[key(k.Rule, k.Fingerprint)], k)
	}
	r.Findings = slices.DeleteFunc(r.Findings, func(h rule.Hit) bool {
		at := key(h.ID, Fingerprint(r, h))
		if len(left[at]) == 0 {
			return false
		}
		left[at] = left[at][1:]
		r.Baseline = append(r.Baseline, h)
		return true
	})
	for _, k := range known {
		at := key(k.Rule, k.Fingerprint)
		if len(left[at]) > 0 && slices.Contains(r.Ran, k.Rule) {
			left[at] = left[at][1:]
			r.Gone = append(r.Gone, k)
		}
	}
}

// WriteBaseline writes what the result holds, known and new, to a file. An
// entry that was known keeps its date.
func (r *Result) WriteBaseline(path string, known []Known, now time.Time) (int, error) {
	dates := map[string]string{}
	for _, k := range known {
		dates[k.Rule+" "+k.Fingerprint] = k.Date
	}
	f := baselineFile{Schema: BaselineSchema, Findings: []Known{}}
	for _, h := range sorted(slices.Concat(r.Findings, r.Baseline)) {
		k := Known{h.ID, h.Pos.File, h.Path, Fingerprint(r, h), h.Message, now.UTC().Format(time.DateOnly)}
		if d := dates[k.Rule+" "+k.Fingerprint]; d != "" {
			k.Date = d
		}
		f.Findings = append(f.Findings, k)
	}
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return 0, err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".llmgw-baseline-*")
	if err != nil {
		return 0, fmt.Errorf("baseline %s cannot be written: %s", path, cause(err))
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(data, '\n'))
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return 0, fmt.Errorf("baseline %s cannot be written: %s", path, cause(err))
	}
	return len(f.Findings), nil
}

// BaselineExists reports whether the file is there, for the default path.
func BaselineExists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// Touched holds the lines of each file that a change touched; nil stands for
// all of them.
type Touched map[string]map[int]bool

// ParseDiff reads the lines that a unified diff without context adds to or
// changes in each file.
func ParseDiff(diff string) Touched {
	t := Touched{}
	file := ""
	for line := range strings.Lines(diff) {
		line = strings.TrimRight(line, "\r\n")
		if name, ok := strings.CutPrefix(line, "+++ "); ok {
			file = ""
			if name != "/dev/null" && strings.TrimSpace(name) != "" {
				file = filepath.ToSlash(filepath.Clean(name))
			}
			if file != "" && t[file] == nil {
				t[file] = map[int]bool{}
			}
			continue
		}
		if file == "" || !strings.HasPrefix(line, "@@ ") {
			continue
		}
		var from, n int
		_, after, _ := strings.Cut(line, " +")
		span, _, _ := strings.Cut(after, " ")
		start, count, several := strings.Cut(span, ",")
		if _, err := fmt.Sscanf(start, "%d", &from); err != nil || from < 0 {
			continue
		}
		n = 1
		if several {
			if _, err := fmt.Sscanf(count, "%d", &n); err != nil {
				continue
			}
		}
		for i := range min(n, 1<<20) {
			t[file][from+i] = true
		}
		if n == 0 { // lines were taken away after line from
			t[file][from], t[file][from+1] = true, true
		}
		delete(t[file], 0)
	}
	return t
}

// OnlyTouched keeps the findings that stand, or have a related place, on a
// line that a change touched. All files were read all the same: what a change
// breaks elsewhere points at the changed line by its related place.
func (r *Result) OnlyTouched(t Touched) {
	on := func(file string, line int) bool {
		lines, ok := t[filepath.ToSlash(filepath.Clean(file))]
		return ok && (lines == nil || lines[line] || line == 0 && len(lines) > 0) // 0 is the file as a whole
	}
	before := len(r.Findings)
	r.Findings = slices.DeleteFunc(r.Findings, func(h rule.Hit) bool {
		if on(h.Pos.File, h.Pos.Line) {
			return false
		}
		return !slices.ContainsFunc(h.Related, func(x finding.Related) bool { return on(x.Pos.File, x.Pos.Line) })
	})
	r.Untouched = before - len(r.Findings)
}
