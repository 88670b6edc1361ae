package config

import "github.com/llmgw/llmgw/internal/finding"

// OriginKind says what sort of place a value came from.
type OriginKind int

// The sorts of places.
const (
	// FromFile is written in the main configuration file.
	FromFile OriginKind = iota
	// FromInclude is written in an included file.
	FromInclude
	// FromReference is an os.environ/NAME reference; Name is the variable.
	FromReference
	// FromVariable is a variable that LiteLLM reads without being asked, such as
	// LITELLM_MASTER_KEY; Name is the variable.
	FromVariable
	// FromDefault is LiteLLM's default.
	FromDefault
)

// Origin says where an effective value came from.
type Origin struct {
	Kind OriginKind
	Name string           // the variable, for FromReference and FromVariable
	Via  string           // where the variable is set: "environment", ".env", a file
	Pos  finding.Position // where it is written; zero for defaults
}

// String is the origin in words, without any value.
func (o Origin) String() string {
	switch o.Kind {
	case FromReference, FromVariable:
		s := "variable " + o.Name
		if o.Via != "" {
			s += " (" + o.Via + ")"
		}
		if o.Kind == FromReference && !o.Pos.IsZero() {
			s += " by " + o.Pos.String()
		}
		return s
	case FromDefault:
		return "default"
	default:
		return o.Pos.String()
	}
}
