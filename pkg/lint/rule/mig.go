package rule

import (
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
)

const baseSchema = "            - {name: DISABLE_SCHEMA_UPDATE, value: \"true\"}\n"

func init() {
	off := []Profile{Dev}
	register(
		&Rule{
			ID: "MIG001", Name: "every-pod-migrates", Severity: "warning", Priority: 1, Fix: Safe, Target: facts.LiteLLM, Off: off,
			Title:  "every pod migrates the database",
			When:   "a database is in use, there can be more than one pod, and the serving container does not switch schema updates off.",
			Why:    "during a rollout several pods change the schema at the same time.",
			Remedy: "set DISABLE_SCHEMA_UPDATE=true on the pods, and migrate in one Job before them.",
			Source: []string{"LiteLLM production guide, section 7"},
			Bad:    k8s(baseSchema, ""),
			Good:   k8sGood(`{name: DISABLE_SCHEMA_UPDATE, value: "true"}`),
			Check: func(u *Unit) []Hit {
				if u.Container == nil || !u.DatabaseInUse() || u.R.Value < 2 || u.schemaUpdatesOff() || !u.Env.Has("DISABLE_SCHEMA_UPDATE") && !u.Env.Closed() {
					return nil
				}
				return hit(orPos(u.Container.EnvPos, u.containerName()), "DISABLE_SCHEMA_UPDATE", sevWarn, "each of up to "+u.R.String()+" pods migrates the database when it starts")
			},
		},
		&Rule{
			ID: "MIG002", Name: "nobody-migrates", Severity: "error", Priority: 1, Fix: Manual, Off: off,
			Title:  "nobody migrates the database",
			When:   "the serving container switches schema updates off, and no migration Job or init container is among the inputs.",
			Why:    "the next upgrade runs on an old schema.",
			Remedy: "add a Job that runs llmgw migrate deploy before the pods (llmgw render k8s writes one).",
			Source: []string{"LiteLLM production guide, section 7"},
			Bad:    k8s("command: [\"python\", \"litellm/proxy/prisma_migration.py\"]", "command: [\"python\", \"-c\", \"pass\"]").and("metadata: {name: litellm-migrate, annotations", "metadata: {name: litellm-other, annotations").and("        - name: migrate\n", "        - name: other\n"),
			Good:   k8sGood("kind: Job\nmetadata: {annotations: {helm.sh/hook: \"pre-install,pre-upgrade\"}}"),
			Check: func(u *Unit) []Hit {
				if u.Container == nil || !u.schemaUpdatesOff() || u.EnvMaybe("DISABLE_SCHEMA_UPDATE") || len(u.Jobs()) > 0 {
					return nil
				}
				if u.Env.Closed() && !u.DatabaseInUse() {
					return nil // there is nothing to migrate
				}
				if slices.ContainsFunc(u.Workload.Init, func(c *manifest.Container) bool { return c.Migrates(u.Workload.Name) }) {
					return nil
				}
				pos, path := u.variable("DISABLE_SCHEMA_UPDATE").Pos, "DISABLE_SCHEMA_UPDATE"
				if pos.IsZero() {
					path = general + "disable_prisma_schema_update"
					pos = u.At(path)
				}
				return hit(pos, path, sevError, "the pods do not migrate the database, and no Job or init container among the inputs does")
			},
		},
		&Rule{
			ID: "MIG003", Name: "job-skips-migrations", Severity: "error", Priority: 1, Fix: Safe,
			Title:  "the migration Job is told not to migrate",
			When:   "DISABLE_SCHEMA_UPDATE is true in a migration Job.",
			Why:    "the Job ends well and nothing has happened.",
			Remedy: "set DISABLE_SCHEMA_UPDATE to \"false\" in the Job.",
			Source: []string{"LiteLLM production guide, section 7"},
			Bad:    k8s("            - {name: DISABLE_SCHEMA_UPDATE, value: \"false\"}\n", "            - {name: DISABLE_SCHEMA_UPDATE, value: \"true\"}\n"),
			Good:   k8sGood(`{name: DISABLE_SCHEMA_UPDATE, value: "false"}`),
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, w := range u.Jobs() {
					v, ok := w.Migration().LookupEnv("DISABLE_SCHEMA_UPDATE")
					if ok && v.Known && strings.EqualFold(strings.TrimSpace(v.Value), "true") {
						out = append(out, hitf(v.Pos, "DISABLE_SCHEMA_UPDATE", sevError, "the migration Job %s is told not to migrate", w.Name))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "MIG004", Name: "use-prisma-migrate-obsolete", Severity: "info", Priority: 1, Fix: Safe,
			Title:  "USE_PRISMA_MIGRATE does nothing any more",
			When:   "USE_PRISMA_MIGRATE is set.",
			Why:    "LiteLLM's production page still recommends it; applying migrations is what happens anyway since, and the variable has no effect.",
			Remedy: "delete it, unless you run a release from before August 2025.",
			Source: []string{"LiteLLM production guide, section 9", "LiteLLM PR 13555"},
			Bad:    Example{Env: "LITELLM_LOG=ERROR\nUSE_PRISMA_MIGRATE=True\n"},
			Good:   Example{Env: "LITELLM_LOG=ERROR\n"},
			Check: func(u *Unit) []Hit {
				v := u.variable("USE_PRISMA_MIGRATE")
				return when(v.Present(), v.Pos, "USE_PRISMA_MIGRATE", sevInfo, "USE_PRISMA_MIGRATE does nothing any more: applying migrations is the default")
			},
		},
		&Rule{
			ID: "MIG005", Name: "db-push", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "the schema is pushed by force",
			When:   "--use_prisma_db_push is among the arguments of a gateway container.",
			Why:    "it drops columns that the schema does not know, and leaves no migration history.",
			Remedy: "drop the flag; apply migrations with llmgw migrate deploy.",
			Source: []string{"LiteLLM production guide, section 9"},
			Bad:    k8s(`"--num_workers", "1", `, `"--num_workers", "1", "--use_prisma_db_push", `),
			Good:   k8sGood(`args: ["--num_workers", "1"]`),
			Check: func(u *Unit) []Hit {
				var out []Hit
				if a, ok := u.Args.Get("use_prisma_db_push"); ok {
					out = append(out, hitf(a.Pos, "--use_prisma_db_push", sevError, "--use_prisma_db_push can drop columns"))
				}
				for _, w := range u.Jobs() {
					for _, c := range w.Containers {
						for _, a := range parseArgs(c.Words()) {
							if a.Name == "use_prisma_db_push" {
								out = append(out, hitf(a.Pos, "--use_prisma_db_push", sevError, "--use_prisma_db_push can drop columns"))
							}
						}
					}
				}
				return out
			},
		},
		&Rule{
			ID: "MIG006", Name: "legacy-resolver", Severity: "warning", Priority: 2, Fix: Safe, Target: facts.LiteLLM,
			Title:  "the old way of repairing migrations",
			When:   "--use_legacy_migration_resolver is given, or USE_V2_MIGRATION_RESOLVER is false.",
			Why:    "it compares and forces the schema; two releases on one database undo each other during a rollout.",
			Remedy: "delete it.",
			Source: []string{"LiteLLM's launcher"},
			Bad:    Example{Env: "LITELLM_LOG=ERROR\nUSE_V2_MIGRATION_RESOLVER=false\n"},
			Good:   Example{Env: "LITELLM_LOG=ERROR\n"},
			Check: func(u *Unit) []Hit {
				if a, ok := u.Args.Get("use_legacy_migration_resolver"); ok {
					return hit(a.Pos, "--use_legacy_migration_resolver", sevWarn, "the old way of repairing migrations forces the schema")
				}
				v := u.variable("USE_V2_MIGRATION_RESOLVER")
				return when(v.State == Known && strings.EqualFold(strings.TrimSpace(v.Text), "false"), v.Pos, v.Ref, sevWarn, "the old way of repairing migrations forces the schema")
			},
		},
		&Rule{
			ID: "MIG007", Name: "job-image-mismatch", Severity: "warning", Priority: 1, Fix: Safe,
			Title:  "the migration Job runs another release than the pods",
			When:   "the image of the migration Job and that of the serving container are of the same repository and differ.",
			Why:    "each release carries its own migrations: an older Job leaves the schema behind.",
			Remedy: "use one image reference for both.",
			Source: []string{"LiteLLM production guide, section 9"},
			Bad:    k8s("image: ghcr.io/berriai/litellm:v1.91.4\n          command", "image: ghcr.io/berriai/litellm:v1.90.0\n          command"),
			Good:   k8sGood("image: ghcr.io/berriai/litellm:v1.91.4"),
			Check: func(u *Unit) []Hit {
				if u.Container == nil || !u.Container.Image.Set {
					return nil
				}
				var out []Hit
				for _, w := range u.Jobs() {
					c := w.Migration()
					if c.Image.Set && c.Image.Ref != u.Container.Image.Ref && sameRelease(c.Image, u.Container.Image) {
						h := hitf(c.Image.Pos, "image", sevWarn, "the migration Job runs %s, the pods run %s", c.Image.Ref, u.Container.Image.Ref)
						h.Related = []finding.Related{{Pos: u.Container.Image.Pos, Message: "image of the pods"}}
						out = append(out, h)
					}
				}
				return out
			},
		},
		&Rule{
			ID: "MIG011", Name: "job-without-hook", Severity: "warning", Priority: 1, Fix: Safe,
			Title:  "the migration Job runs once, if at all in time",
			When:   "a migration Job carries no Helm or Argo CD hook annotation.",
			Why:    "a plain Job cannot be changed: the second deploy fails or does not run it, and nothing makes it run before the pods.",
			Remedy: "add helm.sh/hook or argocd.argoproj.io/hook with a delete policy, or make the pods wait (llmgw migrate wait).",
			Source: []string{"LiteLLM production guide, section 7"},
			Bad:    k8s(`metadata: {name: litellm-migrate, annotations: {"helm.sh/hook": "pre-install,pre-upgrade"}}`, "metadata: {name: litellm-migrate}"),
			Good:   k8sGood(`metadata: {name: litellm-migrate, annotations: {"helm.sh/hook": "pre-install,pre-upgrade"}}`),
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, w := range u.Jobs() {
					if w.Hook == "" && w.Kind == "Job" && !u.podsWait() {
						out = append(out, hitf(w.NamePos, "metadata.annotations", sevWarn, "the migration Job %s carries no hook: the second deploy fails or does not run it", w.Name))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "MIG012", Name: "hook-dependency", Severity: "error", Priority: 1, Fix: Manual,
			Title:  "the migration hook needs what comes after it",
			When:   "a hook Job refers to a Secret, ConfigMap or ServiceAccount of the same inputs that carries no hook itself.",
			Why:    "hooks run before ordinary objects exist: the first installation waits for ever.",
			Remedy: "give that object a hook with a lower weight, or create it outside the release.",
			Source: []string{"Helm, chart hooks"},
			Bad:    k8s("            - {name: DISABLE_SCHEMA_UPDATE, value: \"false\"}\n", "            - {name: DISABLE_SCHEMA_UPDATE, value: \"false\"}\n          envFrom: [{configMapRef: {name: litellm-config}}]\n"),
			Good:   k8sGood("# the Job refers to a Secret that exists before the release"),
			Check:  hookDependency,
		},
		&Rule{
			ID: "MIG013", Name: "hook-mix", Severity: "warning", Priority: 1, Fix: Manual,
			Title:  "hooks of two deployers on one Job",
			When:   "a migration Job carries Helm and Argo CD hook annotations.",
			Why:    "Argo CD reads both, maps them to different phases, and the Job may run twice or at the wrong time.",
			Remedy: "keep the one of the deployer you use.",
			Source: []string{"Argo CD, resource hooks"},
			Bad:    k8s(`annotations: {"helm.sh/hook": "pre-install,pre-upgrade"}`, `annotations: {"helm.sh/hook": "pre-install,pre-upgrade", "argocd.argoproj.io/hook": PreSync}`),
			Good:   k8sGood(`annotations: {"helm.sh/hook": "pre-install,pre-upgrade"}`),
			Check: func(u *Unit) []Hit {
				var out []Hit
				for _, w := range u.Jobs() {
					if w.Hook == "helm+argocd" {
						out = append(out, hitf(w.NamePos, "metadata.annotations", sevWarn, "the migration Job %s carries hooks of Helm and of Argo CD", w.Name))
					}
				}
				return out
			},
		},
	)
}

// sameRelease reports whether two images are builds of one program, so that
// different references mean different releases.
func sameRelease(a, b manifest.Image) bool {
	family := func(i manifest.Image) string {
		base := i.Base()
		for _, suffix := range []string{"-database", "-non_root", "-migrations", "-gateway"} {
			base = strings.TrimSuffix(base, suffix)
		}
		return base
	}
	return family(a) == family(b) && (a.Tag != b.Tag || a.Digest != b.Digest)
}

// podsWait reports whether the pods wait for the schema before they serve.
func (u *Unit) podsWait() bool {
	if u.Workload == nil {
		return false
	}
	if u.Args.Has("require_schema") {
		return true
	}
	return slices.ContainsFunc(u.Workload.Init, func(c *manifest.Container) bool {
		words := c.Words()
		for i, w := range words {
			// An init container that fails while migrations are pending is
			// started again: `migrate status` waits as `migrate wait` does.
			if strings.Contains(w.Text, "migrate wait") || strings.Contains(w.Text, "migrate status") ||
				w.Text == "migrate" && i+1 < len(words) && (words[i+1].Text == "wait" || words[i+1].Text == "status") {
				return true
			}
		}
		return false
	})
}

func hookDependency(u *Unit) []Hit {
	var out []Hit
	for _, w := range u.Jobs() {
		if w.Hook == "" {
			continue
		}
		type ref struct {
			kind, name string
			pos        finding.Position
		}
		var refs []ref
		pod := w.Object.Node.Lookup("spec.template.spec")
		if n := pod.Get("serviceAccountName"); n != nil {
			name, _ := n.Scalar()
			refs = append(refs, ref{"ServiceAccount", name, n.Where()})
		}
		for n := range pod.Walk() {
			kind := map[string]string{"secretKeyRef": "Secret", "secretRef": "Secret", "configMapKeyRef": "ConfigMap", "configMapRef": "ConfigMap", "configMap": "ConfigMap", "secret": "Secret"}[n.Key]
			if kind == "" {
				continue
			}
			key := n.Get("name")
			if n.Key == "secret" {
				key = n.Get("secretName")
			}
			if name, ok := key.Scalar(); ok {
				refs = append(refs, ref{kind, name, n.Where()})
			}
		}
		for _, r := range refs {
			for _, o := range u.Model.index().named[[2]string{r.kind, r.name}] {
				if o.Namespace != w.Namespace && o.Namespace != "" && w.Namespace != "" {
					continue
				}
				_, helm := o.Annotations["helm.sh/hook"]
				_, argo := o.Annotations["argocd.argoproj.io/hook"]
				_, wave := o.Annotations["argocd.argoproj.io/sync-wave"]
				if helm || argo || wave && strings.Contains(w.Hook, "argocd") {
					continue
				}
				h := hitf(r.pos, r.kind+"/"+r.name, sevError, "the hook Job %s needs %s %s, which is created after it", w.Name, r.kind, r.name)
				h.Related = []finding.Related{{Pos: o.NamePos, Message: o.String()}}
				out = append(out, h)
			}
		}
	}
	return out
}
