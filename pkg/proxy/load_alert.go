package proxy

import (
	"slices"
	"time"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/redact"
	"github.com/llmgw/llmgw/pkg/proxy/alert"
)

// alerts reads general_settings.alerting and what belongs to it.
func (l *loader) alerts() {
	g := l.tree.Section("general_settings")
	n := g.Get("alerting")
	channels := l.names(n)
	o := &alert.Options{ProxyURL: l.env.Get("PROXY_BASE_URL")}
	for _, channel := range channels {
		switch channel {
		case "slack":
			l.slack(o, n, g)
		case "ms_teams":
			if o.Teams = secretOf(l.env, "MS_TEAMS_WEBHOOK_URL"); o.Teams.IsZero() {
				l.report(finding.Warning, n, "general_settings.alerting names ms_teams, but MS_TEAMS_WEBHOOK_URL is not set: no alert is sent there")
			}
		case "pagerduty":
			l.pager(o, n, g.Get("alerting_args"))
		case "webhook", "email":
			// As in LiteLLM, which sends nothing else there.
			l.report(finding.Warning, n, "general_settings.alerting: %q is told of budgets alone, which need the database; slack, ms_teams and pagerduty are told of calls", channel)
		default:
			l.report(finding.Warning, n, "general_settings.alerting: alerts by %q are not known; slack, which takes every address that speaks Slack's webhooks, ms_teams and pagerduty are", channel)
		}
	}
	if o.URL.IsZero() && len(o.ByKind) == 0 && o.Teams.IsZero() && o.Pager == nil {
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
	for _, item := range g.Get("alert_type_config").Items() {
		l.digest(o, item)
	}
	args := g.Get("alerting_args")
	o.OutageWindow, o.RegionWindow = l.seconds(args.Get("outage_alert_ttl")), l.seconds(args.Get("region_outage_alert_ttl"))
	o.Report, o.ReportCheck = l.seconds(args.Get("daily_report_frequency")), l.seconds(args.Get("report_check_interval"))
	if o.Report == 0 {
		o.Report = time.Duration(l.envNumber("SLACK_DAILY_REPORT_FREQUENCY") * float64(time.Second))
	}
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

// slack reads where Slack's alerts go.
func (l *loader) slack(o *alert.Options, n, g *config.Node) {
	o.URL = secretOf(l.env, "SLACK_WEBHOOK_URL")
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
	}
}

// digest reads an entry of alert_type_config.
func (l *loader) digest(o *alert.Options, item *config.Node) {
	if !slices.Contains(alert.Kinds, item.Key) {
		l.report(finding.Info, item, "general_settings.alert_type_config: %s is not sent by this release yet", item.Key)
		return
	}
	if b := l.flag(item.Get("digest")); b == nil || !*b {
		return
	}
	const day = 24 * time.Hour
	every := l.seconds(item.Get("digest_interval"))
	if every == 0 {
		every = day
	}
	if o.Digest == nil {
		o.Digest = map[string]time.Duration{}
	}
	o.Digest[item.Key] = every
}

// pager reads when PagerDuty calls somebody.
func (l *loader) pager(o *alert.Options, n, args *config.Node) {
	key := secretOf(l.env, "PAGERDUTY_API_KEY")
	if key.IsZero() {
		l.report(finding.Warning, n, "general_settings.alerting names pagerduty, but PAGERDUTY_API_KEY is not set: nobody is called")
		return
	}
	count := func(name string) int {
		if i := l.whole(args.Get(name), 1, 1e5); i != nil {
			return *i
		}
		return 0
	}
	o.Pager = &alert.Pager{
		Key: key, Failures: count("failure_threshold"), FailureWindow: l.seconds(args.Get("failure_threshold_window_seconds")),
		HangingAfter: l.seconds(args.Get("hanging_threshold_seconds")), Hanging: count("hanging_threshold_fails"), HangingWindow: l.seconds(args.Get("hanging_threshold_window_seconds")),
	}
}
