package live

import (
	"bufio"
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/redisconn"
)

// Redis is what the Redis server said.
type Redis struct {
	Address    string            `json:"address"`
	Failure    *Failure          `json:"failure,omitempty"`
	Info       map[string]string `json:"info,omitempty"` // the lines of INFO that count
	Evicted    [2]int64          `json:"evicted"`        // at two looks
	Gap        float64           `json:"gap_seconds"`
	P50        float64           `json:"ping_p50_ms"`
	P99        float64           `json:"ping_p99_ms"`
	Subscribe  string            `json:"subscribe,omitempty"` // why the channel of config changes is not allowed
	ClusterFor string            `json:"configured_mode"`
	Clock      *Clock            `json:"clock,omitempty"`
}

// infoKeys are what of INFO is kept.
var infoKeys = []string{
	"redis_version", "valkey_version", "redis_mode", "used_memory", "maxmemory", "maxmemory_policy", "evicted_keys",
	"aof_enabled", "rdb_last_bgsave_status", "connected_clients", "maxclients",
}

// usable turns what redisconn resolved into parameters or the reason why there
// are none.
func usable(p *redisconn.Params, found []finding.Finding) (*redisconn.Params, *Failure) {
	for _, f := range found {
		if f.Severity == finding.Error {
			return nil, &Failure{"settings", f.Message}
		}
	}
	if p == nil || p.Mode == redisconn.None {
		return nil, nil
	}
	if len(p.Unknown) > 0 {
		return nil, &Failure{"settings", "its " + strings.Join(p.Unknown, ", ") + " stands in a secret that is not among the inputs; give --redis-url or the variables"}
	}
	return p, nil
}

func (o *Options) askRedis(ctx context.Context, params *redisconn.Params) *Redis {
	out := &Redis{Address: strings.Join(params.Addresses, ","), ClusterFor: params.Mode.String()}
	params.ClientName = "llmgw-doctor"
	params.ConnectTimeout, params.SocketTimeout, params.PoolTimeout = 2*time.Second, 2*time.Second, 2*time.Second
	params.MaxConnections = 1
	client, err := redisconn.Open(params)
	if err != nil {
		out.Failure = &Failure{"settings", redact.Text(err.Error(), params.Password)}
		return out
	}
	defer client.Close()
	reach, cancel := context.WithTimeout(ctx, 2*time.Second)
	err = client.Ping(reach).Err()
	cancel()
	if err != nil {
		out.Failure = redisFailure(err, params)
		return out
	}
	var pings []float64
	for range 50 {
		start := time.Now()
		if client.Ping(ctx).Err() != nil {
			break
		}
		pings = append(pings, float64(time.Since(start).Microseconds())/1000)
	}
	if slices.Sort(pings); len(pings) > 0 {
		out.P50, out.P99 = pings[len(pings)/2], pings[min(len(pings)-1, len(pings)*99/100)]
	}
	started := time.Now()
	out.Info = info(client.Info(ctx, "everything").Val())
	if len(out.Info) == 0 {
		out.Info = info(client.Info(ctx).Val())
	}
	if out.Info["maxmemory_policy"] == "" {
		if m, err := client.ConfigGet(ctx, "maxmemory-policy").Result(); err == nil {
			out.Info["maxmemory_policy"] = m["maxmemory-policy"]
		}
	}
	before := time.Now()
	if at, err := client.Time(ctx).Result(); err == nil {
		out.Clock = clock(at, before, time.Now(), 0)
	}
	out.Subscribe = o.mayNotSubscribe(ctx, client)
	gap := 5 * time.Second
	if o.gap > 0 {
		gap = o.gap
	}
	if deadline, ok := ctx.Deadline(); ok {
		gap = min(gap, time.Until(deadline)/2)
	}
	out.Evicted[0], _ = strconv.ParseInt(out.Info["evicted_keys"], 10, 64)
	out.Evicted[1] = out.Evicted[0]
	if sleep(ctx, gap-time.Since(started)) {
		if n, err := strconv.ParseInt(info(client.Info(ctx, "stats").Val())["evicted_keys"], 10, 64); err == nil {
			out.Evicted[1] = n
		}
		out.Gap = time.Since(started).Seconds()
	}
	return out
}

// mayNotSubscribe asks whether the user may hear of config changes; a server
// that cannot tell is taken to allow it.
func (o *Options) mayNotSubscribe(ctx context.Context, client redis.UniversalClient) string {
	who, err := client.Do(ctx, "ACL", "WHOAMI").Text()
	if err != nil {
		return ""
	}
	answer, err := client.Do(ctx, "ACL", "DRYRUN", who, "SUBSCRIBE", "litellm_proxy.config").Text()
	if err != nil || answer == "OK" {
		return ""
	}
	return redact.Text(answer)
}

func info(text string) map[string]string {
	out := map[string]string{}
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		if key, value, ok := strings.Cut(strings.TrimSpace(s.Text()), ":"); ok && slices.Contains(infoKeys, key) {
			out[key] = value
		}
	}
	return out
}

func redisFailure(err error, p *redisconn.Params) *Failure {
	f := connectFailure(err)
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "NOAUTH"), strings.HasPrefix(text, "WRONGPASS"), strings.HasPrefix(text, "NOPERM"), strings.Contains(text, "invalid password"):
		f.Stage = "login"
	case errors.Is(err, context.DeadlineExceeded):
		f.Stage, text = "network", "no answer within 2 s"
	}
	f.Message = redact.Text(text, p.Password)
	return f
}
