package litellm

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

// Migration is one database migration of the emulated release. The files
// themselves are LiteLLM's and not part of llmgw.
type Migration struct {
	Name   string
	SHA256 string // of the file, in lower-case hex, as Prisma records it
	Online bool   // builds or drops an index CONCURRENTLY
	Index  bool   // does nothing but create or drop indexes
	Empty  bool   // does nothing
	// Earlier are the checksums that the file has in other releases: LiteLLM has
	// rewritten files that databases had applied already.
	Earlier []string
}

//go:embed data/migrations.tsv
var migrationsTSV string

var migrations = sync.OnceValue(func() []Migration {
	var list []Migration
	table("migrations.tsv", migrationsTSV, func(r row) {
		m := Migration{Name: r.str("name"), SHA256: r.str("sha256"), Earlier: r.list("earlier")}
		for _, mark := range r.list("marks") {
			switch mark {
			case "online":
				m.Online = true
			case "index":
				m.Index = true
			case "empty":
				m.Empty = true
			default:
				r.fail("mark %q", mark)
			}
		}
		list = append(list, m)
	})
	return list
})

// Migrations returns the migrations of the emulated release in the order in
// which they are applied.
func Migrations() []Migration { return slices.Clone(migrations()) }

// MigrationHead is the name of the last of them.
func MigrationHead() string {
	list := migrations()
	return list[len(list)-1].Name
}

// LookupMigration finds a migration by its name.
func LookupMigration(name string) (Migration, bool) {
	i, found := slices.BinarySearchFunc(migrations(), name, func(m Migration, name string) int { return strings.Compare(m.Name, name) })
	if !found {
		return Migration{}, false
	}
	return migrations()[i], true
}
