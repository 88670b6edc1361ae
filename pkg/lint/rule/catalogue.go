package rule

import (
	_ "embed"
	"fmt"
	"strings"
)

// An Entry is one rule that the catalogue asks for.
type Entry struct {
	ID, Name string
	Priority int
	Live     bool
	// LeftOut says why there is no such rule; "" when there is one.
	LeftOut string
}

//go:embed catalogue.tsv
var catalogueText string

// Catalogue is the list of the rules that doctor is to have, in its order. A
// test holds it against the registry: what is not registered needs a reason.
func Catalogue() []Entry {
	var out []Entry
	for line := range strings.Lines(catalogueText) {
		line = strings.TrimRight(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		f := append(strings.Split(line, "\t"), "")
		if len(f) < 5 || len(f[1]) != 2 {
			panic(fmt.Sprintf("catalogue: %q", line))
		}
		out = append(out, Entry{ID: f[0], Priority: int(f[1][1] - '0'), Live: f[2] == "live", Name: f[3], LeftOut: f[4]})
	}
	return out
}

// Group is the letters of the id.
func (e Entry) Group() string { return groupOf(e.ID) }
