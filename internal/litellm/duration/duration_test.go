package duration

import (
	"testing"
	"time"
)

func TestParseReadsWhatLiteLLMReads(t *testing.T) {
	for _, c := range []struct {
		text string
		want Window
		err  string
	}{
		{"30s", Window{30, Second}, ""},
		{"5m", Window{5, Minute}, ""},
		{"5mo", Window{5, Month}, ""},
		{"30min", Window{30, Minute}, ""},
		{"1hr", Window{1, Hour}, ""},
		{"7d", Window{7, Day}, ""},
		{"2w", Window{2, Week}, ""},
		{"0d", Window{0, Day}, ""},
		{"Daily", Window{24, Hour}, ""},
		{"", Window{}, ""},
		{"None", Window{}, ""},
		{" null ", Window{}, ""},
		{"5", Window{}, "Unsupported duration unit, passed duration: 5"},
		{"1.5h", Window{}, "Unsupported duration unit, passed duration: 1.5h"},
		{"1D", Window{}, "Unsupported duration unit, passed duration: 1D"},
		{"5 m", Window{}, "Unsupported duration unit, passed duration: 5 m"},
		{"abc", Window{}, "Invalid duration format"},
		{"-3d", Window{}, "Invalid duration format"},
		{" 5m", Window{}, "Invalid duration format"},
		{"99999999999999999999d", Window{}, `duration "99999999999999999999d" is longer than can be counted`},
	} {
		got, err := Parse(c.text)
		text := ""
		if err != nil {
			text = err.Error()
		}
		if got != c.want || text != c.err {
			t.Errorf("Parse(%q) = %v, %q; want %v, %q", c.text, got, text, c.want, c.err)
		}
	}
}

func TestAWindowEndsOnTheCalendar(t *testing.T) {
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ from, window, want string }{
		{"2026-01-31T05:00:00Z", "1mo", "2026-02-28T05:00:00Z"},
		{"2024-01-31T05:00:00Z", "1mo", "2024-02-29T05:00:00Z"},
		{"2026-01-31T05:00:00Z", "13mo", "2027-02-28T05:00:00Z"},
		{"2026-11-30T05:00:00Z", "3mo", "2027-02-28T05:00:00Z"},
		{"2026-11-30T05:00:00Z", "90s", "2026-11-30T05:01:30Z"},
		{"2026-11-30T05:00:00Z", "2w", "2026-12-14T05:00:00Z"},
		{"2026-11-30T05:00:00Z", "2147483648d", "9999-12-31T23:59:59Z"},
		{"2026-11-30T05:00:00Z", "2147483648mo", "9999-12-31T23:59:59Z"},
		{"2026-11-30T05:00:00Z", "none", "2026-11-30T05:00:00Z"},
	} {
		w, err := Parse(c.window)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.After(at(c.from)); !got.Equal(at(c.want)) {
			t.Errorf("%s after %s is %s, want %s", c.window, c.from, got.Format(time.RFC3339), c.want)
		}
	}
}
