package cmd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/llmgw/llmgw/internal/catalog"
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/litellm"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/startcheck"
	"github.com/llmgw/llmgw/pkg/proxy"
	"github.com/llmgw/llmgw/pkg/proxy/supervise"
)

const (
	defaultHost = "0.0.0.0"
	defaultPort = 4000
)

// serveFlags are the flags of serve. Those of LiteLLM that have no field here
// are declared all the same, with their arity: otherwise their values would be
// read as commands.
type serveFlags struct {
	set *pflag.FlagSet // to see which were given

	config, envFile, host, store   string
	certFile, keyFile              string
	port, workers, metricsPort     int
	profilePort                    int
	limitConcurrency               int
	maxRequests, maxRequestsJitter int
	keepAlive, shutdown            time.Duration
	debug, detailedDebug           bool
	validateConfig, version        bool
	insecureNoAuth, noGuardrails   bool
	strict, strictEnv              bool
	dbPush, iamAuth, entraAuth     bool
	skipStartup, migrate, waitHead bool
	databaseURL, databaseURLFile   string
	providers                      string
	connectWait                    time.Duration
	health, test, reload           bool
	apiKey, apiKeyFile             string
	one                            modelFlags
}

func (f *serveFlags) declare(fs *pflag.FlagSet) {
	fs.StringVarP(&f.config, "config", "c", "", "LiteLLM configuration; - reads standard input (CONFIG_FILE_PATH wins)")
	fs.StringVar(&f.envFile, "env-file", "", "variables for os.environ/ references; set variables stay")
	fs.StringVar(&f.host, "host", defaultHost, "address to listen on (HOST); 127.0.0.1 without a configuration")
	fs.IntVar(&f.port, "port", defaultPort, "port to listen on (PORT)")
	fs.IntVar(&f.workers, "num-workers", 1, "accepted; one process uses all CPUs (NUM_WORKERS)")
	durationVar(fs, &f.keepAlive, "keepalive-timeout", 75*time.Second, "how long idle client connections are kept (KEEPALIVE_TIMEOUT)")
	fs.IntVar(&f.limitConcurrency, "limit-concurrency", 0, "answer 503 above this many requests in flight (LIMIT_CONCURRENCY)")
	fs.IntVar(&f.maxRequests, "max-requests-before-restart", 0, "replace the worker process after so many requests (MAX_REQUESTS_BEFORE_RESTART)")
	fs.IntVar(&f.maxRequestsJitter, "max-requests-before-restart-jitter", 0, "up to so many requests more, by chance (MAX_REQUESTS_BEFORE_RESTART_JITTER)")
	fs.StringVar(&f.certFile, "ssl-certfile-path", "", "TLS certificate, with --ssl-keyfile-path (SSL_CERTFILE_PATH)")
	fs.StringVar(&f.keyFile, "ssl-keyfile-path", "", "TLS key, with --ssl-certfile-path (SSL_KEYFILE_PATH)")
	durationVar(fs, &f.shutdown, "shutdown-timeout", 0, "drain deadline (GRACEFUL_SHUTDOWN_TIMEOUT); the request timeout unless set")
	fs.BoolVar(&f.debug, "debug", false, "log level INFO (DEBUG)")
	fs.BoolVar(&f.detailedDebug, "detailed-debug", false, "log level DEBUG (DETAILED_DEBUG)")
	fs.BoolVar(&f.validateConfig, "validate-config", false, "check the configuration and exit")
	fs.BoolVarP(&f.version, "version", "v", false, "print the version and the LiteLLM release it answers as")
	fs.BoolVar(&f.insecureNoAuth, "insecure-no-auth", false, "start without a master key, or with a well-known one")
	fs.BoolVar(&f.strict, "strict", false, "refuse to start when a rule of doctor finds an error")
	fs.BoolVar(&f.strictEnv, "strict-env", false, "refuse to start when an os.environ/ reference names a variable that is not set")
	fs.StringVar(&f.providers, "providers", "", "JSON file of further vendors that speak OpenAI's format, in the shape of LiteLLM's registry")
	fs.BoolVar(&f.noGuardrails, "allow-missing-guardrails", false, "start although a default-on guardrail is not supported")
	fs.StringVar(&f.store, "store", "auto", "where state is kept: auto, sqlite[:PATH] or none")
	fs.IntVar(&f.metricsPort, "prometheus-metrics-port", 0, "port for /metrics alone, without a key (PROMETHEUS_METRICS_PORT)")
	fs.IntVar(&f.profilePort, "profile-port", 0, "port on 127.0.0.1 for Go profiles under /debug/pprof/; off unless set")
	fs.BoolVar(&f.dbPush, "use-prisma-db-push", false, "refused in production; otherwise as --migrate")
	fs.BoolVar(&f.skipStartup, "skip-server-startup", false, "set the database up, as --migrate does, and exit")
	fs.BoolVar(&f.migrate, "migrate", false, "apply pending migrations before listening")
	fs.BoolVar(&f.waitHead, "require-schema", false, "ready only when all migrations are applied")
	fs.BoolVar(&f.iamAuth, "iam-token-db-auth", false, "log in to the database with an IAM token; not in this build yet")
	fs.BoolVar(&f.entraAuth, "azure-postgresql-auth", false, "log in to the database with an Entra token; not in this build yet")
	fs.StringVar(&f.databaseURL, "database-url", "", "PostgreSQL URL (DATABASE_URL); not used by this build yet")
	durationVar(fs, &f.connectWait, "connect-wait", time.Minute, "how long a database that does not answer is retried before migrating; 0 is once")
	fs.StringVar(&f.databaseURLFile, "database-url-file", "", "file that holds the PostgreSQL URL")
	fs.BoolVar(&f.reload, "reload", false, "reload the configuration when a file of it changes, as on SIGHUP")
	fs.BoolVar(&f.health, "health", false, "print /health of the gateway that runs at --host and --port, and exit")
	fs.BoolVar(&f.test, "test", false, "send a chat to the gateway that runs at --host and --port, print the answer, and exit")
	fs.StringVar(&f.apiKey, "api-key", "", "key for --health and --test (better: --api-key-file, LITELLM_API_KEY or LITELLM_MASTER_KEY)")
	fs.StringVar(&f.apiKeyFile, "api-key-file", "", "file that holds the key")
	fs.StringVarP(&f.one.model, "model", "m", "", "serve this one model, without a configuration")
	fs.StringVar(&f.one.alias, "alias", "", "the name that clients use for --model")
	fs.StringVar(&f.one.apiBase, "api-base", "", "the upstream of --model")
	fs.StringVar(&f.one.apiVersion, "api-version", "", "Azure's API version, for --model")
	fs.StringVar(&f.one.headers, "headers", "", "headers for the upstream of --model, a JSON object")
	fs.StringVar(&f.one.temperature, "temperature", "", "temperature of every request, with --model")
	fs.StringVar(&f.one.maxTokens, "max-tokens", "", "longest answer of every request, with --model")
	fs.StringVar(&f.one.timeout, "request-timeout", "", "seconds that a request may take, with --model")
	for _, l := range litellm.Flags() {
		name := strings.ReplaceAll(l.Name, "_", "-")
		if fs.Lookup(name) != nil {
			continue
		}
		usage := l.Doc + " (accepted; see below)"
		if l.Switch {
			fs.BoolP(name, l.Short, false, usage)
		} else {
			fs.StringP(name, l.Short, "", usage)
		}
		// They are for LiteLLM's containers, not for whoever reads the help.
		_ = fs.MarkHidden(name)
	}
	// LiteLLM's releases differ in whether it takes a value.
	if t := fs.Lookup("telemetry"); t != nil {
		t.NoOptDefVal = "True"
	}
}

