//go:build litellmset

package migrate

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"fmt"
	"sync"

	"github.com/llmgw/llmgw/internal/litellm"
)

// A release build carries LiteLLM's package, with its licence; scripts/release-set.sh
// puts both here.

//go:embed sets/litellm/migrations.whl
var releasedWheel []byte

//go:embed sets/litellm/LICENSE
var releasedLicence string

// Released is LiteLLM's set of the emulated release, as this build carries it.
func Released() (*Set, bool) { return released(), true }

// ReleasedLicence is the licence of those files.
func ReleasedLicence() string { return releasedLicence }

var released = sync.OnceValue(func() *Set {
	s, err := readWheel(releasedWheel, "LiteLLM "+litellm.Compat+" (embedded)")
	if err != nil {
		panic(err) // the file is part of the program, and the release script checked it
	}
	return s
})

// readWheel is ReadArchive for a wheel in memory.
func readWheel(data []byte, from string) (*Set, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, &Error{kind: kindUsage, Message: fmt.Sprintf("cannot read %s: %s", from, err), err: err}
	}
	return readPackage(z, from)
}
