package live

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/finding"
)

func (j *judge) redis(r *Redis) {
	at := "redis://" + r.Address
	if r.Failure != nil {
		j.add("RUN020", finding.Error, at, r.Failure.Stage, "%s: %s", stageText[r.Failure.Stage], r.Failure.Message)
		return
	}
	var major, minor int
	version, product := r.Info["redis_version"], "Redis"
	if v := r.Info["valkey_version"]; v != "" {
		version, product = v, "Valkey"
	}
	_, _ = fmt.Sscanf(version, "%d.%d", &major, &minor)
	if major > 0 && (major < 7 || product == "Valkey" && major == 7 && minor < 2) {
		j.add("RUN021", finding.Error, at, "redis_version", "the server is %s %s; 7.0 (Valkey 7.2) is the oldest that is supported", product, version)
	}
	if r.Info["redis_mode"] == "cluster" && r.ClusterFor != "cluster" {
		j.add("RDS003", finding.Warning, at, "redis_mode", "the server is part of a cluster, but one address is configured: keys of other nodes answer MOVED")
	}
	j.redisMemory(at, r)
	switch {
	case r.P99 > 25:
		j.add("RUN023", finding.Error, at, "PING", "the 99th percentile of 50 PINGs is %.1f ms, the median %.1f ms", r.P99, r.P50)
	case r.P99 > 5:
		j.add("RUN023", finding.Warning, at, "PING", "the 99th percentile of 50 PINGs is %.1f ms, the median %.1f ms", r.P99, r.P50)
	}
	if r.Subscribe != "" {
		h := j.add("RDS004", finding.Warning, at, "ACL", "the user may not subscribe to the channel of config changes: %s", r.Subscribe)
		h.NoFix, h.Fix = true, "grant the channels: ACL SETUSER <user> &litellm_proxy.*"
	}
	if j.buffered() && r.Info["aof_enabled"] == "0" {
		j.add("RDS008", finding.Warning, at, "aof_enabled", "spend is buffered in Redis, and Redis writes no append-only file")
	}
}

// buffered reports whether spend waits in Redis.
func (j *judge) buffered() bool {
	return j.u != nil && j.u.On("general_settings.use_redis_transaction_buffer")
}

func (j *judge) redisMemory(at string, r *Redis) {
	value := func(key string) float64 { n, _ := number(r.Info[key]); return n }
	if grown := r.Evicted[1] - r.Evicted[0]; grown > 0 {
		j.add("RUN022", finding.Warning, at, "evicted_keys", "%d keys were evicted within %.0f s", grown, r.Gap)
	}
	policy := r.Info["maxmemory_policy"]
	if most := value("maxmemory"); most > 0 {
		share := value("used_memory") / most
		switch {
		case share > 0.95 && policy == "noeviction":
			j.add("RUN022", finding.Error, at, "used_memory", "memory is at %.0f%% of maxmemory, and the policy noeviction makes writes fail", share*100)
		case share > 0.8:
			j.add("RUN022", finding.Warning, at, "used_memory", "memory is at %.0f%% of maxmemory (%s)", share*100, policy)
		}
	}
	if strings.HasPrefix(policy, "allkeys-") && j.buffered() {
		j.add("RUN022", finding.Error, at, "maxmemory_policy", "the policy %s may evict spend that waits in Redis to be written", policy)
	}
	if most := value("maxclients"); most > 0 && value("connected_clients")/most > 0.8 {
		j.add("RUN022", finding.Warning, at, "connected_clients", "%.0f of %.0f clients are connected", value("connected_clients"), most)
	}
}

