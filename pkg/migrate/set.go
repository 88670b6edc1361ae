package migrate

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/llmgw/llmgw/internal/litellm"
)

// Migration is one folder of a set.
type Migration struct {
	Name string
	SQL  string // as in the file, a byte order mark included
	// Err is why the file could not be read; it matters when the migration is
	// pending.
	Err error
	// Known are checksums that count as unedited beside the file's own: LiteLLM
	// has rewritten files of earlier releases.
	Known []string

	absent bool // known by name and checksum only; the text is not at hand
}

// checksum is what the history gets.
func (m Migration) checksum() string {
	if m.absent {
		return m.Known[0]
	}
	return Checksum(m.SQL)
}

// same reports whether a stored checksum belongs to the migration.
func (m Migration) same(stored string) bool {
	return slices.Contains(m.Known, stored) || !m.absent && sameChecksum(stored, m.SQL)
}

// Set is a list of migrations in the order in which they apply.
type Set struct {
	// Name is "llmgw", "litellm" or "directory".
	Name string
	// From is where it was read, for texts.
	From       string
	Migrations []Migration
	// Provider is what migration_lock.toml says; "" without such a file.
	Provider string
	// Notes are oddities found while reading.
	Notes []string

	lockFile bool
}

// maxFile bounds one migration; a larger file is a dump, not a migration.
const maxFile = 64 << 20

// Head is the name of the last migration, "" for an empty set.
func (s *Set) Head() string {
	if len(s.Migrations) == 0 {
		return ""
	}
	return s.Migrations[len(s.Migrations)-1].Name
}

// Has reports whether the set holds a migration of that name.
func (s *Set) Has(name string) bool {
	_, ok := s.find(name)
	return ok
}

func (s *Set) find(name string) (Migration, bool) {
	for _, m := range s.Migrations {
		if m.Name == name {
			return m, true
		}
	}
	return Migration{}, false
}

// ReadDir reads the folders of a file system as Prisma does: each is a
// migration, hidden ones too; the order is that of their names' bytes.
func ReadDir(fsys fs.FS, from string) (*Set, error) {
	s := &Set{Name: "directory", From: from}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, &Error{kind: kindUsage, Message: fmt.Sprintf("cannot read the migrations folder %s: %s", from, reason(err)), err: err}
	}
	for _, e := range entries {
		isDir := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 { // Kubernetes mounts ConfigMaps as links
			if info, err := fs.Stat(fsys, e.Name()); err == nil {
				isDir = info.IsDir()
			}
		}
		if !isDir {
			continue
		}
		if strings.HasPrefix(e.Name(), "..") { // the machinery of such a mount
			continue
		}
		m := Migration{Name: e.Name()}
		m.SQL, m.Err = readFile(fsys, path.Join(e.Name(), "migration.sql"))
		if m.Err != nil {
			m.Err = fileError(m, from, m.Err)
		}
		if strings.HasPrefix(m.Name, ".") {
			s.Notes = append(s.Notes, fmt.Sprintf("the hidden folder %s counts as a migration", m.Name))
		}
		if len(m.Name) > 255 {
			m.Err = &Error{kind: kindUsage, Migration: m.Name, Message: fmt.Sprintf("the name of migration %s… is longer than the 255 characters that the history can hold", m.Name[:40])}
		}
		s.Migrations = append(s.Migrations, m)
	}
	slices.SortFunc(s.Migrations, func(a, b Migration) int { return strings.Compare(a.Name, b.Name) })
	if err := s.readLock(fsys, from); err != nil {
		return nil, err
	}
	return s, nil
}

// readLock takes the first line that begins with provider. Unlike Prisma it
// does not insist on the spaces around the equals sign.
func (s *Set) readLock(fsys fs.FS, from string) error {
	text, err := readFile(fsys, "migration_lock.toml")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return &Error{kind: kindUsage, Message: fmt.Sprintf("cannot read %s: %s", path.Join(from, "migration_lock.toml"), reason(err)), err: err}
	}
	s.lockFile = true
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "provider") {
			continue
		}
		line = strings.TrimRight(line, "\r\n")
		value, exact := strings.CutPrefix(line, "provider = ")
		if !exact {
			_, value, _ = strings.Cut(line, "=")
			s.Notes = append(s.Notes, "migration_lock.toml lacks the spaces around = that Prisma insists on")
		}
		s.Provider = strings.Trim(strings.TrimSpace(value), `"'`)
		return nil
	}
	return nil
}

func (s *Set) checkProvider() error {
	if !s.lockFile || s.Provider == "postgresql" || s.Provider == "postgres" {
		return nil
	}
	found := s.Provider
	if found == "" {
		found = "<PROVIDER NOT FOUND>"
	}
	return &Error{Code: "P3019", Message: fmt.Sprintf("The datasource provider `postgresql` specified in your schema does not match the one specified in the migration_lock.toml, `%s`. Please remove your current migration directory and start a new migration history with prisma migrate dev. Read more: https://pris.ly/d/migrate-provider-switch", found)}
}

var (
	errTooLarge = fmt.Errorf("the file is larger than %d MiB", maxFile>>20)
	errNotUTF8  = errors.New("the file is not UTF-8 text")
)

func readFile(fsys fs.FS, name string) (string, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxFile:
		return "", errTooLarge
	case !utf8.Valid(data):
		return "", errNotUTF8
	case bytes.IndexByte(data, 0) >= 0:
		return "", errors.New("the file holds a NUL character, which SQL cannot")
	}
	return string(data), nil
}

