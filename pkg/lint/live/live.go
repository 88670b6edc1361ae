// Package live looks at the running systems of a deployment for doctor: the
// gateway's own addresses, PostgreSQL, Redis, the upstreams, and logs.
//
// Looking and judging are apart. Observe asks the systems, read-only and within
// a stated time, and returns an Observation without secrets; Judge turns one
// into findings of the catalogue. So a recorded observation can be judged again
// elsewhere. A system that cannot be reached is an observation like any other.
package live

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/pgurl"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// Schema names the shape of a recorded observation.
const Schema = "llmgw.doctor.live/1"

// Migration is one migration of the set that belongs to the gateway.
type Migration struct {
	Name, Checksum string
}

// Options say what to look at.
type Options struct {
	URLs []string // addresses of the gateway
	// Secrets from the command line; empty ones are looked for in the config
	// and the environment.
	APIKey, DatabaseURL, RedisURL redact.Secret
	DatabaseFlag                  string // what DatabaseURL is called
	Timeout                       time.Duration
	// Environment is the process's, asked after the inputs' own.
	Environment func(string) (string, bool)
	// Set are the migrations to compare with; nil when they are not known.
	Set     []Migration
	SetName string
	Version string // of llmgw

	Models    bool   // ask upstreams for their list of models, with the key
	Probe     string // a model to call ten times
	AuthProbe bool   // try known logins of the UI

	// Progress is told what is done; nil is nobody.
	Progress func(done, total int, what string)

	gap    time.Duration         // between two samples; 0 is the usual
	public func(netip.Addr) bool // nil is the usual
}

// Observation is what was seen. It holds no secret.
type Observation struct {
	Schema    string     `json:"schema"`
	At        time.Time  `json:"at"`
	Postgres  *Postgres  `json:"postgres,omitempty"`
	Redis     *Redis     `json:"redis,omitempty"`
	Proxies   []Proxy    `json:"proxies,omitempty"`
	Upstreams []Upstream `json:"upstreams,omitempty"`
	Logs      []Log      `json:"logs,omitempty"`
	Cluster   *Cluster   `json:"cluster,omitempty"`
	Missed    []Missed   `json:"missed,omitempty"`
}

// Missed is a check that could not run.
type Missed struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
	// Wanted is true when its target was there to look at.
	Wanted bool `json:"wanted"`
}

// Failure is why something could not be reached.
type Failure struct {
	Stage   string `json:"stage"` // name, network, tls, login, timeout, answer, settings
	Message string `json:"message"`
}

// groupRules are the rules each target can answer.
var groupRules = map[string][]string{
	"postgres": {"MIG008", "MIG009", "MIG010", "PRF013", "RUN012", "RUN013", "RUN014", "RUN015", "RUN016", "RUN017", "RUN018", "RUN019", "RUN031", "RUN033", "RUN034", "RUN035", "RUN036"},
	"redis":    {"RUN021", "RUN022", "RUN023"},
	"proxy":    {"RUN002", "RUN003", "RUN004", "RUN005", "RUN008", "RUN009", "RUN010", "RUN028"},
	"upstream": {"RUN025"},
}

// unit is the deployment that live checks are about: the first that serves.
func unit(m *rule.Model) *rule.Unit {
	if m == nil || len(m.Units) == 0 {
		return nil
	}
	return m.Units[0]
}

// env is the environment of a deployment: what the inputs say, and below it
// the process's.
func (o *Options) env(u *rule.Unit) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if u != nil {
			if v, ok := u.Env.Lookup(name); ok && v.Known {
				return v.Value, true
			}
		}
		if o.Environment != nil {
			return o.Environment(name)
		}
		return "", false
	}
}

// text resolves a setting of the config with that environment.
func (o *Options) text(u *rule.Unit, path string) (value, ref string) {
	if u == nil {
		return "", ""
	}
	v := u.Setting(path)
	if v.State == rule.Known {
		return v.Text, v.Ref
	}
	if v.Ref != "" {
		value, _ = o.env(u)(v.Ref)
	}
	return value, v.Ref
}