func (j *judge) proxy(p Proxy) {
	at := p.Address
	if p.Failure != nil {
		j.add("RUN001", finding.Error, at, p.Failure.Stage, "%s: %s", stageText[p.Failure.Stage], p.Failure.Message)
		return
	}
	if code := p.Status["liveliness"]; code != http.StatusOK {
		j.add("RUN001", finding.Error, at, "/health/liveliness", "/health/liveliness answers %s", answer(code))
	}
	if code := p.Status["readiness"]; code != http.StatusOK {
		h := j.add("RUN002", finding.Error, at, "/health/readiness", "/health/readiness answers %s", answer(code))
		if j.u != nil && j.u.On("general_settings.allow_requests_on_db_unavailable") {
			h.Why = "allow_requests_on_db_unavailable promises 200 without the database, but some releases answer 503: pods then leave the Service all the same."
		}
	} else if j.u != nil && j.u.DatabaseInUse() && p.DB != "" && !strings.EqualFold(p.DB, "connected") {
		j.add("RUN003", finding.Warning, at, "/health/readiness db", "the gateway says it is ready, with db %q", p.DB)
	}
	switch {
	case p.Status["models without a key"] == http.StatusOK:
		j.add("RUN004", finding.Error, at, "/v1/models", "/v1/models answers without a key")
	case p.Status["models with sk-1234"] == http.StatusOK:
		j.add("RUN005", finding.Error, at, "/v1/models", "/v1/models accepts the key sk-1234")
	}
	if p.Login {
		j.add("RUN006", finding.Error, at, "/login", "the admin UI accepts admin with a password of the tutorials")
	}
	var open []string
	for _, path := range []string{"/docs", "/redoc", "/openapi.json"} {
		if p.Status[path] == http.StatusOK {
			open = append(open, path)
		}
	}
	if len(open) > 0 {
		j.add("RUN008", finding.Warning, at, open[0], "%s can be read by anyone", strings.Join(open, ", "))
	}
	if p.Public && len(p.Headers) > 0 {
		j.add("RUN009", finding.Warning, at, p.Headers[0], "answers carry %s", strings.Join(p.Headers, ", "))
	}
	if p.Public && p.Status["/metrics"] == http.StatusOK {
		j.add("RUN010", finding.Warning, at, "/metrics", "/metrics answers without a key")
	}
	j.certificate(at, finding.Position{File: at}, p.TLS)
	if n := len(p.Overheads); n > 0 {
		sorted := slices.Clone(p.Overheads)
		slices.Sort(sorted)
		if median := sorted[n/2]; median > 50 {
			j.add("RUN026", finding.Warning, at, "x-litellm-overhead-duration-ms", "the median of %d calls spent %.0f ms in the gateway", n, median)
		}
	}
}

func answer(code int) string {
	if code == 0 {
		return "nothing"
	}
	return fmt.Sprint(code)
}

func (j *judge) certificate(at string, pos finding.Position, c *Certificate) {
	if c == nil {
		return
	}
	left := c.Ends.Sub(j.seen.At)
	if left < 14*24*time.Hour {
		h := j.add("RUN025", finding.Warning, at, "certificate", "the certificate of %s ends in %s, on %s", at, days(left), c.Ends.UTC().Format(time.DateOnly))
		h.Pos = pos
	}
	if c.Version == "TLS 1.0" || c.Version == "TLS 1.1" {
		h := j.add("RUN025", finding.Warning, at, "tls", "%s speaks %s; 1.2 is the oldest that is safe", at, c.Version)
		h.Pos = pos
	}
}

// replicas compares the versions that the addresses report.
func (j *judge) replicas() {
	by := map[string][]string{}
	for _, p := range j.seen.Proxies {
		if p.Version != "" {
			by[p.Version] = append(by[p.Version], p.Address)
		}
	}
	if len(by) < 2 {
		return
	}
	var parts []string
	for v, at := range by {
		parts = append(parts, v+" at "+strings.Join(at, " and "))
	}
	slices.Sort(parts)
	j.add("RUN028", finding.Warning, j.seen.Proxies[0].Address, "litellm_version", "the addresses report different versions: %s", strings.Join(parts, "; "))
}

func (j *judge) upstream(s Upstream) {
	if s.Failure != nil {
		through := ""
		if s.Proxy != "" {
			through = " through " + s.Proxy
		}
		h := j.add("RUN025", finding.Error, s.Address, s.Address, "%s of %s cannot be used%s: %s, %s", s.Address, strings.Join(s.Models, ", "), through, stageText[s.Failure.Stage], s.Failure.Message)
		h.Pos = s.Pos
		return
	}
	j.certificate(s.Address, s.Pos, s.TLS)
	switch s.Status {
	case 0, http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden:
		h := j.add("RUN025", finding.Warning, s.Address, s.Address+" key", "%s rejects the key of %s with %d", s.Address, s.Models[0], s.Status)
		h.Pos = s.Pos
	default:
		h := j.add("RUN025", finding.Info, s.Address, s.Address+" models", "%s answers %d when asked for its models", s.Address, s.Status)
		h.Pos = s.Pos
	}
}

// clocks compares every pair of clocks.
func (j *judge) clocks() {
	type named struct {
		name string
		c    Clock
	}
	list := []named{{"doctor", Clock{}}}
	if p := j.seen.Postgres; p != nil && p.Clock != nil {
		list = append(list, named{"postgres://" + p.Address, *p.Clock})
	}
	if r := j.seen.Redis; r != nil && r.Clock != nil {
		list = append(list, named{"redis://" + r.Address, *r.Clock})
	}
	for _, p := range j.seen.Proxies {
		if p.Clock != nil {
			list = append(list, named{p.Address, *p.Clock})
		}
	}
	for i, a := range list {
		for _, b := range list[i+1:] {
			skew := math.Abs(a.c.Ahead-b.c.Ahead) - a.c.Error - b.c.Error
			sev := finding.Warning
			switch {
			case skew <= 2:
				continue
			case skew > 30:
				sev = finding.Error
			}
			j.add("RUN024", sev, b.name, "clock of "+a.name, "the clocks of %s and %s differ by %.1f s", a.name, b.name, skew)
		}
	}
}
