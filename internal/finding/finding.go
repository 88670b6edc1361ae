// Package finding holds the one shape in which every command reports what it
// found in a user's input: `config validate`, the start-up report of `serve`,
// and `doctor`. It only holds and orders values; it reads nothing and prints
// nothing.
package finding

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// Severity orders findings. The zero value is Info.
type Severity int

const (
	// Info is advice, or a fact the reader needs.
	Info Severity = iota
	// Warning is known to hurt in production under load, rollout or incident.
	Warning
	// Error is wrong now, or an outage or security hole waiting for its trigger.
	Error
)

// String returns the lower-case word used in output, flags and JSON.
func (s Severity) String() string {
	switch s {
	case Error:
		return "error"
	case Warning:
		return "warning"
	default:
		return "info"
	}
}

// ParseSeverity reads the words that String writes.
func ParseSeverity(word string) (Severity, error) {
	switch word {
	case "error":
		return Error, nil
	case "warning":
		return Warning, nil
	case "info":
		return Info, nil
	}
	return Info, fmt.Errorf("severity %q is not one of error, warning, info", word)
}

// MarshalJSON writes the word.
func (s Severity) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads the word.
func (s *Severity) UnmarshalJSON(b []byte) error {
	var word string
	if err := json.Unmarshal(b, &word); err != nil {
		return err
	}
	v, err := ParseSeverity(word)
	if err != nil {
		return err
	}
	*s = v
	return nil
}

// Position points into an input. Line and Col are 1-based; Col counts
// characters (runes), so that a caret lines up under an umlaut. Offset and End
// are byte offsets into the file, half open, for splice edits and carets; both
// are 0 when unknown. File is the name the user knows ("-" for standard input,
// "<args>" for arguments, "<env>" for the process environment).
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line,omitempty"`
	Col    int    `json:"col,omitempty"`
	Offset int    `json:"-"`
	End    int    `json:"-"`
}

// IsZero reports whether the position points nowhere.
func (p Position) IsZero() bool { return p.File == "" && p.Line == 0 }

// String is the file:line:col form that editors and terminals make clickable.
func (p Position) String() string {
	switch {
	case p.Line == 0:
		return p.File
	case p.Col == 0:
		return fmt.Sprintf("%s:%d", p.File, p.Line)
	default:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col)
	}
}

// Related is a second place that matters to a finding, such as the first of
// two duplicate keys.
type Related struct {
	Pos     Position `json:"position"`
	Message string   `json:"message"`
}

// Edit replaces the bytes [Offset, End) of File by Text.
type Edit struct {
	File   string `json:"file"`
	Offset int    `json:"offset"`
	End    int    `json:"end"`
	Text   string `json:"text"`
}

// Finding is one statement about a user's input. Message is one sentence that
// says what is wrong; Why says what happens because of it; Fix says what to do
// next. None of them holds a secret or a resolved environment value.
type Finding struct {
	ID       string    `json:"id"`             // DB001; empty for findings outside the rule catalogue
	Name     string    `json:"name,omitempty"` // pool-exceeds-max-connections
	Severity Severity  `json:"severity"`
	Pos      Position  `json:"position"`
	Path     string    `json:"path,omitempty"` // general_settings.master_key, model_list[3].litellm_params.api_key
	Message  string    `json:"message"`
	Why      string    `json:"why,omitempty"`
	Fix      string    `json:"fix,omitempty"`
	Detail   []string  `json:"detail,omitempty"` // worked arithmetic, one line each
	Related  []Related `json:"related,omitempty"`
	Edits    []Edit    `json:"edits,omitempty"`
}

// Sort orders findings by file, line, column, descending severity, id,
// message; the order does not depend on the order in which rules ran.
func Sort(list []Finding) {
	slices.SortStableFunc(list, func(a, b Finding) int {
		return cmp.Or(
			cmp.Compare(a.Pos.File, b.Pos.File),
			cmp.Compare(a.Pos.Line, b.Pos.Line),
			cmp.Compare(a.Pos.Col, b.Pos.Col),
			cmp.Compare(b.Severity, a.Severity),
			cmp.Compare(a.ID, b.ID),
			cmp.Compare(a.Message, b.Message),
		)
	})
}

// Count returns the number of findings of each severity.
func Count(list []Finding) (errors, warnings, infos int) {
	for _, f := range list {
		switch f.Severity {
		case Error:
			errors++
		case Warning:
			warnings++
		default:
			infos++
		}
	}
	return errors, warnings, infos
}
