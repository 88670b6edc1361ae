package rule

import (
	"fmt"
	"strconv"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
)

const (
	requestTimeout = settings + "request_timeout"
	ingressNginx   = `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: litellm, annotations: {nginx.ingress.kubernetes.io/proxy-read-timeout: "60", nginx.ingress.kubernetes.io/whitelist-source-range: 10.0.0.0/8}}
spec:
  ingressClassName: nginx
  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: litellm, port: {number: 4000}}}}]}}]
`
	ingressSlow = `---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: litellm, annotations: {nginx.ingress.kubernetes.io/proxy-read-timeout: "630", nginx.ingress.kubernetes.io/whitelist-source-range: 10.0.0.0/8}}
spec:
  ingressClassName: nginx
  rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: litellm, port: {number: 4000}}}}]}}]
`
	ping = "      request_timeout: 600\n      sse_keepalive_ping_interval_seconds: 15\n"
)

func init() {
	register(
		&Rule{
			ID: "TMO001", Name: "request-timeout-unset", Severity: "warning/info", Priority: 1, Fix: Safe,
			Title:  "no limit for a request is written down",
			When:   "litellm_settings.request_timeout and REQUEST_TIMEOUT are absent; info for llmgw, whose default is 600 seconds.",
			Why:    "LiteLLM's pages name 600 and 6000 seconds as its default: one stuck provider may hold sockets for 100 minutes.",
			Remedy: "write litellm_settings.request_timeout: 600.",
			Source: []string{"LiteLLM production guide, sections 1 and 3c"},
			Bad:    Example{Config: oneModel + "litellm_settings: {json_logs: true}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {json_logs: true, request_timeout: 600}\n"},
			Check: func(u *Unit) []Hit {
				if u.Config == nil || u.SettingOr(requestTimeout, "REQUEST_TIMEOUT").State != Absent {
					return nil
				}
				h := hitf(u.At(requestTimeout), requestTimeout, sevWarn, "request_timeout is not set; one stuck provider may hold a request for up to 6000 seconds")
				if u.Target == facts.LLMGW {
					h.Severity, h.Message = sevInfo, "request_timeout is not set; llmgw ends a request after 600 seconds"
				}
				h.Edits = u.insert("litellm_settings", "request_timeout: 600")
				return []Hit{h}
			},
		},
		&Rule{
			ID: "TMO002", Name: "request-timeout-extreme", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "an unusual request timeout",
			When:   "request_timeout is above 3600 or below 10 seconds.",
			Why:    "it is longer than any sane client waits, or shorter than a reasoning model thinks.",
			Remedy: "60 to 900 seconds fit most; 600 is the recommendation.",
			Source: []string{"LiteLLM production guide, section 1"},
			Bad:    Example{Config: oneModel + "litellm_settings: {request_timeout: 7200}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {request_timeout: 600}\n"},
			Check: func(u *Unit) []Hit {
				v := u.SettingOr(requestTimeout, "REQUEST_TIMEOUT")
				n, ok := v.number()
				return when(ok && (n > 3600 || n < 10), u.spanOf(v), v.path("REQUEST_TIMEOUT"), sevWarn, "request_timeout is %v seconds", n)
			},
		},
		&Rule{
			ID: "TMO003", Name: "grace-too-short", Severity: "error/warning", Priority: 1, Fix: Unsafe, Off: []Profile{Dev},
			Title:  "a pod is killed before its requests end",
			When:   "terminationGracePeriodSeconds (30 unless written) is below request_timeout plus the preStop sleep (error), or less than 10 seconds above it (warning).",
			Why:    "SIGKILL cuts the streams that the drain waits for. preStop counts against the same budget.",
			Remedy: "set terminationGracePeriodSeconds to request_timeout + preStop + 15.",
			Source: []string{"LiteLLM production guide, section 3c", "kubernetes/kubernetes issue 74160", "LiteLLM issue 14334"},
			Bad:    k8s("terminationGracePeriodSeconds: 620", "terminationGracePeriodSeconds: 30"),
			Good:   k8sGood("terminationGracePeriodSeconds: 620"),
			Also:   map[string]string{"DB025": "a pod that ends at once cannot write its last spend either"},
			Check:  graceTooShort,
		},
		&Rule{
			ID: "TMO004", Name: "prestop-missing", Severity: "info", Priority: 1, Fix: Safe,
			Title:  "no preStop hook",
			When:   "the serving container has no lifecycle.preStop.",
			Why:    "for a moment after SIGTERM traffic still arrives; the hook is optional.",
			Remedy: "add a preStop sleep of 5 seconds (on Kubernetes 1.30 and newer: preStop.sleep.seconds, which needs no shell).",
			Source: []string{"LiteLLM production guide, section 3c"},
			Bad:    k8s("          lifecycle: {preStop: {exec: {command: [\"sh\", \"-c\", \"sleep 5\"]}}}\n", ""),
			Good:   k8sGood(`lifecycle: {preStop: {exec: {command: ["sh", "-c", "sleep 5"]}}}`),
			Check: func(u *Unit) []Hit {
				return when(u.Container != nil && !u.Container.PreStop.Set, u.containerName(), "lifecycle.preStop", sevInfo, "there is no preStop hook: traffic still arrives for a moment after SIGTERM")
			},
		},
		&Rule{
			ID: "TMO005", Name: "lb-idle-below-longest", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "the balancer gives up before the gateway does",
			When:   "the balancer's idle or read timeout is known and below request_timeout.",
			Why:    "an answer that is not streamed is silent until its end, so the balancer answers 504 while the provider still works.",
			Remedy: "raise the balancer's timeout above request_timeout.",
			Source: []string{"LiteLLM issues 9551 and 31865"},
			Bad:    k8s("", ingressNginx).and("      request_timeout: 600\n", ping),
			Good:   k8s("", ingressSlow).and("      request_timeout: 600\n", ping),
			Check: func(u *Unit) []Hit {
				c := facts.Chain(u.Facts.Chain())
				return when(c.IsBroken("I4"), u.idleAt(c), "", sevWarn, "the balancer waits %s seconds, a request may take %s", c.In.LBIdle, c.In.Request)
			},
		},
		&Rule{
			ID: "TMO006", Name: "stream-keepalive-missing", Severity: "warning", Priority: 1, Fix: Safe,
			Title:  "a silent stream is cut by the balancer",
			When:   "as TMO005, and no keep-alive ping shorter than the balancer's timeout.",
			Why:    "reasoning models stay silent for 30 to 120 seconds before the first token.",
			Remedy: "set litellm_settings.sse_keepalive_ping_interval_seconds. After the first ping an error arrives inside the stream, under status 200.",
			Source: []string{"LiteLLM timeout guide", "LiteLLM issues 34819, 37322 and 38358"},
			Bad:    k8s("", ingressNginx),
			Good:   k8s("", ingressNginx).and("      request_timeout: 600\n", ping),
			Check: func(u *Unit) []Hit {
				c := facts.Chain(u.Facts.Chain())
				if !c.IsBroken("I5") {
					return nil
				}
				h := hitf(u.idleAt(c), settings+"sse_keepalive_ping_interval_seconds", sevWarn, "no keep-alive ping is shorter than the balancer's %s seconds", c.In.LBIdle)
				seconds := min(15, max(1, int(c.In.LBIdle.Value/3)))
				h.Fix = fmt.Sprintf("write litellm_settings.sse_keepalive_ping_interval_seconds: %d. After the first ping an error arrives inside the stream, under status 200.", seconds)
				return []Hit{h}
			},
		},
		&Rule{
			ID: "TMO007", Name: "chain-exceeds-client", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "retries and fallbacks go on after the client has left",
			When:   "retries are written or fallbacks exist, and the attempts of a group add up to more than the client waits (--client-timeout, 600 by default).",
			Why:    "the gateway pays for answers that nobody reads, and the client's own retries come on top.",
			Remedy: "lower num_retries, or set router_settings.timeout or a timeout per model.",
			Source: []string{"OpenAI SDK, default timeout", "LiteLLM timeout guide"},
			Bad:    Example{Config: oneModel + "litellm_settings: {request_timeout: 600}\nrouter_settings: {num_retries: 2}\n"},
			Good:   Example{Config: oneModel + "litellm_settings: {request_timeout: 600}\nrouter_settings: {num_retries: 2, timeout: 120}\n"},
			Check:  chainTooLong,
		},
		&Rule{
			ID: "TMO008", Name: "stream-timeout-order", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "stream_timeout is longer than timeout",
			When:   "stream_timeout is above timeout, on a deployment or in router_settings.",
			Why:    "stream_timeout limits the first chunk, timeout the whole answer: the first can never fire.",
			Remedy: "lower stream_timeout.",
			Source: []string{"LiteLLM timeout guide"},
			Bad:    Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, timeout: 60, stream_timeout: 90}\n"},
			Good:   Example{Config: "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, timeout: 90, stream_timeout: 30}\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				check := func(timeout, stream Val) {
					t, ok1 := timeout.number()
					s, ok2 := stream.number()
					out = append(out, when(ok1 && ok2 && s > t, u.spanOf(stream), stream.Path, sevWarn, "stream_timeout %v is longer than timeout %v", s, t)...)
				}
				for m := range u.models() {
					check(u.Resolve(m.Params.Get("timeout")), u.Resolve(m.Params.Get("stream_timeout")))
				}
				check(u.Setting(router+"timeout"), u.Setting(router+"stream_timeout"))
				return out
			},
		},
		&Rule{
			ID: "TMO009", Name: "timeout-unit-suspect", Severity: "warning", Priority: 2, Fix: Manual,
			Title:  "a timeout that looks like another unit",
			When:   "timeout or stream_timeout is below 1 or above 6000.",
			Why:    "timeouts are seconds; these look like milliseconds, or the values of a demo.",
			Remedy: "write seconds.",
			Source: []string{"LiteLLM timeout guide"},
			Bad:    Example{Config: oneModel + "router_settings: {timeout: 30000}\n"},
			Good:   Example{Config: oneModel + "router_settings: {timeout: 30}\n"},
			Check: func(u *Unit) []Hit {
				var out []Hit
				check := func(v Val) {
					n, ok := v.number()
					out = append(out, when(ok && (n < 1 || n > 6000), u.spanOf(v), v.Path, sevWarn, "%v seconds look like another unit", n)...)
				}
				for m := range u.models() {
					check(u.Resolve(m.Params.Get("timeout")))
					check(u.Resolve(m.Params.Get("stream_timeout")))
				}
				check(u.Setting(router + "timeout"))
				check(u.Setting(router + "stream_timeout"))
				return out
			},
		},
		&Rule{
			ID: "TMO010", Name: "server-keepalive-below-lb", Severity: "info", Priority: 2, Fix: Manual, Target: facts.LiteLLM, Closed: true,
			Title:  "the server closes connections that the balancer reuses",
			When:   "the balancer's idle timeout is known and not below the server's keep-alive, 5 seconds by default.",
			Why:    "now and then the balancer sends a request on a connection that is being closed: a sporadic 502.",
			Remedy: "pass --keepalive_timeout with the balancer's idle timeout + 15.",
			Source: []string{"HTTP practice", "LiteLLM server tuning guide"},
			Bad:    k8s("", ingressSlow),
			Good:   k8s("", ingressSlow).and(`"--num_workers", "1"`, `"--keepalive_timeout", "75", "--num_workers", "1"`),
			Check: func(u *Unit) []Hit {
				idle := u.Facts.LBIdle
				if !idle.IsSet() || !u.Env.Closed() {
					return nil
				}
				reuse := idle.Value
				if len(idle.Text) >= 5 && idle.Text[:5] == "nginx" {
					reuse = 60
				}
				c := facts.Chain(u.Facts.Chain())
				return when(u.Facts.KeepAlive.Value <= reuse, u.idleAt(c), "", sevInfo, "the server closes an idle connection after %s seconds, the balancer reuses it for %v", u.Facts.KeepAlive, reuse)
			},
		},
		&Rule{
			ID: "TMO011", Name: "gunicorn-graceful-window", Severity: "info", Priority: 2, Fix: Manual, Target: facts.LiteLLM,
			Title:  "Gunicorn gives requests 30 seconds to end",
			When:   "--run_gunicorn is given and request_timeout is above 30.",
			Why:    "on SIGTERM and on recycling, requests that take longer are cut.",
			Remedy: "run one Uvicorn worker per pod.",
			Source: []string{"LiteLLM production guide, section 3c"},
			Bad:    k8s(`"--num_workers", "1", `, `"--num_workers", "1", "--run_gunicorn", `),
			Good:   k8sGood(`args: ["--num_workers", "1"]`),
			Also:   map[string]string{"PRF005": "one worker needs no Gunicorn"},
			Check: func(u *Unit) []Hit {
				return when(u.Args.Has("run_gunicorn") && u.Facts.Request.Value > 30, u.Args.Pos, "--run_gunicorn", sevInfo, "Gunicorn gives requests 30 seconds to end, a request may take %s", u.Facts.Request)
			},
		},
		&Rule{
			ID: "TMO012", Name: "drain-budget", Severity: "warning", Priority: 2, Fix: Manual, Target: facts.LiteLLM,
			Title:  "the drain endpoint gives up early",
			When:   "enable_drain_endpoint is true and GRACEFUL_SHUTDOWN_TIMEOUT is below request_timeout, or twice of it plus 10 is above the grace period.",
			Why:    "the preStop drain and the shutdown handler can each wait in full, one after the other.",
			Remedy: "raise GRACEFUL_SHUTDOWN_TIMEOUT and terminationGracePeriodSeconds.",
			Source: []string{"LiteLLM issue 29439"},
			Bad:    k8s("      disable_error_logs: true\n", "      disable_error_logs: true\n      enable_drain_endpoint: true\n      drain_endpoint_token: os.environ/LITELLM_MASTER_KEY\n"),
			Good: k8s("      disable_error_logs: true\n", "      disable_error_logs: true\n      enable_drain_endpoint: true\n      drain_endpoint_token: os.environ/LITELLM_MASTER_KEY\n").
				and("terminationGracePeriodSeconds: 620", "terminationGracePeriodSeconds: 1220"),
			Check: func(u *Unit) []Hit {
				c := facts.Chain(u.Facts.Chain())
				for _, b := range c.Broken {
					if b.ID == "I9" {
						return hit(u.At(general+"enable_drain_endpoint"), general+"enable_drain_endpoint", sevWarn, b.Text)
					}
				}
				return nil
			},
		},
		&Rule{
			ID: "TMO013", Name: "drain-timeout-short", Severity: "warning", Priority: 1, Fix: Manual, Target: facts.LiteLLM,
			Title:  "LiteLLM waits for its requests for 30 seconds only",
			When:   "GRACEFUL_SHUTDOWN_TIMEOUT, 30 by default, is below request_timeout.",
			Why:    "however long the grace period is, the server itself stops waiting after that time.",
			Remedy: "set GRACEFUL_SHUTDOWN_TIMEOUT to request_timeout + 5.",
			Source: []string{"LiteLLM's shutdown handler"},
			Bad:    k8s("            - {name: GRACEFUL_SHUTDOWN_TIMEOUT, value: \"605\"}\n", ""),
			Good:   k8sGood(`{name: GRACEFUL_SHUTDOWN_TIMEOUT, value: "605"}`),
			Check: func(u *Unit) []Hit {
				d := u.Facts
				if u.Container == nil || u.EnvMaybe("GRACEFUL_SHUTDOWN_TIMEOUT") || !u.Env.Has("GRACEFUL_SHUTDOWN_TIMEOUT") && !u.Env.Closed() || d.DrainTimeout.Value >= d.Request.Value {
					return nil
				}
				pos := u.Container.EnvPos
				if v := u.variable("GRACEFUL_SHUTDOWN_TIMEOUT"); v.Present() {
					pos = v.Pos
				} else if pos.IsZero() {
					pos = u.containerName()
				}
				return hit(pos, "GRACEFUL_SHUTDOWN_TIMEOUT", sevWarn, fmt.Sprintf("LiteLLM waits %s seconds for its requests, one may take %s", d.DrainTimeout, d.Request))
			},
		},
		&Rule{
			ID: "TMO014", Name: "grace-above-autoscaler", Severity: "info", Priority: 2, Fix: Manual,
			Title:  "cluster autoscalers do not wait that long",
			When:   "terminationGracePeriodSeconds is above 600.",
			Why:    "a node that is scaled down is taken away after 600 seconds by default, whatever the pod asks for.",
			Remedy: "raise the autoscaler's --max-graceful-termination-sec.",
			Source: []string{"Kubernetes cluster autoscaler"},
			Bad:    k8sGood("terminationGracePeriodSeconds: 620"),
			Good:   k8s("terminationGracePeriodSeconds: 620", "terminationGracePeriodSeconds: 320").and("request_timeout: 600", "request_timeout: 300"),
			Check: func(u *Unit) []Hit {
				if u.Workload == nil || !u.Workload.Grace.Set || u.Workload.Grace.Value <= 600 {
					return nil
				}
				return hit(u.Workload.Grace.Pos, "terminationGracePeriodSeconds", sevInfo, fmt.Sprintf("cluster autoscalers wait 600 seconds by default, not %d", u.Workload.Grace.Value))
			},
		},
	)
}

