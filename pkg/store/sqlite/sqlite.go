// Package sqlite keeps the state of a gateway in one file. It serves a single
// machine; shared state needs PostgreSQL. Several processes may open the same
// file.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver, without cgo

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/store"
)

// DB is a Store in a file.
type DB struct{ db *sql.DB }

var _ store.Store = (*DB)(nil)

// schemaVersion is kept in the file's user_version.
const schemaVersion = 1

const schema = `
CREATE TABLE IF NOT EXISTS llmgw_secret (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS llmgw_count (
	model             TEXT PRIMARY KEY,
	requests          INTEGER NOT NULL DEFAULT 0,
	failed            INTEGER NOT NULL DEFAULT 0,
	prompt_tokens     INTEGER NOT NULL DEFAULT 0,
	completion_tokens INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
`

// Open opens the file, creating it and its directory for the user alone.
func Open(ctx context.Context, path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create the state directory: %w", err)
	}
	// The file holds a key: it must be private before SQLite writes to it.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the state file: %w", err)
	}
	f.Close()
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open the state file: %w", err)
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(absolute), RawQuery: url.Values{
		"_pragma": {"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(NORMAL)"},
		"_txlock": {"immediate"},
	}.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1)
	s := &DB{db}
	if err := s.prepare(ctx); err != nil {
		db.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return s, nil
}

func (s *DB) prepare(ctx context.Context) error {
	var found int
	if err := s.db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&found); err != nil {
		return err
	}
	switch {
	case found > schemaVersion:
		return fmt.Errorf("it was written by a newer llmgw (schema %d, this one knows %d)", found, schemaVersion)
	case found == schemaVersion:
		return nil
	}
	_, err := s.db.ExecContext(ctx, fmt.Sprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %d; COMMIT;", schema, schemaVersion))
	return err
}

// MasterKey implements store.Store.
func (s *DB) MasterKey(ctx context.Context, fresh redact.Secret) (redact.Secret, error) {
	const name = "master_key"
	_, err := s.db.ExecContext(ctx, "INSERT INTO llmgw_secret (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING", name, fresh.Reveal())
	if err != nil {
		return redact.Secret{}, errors.New("keep the master key: " + redact.Text(err.Error(), fresh))
	}
	var value string
	if err := s.db.QueryRowContext(ctx, "SELECT value FROM llmgw_secret WHERE name = ?", name).Scan(&value); err != nil {
		return redact.Secret{}, fmt.Errorf("read the master key: %w", err)
	}
	return redact.New(value), nil
}

// AddCounts implements store.Store.
func (s *DB) AddCounts(ctx context.Context, counts map[string]store.Count) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("add request counts: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	for model, c := range counts {
		_, err := tx.ExecContext(ctx, `
			INSERT INTO llmgw_count (model, requests, failed, prompt_tokens, completion_tokens) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (model) DO UPDATE SET
				requests = requests + excluded.requests, failed = failed + excluded.failed,
				prompt_tokens = prompt_tokens + excluded.prompt_tokens,
				completion_tokens = completion_tokens + excluded.completion_tokens`,
			model, c.Requests, c.Failed, c.PromptTokens, c.CompletionTokens)
		if err != nil {
			return fmt.Errorf("add request counts: %w", err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("add request counts: %w", err)
	}
	return nil
}

// Counts implements store.Store.
func (s *DB) Counts(ctx context.Context) (map[string]store.Count, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT model, requests, failed, prompt_tokens, completion_tokens FROM llmgw_count")
	if err != nil {
		return nil, fmt.Errorf("read request counts: %w", err)
	}
	defer rows.Close()
	counts := map[string]store.Count{}
	for rows.Next() {
		var model string
		var c store.Count
		if err := rows.Scan(&model, &c.Requests, &c.Failed, &c.PromptTokens, &c.CompletionTokens); err != nil {
			return nil, fmt.Errorf("read request counts: %w", err)
		}
		counts[model] = c
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read request counts: %w", err)
	}
	return counts, nil
}

// Close implements store.Store.
func (s *DB) Close() error { return s.db.Close() }
