package rule

import (
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
)

const (
	router   = "router_settings."
	settings = "litellm_settings."
	cachePar = settings + "cache_params"
)

const redisRouter = "router_settings:\n  redis_host: os.environ/REDIS_HOST\n  redis_port: os.environ/REDIS_PORT\n  redis_password: os.environ/REDIS_PASSWORD\n"

func init() {
	register(
		&Rule{
			ID: "RDS001", Name: "redis-url", Severity: "warning/info", Priority: 1, Fix: Unsafe,
			Title:  "Redis is configured by URL",
			When:   "router_settings.redis_url, cache_params.url, or REDIS_URL without REDIS_HOST. info for llmgw and from LiteLLM 1.95.0 on.",
			Why:    "LiteLLM's URL path does not share its connection pool: 80 requests per second were lost to it. Later measurements find the gap closed.",
			Remedy: "give host, port and password instead.",
			Source: []string{"LiteLLM production guide, section 4", "LiteLLM issues 3188 and 34727"},
			Bad:    Example{Config: oneModel + "router_settings: {redis_url: os.environ/REDIS_URL}\n"},
			Good:   Example{Config: oneModel + redisRouter},
			Check:  redisURL,
		},
		&Rule{
			ID: "RDS002", Name: "redis-missing", Severity: "warning", Priority: 1, Fix: Manual, Closed: true, Off: []Profile{Dev},
			Title:  "several processes and no Redis",
			When:   "workers x instances is above one and no Redis is configured.",
			Why:    "rate limits multiply by the number of processes, a revoked key stays valid elsewhere, and every process runs every scheduled job.",
			Remedy: "add Redis 7 or newer under router_settings.",
			Source: []string{"LiteLLM production guide, section 4", "LiteLLM Redis requirements"},
			Bad: k8s("      redis_host: os.environ/REDIS_HOST\n      redis_port: os.environ/REDIS_PORT\n      redis_password: os.environ/REDIS_PASSWORD\n", "").
				and("            - {name: REDIS_HOST, valueFrom: {secretKeyRef: {name: litellm, key: redis-host}}}\n", ""),
			Good: k8sGood("redis_host: os.environ/REDIS_HOST"),
			Check: func(u *Unit) []Hit {
				return when(u.Several() && u.Env.Closed() && !u.RedisInUse(), u.At("router_settings"), "router_settings", sevWarn,
					"%d processes serve without a Redis between them", u.Processes())
			},
		},
		&Rule{
			ID: "RDS003", Name: "redis-split-hosts", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "router and cache use different Redis hosts",
			When:   "router_settings.redis_host and cache_params.host are both known and differ.",
			Why:    "usually a slip after a move: coordination and cache drift apart.",
			Remedy: "use one host, or say in an ignore comment why there are two.",
			Source: []string{"LiteLLM production guide, section 4"},
			Bad:    Example{Config: oneModel + "router_settings: {redis_host: redis-a, redis_port: 6379, redis_password: os.environ/P}\nlitellm_settings: {cache: true, cache_params: {type: redis, host: redis-b, port: 6379, password: os.environ/P}}\n"},
			Good:   Example{Config: oneModel + "router_settings: {redis_host: redis-a, redis_port: 6379, redis_password: os.environ/P}\nlitellm_settings: {cache: true, cache_params: {type: redis, host: redis-a, port: 6379, password: os.environ/P}}\n"},
			Check: func(u *Unit) []Hit {
				a, b := u.Setting(router+"redis_host"), u.Setting(cachePar+".host")
				return when(a.State == Known && b.State == Known && a.Text != b.Text, u.spanOf(b), cachePar+".host", sevWarn, "the cache uses another Redis host than the router")
			},
		},
		&Rule{
			ID: "RDS004", Name: "redis-no-auth", Severity: "warning", Priority: 1, Fix: Manual, Closed: true,
			Title:  "Redis without a password",
			When:   "a Redis host is configured, and no password in the config or the environment.",
			Why:    "every neighbour in the network can write spend counters, the auth cache and cached answers.",
			Remedy: "set a password, and redis_password: os.environ/REDIS_PASSWORD.",
			Source: []string{"LiteLLM production guide, section 4"},
			Bad:    Example{Config: oneModel + "router_settings: {redis_host: redis.data.svc, redis_port: 6379}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\n"},
			Good:   Example{Config: oneModel + "router_settings: {redis_host: redis.data.svc, redis_port: 6379, redis_password: os.environ/REDIS_PASSWORD}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\nREDIS_PASSWORD=4b1f0c9d7e6a\n"},
			Check: func(u *Unit) []Hit {
				if !u.Env.Closed() || u.Env.Has("REDIS_PASSWORD") || u.Env.Has("REDIS_GCP_SERVICE_ACCOUNT") || u.Env.Has("REDIS_AZURE_AD_TOKEN") {
					return nil
				}
				for _, p := range []string{router + "redis_password", cachePar + ".password", cachePar + ".gcp_service_account", cachePar + ".azure_redis_ad_token", cachePar + ".aws_iam_auth"} {
					if u.Setting(p).Present() {
						return nil
					}
				}
				for _, p := range []string{router + "redis_host", cachePar + ".host"} {
					if u.Setting(p).Present() {
						return hit(u.At(p), p, sevWarn, "Redis has no password")
					}
				}
				if v := u.variable("REDIS_HOST"); v.Present() {
					return hit(v.Pos, "REDIS_HOST", sevWarn, "Redis has no password")
				}
				return nil
			},
		},
		&Rule{
			ID: "RDS005", Name: "redis-no-tls", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "the connection to Redis is not encrypted",
			When:   "the known Redis host is not local and TLS is not on.",
			Why:    "the password and cached answers cross the network in clear.",
			Remedy: "set REDIS_SSL=True, or ssl: true.",
			Source: []string{"LiteLLM Redis cache guide"},
			Bad:    Example{Env: "REDIS_HOST=my.abc.cache.amazonaws.com\nREDIS_PASSWORD=4b1f0c9d7e6a\n"},
			Good:   Example{Env: "REDIS_HOST=my.abc.cache.amazonaws.com\nREDIS_PASSWORD=4b1f0c9d7e6a\nREDIS_SSL=True\n"},
			Check: func(u *Unit) []Hit {
				if u.On(cachePar+".ssl") || u.On(router+"redis_ssl") || u.EnvOn("REDIS_SSL") || u.EnvMaybe("REDIS_SSL") || strings.EqualFold(u.variable("REDIS_SSL").Text, "true") {
					return nil
				}
				for _, v := range []Val{u.Setting(router + "redis_host"), u.Setting(cachePar + ".host"), u.variable("REDIS_HOST")} {
					if v.State == Known && !localHost(v.Text) && !strings.HasSuffix(v.Text, ".internal") {
						return hit(v.Pos, v.path("REDIS_HOST"), sevWarn, "the connection to Redis is not encrypted")
					}
				}
				return nil
			},
		},
		&Rule{
			ID: "RDS006", Name: "redis-version-old", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "Redis is older than 7.0",
			When:   "a container among the inputs runs the image redis below 7.",
			Why:    "7.0 is the oldest version that works.",
			Remedy: "upgrade Redis.",
			Source: []string{"LiteLLM production guide, section 4"},
			Bad:    k8s("", redisDeployment("redis:6.2-alpine")),
			Good:   k8s("", redisDeployment("redis:7.4-alpine")),
			Check: func(u *Unit) []Hit {
				var out []Hit
				if !u.first() {
					return nil
				}
				for _, c := range u.Model.index().redis {
					major, _, _ := strings.Cut(c.Image.Tag, ".")
					major, _, _ = strings.Cut(major, "-")
					if n, err := strconv.Atoi(major); err == nil && n < 7 {
						out = append(out, hitf(c.Image.Pos, "", sevError, "Redis %s is older than 7.0", c.Image.Tag))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "RDS009", Name: "cache-without-endpoint", Severity: "error", Priority: 1, Fix: Manual, Closed: true,
			Title:  "the cache has no Redis to talk to",
			When:   "cache is true with type redis, cache_params has no endpoint, and no REDIS_ variable gives one.",
			Why:    "the cache cannot start.",
			Remedy: "add host and port to cache_params, or set REDIS_HOST and REDIS_PORT.",
			Source: []string{"LiteLLM production guide, section 4"},
			Bad:    Example{Config: oneModel + "litellm_settings: {cache: true, cache_params: {type: redis}}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {cache: true, cache_params: {type: redis}}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\nREDIS_HOST=redis.data.svc\nREDIS_PORT=6379\nREDIS_PASSWORD=4b1f0c9d7e6a\n"},
			Check: func(u *Unit) []Hit {
				if !u.redisCache() || !u.Env.Closed() || u.redisEnv() != "" {
					return nil
				}
				params := u.Node(cachePar)
				for _, key := range []string{"host", "url", "redis_startup_nodes", "startup_nodes", "sentinel_nodes"} {
					if !params.Get(key).IsNull() {
						return nil
					}
				}
				return hit(u.At(settings+"cache"), settings+"cache", sevError, "the cache is of type redis, but nothing says where Redis is")
			},
		},
		&Rule{
			ID: "RDS010", Name: "auth-cache-without-redis", Severity: "error", Priority: 2, Fix: Manual,
			Title:  "the shared auth cache has no Redis cache",
			When:   "enable_redis_auth_cache is true without cache: true of type redis.",
			Why:    "the setting needs both.",
			Remedy: "turn the Redis cache on.",
			Source: []string{"LiteLLM Redis cache guide"},
			Bad:    Example{Config: oneModel + "litellm_settings: {enable_redis_auth_cache: true}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {enable_redis_auth_cache: true, cache: true, cache_params: {type: redis, host: os.environ/REDIS_HOST}}\n"},
			Check: func(u *Unit) []Hit {
				const path = settings + "enable_redis_auth_cache"
				return when(u.On(path) && !u.redisCache(), u.At(path), path, sevError, "enable_redis_auth_cache needs cache: true of type redis")
			},
		},
		&Rule{
			ID: "RDS013", Name: "shared-health-without-redis", Severity: "error", Priority: 2, Fix: Manual, Closed: true,
			Title:  "shared health checks have no Redis",
			When:   "use_shared_health_check is true and there is no Redis.",
			Why:    "every pod falls back to calling every model.",
			Remedy: "add Redis.",
			Source: []string{"LiteLLM guide to shared health checks"},
			Bad:    Example{Config: oneModel + "general_settings: {use_shared_health_check: true}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\n"},
			Good:   Example{Config: oneModel + "general_settings: {use_shared_health_check: true}\n", Env: "OPENAI_API_KEY=sk-proj-0123456789\nREDIS_HOST=redis.data.svc\nREDIS_PORT=6379\nREDIS_PASSWORD=4b1f0c9d7e6a\n"},
			Check: func(u *Unit) []Hit {
				const path = general + "use_shared_health_check"
				return when(u.On(path) && u.Env.Closed() && !u.RedisInUse(), u.At(path), path, sevError, "use_shared_health_check is on, but there is no Redis")
			},
		},
		&Rule{
			ID: "RDS014", Name: "redis-url-overrides", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "a variable overrides the Redis host of the config",
			When:   "REDIS_URL or REDIS_CLUSTER_NODES is set beside a host in the config.",
			Why:    "LiteLLM connects to what the variable says, and the host in the config is decoration. Of REDIS_URL this is true of older releases; newer ones and llmgw keep to the config.",
			Remedy: "remove the variable, or the host.",
			Source: []string{"LiteLLM's Redis client"},
			Bad:    Example{Config: oneModel + redisRouter, Env: "OPENAI_API_KEY=sk-proj-0123456789\nREDIS_HOST=redis.data.svc\nREDIS_PORT=6379\nREDIS_PASSWORD=4b1f0c9d7e6a\nREDIS_URL=redis://other.data.svc:6379\n"},
			Good:   Example{Config: oneModel + redisRouter, Env: "OPENAI_API_KEY=sk-proj-0123456789\nREDIS_HOST=redis.data.svc\nREDIS_PORT=6379\nREDIS_PASSWORD=4b1f0c9d7e6a\n"},
			Check: func(u *Unit) []Hit {
				var host Val
				for _, p := range []string{router + "redis_host", cachePar + ".host"} {
					if v := u.Setting(p); v.Present() && host.State == Absent {
						host = v
					}
				}
				if host.State == Absent {
					return nil
				}
				for _, name := range []string{"REDIS_URL", "REDIS_CLUSTER_NODES"} {
					if v := u.variable(name); v.Present() {
						if u.Target == facts.LLMGW && name == "REDIS_URL" {
							return hit(v.Pos, name, sevWarn, "REDIS_URL stands beside the Redis host of the config ("+host.Path+"), which counts here and loses in older releases of LiteLLM")
						}
						return hit(v.Pos, name, sevError, name+" overrides the Redis host of the config ("+host.Path+")")
					}
				}
				return nil
			},
		},
		&Rule{
			ID: "RDS015", Name: "redis-ssl-false", Severity: "warning", Priority: 2, Fix: Manual, Target: facts.LiteLLM,
			Title:  "ssl: false can turn TLS on",
			When:   "cache_params.ssl is written and false.",
			Why:    "LiteLLM's Redis client chooses its TLS connection class when the key is there at all.",
			Remedy: "delete the key.",
			Source: []string{"LiteLLM's Redis client"},
			Bad:    Example{Config: oneModel + "litellm_settings: {cache: true, cache_params: {type: redis, host: os.environ/REDIS_HOST, port: 6379, ssl: false}}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {cache: true, cache_params: {type: redis, host: os.environ/REDIS_HOST, port: 6379}}\n"},
			Check: func(u *Unit) []Hit {
				const path = cachePar + ".ssl"
				v, ok := u.Bool(path)
				return when(ok && !v, u.At(path), path, sevWarn, "ssl: false is not the same as no ssl key")
			},
		},
		&Rule{
			ID: "RDS017", Name: "cache-type-missing", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "the cache is not the Redis cache it seems to be",
			When:   "cache is true and cache_params has entries but no type, or cache is a text.",
			Why:    "without type the cache lives in the memory of each process: every pod answers from its own.",
			Remedy: "add type: redis to cache_params.",
			Source: []string{"LiteLLM's cache constructor"},
			Bad:    Example{Config: oneModel + "litellm_settings:\n  cache: true\n  cache_params: {host: os.environ/REDIS_HOST, port: os.environ/REDIS_PORT}\n"},
			Good:   Example{Config: oneModel + "litellm_settings:\n  cache: true\n  cache_params: {type: redis, host: os.environ/REDIS_HOST, port: os.environ/REDIS_PORT}\n"},
			Check: func(u *Unit) []Hit {
				cache := u.Node(settings + "cache")
				if text, ok := cache.Str(); ok && !strings.HasPrefix(text, refPrefix) {
					if _, isBool := cache.Bool(); !isBool {
						return hit(entrySpan(cache), settings+"cache", sevError, "cache must be true or false; the kind of cache goes into cache_params.type")
					}
				}
				params := u.Node(cachePar)
				return when(u.On(settings+"cache") && params.Len() > 0 && params.Kind == config.Map && params.Get("type").IsNull(), params.Where(), cachePar, sevError,
					"cache_params has no type: the cache lives in the memory of each process, not in Redis")
			},
		},
		&Rule{
			ID: "RDS018", Name: "redis-host-without-port", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "a Redis host without a port",
			When:   "router_settings.redis_host is set without redis_port.",
			Why:    "the router then keeps its state in each process, and says nothing.",
			Remedy: "add router_settings.redis_port.",
			Source: []string{"LiteLLM's router"},
			Bad:    Example{Config: oneModel + "router_settings: {redis_host: os.environ/REDIS_HOST, redis_password: os.environ/REDIS_PASSWORD}\n"},
			Good:   Example{Config: oneModel + redisRouter},
			Check: func(u *Unit) []Hit {
				const path = router + "redis_host"
				port := u.Setting(router + "redis_port")
				return when(u.Setting(path).Present() && !port.Present(), u.At(path), path, sevError, "redis_host is set without redis_port: the router does not use Redis")
			},
		},
	)
}

func redisURL(u *Unit) []Hit {
	sev := sevWarn
	if u.Target == facts.LLMGW || u.VersionKnown && (u.Version.Release[0] > 1 || u.Version.Release[0] == 1 && u.Version.Release[1] >= 95) {
		sev = sevInfo
	}
	for _, p := range []string{router + "redis_url", cachePar + ".url"} {
		if u.Setting(p).Present() {
			return hit(u.At(p), p, sev, "Redis is configured by URL; host, port and password are faster in LiteLLM")
		}
	}
	if v := u.variable("REDIS_URL"); v.Present() && !u.Env.Has("REDIS_HOST") {
		return hit(v.Pos, "REDIS_URL", sev, "Redis is configured by URL; host, port and password are faster in LiteLLM")
	}
	return nil
}

func redisDeployment(image string) string {
	return "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cache}\nspec:\n  selector: {matchLabels: {app: cache}}\n  template:\n    metadata: {labels: {app: cache}}\n    spec:\n      containers:\n        - name: cache\n          image: " + image + "\n"
}
