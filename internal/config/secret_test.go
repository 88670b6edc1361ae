package config

import (
	"strings"
	"testing"
)

// TestNoFindingRepeatsASecret plants a password in every place where a broken or
// surprising line could make a message repeat it.
func TestNoFindingRepeatsASecret(t *testing.T) {
	for _, yaml := range []string{
		"general_settings:\n  master_key=planted\n",
		"general_settings:\n  master_key:planted\n  a: b\n",
		"general_settings:\n  master_key planted\n  a: b\n",
		"general_settings:\n  master_key: *planted\n",
		"general_settings:\n  master_key: *planted!\n",
		"general_settings:\n  master_key: !planted\n",
		"general_settings:\n  master_key: !planted!x\n",
		"general_settings:\n  master_key: !planted!x y\n",
		"general_settings:\n  master_key: &planted\n",
		"general_settings:\n  master_key: @planted\n",
		"general_settings:\n  master_key: %planted\n",
		"general_settings:\n  master_key: \"planted\n",
		"general_settings:\n  master_key: 'planted\n",
		"general_settings:\n  master_key: \"planted\\q\"\n",
		"general_settings:\n  master_key: {planted\n",
		"general_settings:\n  master_key: [planted\n",
		"general_settings:\n  master_key: planted: x\n",
		"general_settings:\n  master_key: a\tplanted\n",
		"general_settings:\n  master_key: {{ planted }}\n",
		"general_settings:\n  master_key: os.getenv(\"X\", \"planted\")\n",
		"general_settings:\n  master_key: |planted\n",
		"general_settings:\n  master_key: prefix-${planted\n",
		"general_settings:\n  master_key: a\n  master_key: planted\n",
		"litellm_settings:\n  master_key: planted\n",
		"planted\n", "[planted, b", "\"planted\"\n", "- planted\n",
		"model_list: [{model_name: a, litellm_params: {model: m, api_kye: planted, mode: planted}, api_key: planted}]\n",
		"model_list: planted\n", "general_settings: planted\n", "general_settings: {UI_PASSWORD: planted, api_key: planted}\n",
		"environment_variables: [planted]\n", "environment_variables: {A: [planted]}\n",
		"router_settings: {redis_pasword: planted}\n",
	} {
		_, findings, err := Load(Sources{Data: []byte(yaml), File: "c", Env: environ()})
		for _, f := range findings {
			if text := f.Message + f.Why + f.Fix + f.Path; strings.Contains(text, "planted") {
				t.Errorf("%q: %s; %s", yaml, f.Message, f.Fix)
			}
		}
		if err != nil && strings.Contains(err.Error(), "planted") {
			t.Errorf("%q: %v", yaml, err)
		}
		if len(findings) == 0 && !strings.Contains(yaml, "prefix-") && !strings.Contains(yaml, "master_key: &planted") {
			t.Errorf("%q: nothing to say", yaml)
		}
	}
	for _, secret := range []string{"012345", "12:34:56", "2024-06-01"} {
		yaml := "general_settings:\n  master_key: " + secret + "\n  coordination_redis: {password: {x: " + secret + "}}\n"
		_, findings, _ := Load(Sources{Data: []byte(yaml), File: "c", Env: environ()})
		if len(findings) != 2 {
			t.Errorf("%q: %v", yaml, lines(findings))
		}
		for _, f := range findings {
			if strings.Contains(f.Message+f.Fix, secret) || strings.Contains(f.Message, "5349") {
				t.Errorf("%q: %s; %s", yaml, f.Message, f.Fix)
			}
		}
	}
}

func TestSyntaxErrorsPointAtTheCause(t *testing.T) {
	for _, c := range []struct{ name, yaml, want, fix string }{
		{"a tab", "a:\n\tb: 1\n", "f:2:1: a tab in the indentation", "indent with blanks"},
		{"a tab after blanks", "a:\n  \tb: 1\n", "f:2:3: a tab in the indentation", ""},
		{"a key without a colon", "a: 1\nb\nc: 2\n", "f:2:1: could not find expected ':' on this line", ""},
		{"a colon without a blank", "a:1\nb: 2\n", `f:1:2: a blank is missing behind the colon of "a"`, ""},
		{"an equals sign", "general_settings:\n  alerting=x\n  b: c\n", "f:2:3: could not find expected ':' on this line", `write alerting: with a colon and a blank instead of the "="`},
		{"a bare star", "model_name: *\n", `f:1:13: "*" starts a YAML alias`, `write model_name: "*"`},
		{"a bare star in a list", "- *\n", `f:1:3: "*" starts a YAML alias`, `put it in quotes: "*"`},
		{"a star in front", "m: *-gpt\n", `f:1:4: "*" starts a YAML alias`, `put the value in quotes: "*..."`},
		{"an open quote", "a: 'x\nb: 1\n", "f:1:4: the text that begins here has no closing '", ""},
		{"an open bracket", "a: [x\n", `f:1:4: the "[" that stands here is not closed`, `add "]"`},
		{"a key too deep", "a: 1\n  b: 2\n", `f:2:4: a second "key:" cannot stand here`, ""},
		{"a key too shallow", "a:\n  b: 1\n c: 2\n", "f:3:2: a key cannot stand here", ""},
		{"a Helm template", "a: {{ .Values.x }}\n", "f:1:4: the file is a template: {{ ... }} has to be rendered", ""},
		{"a Helm template with control lines", "{{- if .x }}\na: 1\n{{- end }}\n", "f:1:1: the file is a template", ""},
		{"pasted documentation", "a: 1\n:::tip\nx\n:::\nb: 2\n", `f:2:1: this line is documentation markup (":::tip")`, "delete lines 2-4"},
		{"a percent sign", "a: %x\n", `f:1:4: "%" cannot start a value`, `put the value in quotes: "%..."`},
		{"UTF-16", "\xff\xfea\x00:\x00", "f:1:1: the file is UTF-16 text, UTF-8 is expected", "save it as UTF-8"},
		{"UTF-16 without a mark", "a\x00:\x00 \x00b\x00", "f:1:1: the file is UTF-16 text", ""},
		{"Latin-1", "a: gr\xf6\xdfe\n", "f:1:6: the file is not UTF-8 text from here on", ""},
		{"a binary file", "\x7fELF\x02\x01", "f:1:1: the control character U+007F does not belong", "this looks like a binary file; check the path"},
		{"a control character", "a: some long text here \x07\n", "f:1:24: the control character U+0007 does not belong in a text file", "delete it, or write it as an escape in double quotes"},
		{"a second document", "a: 1\n---\nb: 2\n", "f:3:1: a second YAML document starts here", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, findings, err := ParseYAML("f", []byte(c.yaml))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) || c.fix != "" && findings[len(findings)-1].Fix != c.fix {
				t.Errorf("%v, %+v", err, findings)
			}
		})
	}
	if _, _, err := ParseYAML("f", make([]byte, 33<<20)); err == nil || !strings.Contains(err.Error(), "larger than 32 MiB") {
		t.Errorf("a huge file: %v", err)
	}
}
