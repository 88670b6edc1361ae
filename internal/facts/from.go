package facts

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
)

// Flags are the facts that a command line states. Unset ones are zero; the
// origin of a set one names its flag.
type Flags struct {
	Target     Target // empty: detect
	NumWorkers Int
	Instances  Int
	// Ceiling holds --max-connections or --max-db-connections with what is
	// subtracted from it.
	Ceiling       Ceiling
	PgBouncer     Pooler
	ClientTimeout Seconds
	LBIdle        Seconds
	// Args are launcher arguments that stand in for a container's.
	Args []manifest.Arg
}

// Deployment is everything that is known of one gateway deployment.
type Deployment struct {
	Target   Target
	Workload *manifest.Workload // nil when no manifest describes it

	Workers      Int
	Instances    Int // R, the most there can be
	MinInstances Int
	Surge        Surge
	Runner       MigrationRunner
	Limit        Int            // the pool limit in effect
	LimitSources PoolLimitInput // where one could be written
	DatabaseURL  string         // where the URL comes from, never the URL; empty when no database is in use
	Pooled       bool           // the URL leads to a pooler
	Ceiling      Ceiling
	PgBouncer    Pooler

	Request       Seconds // T_req
	RouterTimeout Seconds
	StreamTimeout Seconds // router_settings.stream_timeout
	Retries       Int     // explicit only
	MaxFallbacks  Int
	Groups        []ChainGroup
	Client        Seconds
	LBIdle        Seconds
	Ping          Seconds
	PreStop       Seconds
	Grace         Seconds // unset without a manifest
	KeepAlive     Seconds
	DrainEndpoint bool
	DrainTimeout  Seconds
}

// From gathers the facts of the gateway: for each number the first source that
// states it. The workloads may be nil; of several serving ones the first that
// runs the gateway counts, and FromWorkload is there for the others.
func From(flags Flags, tree *config.Tree, workloads []*manifest.Workload) Deployment {
	for _, w := range workloads {
		if w.Serving() && w.Gateway() != nil {
			return FromWorkload(flags, tree, w, workloads)
		}
	}
	return FromWorkload(flags, tree, nil, workloads)
}

// FromWorkload gathers the facts of one serving workload; all holds the
// workloads beside it, among them a migration Job.
func FromWorkload(flags Flags, tree *config.Tree, w *manifest.Workload, all []*manifest.Workload) Deployment {
	g := gatherer{flags: flags, tree: tree, workload: w}
	if w != nil {
		g.container = w.Gateway()
	}
	d := Deployment{Workload: w, Target: g.target(), Ceiling: flags.Ceiling, PgBouncer: flags.PgBouncer, Client: flags.ClientTimeout}
	d.Workers = g.workers(d.Target)
	d.Instances, d.MinInstances = g.instances()
	d.Surge = g.surge()
	d.Runner = runner(all)
	g.pool(&d)
	g.times(&d)
	d.Groups = groups(tree)
	return d
}

// Pool is the deployment's side of the pool math.
func (d Deployment) Pool() PoolInput {
	in := PoolInput{Target: d.Target, Limit: d.Limit, Workers: d.Workers, Instances: d.Instances, Surge: d.Surge, Runner: d.Runner, Ceiling: d.Ceiling}
	if d.Pooled {
		p := d.PgBouncer
		in.Pooler = &p
	}
	return in
}

// Chain is the deployment's side of the time chain.
func (d Deployment) Chain() ChainInput {
	return ChainInput{
		Request: d.Request, RouterTimeout: d.RouterTimeout, RouterStreamTimeout: d.StreamTimeout,
		Retries: d.Retries, MaxFallbacks: d.MaxFallbacks, Client: d.Client, Groups: d.Groups,
		LBIdle: d.LBIdle, Ping: d.Ping, PreStop: d.PreStop, Grace: d.Grace,
		DrainEndpoint: d.DrainEndpoint, DrainTimeout: d.DrainTimeout,
	}
}

