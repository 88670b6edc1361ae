package mock

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestDelaysAreReadAndWrongOnesExplained(t *testing.T) {
	for _, tc := range []struct {
		text string
		min  time.Duration
		max  time.Duration
		err  string
	}{
		{"0", 0, 0, ""},
		{"50ms", 50 * time.Millisecond, 50 * time.Millisecond, ""},
		{"uniform:10ms..30ms", 10 * time.Millisecond, 30 * time.Millisecond, ""},
		{"exp:20ms", 0, time.Hour, ""},
		{"lognormal:60ms,0.3", time.Millisecond, time.Hour, ""},
		{"pareto:5ms,1.5", 5 * time.Millisecond, time.Hour, ""},
		{"0.5", 500 * time.Millisecond, 500 * time.Millisecond, ""},
		{"soon", 0, 0, "not a duration"},
		{"4000", 0, 0, "between 0 and 1h"},
		{"-1s", 0, 0, "between 0 and 1h"},
		{"2h", 0, 0, "between 0 and 1h"},
		{"uniform:10ms", 0, 0, "two durations"},
		{"uniform:30ms..10ms", 0, 0, "ends before it begins"},
		{"lognormal:60ms", 0, 0, "a duration and a number"},
		{"lognormal:60ms,NaN", 0, 0, "not a positive number"},
		{"pareto:5ms,0", 0, 0, "not a positive number"},
		{"gauss:5ms", 0, 0, "is no delay"},
	} {
		t.Run(tc.text, func(t *testing.T) {
			d, err := ParseDist(tc.text)
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Fatalf("error %v, want one with %q", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			rng := newRand(1, 1)
			for i := range uint64(1000) {
				if v := d.draw(rng, i); v < tc.min || v > tc.max {
					t.Fatalf("drew %v, outside %v..%v", v, tc.min, tc.max)
				}
			}
		})
	}
}

func TestTraceIsTakenInTurn(t *testing.T) {
	d, err := Trace("delays.txt", strings.NewReader("# gaps\n10ms\n20ms\n\n0.0005\n"))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 500 * time.Microsecond, 10 * time.Millisecond} {
		if got := d.draw(nil, uint64(i)); got != want {
			t.Errorf("draw %d is %v, want %v", i, got, want)
		}
	}
	if _, err := Trace("delays.txt", strings.NewReader("10\nsoon\n")); err == nil || !strings.Contains(err.Error(), "delays.txt:2") {
		t.Errorf("error %v names no line", err)
	}
	if _, err := Trace("empty.txt", strings.NewReader("")); err == nil {
		t.Error("an empty trace was accepted")
	}
}

func TestFaultSharesAreRead(t *testing.T) {
	for _, tc := range []struct {
		text  string
		kind  FaultKind
		share float64
		err   string
	}{
		{"429=1%", faultStatus429, 0.01, ""},
		{"reset=0.001", faultReset, 0.001, ""},
		{"cut", faultCut, 1, ""},
		{"fire=1%", 0, 0, "is no fault"},
		{"none=1%", 0, 0, "is no fault"},
		{"429=101%", 0, 0, "is no share"},
		{"429=-1%", 0, 0, "is no share"},
		{"429=NaN", 0, 0, "is no share"},
		{"429=", 0, 0, "is no share"},
	} {
		f, err := ParseFault(tc.text)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: error %v, want one with %q", tc.text, err, tc.err)
			}
		} else if err != nil || f != (Fault{tc.kind, tc.share}) {
			t.Errorf("%s: got %+v, %v", tc.text, f, err)
		}
	}
}

func TestTextSplitsAtCharactersAndLosesNothing(t *testing.T) {
	const text = "Straße 東京 🙂 fin"
	for n := 1; n < 40; n++ {
		parts := splitText(text, n)
		if len(parts) != n || strings.Join(parts, "") != text {
			t.Fatalf("%d parts: %q", n, parts)
		}
		for _, p := range parts {
			if strings.ToValidUTF8(p, "?") != p {
				t.Fatalf("%d parts: %q is cut inside a character", n, p)
			}
		}
	}
}

func FuzzPeek(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"model":"m","stream":true,"max_tokens":5}`, `{"a":[{"b":"]}\""}],"model":"x"}`,
		`{"stream_options":{"include_usage":true}}`, `{"input":["a",["b"]]}`, `[`, `{"a":"\\","stream":true}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, ok := peek(body)
		if findNonce(body) != "" && len(findNonce(body)) != NonceLen {
			t.Fatal("nonce of a wrong length")
		}
		if !json.Valid(body) {
			return // the mock need not refuse everything that is broken, only survive it
		}
		var want map[string]json.RawMessage
		if json.Unmarshal(body, &want) != nil || want == nil {
			return // valid, but no object
		}
		if !ok {
			t.Fatalf("refused the valid object %q", body)
		}
		if strings.Contains(string(body), `\`) {
			return // the keys of both readers differ by escapes
		}
		if m := want["model"]; len(m) > 0 && m[0] == '"' && string(m) != string(p.model) {
			t.Fatalf("model %q, want %q", p.model, m)
		}
		if p.stream != (string(want["stream"]) == "true") {
			t.Fatalf("stream %v in %q", p.stream, body)
		}
	})
}

func FuzzParseOptions(f *testing.F) {
	f.Add("lognormal:60ms,0.3")
	f.Add("429=1%")
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDist(s); err == nil {
			for i := range uint64(3) {
				if v := d.draw(newRand(1, i), i); v < 0 || float64(v) > maxDelay {
					t.Fatalf("%q drew %v", s, v)
				}
			}
		}
		if fl, err := ParseFault(s); err == nil && (fl.Share < 0 || fl.Share > 1) {
			t.Fatalf("%q has share %v", s, fl.Share)
		}
	})
}
