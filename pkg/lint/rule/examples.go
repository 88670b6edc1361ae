package rule

import (
	"maps"
	"slices"
	"strings"
)

// Values for examples that must not be weak themselves.
const (
	strongKey  = "sk-4b1f0c9d7e6a5832c1d0e9f8a7b6c5d4"
	strongSalt = "9Yh3qLw2ZkVt7PnXr5Jd8MfBs1CgTa6E"
)

// oneModel is a model_list with nothing to say about.
const oneModel = "model_list:\n  - model_name: chat\n    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}\n"

// baseManifest is a deployment of LiteLLM in which doctor finds nothing of
// severity warning or above. The examples of the Kubernetes rules change one
// place of it.
const baseManifest = `apiVersion: v1
kind: ConfigMap
metadata: {name: litellm-config}
data:
  config.yaml: |
    model_list:
      - model_name: chat
        litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY}
    general_settings:
      master_key: os.environ/LITELLM_MASTER_KEY
      database_url: os.environ/DATABASE_URL
      database_connection_pool_limit: 10
      disable_error_logs: true
      proxy_batch_write_at: 60
      maximum_spend_logs_retention_period: "30d"
      disable_env_credential_login: true
      alerting: ["slack"]
    litellm_settings:
      request_timeout: 600
      json_logs: true
    router_settings:
      routing_strategy: simple-shuffle
      redis_host: os.environ/REDIS_HOST
      redis_port: os.environ/REDIS_PORT
      redis_password: os.environ/REDIS_PASSWORD
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: litellm}
spec:
  strategy:
    type: RollingUpdate
    rollingUpdate: {maxUnavailable: 0, maxSurge: 1}
  selector: {matchLabels: {app: litellm}}
  template:
    metadata: {labels: {app: litellm}}
    spec:
      enableServiceLinks: false
      terminationGracePeriodSeconds: 620
      topologySpreadConstraints:
        - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway}
      containers:
        - name: litellm
          image: ghcr.io/berriai/litellm:v1.91.4
          args: ["--config", "/app/config.yaml", "--port", "4000", "--num_workers", "1", "--max_requests_before_restart", "10000"]
          ports: [{name: http, containerPort: 4000}]
          env:
            - {name: LITELLM_MODE, value: "PRODUCTION"}
            - {name: LITELLM_LOG, value: "ERROR"}
            - {name: LITELLM_NON_ROOT, value: "true"}
            - {name: DISABLE_SCHEMA_UPDATE, value: "true"}
            - {name: GRACEFUL_SHUTDOWN_TIMEOUT, value: "605"}
            - {name: LITELLM_UI_PATH, value: /app/var/litellm/ui}
            - {name: LITELLM_ASSETS_PATH, value: /app/var/litellm/assets}
            - {name: LITELLM_MIGRATION_DIR, value: /app/migrations}
            - {name: PRISMA_BINARY_CACHE_DIR, value: /app/cache/prisma-python/binaries}
            - {name: XDG_CACHE_HOME, value: /app/cache}
            - {name: LITELLM_MASTER_KEY, valueFrom: {secretKeyRef: {name: litellm, key: master}}}
            - {name: LITELLM_SALT_KEY, valueFrom: {secretKeyRef: {name: litellm, key: salt}}}
            - {name: DATABASE_URL, valueFrom: {secretKeyRef: {name: litellm, key: database}}}
            - {name: OPENAI_API_KEY, valueFrom: {secretKeyRef: {name: litellm, key: openai}}}
            - {name: SLACK_WEBHOOK_URL, valueFrom: {secretKeyRef: {name: litellm, key: slack}}}
            - {name: REDIS_HOST, valueFrom: {secretKeyRef: {name: litellm, key: redis-host}}}
            - {name: REDIS_PORT, value: "6379"}
            - {name: REDIS_PASSWORD, valueFrom: {secretKeyRef: {name: litellm, key: redis-password}}}
          resources:
            requests: {cpu: "1", memory: 4Gi}
            limits: {cpu: "1", memory: 4Gi}
          readinessProbe: {httpGet: {path: /health/readiness, port: 4000}, timeoutSeconds: 10}
          livenessProbe: {httpGet: {path: /health/liveliness, port: 4000}, timeoutSeconds: 10, failureThreshold: 6}
          startupProbe: {httpGet: {path: /health/liveliness, port: 4000}, failureThreshold: 30}
          lifecycle: {preStop: {exec: {command: ["sh", "-c", "sleep 5"]}}}
          securityContext: {readOnlyRootFilesystem: true, runAsNonRoot: true, runAsUser: 101, allowPrivilegeEscalation: false, seccompProfile: {type: RuntimeDefault}, capabilities: {drop: ["ALL"]}}
          volumeMounts:
            - {name: config, mountPath: /app/config.yaml, subPath: config.yaml, readOnly: true}
            - {name: ui, mountPath: /app/var/litellm/ui}
            - {name: assets, mountPath: /app/var/litellm/assets}
            - {name: migrations, mountPath: /app/migrations}
            - {name: cache, mountPath: /app/cache}
      volumes:
        - {name: config, configMap: {name: litellm-config}}
        - {name: ui, emptyDir: {sizeLimit: 100Mi}}
        - {name: assets, emptyDir: {sizeLimit: 10Mi}}
        - {name: migrations, emptyDir: {sizeLimit: 64Mi}}
        - {name: cache, emptyDir: {sizeLimit: 500Mi}}
---
apiVersion: batch/v1
kind: Job
metadata: {name: litellm-migrate, annotations: {"helm.sh/hook": "pre-install,pre-upgrade"}}
spec:
  activeDeadlineSeconds: 3600
  template:
    metadata: {labels: {app: litellm-migrate}}
    spec:
      restartPolicy: Never
      containers:
        - name: migrate
          image: ghcr.io/berriai/litellm:v1.91.4
          command: ["python", "litellm/proxy/prisma_migration.py"]
          env:
            - {name: DISABLE_SCHEMA_UPDATE, value: "false"}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: litellm}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: litellm}
  minReplicas: 3
  maxReplicas: 6
  metrics:
    - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: litellm}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: litellm}}}
---
apiVersion: v1
kind: Service
metadata: {name: litellm}
spec: {selector: {app: litellm}, ports: [{port: 4000, targetPort: http}]}
` + basePolicy

