package redisconn

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
)

// arguments are the names that count, in the configuration as they stand here
// and in the environment as REDIS_ and the name in capitals.
var arguments = []string{
	"url", "host", "port", "username", "password", "db",
	"ssl", "ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_check_hostname",
	"socket_timeout", "socket_connect_timeout", "max_connections", "client_name",
	"startup_nodes", "sentinel_nodes", "sentinel_password", "service_name",
	"gcp_service_account", "azure_redis_ad_token", "aws_iam_auth",
}

// variable is the name of an argument in the environment.
func variable(argument string) string {
	switch argument {
	case "startup_nodes":
		return "REDIS_CLUSTER_NODES"
	default:
		return "REDIS_" + strings.ToUpper(argument)
	}
}

// argument is one value with the place it came from.
type argument struct {
	node   *config.Node // written in a file, else nil
	text   string       // set in the environment
	origin config.Origin
	where  finding.Position
	file   bool
	known  bool
}

func (a *argument) scalar() string {
	if a == nil {
		return ""
	}
	if a.file {
		s, _ := a.node.Scalar()
		return strings.TrimSpace(s)
	}
	return strings.TrimSpace(a.text)
}

// resolver merges sources and collects what is to be said about them.
type resolver struct {
	values   map[string]*argument
	params   Params
	findings []finding.Finding
	section  finding.Position
	failed   bool
}

// FromCache resolves the Redis of litellm_settings.cache_params, which may be
// nil: the environment alone is enough. Findings of severity error mean that
// the parameters cannot be used; their mode is then None.
func FromCache(params *config.Node, env *config.Env) (*Params, []finding.Finding) {
	r := newResolver(params)
	for _, n := range params.Items() {
		name := n.Key
		if name == "redis_startup_nodes" {
			name = "startup_nodes"
		}
		r.add(name, n)
	}
	return r.resolve(env)
}

// FromRouter resolves the Redis of router_settings: redis_url, or redis_host
// and redis_port together, with cache_kwargs on top. Without those there is
// none, whatever the environment says.
func FromRouter(router *config.Node, env *config.Env) (*Params, []finding.Finding) {
	r := newResolver(router)
	for _, name := range []string{"url", "host", "port", "password", "db"} {
		r.add(name, router.Get("redis_"+name))
	}
	host, port := r.values["host"], r.values["port"]
	if r.values["url"] == nil && (host == nil || port == nil) {
		switch {
		case host != nil:
			r.warn(host.where, "router_settings.redis_host is set without redis_port: the router keeps its counters in memory, each instance its own", "add redis_port")
		case port != nil:
			r.warn(port.where, "router_settings.redis_port is set without redis_host: the router keeps its counters in memory, each instance its own", "add redis_host")
		}
		return &Params{}, r.findings
	}
	for _, n := range router.Get("cache_kwargs").Items() {
		r.add(n.Key, n)
	}
	return r.resolve(env)
}

func newResolver(section *config.Node) *resolver {
	r := &resolver{values: map[string]*argument{}, section: section.Where()}
	r.params.Origins = map[string]config.Origin{}
	return r
}

// add takes a value from the configuration. Null is absent.
func (r *resolver) add(name string, n *config.Node) {
	if n.IsNull() {
		return
	}
	if s, ok := n.Scalar(); ok && strings.TrimSpace(s) == "" {
		return
	}
	r.values[name] = &argument{node: n, origin: n.Origin, where: n.Where(), file: true, known: true}
}

// fromEnv takes what the configuration leaves open.
func (r *resolver) fromEnv(env *config.Env) {
	for _, name := range arguments {
		v, ok := env.Lookup(variable(name))
		if !ok || v.Known && strings.TrimSpace(v.Value) == "" {
			continue
		}
		origin := config.Origin{Kind: config.FromVariable, Name: v.Name, Via: v.Source, Pos: v.Pos}
		if old := r.values[name]; old != nil {
			continue
		}
		// In LiteLLM this variable loses against a default in the code, except
		// where sentinels are asked.
		if name == "socket_timeout" && r.values["sentinel_nodes"] == nil && !env.Has("REDIS_SENTINEL_NODES") {
			continue
		}
		if name == "url" && r.namesTarget() {
			// Older releases connect to the variable's server instead.
			r.warn(v.Pos, "REDIS_URL is set beside a Redis server in the configuration: the configuration counts, while older releases of LiteLLM connect to REDIS_URL",
				"remove REDIS_URL, or the server from the configuration")
			continue
		}
		r.values[name] = &argument{text: v.Value, origin: origin, where: v.Pos, known: v.Known}
	}
}

// namesTarget reports whether the configuration names a server.
func (r *resolver) namesTarget() bool {
	for _, name := range []string{"url", "host", "startup_nodes", "sentinel_nodes"} {
		if a := r.values[name]; a != nil && a.file {
			return true
		}
	}
	return false
}