func graceTooShort(u *Unit) []Hit {
	w := u.Workload
	if w == nil || !u.Facts.Grace.IsSet() {
		return nil
	}
	c := u.Facts
	need := c.Request.Value + c.PreStop.Value
	grace := c.Grace.Value
	if grace >= need+facts.GraceSlack {
		return nil
	}
	sev, message := sevError, "the pod is killed before its requests end"
	if grace >= need {
		sev, message = sevWarn, fmt.Sprintf("the pod has less than %d seconds to spare when its longest request ends", facts.GraceSlack)
	}
	pos := w.PodSpecPos
	if w.Grace.Set {
		pos = w.Grace.Pos
	}
	pre := ""
	if c.PreStop.Value > 0 {
		pre = fmt.Sprintf(" + %s", c.PreStop)
	}
	h := hitf(pos, "terminationGracePeriodSeconds", sev, "%s", message)
	h.Detail = []string{fmt.Sprintf("%s%s = %s, grace period %s", c.Request, pre, trimFloat(need), c.Grace)}
	h.Fix = fmt.Sprintf("set terminationGracePeriodSeconds: %s.", trimFloat(need+15))
	h.Props = map[string]any{"request": c.Request.Value, "preStop": c.PreStop.Value, "grace": grace}
	return []Hit{h}
}

