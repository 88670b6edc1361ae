package migrate

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// StatusResult is what `status` found. It writes nothing and takes no lock.
type StatusResult struct {
	Database   Database          `json:"database"`
	Set        string            `json:"set"`
	From       string            `json:"from"`
	Found      int               `json:"found"`
	Head       string            `json:"head,omitempty"`
	Managed    bool              `json:"managed"` // there is a history table
	Empty      bool              `json:"empty"`   // there is no table at all
	InSync     bool              `json:"in_sync"`
	Diverged   bool              `json:"diverged"`
	LastCommon string            `json:"last_common,omitempty"`
	Migrations []MigrationStatus `json:"migrations"`
	Pending    []string          `json:"pending"`
	Failed     []string          `json:"failed"`
	Edited     []string          `json:"edited"`
	Missing    []string          `json:"missing"`
	Holder     *Holder           `json:"lock_holder,omitempty"`
	Warnings   []Warning         `json:"warnings"`

	unmanaged *Error
}

// MigrationStatus is one line of the table.
type MigrationStatus struct {
	Name       string     `json:"name"`
	State      State      `json:"state"`
	AppliedAt  *time.Time `json:"applied_at,omitempty"`
	DurationMS *int64     `json:"duration_ms,omitempty"`
	Tool       string     `json:"tool,omitempty"`
	Logs       string     `json:"logs,omitempty"` // of a failed row
}

// Status compares the database with the set.
func (p *Provider) Status(ctx context.Context) (*StatusResult, error) {
	r := &StatusResult{
		Database: p.address(),
		Set:      p.set.Name, From: p.set.From, Found: len(p.set.Migrations), Head: p.set.Head(),
		Migrations: []MigrationStatus{}, Pending: []string{}, Failed: []string{}, Edited: []string{}, Missing: []string{}, Warnings: []Warning{},
	}
	if err := p.set.checkProvider(); err != nil {
		return r, err
	}
	s, err := p.connect(ctx)
	if err != nil {
		return r, err
	}
	defer s.close()
	r.Database = s.database()
	had, err := s.record(ctx)
	if err != nil {
		return r, err
	}
	if r.Holder, err = s.holder(ctx); err != nil {
		r.Holder = nil // not everybody may look; it is an extra
	}
	r.Set, r.From, r.Found, r.Head = p.set.Name, p.set.From, len(p.set.Migrations), p.set.Head()
	r.fill(p.set, had.rows)
	r.Managed, r.Empty = had.there, !had.there && len(had.others) == 0
	if e := checkOwner(p.set, had.rows); e != nil {
		return r, e
	}
	if !had.there && len(had.others) > 0 {
		r.InSync, r.unmanaged = false, s.unmanaged(had.others)
	}
	return r, nil
}

// fill puts the set and the history into one list: the set in its order, each
// row without a folder where it was applied.
func (r *StatusResult) fill(set *Set, rows []Row) {
	o := compare(set, rows)
	r.LastCommon = o.lastCommon
	r.Edited, r.Missing = nonNil(o.edited), nonNil(o.missing)
	r.Warnings = append(r.Warnings, o.warnings(set)...)
	byName := map[string][]Row{}
	for _, row := range rows {
		byName[row.Name] = append(byName[row.Name], row)
	}
	for _, m := range set.Migrations {
		r.Migrations = append(r.Migrations, describe(m.Name, byName[m.Name], slices.Contains(o.edited, m.Name), false))
	}
	seen := map[string]bool{}
	for _, row := range rows {
		if _, ok := set.find(row.Name); !ok && !seen[row.Name] {
			seen[row.Name] = true
			if d := describe(row.Name, byName[row.Name], false, true); d.State != StateRolledBack {
				r.Migrations = append(r.Migrations, d)
			}
		}
	}
	for _, d := range r.Migrations {
		switch d.State {
		case StatePending, StateRolledBack:
			r.Pending = append(r.Pending, d.Name)
		case StateFailed:
			r.Failed = append(r.Failed, d.Name)
		}
	}
	r.Diverged = len(r.Missing) > 0 && len(r.Pending) > 0
	r.InSync = len(r.Pending) == 0 && len(r.Failed) == 0
}

func describe(name string, rows []Row, edited, missing bool) MigrationStatus {
	d := MigrationStatus{Name: name, State: StatePending}
	for _, row := range rows {
		switch {
		case row.Failed():
			// It blocks, whatever other rows of the name say.
			d = MigrationStatus{Name: name, State: StateFailed, Tool: row.Tool()}
			if row.Logs != nil {
				d.Logs = *row.Logs
			}
			return d
		case row.RolledBack != nil:
			if d.State == StatePending {
				d.State, d.Tool = StateRolledBack, row.Tool()
			}
		default:
			d.State, d.AppliedAt, d.Tool = StateApplied, row.Finished, row.Tool()
			ms := row.Finished.Sub(row.Started).Milliseconds()
			d.DurationMS = &ms
			if row.Steps == 0 {
				d.State = StateBaselined
			}
		}
	}
	if d.State == StateApplied || d.State == StateBaselined {
		if edited {
			d.State = StateEdited
		}
		if missing {
			d.State = StateMissing
		}
	}
	return d
}

// Err is the answer as an error: nil when the database is in sync. strict
// counts edited and missing migrations too.
func (r *StatusResult) Err(strict bool) *Error {
	switch {
	case r.unmanaged != nil:
		return r.unmanaged
	case len(r.Failed) > 0:
		return &Error{kind: kindBlocked, Message: fmt.Sprintf("%s failed", plural(len(r.Failed), "migration", "migrations"))}
	case r.Diverged:
		return &Error{kind: kindDiverged, Message: "the histories of folder and database are different"}
	case len(r.Pending) > 0:
		return &Error{kind: kindPending, Message: fmt.Sprintf("%s pending", plural(len(r.Pending), "migration", "migrations"))}
	case strict && len(r.Edited)+len(r.Missing) > 0:
		return &Error{kind: kindRefused, Message: "--strict: edited or missing migrations"}
	}
	return nil
}

// ErrBelow is Err for somebody who needs no more than the migrations up to and
// with head: what is pending behind it does not matter.
func (r *StatusResult) ErrBelow(head string, strict bool) *Error {
	needed := map[string]bool{}
	for _, m := range r.Migrations {
		needed[m.Name] = true
		if m.Name == head {
			break
		}
	}
	var behind []string
	for _, name := range r.Pending {
		if needed[name] {
			behind = append(behind, name)
		}
	}
	e := r.Err(strict)
	if e == nil || !e.Pending() && !e.Diverged() {
		return e
	}
	if len(behind) == 0 {
		return nil
	}
	return &Error{kind: kindPending, Message: fmt.Sprintf("%s pending up to %s", plural(len(behind), "migration", "migrations"), head)}
}

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}
