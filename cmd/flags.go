package cmd

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// dashes lets every flag be written with - or _, as LiteLLM's users do; help
// shows dashes.
func dashes(_ *pflag.FlagSet, name string) pflag.NormalizedName {
	return pflag.NormalizedName(strings.ReplaceAll(name, "_", "-"))
}

// durationFlag reads 600, 600s, 10m or 1.5h; a bare number is seconds.
type durationFlag struct{ d *time.Duration }

func (f durationFlag) Set(text string) error {
	d, err := parseDuration(text)
	if err != nil {
		return err
	}
	*f.d = d
	return nil
}

func (f durationFlag) String() string {
	if f.d == nil || *f.d == 0 {
		return "" // pflag prints no default for an empty text
	}
	return f.d.String()
}

func (durationFlag) Type() string { return "duration" }

// durationVar declares a duration flag with a default.
func durationVar(fs *pflag.FlagSet, d *time.Duration, name string, def time.Duration, usage string) {
	*d = def
	fs.Var(durationFlag{d}, name, usage)
}

// parseDuration reads a duration as every llmgw flag accepts it. Negative
// durations are refused: no flag has a use for one.
func parseDuration(text string) (time.Duration, error) {
	trimmed := strings.TrimSpace(text)
	if seconds, err := strconv.ParseFloat(trimmed, 64); err == nil {
		if !(seconds >= 0 && seconds <= float64(1<<33)) { // also refuses NaN
			return 0, fmt.Errorf("%q is not a usable number of seconds", text)
		}
		return time.Duration(seconds * float64(time.Second)), nil
	}
	d, err := time.ParseDuration(trimmed)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration; write 600, 600s or 10m", text)
	}
	if d < 0 {
		return 0, fmt.Errorf("%q is negative", text)
	}
	return d, nil
}

// nearestFlag returns the declared flag closest to a mistyped one.
func nearestFlag(fs *pflag.FlagSet, name string) (string, bool) {
	var names []string
	fs.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return nearest(strings.ReplaceAll(name, "_", "-"), names)
}

// nearest returns the candidate with the smallest edit distance to word, if
// one is near enough to be what was meant: a slip for every three letters, one
// in a shorter word, at most four.
func nearest(word string, candidates []string) (string, bool) {
	best, bestDistance := "", max(min(len(word)-1, 1), min(len(word)/3, 4))+1
	for _, c := range candidates {
		if d := editDistance(word, c); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best, best != ""
}

// editDistance is how many insertions, deletions, replacements and swaps of
// neighbours turn a into b, in bytes; flag and command names are ASCII.
func editDistance(a, b string) int {
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := row[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			next[j] = min(row[j]+1, next[j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
