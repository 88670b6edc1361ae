package litellm

import (
	_ "embed"
	"strings"
	"sync"
)

// Advisory is a known fault of some LiteLLM releases.
type Advisory struct {
	ID       string // stable name: a CVE or a short slug
	From     string // first release concerned; empty for "since ever"
	Before   string // first release that is not; empty when none is known
	Severity string // error, warning, info
	Summary  string
	Fix      string
}

//go:embed data/advisories.tsv
var advisoriesTSV string

var advisories = sync.OnceValue(func() []Advisory {
	var list []Advisory
	table("advisories.tsv", advisoriesTSV, func(r row) {
		list = append(list, Advisory{
			ID: r.str("id"), From: r.str("from"), Before: r.str("before"),
			Severity: r.str("severity"), Summary: r.str("summary"), Fix: r.str("fix"),
		})
	})
	return list
})

// AdvisoriesDate is the day the table was last compared with what is published,
// as YYYY-MM-DD. The first line of the file says it.
func AdvisoriesDate() string {
	first, _, _ := strings.Cut(advisoriesTSV, "\n")
	_, date, _ := strings.Cut(first, "as of ")
	return strings.TrimRight(date, ".")
}

// Advisories returns what is known against a release. An unreadable version
// has none: there is nothing to compare.
func Advisories(version string) []Advisory {
	v, ok := ParseVersion(version)
	if !ok {
		return nil
	}
	var hit []Advisory
	for _, a := range advisories() {
		if from, ok := ParseVersion(a.From); ok && v.Compare(from) < 0 {
			continue
		}
		if before, ok := ParseVersion(a.Before); ok && v.Compare(before) >= 0 {
			continue
		}
		hit = append(hit, a)
	}
	return hit
}
