package cmd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/pkg/migrate"
)

// migrations picks the set: files that are named or lie ready, those that a
// release build carries, else our own. auto is true when nobody asked for it.
func (f *migrateFlags) migrations(env *config.Env) (set *migrate.Set, auto bool, err error) {
	switch f.set {
	case "auto", "litellm", "llmgw":
	default:
		return nil, false, usagef("--set %s: use auto, litellm or llmgw", f.set)
	}
	named := ""
	switch {
	case f.dir != "" && f.from != "":
		return nil, false, usagef("--migrations-dir and --migrations-from are given both; drop one")
	case f.dir != "":
		named = "--migrations-dir"
	case f.from != "":
		named = "--migrations-from"
	}
	if f.set == "llmgw" {
		if named != "" {
			return nil, false, usagef("--set llmgw is embedded and reads no files; drop %s", named)
		}
		return migrate.Own(), false, nil
	}
	switch {
	case f.dir != "":
		dir, packaged := packageFolder(f.dir)
		s, err := readMigrations(dir, packaged || f.set == "litellm")
		return s, false, err
	case f.from != "":
		s, err := migrate.ReadArchive(f.from)
		if err != nil {
			return nil, false, usagef("%w", err)
		}
		return s, false, nil
	}
	// LiteLLM keeps its writable copy in a folder of that name; the volume that
	// its chart mounts there is empty at first.
	if base := env.Get("LITELLM_MIGRATION_DIR"); base != "" {
		for _, dir := range []string{base, filepath.Join(base, "migrations")} {
			if found, _ := filepath.Glob(filepath.Join(dir, "*", "migration.sql")); len(found) > 0 {
				s, err := readMigrations(dir, true)
				return s, false, err
			}
		}
	}
	if s, ok := migrate.Released(); ok {
		return s, false, nil
	}
	if f.set == "litellm" {
		return nil, false, usagef("--set litellm needs LiteLLM's migration files, which are not part of llmgw: pip download --no-deps litellm-proxy-extras, then --migrations-from FILE.whl; or --migrations-dir with its migrations folder")
	}
	return migrate.Own(), true, nil
}

// packageFolder finds the migrations in the folder of an installed package:
// site-packages, litellm_proxy_extras or the migrations folder itself.
func packageFolder(dir string) (string, bool) {
	for _, inner := range []string{"migrations", "litellm_proxy_extras/migrations"} {
		if _, err := os.Stat(filepath.Join(dir, inner, "migration_lock.toml")); err == nil {
			return filepath.Join(dir, inner), true
		}
	}
	return dir, filepath.Base(filepath.Dir(filepath.Clean(dir))) == "litellm_proxy_extras"
}

func readMigrations(dir string, litellms bool) (*migrate.Set, error) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, usagef("the migrations folder %s does not exist", dir)
	case err != nil:
		return nil, usagef("cannot read the migrations folder %s: %s", dir, reason(err))
	case !info.IsDir():
		return nil, usagef("--migrations-dir %s is a file; for a package use --migrations-from", dir)
	}
	read := migrate.ReadDir
	if litellms {
		read = migrate.LiteLLM
	}
	s, err := read(os.DirFS(dir), dir)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return s, nil
}