const basePolicy = `---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: litellm}
spec:
  podSelector: {matchLabels: {app: litellm}}
  policyTypes: [Ingress]
  ingress: [{ports: [{port: 4000}]}]
`

// k8s is the base manifest with good replaced by bad.
func k8s(good, bad string) Example {
	return Example{from: good, to: bad, onBase: true}
}

// k8sGood is the base manifest; the part is what the page shows.
func k8sGood(part string) Example { return Example{onBase: true, Show: trimmed(part)} }

// dedent removes the indentation that all lines share.
func dedent(s string) string {
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	least := len(s)
	for _, l := range lines {
		if t := strings.TrimLeft(l, " "); t != "" {
			least = min(least, len(l)-len(t))
		}
	}
	for i, l := range lines {
		lines[i] = l[min(least, len(l)):]
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n ,")
}

func trimmed(s string) string { return strings.TrimSpace(s) }

// flags are the facts that doctor is told on its command line.
func (e Example) flags(f Flags) Example { e.Flags = f; return e }

// and replaces one more part of the base manifest.
func (e Example) and(good, bad string) Example {
	e.more = append(e.more, [2]string{good, bad})
	return e
}

// Files are the inputs of the example by name.
func (e Example) Files() map[string]string {
	out := map[string]string{}
	if e.Config != "" {
		out["config.yaml"] = e.Config
	}
	if e.Env != "" {
		out["litellm.env"] = e.Env
	}
	maps.Copy(out, e.Extra)
	text := e.Manifest
	if e.onBase {
		text = baseManifest
		for _, s := range append([][2]string{{e.from, e.to}}, e.more...) {
			if s[0] == "" && s[1] == "" {
				continue
			}
			if s[0] == "" {
				text += s[1]
				continue
			}
			if !strings.Contains(text, s[0]) {
				panic("example: the base manifest does not hold " + s[0])
			}
			text = strings.Replace(text, s[0], s[1], 1)
		}
	}
	if text != "" {
		out["k8s.yaml"] = text
	}
	return out
}

// Text is what the rule's page shows.
func (e Example) Text() string {
	if e.Show != "" {
		return e.Show
	}
	var parts []string
	for _, s := range append([][2]string{{e.from, e.to}}, e.more...) {
		switch {
		case trimmed(s[1]) != "":
			parts = append(parts, dedent(strings.TrimPrefix(s[1], "---\n")))
		case trimmed(s[0]) != "":
			parts = append(parts, "# not there: "+strings.ReplaceAll(dedent(s[0]), "\n", "\n#            "))
		}
	}
	if e.Config != "" {
		parts = append(parts, strings.TrimRight(e.Config, "\n"))
	}
	for _, name := range slices.Sorted(maps.Keys(e.Extra)) {
		parts = append(parts, "# "+name+"\n"+strings.TrimRight(e.Extra[name], "\n"))
	}
	if e.Env != "" {
		parts = append(parts, "# litellm.env\n"+strings.TrimRight(e.Env, "\n"))
	}
	if e.Manifest != "" {
		parts = append(parts, "# k8s.yaml\n"+strings.TrimRight(e.Manifest, "\n"))
	}
	if len(parts) == 0 {
		return "# the entry is absent"
	}
	return strings.Join(parts, "\n")
}
