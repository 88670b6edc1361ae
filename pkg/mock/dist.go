package mock

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Dist is a distribution of delays. The zero value is no delay.
type Dist struct {
	kind  distKind
	a, b  float64 // nanoseconds, except sigma and alpha
	trace []time.Duration
	text  string
}

type distKind uint8

const (
	distFixed distKind = iota
	distUniform
	distExp
	distLognormal
	distPareto
	distTrace
)

// maxDelay bounds what a heavy tail can draw.
const maxDelay = float64(time.Hour)

// Fixed is the distribution that is always d.
func Fixed(d time.Duration) Dist { return Dist{a: float64(d), text: d.String()} }

// ParseDist reads "50ms" (a bare number is seconds), "uniform:10ms..30ms", "exp:20ms",
// "lognormal:60ms,0.3" (median, sigma), "pareto:5ms,1.5" (minimum, alpha).
// The form trace:FILE is left to [Trace], which reads from a reader.
func ParseDist(text string) (Dist, error) {
	name, args, has := strings.Cut(text, ":")
	d := Dist{text: text}
	var err error
	switch {
	case !has:
		var v time.Duration
		if v, err = parseDelay(text); err == nil {
			d.a = float64(v)
		}
	case name == "uniform":
		d.kind = distUniform
		lo, hi, ok := strings.Cut(args, "..")
		if !ok {
			return Dist{}, fmt.Errorf("%q needs two durations, as in uniform:10ms..30ms", text)
		}
		if d.a, d.b, err = two(lo, hi); err == nil && d.b < d.a {
			return Dist{}, fmt.Errorf("%q ends before it begins", text)
		}
	case name == "exp":
		d.kind = distExp
		var v time.Duration
		if v, err = parseDelay(args); err == nil {
			d.a = float64(v)
		}
	case name == "lognormal" || name == "pareto":
		d.kind = distLognormal
		if name == "pareto" {
			d.kind = distPareto
		}
		first, second, ok := strings.Cut(args, ",")
		if !ok {
			return Dist{}, fmt.Errorf("%q needs a duration and a number, as in %s:60ms,0.5", text, name)
		}
		var v time.Duration
		if v, err = parseDelay(first); err == nil {
			d.a = float64(v)
			d.b, err = strconv.ParseFloat(second, 64)
			if err != nil || math.IsNaN(d.b) || math.IsInf(d.b, 0) || d.b < 0 || d.kind == distPareto && d.b == 0 {
				return Dist{}, fmt.Errorf("%q: %q is not a positive number", text, second)
			}
		}
	default:
		return Dist{}, fmt.Errorf("%q is no delay: use a duration such as 50ms, or one that begins with uniform:, exp:, lognormal:, pareto: or trace: and its numbers", text)
	}
	if err != nil {
		return Dist{}, err
	}
	return d, nil
}

// Trace reads one duration a line. Requests take them in turn.
func Trace(name string, r io.Reader) (Dist, error) {
	d := Dist{kind: distTrace, text: "trace:" + name}
	sc := bufio.NewScanner(r)
	for line := 1; sc.Scan(); line++ {
		text := strings.TrimSpace(sc.Text())
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		v, err := parseDelay(text)
		if err != nil {
			return Dist{}, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		d.trace = append(d.trace, v)
	}
	if err := sc.Err(); err != nil {
		return Dist{}, fmt.Errorf("%s: %w", name, err)
	}
	if len(d.trace) == 0 {
		return Dist{}, fmt.Errorf("%s: no durations in it", name)
	}
	return d, nil
}

func two(lo, hi string) (float64, float64, error) {
	a, err := parseDelay(lo)
	if err != nil {
		return 0, 0, err
	}
	b, err := parseDelay(hi)
	return float64(a), float64(b), err
}

var errDelay = errors.New("must be between 0 and 1h")

func parseDelay(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		if !(seconds >= 0 && seconds <= 3600) {
			return 0, fmt.Errorf("%q %w", text, errDelay)
		}
		return time.Duration(seconds * float64(time.Second)), nil
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write a number with its unit, such as 50ms", text)
	}
	if v < 0 || float64(v) > maxDelay {
		return 0, fmt.Errorf("%q %w", text, errDelay)
	}
	return v, nil
}

// Zero reports whether the distribution never delays.
func (d *Dist) Zero() bool { return d.kind == distFixed && d.a == 0 }

// String is the text the distribution was parsed from.
func (d Dist) String() string {
	if d.text == "" {
		return "0s"
	}
	return d.text
}

// draw takes one delay; n is the number of the draw, which only a trace uses.
func (d *Dist) draw(rng *rand.Rand, n uint64) time.Duration {
	var v float64
	switch d.kind {
	case distFixed:
		return time.Duration(d.a)
	case distUniform:
		v = d.a + rng.Float64()*(d.b-d.a)
	case distExp:
		v = rng.ExpFloat64() * d.a
	case distLognormal:
		v = d.a * math.Exp(d.b*rng.NormFloat64())
	case distPareto:
		v = d.a / math.Pow(1-rng.Float64(), 1/d.b)
	case distTrace:
		return d.trace[n%uint64(len(d.trace))]
	}
	return time.Duration(min(v, maxDelay))
}
