{{- define "whodrew.name" -}}
{{- if contains "whodrew" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-whodrew" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels of a component: (list $ "api") */}}
{{- define "whodrew.selector" -}}
app.kubernetes.io/name: whodrew
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "whodrew.labels" -}}
{{ include "whodrew.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image: (list $ "worker-light") */}}
{{- define "whodrew.image" -}}
{{- $image := (index . 0).Values.image }}{{ $name := printf "whodrew-%s" (index . 1) }}
{{- with index $image.digests $name -}}
image: {{ printf "%s%s@%s" $image.registry $name . }}
{{- else -}}
image: {{ printf "%s%s:%s" $image.registry $name ($image.tag | default (index $ 0).Chart.AppVersion) }}
{{- end }}
imagePullPolicy: {{ $image.pullPolicy }}
{{- end }}

{{/* What every pod has: user 10001, no capabilities, no token of the cluster. */}}
{{- define "whodrew.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 10001
  runAsGroup: 10001
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{- define "whodrew.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{/* Where pods may be scheduled: (list $ component values) */}}
{{- define "whodrew.scheduling" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "whodrew.selector" (list (index . 0) (index . 1)) | nindent 8 }}
{{- range $key := list "nodeSelector" "tolerations" "affinity" }}
{{- with index (index $ 2) $key }}
{{ $key }}: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}

{{/* The environment of every process: (list $ isOwner) */}}
{{- define "whodrew.environment" -}}
{{- $ := index . 0 }}{{ $secret := $.Values.existingSecret -}}
- {name: DATABASE__URL_FILE, value: /run/secrets/whodrew/{{ and (index . 1) $secret.ownerDatabaseUrl | default $secret.databaseUrl }}}
- {name: REDIS__URL_FILE, value: /run/secrets/whodrew/{{ $secret.redisUrl }}}
- {name: BLOBS__URL, value: {{ $.Values.blobs.url | quote }}}
- {name: JOB__RELEASE_AFTER, value: "{{ $.Values.releaseAfterSeconds }}"}
# Libraries keep their caches in the home directory, and the root is read-only.
- {name: HOME, value: /tmp}
{{- end }}

{{/* Names and values of a map as environment variables */}}
{{- define "whodrew.variables" -}}
{{- range $name, $value := . }}
- {name: {{ $name }}, value: {{ ternary $value (toJson $value) (kindIs "string" $value) | quote }}}
{{- end }}
{{- end }}

{{- define "whodrew.envFrom" -}}
- configMapRef: {name: {{ include "whodrew.name" . }}}
{{- with .Values.blobs.existingSecret }}
- secretRef: {name: {{ . }}}
{{- end }}
{{- end }}

{{- define "whodrew.secretVolume" -}}
- name: secrets
  secret: {secretName: {{ .Values.existingSecret.name }}, defaultMode: 0440}
{{- end }}

{{/* The workers by name, those of local sources included, each with its roles and queues. */}}
{{- define "whodrew.workers" -}}
{{- $screens := or (index .Values.config "SCREENING__HOOKS") (index .Values.config "SCREENING__ENDPOINT") }}
{{- $screened := list "screen" "references" }}
{{- $queues := dict "light" (concat (list "fetch" "rank" "notify") (ternary $screened (list) (not (not $screens))))
    "remote" (list "remote")
    "caption" (concat (list "caption") (ternary (list) $screened (not (not $screens))))
    "embed" (list "embed") }}
{{- $workers := dict }}
{{- range $name, $given := .Values.workers }}
{{- $worker := deepCopy $given }}
{{- $_ := set $worker "role" $name }}
{{- $_ := set $worker "queues" (index $queues $name) }}
{{- $_ := set $workers $name $worker }}
{{- end }}
{{- range $name, $given := .Values.local }}
{{- $worker := deepCopy $.Values.localDefaults }}
{{- /* Not merge: that takes 0 and false for values that were not given. */}}
{{- range $key, $value := $given }}{{ $_ := set $worker $key $value }}{{ end }}
{{- $queues := list }}
{{- range $given.sources }}{{ $queues = append $queues (printf "local.%s" .) }}{{ end }}
{{- $_ := set $worker "role" "local" }}
{{- $_ := set $worker "queues" $queues }}
{{- $_ := set $workers (printf "local-%s" $name) $worker }}
{{- end }}
{{- toYaml $workers }}
{{- end }}

{{- define "whodrew.hasWeights" -}}
{{- if or .Values.weights.downloads .Values.weights.existingClaim }}true{{ end }}
{{- end }}

{{- define "whodrew.claim" -}}
{{- .Values.weights.existingClaim | default (printf "%s-weights" (include "whodrew.name" .)) }}
{{- end }}

{{/* The file that says that the volume has exactly these downloads. */}}
{{- define "whodrew.filled" -}}
/var/lib/whodrew/hub/filled-{{ .Values.weights.downloads | toJson | sha256sum | trunc 12 }}
{{- end }}
