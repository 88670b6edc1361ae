package route

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// TestAStepOfTheClockStrandsNoLimit: whichever way the world's clock goes, a
// deployment that had its requests is free in the new minute, and held to its
// limit there.
func TestAStepOfTheClockStrandsNoLimit(t *testing.T) {
	for _, jump := range []time.Duration{-24 * time.Hour, -time.Minute, time.Minute, 24 * time.Hour} {
		var k clock
		o := k.options(Options{NumRetries: ptr(0), EnforceLimits: true})
		world := k.t
		o.wall = func() time.Time { return world }
		one := d("a", "g")
		one.RPM = 2
		r := mustNew(t, []*call.Deployment{one}, o)
		ask := func() *call.Error {
			return r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, &script{})
		}
		for round := range 2 {
			for i := range 3 {
				err := ask()
				switch {
				case i < 2 && err != nil:
					t.Fatalf("a step of %s, round %d, call %d: %v", jump, round, i, err)
				case i == 2 && (err == nil || err.StatusCode() != 429 || !strings.Contains(err.Message, "RPM limit=2, current usage=3")):
					t.Fatalf("a step of %s, round %d: the limit did not hold: %v", jump, round, err)
				}
			}
			world = world.Add(jump)
			k.t = k.t.Add(time.Hour) // no cooldown is left
		}
	}
}

// pinned claims one deployment for everybody.
type pinned struct {
	call.Claims
	id string
}

func (p pinned) Held(context.Context, ...string) string               { return p.id }
func (p pinned) Hold(_ context.Context, _, _ string, _ time.Duration) {}

// TestACallerStaysWithinOrderAndTags: what a caller may and should use is above
// where it has been.
func TestACallerStaysWithinOrderAndTags(t *testing.T) {
	var k clock
	first, second := d("first", "g"), d("second", "g")
	first.Order, second.Order = 1, 2
	a, b := d("a", "h"), d("b", "h")
	a.Tags, b.Tags = []string{"free"}, []string{"paid"}
	for _, tt := range []struct{ held, model, tag, want string }{
		{"second", "g", "", "first"}, {"first", "g", "", "first"}, {"b", "h", "free", "a"}, {"a", "h", "free", "a"},
	} {
		o := k.options(Options{TagFiltering: tt.model == "h", Affinity: Affinity{Kinds: Kinds{User: true}}, Claims: pinned{id: tt.held}})
		r := mustNew(t, []*call.Deployment{first, second, a, b}, o)
		p := call.Plan{Model: tt.model, Affinity: &call.Affinity{User: "u"}}
		if tt.tag != "" {
			p.Tags = []string{tt.tag}
		}
		s := &script{}
		for range 10 {
			if err := r.Run(t.Context(), &call.Call{}, &p, s); err != nil {
				t.Fatal(err)
			}
		}
		for _, got := range s.log {
			if got != tt.want {
				t.Errorf("held by %s, tags %q: %s was asked, want %s", tt.held, tt.tag, got, tt.want)
			}
		}
	}
}
