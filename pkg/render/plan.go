package render

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/config"
	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
)

// plan is the way from options to chart values. Each step reads what earlier
// steps decided, explains its numbers, and notes what is wrong.
type plan struct {
	o        Options
	facts    facts.Deployment
	explain  explanation
	findings []finding.Finding

	target     facts.Target
	name       string
	image      image
	kube       kubeVersion
	request    facts.Seconds // whole seconds
	preStop    facts.Int
	margin     facts.Int
	grace      int
	workers    facts.Int
	replicas   facts.Int
	hpa        bool
	most       facts.Int // maxReplicas, or replicas without an HPA
	database   bool
	migrations string
	pool       facts.PoolResult
	limit      facts.Int
	ui         bool
	edits      map[string]string // path to value, in the rendered config
	configText []byte
	secretEnv  []string
	urlKey     string
	directKey  string
	values     map[string]any
}

func (p *plan) note(severity finding.Severity, code string, pos finding.Position, format string, args ...any) {
	p.findings = append(p.findings, finding.Finding{ID: code, Severity: severity, Pos: pos, Message: fmt.Sprintf(format, args...)})
}

func (p *plan) fail(code, format string, args ...any) {
	p.note(finding.Error, code, finding.Position{}, format, args...)
}

func (p *plan) warn(code, format string, args ...any) {
	p.note(finding.Warning, code, finding.Position{}, format, args...)
}

func (p *plan) info(code, format string, args ...any) {
	p.note(finding.Info, code, finding.Position{}, format, args...)
}

// failed reports whether something stops the render.
func (p *plan) failed() bool {
	return slices.ContainsFunc(p.findings, func(f finding.Finding) bool { return f.Severity == finding.Error })
}

// make runs the steps. It goes on after a failure where the next step can
// still say something of its own, so that a user sees all of it at once.
func (p *plan) make() {
	p.identity()
	p.times()
	p.counts()
	p.databaseUse()
	p.migrationMode()
	p.connections()
	p.flagsOfTarget()
	p.configFile()
	p.advice()
	if !p.failed() {
		p.buildValues()
	}
}

var (
	dnsName     = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	secretNames = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)
)

func (p *plan) identity() {
	p.target = p.o.Target
	p.name = chosen(p.o.Name, string(p.target))
	if len(p.name) > 52 || !dnsName.MatchString(p.name) {
		p.fail("E-NAME", "--name %q: use at most 52 lower-case letters, digits and dashes, beginning with a letter", p.name)
	}
	if ns := p.o.Namespace; ns != "" && (len(ns) > 63 || !dnsName.MatchString(ns)) {
		p.fail("E-NAME", "--namespace %q: use at most 63 lower-case letters, digits and dashes", ns)
	}
	ref := p.o.Image
	switch {
	case ref != "":
	case p.target == facts.LLMGW:
		ref = ownImage(p.o.Version)
	case p.o.LiteLLMVersion != "":
		ref = "ghcr.io/berriai/litellm:" + p.o.LiteLLMVersion
	default:
		p.fail("E-IMAGE", "--target litellm needs --image or --litellm-version: there is no tag that stands still")
		return
	}
	var ok bool
	if p.image, ok = parseImage(ref); !ok {
		p.fail("E-IMAGE", "%q is not an image reference", ref)
		return
	}
	if p.image.moving() {
		p.warn("K-IMAGE-MOVING", "%s can be another image tomorrow (name a release or a digest with --image)", ref)
	}
	var err error
	if p.kube, err = parseKube(chosen(p.o.KubeVersion, "1.31")); err != nil {
		p.fail("E-KUBE", "--kube-version %s: %s", p.o.KubeVersion, err)
	}
}

