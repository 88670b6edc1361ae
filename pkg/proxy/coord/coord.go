// Package coord shares the router's state between instances through Redis, in
// LiteLLM's keys and encodings, so that both may run beside each other: which
// deployments are left out, how often they have failed, and what they have
// served this minute.
//
// Nothing of it lies on the way of a request. What happens here is told to a
// bounded queue, what happens elsewhere is read once a second. Without Redis, or
// when it does not answer, every instance goes on with what it knows itself.
package coord

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/llmgw/llmgw/internal/litellm/pyfmt"
	"github.com/llmgw/llmgw/internal/redisconn"
	"github.com/llmgw/llmgw/pkg/proxy/call"
)

const (
	// DefaultInterval is DEFAULT_COOLDOWN_REDIS_READ_INTERVAL_SECONDS.
	DefaultInterval = time.Second
	// bound is the deadline of one exchange with Redis, which no request waits
	// for.
	bound = time.Second
	// waiting bounds the events that wait to be told.
	waiting = 1024
	// batch is how many keys one command or pipeline takes.
	batch = 500
	// usageTTL is how long a minute's counts are kept, as in LiteLLM.
	usageTTL = time.Minute
	// reasonLength is how much of an error's text others get to see.
	reasonLength = 50
)

// Router is what is shared. It is implemented by route.Router.
type Router interface {
	Deployments() []*call.Deployment
	// Cool leaves a deployment out for a time.
	Cool(id string, d time.Duration)
	// Usage calls visit with what this instance has sent this minute.
	Usage(visit func(d *call.Deployment, u call.DeploymentUsage))
	// Others says what other instances have sent.
	Others(id string, u call.DeploymentUsage)
	// Unhealthy leaves a deployment out for a time, 0 takes it in again.
	Unhealthy(id string, d time.Duration)
}

// Options configure a Coord.
type Options struct {
	Redis  *redisconn.Guard
	Router Router
	// Namespace is put before keys, as LiteLLM's cache class does.
	Namespace string
	// Interval is how often others are asked; 0 means a second.
	Interval time.Duration
	// Usage shares the requests and tokens of each minute. UsageV2 does so under
	// the keys of usage-based-routing-v2 too, and asks for those of others.
	Usage, UsageV2 bool
	// Health is how long a shared result of a health check counts; 0 shares none.
	Health time.Duration
	Log    *slog.Logger
}

// Coord shares a router's state. The zero value of its methods' effects is
// nothing: a Coord that cannot reach Redis changes nothing.
type Coord struct {
	o       Options
	events  chan event
	refused atomic.Int64
	stop    context.CancelFunc
	done    sync.WaitGroup
	sent    map[string]sent // by deployment, of the goroutine that runs
}

// event is something that others shall know: a cooldown, or a failure that is
// counted together.
type event struct {
	cooldown call.Cooldown
	fail     *call.Failure
	health   map[string]call.Health
}

// sent is what of a minute's use has been told.
type sent struct {
	minute           int64
	requests, tokens int64
}

// New starts sharing; Close it.
func New(o Options) *Coord {
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &Coord{o: o, events: make(chan event, waiting), stop: cancel, sent: map[string]sent{}}
	c.done.Go(func() { c.run(ctx) })
	return c
}

// Close tells what waits and stops.
func (c *Coord) Close() {
	c.stop()
	c.done.Wait()
}

// Cooled tells others that a deployment is left out. It does not block.
func (c *Coord) Cooled(d call.Cooldown) { c.tell(event{cooldown: d}) }

// Failed counts a failure together with those of others, and leaves the
// deployment out when there are too many. It does not block.
func (c *Coord) Failed(f call.Failure) { c.tell(event{fail: &f}) }

// Checked tells others what health checks have found. It does not block.
func (c *Coord) Checked(states map[string]call.Health) {
	if c.o.Health > 0 {
		c.tell(event{health: states})
	}
}

func (c *Coord) tell(e event) {
	select {
	case c.events <- e:
	default:
		c.refused.Add(1)
	}
}

// Refused is how many events found no room.
func (c *Coord) Refused() int64 { return c.refused.Load() }

