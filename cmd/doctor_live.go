package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/lint"
	"github.com/llmgw/llmgw/pkg/lint/cluster"
	"github.com/llmgw/llmgw/pkg/lint/live"
	"github.com/llmgw/llmgw/pkg/lint/rule"
	"github.com/llmgw/llmgw/pkg/migrate"
)

// doctorLive are the flags of doctor that look at running systems.
type doctorLive struct {
	on, required     bool
	o                live.Options
	key, keyFile     string
	database, dbFile string
	redis, redisFile string
	logs             []string
	record, replay   string
	kubeconfig       string
	context, space   string
	observed         *live.Observation
}

func (d *doctorLive) declare(fs *pflag.FlagSet) {
	fs.BoolVar(&d.on, "live", false, "look at the running database, Redis, gateway and upstreams too, read-only")
	fs.StringArrayVar(&d.o.URLs, "url", nil, "address of the gateway for --live (repeat for every replica)")
	durationVar(fs, &d.o.Timeout, "timeout", 30*time.Second, "time for all of --live, and for reading a cluster")
	fs.BoolVar(&d.required, "live-required", false, "exit 3 when a check of --live could not run")
	fs.StringVar(&d.key, "api-key", "", "key for the gateway (better: --api-key-file, or LITELLM_MASTER_KEY)")
	fs.StringVar(&d.keyFile, "api-key-file", "", "`file` that holds the key")
	fs.StringVar(&d.database, "database-url", "", "database to look at (better: --database-url-file, or DATABASE_URL)")
	fs.StringVar(&d.dbFile, "database-url-file", "", "`file` that holds the database's URL")
	fs.StringVar(&d.redis, "redis-url", "", "Redis to look at (better: --redis-url-file, or REDIS_URL)")
	fs.StringVar(&d.redisFile, "redis-url-file", "", "`file` that holds Redis' URL")
	fs.StringArrayVar(&d.logs, "logs", nil, "`file` with logs of the gateway to look through (repeatable)")
	fs.BoolVar(&d.o.Models, "live-models", false, "with --live: ask every upstream for its models with the configured key (not billed)")
	fs.StringVar(&d.o.Probe, "live-probe", "", "with --live: call this `model` ten times, which is billed, and measure the gateway's share")
	fs.BoolVar(&d.o.AuthProbe, "live-auth-probe", false, "with --live: try the tutorials' logins at the admin UI, two at most")
	fs.StringVar(&d.kubeconfig, "kubeconfig", "", "check the objects, pods and logs of a cluster too, read-only: a kubeconfig `file`, or in-cluster")
	fs.StringVar(&d.context, "context", "", "`context` of the kubeconfig (default its current one)")
	fs.StringVarP(&d.space, "namespace", "n", "", "`namespace` to read of the cluster (default the context's; * is all)")
	fs.StringVar(&d.record, "record", "", "write what --live saw, without secrets, to this `file`")
	fs.StringVar(&d.replay, "replay", "", "judge what --record wrote to this `file` instead of looking")
}

// secretFlag reads a secret from a flag or the file that stands in for it.
func secretFlag(name, text, file string) (redact.Secret, string, error) {
	switch {
	case text != "" && file != "":
		return redact.Secret{}, "", usagef("--%s and --%s-file are given both; drop one", name, name)
	case file == "":
		return redact.New(text), "--" + name, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return redact.Secret{}, "", usagef("cannot read --%s-file %s: %s", name, file, reason(err))
	}
	if text = strings.TrimSpace(string(data)); text == "" {
		return redact.Secret{}, "", usagef("--%s-file %s is empty", name, file)
	}
	return redact.New(text), "--" + name + "-file " + file, nil
}

// apply arms the options of a run with the look at running systems, if one is
// asked for.
func (d *doctorLive) apply(ctx context.Context, fs *pflag.FlagSet, a *app, o *lint.Options) error {
	if d.replay != "" && (d.on || d.record != "") {
		return usagef("--replay judges what was seen before; drop --live and --record")
	}
	if !d.on {
		for _, name := range []string{"url", "live-required", "api-key", "api-key-file", "database-url", "database-url-file", "redis-url", "redis-url-file", "live-models", "live-probe", "live-auth-probe", "record"} {
			if fs.Changed(name) {
				return usagef("--%s needs --live", name)
			}
		}
		if d.kubeconfig == "" && (fs.Changed("context") || fs.Changed("namespace")) {
			return usagef("--context and --namespace need --kubeconfig")
		}
		if d.replay == "" && len(d.logs) == 0 && d.kubeconfig == "" {
			return nil
		}
	}
	if d.o.Timeout <= 0 {
		return usagef("--timeout must be above 0")
	}
	var err error
	if d.o.APIKey, _, err = secretFlag("api-key", d.key, d.keyFile); err != nil {
		return err
	}
	if d.o.DatabaseURL, d.o.DatabaseFlag, err = secretFlag("database-url", d.database, d.dbFile); err != nil {
		return err
	}
	if d.o.RedisURL, _, err = secretFlag("redis-url", d.redis, d.redisFile); err != nil {
		return err
	}
	d.o.Environment, d.o.Version = os.LookupEnv, buildVersion()
	seen := &live.Observation{Schema: live.Schema, At: time.Now().UTC()}
	if d.replay != "" {
		data, err := os.ReadFile(d.replay)
		if err != nil {
			return usagef("cannot read --replay %s: %s", d.replay, reason(err))
		}
		if seen, err = live.ParseObservation(data); err != nil {
			return usagef("--replay %s: %w", d.replay, err)
		}
	}
	if d.kubeconfig != "" {
		if err := d.cluster(ctx, a, o, seen); err != nil {
			return err
		}
	}
	for _, name := range d.logs {
		l, err := readLog(name)
		if err != nil {
			return err
		}
		seen.Logs = append(seen.Logs, l)
	}
	o.Live = func(ctx context.Context, m *rule.Model) lint.Sight {
		if d.observed == nil { // a second run after --fix looks at the same
			d.observed = seen
			if d.on {
				d.observed = d.look(ctx, a, m)
				d.observed.Logs, d.observed.Cluster = seen.Logs, seen.Cluster
			}
		}
		out := lint.Sight{Hits: live.Judge(d.observed, m)}
		for _, s := range d.observed.Missed {
			out.Missed = out.Missed || s.Wanted
			out.Skipped = append(out.Skipped, lint.Skipped{ID: s.ID, Reason: s.Reason})
		}
		out.MaxConnections, out.SuperuserReserved, out.Reserved = d.observed.Ceiling()
		return out
	}
	return nil
}

