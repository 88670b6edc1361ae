package lint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// ChangedSince asks git which lines of the working tree differ from the point
// at which it left ref; of files that git does not know yet, every line does.
func ChangedSince(ctx context.Context, dir, ref string) (Touched, error) {
	git := func(args ...string) (string, error) {
		c := exec.CommandContext(ctx, "git", append([]string{"-c", "core.quotePath=false"}, args...)...)
		c.Dir = dir
		var out, told bytes.Buffer
		c.Stdout, c.Stderr = &out, &told
		if err := c.Run(); err != nil {
			if errors.Is(err, exec.ErrNotFound) {
				return "", errors.New("git is not installed here")
			}
			first, _, _ := strings.Cut(strings.TrimSpace(told.String()), "\n")
			return "", errors.New(strings.TrimPrefix(first, "fatal: "))
		}
		return strings.TrimRight(out.String(), "\n"), nil
	}
	up, err := git("rev-parse", "--show-cdup")
	if err != nil {
		return nil, err
	}
	if _, err := git("rev-parse", "--verify", "--quiet", "--end-of-options", ref+"^{commit}"); err != nil {
		return nil, fmt.Errorf("git knows no commit %q; in CI, fetch it first (a shallow clone does not hold it)", ref)
	}
	base, err := git("merge-base", "--end-of-options", ref, "HEAD")
	if err != nil {
		return nil, fmt.Errorf("git finds no common ancestor of %q and HEAD; in CI, fetch more history", ref)
	}
	diff, err := git("diff", "--unified=0", "--no-color", "--no-ext-diff", "--no-prefix", "--no-renames", base, "--")
	if err != nil {
		return nil, err
	}
	fresh, err := git("ls-files", "--others", "--exclude-standard", "--full-name", "-z")
	if err != nil {
		return nil, err
	}
	at, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	out := Touched{}
	put := func(name string, lines map[int]bool) {
		local := filepath.Join(up, filepath.FromSlash(name))
		out[filepath.ToSlash(local)] = lines
		out[filepath.ToSlash(filepath.Join(at, local))] = lines
	}
	for name, lines := range ParseDiff(diff) {
		put(name, lines)
	}
	for name := range strings.SplitSeq(fresh, "\x00") {
		if name != "" {
			put(name, nil) // every line
		}
	}
	return out, nil
}
