package cmd

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/migrate"
)

func TestTheLivingLineSaysWhatRunsAndWhoIsInItsWay(t *testing.T) {
	var out bytes.Buffer
	p := &progress{a: &app{err: &out}, kind: "tui", w: &out, width: 100}
	p.event(migrate.Event{Event: migrate.EventMigrationStarted, Migration: "1_a", Statements: 3})
	if got := p.line.text(time.Now()); !strings.HasSuffix(got, "  3 statements") {
		t.Error(got) // the server has not said which one it is at
	}
	p.event(migrate.Event{Event: migrate.EventStatementDone, Migration: "1_a", Statement: 1})
	p.event(migrate.Event{Event: migrate.EventBlockedBy, Migration: "1_a", Message: "blocked by pid 7 (psql), idle in transaction for 3s"})
	if got := p.line.text(p.line.began.Add(1500 * time.Millisecond)); !strings.HasSuffix(got, "1_a  1.5s  statement 2/3  blocked by pid 7 (psql), idle in transaction for 3s") {
		t.Error(got)
	}
	p.event(migrate.Event{Event: migrate.EventProgress, Migration: "1_a", Message: "building index, 40%"})
	if got := p.line.text(time.Now()); !strings.HasSuffix(got, "building index, 40%") {
		t.Error(got)
	}
	p.event(migrate.Event{Event: migrate.EventMigrationFinished, Migration: "1_a", DurationMS: 1500})
	if !strings.HasSuffix(out.String(), "\r\x1b[2K✓ 1_a  1.5s\n") {
		t.Errorf("%q", out.String())
	}
	p.event(migrate.Event{Event: migrate.EventPlanned, Pending: 7, Message: "PostgreSQL 15: 7 to apply"})
	p.event(migrate.Event{Event: migrate.EventMigrationStarted, Migration: "2_b", Statements: 1, Doing: "CREATE INDEX x ON A"})
	if got := p.line.text(p.line.began.Add(time.Second)); !strings.HasSuffix(got, " [2/8] 2_b  1s  CREATE INDEX x ON A") {
		t.Error(got)
	}
	for _, line := range strings.Split(out.String(), "\r\x1b[2K") {
		if n := len([]rune(line)); n > 100 {
			t.Errorf("%d characters wide: %q", n, line)
		}
	}
}

func TestProgressWordsAreChecked(t *testing.T) {
	for _, args := range [][]string{{"--progress", "fancy"}, {"--progress", "tui"}} {
		if code, _, errs := runMigrate(t, append([]string{"status", "--database-url", "postgresql://u@127.0.0.1:1/x"}, args...)...); code != 2 || !strings.Contains(errs, "--progress") {
			t.Errorf("%v: %d %s", args, code, errs)
		}
	}
}
