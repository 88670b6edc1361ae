// Package duration reads the durations of LiteLLM's configuration and keys:
// how long something lasts ("30d", "1mo"), and at which instant a budget with
// such a window starts again. The two are different questions: a key made at
// noon with a duration of 1d lasts until tomorrow noon, a budget of 1d starts
// again at midnight.
//
// It takes the time and the zone from its caller and must not read a clock.
package duration

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Unit is the unit of a window.
type Unit string

// The units LiteLLM knows.
const (
	Second Unit = "s"
	Minute Unit = "m"
	Hour   Unit = "h"
	Day    Unit = "d"
	Week   Unit = "w"
	Month  Unit = "mo"
)

// Window is a parsed duration: so many of a unit. The zero Window is "none".
type Window struct {
	N    int
	Unit Unit
}

// ErrFormat is returned for a text that does not begin with digits. Its text
// is the one clients see.
//
//lint:ignore ST1005 text that clients match on
var ErrFormat = errors.New("Invalid duration format")

// maxN keeps every window within what time.Time and time.Duration can hold.
const maxN = 1 << 31

// words are the names LiteLLM takes for the usual windows.
var words = map[string]Window{
	"hourly": {1, Hour}, "daily": {24, Hour}, "weekly": {7, Day}, "monthly": {30, Day},
}

// Parse reads how long something lasts. Empty, "none" and "null" in any case
// are no duration: the zero Window and no error. What follows the unit is
// ignored, as LiteLLM does, so that "30min" and "1hr" are understood.
func Parse(text string) (Window, error) {
	folded := strings.ToLower(strings.TrimSpace(text))
	switch folded {
	case "", "none", "null":
		return Window{}, nil
	}
	if w, ok := words[folded]; ok {
		return w, nil
	}
	digits := leadingDigits(text)
	if digits == "" {
		return Window{}, ErrFormat
	}
	rest := text[len(digits):]
	// "mo" before "m", or a month would be a minute.
	for _, u := range []Unit{Month, Second, Minute, Hour, Day, Week} {
		if strings.HasPrefix(rest, string(u)) {
			n, err := strconv.ParseInt(digits, 10, 64)
			if err != nil || n > maxN {
				return Window{}, fmt.Errorf("duration %.24q is longer than can be counted", text)
			}
			return Window{N: int(n), Unit: u}, nil
		}
	}
	//lint:ignore ST1005 text that clients match on
	return Window{}, fmt.Errorf("Unsupported duration unit, passed duration: %.64s", text)
}

func leadingDigits(s string) string {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i]
}

// IsZero reports whether there is no duration.
func (w Window) IsZero() bool { return w.Unit == "" }

// String writes the window in the form Parse reads; the zero Window is "".
func (w Window) String() string {
	if w.IsZero() {
		return ""
	}
	return strconv.Itoa(w.N) + string(w.Unit)
}

// After returns the instant one window after t. Months are calendar months:
// the same day, or the last day of a shorter month. Instants beyond the range
// of a date are cut to the year 9999.
func (w Window) After(t time.Time) time.Time {
	if w.Unit == Month {
		return addMonths(t, w.N)
	}
	length, ok := w.Fixed()
	if !ok {
		return t
	}
	end := t
	for length > 0 { // time.Duration ends at 292 years
		step := min(length, math.MaxInt64/int64(time.Second))
		end = end.Add(time.Duration(step) * time.Second)
		if length -= step; end.Year() > 9999 {
			break
		}
	}
	return cut(end)
}

// Fixed returns the length in seconds; ok is false for months, whose length
// depends on where they begin, and for the zero Window.
func (w Window) Fixed() (seconds int64, ok bool) {
	n := int64(w.N)
	switch w.Unit {
	case Second:
		return n, true
	case Minute:
		return n * 60, true
	case Hour:
		return n * 3600, true
	case Day:
		return n * 86400, true
	case Week:
		return n * 7 * 86400, true
	}
	return 0, false
}

// Length returns the window's length counted from t.
func (w Window) Length(t time.Time) time.Duration { return w.After(t).Sub(t) }

func addMonths(t time.Time, n int) time.Time {
	year, month, day := t.Date()
	months := int(month) - 1 + n
	year += months / 12
	if year > 9999 {
		return cut(time.Date(10000, 1, 1, 0, 0, 0, 0, t.Location()))
	}
	first := time.Date(year, time.Month(months%12+1), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(day, last)-1)
}

func cut(t time.Time) time.Time {
	if t.Year() > 9999 {
		return time.Date(9999, 12, 31, 23, 59, 59, 0, t.Location())
	}
	return t
}
