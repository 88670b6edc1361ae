//go:build unix

package lifetest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestReloadsWithAndWithoutErrorsUnderLoad(t *testing.T) {
	base, conf := upstream(t), filepath.Join(t.TempDir(), "config.yaml")
	config(t, conf, base, 1, "")
	p := serve(t, program(t), freePort(t), nil, "--config", conf)
	l := startLoad(p.url(), 3, 20*time.Millisecond, p.url()+"/health/readiness")
	taken, refused := 0, 0
	for end := time.Now().Add(span()); time.Now().Before(end); {
		for i, more := range []string{"router_settings: {num_retries: 1}", "router_settings: {num_retries: x}", "litellm_settings: {request_timeout: 99}", "router_settings: [", "general_settings: {}"} {
			config(t, conf, base, 1+(taken+i)%3, more)
			p.signal(syscall.SIGHUP)
			until(t, 20*time.Second, func() bool {
				now, no := p.count("configuration reloaded: "), p.count("the configuration was not reloaded")
				if now+no == taken+refused {
					return false
				}
				taken, refused = now, no
				return true
			}, "a reload is answered")
			time.Sleep(50 * time.Millisecond)
		}
	}
	l.stop(t)
	t.Logf("%d reloads were taken, %d refused", taken, refused)
	if taken < 4 || refused < 4 {
		t.Error("too few reloads to say anything")
	}
	if want := "config.yaml:"; !strings.Contains(p.text(), want) || !strings.Contains(p.text(), "num_retries: x is not an integer") && !strings.Contains(p.text(), "is not an integer") {
		t.Error("a refusal does not say where and why")
	}
	p.stop()
}

// ports are all the listeners of a gateway.
func ports(t testing.TB) (env, args, gets []string) {
	health, metrics, profile := freePort(t), freePort(t), freePort(t)
	at := func(port int, path string) string { return "http://127.0.0.1:" + strconv.Itoa(port) + path }
	return []string{"SEPARATE_HEALTH_APP=1", "SEPARATE_HEALTH_PORT=" + strconv.Itoa(health)},
		[]string{"--prometheus-metrics-port", strconv.Itoa(metrics), "--profile-port", strconv.Itoa(profile)},
		[]string{at(health, "/health/readiness"), at(metrics, "/metrics"), at(profile, "/debug/pprof/symbol")}
}

func TestWorkersAreReplacedUnderLoad(t *testing.T) {
	base, conf := upstream(t), filepath.Join(t.TempDir(), "config.yaml")
	config(t, conf, base, 1, "litellm_settings: {callbacks: [prometheus]}")
	env, args, gets := ports(t)
	p := serve(t, program(t), freePort(t), env, append(args, "--config", conf, "--max-requests-before-restart", "200", "--max-requests-before-restart-jitter", "50")...)
	l := startLoad(p.url(), 4, 10*time.Millisecond, append(gets, p.url()+"/health/readiness")...)
	const line = "a new worker serves, the old one drains"
	end := time.Now().Add(span())
	until(t, 5*span()+time.Minute, func() bool { return time.Now().After(end) && p.count(line) >= 3 }, "three workers were replaced")
	l.stop(t)
	t.Logf("%d workers were replaced", p.count(line))
	p.stop()
	if strings.Contains(p.text(), "panic") {
		t.Error("a worker panicked")
	}
}

func TestAWorkerThatDiesIsReplaced(t *testing.T) {
	base, conf := upstream(t), filepath.Join(t.TempDir(), "config.yaml")
	config(t, conf, base, 1, "")
	p := serve(t, program(t), freePort(t), nil, "--config", conf, "--max-requests-before-restart", "100000")
	for range 3 {
		kids := children(t, p.cmd.Process.Pid)
		if len(kids) != 1 {
			t.Fatalf("workers %v", kids)
		}
		if err := syscall.Kill(kids[0], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		// The supervisor holds the socket: a request waits and is not refused.
		if got := status(p.url() + "/health/readiness"); got != 200 && got != 0 {
			t.Errorf("status %d", got)
		}
		until(t, time.Minute, func() bool { return status(p.url()+"/health/readiness") == 200 }, "the next worker serves")
	}
	if n := p.count("the worker has died"); n != 3 {
		t.Errorf("%d deaths were reported", n)
	}
	p.stop()
}

// A worker that cannot start must not cost the one that serves.
func TestWorkersGoOnWhenTheNextCannotStart(t *testing.T) {
	base, conf := upstream(t), filepath.Join(t.TempDir(), "config.yaml")
	config(t, conf, base, 1, "")
	p := serve(t, program(t), freePort(t), nil, "--config", conf, "--max-requests-before-restart", "30")
	if err := os.WriteFile(conf, []byte("model_list: ["), 0o600); err != nil {
		t.Fatal(err)
	}
	l := startLoad(p.url(), 2, 10*time.Millisecond)
	until(t, time.Minute, func() bool { return p.count("a new worker ended before it served") >= 2 }, "two attempts fail")
	config(t, conf, base, 1, "")
	until(t, time.Minute, func() bool { return p.count("a new worker serves, the old one drains") >= 1 }, "a worker takes over")
	l.stop(t)
	p.stop()
}

func children(t testing.TB, pid int) (list []int) {
	t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range tasks {
		b, _ := os.ReadFile(f)
		for _, word := range strings.Fields(string(b)) {
			if n, err := strconv.Atoi(word); err == nil && alive(n) {
				list = append(list, n)
			}
		}
	}
	return list
}

func TestANewProgramTakesOverUnderLoad(t *testing.T) {
	for name, more := range map[string][]string{
		"alone":             nil,
		"with a supervisor": {"--max-requests-before-restart", "300"},
	} {
		t.Run(name, func(t *testing.T) {
			base, conf, prog := upstream(t), filepath.Join(t.TempDir(), "config.yaml"), program(t)
			config(t, conf, base, 1, "litellm_settings: {callbacks: [prometheus]}")
			env, args, gets := ports(t)
			p := serve(t, prog, freePort(t), env, append(append(args, "--config", conf), more...)...)
			l := startLoad(p.url(), 3, 20*time.Millisecond, append(gets, p.url()+"/health/readiness")...)
			time.Sleep(span() / 4)

			// A program that cannot run must not cost the one that serves.
			if err := os.WriteFile(prog+".new", []byte("#!/bin/sh\nexit 7\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(prog+".new", prog); err != nil {
				t.Fatal(err)
			}
			p.signal(syscall.SIGUSR2)
			until(t, time.Minute, func() bool { return p.count("ended with code 7 before it served") == 1 }, "the failure is reported")

			install(t, prog)
			p.signal(syscall.SIGUSR2)
			until(t, time.Minute, func() bool { return len(p.successors()) == 1 }, "another process serves")
			if code := p.wait(time.Minute); code != 0 {
				t.Errorf("the old process ended with %d", code)
			}
			time.Sleep(span() / 4)
			install(t, prog)
			second := p.successors()[0]
			if err := syscall.Kill(second, syscall.SIGUSR2); err != nil {
				t.Fatal(err)
			}
			until(t, time.Minute, func() bool { return len(p.successors()) == 2 && !alive(second) }, "a third process serves, the second has ended")
			time.Sleep(span() / 4)
			l.stop(t)
			last := p.successors()[1]
			if err := syscall.Kill(last, syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			until(t, time.Minute, func() bool { return !alive(last) && len(children(t, last)) == 0 }, "the last process has ended")
		})
	}
}
