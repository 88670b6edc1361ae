package lint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/llmgw/llmgw/pkg/lint/rule"
)

const stateSchema = "llmgw.doctor.state/1"

type stateFile struct {
	Schema string            `json:"schema"`
	Salts  map[string]string `json:"salts"`
}

// ParseState reads what WriteState wrote.
func ParseState(name string, data []byte) (*rule.Memory, error) {
	var f stateFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("%s is not a state file: %w; write it again with --record-state", name, err)
	}
	if f.Schema != stateSchema {
		return nil, fmt.Errorf("%s has the schema %q, and this doctor reads %q; write it again with --record-state", name, f.Schema, stateSchema)
	}
	return &rule.Memory{File: name, Salts: f.Salts}, nil
}

// state reads the state file beside the inputs, if there is one.
func (r *reader) state() (*rule.Memory, error) {
	data, err := os.ReadFile(r.onDisk(rule.StateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %s", rule.StateFile, cause(err))
	}
	return ParseState(rule.StateFile, data)
}

// WriteState writes down what later runs compare with, into a directory. What
// is known of other deployments stays. It returns how many keys it knows.
func (r *Result) WriteState(dir string) (int, error) {
	in := &reader{o: Options{Dir: dir}}
	old, err := in.state()
	if err != nil {
		return 0, err
	}
	f := stateFile{Schema: stateSchema, Salts: map[string]string{}}
	if old != nil {
		maps.Copy(f.Salts, old.Salts)
	}
	if r.Model != nil {
		maps.Copy(f.Salts, r.Model.Salts())
	}
	if len(f.Salts) == 0 {
		return 0, errors.New("no value of LITELLM_SALT_KEY is among the inputs; give it with --env-file")
	}
	data, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(dir, rule.StateFile), append(data, '\n'), 0o644); err != nil {
		return 0, fmt.Errorf("%s cannot be written: %s", rule.StateFile, cause(err))
	}
	return len(f.Salts), nil
}