func (r *resolver) resolve(env *config.Env) (*Params, []finding.Finding) {
	r.fromEnv(env)
	p := &r.params
	r.logins()
	for _, name := range arguments {
		if a := r.values[name]; a != nil && !a.known {
			p.Unknown = append(p.Unknown, name)
		}
	}
	switch {
	case r.values["startup_nodes"] != nil:
		r.cluster()
	case r.values["url"] != nil:
		r.url()
	case r.values["sentinel_nodes"] != nil:
		r.sentinel()
	case r.values["host"] != nil:
		r.single()
	default:
		r.fail(r.section, "Either 'host' or 'url' must be specified for redis.", "set host and port, or REDIS_HOST and REDIS_PORT")
	}
	r.common(env)
	if r.failed {
		return &Params{}, r.findings
	}
	return p, r.findings
}

// logins refuses what cannot be done, instead of connecting without a login.
func (r *resolver) logins() {
	for name, what := range map[string]string{
		"gcp_service_account":  "Google Cloud",
		"azure_redis_ad_token": "Microsoft Entra",
		"aws_iam_auth":         "AWS IAM",
	} {
		a := r.values[name]
		if a == nil || a.known && !truth(a.scalar()) && name != "gcp_service_account" {
			continue
		}
		r.fail(a.where, fmt.Sprintf("%s asks for a Redis login with %s, which is not supported", name, what), "use a password")
	}
}

func (r *resolver) single() {
	r.params.Mode = Single
	r.params.Addresses = []string{join(r.text("host"), r.port())}
	r.db()
	r.login()
	r.tls(truth(r.text("ssl")))
}