func (c *Coord) run(ctx context.Context) {
	ticker := time.NewTicker(c.o.Interval)
	defer ticker.Stop()
	c.read(ctx)
	for {
		select {
		case <-ctx.Done():
			c.last()
			return
		case e := <-c.events:
			c.handle(context.WithoutCancel(ctx), e) // a close must not lose it
		case <-ticker.C:
			c.read(ctx)
			c.readHealth(ctx)
			c.usage(context.WithoutCancel(ctx))
		}
	}
}

// last tells what waits when the gateway ends.
func (c *Coord) last() {
	ctx, cancel := context.WithTimeout(context.Background(), bound/2)
	defer cancel()
	for {
		select {
		case e := <-c.events:
			c.handle(ctx, e)
		default:
			c.usage(ctx)
			return
		}
	}
}

func (c *Coord) key(name string) string {
	return redisconn.Key(c.o.Namespace, name)
}

// cooldownValue is LiteLLM's, member by member.
type cooldownValue struct {
	Exception string  `json:"exception_received"`
	Status    string  `json:"status_code"`
	Timestamp float64 `json:"timestamp"`
	Cooldown  float64 `json:"cooldown_time"`
}

func cooldownKey(id string) string { return "deployment:" + id + ":cooldown" }

func (c *Coord) handle(ctx context.Context, e event) {
	switch {
	case e.fail != nil:
		c.fail(ctx, e.fail)
		return
	case e.health != nil:
		c.merge(ctx, e.health)
		return
	}
	d := e.cooldown
	value, _ := json.Marshal(cooldownValue{
		Exception: head(d.Reason), Status: strconv.Itoa(d.Status),
		Timestamp: float64(d.At.UnixMicro()) / 1e6, Cooldown: d.For.Seconds(),
	})
	left := d.For - time.Since(d.At)
	if left < time.Millisecond {
		return
	}
	_ = c.o.Redis.Do(ctx, bound, func(ctx context.Context, r redis.UniversalClient) error {
		return r.Set(ctx, c.key(cooldownKey(d.ID)), value, left).Err()
	})
}

// head is the beginning of a text.
func head(s string) string {
	n := 0
	for i := range s {
		if n++; n > reasonLength {
			return s[:i]
		}
	}
	return s
}

// increase adds to a counter and gives it a life if it has none yet, in one
// step. (EXPIRE with NX would need Redis 7, and a counter that never ends would
// take a deployment out for good on an older one.)
const increase = `local n = redis.call('INCRBYFLOAT', KEYS[1], ARGV[1])
if redis.call('PTTL', KEYS[1]) < 0 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return n`

func addTo(ctx context.Context, p redis.Pipeliner, key string, n int64, ttl time.Duration) *redis.Cmd {
	return p.Eval(ctx, increase, []string{key}, n, max(ttl, time.Second).Milliseconds())
}

// sum is what a counter holds after addTo.
func sum(cmd *redis.Cmd) int64 {
	text, err := cmd.Text()
	if err != nil {
		return 0
	}
	return count(text)
}

// count reads a counter; 0 is what is none.
func count(text string) int64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 1e15) {
		return 0
	}
	return int64(f)
}

// fail counts under LiteLLM's key and judges the sum.
func (c *Coord) fail(ctx context.Context, f *call.Failure) {
	key := "deployment:" + f.ID + ":allowed_fails"
	if f.Counter != "" {
		key += ":" + f.Counter
	}
	var n *redis.Cmd
	err := c.o.Redis.Do(ctx, bound, func(ctx context.Context, r redis.UniversalClient) error {
		_, err := r.Pipelined(ctx, func(p redis.Pipeliner) error {
			n = addTo(ctx, p, c.key(key), 1, f.Window)
			return nil
		})
		return err
	})
	if err == nil && sum(n) > int64(f.Allowed) {
		c.o.Router.Cool(f.ID, f.Cooldown.For)
		c.handle(ctx, event{cooldown: f.Cooldown})
	}
}