func (p *plan) times() {
	cfg := p.facts.Request
	p.request = p.o.RequestTimeout.Or(cfg)
	node := p.key("litellm_settings.request_timeout")
	switch {
	case p.o.RequestTimeout.IsSet():
	case node.IsScalar() && reference(node) != "":
		p.note(finding.Warning, "K-TIMEOUT-DEFAULT", node.Where(), "request_timeout is a reference that is not known here: %d s are assumed (pass --request-timeout)", facts.DefaultRequestTimeout)
	case node.IsScalar() && cfg.Assumed, node.IsScalar() && cfg.Value <= 0:
		p.note(finding.Error, "E-TIMEOUT", node.Where(), "request_timeout is not a positive number of seconds")
		return
	case cfg.Assumed:
		p.note(finding.Warning, "K-TIMEOUT-DEFAULT", p.section("litellm_settings"), "request_timeout is not set: %d s is written into the rendered configuration", facts.DefaultRequestTimeout)
		p.edits["litellm_settings.request_timeout"] = strconv.Itoa(facts.DefaultRequestTimeout)
		p.request.Text = "default"
	}
	if p.request.Ceil() < 1 || p.request.Value > math.MaxInt32 {
		p.fail("E-TIMEOUT", "a request timeout of %s s cannot be used", facts.Seconds{Value: p.request.Value})
		return
	}
	if p.o.RequestTimeout.IsSet() && p.request.Value != cfg.Value || p.o.RequestTimeout.IsSet() && cfg.Assumed {
		p.edits["litellm_settings.request_timeout"] = facts.Seconds{Value: p.request.Value}.String()
	}
	p.request.Value = float64(p.request.Ceil())
	p.preStop = p.o.PreStop.Or(facts.AssumedInt(facts.DefaultPreStop, "preStop, default"))
	p.margin = p.o.ShutdownMargin.Or(p.defaultMargin())
	for _, n := range []facts.Int{p.preStop, p.margin} {
		if n.Value < 0 || n.Value > 86400 {
			p.fail("E-TIMEOUT", "%s: %d seconds cannot be used", n.Text, n.Value)
			return
		}
	}
	if p.margin.Value < facts.GraceSlack {
		p.fail("E-TIMEOUT", "%s: a margin below %d s lets the kernel end the drain", p.margin.Text, facts.GraceSlack)
	}
	preStop := facts.Seconds{Value: float64(p.preStop.Value), Origin: p.preStop.Origin}
	g := facts.Grace(p.request, preStop, p.margin, false)
	p.grace = g.Recommended
	p.explain.add("terminationGracePeriodSeconds", strconv.Itoa(p.grace), fmt.Sprintf("%d + %d + %d", p.preStop.Value, p.request.Ceil(), p.margin.Value),
		fromInt(p.preStop), fromSeconds(p.request), fromInt(p.margin))
	switch {
	case p.request.Value > 3600:
		p.warn("K-GRACE-LONG", "a request may take %s s, so a pod needs %d s to end (60 to 900 s fit most)", facts.Seconds{Value: p.request.Value}, p.grace)
	case p.grace > facts.AutoscalerGraceCap:
		p.info("K-GRACE-CA", "the grace period of %d s is above the %d s that cluster autoscalers wait by default (raise --max-graceful-termination-sec there)", p.grace, facts.AutoscalerGraceCap)
	}
}

func (p *plan) counts() {
	p.workers = p.o.NumWorkers.Or(facts.AssumedInt(1, "num_workers, default"))
	p.replicas = p.o.Replicas.Or(facts.AssumedInt(3, "replicas, default"))
	p.hpa = !p.o.NoHPA && !(p.o.MaxReplicas.IsSet() && p.o.MaxReplicas.Value == 0)
	const most = 10000
	switch {
	case p.workers.Value < 1 || p.workers.Value > 1024:
		p.fail("E-WORKERS", "%s: %d workers in a pod; use 1 to 1024", p.workers.Text, p.workers.Value)
	case p.replicas.Value < 1 || p.replicas.Value > most:
		p.fail("E-REPLICAS", "--replicas %d: use 1 to %d", p.replicas.Value, most)
	case p.o.MaxReplicas.IsSet() && (p.o.MaxReplicas.Value < 0 || p.o.MaxReplicas.Value > most):
		p.fail("E-REPLICAS", "--max-replicas %d: use 0 (no autoscaling) to %d", p.o.MaxReplicas.Value, most)
	case p.hpa && p.o.MaxReplicas.IsSet() && p.replicas.Value > p.o.MaxReplicas.Value:
		p.fail("E-REPLICAS", "--replicas %d is above --max-replicas %d", p.replicas.Value, p.o.MaxReplicas.Value)
	case p.replicas.Value == 1 && !p.o.AllowSingle:
		p.fail("E-REPLICAS", "one replica is an outage at every node drain; use 2 or more, or --allow-single")
	}
	if p.o.NoHPA && p.o.MaxReplicas.Value > 0 {
		p.fail("E-REPLICAS", "--no-hpa and --max-replicas %d contradict each other", p.o.MaxReplicas.Value)
	}
}