// IsMigrationJob reports whether a workload runs migrations and ends.
func IsMigrationJob(w *manifest.Workload) bool {
	if w.Serving() {
		return false
	}
	for _, c := range w.Containers {
		if c.Image.Base() == "litellm-migrations" {
			return true
		}
		words := c.Words()
		for i, word := range words {
			if strings.HasSuffix(word.Text, "prisma_migration.py") || strings.Contains(word.Text, "migrate deploy") {
				return true
			}
			if word.Text == "migrate" && i+1 < len(words) && words[i+1].Text == "deploy" {
				return true
			}
		}
	}
	return false
}

func runner(all []*manifest.Workload) MigrationRunner {
	found := NoRunner
	for _, w := range all {
		if !IsMigrationJob(w) {
			continue
		}
		if w.Hook == "" {
			return JobRunner
		}
		found = HookRunner
	}
	return found
}

// gatherer looks each fact up in its sources.
type gatherer struct {
	flags     Flags
	tree      *config.Tree
	workload  *manifest.Workload
	container *manifest.Container
}

func (g gatherer) key(path string) *config.Node {
	if g.tree == nil {
		return nil
	}
	return g.tree.Get(path)
}

// env finds a variable that is certain to be set. known is false when its
// value lies in a Secret.
func (g gatherer) env(name string) (value string, pos finding.Position, known, found bool) {
	if g.tree != nil && g.tree.Env() != nil {
		if v, ok := g.tree.Env().Lookup(name); ok {
			return v.Value, v.Pos, v.Known, true
		}
	}
	if g.container != nil {
		if v, ok := g.container.LookupEnv(name); ok {
			return v.Value, v.Pos, v.Known, true
		}
	}
	return "", finding.Position{}, false, false
}

func (g gatherer) envInt(name string) Int {
	text, pos, known, _ := g.env(name)
	v, err := strconv.Atoi(strings.TrimSpace(text))
	if !known || err != nil {
		return Int{}
	}
	return NewInt(v, name, pos)
}

func (g gatherer) envSeconds(name string) Seconds {
	text, pos, known, _ := g.env(name)
	v, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if !known || err != nil || !(v >= 0 && v < huge) {
		return Seconds{}
	}
	return NewSeconds(v, name, pos)
}

// words are the arguments of the gateway container, else those of --args.
func (g gatherer) words() []manifest.Arg {
	if len(g.flags.Args) > 0 {
		return g.flags.Args
	}
	if g.container != nil {
		return g.container.Words()
	}
	return nil
}

// arg finds the value of a launcher flag, written --name value or --name=value,
// with dashes or underscores.
func (g gatherer) arg(name string) (value string, pos finding.Position, found bool) {
	words := g.words()
	for i, w := range words {
		flag, inline, eq := strings.Cut(w.Text, "=")
		if !strings.HasPrefix(flag, "--") || strings.ReplaceAll(strings.TrimPrefix(flag, "--"), "-", "_") != name {
			continue
		}
		found, pos = true, w.Pos
		switch {
		case eq:
			value = inline
		case i+1 < len(words):
			value = words[i+1].Text
		}
	}
	return value, pos, found
}

func (g gatherer) argInt(name string) Int {
	text, pos, _ := g.arg(name)
	v, err := strconv.Atoi(text)
	if err != nil {
		return Int{}
	}
	return NewInt(v, "--"+name, pos)
}

func (g gatherer) target() Target {
	if g.flags.Target != "" {
		return g.flags.Target
	}
	if g.container != nil {
		if t, ok := ParseTarget(g.container.Target); ok {
			return t
		}
	}
	return LiteLLM
}

func (g gatherer) workers(t Target) Int {
	if _, pos, ok := g.arg("run_hypercorn"); ok && t == LiteLLM {
		return NewInt(1, "--run_hypercorn", pos)
	}
	stated := g.flags.NumWorkers.Or(g.argInt("num_workers")).Or(g.envInt("NUM_WORKERS"))
	return Workers(t, stated)
}

