package live

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/internal/testenv"
	"github.com/llmgw/llmgw/pkg/lint/rule"
	"github.com/redis/go-redis/v9"
)

func TestRedisInABadStateIsFound(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   []string
		config string
		do     func(t *testing.T, url string)
		before string
		want   map[string]string
	}{
		{name: "a healthy server", want: map[string]string{}},
		{
			name: "an evicting server", args: []string{"--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"},
			do: fill, want: map[string]string{"RUN022": "evicted"},
		},
		{
			name: "a full server", args: []string{"--maxmemory", "3mb", "--maxmemory-policy", "noeviction"},
			do: fill, want: map[string]string{"RUN022": "makes writes fail"},
		},
		{
			name: "a policy that loses spend", args: []string{"--maxmemory-policy", "allkeys-lru", "--appendonly", "no"},
			config: plainConfig + "  use_redis_transaction_buffer: true\n",
			want:   map[string]string{"RUN022": "allkeys-lru", "RDS008": "append-only"},
		},
		{
			name: "a user without the channel", before: "ACL SETUSER default resetchannels",
			want: map[string]string{"RDS004": "may not subscribe"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := testenv.RedisServer(t, tt.args...).URL("0")
			if tt.before != "" {
				command(t, url, tt.before)
			}
			var m *rule.Model
			if tt.config != "" {
				m = model(t, tt.config, "")
			}
			stop := make(chan struct{})
			ended := make(chan struct{})
			o := quick(Options{RedisURL: redact.New(url)})
			go func() {
				defer close(ended)
				for tt.do != nil {
					select {
					case <-stop:
						return
					default:
						tt.do(t, url)
					}
				}
			}()
			if tt.do != nil {
				time.Sleep(300 * time.Millisecond)
				o.gap = time.Second
			}
			seen := Observe(t.Context(), m, o)
			close(stop)
			<-ended
			seen.Redis.P99 = 0 // a test machine may be slow
			got := found(Judge(seen, m))
			for id, says := range tt.want {
				all := ""
				for _, h := range Judge(seen, m) {
					if h.ID == id {
						all += h.Message
					}
				}
				if !strings.Contains(all, says) {
					t.Errorf("%s does not say %q: %q", id, says, all)
				}
			}
			for id, h := range got {
				if tt.want[id] == "" {
					t.Errorf("%s speaks as well: %s", id, h.Message)
				}
			}
		})
	}
}

// A Redis that does not answer is a finding that says why, and nothing else is
// asked of it.
func TestAnUnreachableRedisIsAFindingThatNamesTheStage(t *testing.T) {
	given, err := url.Parse(testenv.RedisServer(t, "--requirepass", "right-password").URL("0"))
	if err != nil {
		t.Fatal(err)
	}
	locked, wrong := "redis://"+given.Host+"/0", "redis://:wrong-password@"+given.Host+"/0"
	for name, c := range map[string]struct{ url, says string }{
		"a port without a server": {"redis://127.0.0.1:1/0", "no connection"},
		"no password":             {locked, "the login is refused"},
		"the wrong password":      {wrong, "the login is refused"},
	} {
		t.Run(name, func(t *testing.T) {
			seen := Observe(t.Context(), nil, quick(Options{RedisURL: redact.New(c.url)}))
			var got []string
			for _, h := range Judge(seen, nil) {
				got = append(got, h.ID+" "+h.Message)
			}
			if len(got) != 1 || !strings.HasPrefix(got[0], "RUN020 ") || !strings.Contains(got[0], c.says) {
				t.Errorf("it says %q, want RUN020 with %s", got, c.says)
			}
			if text := fmt.Sprint(got, seen); strings.Contains(text, "wrong-password") {
				t.Errorf("it shows the password: %s", text)
			}
			if !slices.ContainsFunc(seen.Missed, func(m Missed) bool { return m.ID == "RUN021" && m.Wanted }) {
				t.Errorf("missed %+v", seen.Missed)
			}
		})
	}
}

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
