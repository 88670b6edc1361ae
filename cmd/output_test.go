package cmd

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

func TestFormatsAndPathsPair(t *testing.T) {
	tests := []struct {
		name, args, want, err string
	}{
		{name: "neither", want: "text:"},
		{name: "a format goes to standard output", args: "--format json", want: "json:"},
		{name: "a format word as path means the format", args: "-o json", want: "json:"},
		{name: "a path that only looks like a word", args: "-o ./json", want: "text:./json"},
		{name: "the extension decides", args: "-o out.sarif", want: "sarif:out.sarif"},
		{name: "an unknown extension takes the default", args: "-o out.log", want: "text:out.log"},
		{name: "the n-th with the n-th", args: "--format sarif --format json -o a -o b", want: "sarif:a json:b"},
		{name: "format in the path", args: "-o sarif=a.json -o text=-", want: "sarif:a.json text:"},
		{name: "left-over formats go to standard output", args: "--format json --format text -o a", want: "json:a text:"},
		{name: "an equals sign in an ordinary path", args: "-o a=b.json", want: "json:a=b.json"},
		{name: "dash is standard output", args: "--format json -o -", want: "json:"},
		{name: "unknown format", args: "--format jsn", err: "did you mean json?"},
		{name: "two on standard output", args: "--format json --format text", err: "two formats want standard output"},
		{name: "the same file twice", args: "-o a -o a", err: "given twice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs := pflag.NewFlagSet("t", pflag.ContinueOnError)
			o := outputVar(fs, "text", "json", "sarif")
			if err := fs.Parse(strings.Fields(tt.args)); err != nil {
				t.Fatal(err)
			}
			sinks, err := o.resolve()
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || exitCodeOf(err) != exitUsage {
					t.Fatalf("error %v, want %q with exit 2", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range sinks {
				got = append(got, s.format+":"+s.path)
			}
			if g := strings.Join(got, " "); g != tt.want {
				t.Errorf("got %q, want %q", g, tt.want)
			}
		})
	}
}

func TestAFileAppearsWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "r.json")
	a := &app{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	o := &outputFlags{words: []string{"text", "json"}, paths: []string{path}}

	outs, err := o.open(a)
	if err != nil {
		t.Fatal(err)
	}
	_ = outs.each(func(w io.Writer, _ string) error { _, err := io.WriteString(w, "half"); return err })
	outs.discard()
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Fatalf("discard left %v", names)
	}

	outs, err = o.open(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := outs.each(func(w io.Writer, f string) error { _, err := fmt.Fprint(w, f); return err }); err != nil {
		t.Fatal(err)
	}
	if err := outs.commit(); err != nil {
		t.Fatal(err)
	}
	outs.discard()
	if got, _ := os.ReadFile(path); string(got) != "json" {
		t.Fatalf("file holds %q", got)
	}

	o.paths = []string{filepath.Join(dir, "missing", "r.json")}
	if _, err := o.open(a); err == nil || exitCodeOf(err) != exitUsage || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing directory: %v", err)
	}
	o.paths = []string{dir}
	if _, err := o.open(a); err == nil || !strings.Contains(err.Error(), "is a directory") {
		t.Errorf("a directory: %v", err)
	}
}

func TestDurationsAreReadAsPeopleWriteThem(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"600": 600 * time.Second, "600s": 600 * time.Second, "10m": 10 * time.Minute,
		"1.5": 1500 * time.Millisecond, "250ms": 250 * time.Millisecond, "0": 0,
	} {
		got, err := parseDuration(in)
		if err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "ten", "-5", "-5s", "NaN", "Inf", "1e30", "10 minutes"} {
		if _, err := parseDuration(in); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}
