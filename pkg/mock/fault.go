package mock

import (
	"bytes"
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"
)

// Fault is one way to misbehave and how often.
type Fault struct {
	Kind  FaultKind
	Share float64 // of requests, 0..1
}

// FaultKind names a way to misbehave.
type FaultKind uint8

// The faults. Those that cut an answer do so in the middle of it, in the
// middle of a frame.
const (
	faultNone FaultKind = iota
	faultStatus400
	faultStatus401
	faultStatus403
	faultStatus404
	faultStatus408
	faultStatus413
	faultStatus422
	faultStatus429
	faultStatus500
	faultStatus502
	faultStatus503
	faultStatus504
	faultStatus529
	faultHang        // reads the request and never answers
	faultClose       // closes the connection instead of answering
	faultReset       // resets it
	faultHeadersOnly // sends the headers of a good answer, then closes
	faultCut         // closes in mid-frame
	faultResetMid    // resets in mid-frame
	faultStall       // stops in the middle and keeps the connection open
	faultTruncate    // ends the body in good order in the middle of a frame
	faultNoDone      // leaves out the final [DONE]
	faultEmpty       // 200 and an empty body
	faultHTML        // 200 and a web page
	faultHTML502     // 502 and a web page
	faultBadJSON     // 200 and half a JSON document; in a stream one broken event
	faultWrongType   // a good answer labelled text/plain
	faultErrorEvent  // an error object as an event in the middle of a stream
	faultSlowHeaders // sends the head of the answer byte by byte
	faultSlow        // answers a second late
	faultCount
)

var faultNames = [faultCount]string{
	"none", "400", "401", "403", "404", "408", "413", "422", "429", "500", "502", "503", "504", "529",
	"hang", "close", "reset", "headers-only", "cut", "reset-mid", "stall", "truncate", "no-done", "empty",
	"html", "html-502", "bad-json", "wrong-type", "error-event", "slow-headers", "slow",
}

var faultByName = func() map[string]FaultKind {
	m := make(map[string]FaultKind, faultCount)
	for i, n := range faultNames[1:] {
		m[n] = FaultKind(i + 1)
	}
	return m
}()

// String is the name used on the command line.
func (k FaultKind) String() string {
	if k < faultCount {
		return faultNames[k]
	}
	return "fault(" + strconv.Itoa(int(k)) + ")"
}

// FaultNames lists all faults in a fixed order.
func FaultNames() []string { return append([]string(nil), faultNames[1:]...) }

// ParseFault reads KIND=P%, KIND=0.01 or KIND alone, which means every request.
func ParseFault(text string) (Fault, error) {
	name, share, has := strings.Cut(text, "=")
	kind, ok := faultByName[name]
	if !ok {
		names := FaultNames()
		sort.Strings(names)
		return Fault{}, fmt.Errorf("%q is no fault: use one of %s", name, strings.Join(names, ", "))
	}
	f := Fault{Kind: kind, Share: 1}
	if has {
		number, percent := strings.CutSuffix(share, "%")
		v, err := strconv.ParseFloat(number, 64)
		if percent {
			v /= 100
		}
		if err != nil || math.IsNaN(v) || v < 0 || v > 1 {
			return Fault{}, fmt.Errorf("%q: %q is no share of requests: write 5%% or 0.05", text, share)
		}
		f.Share = v
	}
	return f, nil
}

// status is the HTTP status of a fault that only answers with one, else 0.
func (k FaultKind) status() int {
	if k >= faultStatus400 && k <= faultStatus529 {
		n, _ := strconv.Atoi(faultNames[k])
		return n
	}
	return 0
}

// profile applies what the model name asks for: "mock/KIND" selects a fault,
// "mock/latency-D", "mock/ttft-D" and "mock/itl-D" a fixed delay for this
// request. What follows a further slash is only a name.
func (c *exchange) profile() FaultKind {
	name, ok := bytes.CutPrefix(c.peek.model, []byte(`"mock/`))
	if !ok {
		return faultNone
	}
	name = name[:len(name)-1]
	if i := bytes.IndexByte(name, '/'); i >= 0 {
		name = name[:i]
	}
	if k, ok := faultByName[string(name)]; ok {
		return k
	}
	what, delay, ok := strings.Cut(string(name), "-")
	if !ok {
		return faultNone
	}
	d, err := parseDelay(delay)
	if err != nil {
		return faultNone
	}
	switch what {
	case "latency":
		c.latency = Fixed(d)
	case "ttft":
		c.ttft = Fixed(d)
	case "itl":
		c.itl = Fixed(d)
	}
	return faultNone
}

// pickFault decides for one request: the model name first, then the shares,
// which add up; beyond 100% the later ones never come.
func (c *exchange) pickFault() FaultKind {
	if k := c.profile(); k != faultNone || len(c.m.opt.Faults) == 0 {
		return k
	}
	draw := c.rand().Float64()
	for _, f := range c.m.opt.Faults {
		if draw < f.Share {
			return f.Kind
		}
		draw -= f.Share
	}
	return faultNone
}
