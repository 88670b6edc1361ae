package rule

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"
	"sync"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
)

const (
	general   = "general_settings."
	poolKey   = general + "database_connection_pool_limit"
	retention = general + "maximum_spend_logs_retention_period"
	stockMax  = 97 // 100 connections of a stock Postgres minus the 3 of the superuser
)

// dbModel is a config with a database and nothing else to say about it.
const dbModel = oneModel + `general_settings:
  database_url: os.environ/DATABASE_URL
  database_connection_pool_limit: 10
  disable_error_logs: true
  proxy_batch_write_at: 60
  maximum_spend_logs_retention_period: "30d"
`

func withDB(line string) string { return dbModel + "  " + line + "\n" }

func dbWithout(line string) string { return strings.Replace(dbModel, "  "+line+"\n", "", 1) }

func dbWith(old, line string) string {
	return strings.Replace(dbModel, "  "+old+"\n", "  "+line+"\n", 1)
}

// databaseOf is a URL for examples.
func databaseOf(rest string) string { return "DATABASE_URL=" + rest + "\n" }

var durationForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^\d+[smhd]$`) })

func last(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[len(words)-1]
}

// spanOf is where to report a value: its config entry, or its variable.
func (u *Unit) spanOf(v Val) finding.Position {
	if v.Node != nil && v.Ref == "" {
		return entrySpan(v.Node)
	}
	return v.Pos
}

// knownURL is the database URL, parsed, where its value is known.
func (u *Unit) knownURL() (Val, *url.URL, bool) {
	v := u.DatabaseURL()
	if v.State != Known {
		return v, nil, false
	}
	parsed, err := url.Parse(v.Text)
	if err != nil || parsed.Scheme != "postgres" && parsed.Scheme != "postgresql" {
		return v, nil, false
	}
	return v, parsed, true
}

// localHost reports whether traffic to a host stays on the machine or in the
// cluster.
func localHost(host string) bool {
	host = strings.ToLower(host)
	switch {
	case host == "" || host == "localhost" || strings.HasSuffix(host, ".svc") || strings.HasSuffix(host, ".svc.cluster.local") || strings.HasSuffix(host, ".local"):
		return true
	case !strings.Contains(host, ".") && !strings.Contains(host, ":"):
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && (ip.IsLoopback() || ip.IsPrivate())
}

func (u *Unit) pool(verdict facts.Verdict, sev finding.Severity, message string) []Hit {
	if !u.DatabaseInUse() || u.Facts.Pooled && !u.Model.Flags.PgBouncerClients.IsSet() {
		return nil
	}
	p := facts.Pool(u.Facts.Pool())
	if p.Verdict != verdict {
		return nil
	}
	h := hitf(u.At(poolKey), poolKey, sev, "%s", message)
	h.Detail, h.Props = p.Explain(), poolProps(p)
	h.NoFix = true // the alternatives stand in the detail
	return []Hit{h}
}

func poolProps(p facts.PoolResult) map[string]any {
	props := map[string]any{
		"limit": p.In.Limit.Value, "workers": p.In.Workers.Value, "instances": p.In.Instances.Value, "surge": p.Surge, "demand": p.Demand,
	}
	if p.AvailableKnown {
		props["available"] = p.Available
		props["max_connections"] = p.In.Ceiling.N.Value
	}
	return props
}

func poolUnknown(u *Unit) []Hit {
	if !u.DatabaseInUse() || !u.Several() {
		return nil
	}
	p := facts.Pool(u.Facts.Pool())
	if p.Verdict != facts.Unknown {
		return nil
	}
	sev := sevInfo
	if p.Demand > stockMax && !u.Facts.Pooled {
		sev = sevWarn
	}
	message := fmt.Sprintf("the deployment opens up to %d Postgres connections, and nobody says how many there are", p.Demand)
	if u.Facts.Pooled {
		message = fmt.Sprintf("the deployment opens up to %d connections to the pooler, and nobody says how many it accepts", p.Demand)
	}
	h := hitf(u.At(poolKey), poolKey, sev, "%s", message)
	h.Detail, h.Props = []string{"demand    " + p.DemandLine()}, poolProps(p)
	return []Hit{h}
}

// schemaUpdatesOff reports whether the serving process leaves the schema
// alone.
func (u *Unit) schemaUpdatesOff() bool {
	return u.EnvOn("DISABLE_SCHEMA_UPDATE") || u.EnvMaybe("DISABLE_SCHEMA_UPDATE") || u.On(general+"disable_prisma_schema_update")
}
