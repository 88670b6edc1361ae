package proxy

import (
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/telemetry/sink"
)

// served are the callbacks that this build has under their own name.
var served = []string{"prometheus", "otel"}

// posted are LiteLLM's callbacks that are nothing but its generic one with an
// address of their own.
var posted = map[string]struct {
	url, key, header string // variables, and the header that the key goes into
	format           sink.Format
	noFailure        bool
}{
	"generic_api":    {url: "GENERIC_LOGGER_ENDPOINT"},
	"sumologic":      {url: "SUMOLOGIC_WEBHOOK_URL", format: sink.Lines},
	"rubrik":         {url: "RUBRIK_WEBHOOK_URL", key: "RUBRIK_API_KEY", header: "Authorization", noFailure: true},
	"qualifire_eval": {url: "QUALIFIRE_WEBHOOK_URL", key: "QUALIFIRE_API_KEY", header: "X-Qualifire-API-Key", noFailure: true},
}

// sinks reads where records of calls go: the callbacks that can be served by
// posting records, and llmgw.log_sink. Other callbacks are named.
func (l *loader) sinks() {
	s := l.tree.Section("litellm_settings")
	base := sink.Options{
		HideCallers: l.tree.LiteLLM().RedactUserAPIKeyInfo.V,
		HideErrors:  l.isOn(s.Get("redact_messages_in_exceptions")) || l.tree.LiteLLM().TurnOffMessageLogging.V,
	}
	if n := l.envNumber("DEFAULT_BATCH_SIZE"); n > 0 {
		base.Batch = int(n)
	}
	base.Interval = time.Duration(l.envNumber("DEFAULT_FLUSH_INTERVAL_SECONDS") * float64(time.Second))
	for _, key := range []string{"callbacks", "success_callback", "failure_callback"} {
		n := s.Get(key)
		for _, item := range append(n.Items(), scalar(n)...) {
			name, ok := item.Scalar()
			if !ok || name == "" || slices.Contains(served, name) {
				continue
			}
			o := base
			o.Name, o.NoFailure, o.NoSuccess = name, key == "success_callback", key == "failure_callback"
			if l.poster(&o, item, name) {
				l.addSink(o)
			}
		}
	}
	if n := l.tree.Section("llmgw").Get("log_sink"); !n.IsNull() {
		o := base
		if l.ownSink(&o, n) {
			l.addSink(o)
		}
	}
}

// callbacks notes which of the callbacks for successes are served.
func (l *loader) callbacks() {
	s := l.tree.LiteLLM()
	for _, name := range slices.Concat(s.SuccessCallbacks.V, s.Callbacks.V) {
		sends := slices.ContainsFunc(l.c.Telemetry.Sinks, func(o sink.Options) bool { return o.Name == name && !o.NoSuccess })
		if (sends || slices.Contains(served, name)) && !slices.Contains(l.c.API.Callbacks, name) {
			l.c.API.Callbacks = append(l.c.API.Callbacks, name)
		}
	}
}

// addSink keeps a sink; a callback that is named for successes and for failures
// is one.
func (l *loader) addSink(o sink.Options) {
	for i := range l.c.Telemetry.Sinks {
		if have := &l.c.Telemetry.Sinks[i]; have.Name == o.Name {
			have.NoSuccess, have.NoFailure = have.NoSuccess && o.NoSuccess, have.NoFailure && o.NoFailure
			return
		}
	}
	l.c.Telemetry.Sinks = append(l.c.Telemetry.Sinks, o)
}

// poster prepares a callback that posts records; false where the name is not one.
func (l *loader) poster(o *sink.Options, item *config.Node, name string) bool {
	settings := l.tree.Section("callback_settings").Get(name)
	known, ok := posted[name]
	own := l.text(settings.Get("callback_type")) == "generic_api"
	if !ok && !own {
		l.report(finding.Warning, item, "callback %q is not part of llmgw and is left out; llmgw.log_sink writes every call as a line of JSON, to a file, standard output or an endpoint", name)
		return false
	}
	o.Headers = map[string]redact.Secret{}
	for pair := range strings.SplitSeq(l.env.Get("GENERIC_LOGGER_HEADERS"), ",") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			o.Headers[strings.TrimSpace(key)] = redact.New(strings.TrimSpace(value))
		}
	}
	l.headers(o.Headers, l.tree.Section("litellm_settings").Get("generic_logger_headers"))
	o.Format = known.format
	if own {
		o.URL = settings.Get("endpoint").Secret()
		l.headers(o.Headers, settings.Get("headers"))
	} else {
		o.URL = secretOf(l.env, known.url)
		o.NoFailure = o.NoFailure || known.noFailure
		if key := secretOf(l.env, known.key); !key.IsZero() {
			text := key.Reveal()
			if known.header == "Authorization" {
				text = "Bearer " + text
			}
			o.Headers[known.header] = redact.New(text)
		}
	}
	if o.URL.IsZero() {
		where := known.url
		if own {
			where = "callback_settings." + name + ".endpoint"
		}
		l.report(finding.Error, item, "callback %q sends nothing: %s is not set", name, where)
		return false
	}
	l.sinkSettings(o, settings)
	return l.address(o, item)
}

