package bench

import (
	"math"
	"strings"
	"testing"
	"time"
)

func plan(t *testing.T, edit func(*Plan)) *Plan {
	t.Helper()
	target, err := ParseTarget("http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	p := &Plan{Target: target, Seed: 1}
	if edit != nil {
		edit(p)
	}
	if err := p.Check(); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestConstantArrivalsDoNotDrift(t *testing.T) {
	p := newPacer(plan(t, func(p *Plan) { p.Rate = 3 }))
	for i := range 3_000_000 {
		at := p.Next()
		if i%1_000_000 == 0 {
			want := time.Duration(float64(i) / 3 * 1e9)
			if d := (at - want).Abs(); d > time.Nanosecond {
				t.Fatalf("request %d is due at %v, want %v", i, at, want)
			}
		}
	}
}

// The mean of n gaps has a standard deviation of 1/(rate·sqrt(n·shape)); five
// of them make a seeded test that only a wrong formula fails.
func TestRandomArrivalsKeepTheirRateAndBurstiness(t *testing.T) {
	for _, text := range []string{"poisson", "gamma:0.25", "gamma:0.5", "gamma:4", "gamma:100"} {
		t.Run(text, func(t *testing.T) {
			a, err := ParseArrival(text)
			if err != nil {
				t.Fatal(err)
			}
			const rate, n = 100.0, 200_000
			p := newPacer(plan(t, func(p *Plan) { p.Rate, p.Arrival, p.Seed = rate, a, 42 }))
			last, sum, squares := p.Next(), 0.0, 0.0
			for range n {
				at := p.Next()
				if at < last {
					t.Fatal("the schedule goes backwards")
				}
				g := (at - last).Seconds()
				sum, squares, last = sum+g, squares+g*g, at
			}
			mean := sum / n
			if math.Abs(mean*rate-1) > 5/math.Sqrt(n*a.Burstiness) {
				t.Errorf("mean gap %v s, want %v", mean, 1/rate)
			}
			cv2 := (squares/n - mean*mean) / (mean * mean)
			if want := 1 / a.Burstiness; math.Abs(cv2/want-1) > 0.1 {
				t.Errorf("squared coefficient of variation %v, want %v", cv2, want)
			}
		})
	}
}

func TestRampReachesTheRateItPromises(t *testing.T) {
	for _, text := range []string{"10:200:60s", "200:10:60s", "50:50:10s", "10:200:60s:5", "10:10.000001:60s"} {
		t.Run(text, func(t *testing.T) {
			r, err := ParseRamp(text)
			if err != nil {
				t.Fatal(err)
			}
			// In any second of the ramp, as many requests are due as the rate says.
			for sec := range int(r.Over.Seconds()) {
				n := 0
				for i := range 20_000 {
					if at := r.at(float64(i)); at >= float64(sec) && at < float64(sec+1) {
						n++
					}
				}
				rate := r.From + (r.To-r.From)*(float64(sec)+0.5)/r.Over.Seconds()
				if r.Steps > 0 {
					step := sec * r.Steps / int(r.Over.Seconds())
					rate = r.From + (r.To-r.From)*float64(step)/float64(r.Steps-1)
				}
				if math.Abs(float64(n)-rate) > 1.01 {
					t.Fatalf("second %d has %d requests, want about %.1f", sec, n, rate)
				}
			}
		})
	}
}

func TestSchedulesThatMakeNoSenseAreRefused(t *testing.T) {
	for _, text := range []string{"", "10:20", "10:20:x", "0:10:10s", "10:20:-1s", "10:20:10s:0", "NaN:1:1s", "1:Inf:1s", "1:2:3s:4:5"} {
		if _, err := ParseRamp(text); err == nil || !strings.Contains(err.Error(), "no ramp") {
			t.Errorf("ramp %q: %v", text, err)
		}
	}
	for _, text := range []string{"", "uniform", "gamma:", "gamma:0", "gamma:NaN", "gamma:-1"} {
		if _, err := ParseArrival(text); err == nil {
			t.Errorf("arrival %q was accepted", text)
		}
	}
}