// unbuilt are flags that ask for something to be done, which this build cannot
// do: starting without it would be wrong.
var unbuilt = map[string]string{
	"iam-token-db-auth":     "give a URL with a password",
	"azure-postgresql-auth": "give a URL with a password",
}

func (f *serveFlags) refuseUnbuilt() (err error) {
	f.set.Visit(func(fl *pflag.Flag) {
		instead, ok := unbuilt[fl.Name]
		if ok && err == nil && fl.Value.String() != "false" {
			err = usagef("--%s is not built into this release of serve yet; %s", fl.Name, instead)
		}
	})
	return err
}

// needless says why flags of LiteLLM have no effect.
var needless = map[string]string{
	"run-gunicorn":                   "llmgw is the server itself",
	"run-hypercorn":                  "llmgw is the server itself, and speaks HTTP/2 with TLS",
	"run-granian":                    "llmgw is the server itself",
	"granian-threads":                "one process uses all CPUs",
	"timeout-worker-healthcheck":     "there are no workers that could hang",
	"log-config":                     "LITELLM_LOG and JSON_LOGS say what is logged",
	"ciphers":                        "TLS 1.2 and 1.3 are spoken with Go's own choice of ciphers",
	"use-legacy-migration-resolver":  "llmgw migrate has one way to resolve",
	"use-v2-migration-resolver":      "llmgw migrate has one way to resolve",
	"enforce-prisma-migration-check": "readiness always looks at the schema",
	"telemetry":                      "llmgw sends none",
	"max-budget":                     "budgets need a database",
	"setup":                          "llmgw config example prints a configuration to begin with",
	"drop-params":                    "upstreams of OpenAI's format judge parameters themselves",
	"add-function-to-prompt":         "it changes prompts for models of the past",
	"add-key":                        "it wrote to a file of the Python client",
	"save":                           "it wrote to a file of the Python client",
	"use-queue":                      "it is of a queue that LiteLLM no longer has",
	"test-async":                     "it is of a queue that LiteLLM no longer has",
	"num-requests":                   "it is of a queue that LiteLLM no longer has; llmgw bench asks many times",
	"local":                          "it is for LiteLLM's own developers",
}

