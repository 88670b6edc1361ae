package duration

import (
	"os"
	"strings"
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

// testdata/resets.tsv holds what the emulated release answers to the same
// questions.
func TestBudgetsStartAgainWhenLiteLLMStartsThemAgain(t *testing.T) {
	data, err := os.ReadFile("testdata/resets.tsv")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		if line[0] == '#' {
			continue
		}
		c := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		now, err := time.Parse(time.RFC3339, c[3])
		if err != nil {
			t.Fatal(err)
		}
		at, err := ParseTimeOfDay(c[2])
		if err != nil {
			t.Fatal(err)
		}
		zone, ok := LoadZone(c[1])
		if ok != (c[1] != "Nowhere/X") {
			t.Errorf("zone %s known: %t", c[1], ok)
		}
		window := c[0]
		if window == "-" {
			window = ""
		}
		got, err := NextReset(window, now, Reset{Zone: zone, At: at})
		text := got.UTC().Format(time.RFC3339)
		if err != nil {
			text = "error " + err.Error()
		}
		if text != c[4] {
			t.Errorf("%q in %s at %s asked on %s: %s, want %s", c[0], c[1], c[2], c[3], text, c[4])
		}
		n++
	}
	if n < 300 {
		t.Errorf("only %d vectors read", n)
	}
}

func FuzzResetIsNeverInThePast(f *testing.F) {
	for _, s := range []string{"1d", "7d", "30d", "1mo", "5h", "7m", "100s", "0d", "x", "2880m", "48h"} {
		f.Add(s, int64(1_700_000_000), 0)
	}
	f.Add("90m", int64(1772951400), 1)
	zones := []string{"UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"}
	f.Fuzz(func(t *testing.T, text string, unix int64, zone int) {
		if unix < 0 || unix > 4_000_000_000 {
			t.Skip()
		}
		z, _ := LoadZone(zones[uint(zone)%uint(len(zones))])
		now := time.Unix(unix, 5).In(z)
		got, err := NextReset(text, now, Reset{Zone: z})
		if err == nil && got.Before(now) {
			t.Errorf("%q at %s starts again at %s", text, now, got)
		}
		w, err := Parse(text)
		if err != nil {
			return
		}
		if end := w.After(now); end.Before(now) {
			t.Errorf("%q after %s is %s", text, now, end)
		}
		again, err := Parse(w.String())
		if err != nil || again != w {
			t.Errorf("%q reads as %v, written %q, read again as %v, %v", text, w, w.String(), again, err)
		}
	})
}
