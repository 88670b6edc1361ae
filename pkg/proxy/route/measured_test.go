package route

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/llmgw/llmgw/pkg/proxy/call"
)

// TestCooldownsAreThoseOfTheEmulatedRelease asks the router what a running
// LiteLLM was asked: which failure takes a deployment out.
func TestCooldownsAreThoseOfTheEmulatedRelease(t *testing.T) {
	data, err := os.ReadFile("testdata/cooldowns.tsv")
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]call.Class{}
	for c := call.ClassAPIError; c <= call.ClassAPIResponseValidation; c++ {
		classes[c.String()] = c
	}
	rows := 0
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		if len(f) != 6 {
			continue
		}
		rows++
		size, _ := strconv.Atoi(f[0])
		ok, _ := strconv.Atoi(f[3])
		status, _ := strconv.Atoi(f[4])
		want, _ := strconv.Atoi(f[5])
		o := Options{CooldownTime: 30 * time.Second}
		edit := func(*call.Deployment) {}
		switch f[1] {
		case "allowed2":
			o.AllowedFails = ptr(2)
		case "allowed3":
			o.AllowedFails = ptr(3)
		case "policy":
			o.AllowedFailsPolicy = AllowedFailsPolicy{call.ClassTimeout: 1, call.ClassBadRequest: 0}
		case "dep_allowed":
			edit = func(d *call.Deployment) { d.AllowedFails = ptr(1) }
		case "dep_policy":
			edit = func(d *call.Deployment) {
				d.AllowedFailsFor = map[call.Class]int{call.ClassBadRequest: 1, call.ClassRateLimit: 2}
			}
		case "both":
			o.AllowedFails = ptr(0)
			edit = func(d *call.Deployment) { d.AllowedFailsFor = map[call.Class]int{call.ClassTimeout: 1} }
		}
		var list []*call.Deployment
		for i := range size {
			dep := d(fmt.Sprint("d", i), "g")
			if i == 0 {
				edit(dep)
			}
			list = append(list, dep)
		}
		var k clock
		s := mustNew(t, list, k.options(o)).current.Load()
		for range ok {
			s.succeeded(s.nodes[0])
		}
		class, known := classes[f[2]]
		if !known {
			t.Fatalf("no class is called %s", f[2])
		}
		got := 0
		for n := 1; n <= 7 && got == 0; n++ {
			s.failed(s.nodes[0], &call.Error{Class: class, Status: status, Message: "litellm." + f[2] + ": x", RetryAfter: -1}, false)
			if s.nodes[0].state.coolUntil.Load() > s.o.mono() {
				got = n
			}
		}
		if got != want {
			t.Errorf("%s deployments, %s, %s (%s), %s successes: cooled by failure %d, in LiteLLM by %d", f[0], f[1], f[2], f[4], f[3], got, want)
		}
	}
	if rows < 500 {
		t.Errorf("%d rows", rows)
	}
}

// TestRetriesAreThoseOfTheEmulatedRelease does the same for what is tried again.
func TestRetriesAreThoseOfTheEmulatedRelease(t *testing.T) {
	data, err := os.ReadFile("testdata/retries.tsv")
	if err != nil {
		t.Fatal(err)
	}
	classes := map[string]call.Class{}
	for c := call.ClassAPIError; c <= call.ClassAPIResponseValidation; c++ {
		classes[c.String()] = c
	}
	policies := map[string]*RetryPolicy{
		"a": {BadRequest: ptr(1), Timeout: ptr(2), Default: ptr(3)},
		"b": {ContentPolicy: ptr(4), NotFound: ptr(5), InternalServer: ptr(0)},
		"c": {Authentication: ptr(1), RateLimit: ptr(2), ServiceUnavailable: ptr(6)},
	}
	rows := 0
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		number := func(i int) int {
			n, err := strconv.Atoi(f[i])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		switch {
		case f[0] == "policy":
			rows++
			got := -1
			if n := policies[f[3]].retries(&call.Error{Class: classes[f[1]], Status: number(2)}); n != nil {
				got = *n
			}
			if got != number(4) {
				t.Errorf("policy %s, %s: %d retries, in LiteLLM %d", f[3], f[1], got, number(4))
			}
		case f[0] == "retry":
			rows++
			var list []*call.Deployment
			for i := range number(3) {
				list = append(list, d(fmt.Sprint("d", i), "g"))
			}
			set := func(i int) []Fallback {
				if number(i) == 1 {
					return []Fallback{{"g", []string{"h"}}}
				}
				return nil
			}
			var k clock
			r := mustNew(t, list, k.options(Options{ContextWindowFallbacks: set(5), ContentPolicyFallbacks: set(6), Fallbacks: set(7)}))
			for i := number(4); i < len(list); i++ {
				r.Cool(list[i].ID, time.Hour)
			}
			s := r.current.Load()
			one := run{s: s, c: &call.Call{}, p: &call.Plan{Model: "g"}}
			got := one.retryable(s.groups["g"], 0, &call.Error{Class: classes[f[1]], Status: number(2), RetryAfter: -1})
			if got != (number(8) == 1) {
				t.Errorf("%v: retried %v", f, got)
			}
		}
	}
	if rows < 500 {
		t.Errorf("%d rows", rows)
	}
}