func (p *plan) databaseUse() {
	const general = "general_settings."
	p.urlKey, p.directKey = "DATABASE_URL", ""
	url := p.key(general + "database_url")
	refs := p.references()
	switch {
	case url.IsScalar():
		p.database = true
		if ref := reference(url); ref != "" {
			p.urlKey = ref
		}
	case slices.Contains(refs, "DATABASE_URL"), p.o.WithDB, p.o.Ceiling.Kind != facts.NoCeiling:
		p.database = true
	case p.key(general + "database_connection_pool_limit").IsScalar(), p.key(general + "store_model_in_db").IsScalar():
		p.database = true
		p.info("N-DB-ASSUMED", "the configuration sets database options but no database_url: DATABASE_URL is taken from the Secret")
	}
	if p.database && slices.Contains(refs, "DIRECT_URL") {
		p.directKey = "DIRECT_URL"
	}
}

func (p *plan) migrationMode() {
	modes := []string{"job", "init", "argocd", "argocd-sync", "none"}
	if p.o.Chart {
		modes[0] = "helm-hook"
	}
	p.migrations = p.o.Migrations
	switch {
	case p.migrations == "" && p.o.Chart:
		p.migrations = "helm-hook"
	case p.migrations == "job" && p.o.Chart:
		p.fail("E-JOB-HELM", "Helm does not wait for a plain Job before it starts pods: use helm-hook, argocd, init or none")
	case p.migrations == "helm-hook" && !p.o.Chart:
		p.fail("E-HOOK-PLAIN", "nobody runs Helm hooks in plain manifests: use job, argocd, init or none")
	case p.migrations == "" && p.target == facts.LLMGW:
		p.migrations = "job"
	case p.migrations == "":
		p.migrations = "init"
	case !slices.Contains(modes, p.migrations):
		p.fail("E-MIGRATIONS", "--migrations %s: use %s", p.migrations, strings.Join(modes, ", "))
	}
	if p.migrations == "argocd" && p.o.Secrets == "external" {
		p.migrations = "argocd-sync"
		p.info("N-ARGO-WAVES", "the Secret is made by the same sync, so migrations run as a Sync hook in wave -1 behind it")
	}
	if !p.database {
		if p.o.Migrations != "" && p.o.Migrations != "none" {
			p.info("N-NO-DB", "the configuration uses no database, so nothing migrates (--with-db if DATABASE_URL comes from elsewhere)")
		}
		p.migrations = "none"
	}
	if p.migrations == "job" && p.target == facts.LiteLLM {
		p.info("N-ORDER-BY-HAND", "nothing makes LiteLLM pods wait for the Job: apply it first, then kubectl wait --for=condition=complete job/%s", p.jobName())
	}
}

func (p *plan) runner() facts.MigrationRunner {
	switch p.migrations {
	case "job":
		return facts.JobRunner
	case "argocd", "argocd-sync", "helm-hook":
		return facts.HookRunner
	}
	return facts.NoRunner
}

// jobSuffix changes with the image, so that applying a new one makes a new Job
// instead of changing one that cannot be changed.
func (p *plan) jobSuffix() string {
	sum := sha256.Sum256([]byte(p.image.ref + "\x00" + string(p.target)))
	return hex.EncodeToString(sum[:4])
}

func (p *plan) jobName() string {
	if p.migrations == "job" {
		return p.name + "-migrations-" + p.jobSuffix()
	}
	return p.name + "-migrations"
}

