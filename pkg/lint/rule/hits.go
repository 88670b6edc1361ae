package rule

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
)

// The three severities as short words for the rule files.
const (
	sevError = finding.Error
	sevWarn  = finding.Warning
	sevInfo  = finding.Info
)

// hitf is one hit with a formatted message.
func hitf(pos finding.Position, path string, sev finding.Severity, format string, args ...any) Hit {
	return Hit{Finding: finding.Finding{Pos: pos, Path: path, Severity: sev, Message: fmt.Sprintf(format, args...)}}
}

// when is a hit at a setting, or nothing.
func when(cond bool, pos finding.Position, path string, sev finding.Severity, format string, args ...any) []Hit {
	if !cond {
		return nil
	}
	return []Hit{hitf(pos, path, sev, format, args...)}
}

// model is one entry of model_list.
type model struct {
	Index  int
	Node   *config.Node
	Name   string
	Params *config.Node
	Info   *config.Node
	// Unnamed says that the name stands behind a reference with unknown value.
	Unnamed bool
}

// models are the entries of model_list that are mappings.
func (u *Unit) models() iter.Seq[model] {
	if u.modelList == nil {
		u.modelList = []model{}
		for i, n := range u.Section("model_list").Items() {
			if n.Kind != config.Map {
				continue
			}
			name := u.Resolve(n.Get("model_name"))
			u.modelList = append(u.modelList, model{i, n, name.Text, n.Get("litellm_params"), n.Get("model_info"), name.State == Unknown})
		}
	}
	return slices.Values(u.modelList)
}

// sections are the three that hold settings.
var sections = []string{"general_settings", "litellm_settings", "router_settings"}

// strs are the texts of a list, or of a single text.
func (u *Unit) strs(n *config.Node) []*config.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind == config.List:
		return n.Items()
	case n.IsScalar():
		return []*config.Node{n}
	}
	return nil
}

func (u *Unit) listHas(path, word string) bool {
	for _, n := range u.strs(u.Node(path)) {
		if s, _ := n.Scalar(); strings.EqualFold(s, word) {
			return true
		}
	}
	return false
}

// quoteList joins words for a message.
func quoteList(words []string) string { return strings.Join(words, ", ") }

// mask shows the first four characters of a secret at most.
func mask(secret string) string {
	if len(secret) <= 8 {
		return "***"
	}
	return secret[:4] + "***"
}
