package rule

import (
	"slices"
	"strings"

	"github.com/llmgw/llmgw/internal/facts"
	"github.com/llmgw/llmgw/internal/finding"
	"github.com/llmgw/llmgw/internal/manifest"
)

func init() {
	off := []Profile{Dev}
	register(
		&Rule{
			ID: "K8S022", Name: "rootfs-writable", Severity: "warning", Priority: 1, Fix: Manual, Off: off,
			Title:  "the root filesystem is writable",
			When:   "readOnlyRootFilesystem is not true on the serving container.",
			Why:    "whoever gets into the process can change the program. LiteLLM and llmgw both run without.",
			Remedy: "set readOnlyRootFilesystem: true, for LiteLLM with the writable volumes of K8S023 to K8S025.",
			Source: []string{"LiteLLM production guide, read-only file system", "kube-linter, no-read-only-root-fs"},
			Bad:    k8s(baseSecurity, `securityContext: {runAsNonRoot: true, runAsUser: 101, capabilities: {drop: ["ALL"]}}`),
			Good:   k8sGood(baseSecurity),
			Also:   map[string]string{"K8S038": "a security context without the field is an open one"},
			Check: func(u *Unit) []Hit {
				return when(u.Container != nil && !u.Container.Security.ReadOnlyRoot.True(), u.securityAt(), "securityContext.readOnlyRootFilesystem", sevWarn, "the root filesystem is writable")
			},
		},
		&Rule{
			ID: "K8S023", Name: "readonly-migration-dir", Severity: "error", Priority: 1, Fix: Safe, Target: facts.LiteLLM, Off: off,
			Title:  "migrations have nowhere to write",
			When:   "the root filesystem is read-only, the pod runs migrations, and LITELLM_MIGRATION_DIR is absent or not on a writable volume.",
			Why:    "\"Permission denied\" at start-up.",
			Remedy: "set LITELLM_MIGRATION_DIR and mount an emptyDir (64Mi) there.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad: k8s("{name: DISABLE_SCHEMA_UPDATE, value: \"true\"}", "{name: DISABLE_SCHEMA_UPDATE, value: \"false\"}").
				and("            - {name: migrations, mountPath: /app/migrations}\n", ""),
			Good: k8s("{name: DISABLE_SCHEMA_UPDATE, value: \"true\"}", "{name: DISABLE_SCHEMA_UPDATE, value: \"false\"}"),
			Check: func(u *Unit) []Hit {
				if !u.readOnlyLiteLLM() || !u.DatabaseInUse() || u.schemaUpdatesOff() {
					return nil
				}
				return u.unwritable(sevError, "migrations", "LITELLM_MIGRATION_DIR")
			},
		},
		&Rule{
			ID: "K8S024", Name: "readonly-ui-dirs", Severity: "warning", Priority: 1, Fix: Safe, Target: facts.LiteLLM, Off: off,
			Title:  "the admin UI has nowhere to write",
			When:   "the root filesystem is read-only, the UI is not switched off, and LITELLM_UI_PATH or LITELLM_ASSETS_PATH is absent or not on a writable volume.",
			Why:    "the admin UI is missing; the API works.",
			Remedy: "set both, mount emptyDirs there, and copy the files in an init container; or set DISABLE_ADMIN_UI=true.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s("            - {name: assets, mountPath: /app/var/litellm/assets}\n", ""),
			Good:   k8sGood("volumeMounts: [{name: assets, mountPath: /app/var/litellm/assets}]"),
			Check: func(u *Unit) []Hit {
				if !u.readOnlyLiteLLM() || u.EnvOn("DISABLE_ADMIN_UI") || u.EnvMaybe("DISABLE_ADMIN_UI") || u.Args.Has("api_only") {
					return nil
				}
				return u.unwritable(sevWarn, "the admin UI", "LITELLM_UI_PATH", "LITELLM_ASSETS_PATH")
			},
		},
		&Rule{
			ID: "K8S025", Name: "readonly-cache-dirs", Severity: "error", Priority: 1, Fix: Safe, Target: facts.LiteLLM, Off: off,
			Title:  "Prisma has nowhere to unpack",
			When:   "the root filesystem is read-only, a database is in use, and PRISMA_BINARY_CACHE_DIR or XDG_CACHE_HOME is absent or not on a writable volume.",
			Why:    "the query engine cannot start, and with it the database connection.",
			Remedy: "set both to paths on an emptyDir (500Mi).",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s("            - {name: cache, mountPath: /app/cache}\n", ""),
			Good:   k8sGood("volumeMounts: [{name: cache, mountPath: /app/cache}]"),
			Check: func(u *Unit) []Hit {
				if !u.readOnlyLiteLLM() || !u.DatabaseInUse() {
					return nil
				}
				return u.unwritable(sevError, "Prisma", "PRISMA_BINARY_CACHE_DIR", "XDG_CACHE_HOME")
			},
		},
		&Rule{
			ID: "K8S026", Name: "runs-as-root", Severity: "warning", Priority: 1, Fix: Manual, Off: off,
			Title:  "the container may run as root",
			When:   "runAsNonRoot is true neither on the container nor on the pod.",
			Why:    "whoever gets out of the process is root on whatever he reaches.",
			Remedy: "set runAsNonRoot: true and runAsUser: 101.",
			Source: []string{"LiteLLM production guide, read-only file system", "kube-linter, run-as-non-root"},
			Bad:    k8s("runAsNonRoot: true, runAsUser: 101, ", ""),
			Good:   k8sGood(baseSecurity),
			Check: func(u *Unit) []Hit {
				return when(u.Container != nil && !u.Container.Security.RunAsNonRoot.True(), u.securityAt(), "securityContext.runAsNonRoot", sevWarn, "the container may run as root")
			},
		},
		&Rule{
			ID: "K8S027", Name: "capabilities-kept", Severity: "info", Priority: 2, Fix: Safe, Off: off,
			Title:  "the container keeps Linux capabilities",
			When:   "capabilities.drop does not contain ALL.",
			Why:    "nothing in the gateway needs one.",
			Remedy: "write capabilities: {drop: [\"ALL\"]}.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s(`, capabilities: {drop: ["ALL"]}`, ""),
			Good:   k8sGood(baseSecurity),
			Check: func(u *Unit) []Hit {
				return when(u.Container != nil && !u.Container.Security.DropsAll, u.securityAt(), "securityContext.capabilities", sevInfo, "the container keeps Linux capabilities that it does not need")
			},
		},
		&Rule{
			ID: "K8S028", Name: "non-root-flag", Severity: "info", Priority: 2, Fix: Safe, Target: facts.LiteLLM, Off: off,
			Title:  "LiteLLM does not know that it is not root",
			When:   "runAsNonRoot or a read-only root is set, and LITELLM_NON_ROOT is not true.",
			Why:    "the image chooses its writable paths by it.",
			Remedy: "set LITELLM_NON_ROOT=true.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s("            - {name: LITELLM_NON_ROOT, value: \"true\"}\n", ""),
			Good:   k8sGood(`{name: LITELLM_NON_ROOT, value: "true"}`),
			Check: func(u *Unit) []Hit {
				if u.Container == nil {
					return nil
				}
				s := u.Container.Security
				return when((s.RunAsNonRoot.True() || s.ReadOnlyRoot.True()) && !u.EnvOn("LITELLM_NON_ROOT") && !strings.EqualFold(u.variable("LITELLM_NON_ROOT").Text, "true") && !u.EnvMaybe("LITELLM_NON_ROOT") && u.Env.Closed(), u.containerName(), "LITELLM_NON_ROOT", sevInfo, "LITELLM_NON_ROOT is not true")
			},
		},
		&Rule{
			ID: "K8S029", Name: "floating-image-tag", Severity: "warning", Priority: 1, Fix: Manual, Off: off,
			Title:  "an image tag that moves",
			When:   "the image of a gateway container, init containers included, has no tag or one of latest, main, stable, main-latest, main-stable, and no digest.",
			Why:    "two pods of one Deployment can run different releases and different schemas, and a bad release arrives by itself.",
			Remedy: "pin a version, best with its digest.",
			Source: []string{"LiteLLM security best practices", "kube-linter, latest-tag"},
			Bad:    k8s("image: ghcr.io/berriai/litellm:v1.91.4\n          args", "image: ghcr.io/berriai/litellm:main-stable\n          args"),
			Good:   k8sGood("image: ghcr.io/berriai/litellm:v1.91.4"),
			Also:   map[string]string{"MIG007": "the Job names another image than the pods"},
			Check: func(u *Unit) []Hit {
				if u.Workload == nil {
					return nil
				}
				var out []Hit
				for _, w := range append([]*manifest.Workload{u.Workload}, u.Jobs()...) {
					for _, c := range slices.Concat(w.Containers, w.Init) {
						if c.Gateway && c.Image.Set && c.Image.Digest == "" && slices.Contains([]string{"", "latest", "main", "stable", "main-latest", "main-stable"}, c.Image.Tag) {
							tag := "no tag"
							if c.Image.Tag != "" {
								tag = "the tag " + c.Image.Tag
							}
							out = append(out, hitf(c.Image.Pos, "image", sevWarn, "the image has %s, which moves", tag))
						}
					}
				}
				return out
			},
		},
		&Rule{
			ID: "K8S030", Name: "emptydir-unbounded", Severity: "info", Priority: 2, Fix: Safe, Off: off,
			Title:  "an emptyDir without a limit",
			When:   "an emptyDir volume of the pod has no sizeLimit.",
			Why:    "a runaway file fills the node's disk.",
			Remedy: "set sizeLimit: 100Mi for the UI, 10Mi for its assets, 500Mi for the cache, 64Mi for migrations.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s("{name: cache, emptyDir: {sizeLimit: 500Mi}}", "{name: cache, emptyDir: {}}"),
			Good:   k8sGood("{name: cache, emptyDir: {sizeLimit: 500Mi}}"),
			Check: func(u *Unit) []Hit {
				if u.Workload == nil {
					return nil
				}
				var out []Hit
				for _, v := range u.Workload.Volumes {
					if v.Kind == "emptyDir" && !v.SizeLimit.Set {
						out = append(out, hitf(v.KindPos, "volumes", sevInfo, "the emptyDir %s has no sizeLimit", v.Name))
					}
				}
				return out
			},
		},
		&Rule{
			ID: "K8S031", Name: "config-not-mounted", Severity: "error", Priority: 1, Fix: Manual, Off: off,
			Title:  "the config is not where the process looks for it",
			When:   "--config or CONFIG_FILE_PATH is an absolute path and no volumeMount is it or contains it.",
			Why:    "the process stops, or starts without its configuration.",
			Remedy: "mount the ConfigMap there, or correct the path.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s(`"--config", "/app/config.yaml"`, `"--config", "/etc/litellm.yaml"`),
			Good:   k8sGood(`args: ["--config", "/app/config.yaml"]`),
			Check: func(u *Unit) []Hit {
				if u.Container == nil || u.Env.Has("LITELLM_CONFIG_BUCKET_NAME") {
					return nil
				}
				path, pos := u.configPath()
				if !strings.HasPrefix(path, "/") {
					return nil
				}
				for _, m := range u.Container.Mounts {
					if m.Path == path || strings.HasPrefix(path, strings.TrimSuffix(m.Path, "/")+"/") {
						return nil
					}
				}
				return hit(pos, "--config", sevError, "nothing is mounted at "+path)
			},
		},
		&Rule{
			ID: "K8S032", Name: "readonly-root-path", Severity: "warning", Priority: 2, Fix: Manual, Target: facts.LiteLLM, Off: off,
			Title:  "a root path that the UI cannot be rewritten for",
			When:   "the root filesystem is read-only and SERVER_ROOT_PATH is set.",
			Why:    "the files of the UI must be rewritten when the image is built; at run time they cannot change.",
			Remedy: "rewrite them in the Dockerfile.",
			Source: []string{"LiteLLM production guide, read-only file system"},
			Bad:    k8s("            - {name: LITELLM_MODE, value: \"PRODUCTION\"}\n", "            - {name: LITELLM_MODE, value: \"PRODUCTION\"}\n            - {name: SERVER_ROOT_PATH, value: /gateway}\n"),
			Good:   k8sGood("# SERVER_ROOT_PATH is not set"),
			Check: func(u *Unit) []Hit {
				v := u.variable("SERVER_ROOT_PATH")
				return when(u.readOnlyLiteLLM() && v.State == Known && v.Text != "" && v.Text != "/", v.Pos, "SERVER_ROOT_PATH", sevWarn, "SERVER_ROOT_PATH needs UI files that were rewritten when the image was built")
			},
		},
		&Rule{
			ID: "K8S039", Name: "service-links", Severity: "error/warning", Priority: 1, Fix: Manual, Off: off,
			Title:  "Kubernetes injects variables of its own",
			When:   "enableServiceLinks is not false; error when a Service is called redis, litellm, llmgw or database.",
			Why:    "a Service named redis sets REDIS_PORT to tcp://..., which the gateway then takes for its Redis port.",
			Remedy: "set enableServiceLinks: false on the pod.",
			Source: []string{"Kubernetes, Service environment variables"},
			Bad:    k8s("      enableServiceLinks: false\n", ""),
			Good:   k8sGood("enableServiceLinks: false"),
			Check: func(u *Unit) []Hit {
				w := u.Workload
				if w == nil || w.ServiceLinks.Set && !w.ServiceLinks.Value {
					return nil
				}
				pos := w.PodSpecPos
				if w.ServiceLinks.Set {
					pos = w.ServiceLinks.Pos
				}
				for _, o := range u.objects("Service") {
					if slices.Contains([]string{"redis", "litellm", "llmgw", "database"}, o.Name) && (o.Namespace == w.Namespace || o.Namespace == "" || w.Namespace == "") {
						h := hitf(pos, "enableServiceLinks", sevError, "the Service %s sets %s_PORT in the gateway's environment", o.Name, strings.ToUpper(o.Name))
						h.Related = []finding.Related{{Pos: o.NamePos, Message: "Service " + o.Name}}
						return []Hit{h}
					}
				}
				return hit(pos, "enableServiceLinks", sevWarn, "every Service of the namespace adds variables to the gateway's environment")
			},
		},
	)
}
