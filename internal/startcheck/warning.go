package startcheck

import (
	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/litellm"
)

// redis warns of a Redis that is configured and not used: state that people
// believe to be shared and is not.
func (c *checker) redis() {
	router, cache := c.tree.Section("router_settings"), c.tree.Get("litellm_settings.cache_params")
	host, port := router.Get("redis_host"), router.Get("redis_port")
	switch {
	case !host.IsNull() && port.IsNull() && router.Get("redis_url").IsNull():
		c.warn(host.Where(), host.Path(), "RDS002", "router_settings.redis_host without redis_port: state is not shared between replicas",
			"add redis_port: os.environ/REDIS_PORT")
	case host.IsNull() && !port.IsNull() && router.Get("redis_url").IsNull():
		c.warn(port.Where(), port.Path(), "RDS002", "router_settings.redis_port without redis_host: state is not shared between replicas",
			"add redis_host: os.environ/REDIS_HOST")
	}
	for _, name := range []string{"REDIS_URL", "REDIS_CLUSTER_NODES"} {
		if v, ok := c.env.Lookup(name); ok && (v.Value != "" || !v.Known) {
			for _, n := range []*config.Node{host, cache.Get("host")} {
				if !n.IsNull() {
					message := name + " overrides " + n.Key + "; unset it"
					if name == "REDIS_URL" { // since the emulated release it does not
						message = "REDIS_URL stands beside " + n.Key + ", which counts here, while it loses in older releases of LiteLLM; unset it"
					}
					c.warn(n.Where(), n.Path(), "RDS014", message, "unset "+name+", or delete "+n.Path())
				}
			}
		}
	}
	if n := cache; n.Len() > 0 && n.Get("type").IsNull() && c.tree.CacheType() == "local" {
		for _, key := range []string{"host", "url", "redis_startup_nodes", "sentinel_nodes", "port"} {
			if h := n.Get(key); h != nil {
				c.warn(n.Where(), n.Path(), "RDS017", "cache_params has "+key+` but no type: LiteLLM uses an in-memory cache here; add "type: redis"`, "add type: redis")
				break
			}
		}
	}
	if n := c.tree.Get("litellm_settings.cache"); n != nil && n.Kind == config.String && !n.Unknown {
		if _, ok := n.Bool(); ok && n.Ref == "" {
			c.warn(n.Where(), n.Path(), "CFG006", "litellm_settings.cache is text; LiteLLM wants a boolean and would break the cache with it", "delete the quotes")
		}
	}
	if buffer := c.tree.General().UseRedisTransactionBuffer; buffer.V && !c.tree.UsesRedis() {
		c.warn(buffer.Pos, buffer.Path, "DB014", "use_redis_transaction_buffer without Redis: spend is written to the database directly", "configure Redis, or delete the key")
	}
}

// flags warns of flags that do something else than their name says.
func (c *checker) flags() {
	if c.facts.UsePrismaDBPush {
		c.warn(finding.Position{File: "<args>", Line: 1}, "", "MIG005", "--use-prisma-db-push is taken as --migrate: db push does not exist here", "delete the flag")
	}
}

// words warns of boolean variables whose word LiteLLM reads otherwise, or nobody
// reads at all.
func (c *checker) words() {
	for v := range litellm.EachEnv(litellm.Bool) {
		set, ok := c.env.Lookup(v.Name)
		if !ok || !set.Known {
			continue
		}
		if _, warning, _ := litellm.ParseEnvBool(v.Name, set.Value); warning != "" {
			c.warn(set.Pos, "", "CFG018", warning, "")
		}
	}
}
