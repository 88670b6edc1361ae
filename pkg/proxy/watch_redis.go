package proxy

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/metrics"
)

// redisWatch counts the commands of a client, for prometheus_system. A client is
// opened before there are metrics; what it does until then is not counted.
type redisWatch struct {
	system atomic.Pointer[metrics.System]
}

var _ redis.Hook = (*redisWatch)(nil)

// DialHook implements redis.Hook.
func (w *redisWatch) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (w *redisWatch) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		begin := time.Now()
		err := next(ctx, cmd)
		w.tell(function(cmd.Name(), false), begin, err)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (w *redisWatch) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, list []redis.Cmder) error {
		begin := time.Now()
		err := next(ctx, list)
		name := ""
		if len(list) > 0 {
			name = list[len(list)/2].Name() // between MULTI and EXEC, if there are any
		}
		w.tell(function(name, true), begin, err)
		return err
	}
}

func (w *redisWatch) tell(function string, begin time.Time, err error) {
	if s := w.system.Load(); s != nil && function != "" {
		s.Redis(function, time.Since(begin), errorClass(err))
	}
}

// skipped counts a use that the open circuit did not let through.
func (w *redisWatch) skipped() {
	if s := w.system.Load(); s != nil {
		s.Redis("post_call_redis_batch", 0, "RedisCircuitBreakerOpenError")
	}
}

// function names what LiteLLM calls the work of a command; empty for the
// commands that belong to a connection alone.
func function(command string, many bool) string {
	switch command {
	case "hello", "auth", "client", "select", "info", "cluster", "script", "readonly", "watch", "unwatch":
		return ""
	case "ping":
		return "async_ping"
	case "get", "mget", "pttl", "ttl", "hget", "hgetall", "hmget":
		if many || command == "mget" {
			return "async_batch_get_cache"
		}
		return "async_get_cache"
	case "eval", "evalsha", "incr", "incrby", "incrbyfloat":
		if many {
			return "async_increment_pipeline"
		}
		return "async_increment"
	case "sadd":
		return "async_set_cache_sadd"
	case "scan":
		return "async_scan_iter"
	}
	if many {
		return "async_set_cache_pipeline"
	}
	return "async_set_cache"
}

// errorClass names an error as redis-py does; empty for none.
func errorClass(err error) string {
	var answer redis.Error
	switch {
	case err == nil, errors.Is(err, redis.Nil):
		return ""
	case redisconn.TimedOut(err):
		return "TimeoutError"
	case errors.As(err, &answer):
		return "ResponseError"
	case errors.Is(err, context.Canceled):
		return "CancelledError"
	}
	return "ConnectionError"
}
