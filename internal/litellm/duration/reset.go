package duration

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // minimal images carry no zone files
)

// ErrMonths is returned for budgets of several months. Its text is the one
// clients see.
//
//lint:ignore ST1005 text that clients match on
var ErrMonths = errors.New("Monthly resets currently only support 1 month intervals")

// Reset says where the day of a budget begins.
type Reset struct {
	// Zone is the time zone of midnight; nil is UTC. See LoadZone.
	Zone *time.Location
	// At moves the boundary of windows of days, weeks and months away from
	// midnight: 9h30m lets a daily budget start at half past nine. Windows of
	// hours and less, and 24h, ignore it.
	At time.Duration
}

// LoadZone finds an IANA time zone. An empty or unknown name is UTC, as in
// LiteLLM; ok tells the two apart for a warning.
func LoadZone(name string) (zone *time.Location, ok bool) {
	if name == "" || name == "Local" {
		return time.UTC, name == ""
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC, false
	}
	return zone, true
}

// ParseTimeOfDay reads the time at which budgets start again: "9:30",
// "09:30:15".
func ParseTimeOfDay(text string) (time.Duration, error) {
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, strings.TrimSpace(text)); err == nil {
			return time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second, nil
		}
	}
	return 0, fmt.Errorf("time of day %.20q is not HH:MM or HH:MM:SS", text)
}

// NextReset returns the instant after now at which a budget with the given
// window starts again. The instants stand on the clock face, not at distances
// from now: a day ends at midnight, a week on Monday, a month (and 30 days) on
// the 1st, five hours at 5, 10, 15, 20 o'clock. A window nobody understands ends
// at the next midnight, so that a typing error never makes a budget eternal. A
// window of length 0 ends now.
func NextReset(text string, now time.Time, r Reset) (time.Time, error) {
	zone := r.Zone
	if zone == nil {
		zone = time.UTC
	}
	now = now.In(zone)
	w, ok := parseWindow(text)
	switch {
	case !ok:
		return midnight(now, 1), nil
	case w.Unit == Month:
		if w.N != 1 {
			return time.Time{}, ErrMonths
		}
		return nextFirst(now, r.At), nil
	case w.N == 0:
		return now, nil
	}
	switch w.Unit {
	case Week:
		return nextDays(now, int64(w.N)*7, r.At)
	case Day:
		return nextDays(now, int64(w.N), r.At)
	case Hour:
		return nextHours(now, w.N), nil
	case Minute:
		past := time.Duration(now.Minute())*time.Minute + time.Duration(now.Second())*time.Second
		return onClock(now, past, int64(now.Minute()/w.N+1)*int64(w.N)*60), nil
	default:
		past := time.Duration(now.Second()) * time.Second
		return onClock(now, past, int64(now.Second()/w.N+1)*int64(w.N)), nil
	}
}

// parseWindow reads a budget window. It is stricter than Parse about the unit
// ("30min" is no window) because LiteLLM is.
func parseWindow(text string) (Window, bool) {
	if w, ok := words[strings.ToLower(strings.TrimSpace(text))]; ok {
		return w, true
	}
	digits := leadingDigits(text)
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > maxN {
		return Window{}, false
	}
	unit := text[len(digits):]
	for i := range len(unit) {
		if unit[i] < 'a' || unit[i] > 'z' {
			unit = unit[:i]
			break
		}
	}
	switch u := Unit(unit); u {
	case Second, Minute, Hour, Day, Week, Month:
		return Window{N: int(n), Unit: u}, true
	}
	return Window{}, false
}

// midnight is 00:00 of the day that is days after t's.
func midnight(t time.Time, days int) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d+days, 0, 0, 0, 0, t.Location())
}

// clock is the given time of day on t's day plus days, by the clock on the
// wall: a day with a change to summer time is an hour shorter.
func clock(t time.Time, days int, at time.Duration) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d+days, 0, 0, int(at/time.Second), int(at%time.Second), t.Location())
}

func nextDays(now time.Time, days int64, at time.Duration) (time.Time, error) {
	switch days {
	case 1:
		if today := clock(now, 0, at); today.After(now) {
			return today, nil
		}
		return clock(now, 1, at), nil
	case 7:
		monday := (8 - int(now.Weekday())) % 7 // days from today to the coming Monday
		if t := clock(now, monday, at); t.After(now) {
			return t, nil
		}
		return clock(now, monday+7, at), nil
	case 30:
		return nextFirst(now, at), nil
	}
	if t := clock(now, int(min(days, 4_000_000)), at); t.Year() <= 9999 {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("budget window of %d days ends after the year 9999", days)
}

func nextFirst(now time.Time, at time.Duration) time.Time {
	y, m, _ := now.Date()
	first := time.Date(y, m, 1, 0, 0, 0, 0, now.Location())
	if t := clock(first, 0, at); t.After(now) {
		return t
	}
	return clock(first.AddDate(0, 1, 0), 0, at)
}

// nextHours finds the next multiple of n o'clock. Past midnight the count of
// hours is taken modulo 24, so that no window of hours is longer than until
// the end of tomorrow: LiteLLM's rule, and the safe side of a budget.
func nextHours(now time.Time, n int) time.Time {
	if n == 24 {
		return midnight(now, 1)
	}
	hour, days := (now.Hour()/n+1)*n, 0
	if hour >= 24 {
		hour, days = hour%24, 1
	}
	y, m, d := now.Date()
	t := time.Date(y, m, d+days, hour, 0, 0, 0, now.Location())
	for !t.After(now) { // the hour that a change of the clock repeats or skips
		t = t.Add(time.Hour)
	}
	return t
}

// onClock is so many seconds after the full hour or minute, which lies past
// before now. Like nextHours it wraps around the clock beyond tomorrow.
func onClock(now time.Time, past time.Duration, seconds int64) time.Time {
	top := now.Add(-past - time.Duration(now.Nanosecond()))
	if seconds < 3*86400 {
		if t := top.Add(time.Duration(seconds) * time.Second); t.Before(midnight(now, 2)) {
			return t
		}
	}
	sinceMidnight := int64(top.Hour()*3600 + top.Minute()*60 + top.Second())
	return clock(now, 1, time.Duration((sinceMidnight+seconds)%86400)*time.Second)
}
