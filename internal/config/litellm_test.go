package config

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestLoadsWhatLiteLLMLoads compares with what an installed LiteLLM made of the
// same files (testdata/litellm/vectors.py). Cases that depart on purpose say so,
// and must depart.
func TestLoadsWhatLiteLLMLoads(t *testing.T) {
	data, err := os.ReadFile("testdata/litellm/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Env   map[string]string
		Cases []struct {
			Name    string
			Files   files
			Differs string
			Config  map[string]any
			Env     map[string]string
			Error   string
		}
	}
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors.Cases) < 25 {
		t.Fatal(err, len(vectors.Cases))
	}
	for _, c := range vectors.Cases {
		t.Run(c.Name, func(t *testing.T) {
			env := NewEnv(true)
			for name, value := range vectors.Env {
				env.Set(Var{Name: name, Value: value, Known: true})
			}
			tree, _, err := Load(Sources{Path: "c.yaml", Env: env, ReadFile: c.Files.read})
			same := ""
			switch {
			case c.Error != "" && err == nil:
				same = "accepted, LiteLLM says " + c.Error
			case err != nil && c.Error == "":
				same = "refused: " + err.Error()
			case err != nil:
				if !strings.Contains(err.Error(), c.Error) {
					same = "refused with " + err.Error() + ", LiteLLM says " + c.Error
				}
			default:
				set := map[string]string{}
				for _, name := range tree.Env().Names() {
					if v := tree.Env().Get(name); v != vectors.Env[name] {
						set[name] = v
					} else if _, ok := vectors.Env[name]; !ok {
						set[name] = v
					}
				}
				same = cmp.Diff(c.Config, plain(tree.Root())) + cmp.Diff(c.Env, set)
			}
			if c.Differs == "" && same != "" {
				t.Error(same)
			}
			if c.Differs != "" && same == "" {
				t.Errorf("no longer departs from LiteLLM: take %s out of the vectors", c.Differs)
			}
		})
	}
}

// plain is a node as encoding/json reads the same value.
func plain(n *Node) any {
	switch n.Kind {
	case Null:
		return nil
	case Bool:
		return n.b
	case Int, Float:
		return n.f
	case String:
		return n.text
	case List:
		list := []any{}
		for _, c := range n.children {
			list = append(list, plain(c))
		}
		return list
	default:
		m := map[string]any{}
		for _, c := range n.children {
			m[c.Key] = plain(c)
		}
		return m
	}
}
