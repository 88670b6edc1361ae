package cmd

import (
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/bench"
)

// configOrUsers is bench's -c: a configuration, as in every other command, or
// a number of users, as in wrk, hey and oha.
type configOrUsers struct {
	flags *pflag.FlagSet
	path  *string
}

func (v configOrUsers) Set(text string) error {
	if _, err := strconv.Atoi(text); err == nil {
		return v.flags.Set("concurrency", text)
	}
	*v.path = text
	return nil
}

func (v configOrUsers) String() string {
	if v.path == nil {
		return ""
	}
	return *v.path
}

func (configOrUsers) Type() string { return "file" }

// fromConfig takes from the gateway's configuration what the command line does
// not say: the first model that clients can ask for, and, as its result, the
// master key.
func (f *benchFlags) fromConfig(a *app, p *bench.Plan) (string, error) {
	tree, findings, err := config.Load(config.Sources{Path: f.config, Env: config.ProcessEnv(os.Environ()), Stdin: a.in})
	if err != nil {
		for _, found := range findings {
			if found.Severity == finding.Error {
				return "", usagef("-c %s", located(found))
			}
		}
		return "", usagef("-c: %w", err)
	}
	if p.Model == "" {
		for _, m := range tree.Models() {
			if name := m.Name.V; name != "" && !strings.Contains(name, "*") {
				p.Model = name
				break
			}
		}
	}
	return tree.General().MasterKey.V.Reveal(), nil
}
