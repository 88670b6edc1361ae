package lint

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Fixed is one file with its safe fixes applied.
type Fixed struct {
	Path     string
	Old, New []byte
	Findings []rule.Hit // the ones that are gone
}

// Fix works out the fixes of a result, the safe ones or all, without writing anything. Every
// file is tried out: it must still be read, the fixed findings must be gone and
// no new error may appear. What fails that is left alone and named.
func Fix(ctx context.Context, o Options, r *Result) (fixed []Fixed, failed []string, err error) {
	byFile := map[string][]rule.Hit{}
	for _, h := range r.Findings {
		known, ok := rule.Lookup(h.ID)
		if !ok || known.Fix == rule.Manual || known.Fix == rule.Unsafe && !o.Unsafe || len(h.Edits) == 0 || r.generated(h.Edits[0].File) {
			continue
		}
		file := h.Edits[0].File
		if slices.ContainsFunc(h.Edits, func(e finding.Edit) bool { return e.File != file }) {
			continue
		}
		byFile[file] = append(byFile[file], h)
	}
	files := make([]string, 0, len(byFile))
	for f, hits := range byFile {
		if _, ok := r.Sources[f]; !ok || f == "-" || f == o.StdinName || strings.HasSuffix(f, RenderedSuffix) || slices.ContainsFunc(o.Documents, func(d Document) bool { return d.Name == f }) {
			continue // no file stands behind it
		}
		slices.SortStableFunc(hits, func(a, b rule.Hit) int { return cmp.Compare(a.ID, b.ID) })
		files = append(files, f)
	}
	slices.Sort(files)
	fixed, failed = fixFiles(ctx, o, r, files, byFile)
	return fixed, failed, ctx.Err()
}

// fixFiles tries the fixes of all files at once, and of each half where that
// spoils something: a thousand files are checked once where all is well, and a
// few times for each one that is not.
func fixFiles(ctx context.Context, o Options, r *Result, files []string, byFile map[string][]rule.Hit) (fixed []Fixed, failed []string) {
	if len(files) == 0 || ctx.Err() != nil {
		return nil, nil
	}
	if together, why := spliceAll(ctx, o, r, files, byFile); why == "" {
		return together, nil
	}
	if half := len(files) / 2; half > 0 {
		a, bad := fixFiles(ctx, o, r, files[:half], byFile)
		b, more := fixFiles(ctx, o, r, files[half:], byFile)
		return append(a, b...), append(bad, more...)
	}
	// One fix spoils the file: take the rules one at a time.
	file := files[0]
	hits := byFile[file]
	var text []byte
	var taken []rule.Hit
	for i := 0; i < len(hits) && ctx.Err() == nil; {
		next := i + 1
		for next < len(hits) && hits[next].ID == hits[i].ID {
			next++
		}
		more := slices.Concat(taken, hits[i:next])
		tried, kept, why := splice(ctx, o, r, file, r.Sources[file], more)
		if why == "" {
			text, taken = tried, kept
		} else {
			failed = append(failed, fmt.Sprintf("%s: %s is not fixed: %s", hits[i].Pos, hits[i].ID, why))
		}
		i = next
	}
	if len(taken) > 0 {
		fixed = append(fixed, Fixed{file, r.Sources[file], text, taken})
	}
	return fixed, failed
}

// spliceAll applies the fixes of every file and tries the result out as a whole.
func spliceAll(ctx context.Context, o Options, r *Result, files []string, byFile map[string][]rule.Hit) (fixed []Fixed, why string) {
	texts := map[string][]byte{}
	var gone []rule.Hit
	for _, file := range files {
		text, taken, err := apply(r.Sources[file], byFile[file])
		if err != nil {
			return nil, err.Error()
		}
		texts[filepath.Clean(file)] = text
		fixed = append(fixed, Fixed{file, r.Sources[file], text, taken})
		gone = append(gone, taken...)
	}
	if len(fixed) == 0 {
		return nil, ""
	}
	return fixed, try(ctx, o, r, texts, gone)
}

// apply makes the edits of some hits. Of edits that overlap the first counts;
// the next run gets the other.
func apply(old []byte, hits []rule.Hit) (text []byte, taken []rule.Hit, err error) {
	var edits []finding.Edit
	for _, h := range hits {
		if overlaps(edits, h.Edits) {
			continue
		}
		edits = append(edits, h.Edits...)
		taken = append(taken, h)
	}
	text, err = config.Splice(old, edits)
	return text, taken, err
}

// splice applies the fixes of one file and tries the result out.
func splice(ctx context.Context, o Options, r *Result, file string, old []byte, hits []rule.Hit) (text []byte, taken []rule.Hit, why string) {
	text, taken, err := apply(old, hits)
	if err != nil {
		return nil, nil, err.Error()
	}
	return text, taken, try(ctx, o, r, map[string][]byte{filepath.Clean(file): text}, taken)
}

// generated reports whether a file came out of a template engine.
func (r *Result) generated(file string) bool {
	return r.Model != nil && slices.ContainsFunc(r.Model.ObjectsOf(file), func(o *manifest.Object) bool { return o.Source != "" })
}

func overlaps(have, add []finding.Edit) bool {
	for _, a := range add {
		for _, h := range have {
			if a.Offset < h.End && h.Offset < a.End || a.Offset == h.Offset && a.End == h.End && a.Text == h.Text {
				return true
			}
		}
	}
	return false
}

// try checks the inputs again with some files replaced. It says why the
// replacement is no good, or "".
func try(ctx context.Context, o Options, r *Result, texts map[string][]byte, gone []rule.Hit) string {
	o.Live = nil
	o.overlay = texts
	if slices.Contains(o.Paths, "-") {
		o.Paths = slices.DeleteFunc(slices.Clone(o.Paths), func(p string) bool { return p == "-" })
	}
	again, err := Run(ctx, o)
	if err != nil {
		return err.Error()
	}
	type key struct{ id, path string }
	before := map[key]int{}
	for _, h := range r.Findings {
		before[key{h.ID, h.Path}]++
	}
	after := map[key]int{}
	for _, h := range again.Findings {
		k := key{h.ID, h.Path}
		if after[k]++; h.Severity == finding.Error && after[k] > before[k] {
			return fmt.Sprintf("the fix would bring %s: %s", h.ID, h.Message)
		}
	}
	want := map[key]int{}
	for _, h := range gone {
		want[key{h.ID, h.Path}]++
	}
	for k, n := range want {
		if k.path != "" && after[k] > before[k]-n {
			return fmt.Sprintf("the fix for %s does not take effect", k.id)
		}
	}
	return ""
}

// Write replaces the file, whole or not at all, with its permissions kept.
func (f Fixed) Write(dir string) error {
	path := f.Path
	if dir != "" && !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s: %s", f.Path, cause(err))
	}
	now, err := os.ReadFile(path)
	if err != nil || string(now) != string(f.Old) {
		return fmt.Errorf("%s changed while it was checked; it is left as it is", f.Path)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".llmgw-fix-*")
	if err != nil {
		return fmt.Errorf("%s cannot be written: %s", f.Path, cause(err))
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(f.New)
	if err == nil {
		err = tmp.Chmod(info.Mode().Perm())
	}
	if closed := tmp.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be written: %s", f.Path, cause(err))
	}
	return nil
}
