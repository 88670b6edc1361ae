package route

import (
	"context"
	"slices"
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

// dawdling answers every look late, and notes which were made in vain.
type dawdling struct {
	call.Claims
	looks []bool // whether there was time left
}

func (d *dawdling) look(ctx context.Context) {
	d.looks = append(d.looks, ctx.Err() == nil)
	if ctx.Err() == nil {
		time.Sleep(mostWaited)
	}
}

func (d *dawdling) Held(ctx context.Context, _ ...string) string { d.look(ctx); return "" }

func (d *dawdling) Hold(ctx context.Context, _, _ string, _ time.Duration) { d.look(ctx) }

func (d *dawdling) Count(ctx context.Context, _ string) (int64, bool) { d.look(ctx); return 0, false }

func (d *dawdling) Spent(ctx context.Context, _ string) (int64, bool) { d.look(ctx); return 0, false }

func (d *dawdling) Spend(string, int64) {}

// TestLooksAtClaimsHaveOneBoundForAllOfACall: a Redis that is slow with every
// answer delays a call once, however often its claims are looked at.
func TestLooksAtClaimsHaveOneBoundForAllOfACall(t *testing.T) {
	var k clock
	one, two := d("a", "g"), d("b", "g")
	for _, n := range []*call.Deployment{one, two} {
		n.RPM, n.TPM = 100, 1000
	}
	claims := &dawdling{}
	o := k.options(Options{EnforceLimits: true, Affinity: Affinity{Kinds: Kinds{User: true, Session: true}}, Claims: claims})
	r := mustNew(t, []*call.Deployment{one, two}, o)
	if err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g", Affinity: &call.Affinity{User: "u", Session: "s"}}, &script{}); err != nil {
		t.Fatal(err)
	}
	if len(claims.looks) < 5 || !claims.looks[0] || slices.Contains(claims.looks[1:], true) {
		t.Errorf("looks with time left: %v, want the first alone", claims.looks)
	}
}
