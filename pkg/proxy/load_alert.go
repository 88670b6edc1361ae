package proxy

import (
	"slices"
	"time"

	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/alert"
)

// alerts reads general_settings.alerting and what belongs to it.
func (l *loader) alerts() {
	g := l.tree.Section("general_settings")
	n := g.Get("alerting")
	channels := l.names(n)
	for _, channel := range channels {
		if channel != "slack" {
			l.report(finding.Warning, n, "general_settings.alerting: alerts by %q are not built into this release yet; slack is, and takes every address that speaks Slack's webhooks", channel)
		}
	}
	if !slices.Contains(channels, "slack") {
		return
	}
	o := &alert.Options{URL: secretOf(l.env, "SLACK_WEBHOOK_URL"), ProxyURL: l.env.Get("PROXY_BASE_URL")}
	if o.URL.IsZero() {
		o.URL = secretOf(l.env, "ALERTING_WEBHOOK_URL")
	}
	for _, item := range g.Get("alert_to_webhook_url").Items() {
		if o.ByKind == nil {
			o.ByKind = map[string][]redact.Secret{}
		}
		urls := item.Items()
		for _, u := range append(urls, scalar(item)...) {
			o.ByKind[item.Key] = append(o.ByKind[item.Key], u.Secret())
		}
	}
	if o.URL.IsZero() && len(o.ByKind) == 0 {
		l.report(finding.Warning, n, "general_settings.alerting names slack, but SLACK_WEBHOOK_URL is not set: no alert is sent")
		return
	}
	if types := g.Get("alert_types"); !types.IsNull() {
		o.Types = l.names(types)
		for _, t := range o.Types {
			if !slices.Contains(alert.Kinds, t) {
				l.report(finding.Info, types, "general_settings.alert_types: %s is not sent by this release yet", t)
			}
		}
		if o.Types == nil {
			o.Types = []string{}
		}
	}
	o.Threshold = l.seconds(g.Get("alerting_threshold"))
	args := g.Get("alerting_args")
	o.OutageWindow = l.seconds(args.Get("outage_alert_ttl"))
	count := func(name string) int {
		if i := l.whole(args.Get(name), 1, 1e6); i != nil {
			return *i
		}
		return 0
	}
	o.Minor, o.Major = count("minor_outage_alert_threshold"), count("major_outage_alert_threshold")
	if b := l.flag(args.Get("log_to_console")); b != nil {
		o.Console = *b
	}
	o.Interval = time.Duration(l.envNumber("DEFAULT_FLUSH_INTERVAL_SECONDS") * float64(time.Second))
	s := l.tree.LiteLLM()
	if b := l.flag(l.tree.Section("litellm_settings").Get("redact_messages_in_exceptions")); b != nil {
		o.Redact = *b
	}
	o.Redact = o.Redact || s.TurnOffMessageLogging.V
	l.c.Telemetry.Alerts = o
}
