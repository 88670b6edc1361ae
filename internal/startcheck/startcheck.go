// Package startcheck holds the closed list of reasons for which `serve` refuses
// to start, as one function that serve, a reload and `config validate` share:
// what is insecure, cannot work, or would be silently wrong about money or
// access. Everything else that is wrong with a configuration is a warning here
// and a matter for `doctor`.
//
// The package looks and reports; it changes nothing and opens nothing. Reasons
// that come before there is a configuration (a file that is missing or no YAML,
// a cycle of includes) are findings of config.Load.
package startcheck

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
)

// Facts is what the list needs besides the configuration: flags, the listener,
// and what this build can do. Variables are read from the tree's environment.
type Facts struct {
	// Host is the address serve listens on; empty means all interfaces.
	Host string
	// Port is the port it listens on, 0 when it does not matter.
	Port int
	// MetricsPort is --prometheus-metrics-port, 0 when not given.
	MetricsPort int
	// CertFile and KeyFile are the TLS pair.
	CertFile, KeyFile string

	InsecureNoAuth         bool // --insecure-no-auth
	AllowMissingGuardrails bool // --allow-missing-guardrails
	UsePrismaDBPush        bool // --use-prisma-db-push
	IAMTokenDBAuth         bool // --iam-token-db-auth
	AzurePostgresqlAuth    bool // --azure-postgresql-auth

	// Guardrails and KeyManagement name the integrations this build has.
	Guardrails, KeyManagement []string
}

// Loopback reports whether a listen address is reachable from this machine
// only.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback()
}

// Check returns every reason not to start, all at once, each of severity Error;
// an empty list means that serve may start.
func Check(tree *config.Tree, facts Facts) []finding.Finding {
	return slices.DeleteFunc(All(tree, facts), func(f finding.Finding) bool { return f.Severity != finding.Error })
}

// All returns those and, of severity Warning, what has to be said at start
// although it is no reason not to: overrides in force, settings that do less than
// they seem to.
func All(tree *config.Tree, facts Facts) []finding.Finding {
	c := &checker{tree: tree, facts: facts, env: tree.Env()}
	c.masterKey()
	c.database()
	c.authentication()
	c.guardrails()
	c.keyManagement()
	c.listeners()
	c.sections()
	c.models()
	c.router()
	c.general()
	c.prometheus()
	c.numbers()
	c.redis()
	c.words()
	c.flags()
	finding.Sort(c.findings)
	return c.findings
}

// Report joins what config.Load, Check and Warnings said into one list in file
// order. Where two speak of one setting, the refusal stands.
func Report(loaded []finding.Finding, checked []finding.Finding) []finding.Finding {
	type key struct{ path, id string }
	refused := map[key]bool{}
	for _, f := range checked {
		if f.Path != "" {
			refused[key{f.Path, f.ID}] = true
		}
	}
	var list []finding.Finding
	for _, f := range loaded {
		if !refused[key{f.Path, f.ID}] || f.Path == "" {
			list = append(list, f)
		}
	}
	list = append(list, checked...)
	finding.Sort(list)
	return list
}

// Refused reports whether any finding forbids to start.
func Refused(findings []finding.Finding) bool {
	return slices.ContainsFunc(findings, func(f finding.Finding) bool { return f.Severity == finding.Error })
}

type checker struct {
	tree     *config.Tree
	facts    Facts
	env      *config.Env
	kinds    map[kind]int // how many findings of each were made
	findings []finding.Finding
}

// most is how many findings of one kind are kept: a hostile file can hold half a
// million bad entries, and nobody reads more. Each kind and severity keeps its
// own, so that none is lost behind another.
const most = 20_000

type kind struct {
	id       string
	severity finding.Severity
}

func (c *checker) add(f finding.Finding) {
	if c.kinds == nil {
		c.kinds = map[kind]int{}
	}
	k := kind{f.ID, f.Severity}
	if c.kinds[k]++; c.kinds[k] <= most {
		c.findings = append(c.findings, f)
	}
}

func (c *checker) refuse(pos finding.Position, path, id, message, fix string) {
	c.add(finding.Finding{ID: id, Severity: finding.Error, Pos: pos, Path: path, Message: message, Fix: fix})
}