// ownSink reads llmgw.log_sink.
func (l *loader) ownSink(o *sink.Options, n *config.Node) bool {
	to := n.Get("to")
	if n.IsScalar() {
		to = n // the short form
	}
	where := to.Secret().Reveal()
	o.Name, o.Retries, o.Format = "log_sink", 3, sink.Lines
	switch {
	case where == "":
		l.report(finding.Error, n, "llmgw.log_sink.to is missing: write stdout, the path of a file, or an http(s) URL; nothing is written")
		return false
	case where == "stdout" || where == "-":
		o.To = os.Stdout
	case strings.Contains(where, "://"):
		o.URL = to.Secret()
		if !l.address(o, to) {
			return false
		}
	default:
		o.File = where
	}
	if n.IsScalar() {
		return true
	}
	o.Headers = map[string]redact.Secret{}
	l.headers(o.Headers, n.Get("headers"))
	if i := l.whole(n.Get("batch_size"), 1, 1e5); i != nil {
		o.Batch = *i
	}
	if d := l.seconds(n.Get("flush_interval")); d > 0 {
		o.Interval = d
	}
	if i := l.whole(n.Get("max_queue_mb"), 1, 1<<16); i != nil {
		o.MaxBytes = *i << 20
	}
	l.sinkSettings(o, n)
	return true
}

// sinkSettings reads what all records' targets have in common.
func (l *loader) sinkSettings(o *sink.Options, n *config.Node) {
	if f := n.Get("log_format"); !f.IsNull() {
		switch word := sink.Format(l.text(f)); word {
		case sink.Array, sink.Lines, sink.Single:
			o.Format = word
		default:
			l.report(finding.Warning, f, "%s must be json_array, ndjson or single; json_array is used", f.Path())
			o.Format = sink.Array
		}
	}
	if e := n.Get("event_types"); !e.IsNull() {
		types := l.names(e)
		o.NoSuccess = o.NoSuccess || !slices.Contains(types, "llm_api_success")
		o.NoFailure = o.NoFailure || !slices.Contains(types, "llm_api_failure")
	}
	if i := l.whole(n.Get("max_retries"), 0, 100); i != nil {
		o.Retries = *i
	}
	if d := l.seconds(n.Get("retry_delay")); d > 0 {
		o.RetryDelay = d
	}
	if d := l.seconds(n.Get("timeout")); d > 0 {
		o.Timeout = d
	}
	o.Messages = l.isOn(n.Get("message_logging")) && !l.tree.LiteLLM().TurnOffMessageLogging.V
}

func (l *loader) headers(to map[string]redact.Secret, n *config.Node) {
	for _, item := range n.Items() {
		to[item.Key] = item.Secret()
	}
}

// address looks whether records can be posted to an address.
func (l *loader) address(o *sink.Options, n *config.Node) bool {
	if u, err := url.Parse(o.URL.Reveal()); err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return true
	}
	l.report(finding.Error, n, "%s: the address of %s is not an http(s) URL; nothing is sent", n.Path(), o.Name)
	return false
}

func (l *loader) isOn(n *config.Node) bool {
	b := l.flag(n)
	return b != nil && *b
}

// envNumber reads a variable that holds a number; 0 when it is absent or wrong.
func (l *loader) envNumber(name string) float64 {
	text := strings.TrimSpace(l.env.Get(name))
	if text == "" {
		return 0
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= maxSeconds) {
		l.report(finding.Warning, nil, "%s is not a usable number; it is left out", name)
		return 0
	}
	return f
}