func chainTooLong(u *Unit) []Hit {
	c := facts.Chain(u.Facts.Chain())
	if u.Config == nil || !c.IsBroken("I3") {
		return nil
	}
	var detail []string
	worst := ""
	most := 0.0
	for _, g := range c.Groups {
		if g.Attempts > 1 && g.Sum > c.In.Client.Value {
			detail = append(detail, fmt.Sprintf("%s: %s > %s", g.Group, g.SumText(), c.In.Client))
			if g.Sum > most {
				most, worst = g.Sum, g.Group
			}
		}
	}
	detail = append(detail, "pauses between the attempts are not counted")
	h := hitf(u.chainAt(), "num_retries", sevWarn, "a request for %q can take %s seconds, its client waits %s", worst, trimFloat(most), c.In.Client)
	h.Detail = detail
	h.Props = map[string]any{"group": worst, "seconds": most, "client": c.In.Client.Value}
	return []Hit{h}
}

// chainAt is num_retries, else the first fallback entry.
func (u *Unit) chainAt() finding.Position {
	if u.Facts.Retries.IsSet() {
		return u.retriesAt()
	}
	for _, f := range u.fallbacks() {
		return f.node.Where()
	}
	return u.At("router_settings")
}

func (u *Unit) retriesAt() finding.Position {
	for _, p := range []string{router + "num_retries", settings + "num_retries"} {
		if n := u.Node(p); n != nil {
			return entrySpan(n)
		}
	}
	return u.At("router_settings")
}

// idleAt is where the balancer's timeout is written.
func (u *Unit) idleAt(c facts.ChainResult) finding.Position {
	if p := c.In.LBIdle.Pos; !p.IsZero() {
		return p
	}
	return u.At("litellm_settings")
}

func (u *Unit) containerName() finding.Position {
	if u.Container == nil {
		return u.Top()
	}
	return u.Container.Name.Pos
}

func trimFloat(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
