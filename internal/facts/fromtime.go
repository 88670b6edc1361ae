package facts

import (
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
)

// seconds reads a key that holds a number of seconds.
func seconds(node *config.Node, name string) Seconds {
	if v, ok := node.Number(); ok && v >= 0 && v < huge {
		return NewSeconds(v, name, node.Where())
	}
	return Seconds{}
}

func (g gatherer) seconds(path string) Seconds {
	name := path
	if _, key, ok := strings.Cut(path, "."); ok && strings.HasPrefix(path, "litellm_settings.") {
		name = key
	}
	return seconds(g.key(path), name)
}

// times gathers everything that is measured in seconds.
func (g gatherer) times(d *Deployment) {
	d.Request = g.seconds("litellm_settings.request_timeout").Or(g.envSeconds("REQUEST_TIMEOUT")).
		Or(AssumedSeconds(DefaultRequestTimeout, "request_timeout, assumed"))
	d.RouterTimeout = g.seconds("router_settings.timeout")
	d.StreamTimeout = g.seconds("router_settings.stream_timeout")
	for _, section := range []string{"router_settings", "litellm_settings"} {
		if node := g.key(section + ".num_retries"); !d.Retries.IsSet() {
			if v, ok := node.Int(); ok {
				d.Retries = NewInt(clampRetries(int(min(v, 1<<20))), "num_retries", node.Where())
			}
		}
		if node := g.key(section + ".max_fallbacks"); !d.MaxFallbacks.IsSet() {
			if v, ok := node.Int(); ok {
				d.MaxFallbacks = NewInt(int(max(0, min(v, 1<<20))), "max_fallbacks", node.Where())
			}
		}
	}
	if on, ok := g.key("general_settings.enable_drain_endpoint").Bool(); ok {
		d.DrainEndpoint = on
	}
	d.Client = d.Client.Or(AssumedSeconds(DefaultClientTimeout, "OpenAI SDK default"))
	d.Ping = g.ping()
	d.LBIdle = g.lbIdle()
	d.DrainTimeout = g.envSeconds("GRACEFUL_SHUTDOWN_TIMEOUT")
	if d.Target == LLMGW {
		d.DrainTimeout = d.DrainTimeout.Or(d.Request)
	} else {
		d.DrainTimeout = d.DrainTimeout.Or(AssumedSeconds(30, "GRACEFUL_SHUTDOWN_TIMEOUT, default"))
	}
	d.KeepAlive = g.keepAlive(d.Target)
	if w := g.workload; w != nil {
		d.Grace = AssumedSeconds(30, "terminationGracePeriodSeconds, Kubernetes default")
		if w.Grace.Set {
			d.Grace = NewSeconds(float64(max(0, w.Grace.Value)), "terminationGracePeriodSeconds", w.Grace.Pos)
		}
	}
	if c := g.container; c != nil && c.PreStop.Set {
		switch p := c.PreStop; {
		case p.Known:
			d.PreStop = NewSeconds(max(0, p.Seconds), "preStop sleep", p.Pos)
		case p.Kind == "httpGet":
			d.PreStop = Seconds{Value: d.DrainTimeout.Value, Origin: Origin{Text: "preStop drain, " + d.DrainTimeout.Text, Pos: p.Pos}}
		}
	}
}

func (g gatherer) keepAlive(t Target) Seconds {
	if text, pos, ok := g.arg("keepalive_timeout"); ok {
		if v, ok := parseSeconds(text); ok {
			return NewSeconds(v, "--keepalive_timeout", pos)
		}
	}
	def := 5.0
	if t == LLMGW {
		def = 75
	}
	return g.envSeconds("KEEPALIVE_TIMEOUT").Or(AssumedSeconds(def, "keepalive_timeout, default"))
}

// ping is the longest interval at which a silent stream is kept alive; unset
// when some deployment sends none.
func (g gatherer) ping() Seconds {
	var longest Seconds
	if g.tree != nil {
		models := g.key("model_list").Items()
		for _, m := range models {
			node := m.Lookup("litellm_params.keepalive_seconds")
			v, ok := node.Number()
			if !ok || v <= 0 {
				longest = Seconds{}
				break
			}
			if s := NewSeconds(min(max(v, 1), 300), "keepalive_seconds", node.Where()); !longest.IsSet() || s.Value > longest.Value {
				longest = s
			}
		}
	}
	if longest.IsSet() {
		return longest
	}
	if s := g.seconds("litellm_settings.sse_keepalive_ping_interval_seconds"); s.IsSet() && s.Value > 0 {
		return s
	}
	return Seconds{}
}

// lbIdle is how long the balancer in front waits in silence.
func (g gatherer) lbIdle() Seconds {
	var classDefault Seconds
	if g.workload != nil {
		for _, o := range g.workload.Ingresses {
			for _, name := range []string{"nginx.ingress.kubernetes.io/proxy-read-timeout", "nginx.org/proxy-read-timeout"} {
				if a, ok := o.Annotations[name]; ok {
					if v, ok := parseSeconds(a.Value); ok {
						return NewSeconds(v, "nginx proxy-read-timeout", a.Pos)
					}
				}
			}
			if a, ok := o.Annotations["alb.ingress.kubernetes.io/load-balancer-attributes"]; ok {
				for _, pair := range strings.Split(a.Value, ",") {
					k, v, _ := strings.Cut(strings.TrimSpace(pair), "=")
					if n, ok := parseSeconds(v); ok && k == "idle_timeout.timeout_seconds" {
						return NewSeconds(n, "ALB idle_timeout.timeout_seconds", a.Pos)
					}
				}
			}
			class, pos := ingressClass(o)
			if slices.Contains([]string{"nginx", "alb"}, class) && !classDefault.IsSet() {
				classDefault = Seconds{Value: 60, Origin: Origin{Text: class + " default", Pos: pos, Assumed: true}}
			}
		}
	}
	return classDefault.Or(g.flags.LBIdle)
}
