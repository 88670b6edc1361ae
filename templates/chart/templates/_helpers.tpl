{{- define "llmgw.name" -}}
{{- $name := default .Release.Name .Values.name -}}
{{- if gt (len $name) 52 -}}{{- fail (printf "E-NAME: %q is longer than 52 characters" $name) -}}{{- end -}}
{{- $name -}}
{{- end -}}

{{- define "llmgw.managedBy" -}}
{{ .Release.Service | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* The labels that never change and that every selector uses. Takes a list of root and component. */}}
{{- define "llmgw.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "llmgw.name" $root }}
app.kubernetes.io/instance: {{ include "llmgw.name" $root }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "llmgw.labels" -}}
{{- $root := index . 0 -}}
{{ include "llmgw.selector" . }}
app.kubernetes.io/version: {{ $root.Values.image.version | quote }}
app.kubernetes.io/part-of: llm-gateway
app.kubernetes.io/managed-by: {{ include "llmgw.managedBy" $root }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "llmgw.namespace" -}}
{{- if .Release.Namespace }}
namespace: {{ .Release.Namespace }}
{{- end }}
{{- end -}}

{{/* Variables that every process of the target gets: name to {value} or {secret}. */}}
{{- define "llmgw.baseEnv" -}}
LITELLM_MODE: {value: PRODUCTION}
{{- if and (eq .Values.target "litellm") .Values.readOnlyRootFilesystem }}
HOME: {value: /app/cache}
LITELLM_MIGRATION_DIR: {value: /app/migrations}
LITELLM_NON_ROOT: {value: "true"}
PRISMA_BINARY_CACHE_DIR: {value: /app/cache/prisma-python/binaries}
XDG_CACHE_HOME: {value: /app/cache}
{{- end }}
{{- end -}}

{{- define "llmgw.gatewayEnv" -}}
{{ include "llmgw.baseEnv" . }}
DISABLE_SCHEMA_UPDATE: {value: "true"}
GRACEFUL_SHUTDOWN_TIMEOUT: {value: {{ .Values.requestTimeout | int64 | toString | quote }}}
LITELLM_LOG: {value: ERROR}
POD_NAME: {field: metadata.name}
{{- if eq .Values.target "llmgw" }}
{{- with .Values.goMemLimit }}
GOMEMLIMIT: {value: {{ . | quote }}}
{{- end }}
{{- if .Values.goMaxProcs }}
GOMAXPROCS: {value: {{ .Values.goMaxProcs | int64 | toString | quote }}}
{{- end }}
{{- else }}
{{- if and .Values.ui .Values.readOnlyRootFilesystem }}
LITELLM_ASSETS_PATH: {value: /app/var/litellm/assets}
LITELLM_UI_PATH: {value: /app/var/litellm/ui}
{{- end }}
{{- if not .Values.ui }}
DISABLE_ADMIN_UI: {value: "true"}
{{- end }}
{{- end }}
{{- end -}}

{{- define "llmgw.toolEnv" -}}
{{ include "llmgw.baseEnv" . }}
{{- if eq .Values.target "llmgw" }}
{{- /* nine tenths of the 64Mi below */}}
GOMEMLIMIT: {value: "60397977"}
{{- end }}
{{- end -}}

{{- define "llmgw.migrationEnv" -}}
{{ include "llmgw.toolEnv" . }}
DISABLE_SCHEMA_UPDATE: {value: "false"}
LITELLM_LOG: {value: INFO}
{{- end -}}

{{/* The database as a migration run is told it: root and the variables so far, added to in place. */}}
{{- define "llmgw.databaseEnv" -}}
{{- $root := index . 0 -}}
{{- $env := index . 1 -}}
{{- $_ := set $env "DATABASE_URL" (dict "secret" $root.Values.migrations.databaseUrlKey) -}}
{{- with $root.Values.migrations.directUrlKey -}}
{{- $_ := set $env "DIRECT_URL" (dict "secret" .) -}}
{{- end -}}
{{- end -}}

{{/* Every key the Secret must hold, as YAML. */}}
{{- define "llmgw.secretKeys" -}}
{{- $keys := .Values.secrets.env -}}
{{- if .Values.database -}}
{{- $keys = concat $keys (list .Values.migrations.databaseUrlKey .Values.migrations.directUrlKey) -}}
{{- end -}}
{{- compact $keys | uniq | sortAlpha | toJson -}}
{{- end -}}