// read asks which deployments others have left out.
func (c *Coord) read(ctx context.Context) {
	deployments := c.o.Router.Deployments()
	for len(deployments) > 0 {
		some := deployments[:min(batch, len(deployments))]
		deployments = deployments[len(some):]
		keys := make([]string, len(some))
		for i, d := range some {
			keys[i] = c.key(cooldownKey(d.ID))
		}
		values, err := c.get(ctx, keys)
		if err != nil {
			return
		}
		now := time.Now()
		for i, v := range values {
			if v == "" {
				continue
			}
			if left := remaining(v, now); left > 0 {
				c.o.Router.Cool(some[i].ID, left)
			}
		}
	}
}

// get reads keys; those that are not there are empty.
func (c *Coord) get(ctx context.Context, keys []string) ([]string, error) {
	values := make([]string, len(keys))
	err := c.o.Redis.Do(ctx, bound, func(ctx context.Context, r redis.UniversalClient) error {
		if _, cluster := r.(*redis.ClusterClient); !cluster {
			list, err := r.MGet(ctx, keys...).Result()
			for i, v := range list {
				values[i], _ = v.(string)
			}
			return err
		}
		// The keys of one command must lie on one node.
		commands, err := r.Pipelined(ctx, func(p redis.Pipeliner) error {
			for _, k := range keys {
				p.Get(ctx, k)
			}
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		for i, cmd := range commands {
			if got, ok := cmd.(*redis.StringCmd); ok {
				values[i], _ = got.Result()
			}
		}
		return nil
	})
	return values, err
}

// remaining is how long a cooldown that somebody has written still lasts. It is
// never longer than the cooldown itself, whatever the writer's clock says.
func remaining(text string, now time.Time) time.Duration {
	m := readDict(text)
	at, ok1 := number(m["timestamp"])
	length, ok2 := number(m["cooldown_time"])
	if !ok1 || !ok2 || length <= 0 || length > maxCooldown || math.Abs(at) > 1e12 {
		return 0
	}
	left := at + length - float64(now.UnixMicro())/1e6
	return time.Duration(min(left, length) * float64(time.Second))
}

// readDict reads what LiteLLM stores: JSON where it writes asynchronously,
// Python's own notation where it does not. Anything else is empty.
func readDict(text string) map[string]any {
	var m map[string]any
	if json.Unmarshal([]byte(text), &m) == nil {
		return m
	}
	value, err := pyfmt.Read(text)
	if err != nil {
		return nil
	}
	return members(value)
}

// members are the members of a dictionary in either notation.
func members(value any) map[string]any {
	if m, ok := value.(map[string]any); ok {
		return m
	}
	d, ok := value.(pyfmt.Dict)
	if !ok {
		return nil
	}
	m := map[string]any{}
	for _, item := range d {
		if name, ok := item.Key.(string); ok {
			m[name] = item.Value
		}
	}
	return m
}

// maxCooldown is the longest cooldown that is believed, a year in seconds.
const maxCooldown = 365 * 24 * 3600

func number(v any) (float64, bool) {
	switch v := v.(type) {
	case float64:
		return v, !math.IsNaN(v)
	case int:
		return float64(v), true
	case int64:
		return float64(v), true
	case string:
		f, err := strconv.ParseFloat(v, 64)
		return f, err == nil && !math.IsNaN(f)
	}
	return 0, false
}

// usage tells what deployments with limits have served since the last time, and
// learns the sums. Nothing is told twice: what may have arrived counts as told.
func (c *Coord) usage(ctx context.Context) {
	if !c.o.Usage && !c.o.UsageV2 {
		return
	}
	told := map[string]bool{}
	var news []delta
	c.o.Router.Usage(func(d *call.Deployment, u call.DeploymentUsage) {
		if d.RPM <= 0 && d.TPM <= 0 && !c.o.UsageV2 {
			return
		}
		before := c.sent[d.ID]
		if before.minute != u.Minute {
			before = sent{minute: u.Minute}
		}
		n := delta{d: d, own: u, before: before, requests: max(u.Requests-before.requests, 0), tokens: max(u.Tokens-before.tokens, 0)}
		if n.requests > 0 || n.tokens > 0 {
			news = append(news, n)
		}
	})
	for len(news) > 0 {
		some := news[:min(batch/8, len(news))]
		news = news[len(some):]
		if !c.add(ctx, some, told) {
			return // the rest can wait for Redis to be well again
		}
	}
	if c.o.UsageV2 {
		c.others(ctx, told)
	}
	minute := time.Now().Unix() / 60
	for id, s := range c.sent {
		if s.minute < minute {
			delete(c.sent, id)
		}
	}
}

// neverSent reports whether a command cannot have reached the server.
func neverSent(err error) bool {
	var dial *net.OpError
	return errors.Is(err, redisconn.ErrOpen) || errors.As(err, &dial) && dial.Op == "dial"
}

// minuteText is the minute of the clock in UTC, as keys name it.
func minuteText(minute int64) string { return time.Unix(minute*60, 0).UTC().Format("15-04") }

// usageKeys are the keys of a deployment's requests and tokens.
func (c *Coord) usageKeys(prefix string, d *call.Deployment, minute int64) (requests, tokens string) {
	name := d.Configured
	if name == "" {
		name = d.Model
	}
	base := prefix + d.ID + ":" + name
	return c.key(base + ":rpm:" + minuteText(minute)), c.key(base + ":tpm:" + minuteText(minute))
}

// delta is what of a deployment's use is still to be told.
type delta struct {
	d                *call.Deployment
	own              call.DeploymentUsage
	before           sent
	requests, tokens int64
}

// prefixes are where a deployment's use is told: for all who ask where it has
// limits, and where the strategy asks; at least one of them.
func (c *Coord) prefixes(d *call.Deployment) []string {
	switch limited := d.RPM > 0 || d.TPM > 0; {
	case !c.o.UsageV2:
		return []string{"global_router:"}
	case limited:
		return []string{"global_router:", ""}
	}
	return []string{""}
}

// add increments the counts of some deployments, and notes what others have
// served. It reports whether Redis took them.
func (c *Coord) add(ctx context.Context, news []delta, told map[string]bool) bool {
	for _, n := range news {
		c.sent[n.d.ID] = sent{n.own.Minute, n.own.Requests, n.own.Tokens}
	}
	sums := make([][2]*redis.Cmd, len(news))
	err := c.o.Redis.Do(ctx, bound, func(ctx context.Context, r redis.UniversalClient) error {
		_, err := r.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, n := range news {
				for _, prefix := range c.prefixes(n.d) {
					rpm, tpm := c.usageKeys(prefix, n.d, n.own.Minute)
					for j, one := range []struct {
						key string
						n   int64
					}{{rpm, n.requests}, {tpm, n.tokens}} {
						sums[i][j] = addTo(ctx, p, one.key, one.n, usageTTL)
					}
				}
			}
			return nil
		})
		return err
	})
	for i, n := range news {
		switch {
		case neverSent(err):
			c.sent[n.d.ID] = n.before
		case err == nil && c.o.UsageV2:
			told[n.d.ID] = true
			c.o.Router.Others(n.d.ID, call.DeploymentUsage{
				Minute: n.own.Minute, Requests: sum(sums[i][0]) - n.own.Requests, Tokens: sum(sums[i][1]) - n.own.Tokens,
			})
		}
	}
	return err == nil
}

// others asks for the counts of deployments that this instance has nothing new
// to say of.
func (c *Coord) others(ctx context.Context, told map[string]bool) {
	minute := time.Now().Unix() / 60
	var list []*call.Deployment
	var keys []string
	flush := func() {
		values, err := c.get(ctx, keys)
		if err == nil {
			for i, d := range list {
				own := c.sent[d.ID]
				if own.minute != minute {
					own = sent{}
				}
				c.o.Router.Others(d.ID, call.DeploymentUsage{
					Minute: minute, Requests: count(values[2*i]) - own.requests, Tokens: count(values[2*i+1]) - own.tokens,
				})
			}
		}
		list, keys = list[:0], keys[:0]
	}
	for _, d := range c.o.Router.Deployments() {
		if told[d.ID] {
			continue
		}
		rpm, tpm := c.usageKeys("", d, minute)
		list, keys = append(list, d), append(keys, rpm, tpm)
		if len(keys) >= batch {
			flush()
		}
	}
	if len(keys) > 0 {
		flush()
	}
}
