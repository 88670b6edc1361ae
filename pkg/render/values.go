package render

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
)

// Sizes of the writable directories that LiteLLM needs below a read-only root,
// in MiB, as the chart declares them, and what the root itself is granted.
const (
	scratchMi   = 500 + 64 + 64 // cache, migrations, tmp
	uiMi        = 100 + 10      // UI and its assets
	ephemeralMi = 256
)

// buildValues states everything for the chart.
func (p *plan) buildValues() {
	size, ok := p.size()
	if !ok {
		return
	}
	user := p.o.RunAsUser
	if !user.IsSet() {
		user.Value = 65532
		if p.target == facts.LiteLLM {
			user.Value = 101
		}
	}
	if user.Value < 1 || user.Value > math.MaxInt32 {
		p.fail("E-USER", "--run-as-user %d: use 1 or more; 0 is root", user.Value)
	}
	cpu := 60
	if p.o.HPACPU.IsSet() {
		cpu = p.o.HPACPU.Value
	}
	if memory := p.memoryTarget(); cpu < 1 || cpu > 100 || memory < 0 || memory > 100 {
		p.fail("E-HPA", "--hpa-cpu %d, --hpa-memory %d: use percentages from 1 to 100", cpu, memory)
	}
	down := min(3600, max(300, p.request.Ceil()))
	secrets := p.secrets()
	if p.failed() {
		return
	}
	if p.hpa {
		p.explain.add("scaleDown.stabilizationWindowSeconds", strconv.Itoa(down), fmt.Sprintf("min(3600, max(300, %d))", p.request.Ceil()), fromSeconds(p.request))
	}
	ephemeral := p.ephemeral()
	values := map[string]any{
		"target": string(p.target),
		"name":   p.name,
		"image":  map[string]any{"reference": p.image.ref, "pullPolicy": p.image.pullPolicy(), "version": p.image.version()},

		"replicas": p.replicas.Value,
		"autoscaling": map[string]any{
			"enabled": p.hpa, "maxReplicas": max(p.most.Value, p.replicas.Value), "cpu": cpu, "memory": p.memoryTarget(), "scaleDownSeconds": down,
		},
		"workers":        p.workers.Value,
		"requestTimeout": p.request.Ceil(),
		"preStopSeconds": p.preStop.Value,
		"shutdownMargin": p.margin.Value,
		"resources":      map[string]any{"cpu": cpuText(size.CPUMilli), "memory": describe(size.Memory), "ephemeralStorage": ephemeral},
		"goMemLimit":     "",
		"goMaxProcs":     size.GoMaxProcs,

		"config":   map[string]any{"path": "/etc/" + string(p.target), "files": p.files()},
		"secrets":  secrets,
		"database": p.database,
		"migrations": map[string]any{
			"mode": p.migrations, "suffix": "", "databaseUrlKey": p.urlKey, "directUrlKey": p.directKey,
		},
		"readOnlyRootFilesystem":   !p.o.WritableRoot,
		"ui":                       p.ui,
		"runAsUser":                user.Value,
		"maxRequestsBeforeRestart": p.o.MaxRequests.Value,
		"runGunicorn":              p.o.RunGunicorn,
	}
	if size.GoMemLimit > 0 {
		values["goMemLimit"] = strconv.FormatInt(size.GoMemLimit, 10)
		p.explain.add("GOMEMLIMIT", strconv.FormatInt(size.GoMemLimit, 10), fmt.Sprintf("floor(0.9 x %d)", size.Memory))
	}
	if size.GoMaxProcs > 0 {
		p.explain.add("GOMAXPROCS", strconv.Itoa(size.GoMaxProcs), "the CPU limit rounded up; the Go runtime alone takes at least 2")
	}
	if p.migrations == "job" {
		values["migrations"].(map[string]any)["suffix"] = p.jobSuffix()
	}
	p.values = values
}

