package litellm

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

// Effect says what llmgw does with a LiteLLM flag.
type Effect string

// The effects of a flag. A flag with NoEffect is accepted with one info line.
const (
	SameEffect    Effect = "same"    // as in LiteLLM
	OtherEffect   Effect = "differs" // has an effect, with a difference its Doc names
	NoEffect      Effect = "info"    // accepted, without effect here
	RefusedEffect Effect = "refused" // stops with a message
)

// Flag is one flag of the `litellm` command line.
type Flag struct {
	Name    string // with underscores, without leading dashes
	Short   string // one letter, or empty
	Switch  bool   // true when the flag takes no value
	Type    Type   // of the value
	Env     []string
	Default string
	Effect  Effect
	// Implemented is true when this build acts on the flag; flags without effect
	// and refused ones have nothing to implement and are true as well.
	Implemented bool
	// Priority and Doc as for Key.
	Priority int
	Doc      string
}

//go:embed data/flags.tsv
var flagsTSV string

var flags = sync.OnceValue(func() []Flag {
	var list []Flag
	done := implementedNames("--")
	table("flags.tsv", flagsTSV, func(r row) {
		f := Flag{
			Name: r.str("name"), Short: r.str("short"), Switch: r.str("arity") == "switch",
			Type: Type(r.str("type")), Env: r.list("env"), Default: r.str("default"),
			Effect: Effect(r.str("effect")), Priority: r.num("prio"), Doc: r.str("doc"),
		}
		f.Implemented = done[f.Name] || f.Effect == NoEffect || f.Effect == RefusedEffect
		delete(done, f.Name)
		list = append(list, f)
	})
	for name := range done {
		panic("litellm: data/implemented.txt names --" + name + ", which data/flags.tsv does not know")
	}
	return list
})

// Flags returns every flag of the emulated release's command line.
func Flags() []Flag { return slices.Clone(flags()) }

// LookupFlag finds a flag by its name, written with dashes or underscores and
// with or without the leading dashes, or by its one letter.
func LookupFlag(name string) (Flag, bool) {
	bare := strings.ReplaceAll(strings.TrimLeft(name, "-"), "-", "_")
	for _, f := range flags() {
		if f.Name == bare || f.Short != "" && f.Short == bare {
			return f, true
		}
	}
	return Flag{}, false
}
