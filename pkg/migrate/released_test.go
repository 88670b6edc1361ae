//go:build litellmset

package migrate

import (
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/testenv"
)

// TestReleasedSetIsTheManifests: the embedded files are those that the manifest
// names, in its order, and they bring an empty database to the head.
func TestReleasedSetIsTheManifests(t *testing.T) {
	set, ok := Released()
	if !ok || set.Name != "litellm" || !strings.Contains(ReleasedLicence(), "MIT License") {
		t.Fatalf("%v %+v", ok, set)
	}
	manifest := litellm.Migrations()
	if len(manifest) != len(set.Migrations) {
		t.Fatalf("%d migrations, the manifest has %d", len(set.Migrations), len(manifest))
	}
	for i, m := range set.Migrations {
		if m.Name != manifest[i].Name || Checksum(m.SQL) != manifest[i].SHA256 {
			t.Errorf("%s is not the manifest's %s", m.Name, manifest[i].Name)
		}
	}
	url := testenv.Postgres(t)
	deploy(t, url, set, Options{}, "")
	if r, err := provider(t, url, Own(), Options{Auto: true}).Status(t.Context()); err != nil || r.Err(true) != nil {
		t.Errorf("%v %v", err, r.Err(true))
	}
}