func fileError(m Migration, from string, err error) *Error {
	file := path.Join(from, m.Name, "migration.sql")
	if errors.Is(err, fs.ErrNotExist) {
		return &Error{Code: "P3015", Migration: m.Name, Message: fmt.Sprintf("Could not find the migration file at %s. Please delete the directory or restore the migration file.", file), err: err}
	}
	return &Error{kind: kindUsage, Migration: m.Name, Message: fmt.Sprintf("cannot use %s: %s", file, reason(err)), err: err}
}

func reason(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}

// ReadArchive reads the migrations of a wheel or source archive of
// litellm-proxy-extras without unpacking it to disk.
func ReadArchive(file string) (*Set, error) {
	usage := func(err error) error {
		return &Error{kind: kindUsage, Message: fmt.Sprintf("cannot read %s: %s", file, reason(err)), err: err}
	}
	var fsys fs.FS
	var err error
	switch {
	case strings.HasSuffix(file, ".whl"), strings.HasSuffix(file, ".zip"):
		z, zerr := zip.OpenReader(file)
		if zerr != nil {
			return nil, usage(zerr)
		}
		defer z.Close()
		fsys = z
	case strings.HasSuffix(file, ".tar.gz"), strings.HasSuffix(file, ".tgz"):
		if fsys, err = readTar(file); err != nil {
			return nil, usage(err)
		}
	default:
		return nil, &Error{kind: kindUsage, Message: fmt.Sprintf("%s is neither a wheel (.whl) nor a source archive (.tar.gz)", file)}
	}
	return readPackage(fsys, file)
}

// readPackage finds the migrations in an unpacked package.
func readPackage(fsys fs.FS, file string) (*Set, error) {
	dir := ""
	_ = fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && path.Base(p) == "migration_lock.toml" && dir == "" {
			dir = path.Dir(p)
		}
		return nil
	})
	if dir == "" {
		return nil, &Error{kind: kindUsage, Message: fmt.Sprintf("%s holds no migrations (no migration_lock.toml in it); use the litellm-proxy-extras package", file)}
	}
	sub, err := fs.Sub(fsys, dir)
	if err != nil {
		return nil, &Error{kind: kindUsage, Message: fmt.Sprintf("cannot read %s: %s", file, reason(err)), err: err}
	}
	s, err := ReadDir(sub, file)
	if err != nil {
		return nil, err
	}
	return s.asLiteLLM(), nil
}

// readTar rewrites a compressed tar as a zip in memory, which the standard
// library can read as a file system. Only SQL and the lock file are kept.
func readTar(file string) (fs.FS, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	gz, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	total := int64(0)
	for r := tar.NewReader(gz); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		base := path.Base(h.Name)
		if h.Typeflag != tar.TypeReg || base != "migration.sql" && base != "migration_lock.toml" {
			continue
		}
		if total += h.Size; h.Size > maxFile || total > 4*maxFile {
			return nil, errTooLarge
		}
		w, err := z.Create(path.Clean(h.Name))
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(w, r); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
}

// asLiteLLM makes a set LiteLLM's: checksums of other releases count as
// unedited.
func (s *Set) asLiteLLM() *Set {
	s.Name = "litellm"
	for i, m := range s.Migrations {
		if known, ok := litellm.LookupMigration(m.Name); ok {
			s.Migrations[i].Known = append([]string{known.SHA256}, known.Earlier...)
		}
	}
	return s
}

// LiteLLM reads a folder of LiteLLM's migrations.
func LiteLLM(fsys fs.FS, from string) (*Set, error) {
	s, err := ReadDir(fsys, from)
	if err != nil {
		return nil, err
	}
	return s.asLiteLLM(), nil
}

// Manifest is LiteLLM's set of the emulated release by names and checksums,
// without the files: enough to say what a database has, not to apply anything.
func Manifest() *Set {
	s := &Set{From: "the manifest of LiteLLM " + litellm.Compat}
	for _, m := range litellm.Migrations() {
		s.Migrations = append(s.Migrations, Migration{Name: m.Name, Known: []string{m.SHA256}, absent: true})
	}
	return s.asLiteLLM()
}

// Has reports whether the set in use holds a migration of that name.
func (p *Provider) Has(name string) bool { return p.set.Has(name) }

// FilesAtHand reports whether the set has the texts of its migrations.
func (s *Set) FilesAtHand() bool {
	return len(s.Migrations) == 0 || !s.Migrations[0].absent
}

//go:embed sets/llmgw/*.sql
var embedded embed.FS

// Own is the set that is part of llmgw: the tables that serve needs, with
// LiteLLM's names and types.
func Own() *Set {
	s := &Set{Name: "llmgw", From: "llmgw (embedded)"}
	entries, err := embedded.ReadDir("sets/llmgw")
	if err != nil {
		panic(err) // the files are part of the program
	}
	for _, e := range entries {
		text, err := embedded.ReadFile("sets/llmgw/" + e.Name())
		if err != nil {
			panic(err)
		}
		s.Migrations = append(s.Migrations, Migration{Name: strings.TrimSuffix(e.Name(), ".sql"), SQL: string(text)})
	}
	return s
}

// ownPrefix begins the names of our own set.
const ownPrefix = "llmgw_"