// Observe looks at everything that is configured, at the same time.
func Observe(ctx context.Context, m *rule.Model, o Options) *Observation {
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	u := unit(m)
	out := &Observation{Schema: Schema, At: time.Now().UTC()}
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		done int
	)
	type task struct {
		what string
		run  func(ctx context.Context) func()
	}
	var tasks []task
	miss := func(group, reason string, wanted bool) {
		for _, id := range groupRules[group] {
			out.Missed = append(out.Missed, Missed{id, reason, wanted})
		}
	}

	if target, failure := o.database(u); failure != nil {
		out.Postgres = &Postgres{Address: "postgres", Failure: failure}
	} else if target == nil {
		miss("postgres", "no database is configured (--database-url names one)", false)
	} else {
		tasks = append(tasks, task{"Postgres", func(ctx context.Context) func() {
			p, missed := o.postgres(ctx, u, target)
			return func() { out.Postgres, out.Missed = p, append(out.Missed, missed...) }
		}})
	}
	if params, failure := o.redis(u); failure != nil {
		out.Redis = &Redis{Address: "redis", Failure: failure}
	} else if params == nil {
		miss("redis", "no Redis is configured (--redis-url names one)", false)
	} else {
		tasks = append(tasks, task{"Redis", func(ctx context.Context) func() {
			r := o.askRedis(ctx, params)
			return func() { out.Redis = r }
		}})
	}
	if len(o.URLs) == 0 {
		miss("proxy", "no address of the gateway is given (--url)", false)
	}
	out.Proxies = make([]Proxy, len(o.URLs))
	for i, address := range o.URLs {
		tasks = append(tasks, task{"gateway", func(ctx context.Context) func() {
			p := o.proxy(ctx, u, address)
			return func() { out.Proxies[i] = p }
		}})
	}
	ends := o.endpoints(m)
	out.Upstreams = make([]Upstream, len(ends))
	for i, e := range ends {
		tasks = append(tasks, task{"upstream", func(ctx context.Context) func() {
			s := o.upstream(ctx, e)
			return func() { out.Upstreams[i] = s }
		}})
	}

	slots := make(chan struct{}, 16)
	for _, t := range tasks {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			store := t.run(ctx)
			mu.Lock()
			defer mu.Unlock()
			store()
			done++
			if o.Progress != nil {
				o.Progress(done, len(tasks), t.what)
			}
		})
	}
	wg.Wait()
	for _, f := range []struct {
		group string
		bad   bool
	}{{"postgres", out.Postgres != nil && out.Postgres.Failure != nil}, {"redis", out.Redis != nil && out.Redis.Failure != nil}} {
		if f.bad {
			miss(f.group, "it cannot be reached", true)
		}
	}
	for _, p := range out.Proxies {
		if p.Failure != nil {
			miss("proxy", p.Address+" cannot be reached", true)
		}
	}
	slices.SortFunc(out.Missed, func(a, b Missed) int {
		if a.ID != b.ID {
			if a.ID < b.ID {
				return -1
			}
			return 1
		}
		return 0
	})
	return out
}

// database finds the database to look at.
func (o *Options) database(u *rule.Unit) (*pgurl.Target, *Failure) {
	in := pgurl.Inputs{Purpose: pgurl.Doctor, Flag: o.DatabaseURL, FlagName: o.DatabaseFlag, Env: o.env(u)}
	text, ref := o.text(u, "general_settings.database_url")
	in.Config, in.ConfigRef = redact.New(text), ref
	source, err := pgurl.Sources(in)
	if err != nil {
		return nil, &Failure{"settings", redact.Text(err.Error())}
	}
	if source.None() {
		return nil, nil
	}
	target, err := pgurl.Parse(source.URL, pgurl.Options{Purpose: pgurl.Doctor, Version: o.Version, PrismaTLS: u == nil || u.Target != "llmgw"})
	if err != nil {
		return nil, &Failure{"settings", redact.Text(err.Error(), source.URL)}
	}
	return target, nil
}

// redis finds the Redis to look at.
func (o *Options) redis(u *rule.Unit) (*redisconn.Params, *Failure) {
	if !o.RedisURL.IsZero() {
		env := config.NewEnv(true)
		env.Set(config.Var{Name: "REDIS_URL", Value: o.RedisURL.Reveal(), Known: true, Source: "--redis-url"})
		return usable(redisconn.FromCache(nil, env))
	}
	env := config.NewEnv(true)
	if u != nil {
		env = u.Env.Clone()
	}
	if o.Environment != nil {
		for _, name := range redisNames {
			known, has := env.Lookup(name)
			if value, ok := o.Environment(name); ok && (!has || !known.Known) {
				env.Set(config.Var{Name: name, Value: value, Known: true, Source: "environment"})
			}
		}
	}
	var router, cache *config.Node
	if u != nil {
		router, cache = u.Section("router_settings"), u.Node("litellm_settings.cache_params")
	}
	if p, f := usable(redisconn.FromRouter(router, env)); p != nil || f != nil {
		return p, f
	}
	here := u != nil && u.RedisInUse()
	for _, name := range []string{"REDIS_URL", "REDIS_HOST", "REDIS_CLUSTER_NODES", "REDIS_SENTINEL_NODES"} {
		here = here || env.Has(name)
	}
	if !here {
		return nil, nil
	}
	return usable(redisconn.FromCache(cache, env))
}

var redisNames = []string{
	"REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "REDIS_USERNAME", "REDIS_DB", "REDIS_SSL", "REDIS_CLUSTER_NODES",
	"REDIS_SENTINEL_NODES", "REDIS_SERVICE_NAME", "REDIS_SENTINEL_PASSWORD", "REDIS_SSL_CA_CERTS", "REDIS_SSL_CERT_REQS",
}