func (g gatherer) instances() (most, least Int) {
	w := g.workload
	if w != nil && w.Scaler != nil {
		scaler := "HPA"
		if w.Scaler.Kind != "HorizontalPodAutoscaler" {
			scaler = w.Scaler.Kind
		}
		if m := w.Scaler.Max; m.Set {
			name := " maxReplicas"
			if scaler == "ScaledObject" {
				name = " maxReplicaCount"
			}
			most = NewInt(m.Value, scaler+name, m.Pos)
		}
		if m := w.Scaler.Min; m.Set {
			least = NewInt(m.Value, scaler+" minReplicas", m.Pos)
		} else {
			least = AssumedInt(1, scaler+" minReplicas, default")
		}
	}
	if w != nil && w.Replicas.Set {
		replicas := NewInt(w.Replicas.Value, "replicas", w.Replicas.Pos)
		most, least = most.Or(replicas), least.Or(replicas)
	}
	one := AssumedInt(1, "default")
	most = most.Or(g.flags.Instances).Or(one)
	return most, least.Or(g.flags.Instances).Or(one)
}

func (g gatherer) surge() Surge {
	w := g.workload
	if w == nil {
		return Surge{Origin: Origin{Text: "no rolling update among the inputs", Assumed: true}}
	}
	switch w.Kind {
	case "StatefulSet", "DaemonSet":
		return NoSurge(w.Kind, w.NamePos)
	}
	s := w.Strategy
	if s.Type.Set && s.Type.Value == "Recreate" {
		return NoSurge("Recreate", s.Type.Pos)
	}
	m := s.MaxSurge
	switch {
	case !m.Set:
		return DefaultSurge()
	case m.Percent:
		return Surge{Percent: m.Value, IsPercent: true, Origin: Origin{Text: "maxSurge " + strconv.Itoa(m.Value) + "%", Pos: m.Pos}}
	default:
		return Surge{Count: m.Value, Origin: Origin{Text: "maxSurge", Pos: m.Pos}}
	}
}

func (g gatherer) pool(d *Deployment) {
	const general = "general_settings."
	intKey := func(path, name string) Int {
		node := g.key(path)
		if v, ok := node.Int(); ok && int64(int(v)) == v {
			return NewInt(int(v), name, node.Where())
		}
		return Int{}
	}
	d.LimitSources = PoolLimitInput{
		Extra: intKey(general+"database_extra_connection_params.connection_limit", "database_extra_connection_params.connection_limit"),
		Key:   intKey(general+"database_connection_pool_limit", "database_connection_pool_limit"),
	}
	text := g.databaseURL(d)
	if limit, ok := urlParameter(text, "connection_limit"); ok {
		if v, err := strconv.Atoi(limit); err == nil {
			d.LimitSources.URL = NewInt(v, "connection_limit of "+d.DatabaseURL, finding.Position{})
		}
	}
	d.Pooled = poolerURL(text)
	d.Limit = PoolLimit(d.Target, d.LimitSources)
}

// databaseURL returns the URL where its value is known, and notes where it
// comes from.
func (g gatherer) databaseURL(d *Deployment) string {
	if node := g.key("general_settings.database_url"); !node.IsNull() || node != nil && node.RefMissing {
		d.DatabaseURL = "general_settings.database_url"
		text, _ := node.Scalar()
		return text
	}
	for _, name := range []string{"DATABASE_URL", "DATABASE_HOST"} {
		if text, _, known, found := g.env(name); found {
			d.DatabaseURL = name
			if known && name == "DATABASE_URL" {
				return text
			}
			return ""
		}
	}
	return ""
}

// urlParameter reads one query parameter without parsing the rest of the URL,
// whose password may hold anything.
func urlParameter(text, name string) (string, bool) {
	_, query, ok := strings.Cut(text, "?")
	if !ok {
		return "", false
	}
	values, err := url.ParseQuery(query)
	if err != nil || !values.Has(name) {
		return "", false
	}
	return values.Get(name), true
}

// poolerURL reports whether a database URL looks like it leads to a pooler.
func poolerURL(text string) bool {
	_, rest, ok := strings.Cut(text, "://")
	if !ok {
		return false
	}
	authority, _, _ := strings.Cut(rest, "/")
	authority, _, _ = strings.Cut(authority, "?")
	host := strings.ToLower(authority[strings.LastIndexByte(authority, '@')+1:])
	return strings.Contains(host, "pgbouncer") || strings.Contains(host, "pooler") || strings.HasSuffix(host, ":6432")
}
