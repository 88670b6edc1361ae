package rule

// A Statement is one thing that LiteLLM's "best practices for production" page
// tells operators to do, and the rules that look whether they did.
type Statement struct {
	Section string   // of the page: "1", "3c", "read-only", ...
	Says    string   // the advice, in our words
	Rules   []string // ids, the most telling first
	Live    bool     // only a running system shows it, so no rule reads it from files
}

// Coverage lists the page in its own order. A test holds it against the
// registry, so that no statement of the page stays without a rule.
func Coverage() []Statement {
	return []Statement{
		{Section: "1", Says: "put your own models into the sample config", Rules: []string{"CFG009", "CFG010", "CFG011"}},
		{Section: "1", Says: "choose a master key of your own that begins with sk-", Rules: []string{"SEC001", "SEC002", "SEC003", "SEC004", "SEC005"}},
		{Section: "1", Says: "alert on exceptions, budgets and slow answers", Rules: []string{"LOG007", "LOG009"}},
		{Section: "1", Says: "the webhook's URL comes from the environment", Rules: []string{"LOG008", "CFG011"}},
		{Section: "1", Says: "write spend in batches every 60 seconds", Rules: []string{"DB012", "DB013"}},
		{Section: "1", Says: "the pool limit is per worker: multiply by workers and instances", Rules: []string{"DB001", "DB002", "DB003", "DB004", "DB006"}},
		{Section: "1", Says: "the pool limit is 10 unless written", Rules: []string{"DB005"}},
		{Section: "1", Says: "keep provider errors out of the database", Rules: []string{"DB015", "DB016"}},
		{Section: "1", Says: "let requests pass without a database only inside a private network", Rules: []string{"SEC013", "SEC014"}},
		{Section: "1", Says: "limit a request to 600 seconds", Rules: []string{"TMO001", "TMO002", "TMO005", "TMO007"}},
		{Section: "1", Says: "switch debug output off", Rules: []string{"LOG001", "LOG002"}},
		{Section: "1", Says: "log in JSON", Rules: []string{"LOG004"}},
		{Section: "1", Says: "silence the line per request with LITELLM_LOG=ERROR", Rules: []string{"LOG003"}},
		{Section: "2", Says: "request one CPU per worker", Rules: []string{"K8S001", "K8S002"}},
		{Section: "2", Says: "give 4Gi of memory per worker", Rules: []string{"K8S003", "PRF009"}},
		{Section: "2", Says: "limits equal requests", Rules: []string{"K8S004"}},
		{Section: "2", Says: "scale at 60% CPU", Rules: []string{"K8S018"}},
		{Section: "2", Says: "scale at 80% memory", Rules: []string{"K8S019"}},
		{Section: "3", Says: "use Uvicorn, and Gunicorn only for several workers in one container", Rules: []string{"PRF005", "K8S005", "PRF002"}},
		{Section: "3", Says: "add pods, not workers", Rules: []string{"K8S005", "K8S016", "K8S020"}},
		{Section: "3a", Says: "run one worker per pod", Rules: []string{"K8S005", "LOG012"}},
		{Section: "3b", Says: "recycle workers after a number of requests when memory grows", Rules: []string{"PRF001", "PRF003", "PRF004"}},
		{Section: "3b", Says: "recycle several workers under Gunicorn", Rules: []string{"PRF002", "PRF006"}},
		{Section: "3c", Says: "requests in flight end before a worker goes", Rules: []string{"TMO011", "TMO012", "TMO013"}},
		{Section: "3c", Says: "have other pods while one is replaced", Rules: []string{"K8S016", "K8S017", "PRF012"}},
		{Section: "3c", Says: "roll out with RollingUpdate", Rules: []string{"K8S013"}},
		{Section: "3c", Says: "probe readiness at /health/readiness", Rules: []string{"K8S006", "K8S007", "K8S008", "K8S011", "K8S012"}},
		{Section: "3c", Says: "the grace period exceeds the longest request", Rules: []string{"TMO003"}},
		{Section: "3c", Says: "wait a little in preStop", Rules: []string{"TMO004", "K8S035"}},
		{Section: "3c", Says: "never go below the desired number, add one at a time", Rules: []string{"K8S014", "K8S015"}},
		{Section: "4", Says: "give Redis by host, port and password, not by URL", Rules: []string{"RDS001", "RDS003", "RDS004", "RDS005", "RDS014"}},
		{Section: "4", Says: "run Redis 7.0 or newer", Rules: []string{"RDS006"}},
		{Section: "4", Says: "route with simple-shuffle", Rules: []string{"RTE001", "RTE002", "RTE003"}},
		{Section: "4", Says: "take the Redis settings of the router from the environment", Rules: []string{"RDS002", "RDS018", "CFG007", "CFG008"}},
		{Section: "4", Says: "cache in Redis", Rules: []string{"RDS009", "RDS010", "RDS017"}},
		{Section: "5", Says: "set LITELLM_MODE=PRODUCTION", Rules: []string{"SEC025"}},
		{Section: "6", Says: "keep serving while the database is away", Rules: []string{"SEC013", "SEC014", "DB023"}},
		{Section: "6", Says: "readiness stays good while the database is away", Rules: []string{"K8S009"}},
		{Section: "6", Says: "pods start while the database is away", Rules: []string{"K8S034"}},
		{Section: "6", Says: "budget and model errors still block", Live: true},
		{Section: "7", Says: "let one hook migrate, not every pod", Rules: []string{"MIG001", "MIG002", "MIG011", "MIG012", "MIG013"}},
		{Section: "7", Says: "the hook always migrates", Rules: []string{"MIG003"}},
		{Section: "7", Says: "pods do not", Rules: []string{"MIG001", "MIG002", "CFG018"}},
		{Section: "7", Says: "the database's URL is no literal", Rules: []string{"SEC006"}},
		{Section: "8", Says: "set a salt key when a database is used", Rules: []string{"SEC007"}},
		{Section: "8", Says: "never change it", Rules: []string{"SEC011"}},
		{Section: "8", Says: "make it random", Rules: []string{"SEC008", "SEC009"}},
		{Section: "9", Says: "apply migrations with migrate deploy", Rules: []string{"MIG004", "MIG005", "MIG006"}},
		{Section: "9", Says: "each release carries its own migrations", Rules: []string{"MIG007"}},
		{Section: "9", Says: "deploy needs a connection of its own", Rules: []string{"DB008"}},
		{Section: "read-only", Says: "a read-only root filesystem is supported", Rules: []string{"K8S022"}},
		{Section: "read-only", Says: "migrations need a writable directory", Rules: []string{"K8S023"}},
		{Section: "read-only", Says: "the UI and its assets need writable directories", Rules: []string{"K8S024"}},
		{Section: "read-only", Says: "Prisma and the cache need writable directories", Rules: []string{"K8S025"}},
		{Section: "read-only", Says: "say LITELLM_NON_ROOT", Rules: []string{"K8S028"}},
		{Section: "read-only", Says: "run as another user than root", Rules: []string{"K8S026"}},
		{Section: "read-only", Says: "drop all capabilities", Rules: []string{"K8S027"}},
		{Section: "read-only", Says: "mount the config read-only where it is looked for", Rules: []string{"K8S031"}},
		{Section: "read-only", Says: "limit the emptyDirs", Rules: []string{"K8S030"}},
		{Section: "read-only", Says: "a root path needs a UI that was built for it", Rules: []string{"K8S032"}},
		{Section: "extras", Says: "see that debug logs are off", Rules: []string{"LOG001", "LOG002"}},
		{Section: "extras", Says: "compare with the benchmarks", Live: true},
	}
}
