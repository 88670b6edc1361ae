package route

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

func TestCooldownCounts(t *testing.T) {
	tests := []struct {
		name    string
		group   int // deployments
		o       Options
		edit    func(*call.Deployment)
		ok      int
		failing []*call.Error
		cools   bool
		seconds float64
	}{
		{name: "a rate limit cools where there is another deployment", group: 2, failing: fails(1, call.ClassRateLimit), cools: true, seconds: 5},
		{name: "a rate limit on the only deployment does not", group: 1, failing: fails(1, call.ClassRateLimit)},
		{name: "an authentication error cools even the only one", group: 1, failing: fails(1, call.ClassAuthentication), cools: true, seconds: 5},
		{name: "not found cools even the only one", group: 1, failing: fails(1, call.ClassNotFound), cools: true, seconds: 5},
		{name: "a bad request never cools", group: 2, failing: fails(50, call.ClassBadRequest)},
		{name: "permission denied never cools", group: 2, failing: fails(50, call.ClassPermissionDenied)},
		{name: "connection errors never cool", group: 2, failing: fails(50, call.ClassAPIConnection)},
		{name: "five server errors of five cool", group: 2, failing: fails(5, call.ClassInternalServer), cools: true, seconds: 5},
		{name: "four do not", group: 2, failing: fails(4, call.ClassInternalServer)},
		{name: "half of ten do not", group: 2, ok: 5, failing: fails(5, call.ClassInternalServer)},
		{name: "six of eleven do", group: 2, ok: 5, failing: fails(6, call.ClassInternalServer), cools: true, seconds: 5},
		{name: "server errors of the only deployment do not", group: 1, failing: fails(20, call.ClassInternalServer)},
		{name: "unless it is a thousand without a success", group: 1, failing: fails(1000, call.ClassInternalServer), cools: true, seconds: 5},
		{name: "cooldowns can be disabled", group: 2, o: Options{DisableCooldowns: true}, failing: fails(9, call.ClassRateLimit)},
		{name: "Retry-After is the cooldown", group: 2, failing: []*call.Error{failure(call.ClassRateLimit, time.Hour)}, cools: true, seconds: 3600},
		{name: "Retry-After 0 prevents it", group: 2, failing: []*call.Error{failure(call.ClassRateLimit, 0)}},
		{name: "the deployment's own time is above Retry-After", group: 2, edit: func(d *call.Deployment) { d.Cooldown = ptr(time.Minute) }, failing: []*call.Error{failure(call.ClassRateLimit, time.Hour)}, cools: true, seconds: 60},
		{name: "the deployment's zero disables", group: 2, edit: func(d *call.Deployment) { d.Cooldown = ptr(time.Duration(0)) }, failing: fails(1, call.ClassRateLimit)},
		{name: "allowed_fails counts instead of rates", group: 1, o: Options{AllowedFails: ptr(2)}, failing: fails(3, call.ClassInternalServer), cools: true, seconds: 5},
		{name: "allowed_fails lets as many pass", group: 2, o: Options{AllowedFails: ptr(2)}, failing: fails(2, call.ClassRateLimit)},
		{name: "allowed_fails of 3 is the default and changes nothing", group: 2, o: Options{AllowedFails: ptr(3)}, failing: fails(1, call.ClassRateLimit), cools: true, seconds: 5},
		{name: "the router's cooldown time", group: 2, o: Options{CooldownTime: 30 * time.Second}, failing: fails(1, call.ClassRateLimit), cools: true, seconds: 30},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var list []*call.Deployment
			for i := range tt.group {
				dep := d(fmt.Sprint("d", i), "g")
				if tt.edit != nil {
					tt.edit(dep)
				}
				list = append(list, dep)
			}
			var k clock
			r := mustNew(t, list, k.options(tt.o))
			s := r.current.Load()
			n := s.nodes[0]
			for range tt.ok {
				s.succeeded(n)
			}
			for _, err := range tt.failing {
				s.failed(n, err, false)
			}
			until := n.state.coolUntil.Load()
			if cools := until > k.t.UnixNano(); cools != tt.cools {
				t.Fatalf("cooling: %v, want %v", cools, tt.cools)
			}
			if tt.cools {
				if got := float64(until-k.t.UnixNano()) / 1e9; math.Abs(got-tt.seconds) > 1e-6 {
					t.Errorf("for %v s, want %v", got, tt.seconds)
				}
			}
		})
	}
}

func TestACoolingDeploymentIsLeftOutUntilItsTimeIsOver(t *testing.T) {
	var k clock
	r := mustNew(t, []*call.Deployment{d("a", "g"), d("b", "g")}, k.options(Options{NumRetries: ptr(0)}))
	s := &script{answers: map[string][]*call.Error{"a": {failure(call.ClassRateLimit), nil}, "b": {failure(call.ClassRateLimit), nil}}}
	first := &script{answers: map[string][]*call.Error{"a": {failure(call.ClassRateLimit)}, "b": {failure(call.ClassRateLimit)}}}
	_ = r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, first)
	cooled := first.log[0]
	ok := &script{}
	for range 50 {
		if err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, ok); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Contains(ok.log, cooled) {
		t.Errorf("%s was used while cooling down", cooled)
	}
	if err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: cooled}, ok); err != nil || ok.log[50] != cooled {
		t.Errorf("asked for by its id it must be used: %v", err)
	}
	// The other one, too: nothing is left.
	_ = r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, s)
	err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, ok)
	if err == nil || err.StatusCode() != 429 || err.Header["Retry-After"][0] != "5" ||
		!strings.HasPrefix(err.Message, "No deployments available for selected model, Try again in 5 seconds. All deployments for selected model are in cooldown. Passed model=g. pre-call-checks=False, cooldown_list=['a', 'b']") {
		t.Errorf("nothing left: %+v", err)
	}
	k.t = k.t.Add(5*time.Second + time.Millisecond)
	if err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, ok); err != nil {
		t.Errorf("after the cooldown: %v", err)
	}
}