// flagsOfTarget refuses flags that the target cannot honour.
func (p *plan) flagsOfTarget() {
	p.ui = p.target == facts.LiteLLM
	if p.target == facts.LLMGW {
		switch {
		case p.o.UI != nil:
			p.fail("E-FLAG-TARGET", "--ui and --no-ui are for --target litellm: llmgw has no admin UI")
		case p.o.RunGunicorn:
			p.fail("E-FLAG-TARGET", "--run-gunicorn is for --target litellm")
		case p.o.MaxRequests.IsSet():
			p.fail("E-FLAG-TARGET", "--max-requests-before-restart is for --target litellm: llmgw does not need recycling")
		case p.o.LiteLLMVersion != "":
			p.fail("E-FLAG-TARGET", "--litellm-version is for --target litellm")
		}
		return
	}
	if p.o.UI != nil {
		p.ui = *p.o.UI
	}
	if p.o.MaxRequests.IsSet() && p.o.MaxRequests.Value < 1 {
		p.fail("E-WORKERS", "--max-requests-before-restart %d: use 1 or more", p.o.MaxRequests.Value)
	}
	if p.workers.Value > 1 {
		p.warn("K-WORKERS", "%d workers in a pod: run one worker per pod and scale pods", p.workers.Value)
		if p.o.MaxRequests.IsSet() && !p.o.RunGunicorn {
			p.warn("K-GUNICORN", "several workers that are recycled are safer under --run-gunicorn")
		}
	} else if p.o.RunGunicorn {
		p.warn("K-GUNICORN", "--run-gunicorn with one worker per pod supervises nothing")
	}
}

func (p *plan) advice() {
	if n := p.key("router_settings.redis_url"); n.IsScalar() {
		p.noteRedis(n)
	}
	if n := p.key("litellm_settings.cache_params.url"); n.IsScalar() {
		p.noteRedis(n)
	}
	if n := p.key("router_settings.routing_strategy"); n != nil {
		if s, _ := n.Str(); strings.HasPrefix(s, "usage-based") {
			p.note(finding.Warning, "K-ROUTING", n.Where(), "routing_strategy %s costs throughput in production (use simple-shuffle)", s)
		}
	}
	if p.target == facts.LiteLLM && p.hpa && p.memoryTarget() > 0 {
		p.warn("K-HPA-MEM", "autoscaling on memory grows with LiteLLM's high-water mark and does not come back (--hpa-memory off)")
	}
}

func (p *plan) noteRedis(n *config.Node) {
	if p.target == facts.LiteLLM {
		p.note(finding.Warning, "K-REDIS-URL", n.Where(), "redis_url is slower than host, port and password before LiteLLM 1.95")
	}
}

func (p *plan) memoryTarget() int {
	if p.o.HPAMemory.IsSet() {
		return p.o.HPAMemory.Value
	}
	return 80
}

// key looks a setting up; nil without a configuration.
// defaultMargin leaves time for the last flush of spend where it is written more
// rarely than the longest request lasts.
func (p *plan) defaultMargin() facts.Int {
	const path = "general_settings.proxy_batch_write_at"
	batch, ok := p.key(path).Number()
	if late := math.Ceil(batch) - p.request.Value; ok && late > 0 && late <= 86400-facts.DefaultShutdownMargin {
		return facts.NewInt(facts.DefaultShutdownMargin+int(late), "shutdown margin, for "+path+" above request_timeout", p.key(path).Where())
	}
	return facts.AssumedInt(facts.DefaultShutdownMargin, "shutdown margin, default")
}

func (p *plan) key(path string) *config.Node { return p.o.Tree.Get(path) }

func (p *plan) section(name string) finding.Position {
	if n := p.o.Tree.Section(name); n != nil {
		return n.Where()
	}
	return finding.Position{}
}

// references are the variables that the configuration refers to, sorted.
func (p *plan) references() []string {
	var names []string
	for n := range p.o.Tree.Root().Walk() {
		if ref := reference(n); ref != "" {
			names = append(names, ref)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// quantity reads a Kubernetes quantity that must be positive.
func quantity(text string) (float64, bool) {
	v, ok := manifest.ParseQuantity(text)
	return v, ok && v > 0 && !math.IsInf(v, 0)
}
