package config

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/llmgw/llmgw/internal/testenv"
)

// pyyaml asks a running PyYAML what safe_load makes of each text.
func pyyaml(t *testing.T, texts []string) []vector {
	t.Helper()
	python := testenv.NeedPython(t, "yaml", "python3-yaml")
	var in bytes.Buffer
	for _, text := range texts {
		line, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		in.Write(append(line, '\n'))
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/pyyaml/vectors.py", "--live")
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("PyYAML: %v", err)
	}
	var vectors []vector
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		vectors = append(vectors, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != len(texts) {
		t.Fatalf("PyYAML answered %d of %d texts", len(vectors), len(texts))
	}
	return vectors
}

// compare reports a difference between our reading and PyYAML's, or nothing.
func compare(v vector) string {
	docs, findings, err := ParseYAMLDocuments("f.yaml", []byte(v.YAML))
	switch {
	case v.Error != "":
		if err == nil && !refused(findings) && len(docs) < 2 {
			return fmt.Sprintf("accepted without a word; PyYAML says %q", v.Error)
		}
		return ""
	case err != nil:
		return fmt.Sprintf("refused: %v; PyYAML reads it", err)
	case refused(findings):
		return fmt.Sprintf("said to be refused: %v; PyYAML reads it", findings)
	case len(docs) > 1:
		return fmt.Sprintf("%d documents; PyYAML sees one", len(docs))
	}
	var want any
	if err := json.Unmarshal(v.Value, &want); err != nil {
		return err.Error()
	}
	root := &Node{}
	if len(docs) == 1 {
		root = docs[0]
	}
	if got := pyValue(root); !equal(got, want) {
		return fmt.Sprintf("got  %v\nwant %v", got, want)
	}
	return ""
}

// TestFreshScalarsAreReadAsARunningPyYAMLReadsThem puts together words from the
// pieces that YAML 1.1 gives a meaning to, beyond the stored vectors.
func TestFreshScalarsAreReadAsARunningPyYAMLReadsThem(t *testing.T) {
	t.Parallel()
	pieces := []string{"0", "1", "7", "8", "9", "59", "60", "0x", "0o", "0b", "_", ".", "e", "E", "+", "-", ":", "inf", ".inf", ".nan", "yes", "no", "on", "off",
		"true", "null", "~", "2024", "-01", "-02-30", "T10:00:00", "Z", "=", "<<", "!", "&", "*", "%", "@", "|", ">", "?", ",", "[", "]", "{", "}", "#", " #", " ", "  ",
		": ", " :", "'", "\"", "\\", "\\n", "\\x41", "\t", "ä", "日本", "😀", "os.environ/", "sk-", "gpt-4o", "/", "$", "!!str ", "!!int "}
	r := rand.New(rand.NewPCG(1, 2))
	var texts []string
	for len(texts) < 3000 {
		var b strings.Builder
		for range 1 + r.IntN(4) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		w := b.String()
		texts = append(texts, []string{"k: " + w + "\n", "- " + w + "\n", "[" + w + "]", "k: [a, " + w + "]\n", w + ": v\n", "{" + w + ": v}", "k: '" + w + "'\n", "k: \"" + w + "\"\n"}[r.IntN(8)])
	}
	for _, word := range strings.Fields("1 010 08 0x1F -1.5 +1.5 1_0.5 1e3 1E+3 .5 5. inf -inf Infinity nan .inf -.Inf .NaN 1:30 1:30.5 -1:30 1:99 x 1x 1:x . - --1 1e999") {
		texts = append(texts, "k: !!float "+word+"\n", "k: !!float '"+word+"'\n")
	}
	agree, read := 0, 0
	for _, v := range pyyaml(t, texts) {
		if diff := compare(v); diff != "" {
			t.Errorf("%q: %s", v.YAML, diff)
			continue
		}
		agree++
		if v.Error == "" {
			read++
		}
	}
	if read < 300 {
		t.Errorf("only %d of the texts are YAML", read)
	}
	t.Logf("%d of %d agree, %d of them readable", agree, len(texts), read)
}

var fence = regexp.MustCompile("(?ms)^```ya?ml\n(.*?)^```$")

// realFiles are the YAML files of this repository and those inside its test
// scripts and pages.
func realFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	keep := func(name string, data []byte) {
		if len(data) < 8<<10 && bytes.IndexByte(data, 0) < 0 {
			files[name] = string(data)
		}
	}
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == ".git" {
			return fs.SkipDir
		}
		ext := filepath.Ext(path)
		if d.IsDir() || !slices.Contains([]string{".yaml", ".yml", ".md", ".txtar"}, ext) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch ext {
		case ".yaml", ".yml":
			keep(path, data)
		case ".md":
			for i, m := range fence.FindAllSubmatch(data, -1) {
				keep(fmt.Sprintf("%s#%d", path, i), m[1])
			}
		case ".txtar":
			sections := bytes.Split(append([]byte("\n"), data...), []byte("\n-- "))
			for _, section := range sections[1:] {
				head, body, _ := bytes.Cut(section, []byte("\n"))
				if name, ok := bytes.CutSuffix(head, []byte(" --")); ok && bytes.HasSuffix(name, []byte(".yaml")) {
					keep(path+"#"+string(name), append(body, '\n'))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestRealFilesAreReadAsARunningPyYAMLReadsThem compares whole files, as they
// are and with a slip of the fingers in each.
func TestRealFilesAreReadAsARunningPyYAMLReadsThem(t *testing.T) {
	t.Parallel()
	files := realFiles(t)
	if len(files) < 50 {
		t.Fatalf("only %d files found", len(files))
	}
	r := rand.New(rand.NewPCG(3, 4))
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		texts = append(texts, files[name])
	}
	// PyYAML takes a millisecond for a line; a sample is enough.
	r.Shuffle(len(texts), func(i, j int) { texts[i], texts[j] = texts[j], texts[i] })
	texts = texts[:min(len(texts), 200)]
	whole := len(texts)
	for _, text := range texts[:whole] {
		texts = append(texts, slip(r, text))
	}
	agree, read := 0, 0
	for _, v := range pyyaml(t, texts) {
		if diff := compare(v); diff != "" {
			t.Errorf("%q\n%s", v.YAML, diff)
			continue
		}
		agree++
		if v.Error == "" {
			read++
		}
	}
	t.Logf("%d files, %d texts, %d agree, %d of them readable", whole, len(texts), agree, read)
}

// slip makes one of the mistakes that people make in YAML.
func slip(r *rand.Rand, text string) string {
	lines := strings.Split(text, "\n")
	i := r.IntN(len(lines))
	line := lines[i]
	at := 0
	if line != "" {
		at = r.IntN(len(line) + 1)
		for at < len(line) && line[at]&0xC0 == 0x80 {
			at++
		}
	}
	switch r.IntN(8) {
	case 0:
		lines[i] = " " + line
	case 1:
		lines[i] = strings.TrimPrefix(line, " ")
	case 2:
		lines[i] = strings.Replace(line, ": ", ":", 1)
	case 3:
		lines[i] = strings.Replace(line, "  ", "\t", 1)
	case 4:
		lines[i] = line + "\n" + line
	case 5:
		lines = append(lines[:i], lines[i+1:]...)
	case 6:
		marks := []string{"'", "\"", ":", "#", "[", "]", "{", "}", "-", "*", "&", "|", ">", "!", "%", "@", ",", "\r"}
		lines[i] = line[:at] + marks[r.IntN(len(marks))] + line[at:]
	case 7:
		lines[i] = line[:at]
	}
	return strings.Join(lines, "\n")
}
