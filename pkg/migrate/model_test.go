package migrate

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"github.com/llmgw/llmgw/internal/testenv"
)

// releases are the wheels of litellm-proxy-extras in the cache, the oldest
// first.
func releases(t *testing.T) []*Set {
	t.Helper()
	var list []*Set
	for _, v := range []string{"0.1.21", "0.2.31", "0.4.10", "0.4.40", "0.4.70", "0.4.90", "0.4.108", "0.4.110"} {
		path := filepath.Join(testenv.CacheDir(t), "extras", "litellm_proxy_extras-"+v+"-py3-none-any.whl")
		testenv.NeedFile(t, path, "litellm-proxy-extras "+v, "make chain, or go run ./internal/testenv/fetch extras")
		set, err := ReadArchive(path)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, set)
	}
	return list
}

func live(t *testing.T, url string) *model {
	t.Helper()
	s, err := provider(t, url, Own(), Options{}).connect(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	m, err := s.liveModel(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestTheReaderOfStatementsSeesWhatTheServerMakesOfThem applies each release
// and our own set to an empty database and compares the catalogue with what the
// statements say, object by object.
func TestTheReaderOfStatementsSeesWhatTheServerMakesOfThem(t *testing.T) {
	sets := releases(t)
	for i, set := range append(sets, Own()) {
		if i != 0 && i < len(sets)-2 && !long() {
			continue // the oldest, the two newest and our own in the gate
		}
		t.Run(filepath.Base(set.From), func(t *testing.T) {
			url := testenv.Postgres(t)
			deploy(t, url, set, Options{}, "")
			want, have := simulate(set.Migrations), live(t, url)
			for _, d := range slices.Concat(want.missingFrom(have), want.extraIn(have)) {
				t.Errorf("%s %s: statements say %q, the catalogue %q", d.Kind, d.Label(), d.Expected, d.Found)
			}
			if len(want.tables) < 20 {
				t.Errorf("%d tables", len(want.tables))
			}
		})
	}
}
