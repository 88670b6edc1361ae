package live

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// fill writes some megabytes into Redis.
func fill(t *testing.T, url string) {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	defer c.Close()
	for i := range 400 {
		if c.Set(context.Background(), fmt.Sprintf("k%d", i), strings.Repeat("x", 10_000), 0).Err() != nil {
			return
		}
	}
}

// command runs one command of Redis.
func command(t *testing.T, url, text string) {
	t.Helper()
	o, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(o)
	defer c.Close()
	var words []any
	for _, w := range strings.Fields(text) {
		words = append(words, w)
	}
	if err := c.Do(context.Background(), words...).Err(); err != nil {
		t.Fatal(err)
	}
}