// look asks the systems, with a line of progress for whoever watches.
func (d *doctorLive) look(ctx context.Context, a *app, m *rule.Model) *live.Observation {
	o := d.o
	if set := doctorMigrations(m); set != nil {
		o.SetName = set.Name
		for _, one := range set.Migrations {
			o.Set = append(o.Set, live.Migration{Name: one.Name, Checksum: migrate.Checksum(one.SQL)})
		}
	}
	if a.errTTY && !a.quiet {
		o.Progress = func(done, total int, what string) {
			fmt.Fprintf(a.err, "\r\x1b[K%d of %d looked at, %s", done, total, what)
			if done == total {
				fmt.Fprint(a.err, "\r\x1b[K")
			}
		}
	}
	return live.Observe(ctx, m, o)
}

// doctorMigrations is the set that belongs to the gateway: LiteLLM's where its
// files are at hand, llmgw's own for llmgw.
func doctorMigrations(m *rule.Model) *migrate.Set {
	if base := os.Getenv("LITELLM_MIGRATION_DIR"); base != "" {
		for _, dir := range []string{base, filepath.Join(base, "migrations")} {
			if found, _ := filepath.Glob(filepath.Join(dir, "*", "migration.sql")); len(found) > 0 {
				if s, err := migrate.ReadDir(os.DirFS(dir), dir); err == nil {
					s.Name = "litellm"
					return s
				}
			}
		}
	}
	if len(m.Units) > 0 && m.Units[0].Target == facts.LLMGW {
		return migrate.Own()
	}
	return nil
}

func readLog(name string) (live.Log, error) {
	f, err := os.Open(name)
	if err != nil {
		return live.Log{}, usagef("cannot read --logs %s: %s", name, reason(err))
	}
	defer f.Close()
	l, err := live.ReadLog(name, f)
	if err != nil {
		return l, usagef("cannot read --logs %s: %s", name, reason(err))
	}
	return l, nil
}

// save writes what was seen, if that is asked for.
func (d *doctorLive) save() error {
	if d.record == "" || d.observed == nil {
		return nil
	}
	data, err := json.MarshalIndent(d.observed, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.record, append(data, '\n'), 0o600); err != nil {
		return usagef("--record %s cannot be written: %s", d.record, reason(err))
	}
	return nil
}

// cluster reads a cluster's objects as inputs, and what its pods do.
func (d *doctorLive) cluster(ctx context.Context, a *app, o *lint.Options, seen *live.Observation) error {
	var access *cluster.Access
	var err error
	if d.kubeconfig == "in-cluster" {
		access, err = cluster.InCluster()
	} else {
		var data []byte
		if data, err = os.ReadFile(d.kubeconfig); err != nil {
			return usagef("cannot read --kubeconfig %s: %s", d.kubeconfig, reason(err))
		}
		access, err = cluster.ParseKubeconfig(d.kubeconfig, data, filepath.Dir(d.kubeconfig), d.context)
	}
	if err != nil {
		return usagef("--kubeconfig: %w", err)
	}
	found, err := cluster.Read(ctx, access, cluster.Options{Namespace: d.space, Timeout: d.o.Timeout})
	if err != nil {
		return unreachable(fmt.Errorf("--kubeconfig %s: %w", d.kubeconfig, err))
	}
	for _, m := range found.Missed {
		a.warnf("%s", m)
	}
	if len(found.Documents) == 0 && len(o.Paths) == 0 && o.ConfigPath == "" && !d.on {
		return usagef("nothing to lint: the namespace %s of %s holds nothing that doctor looks at", found.Cluster.Namespace, found.Cluster.Server)
	}
	for _, doc := range found.Documents {
		o.Documents = append(o.Documents, lint.Document{Name: doc.Name, Data: doc.Data})
	}
	seen.Cluster, seen.Logs = &found.Cluster, append(seen.Logs, found.Logs...)
	return nil
}