// sayWithoutEffect names the given flags that change nothing here, and why.
func (f *serveFlags) sayWithoutEffect(a *app) {
	if f.workers > 1 {
		a.infof("--num-workers %d has no effect: one process uses all CPUs", f.workers)
	}
	f.set.Visit(func(fl *pflag.Flag) {
		switch fl.Name {
		case "num-workers":
			return // below: it may come from a variable
		case "max-requests-before-restart", "max-requests-before-restart-jitter":
			if !supervise.Supported {
				a.infof("--%s has no effect on this system; memory does not grow with the number of requests", fl.Name)
			}
			return
		}
		if fl.Hidden {
			why, ok := needless[fl.Name]
			if !ok {
				why = "it is accepted for LiteLLM's sake"
			}
			a.infof("--%s has no effect: %s", fl.Name, why)
		}
		if fl.Value.Type() == "string" && unexpanded(fl.Value.String()) != "" {
			a.warnf("--%s %q was passed literally: no shell has expanded it", fl.Name, fl.Value.String())
		}
	})
}

// settings are flags, environment and configuration as one.
type settings struct {
	facts startcheck.Facts
	zero  bool
	store string // "none" or a path
	// storeAsked says that the path was given: then it must work.
	storeAsked bool
	// masterKey and wildcards are what a start without a configuration shows.
	masterKey redact.Secret
	wildcards []string
	shutdown  time.Duration
	health    int // port of the probes' own listener
	profile   int // port for profiles
	rootPath  string
	strictEnv bool
	log       logSettings
	remarks   []string
	// schemaMissing names what the database lacks; nil without a database.
	schemaMissing func() string
	keep          time.Duration
	limit         int
	// recycle is the number of requests after which a worker is replaced.
	recycle, recycleJitter int
}

// settings joins the flags with the environment: flag, variable, default.
func (f *serveFlags) settings(tree *config.Tree) (*settings, error) {
	env := tree.Env()
	s := &settings{keep: f.keepAlive, shutdown: f.shutdown, limit: f.limitConcurrency, strictEnv: f.strictEnv}
	var err error
	text := func(flag, variable, value string) string {
		if !f.set.Changed(flag) {
			if v := strings.TrimSpace(env.Get(variable)); v != "" {
				return v
			}
		}
		return value
	}
	whole := func(flag, variable string, value, low, high int) int {
		origin := "--" + flag
		if !f.set.Changed(flag) {
			if v := strings.TrimSpace(env.Get(variable)); v != "" {
				origin = variable
				n, convErr := strconv.Atoi(v)
				if strings.HasPrefix(v, "tcp://") && err == nil {
					err = usagef("%s is %q: Kubernetes sets it for a Service of that name (service links); set enableServiceLinks: false on the pod, or give --%s", variable, v, flag)
				}
				if convErr != nil && err == nil {
					err = usagef("%s is %q, expected a whole number%s", variable, v, unexpanded(v))
				}
				value = n
			}
		}
		if (value < low || value > high) && err == nil {
			err = usagef("%s %d: expected a number from %d to %d", origin, value, low, high)
		}
		return value
	}
	span := func(flag, variable string, value time.Duration) time.Duration {
		if !f.set.Changed(flag) {
			if v := strings.TrimSpace(env.Get(variable)); v != "" {
				d, convErr := parseDuration(v)
				if convErr != nil && err == nil {
					err = usagef("%s: %w", variable, convErr)
				}
				return d
			}
		}
		return value
	}
	on := func(flag, variable string, value bool) bool {
		if f.set.Changed(flag) {
			return value
		}
		word := env.Get(variable)
		v, _, ok := litellm.ParseEnvBool(variable, word) // startcheck speaks of odd words
		return ok && v
	}
	s.zero = f.isZero(env)
	host := f.host
	if (s.zero || f.one.model != "" && env.Get("LITELLM_MASTER_KEY") == "") && !f.set.Changed("host") {
		host = "127.0.0.1"
	}
	s.facts = startcheck.Facts{
		Host:                   text("host", "HOST", host),
		Port:                   whole("port", "PORT", f.port, 0, 65535),
		MetricsPort:            whole("prometheus-metrics-port", "PROMETHEUS_METRICS_PORT", f.metricsPort, 0, 65535),
		CertFile:               text("ssl-certfile-path", "SSL_CERTFILE_PATH", f.certFile),
		KeyFile:                text("ssl-keyfile-path", "SSL_KEYFILE_PATH", f.keyFile),
		InsecureNoAuth:         f.insecureNoAuth,
		AllowMissingGuardrails: f.noGuardrails,
		UsePrismaDBPush:        f.dbPush,
		IAMTokenDBAuth:         on("iam-token-db-auth", "IAM_TOKEN_DB_AUTH", f.iamAuth),
		AzurePostgresqlAuth:    on("azure-postgresql-auth", "AZURE_POSTGRESQL_AUTH", f.entraAuth),
	}
	s.profile = whole("profile-port", "", f.profilePort, 0, 65535)
	workers := "NUM_WORKERS"
	if env.Get(workers) == "" {
		workers = "DEFAULT_NUM_WORKERS_LITELLM_PROXY"
	}
	f.workers = whole("num-workers", workers, f.workers, 0, 1<<16)
	s.keep = span("keepalive-timeout", "KEEPALIVE_TIMEOUT", s.keep)
	s.shutdown = span("shutdown-timeout", "GRACEFUL_SHUTDOWN_TIMEOUT", s.shutdown)
	s.limit = whole("limit-concurrency", "LIMIT_CONCURRENCY", s.limit, 0, 1<<30)
	s.recycle = whole("max-requests-before-restart", "MAX_REQUESTS_BEFORE_RESTART", f.maxRequests, 0, 1<<40)
	s.recycleJitter = whole("max-requests-before-restart-jitter", "MAX_REQUESTS_BEFORE_RESTART_JITTER", f.maxRequestsJitter, 0, 1<<40)
	s.rootPath = env.Get("SERVER_ROOT_PATH")
	if env.Get("SEPARATE_HEALTH_APP") == "1" {
		s.health = whole("", "SEPARATE_HEALTH_PORT", 4001, 1, 65535)
		if s.health == s.facts.Port && err == nil {
			err = usagef("SEPARATE_HEALTH_PORT and the port of the gateway are both %d; give the probes another", s.health)
		}
	}
	s.log = readLogSettings(tree, on("debug", "DEBUG", f.debug), on("detailed-debug", "DETAILED_DEBUG", f.detailedDebug), &s.remarks)
	if err == nil {
		s.storeAsked = f.set.Changed("store")
		s.store, err = f.storePath(s.zero, env)
	}
	return s, err
}

