package live

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/pkg/lint/rule"
)

// judge collects findings about one observation.
type judge struct {
	seen *Observation
	m    *rule.Model
	u    *rule.Unit // nil without inputs
	hits []rule.Hit
}

// Judge says what is wrong with what was seen. m holds the inputs that were
// read beside it; it may be nil.
func Judge(seen *Observation, m *rule.Model) []rule.Hit {
	j := &judge{seen: seen, m: m, u: unit(m)}
	if seen.Postgres != nil {
		j.postgres(seen.Postgres)
	}
	if seen.Redis != nil {
		j.redis(seen.Redis)
	}
	for _, p := range seen.Proxies {
		j.proxy(p)
	}
	j.replicas()
	for _, s := range seen.Upstreams {
		j.upstream(s)
	}
	for _, l := range seen.Logs {
		j.log(l)
	}
	if seen.Cluster != nil {
		j.cluster(seen.Cluster)
	}
	j.clocks()
	return j.hits
}

// Ceiling is what the database says about its connections, for the pool math;
// unset when it was not asked.
func (seen *Observation) Ceiling() (most, superuser, reserved facts.Int) {
	p := seen.Postgres
	if p == nil || p.Failure != nil {
		return
	}
	at := finding.Position{File: "postgres://" + p.Address}
	read := func(name string) facts.Int {
		n, ok := number(p.Settings[name])
		if !ok {
			return facts.Int{}
		}
		return facts.NewInt(int(n), name+", asked of "+p.Address, at)
	}
	return read("max_connections"), read("superuser_reserved_connections"), read("reserved_connections")
}

func number(text string) (float64, bool) {
	var n float64
	_, err := fmt.Sscan(text, &n)
	return n, err == nil
}

// add notes a finding. what is the system it is about.
func (j *judge) add(id string, sev finding.Severity, what, path, format string, args ...any) *rule.Hit {
	h := rule.HitOf(id, finding.Position{File: what}, fmt.Sprintf(format, args...))
	h.Severity, h.Path = sev, path
	j.hits = append(j.hits, h)
	return &j.hits[len(j.hits)-1]
}

func (j *judge) postgres(p *Postgres) {
	at := "postgres://" + p.Address
	if p.Failure != nil {
		j.add("RUN011", finding.Error, at, p.Failure.Stage, "%s: %s", stageText[p.Failure.Stage], p.Failure.Message)
		return
	}
	if n, ok := number(p.Settings["server_version_num"]); ok && n < 130000 {
		j.add("RUN012", finding.Warning, at, "server_version", "the server runs Postgres %s; 13 is the oldest that counts", p.Settings["server_version"])
	}
	j.connections(at, p)
	for _, w := range p.Blocked {
		sev := finding.Warning
		switch {
		case w.Seconds <= 10:
			continue
		case w.Seconds > 60:
			sev = finding.Error
		}
		by := strings.Trim(strings.ReplaceAll(fmt.Sprint(w.By), " ", ", "), "[]")
		j.add("RUN014", sev, at, fmt.Sprint("pid ", w.PID), "pid %d has been blocked for %.0f s by pid %s", w.PID, w.Seconds, by)
	}
	for _, w := range p.Idle {
		if w.Seconds > 60 {
			j.add("RUN014", finding.Warning, at, fmt.Sprint("pid ", w.PID), "pid %d has been idle in a transaction for %.0f s", w.PID, w.Seconds)
		}
	}
	if d := p.Deadlocks; d != nil {
		switch grown := d.Second - d.First; {
		case grown > 0:
			j.add("RUN015", finding.Warning, at, "deadlocks", "%d deadlocks in %.0f s", grown, d.Gap)
		case d.Second > 100:
			j.add("RUN015", finding.Warning, at, "deadlocks", "%d deadlocks since the statistics were reset", d.Second)
		}
	}
	if p.TLS != nil && !*p.TLS && !p.Local {
		j.add("RUN031", finding.Warning, at, "ssl", "the connection to %s is not encrypted", p.Address)
	}
	j.migrations(at, p)
	j.spend(at, p)
	j.secrets(at, p)
	j.overrides(at, p)
	if n := p.ActiveKeys; n != nil && j.u != nil && j.u.Target == facts.LiteLLM {
		size := 200.0
		if v, _, ok := j.u.Number("general_settings.user_api_key_cache_max_size"); ok {
			size = v
		}
		if float64(*n) > size {
			j.add("PRF013", finding.Warning, at, "LiteLLM_VerificationToken", "each worker remembers %.0f keys, and %d are active", size, *n)
		}
	}
	if j.u != nil && j.u.On("general_settings.allow_requests_on_db_unavailable") {
		h := j.add("RUN033", finding.Info, at, "allow_requests_on_db_unavailable", "the database is reachable now; what happens without it is worth trying")
		h.Detail = []string{
			"database connection errors   requests are allowed",
			"new pods                     start, and readiness stays 200",
			"keys that are cached         are known, others are let through",
			"budget or model refused      still blocked, where it is known",
		}
	}
}