func TestReplaceKeepsCooldownsByID(t *testing.T) {
	var k clock
	o := k.options(Options{NumRetries: ptr(0)})
	r := mustNew(t, []*call.Deployment{d("a", "g")}, o)
	_ = r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, &script{answers: map[string][]*call.Error{"a": {failure(call.ClassAuthentication)}}})
	if err := r.Replace([]*call.Deployment{d("a", "g"), d("b", "g")}, o); err != nil {
		t.Fatal(err)
	}
	ok := &script{}
	for range 20 {
		if err := r.Run(t.Context(), &call.Call{}, &call.Plan{Model: "g"}, ok); err != nil {
			t.Fatal(err)
		}
	}
	if slices.Contains(ok.log, "a") {
		t.Error("a reload must not end a cooldown")
	}
}

// TestAStepOfTheClockMovesNoCooldown turns the world's clock while the router's
// goes on.
func TestAStepOfTheClockMovesNoCooldown(t *testing.T) {
	for _, jump := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		var k clock
		o := k.options(Options{NumRetries: ptr(0)})
		world := k.t
		o.wall = func() time.Time { return world }
		r := mustNew(t, []*call.Deployment{d("a", "g"), d("b", "g")}, o)
		r.Cool("a", 10*time.Second)
		world = world.Add(jump)
		if got := each(t, r, 30, call.Plan{}, nil); got["a"] != 0 {
			t.Errorf("a step of %s ended a cooldown", jump)
		}
		k.t = k.t.Add(11 * time.Second)
		if got := each(t, r, 60, call.Plan{}, nil); got["a"] == 0 {
			t.Errorf("a step of %s prolonged a cooldown", jump)
		}
	}
}

func TestAllowedFailsByClassAndDeployment(t *testing.T) {
	policy := func(o AllowedFailsPolicy) Options { return Options{AllowedFailsPolicy: o} }
	own := func(n *int, by map[call.Class]int) func(*call.Deployment) {
		return func(d *call.Deployment) { d.AllowedFails, d.AllowedFailsFor = n, by }
	}
	none := func(*call.Deployment) {}
	for _, tt := range []struct {
		name    string
		o       Options
		group   int
		edit    func(*call.Deployment)
		failing []*call.Error
		cools   bool
	}{
		{"as many as the policy allows do not cool", policy(AllowedFailsPolicy{call.ClassTimeout: 2}), 2, none, fails(2, call.ClassTimeout), false},
		{"one more does, even the only deployment", policy(AllowedFailsPolicy{call.ClassTimeout: 2}), 1, none, fails(3, call.ClassTimeout), true},
		{"a class without an entry takes allowed_fails", policy(AllowedFailsPolicy{call.ClassTimeout: 9}), 2, none, fails(4, call.ClassInternalServer), true},
		{"a policy replaces the rule for 429", policy(AllowedFailsPolicy{call.ClassRateLimit: 5}), 2, none, fails(5, call.ClassRateLimit), false},
		{"a router's entry for bad requests has no effect", policy(AllowedFailsPolicy{call.ClassBadRequest: 0}), 2, none, fails(9, call.ClassBadRequest), false},
		{"a deployment's entry has", Options{}, 2, own(nil, map[call.Class]int{call.ClassBadRequest: 1}), fails(2, call.ClassBadRequest), true},
		{"it covers content policy", Options{}, 2, own(nil, map[call.Class]int{call.ClassBadRequest: 0}), fails(1, call.ClassContentPolicyViolation), true},
		{"a deployment's number does not take out the only one", Options{}, 1, own(ptr(0), nil), fails(9, call.ClassInternalServer), false},
		{"its entry by class does", Options{}, 1, own(nil, map[call.Class]int{call.ClassInternalServer: 0}), fails(1, call.ClassInternalServer), true},
		{"a number equal to the global one changes nothing", Options{AllowedFails: ptr(7), GlobalAllowedFails: ptr(7)}, 2, none, fails(1, call.ClassRateLimit), true},
		{"one that differs does", Options{AllowedFails: ptr(3), GlobalAllowedFails: ptr(7)}, 2, none, fails(1, call.ClassRateLimit), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var list []*call.Deployment
			for i := range tt.group {
				list = append(list, d(fmt.Sprint("d", i), "g", tt.edit))
			}
			var k clock
			s := mustNew(t, list, k.options(tt.o)).current.Load()
			for _, err := range tt.failing {
				s.failed(s.nodes[0], err, false)
			}
			if cools := s.nodes[0].state.coolUntil.Load() > s.o.mono(); cools != tt.cools {
				t.Errorf("cooling: %v, want %v", cools, tt.cools)
			}
		})
	}
}
