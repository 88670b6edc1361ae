package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/pkg/migrate"
)

// schemaAnswer is how long serve asks a database about its schema before it
// listens; one that does not answer is asked again while it serves.
const schemaAnswer = 5 * time.Second

// schemaWish is what an operator said about migrations at start.
type schemaWish int

const (
	wishNothing schemaWish = iota // an empty schema is set up, any other is left alone
	wishMigrate
	wishLeaveAlone
)

// schemaWish reads it: --migrate, else the configuration, else the variable.
func (f *serveFlags) schemaWish(tree *config.Tree) schemaWish {
	if f.migrate || f.dbPush || f.skipStartup {
		return wishMigrate
	}
	if n := tree.Get("general_settings.disable_prisma_schema_update"); !n.IsNull() {
		if v, ok := n.Bool(); ok {
			if v {
				return wishLeaveAlone
			}
			return wishMigrate
		}
	}
	return envWish(tree.Env().Get("DISABLE_SCHEMA_UPDATE"))
}

// envWish follows LiteLLM's word for word only where it says "false"; every
// word that means yes leaves the schema alone.
func envWish(word string) schemaWish {
	if word == "" {
		return wishNothing
	}
	if strings.EqualFold(word, "false") {
		return wishMigrate
	}
	if v, _, _ := litellm.ParseEnvBool("DISABLE_SCHEMA_UPDATE", word); v {
		return wishLeaveAlone
	}
	return wishNothing
}

// schema brings the schema to where it should be before the listener opens, and
// returns the gate that readiness asks; nil without a database.
func (f *serveFlags) schema(ctx context.Context, a *app, tree *config.Tree) (*migrate.Gate, error) {
	if f.databaseURL == "" && f.databaseURLFile == "" && databaseOrigin(tree) == "" {
		if f.migrate || f.skipStartup || f.waitHead {
			return nil, usagef("no database is named: give --database-url, general_settings.database_url, or set DATABASE_URL")
		}
		return nil, nil
	}
	m := migrateFlags{databaseURL: f.databaseURL, databaseURLFile: f.databaseURLFile, set: "auto"}
	target, _, err := m.database(a, tree, tree.Env())
	if err != nil {
		return nil, err
	}
	set, auto, err := m.migrations(tree.Env())
	if err != nil {
		return nil, err
	}
	wish := f.schemaWish(tree)
	o := migrate.Options{Auto: auto, Wait: true, OnEvent: func(e migrate.Event) { showEvent(a, e) }, CancelledBy: cancelledBy}
	if wish == wishMigrate {
		o.ConnectWait = f.connectWait
	}
	p := migrate.New(target, set, o)
	limit, cancel := ctx, context.CancelFunc(func() {})
	if wish != wishMigrate {
		limit, cancel = context.WithTimeout(ctx, schemaAnswer)
	}
	defer cancel()
	now, err := p.Status(limit)
	switch {
	case ctx.Err() != nil:
		return nil, withCode(m.code(err), err)
	case err != nil && wish == wishMigrate:
		if e, ok := errors.AsType[*migrate.Error](err); !ok || e.Unreachable() || e.Usage() && e.Code != "LM0007" {
			return nil, withCode(m.code(err), err)
		}
	case err != nil:
		a.warnf("the database's schema could not be looked at: %v", err)
	case now.Empty && wish == wishLeaveAlone:
		a.warnf("the database's schema is empty and migrations are switched off here: run llmgw migrate deploy")
	}
	if wish == wishMigrate || wish == wishNothing && err == nil && now.Empty {
		r, err := p.Deploy(ctx)
		if err != nil {
			return nil, withCode(m.code(err), fmt.Errorf("migrating before the start: %w", err))
		}
		if len(r.Applied) > 0 {
			a.infof("the database's schema is set up: %d migrations applied", len(r.Applied))
		}
	} else if err == nil {
		if e := now.Err(false); e != nil && !now.Empty {
			a.warnf("the database is left as it is: %s; llmgw migrate status says more", e.Message)
		}
	}
	g := p.NewGate(f.waitHead)
	look, stop := context.WithTimeout(ctx, schemaAnswer)
	defer stop()
	if err := g.Look(look); err == nil && g.Missing() == "" {
		return g, nil
	}
	if what := g.Missing(); what != "" {
		a.warnf("not ready: %s is missing in the database; looking again every 2 seconds", what)
	}
	g.Watch(func() { a.infof("the database's schema is complete: ready") })
	return g, nil
}
