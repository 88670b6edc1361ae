package litellm

import (
	_ "embed"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
)

// Words names the rule by which a variable's text becomes true or false.
type Words string

// The rules seen in LiteLLM. What LiteLLM reads and what llmgw reads are the
// same unless a variable's row says otherwise.
const (
	WordsNone     Words = ""         // not a boolean
	WordsStrict   Words = "strict"   // true and false, any case; nothing else counts
	WordsClick    Words = "click"    // 1 true t yes y on / 0 false f no n off; other words stop it
	WordsLoose    Words = "loose"    // 0 false f no n off are false, any other text is true
	WordsNonEmpty Words = "nonempty" // any text is true, "false" included
	WordsOne      Words = "one"      // exactly "1"
)

// EnvVar is one environment variable.
type EnvVar struct {
	Name    string
	Group   string // core, database, redis, network, behaviour, provider, package
	Type    Type
	Default string
	Theirs  Words // how LiteLLM reads a boolean
	// OddIsTrue says that llmgw takes a word which is neither true nor false as
	// true, with a warning, because LiteLLM does or did in other releases.
	OddIsTrue bool
	Flag      string // the flag it stands in for
	Key       string // the configuration key it stands in for, as section.name
	Secret    bool   // the value must never be shown
	Effect    Effect
	// Implemented is as for Flag.
	Implemented bool
	Priority    int
	Doc         string
}

//go:embed data/env.tsv
var envTSV string

type envTable struct {
	all    []EnvVar
	byName map[string]int
}

var env = sync.OnceValue(func() *envTable {
	t := &envTable{byName: map[string]int{}}
	done := implementedNames("$")
	table("env.tsv", envTSV, func(r row) {
		words, odd, _ := strings.Cut(r.str("words"), " ")
		v := EnvVar{
			Name: r.str("name"), Group: r.str("group"), Type: Type(r.str("type")), Default: r.str("default"),
			Theirs: Words(words), OddIsTrue: odd == "on", Flag: r.str("flag"), Key: r.str("key"), Secret: r.str("secret") == "secret",
			Effect: Effect(r.str("effect")), Priority: r.num("prio"), Doc: r.str("doc"),
		}
		if _, dup := t.byName[v.Name]; dup {
			r.fail("%s is listed twice", v.Name)
		}
		v.Implemented = done[v.Name] || v.Effect == NoEffect || v.Effect == RefusedEffect
		delete(done, v.Name)
		t.byName[v.Name] = len(t.all)
		t.all = append(t.all, v)
	})
	for name := range done {
		panic("litellm: data/implemented.txt names $" + name + ", which data/env.tsv does not know")
	}
	return t
})

// Env returns every known environment variable.
func Env() []EnvVar { return slices.Clone(env().all) }

// EachEnv goes over the known variables of a type without copying the table.
func EachEnv(t Type) iter.Seq[*EnvVar] {
	return func(yield func(*EnvVar) bool) {
		for i := range env().all {
			if v := &env().all[i]; v.Type == t && !yield(v) {
				return
			}
		}
	}
}

// LookupEnv finds a variable by its exact name.
func LookupEnv(name string) (EnvVar, bool) {
	t := env()
	i, ok := t.byName[name]
	if !ok {
		return EnvVar{}, false
	}
	return t.all[i], true
}

var (
	trueWords  = []string{"1", "true", "t", "yes", "y", "on"}
	falseWords = []string{"0", "false", "f", "no", "n", "off"}
)

// ParseEnvBool reads the text of a boolean variable as llmgw does. ok is false
// when the text says nothing (it is empty, or no word we know) and the caller
// should keep its default. The warning, if any, is one sentence fit for a log;
// it names the variable and, because these are switches and not secrets, the
// word.
func ParseEnvBool(name, text string) (value bool, warning string, ok bool) {
	word := strings.ToLower(strings.TrimSpace(text))
	if word == "" {
		return false, "", false
	}
	v, known := LookupEnv(name)
	isTrue, isFalse := slices.Contains(trueWords, word), slices.Contains(falseWords, word)
	if !isTrue && !isFalse {
		if known && v.OddIsTrue {
			return true, fmt.Sprintf("%s=%q is neither true nor false; it counts as true; write true or false", name, text), true
		}
		return false, fmt.Sprintf("%s=%q is neither true nor false and is ignored; write true or false", name, text), false
	}
	value = isTrue
	if known {
		if theirs, sure := v.ReadByLiteLLM(text); sure && theirs != value {
			warning = fmt.Sprintf("%s=%q means %t here but %t to LiteLLM; write %s", name, text, value, theirs, v.clearWord(value))
		}
	}
	return value, warning, true
}

// ReadByLiteLLM tells what LiteLLM makes of a boolean variable's text. sure is
// false for variables that are not boolean and for words on which LiteLLM
// stops or falls back to its default.
func (v EnvVar) ReadByLiteLLM(text string) (value, sure bool) {
	word := strings.ToLower(strings.TrimSpace(text))
	switch v.Theirs {
	case WordsNonEmpty:
		return text != "", true
	case WordsStrict:
		return word == "true", true
	case WordsOne:
		return text == "1", true
	case WordsLoose:
		return word != "" && !slices.Contains(falseWords, word), true
	case WordsClick:
		if slices.Contains(trueWords, word) {
			return true, true
		}
		return false, slices.Contains(falseWords, word)
	}
	return false, false
}

// clearWord is a spelling that both sides read as value.
func (v EnvVar) clearWord(value bool) string {
	switch {
	case v.Theirs == WordsNonEmpty && !value:
		return "nothing (unset it)"
	case v.Theirs == WordsOne && value:
		return "1"
	case v.Theirs == WordsOne:
		return "0"
	case value:
		return "true"
	default:
		return "false"
	}
}
