package render

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// mark is the first line of every file that llmgw writes; a file without it is
// somebody else's and stays.
const mark = "# Written by llmgw render"

// WriteDir writes one file per object, numbered in the order in which they can
// be applied. Nothing is changed when a file in the way is not one of ours; a
// file of ours that is no longer part of the result is removed.
func (r *Result) WriteDir(dir string) ([]string, error) {
	contents := map[string][]byte{}
	var names []string
	add := func(name string, o Object) {
		text := mark + "\n"
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
		add("secret-template.yaml", *r.Secret)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the directory %s: %w", dir, reason(err))
	}
	stale, err := ours(dir, contents)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if err := writeFile(filepath.Join(dir, name), contents[name]); err != nil {
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

// ours checks that every file in the way was written by llmgw, and lists those
// that the new result no longer has.
func ours(dir string, contents map[string][]byte) (stale []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the directory %s: %w", dir, reason(err))
	}
	for _, e := range entries {
		_, wanted := contents[e.Name()]
		if !wanted && !strings.HasSuffix(e.Name(), ".yaml") {
			continue
		}
		marked := e.Type().IsRegular() && hasMark(filepath.Join(dir, e.Name()))
		switch {
		case wanted && !marked:
			return nil, fmt.Errorf("%s was not written by llmgw render: move it away, or choose another directory", filepath.Join(dir, e.Name()))
		case !wanted && marked:
			stale = append(stale, e.Name())
		}
	}
	return stale, nil
}

func hasMark(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	buf := make([]byte, len(mark))
	n, _ := f.Read(buf)
	return string(buf[:n]) == mark
}

// writeFile puts a whole file under its name, or nothing.
func writeFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, reason(err))
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
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
	if _, err := os.Stat(path); err == nil && !hasMark(path) {
		return fmt.Errorf("%s was not written by llmgw render: move it away, or choose another name", path)
	}
	var buf bytes.Buffer
	buf.WriteString(mark + "\n")
	if _, err := r.WriteTo(&buf); err != nil {
		return err
	}
	return writeFile(path, buf.Bytes())
}
