package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// adminBound is how long an operator's command may take.
const adminBound = 10 * time.Second

// ErrForeign says that a key is none of the cache's.
var ErrForeign = errors.New("only keys of the response cache can be deleted here: take them from x-litellm-cache-key")

// Kind is cache_params.type.
func (c *Cache) Kind() string { return c.o.Kind }

// Shared reports whether there is a level in Redis.
func (c *Cache) Shared() bool { return c.shared != nil }

// Ping asks Redis and writes an entry.
func (c *Cache) Ping(ctx context.Context) error {
	if c.shared == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, adminBound)
	defer cancel()
	client := c.o.Redis.Client()
	if err := client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	now := time.Now()
	e := &entry{body: []byte(`{"test":true}`), at: now, until: now.Add(time.Minute)}
	if err := client.Set(ctx, c.prefix("")+strings.Repeat("0", hashLength), encode(e), time.Minute).Err(); err != nil {
		return fmt.Errorf("write a test entry: %w", err)
	}
	return nil
}

// Delete removes entries by their keys.
func (c *Cache) Delete(ctx context.Context, keys []string) error {
	for _, k := range keys {
		if !c.ours(k) {
			return ErrForeign
		}
	}
	if c.memory != nil {
		for _, k := range keys {
			c.memory.delete(k)
		}
	}
	if c.shared == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, adminBound)
	defer cancel()
	return unlink(ctx, c.o.Redis.Client(), keys)
}

// unlink deletes one key a command: those of a command must lie on one node of
// a cluster.
func unlink(ctx context.Context, client redis.Cmdable, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	_, err := client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, k := range keys {
			p.Unlink(ctx, k)
		}
		return nil
	})
	return err
}

// Flush removes all entries of the cache and nothing else, or, with everything,
// all that Redis holds.
func (c *Cache) Flush(ctx context.Context, everything bool) error {
	if c.memory != nil {
		c.memory.clear()
	}
	if c.shared == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, adminBound)
	defer cancel()
	return onMasters(ctx, c.o.Redis.Client(), func(ctx context.Context, node redis.UniversalClient) error {
		if everything {
			return node.FlushAll(ctx).Err()
		}
		return c.sweep(ctx, node)
	})
}

// sweep deletes the cache's keys of one server, a few at a time.
func (c *Cache) sweep(ctx context.Context, node redis.UniversalClient) error {
	pattern := "*" + mark + "*"
	if c.o.Namespace != "" {
		pattern = glob(c.o.Namespace) + ":" + pattern
	}
	for cursor := uint64(0); ; {
		keys, next, err := node.Scan(ctx, cursor, pattern, 500).Result()
		if err != nil {
			return err
		}
		found := keys[:0]
		for _, k := range keys {
			if c.ours(k) {
				found = append(found, k)
			}
		}
		if err := unlink(ctx, node, found); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

// glob escapes what a pattern of Redis gives a meaning to.
func glob(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(text)
}

// onMasters runs f on the server, or on each node of a cluster that has keys.
func onMasters(ctx context.Context, client redis.UniversalClient, f func(context.Context, redis.UniversalClient) error) error {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return f(ctx, client)
	}
	var mu sync.Mutex
	var all []error
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
		if err := f(ctx, node); err != nil {
			mu.Lock()
			all = append(all, err)
			mu.Unlock()
		}
		return nil
	})
	return errors.Join(append(all, err)...)
}

// Info is what Redis says about itself, and its clients.
func (c *Cache) Info(ctx context.Context) (info map[string]string, clients []string, err error) {
	if c.shared == nil {
		return nil, nil, fmt.Errorf("cache type %s does not support redis info", c.o.Kind)
	}
	ctx, cancel := context.WithTimeout(ctx, adminBound)
	defer cancel()
	client := c.o.Redis.Client()
	text, err := client.Info(ctx).Result()
	if err != nil {
		return nil, nil, err
	}
	info = map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && !strings.HasPrefix(name, "#") {
			info[name] = value
		}
	}
	list, err := client.ClientList(ctx).Result()
	if err != nil { // often forbidden where Redis is managed
		return info, nil, nil
	}
	for line := range strings.Lines(list) {
		if line = strings.TrimSpace(line); line != "" {
			clients = append(clients, line)
		}
	}
	return info, clients, nil
}