// size is cpu and memory, with their derivation.
func (p *plan) size() (facts.SizeResult, bool) {
	in := facts.SizeInput{Target: p.target, Workers: p.workers.Value}
	cpuOrigin := facts.Origin{Text: "--cpu-per-worker, default", Assumed: true}
	memOrigin := facts.Origin{Text: "--memory-per-worker, default", Assumed: true}
	if text := p.o.CPUPerWorker; text != "" {
		v, ok := quantity(text)
		if !ok || v*1000 < 1 || v > 1024 {
			p.fail("E-RESOURCES", "--cpu-per-worker %s is not a usable amount of CPU; write 1 or 500m", text)
			return facts.SizeResult{}, false
		}
		in.CPUMilliPerWorker, cpuOrigin = int64(math.Ceil(v*1000)), facts.Origin{Text: "--cpu-per-worker"}
	}
	if text := p.o.MemoryPerWorker; text != "" {
		v, ok := quantity(text)
		if !ok || v < 1<<26 || v > 1<<45 {
			p.fail("E-RESOURCES", "--memory-per-worker %s is not a usable amount of memory; write 1Gi or 512Mi", text)
			return facts.SizeResult{}, false
		}
		in.MemoryPerWorker, memOrigin = int64(math.Ceil(v)), facts.Origin{Text: "--memory-per-worker"}
	}
	size := facts.Size(in)
	perCPU, perMem := size.CPUMilli/int64(p.workers.Value), size.Memory
	p.explain.add("cpu", cpuText(size.CPUMilli), fmt.Sprintf("%s x %d", cpuText(perCPU), p.workers.Value), sourceOf(cpuText(perCPU), cpuOrigin), fromInt(p.workers))
	if p.target == facts.LiteLLM {
		perMem /= int64(p.workers.Value)
		p.explain.add("memory", describe(size.Memory), fmt.Sprintf("%s x %d", describe(perMem), p.workers.Value), sourceOf(describe(perMem), memOrigin), fromInt(p.workers))
	} else {
		p.explain.add("memory", describe(size.Memory), "one process, whatever the workers", sourceOf(describe(perMem), memOrigin))
	}
	return size, true
}

func cpuText(milli int64) string {
	if milli%1000 == 0 {
		return strconv.FormatInt(milli/1000, 10)
	}
	return strconv.FormatInt(milli, 10) + "m"
}

// ephemeral is the disk a pod may use: every scratch directory in full, and a
// little for logs, rounded up to 256Mi.
func (p *plan) ephemeral() string {
	total, formula := ephemeralMi, "256Mi"
	if p.target == facts.LiteLLM && !p.o.WritableRoot {
		total += scratchMi
		formula = "500Mi + 64Mi + 64Mi + 256Mi"
		if p.ui {
			total += uiMi
			formula = "100Mi + 10Mi + " + formula
		}
		formula += ", up to the next 256Mi"
	}
	rounded := (total + 255) / 256 * 256
	text := describe(int64(rounded) << 20)
	p.explain.add("ephemeral-storage", text, formula)
	return text
}

// secrets says how the Secret comes to be.
func (p *plan) secrets() map[string]any {
	mode := chosen(p.o.Secrets, "reference")
	if !slices.Contains([]string{"reference", "external", "template"}, mode) {
		p.fail("E-SECRETS", "--secrets %s: use reference, external or template", mode)
	}
	if mode == "template" && p.o.Chart {
		p.fail("E-SECRETS", "--secrets template is for plain manifests: a release would install the placeholders")
	}
	name, kind, given := strings.Cut(p.o.SecretStore, ",")
	if !given {
		kind = "ClusterSecretStore"
	}
	switch {
	case mode == "external" && name == "":
		p.fail("E-SECRET-STORE", "--secrets external needs --secret-store NAME[,Kind]")
	case mode != "external" && p.o.SecretStore != "":
		p.fail("E-SECRET-STORE", "--secret-store is for --secrets external")
	case kind != "SecretStore" && kind != "ClusterSecretStore":
		p.fail("E-SECRET-STORE", "--secret-store %s: the kind is SecretStore or ClusterSecretStore", p.o.SecretStore)
	}
	secretName := chosen(p.o.SecretName, p.name+"-secrets")
	if len(secretName) > 253 || !secretNames.MatchString(secretName) {
		p.fail("E-NAME", "--secret-name %q is not the name of a Secret", secretName)
	}
	return map[string]any{
		"mode": mode, "name": secretName, "env": anyList(p.secretEnv), "optional": anyList(p.o.OptionalEnv),
		"store": map[string]any{"name": name, "kind": kind},
	}
}

func anyList(texts []string) []any {
	out := make([]any, len(texts))
	for i, t := range texts {
		out[i] = t
	}
	return out
}
