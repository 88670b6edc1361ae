package cmd

import "testing"

func TestASlipFindsItsWordAndAStrangerFindsNone(t *testing.T) {
	flags := []string{"no-ui", "port", "format", "min-severity", "concurrency", "max-requests-before-restart", "set", "host", "database-url"}
	for _, c := range []struct{ word, want string }{
		{"prot", "port"},
		{"hsot", "host"},
		{"formt", "format"},
		{"fromat", "format"},
		{"concurency", "concurrency"},
		{"min-sevrity", "min-severity"},
		{"max-request-before-restarts", "max-requests-before-restart"},
		{"databse-url", "database-url"},
		{"sett", "set"},
		{"hotr", ""},
		{"ste", "set"},
		{"nosuch", ""},
		{"x", ""},
		{"verbose", ""},
		{"", ""},
	} {
		if got, ok := nearest(c.word, flags); got != c.want || ok != (c.want != "") {
			t.Errorf("nearest(%q) = %q, %t; want %q", c.word, got, ok, c.want)
		}
	}
}