func (c *checker) warn(pos finding.Position, path, id, message, fix string) {
	c.add(finding.Finding{ID: id, Severity: finding.Warning, Pos: pos, Path: path, Message: message, Fix: fix})
}

// on reports whether a boolean variable is set to a true word.
func (c *checker) on(name string) bool {
	v, _, ok := litellm.ParseEnvBool(name, c.env.Get(name))
	return ok && v
}

func (c *checker) envPos(name string) finding.Position {
	v, _ := c.env.Lookup(name)
	return v.Pos
}

// override names what allows to start without a good master key, empty if
// nothing does.
func (c *checker) override() string {
	general := c.tree.Section("general_settings")
	set := func(key string) bool {
		v, ok := general.Get(key).Bool()
		return ok && v
	}
	switch {
	case c.facts.InsecureNoAuth:
		return "--insecure-no-auth"
	case c.on("LITELLM_DANGEROUSLY_ALLOW_UNSAFE_PROXY"):
		return "LITELLM_DANGEROUSLY_ALLOW_UNSAFE_PROXY"
	case set("dangerously_allow_unsafe_proxy"):
		return "general_settings.dangerously_allow_unsafe_proxy"
	case c.on("LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"):
		return "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"
	case set("dangerously_permit_weak_or_unset_master_key"):
		return "general_settings.dangerously_permit_weak_or_unset_master_key"
	}
	return ""
}

// ownKey is the last line of every refusal about the master key.
const ownKey = `set your own: export LITELLM_MASTER_KEY="sk-$(openssl rand -hex 24)" and write master_key: os.environ/LITELLM_MASTER_KEY`

// masterKey refuses a gateway that strangers could use.
func (c *checker) masterKey() {
	key := c.tree.General().MasterKey
	node := c.tree.Get("general_settings.master_key")
	id, message, fix := "", "", ownKey
	switch {
	case node != nil && node.RefMissing:
		id = "CFG007"
		message = "general_settings.master_key: environment variable " + node.Ref + " is not set" +
			"; LiteLLM would serve without authentication, and does not fall back to LITELLM_MASTER_KEY"
		if c.env.Has("LITELLM_MASTER_KEY") && node.Ref != "LITELLM_MASTER_KEY" {
			message = "general_settings.master_key: environment variable " + node.Ref +
				" is not set (LITELLM_MASTER_KEY is set; did you mean it?)"
		}
		fix = "set " + node.Ref + ", or correct the name"
	case node != nil && node.Kind == config.Null:
		id = "SEC001"
		message = "general_settings.master_key is null, which means no authentication; LiteLLM does not fall back to LITELLM_MASTER_KEY then"
	case key.Unknown:
		return
	case key.Bad:
		id = "SEC001"
		message = "general_settings.master_key is " + node.Kind.String() + ", text is expected"
	case key.V.IsZero():
		id = "SEC001"
		message = "there is no master key: requests would need no key"
		if key.Set() {
			message = "the master key is empty: requests would need no key"
		}
	case litellm.WellKnownKey(key.V.Reveal()):
		id = "SEC002"
		message = "the master key is a sample from documentation that everybody knows"
		if key.Origin.Kind != config.FromFile && key.Origin.Kind != config.FromInclude {
			message = "the master key in " + key.Origin.Name + " is a sample from documentation that everybody knows"
		}
	default:
		return
	}
	pos := key.Pos
	if node == nil && key.Set() {
		pos = key.Origin.Pos
	}
	if pos.File == "" { // started without a file
		pos = finding.Position{File: "<env>"}
	}
	switch by := c.override(); {
	case by != "":
		c.warn(pos, "general_settings.master_key", id, message+"; "+by+" allows it", fix)
	case Loopback(c.facts.Host):
		c.warn(pos, "general_settings.master_key", id, message+"; this is allowed because only this machine can connect to "+c.facts.Host, fix)
	default:
		c.refuse(pos, "general_settings.master_key", id, message, fix)
	}
}

// schemeText is LiteLLM's sentence about a database that is not Postgres; people
// search for it.
func schemeText(name, scheme string) string {
	return name + " uses unsupported scheme '" + scheme + "'. LiteLLM's database features (virtual keys, store_model_in_db, spend tracking)" +
		" require PostgreSQL; use a 'postgresql://' connection string. SQLite and other engines are not supported." +
		" See https://docs.litellm.ai/docs/proxy/virtual_keys"
}