var stageText = map[string]string{
	"name": "its name does not resolve", "network": "no connection", "tls": "TLS fails", "login": "the login is refused",
	"settings": "the settings cannot be used", "answer": "it answers with an error",
}

func (j *judge) connections(at string, p *Postgres) {
	most, ok := number(p.Settings["max_connections"])
	if !ok {
		return
	}
	sr, _ := number(p.Settings["superuser_reserved_connections"])
	rr, _ := number(p.Settings["reserved_connections"])
	total := 0
	for _, s := range p.Sessions {
		total += s.Count
	}
	total++ // our own
	available, why := most-sr-rr, fmt.Sprintf("max_connections %.0f - superuser_reserved %.0f - reserved %.0f", most, sr, rr)
	for _, l := range []struct {
		n    int
		text string
	}{{p.RoleLimit, "the limit of the role"}, {p.BaseLimit, "the limit of the database"}} {
		if l.n >= 0 && float64(l.n) < available {
			available, why = float64(l.n), l.text
		}
	}
	if available <= 0 {
		return
	}
	share := float64(total) / available
	sev := finding.Warning
	switch {
	case share <= 0.7:
		return
	case share > 0.9:
		sev = finding.Error
	}
	h := j.add("RUN013", sev, at, "max_connections", "%d of %.0f connections are in use (%.0f%%)", total, available, share*100)
	h.Detail = append(h.Detail, fmt.Sprintf("available %.0f = %s", available, why))
	for _, s := range p.Sessions[:min(5, len(p.Sessions))] {
		h.Detail = append(h.Detail, fmt.Sprintf("%5d  %-20s %-16s %s", s.Count, s.App, s.User, s.State))
	}
}

func (j *judge) migrations(at string, p *Postgres) {
	if !p.History {
		if p.InUse || p.Set != nil {
			message := "the database holds no history of migrations (_prisma_migrations)"
			if !p.InUse {
				message += " and none of the gateway's tables"
			}
			j.add("MIG009", finding.Error, at, "_prisma_migrations", "%s", message)
		}
		return
	}
	applied := map[string]string{}
	var ahead, changed, missing []string
	for _, r := range p.Rows {
		switch {
		case !r.Finished && !r.Rolled:
			j.add("MIG008", finding.Error, at, r.Name, "migration %s began %s and neither ended nor was rolled back", r.Name, r.Started.UTC().Format(time.DateTime))
			applied[r.Name] = ""
		case !r.Rolled:
			applied[r.Name] = r.Checksum
		}
	}
	if p.Set == nil {
		return
	}
	known := map[string]bool{}
	for _, m := range p.Set {
		known[m.Name] = true
		sum, ok := applied[m.Name]
		switch {
		case !ok:
			missing = append(missing, m.Name)
		case sum != "" && m.Checksum != "" && sum != m.Checksum:
			changed = append(changed, m.Name)
		}
	}
	for name := range applied {
		if !known[name] {
			ahead = append(ahead, name)
		}
	}
	slices.Sort(ahead)
	if len(missing) > 0 {
		j.add("MIG009", finding.Error, at, "_prisma_migrations", "%s of the set %s not applied: %s", count(len(missing), "migration"), p.SetName, some(missing))
	}
	if len(ahead) > 0 {
		j.add("MIG010", finding.Warning, at, "_prisma_migrations", "%s applied that the set %s does not know: %s", count(len(ahead), "migration"), p.SetName, some(ahead))
	}
	if len(changed) > 0 {
		j.add("MIG010", finding.Warning, at, "_prisma_migrations.checksum", "%s applied with another text than in the set %s: %s", count(len(changed), "migration"), p.SetName, some(changed))
	}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

func some(names []string) string {
	if len(names) > 3 {
		return strings.Join(names[:3], ", ") + fmt.Sprintf(" and %d more", len(names)-3)
	}
	return strings.Join(names, ", ")
}

const gib = 1 << 30

func (j *judge) spend(at string, p *Postgres) {
	var bytes, rows int64
	for _, t := range p.Tables {
		if t.Name == "LiteLLM_SpendLogs" || t.Name == "LiteLLM_SpendLogToolIndex" {
			bytes, rows = bytes+t.Bytes, rows+t.Rows
		}
		old := t.Autovacuum != nil && j.seen.At.Sub(*t.Autovacuum) > 7*24*time.Hour && t.Dead > 1000
		share := float64(t.Dead) / math.Max(1, float64(t.Dead+t.Live))
		switch {
		case share > 0.2 && t.Dead > 1_000_000:
			j.add("RUN017", finding.Warning, at, t.Name, "%.0f%% of the rows of %s are dead (%d)", share*100, t.Name, t.Dead)
		case old:
			j.add("RUN017", finding.Warning, at, t.Name, "the last autovacuum of %s was on %s, and %d dead rows wait", t.Name, t.Autovacuum.Format(time.DateOnly), t.Dead)
		}
	}
	if p.Settings["autovacuum"] == "off" && p.InUse {
		j.add("RUN017", finding.Warning, at, "autovacuum", "autovacuum is off")
	}
	if bytes > 50*gib || rows > 50_000_000 {
		j.add("RUN016", finding.Warning, at, "LiteLLM_SpendLogs", "the spend logs hold %.0f GiB and about %d million rows", float64(bytes)/gib, rows/1_000_000)
	}
	if p.OldestSpend != nil && j.u != nil {
		retention, ok := j.u.Duration("general_settings.maximum_spend_logs_retention_period")
		interval, has := j.u.Duration("general_settings.maximum_spend_logs_retention_interval")
		if !has {
			interval = 24 * time.Hour
		}
		if age := j.seen.At.Sub(*p.OldestSpend); ok && age > retention+2*interval {
			j.add("RUN018", finding.Warning, at, "LiteLLM_SpendLogs.startTime", "the oldest row is %s old, and %s is what is kept", days(age), days(retention))
		}
	}
	if p.Partitioned {
		if day, ok := uncovered(p.Partitions, j.seen.At); ok {
			j.add("RUN036", finding.Error, at, "LiteLLM_SpendLogs", "no partition covers %s", day.UTC().Format("2006-01-02 15:04"))
		}
	}
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return fmt.Sprintf("%.0f h", d.Hours())
	}
	return fmt.Sprintf("%.0f days", d.Hours()/24)
}

