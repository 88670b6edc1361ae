package config

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type dotEnvVectors struct {
	Preset map[string]string
	Cases  []struct {
		Text   string
		Values [][2]*string
	}
}

func readDotEnvVectors(t testing.TB) dotEnvVectors {
	t.Helper()
	data, err := os.ReadFile("testdata/dotenv/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var v dotEnvVectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDotEnvReadsWhatPythonDotenvReads(t *testing.T) {
	v := readDotEnvVectors(t)
	env := NewEnv(true)
	for name, value := range v.Preset {
		env.Set(Var{Name: name, Value: value, Known: true})
	}
	if len(v.Cases) < 80 {
		t.Fatalf("only %d cases", len(v.Cases))
	}
	for _, c := range v.Cases {
		want := map[string]string{}
		for _, pair := range c.Values {
			if pair[1] != nil {
				want[*pair[0]] = *pair[1]
			}
		}
		vars, _ := ParseDotEnvWith(".env", []byte(c.Text), env)
		got := map[string]string{}
		for _, v := range vars {
			got[v.Name] = v.Value
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", c.Text, diff)
		}
	}
}

func TestDotEnvNamesThePlaceOfEveryNameAndValue(t *testing.T) {
	text := "# größe\nexport KEY = 'a b' # c\nB=1\nB=2\nwhat is this\n"
	vars, findings := ParseDotEnv("x.env", []byte(text))
	if len(vars) != 2 || vars[0].Pos.String() != "x.env:2:8" || text[vars[0].ValuePos.Offset:vars[0].ValuePos.End] != "'a b'" {
		t.Errorf("%+v", vars)
	}
	if len(findings) != 2 || findings[0].Pos.String() != "x.env:4:1" || findings[0].Related[0].Pos.Line != 3 || findings[1].Pos.String() != "x.env:5:1" {
		t.Errorf("%+v", findings)
	}
}

func FuzzParseDotEnv(f *testing.F) {
	for _, c := range readDotEnvVectors(f).Cases {
		f.Add(c.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		env := NewEnv(true)
		env.Set(Var{Name: "SET", Value: "x", Known: true})
		vars, _ := ParseDotEnvWith("f", []byte(text), env)
		for _, v := range vars {
			if v.Name == "" || v.Pos.Line < 1 || v.Pos.End > len(text) || v.ValuePos.End < v.ValuePos.Offset {
				t.Fatalf("%+v", v)
			}
		}
	})
}
