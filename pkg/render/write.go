package render

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// mark begins the first line of every file that llmgw writes; a file without it
// is somebody else's and stays.
const mark = "# Written by llmgw render"

// secretFile is where the Secret with values to replace goes. People edit it,
// so it is written once and never touched again.
const secretFile = "secret-template.yaml"

// firstLine marks a file as ours and says which deployment it belongs to, so
// that several can share a directory.
func (r *Result) firstLine() string { return mark + " for " + r.Name + "\n" }

// WriteDir writes one file per object, numbered in the order in which they can
// be applied, and returns their names. Nothing is changed when a file in the
// way is not one of ours; a file of this deployment that is no longer part of
// the result is removed.
func (r *Result) WriteDir(dir string) ([]string, error) {
	contents := map[string][]byte{}
	var names []string
	add := func(name string, o Object) {
		text := r.firstLine()
		for _, line := range r.Header {
			text += "# " + line + "\n"
		}
		contents[name] = append([]byte(text), o.YAML...)
		names = append(names, name)
	}
	for i, o := range r.Objects {
		add(fmt.Sprintf("%02d-%s-%s.yaml", i+1, strings.ToLower(o.Kind), o.Name), o)
	}
	if r.Secret != nil {
		if _, err := os.Lstat(filepath.Join(dir, secretFile)); errors.Is(err, fs.ErrNotExist) {
			add(secretFile, *r.Secret)
		}
	}
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	stale, err := r.ours(dir, contents)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		mode := fs.FileMode(0o644)
		if name == secretFile {
			mode = 0o600
		}
		if err := writeFile(filepath.Join(dir, name), contents[name], mode); err != nil {
			return nil, err
		}
	}
	for _, name := range stale {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("remove the outdated %s: %w", filepath.Join(dir, name), reason(err))
		}
	}
	return names, nil
}

// makeDir makes the last part of a path. The rest must be there: a slip in it
// would scatter files where nobody looks, and a file's path is held to the same.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o755)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		if info, statErr := os.Stat(dir); statErr == nil && info.IsDir() {
			return nil
		}
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("make the directory %s: there is no %s; correct the path, or make it first", dir, filepath.Dir(dir))
	}
	return fmt.Errorf("make the directory %s: %w", dir, reason(err))
}

// ours checks that every file in the way was written by llmgw, and lists those
// of this deployment that the new result no longer has.
func (r *Result) ours(dir string, contents map[string][]byte) (stale []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the directory %s: %w", dir, reason(err))
	}
	for _, e := range entries {
		_, wanted := contents[e.Name()]
		if !wanted && !strings.HasSuffix(e.Name(), ".yaml") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		switch {
		case wanted && !(e.Type().IsRegular() && begins(path, mark)):
			return nil, fmt.Errorf("%s was not written by llmgw render: move it away, or choose another directory", path)
		case !wanted && e.Name() != secretFile && e.Type().IsRegular() && begins(path, r.firstLine()):
			stale = append(stale, e.Name())
		}
	}
	return stale, nil
}

func begins(path, line string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	buf := make([]byte, len(line))
	n, _ := io.ReadFull(f, buf)
	return string(buf[:n]) == line
}

// writeFile puts a whole file under its name, or nothing.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, reason(err))
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, reason(err))
	}
	return nil
}

// reason drops the operation and the temporary name from an error of the
// operating system.
func reason(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

// WriteFile writes the stream into one file.
func (r *Result) WriteFile(path string) error {
	if _, err := os.Stat(path); err == nil && !begins(path, mark) {
		return fmt.Errorf("%s was not written by llmgw render: move it away, or choose another name", path)
	}
	var buf bytes.Buffer
	buf.WriteString(r.firstLine())
	if _, err := r.WriteTo(&buf); err != nil {
		return err
	}
	return writeFile(path, buf.Bytes(), 0o644)
}
