package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/llmgw/llmgw/internal/redact"
)

// outputFlags are --format and -o/--output of one command. --format says what,
// -o says where; both repeat, and the n-th -o belongs to the n-th --format.
type outputFlags struct {
	words   []string // the format words of the command, the default first
	formats []string
	paths   []string
}

// extensions maps a file's extension to the format it asks for when a -o
// stands alone.
var extensions = map[string]string{
	".json": "json", ".jsonl": "jsonl", ".sarif": "sarif", ".txt": "text", ".csv": "csv",
	".md": "md", ".html": "html", ".xml": "junit",
}

// outputVar declares --format and -o on a command. The first word is the
// default.
func outputVar(flags *pflag.FlagSet, words ...string) *outputFlags {
	o := &outputFlags{words: words}
	flags.StringArrayVar(&o.formats, "format", nil, "output `format`: "+strings.Join(words, ", ")+" (default "+words[0]+"; repeatable)")
	flags.StringArrayVarP(&o.paths, "output", "o", nil, "write to `[FORMAT=]PATH` instead of standard output; - is standard output (repeatable, pairs with --format)")
	return o
}

// sink is one place a result goes to. An empty path is standard output.
type sink struct {
	format string
	path   string
}

// resolve pairs formats with paths:
//
//   - -o FORMAT=PATH says both;
//   - -o with nothing but a format word of the command (-o json) means --format;
//   - any other -o takes the next unused --format, else the format of its
//     extension, else the default;
//   - a --format without an -o goes to standard output;
//   - with neither, the default format goes to standard output.
func (o *outputFlags) resolve() ([]sink, error) {
	var unpaired []string
	for _, f := range o.formats {
		if !slices.Contains(o.words, f) {
			return nil, usagef("--format %s: unknown format; use %s%s", f, strings.Join(o.words, ", "), didYouMean(f, o.words))
		}
		unpaired = append(unpaired, f)
	}
	var sinks []sink
	var words []string
	for _, p := range o.paths {
		if p == "" {
			return nil, usagef("-o needs a path")
		}
		if slices.Contains(o.words, p) {
			words = append(words, p)
			continue
		}
		if format, path, ok := strings.Cut(p, "="); ok && path != "" && slices.Contains(o.words, format) {
			sinks = append(sinks, sink{format, path})
			continue
		}
		s := sink{o.words[0], p}
		if len(unpaired) > 0 {
			s.format, unpaired = unpaired[0], unpaired[1:]
		} else if f := extensions[strings.ToLower(filepath.Ext(p))]; slices.Contains(o.words, f) {
			s.format = f
		}
		sinks = append(sinks, s)
	}
	for _, f := range append(unpaired, words...) {
		sinks = append(sinks, sink{format: f})
	}
	if len(sinks) == 0 {
		sinks = []sink{{format: o.words[0]}}
	}
	seen := map[string]bool{}
	for i, s := range sinks {
		if s.path == "-" {
			sinks[i].path = ""
		}
		key := sinks[i].path
		if seen[key] {
			if key == "" {
				return nil, usagef("two formats want standard output; give one of them a file with -o FORMAT=PATH")
			}
			return nil, usagef("-o %s is given twice", key)
		}
		seen[key] = true
	}
	return sinks, nil
}

// jsonOnStdout reports whether the command's results on standard output are
// JSON; an error is then reported there as well, as one JSON object.
func (o *outputFlags) jsonOnStdout() bool {
	sinks, err := o.resolve()
	return err == nil && slices.ContainsFunc(sinks, func(s sink) bool { return s.path == "" && (s.format == "json" || s.format == "jsonl") })
}

// outputs are the opened sinks of a command.
type outputs struct {
	a    *app
	list []*output
}

type output struct {
	sink
	w    io.Writer
	file *os.File // a temporary file beside the target, renamed on commit
}

// open checks every path before the work begins, so that a long run does not
// end with "cannot write". Files appear under their name only on commit, whole.
func (o *outputFlags) open(a *app) (*outputs, error) {
	sinks, err := o.resolve()
	if err != nil {
		return nil, err
	}
	outs := &outputs{a: a}
	for _, s := range sinks {
		out := &output{sink: s}
		switch info, statErr := os.Stat(s.path); {
		case s.path == "":
			out.w = a.out
		case statErr == nil && info.IsDir():
			outs.discard()
			return nil, usagef("-o %s is a directory", s.path)
		case statErr == nil && !info.Mode().IsRegular(): // /dev/null, a pipe
			f, err := os.OpenFile(s.path, os.O_WRONLY, 0)
			if err != nil {
				outs.discard()
				return nil, usagef("cannot write %s: %s", s.path, reason(err))
			}
			out.file, out.w = f, f
		default:
			f, err := os.CreateTemp(filepath.Dir(s.path), "."+filepath.Base(s.path)+".*")
			if err != nil {
				outs.discard()
				return nil, usagef("cannot write %s: %s", s.path, reason(err))
			}
			out.file, out.w = f, f
		}
		outs.list = append(outs.list, out)
	}
	return outs, nil
}

// each calls write for every sink with its format.
func (o *outputs) each(write func(w io.Writer, format string) error) error {
	for _, out := range o.list {
		if err := write(out.w, out.format); err != nil {
			return fmt.Errorf("write %s output: %w", out.format, err)
		}
		if out.path == "" && out.format == "json" {
			o.a.answered = true
		}
	}
	return nil
}

// commit gives every file its name. Call it once the results are written.
func (o *outputs) commit() error {
	for i, out := range o.list {
		if out.file == nil {
			continue
		}
		temporary := out.file.Name() != out.path
		var err error
		if temporary {
			// CreateTemp makes files private; a report is an ordinary file.
			err = out.file.Chmod(0o644)
		}
		err = errors.Join(err, out.file.Close())
		if err == nil && temporary {
			err = os.Rename(out.file.Name(), out.path)
		}
		if err != nil {
			o.list = o.list[i:]
			o.discard()
			return usagef("cannot write %s: %s", out.path, reason(err))
		}
		out.file = nil
	}
	return nil
}

// discard removes what was not committed. It is safe after commit.
func (o *outputs) discard() {
	for _, out := range o.list {
		if out.file != nil {
			_ = out.file.Close()
			if out.file.Name() != out.path {
				_ = os.Remove(out.file.Name())
			}
			out.file = nil
		}
	}
}

// writeJSON writes one JSON object, indented. The value's first member must be
// the schema.
func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// errorEnvelope is what a command prints on standard output when JSON was
// asked for and there is no result.
type errorEnvelope struct {
	Schema  string `json:"schema"`
	Command string `json:"command"`
	Code    int    `json:"exit_code"`
	Message string `json:"message"`
}

func newErrorEnvelope(command string, code int, err error) errorEnvelope {
	return errorEnvelope{"llmgw.error/1", command, code, redact.Text(err.Error())}
}

// reason is the part of a file error that a person needs: not the operation,
// not the path a second time.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}

func didYouMean(word string, candidates []string) string {
	if n, ok := nearest(word, candidates); ok {
		return fmt.Sprintf("; did you mean %s?", n)
	}
	return ""
}