// isZero reports whether there is nothing to go by: no configuration, no
// database, no key.
func (f *serveFlags) isZero(env *config.Env) bool {
	if f.config != "" || f.one.model != "" || f.databaseURL != "" || f.databaseURLFile != "" {
		return false
	}
	for _, name := range []string{"CONFIG_FILE_PATH", "DATABASE_URL", "DATABASE_HOST", "LITELLM_MASTER_KEY", "STORE_MODEL_IN_DB"} {
		if env.Get(name) != "" {
			return false
		}
	}
	return true
}

func isBoolWord(word string) bool {
	_, _, ok := litellm.ParseEnvBool("", word)
	return ok
}

// storePath decides where state is kept: "none", or a file.
func (f *serveFlags) storePath(zero bool, env *config.Env) (string, error) {
	kind, path, _ := strings.Cut(f.store, ":")
	switch kind {
	case "auto":
		if !zero {
			return "none", nil
		}
		path, err := proxy.StatePath(env.Get)
		if err != nil {
			return "none", nil // kept in memory
		}
		return path, nil
	case "none":
		return "none", nil
	case "sqlite":
		if path != "" {
			return path, nil
		}
		return proxy.StatePath(env.Get)
	case "postgres":
		return "", usagef("--store postgres is not built into this release of serve yet; use sqlite or none")
	}
	return "", usagef("--store %s: use auto, sqlite, sqlite:PATH or none", f.store)
}

// readEnvFile adds the variables of --env-file that are not set.
func readEnvFile(env *config.Env, path string) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return usagef("--env-file: %w", fileError(path, err))
	}
	vars, findings := config.ParseDotEnv(path, data)
	for _, f := range errorsOf(findings) {
		return usagef("--env-file: %s: %s", f.Pos, f.Message)
	}
	for _, v := range vars {
		if !env.Has(v.Name) {
			env.Set(v)
		}
	}
	return nil
}

// readProviders makes the vendors of --providers known, whoever asks for them
// afterwards.
func readProviders(path string) error {
	if path == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return usagef("--providers: %w", fileError(path, err))
	}
	list, err := catalog.ReadProviders(data)
	if err != nil {
		return usagef("--providers: %s: %w", path, err)
	}
	catalog.UseProviders(list)
	return nil
}

// fileError drops Go's operation name: the sentence around it says what was
// being done.
func fileError(path string, err error) error {
	switch {
	case os.IsNotExist(err):
		return fmt.Errorf("%s does not exist", path)
	case os.IsPermission(err):
		return fmt.Errorf("%s may not be read", path)
	}
	return fmt.Errorf("%s cannot be read: %w", path, err)
}