func (r *resolver) port() int {
	a := r.values["port"]
	if a == nil || !a.known {
		return DefaultPort
	}
	text := r.text("port")
	if strings.HasPrefix(text, "tcp://") {
		r.fail(a.where, "REDIS_PORT is an address (tcp://…), not a port: Kubernetes sets it for a Service called redis", "set enableServiceLinks: false on the pod, or write the port into the configuration")
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 65535 {
		r.fail(a.where, "the Redis port is not a number from 1 to 65535", "")
		return 0
	}
	return n
}

// node is one element of startup_nodes.
type node struct {
	Host string          `json:"host"`
	Port json.RawMessage `json:"port"`
}

func (r *resolver) cluster() {
	p := &r.params
	p.Mode = Cluster
	a := r.use("startup_nodes")
	if a.known {
		var nodes []node
		if !r.list(a, &nodes, `a list such as [{"host": "redis-1", "port": 6379}]`) {
			return
		}
		for _, n := range nodes {
			port, err := strconv.Atoi(strings.Trim(string(n.Port), `"`))
			if len(n.Port) == 0 {
				port, err = DefaultPort, nil
			}
			if n.Host == "" || err != nil || port < 1 || port > 65535 {
				r.fail(a.where, "each node of a Redis cluster needs a host and a port", "")
				return
			}
			p.Addresses = append(p.Addresses, join(n.Host, port))
		}
		if len(p.Addresses) == 0 {
			r.fail(a.where, "the list of nodes of the Redis cluster is empty", "name at least one node, or remove it")
			return
		}
	}
	for _, name := range []string{"url", "host", "sentinel_nodes"} {
		if o := r.values[name]; o != nil && o.file {
			r.warn(o.where, fmt.Sprintf("%s is ignored: nodes of a Redis cluster are set as well, and they win", name), "remove one of the two")
		}
	}
	if n, err := strconv.Atoi(r.values["db"].scalar()); err == nil && n != 0 {
		r.warn(r.values["db"].where, "db is ignored: a Redis cluster has database 0 only", "remove it")
	}
	r.login()
	r.tls(truth(r.text("ssl")))
}

func (r *resolver) sentinel() {
	p := &r.params
	p.Mode = Sentinel
	a := r.use("sentinel_nodes")
	if p.Service = r.text("service_name"); p.Service == "" && (r.values["service_name"] == nil || r.values["service_name"].known) {
		r.fail(a.where, "Both 'sentinel_nodes' and 'service_name' are required for Redis Sentinel.", "set service_name to the name that the sentinels use")
		return
	}
	if a.known {
		var nodes [][]json.RawMessage
		if !r.list(a, &nodes, `a list such as [["sentinel-1", 26379]]`) {
			return
		}
		for _, n := range nodes {
			var host string
			if len(n) != 2 || json.Unmarshal(n[0], &host) != nil || host == "" {
				r.fail(a.where, "each sentinel must be a pair of host and port", "")
				return
			}
			port, err := strconv.Atoi(strings.Trim(string(n[1]), `"`))
			if err != nil || port < 1 || port > 65535 {
				r.fail(a.where, "each sentinel must be a pair of host and port", "")
				return
			}
			p.Addresses = append(p.Addresses, join(host, port))
		}
		if len(p.Addresses) == 0 {
			r.fail(a.where, "the list of sentinels is empty", "name at least one, or remove it")
			return
		}
	}
	p.SentinelPassword = r.secret("sentinel_password")
	r.db()
	r.login()
	r.tls(truth(r.text("ssl")))
}

// list reads a list that is written as such or as JSON text.
func (r *resolver) list(a *argument, into any, shape string) bool {
	text := a.scalar()
	if a.file && !a.node.IsScalar() {
		b, err := json.Marshal(plain(a.node))
		if err != nil {
			r.fail(a.where, "the list of Redis servers cannot be read", "")
			return false
		}
		text = string(b)
	}
	if err := json.Unmarshal([]byte(text), into); err != nil {
		what := a.origin.Name
		if what == "" {
			what = "the list of Redis servers"
		}
		r.fail(a.where, fmt.Sprintf("%s must be %s", what, shape), "")
		return false
	}
	return true
}

// plain turns a node into what encoding/json writes.
func plain(n *config.Node) any {
	switch n.Kind {
	case config.List:
		list := []any{}
		for _, c := range n.Items() {
			list = append(list, plain(c))
		}
		return list
	case config.Map:
		m := map[string]any{}
		for _, c := range n.Items() {
			m[c.Key] = plain(c)
		}
		return m
	}
	if i, ok := n.Int(); ok && n.Kind == config.Int {
		return i
	}
	s, _ := n.Scalar()
	return s
}

func (r *resolver) db() {
	a := r.values["db"]
	if a == nil || !a.known {
		return
	}
	n, err := strconv.Atoi(r.text("db"))
	if err != nil || n < 0 {
		r.fail(a.where, "the Redis database (db) is not a number", "")
		return
	}
	r.params.DB = n
}

func (r *resolver) login() {
	r.params.Username = r.text("username")
	r.params.Password = r.secret("password")
}

// tls notes how TLS is done when it is on.
func (r *resolver) tls(on bool) {
	if !on {
		return
	}
	t := &TLS{CAFile: r.text("ssl_ca_certs"), CertFile: r.text("ssl_certfile"), KeyFile: r.text("ssl_keyfile")}
	if t.CertFile != "" && t.KeyFile == "" {
		t.KeyFile = t.CertFile
	}
	switch a := r.values["ssl_cert_reqs"]; strings.ToLower(r.text("ssl_cert_reqs")) {
	case "none", "cert_none":
		t.SkipVerify = true
	case "", "required", "optional", "cert_required", "cert_optional":
	default:
		r.fail(a.where, "ssl_cert_reqs must be required, optional or none", "")
	}
	if text := r.text("ssl_check_hostname"); text != "" && !truth(text) {
		t.SkipHostname = true
	}
	r.params.TLS = t
}

// common reads what does not depend on the mode.
func (r *resolver) common(env *config.Env) {
	p := &r.params
	if p.Mode == None {
		return
	}
	set := func(to *time.Duration, name string, def time.Duration) {
		if *to == 0 {
			*to = r.seconds(name, def)
		}
	}
	set(&p.SocketTimeout, "socket_timeout", DefaultSocketTimeout)
	set(&p.ConnectTimeout, "socket_connect_timeout", p.SocketTimeout)
	p.PoolTimeout = DefaultPoolTimeout
	if v, ok := env.Lookup("REDIS_CONNECTION_POOL_TIMEOUT"); ok && v.Known && v.Value != "" {
		n, err := strconv.ParseFloat(v.Value, 64)
		if err != nil || n <= 0 || n > 3600 {
			r.fail(v.Pos, "REDIS_CONNECTION_POOL_TIMEOUT is not a number of seconds", "")
		} else {
			p.PoolTimeout = time.Duration(n * float64(time.Second))
		}
	}
	if p.MaxConnections == 0 {
		p.MaxConnections = DefaultMaxConnections
		if a := r.values["max_connections"]; a != nil && a.known {
			n, err := strconv.Atoi(r.text("max_connections"))
			if err != nil || n < 1 || n > 1<<20 {
				r.fail(a.where, "max_connections is not a number of Redis connections", "")
			} else {
				p.MaxConnections = n
			}
		}
	}
	if p.ClientName == "" {
		p.ClientName = r.text("client_name")
	}
}

func (r *resolver) seconds(name string, def time.Duration) time.Duration {
	a := r.values[name]
	if a == nil || !a.known {
		return def
	}
	n, err := strconv.ParseFloat(r.text(name), 64)
	if err != nil || !(n > 0 && n < 1e6) {
		r.fail(a.where, name+" is not a number of seconds above 0", "")
		return def
	}
	return time.Duration(n * float64(time.Second))
}

// use returns a value and notes that it counts.
func (r *resolver) use(name string) *argument {
	a := r.values[name]
	if a != nil {
		r.params.Origins[name] = a.origin
	}
	return a
}

func (r *resolver) text(name string) string { return r.use(name).scalar() }

func (r *resolver) secret(name string) redact.Secret { return redact.New(r.use(name).scalar()) }

func (r *resolver) warn(at finding.Position, message, fix string) {
	r.findings = append(r.findings, finding.Finding{Severity: finding.Warning, Pos: at, Message: message, Fix: fix})
}

func (r *resolver) fail(at finding.Position, message, fix string) {
	r.failed = true
	r.findings = append(r.findings, finding.Finding{Severity: finding.Error, Pos: at, Message: message, Fix: fix})
}

// truth reads a boolean as the emulated release does for Redis.
func truth(text string) bool {
	switch strings.ToLower(text) {
	case "true", "1", "yes":
		return true
	}
	return false
}