// badScheme returns the scheme of a database URL if it is not one of Postgres.
// A text without a scheme may hold a password, so nothing of it is returned.
func badScheme(url string) (scheme string, bad bool) {
	scheme, _, ok := strings.Cut(url, "://")
	scheme = strings.TrimSpace(strings.ToLower(scheme))
	if !ok || strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789+.-") != "" {
		return "<missing scheme>", true
	}
	return scheme, scheme != "postgresql" && scheme != "postgres"
}

func (c *checker) database() {
	const path = "general_settings.database_url"
	if node := c.tree.Get(path); node != nil && node.RefMissing {
		c.refuse(node.Pos, path, "CFG007", path+": environment variable "+node.Ref+" is not set",
			"set "+node.Ref+", or delete the key to run without a database")
	}
	url := c.tree.General().DatabaseURL
	name, pos := path, url.Pos
	if url.Origin.Kind == config.FromVariable {
		name, pos = url.Origin.Name, url.Origin.Pos
	}
	if url.Bad {
		c.refuse(pos, path, "CFG006", path+" is "+url.Node.Kind.String()+", text is expected", "write a postgresql:// URL")
	} else if !url.Unknown && !url.V.IsZero() {
		if scheme, bad := badScheme(url.V.Reveal()); bad {
			c.refuse(pos, path, "DB009", schemeText(name, scheme), "write postgresql://user:password@host:5432/database")
		}
	}
	if direct, ok := c.env.Lookup("DIRECT_URL"); ok && direct.Known && direct.Value != "" {
		if scheme, bad := badScheme(direct.Value); bad {
			c.refuse(direct.Pos, "", "DB009", schemeText("DIRECT_URL", scheme), "write postgresql://user:password@host:5432/database")
		}
	}
	if salt, ok := c.env.Lookup("LITELLM_SALT_KEY"); ok && salt.Known && salt.Value == "" && c.tree.UsesDatabase() {
		c.refuse(salt.Pos, "", "SEC007", "LITELLM_SALT_KEY is set but empty, and a database is in use: credentials would be stored under an empty key",
			"give it a random value and never change it, or unset it to use the master key")
	}

	login := finding.Position{File: "<args>", Line: 1}
	for _, name := range []string{"IAM_TOKEN_DB_AUTH", "AZURE_POSTGRESQL_AUTH"} {
		if c.on(name) {
			login = c.envPos(name)
		}
	}
	iam := c.facts.IAMTokenDBAuth || c.on("IAM_TOKEN_DB_AUTH")
	entra := c.facts.AzurePostgresqlAuth || c.on("AZURE_POSTGRESQL_AUTH")
	switch {
	case iam && entra:
		c.refuse(login, "", "", "--iam-token-db-auth and --azure-postgresql-auth are both on; a database has one way to log in", "keep one of the two")
	case iam:
		c.refuse(login, "", "CFG022", "--iam-token-db-auth (IAM_TOKEN_DB_AUTH) is not supported by this build: it would log in without a token", "use a password in DATABASE_URL")
	case entra:
		c.refuse(login, "", "CFG022", "--azure-postgresql-auth (AZURE_POSTGRESQL_AUTH) is not supported by this build: it would log in without a token", "use a password in DATABASE_URL")
	}
	if c.facts.UsePrismaDBPush && c.env.Get("LITELLM_MODE") == "PRODUCTION" {
		c.refuse(finding.Position{File: "<args>", Line: 1}, "", "MIG005", "--use-prisma-db-push can drop columns and their data, and LITELLM_MODE is PRODUCTION",
			"delete the flag; migrations are applied by llmgw migrate deploy")
	}
}

// listeners looks at the sockets and TLS. Whether a port is free is seen when it
// is opened.
func (c *checker) listeners() {
	args := finding.Position{File: "<args>", Line: 1}
	if (c.facts.CertFile == "") != (c.facts.KeyFile == "") {
		c.refuse(args, "", "", "Both --ssl_certfile_path and --ssl_keyfile_path are required for SSL.",
			"give both, or neither to serve without TLS")
	}
	if c.facts.MetricsPort != 0 && c.facts.MetricsPort == c.facts.Port {
		c.refuse(args, "", "", "--prometheus_metrics_port must differ from --port", "give it another port")
	}
}