// uncovered finds the first moment of the next 7 days that no partition holds.
func uncovered(bounds []string, now time.Time) (time.Time, bool) {
	type span struct{ from, to time.Time }
	var spans []span
	for _, b := range bounds {
		if strings.TrimSpace(b) == "DEFAULT" {
			return time.Time{}, false
		}
		rest, ok := strings.CutPrefix(b, "FOR VALUES FROM (")
		from, to, ok2 := strings.Cut(strings.TrimSuffix(rest, ")"), ") TO (")
		if !ok || !ok2 {
			continue
		}
		s := span{boundTime(from, now.AddDate(-100, 0, 0)), boundTime(to, now.AddDate(100, 0, 0))}
		spans = append(spans, s)
	}
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	at, end := now, now.Add(7*24*time.Hour)
	for _, s := range spans {
		if !s.from.After(at) && s.to.After(at) {
			at = s.to
		}
	}
	return at, at.Before(end)
}

// boundTime reads one end of a partition; open ends are the given one.
func boundTime(text string, open time.Time) time.Time {
	text = strings.Trim(strings.TrimSpace(text), "'")
	for _, layout := range []string{"2006-01-02 15:04:05.999999-07", "2006-01-02 15:04:05-07", "2006-01-02 15:04:05-07:00", "2006-01-02 15:04:05", "2006-01-02"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t
		}
	}
	return open
}

func (j *judge) secrets(at string, p *Postgres) {
	key := "the master key (LITELLM_SALT_KEY is not set)"
	if p.SaltSet {
		key = "LITELLM_SALT_KEY"
	}
	if s := p.Sealed; s != nil && s.Candidates > s.Opened {
		j.add("RUN019", finding.Error, at, "LITELLM_SALT_KEY", "%d of %d encrypted values in the database do not open with %s", s.Candidates-s.Opened, s.Candidates, key)
	}
	if len(p.HashIn) > 0 && (p.SaltSet || p.Sealed != nil && p.Sealed.Candidates > 0) {
		j.add("RUN034", finding.Error, at, p.HashIn[0], "%s holds the SHA-256 of %s", strings.Join(p.HashIn, " and "), key)
	}
}

func (j *judge) overrides(at string, p *Postgres) {
	if j.u == nil {
		return
	}
	on, ok := j.u.Bool("general_settings.store_model_in_db")
	if !ok {
		on = j.u.EnvOn("STORE_MODEL_IN_DB")
	}
	if p.StoreModel != nil && !*p.StoreModel && on {
		h := j.add("RUN035", finding.Error, at, "LiteLLM_Config.general_settings.store_model_in_db", "store_model_in_db is on in the config or the environment, but a stored false switches it off")
		h.NoFix, h.Fix = true, `DELETE the key: UPDATE "LiteLLM_Config" SET param_value = param_value - 'store_model_in_db' WHERE param_name = 'general_settings'`
	}
	if !on && (p.StoreModel == nil || !*p.StoreModel) {
		return // the database is not read as a config
	}
	for _, o := range p.Overrides {
		var both []string
		for _, key := range o.Keys {
			if key != "store_model_in_db" && j.u.Node(o.Section+"."+key) != nil {
				both = append(both, key)
			}
		}
		if len(both) > 0 {
			h := j.add("RUN035", finding.Info, at, "LiteLLM_Config."+o.Section, "the database overrides %s of %s", some(both), o.Section)
			n := j.u.Node(o.Section + "." + both[0])
			h.Related = []finding.Related{{Pos: n.Where(), Message: "has no effect while the database sets it"}}
		}
	}
}

func (j *judge) log(l Log) {
	for _, id := range []string{"RUN007", "RUN030", "RUN032"} {
		if l.Count[id] == 0 {
			continue
		}
		h := j.add(id, finding.Error, l.Name, "", "%s; %d such lines", l.Seen[id], l.Count[id])
		h.Pos.Line, h.Pos.Col = l.First[id], 1
	}
}
