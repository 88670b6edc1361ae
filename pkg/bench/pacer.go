package bench

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// Pacer yields the intended start of one request after the other, as offsets
// from the beginning of the schedule. The offsets never decrease. Latency is
// measured from them, so a late generator or a stalled target cannot hide the
// time a request waited for its turn.
type Pacer interface {
	Next() time.Duration
}

// Arrival is the process by which an open loop's requests arrive.
type Arrival struct {
	// Burstiness is the shape of the gamma distribution of gaps: 0 means constant
	// gaps, 1 is a Poisson process, below 1 is burstier.
	Burstiness float64
	text       string
}

// ParseArrival reads constant, poisson or gamma:BURSTINESS.
func ParseArrival(text string) (Arrival, error) {
	switch {
	case text == "constant":
		return Arrival{text: text}, nil
	case text == "poisson":
		return Arrival{Burstiness: 1, text: text}, nil
	case strings.HasPrefix(text, "gamma:"):
		b, err := strconv.ParseFloat(text[len("gamma:"):], 64)
		if err != nil || !(b >= 0.01 && b <= 1000) {
			return Arrival{}, fmt.Errorf("%q: burstiness is a number between 0.01 and 1000", text)
		}
		return Arrival{Burstiness: b, text: text}, nil
	}
	return Arrival{}, fmt.Errorf("%q is no arrival process: use constant, poisson or gamma:BURSTINESS", text)
}

// String is the name used on the command line.
func (a Arrival) String() string {
	if a.text == "" {
		return "constant"
	}
	return a.text
}

// Ramp lets the rate grow (or shrink) from From to To over Over, in equal
// steps, or continuously when Steps is 0; afterwards the rate stays at To.
type Ramp struct {
	From, To float64
	Over     time.Duration
	Steps    int
}

// ParseRamp reads A:B:DURATION[:STEPS].
func ParseRamp(text string) (Ramp, error) {
	bad := fmt.Errorf("%q is no ramp: write FROM:TO:DURATION[:STEPS], as in 10:200:60s:5", text)
	parts := strings.Split(text, ":")
	if len(parts) != 3 && len(parts) != 4 {
		return Ramp{}, bad
	}
	from, err1 := strconv.ParseFloat(parts[0], 64)
	to, err2 := strconv.ParseFloat(parts[1], 64)
	over, err3 := time.ParseDuration(parts[2])
	r := Ramp{From: from, To: to, Over: over}
	if len(parts) == 4 {
		n, err := strconv.Atoi(parts[3])
		if err != nil || n < 1 || n > 10_000 {
			return Ramp{}, bad
		}
		r.Steps = n
	}
	if err1 != nil || err2 != nil || err3 != nil || !validRate(from) || !validRate(to) || over <= 0 {
		return Ramp{}, bad
	}
	return r, nil
}

// MaxRate bounds the rate of an open loop: ten times what one machine can send.
const MaxRate = 1e6

func validRate(r float64) bool { return r > 0 && r <= MaxRate } // also refuses NaN

// constantPacer sends request i at i/rate, without accumulating rounding.
type constantPacer struct {
	rate float64
	i    float64
}

func (p *constantPacer) Next() time.Duration {
	at := time.Duration(p.i / p.rate * float64(time.Second))
	p.i++
	return at
}

// gammaPacer draws gaps from a gamma distribution with the given shape and the
// mean 1/rate; shape 1 is the exponential distribution of a Poisson process.
type gammaPacer struct {
	rate, shape float64
	rng         *rand.Rand
	at          float64 // seconds
	started     bool
}

func (p *gammaPacer) Next() time.Duration {
	if p.started {
		p.at += gammaDraw(p.rng, p.shape) / (p.shape * p.rate)
	}
	p.started = true
	return time.Duration(min(p.at*float64(time.Second), math.MaxInt64/2))
}

// gammaDraw is the method of Marsaglia and Tsang: squeeze a normal variate
// cubed; shapes below 1 are drawn one higher and scaled by U^(1/shape).
func gammaDraw(rng *rand.Rand, shape float64) float64 {
	boost := 1.0
	if shape < 1 {
		boost = math.Pow(1-rng.Float64(), 1/shape)
		shape++
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v = v * v * v
		u := 1 - rng.Float64()
		if math.Log(u) < 0.5*x*x+d-d*v+d*math.Log(v) {
			return d * v * boost
		}
	}
}

// rampPacer integrates a rate that changes over time: the i-th request is due
// when the integral of the rate reaches i.
type rampPacer struct {
	ramp Ramp
	n    float64
}

func (p *rampPacer) Next() time.Duration {
	t := p.ramp.at(p.n)
	p.n++
	return time.Duration(min(t*float64(time.Second), math.MaxInt64/2))
}

// at inverts the integral of the rate: the time in seconds by which n requests
// are due.
func (r Ramp) at(n float64) float64 {
	over := r.Over.Seconds()
	if r.Steps > 0 {
		// Steps of equal length; the first runs at From, the last at To.
		width := over / float64(r.Steps)
		for i := range r.Steps {
			rate := r.To
			if r.Steps > 1 {
				rate = r.From + (r.To-r.From)*float64(i)/float64(r.Steps-1)
			}
			if n < rate*width {
				return float64(i)*width + n/rate
			}
			n -= rate * width
		}
		return over + n/r.To
	}
	// Linear: From·t + (To-From)·t²/(2·over) = n, solved in the form that does not
	// cancel when From and To are close.
	if total := (r.From + r.To) / 2 * over; n >= total {
		return over + (n-total)/r.To
	}
	slope := (r.To - r.From) / over
	return 2 * n / (r.From + math.Sqrt(r.From*r.From+2*slope*n))
}

func newPacer(p *Plan) Pacer {
	switch {
	case p.Ramp != nil:
		return &rampPacer{ramp: *p.Ramp}
	case p.Arrival.Burstiness > 0:
		return &gammaPacer{rate: p.Rate, shape: p.Arrival.Burstiness, rng: rand.New(rand.NewPCG(p.Seed, 0xa221))}
	}
	return &constantPacer{rate: p.Rate}
}
