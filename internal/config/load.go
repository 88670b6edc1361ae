package config

import (
	"os"

	"github.com/llmgw/llmgw/internal/finding"
)

// Load reads the configuration that the sources name. The findings are
// everything worth saying about it, from a typo to a missing variable; the
// error is set when there is no tree to work with, and then the findings hold
// the reason too, with its position.
func Load(s Sources) (*Tree, []finding.Finding, error) {
	t := &Tree{root: &Node{Kind: Map}, env: s.Env}
	if t.env == nil {
		t.env = NewEnv(false)
	}
	file, data := s.File, s.Data
	if data == nil {
		if s.Path == "" {
			return t, nil, nil
		}
		b, err := os.ReadFile(s.Path)
		if err != nil {
			return nil, nil, err
		}
		file, data = s.Path, b
	}
	n, findings, err := ParseYAML(file, data)
	if err != nil {
		return nil, findings, err
	}
	t.root, t.files = n, []File{{file, data}}
	return t, findings, nil
}