{{/* An env list, sorted by name. Takes root, a map of variables, and names from the Secret. */}}
{{- define "llmgw.env" -}}
{{- $root := index . 0 -}}
{{- $env := index . 1 -}}
{{- range index . 2 -}}
{{- $_ := set $env . (dict "secret" .) -}}
{{- end -}}
{{- range $name, $value := $root.Values.extraEnv -}}
{{- $_ := set $env $name (dict "value" ($value | toString)) -}}
{{- end -}}
{{- range $name, $entry := $env }}
- name: {{ $name }}
  {{- if hasKey $entry "secret" }}
  valueFrom:
    secretKeyRef:
      name: {{ $root.Values.secrets.name }}
      key: {{ $entry.secret }}
      {{- if has $entry.secret $root.Values.secrets.optional }}
      optional: true
      {{- end }}
  {{- else if hasKey $entry "field" }}
  valueFrom:
    fieldRef:
      fieldPath: {{ $entry.field }}
  {{- else }}
  value: {{ $entry.value | toString | quote }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "llmgw.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.runAsUser | int64 }}
runAsGroup: {{ .Values.runAsUser | int64 }}
fsGroup: {{ .Values.runAsUser | int64 }}
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "llmgw.security" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
privileged: false
readOnlyRootFilesystem: {{ .Values.readOnlyRootFilesystem }}
runAsNonRoot: true
runAsUser: {{ .Values.runAsUser | int64 }}
runAsGroup: {{ .Values.runAsUser | int64 }}
{{- end -}}

{{/* Requests equal limits. Takes cpu, memory, ephemeral storage. */}}
{{- define "llmgw.resources" -}}
{{- range list "limits" "requests" }}
{{ . }}:
  cpu: {{ index $ 0 | quote }}
  memory: {{ index $ 1 | quote }}
  ephemeral-storage: {{ index $ 2 | quote }}
{{- end }}
{{- end -}}

{{/* What a migration run needs of a node. */}}
{{- define "llmgw.migrationResources" -}}
{{- if eq .Values.target "llmgw" -}}
{{ include "llmgw.resources" (list "100m" "64Mi" "256Mi") }}
{{- else -}}
{{ include "llmgw.resources" (list "500m" "1Gi" "1Gi") }}
{{- end -}}
{{- end -}}

{{/* Directories LiteLLM writes to below a read-only root. Takes root and whether the UI counts. */}}
{{- define "llmgw.scratchMounts" -}}
{{- $root := index . 0 -}}
{{- if and (eq $root.Values.target "litellm") $root.Values.readOnlyRootFilesystem }}
{{- if and $root.Values.ui (index . 1) }}
- name: ui-volume
  mountPath: /app/var/litellm/ui
- name: assets-volume
  mountPath: /app/var/litellm/assets
{{- end }}
- name: cache
  mountPath: /app/cache
- name: migrations
  mountPath: /app/migrations
- name: tmp
  mountPath: /tmp
{{- end }}
{{- end -}}

{{- define "llmgw.scratchVolumes" -}}
{{- $root := index . 0 -}}
{{- if and (eq $root.Values.target "litellm") $root.Values.readOnlyRootFilesystem }}
{{- if and $root.Values.ui (index . 1) }}
- name: ui-volume
  emptyDir: {sizeLimit: 100Mi}
- name: assets-volume
  emptyDir: {sizeLimit: 10Mi}
{{- end }}
- name: cache
  emptyDir: {sizeLimit: 500Mi}
- name: migrations
  emptyDir: {sizeLimit: 64Mi}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- end }}
{{- end -}}

{{- define "llmgw.migrateContainer" -}}
{{- $env := include "llmgw.migrationEnv" . | fromYaml -}}
{{- include "llmgw.databaseEnv" (list . $env) -}}
image: {{ .Values.image.reference | quote }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if eq .Values.target "llmgw" }}
args: [migrate, deploy, --wait, --format, jsonl, --timeout, 25m]
{{- else }}
command: [python, litellm/proxy/prisma_migration.py]
workingDir: /app
{{- end }}
env: {{ include "llmgw.env" (list . $env list) | nindent 2 }}
resources: {{ include "llmgw.migrationResources" . | nindent 2 }}
securityContext: {{ include "llmgw.security" . | nindent 2 }}
{{- with include "llmgw.scratchMounts" (list . false) }}
volumeMounts: {{ . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Hook annotations of an object that a migration needs. Takes root and the wave or weight below the Job. */}}
{{- define "llmgw.hook" -}}
{{- $root := index . 0 -}}
{{- $before := index . 1 -}}
{{- $mode := $root.Values.migrations.mode -}}
{{- if not $root.Values.database }}
{{- else if eq $mode "helm-hook" }}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ ternary "-5" "0" $before | quote }}
helm.sh/hook-delete-policy: before-hook-creation
{{- else if eq $mode "argocd" }}
argocd.argoproj.io/hook: PreSync
argocd.argoproj.io/hook-delete-policy: BeforeHookCreation
{{- if $before }}
argocd.argoproj.io/sync-wave: "-1"
{{- end }}
{{- else if eq $mode "argocd-sync" }}
{{- if $before }}
argocd.argoproj.io/sync-wave: "-2"
{{- else }}
argocd.argoproj.io/hook: Sync
argocd.argoproj.io/hook-delete-policy: BeforeHookCreation
argocd.argoproj.io/sync-wave: "-1"
{{- end }}
{{- end }}
{{- end -}}
