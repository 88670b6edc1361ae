// Package facts holds what is true of one deployment (how many pods, workers,
// connections, seconds) and the arithmetic on it: the database pool, the chain
// of timeouts, the grace period, memory and CPU.
//
// Every number carries where it came from, because a sum that a reader cannot
// trace back to his own file does not convince. doctor, render and serve print
// the same numbers by calling the same function here.
//
// The package computes and formats arithmetic; it opens no connection, reads
// no file and decides no severity.
package facts

import (
	"math"
	"strconv"

	"github.com/llmgw/llmgw/internal/finding"
)

// Target is the program that runs in the gateway container.
type Target string

const (
	// LiteLLM is the Python proxy: several workers, each with its own pool.
	LiteLLM Target = "litellm"
	// LLMGW is this program: one process that uses all CPUs it is given.
	LLMGW Target = "llmgw"
)

// ParseTarget reads the words of --target.
func ParseTarget(word string) (Target, bool) {
	switch Target(word) {
	case LiteLLM, LLMGW:
		return Target(word), true
	}
	return "", false
}

// Origin says where a number came from, in the words that a message puts in
// parentheses behind it: "database_connection_pool_limit", "HPA maxReplicas",
// "--num_workers", "default". The zero Origin means that nothing said so.
type Origin struct {
	Text string           `json:"origin,omitempty"`
	Pos  finding.Position `json:"-"`
	// Assumed marks a number that no input states.
	Assumed bool `json:"assumed,omitempty"`
}

// IsSet reports whether the number that carries this origin is known.
func (o Origin) IsSet() bool { return o.Text != "" }

// Int is a whole number with its origin.
type Int struct {
	Value int `json:"value"`
	Origin
}

// NewInt is a number that an input states.
func NewInt(value int, text string, pos finding.Position) Int {
	return Int{Value: value, Origin: Origin{Text: text, Pos: pos}}
}

// AssumedInt is a number that stands in for one that no input states.
func AssumedInt(value int, text string) Int {
	return Int{Value: value, Origin: Origin{Text: text, Assumed: true}}
}

// Or returns the number itself when it is known, else the other.
func (n Int) Or(other Int) Int {
	if n.IsSet() {
		return n
	}
	return other
}

// String is "10 (database_connection_pool_limit)".
func (n Int) String() string {
	if !n.IsSet() {
		return strconv.Itoa(n.Value)
	}
	return strconv.Itoa(n.Value) + " (" + n.Text + ")"
}

// Seconds is a duration as LiteLLM's files write it, with its origin.
type Seconds struct {
	Value float64 `json:"value"`
	Origin
}

// NewSeconds is a duration that an input states.
func NewSeconds(value float64, text string, pos finding.Position) Seconds {
	return Seconds{Value: value, Origin: Origin{Text: text, Pos: pos}}
}

// AssumedSeconds is a duration that stands in for one that no input states.
func AssumedSeconds(value float64, text string) Seconds {
	return Seconds{Value: value, Origin: Origin{Text: text, Assumed: true}}
}

// Or returns the duration itself when it is known, else the other.
func (s Seconds) Or(other Seconds) Seconds {
	if s.IsSet() {
		return s
	}
	return other
}

// Ceil is the duration in whole seconds, rounded up.
func (s Seconds) Ceil() int { return ceilInt(s.Value) }

// String is "600 (request_timeout)".
func (s Seconds) String() string {
	if !s.IsSet() {
		return number(s.Value)
	}
	return number(s.Value) + " (" + s.Text + ")"
}

// DefaultRequestTimeout is the longest request, in seconds, when nothing sets
// one. LiteLLM's own constant is 6000, which it maps to 600 for chat.
const DefaultRequestTimeout = 600

// DefaultPoolLimit is LiteLLM's pool limit per process when nothing sets one.
const DefaultPoolLimit = 10

// number prints 600 as 600 and 0.5 as 0.5.
func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// huge is where the arithmetic saturates: no deployment comes near, and sums
// of a few of it still fit an int64.
const huge = 1 << 52

// product multiplies counts without overflow; negative counts are zero.
func product(factors ...int) int {
	total := 1
	for _, f := range factors {
		if f <= 0 {
			return 0
		}
		if f > huge/total {
			total = huge
			continue
		}
		total *= f
	}
	return total
}

// sum adds counts without overflow; negative counts are zero.
func sum(terms ...int) int {
	total := 0
	for _, t := range terms {
		total = min(huge, total+min(huge, max(0, t)))
	}
	return total
}

func ceilInt(v float64) int {
	switch c := math.Ceil(v); {
	case math.IsNaN(c) || c <= 0:
		return 0
	case c >= huge:
		return huge
	default:
		return int(c)
	}
}
