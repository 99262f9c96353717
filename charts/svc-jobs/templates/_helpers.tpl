{{- define "svc-jobs.labels" -}}
app.kubernetes.io/name: svc-jobs
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* Argo's own tags are written [[...]] in this chart, so that Helm leaves them alone. */ -}}
{{- define "svc-jobs.argo" -}}
{{- . | replace "[[" "{{" | replace "]]" "}}" -}}
{{- end }}

{{- define "svc-jobs.image" -}}
{{- $digest := get .root.Values.images.digests .image -}}
{{- $place := printf "%s/%s" .root.Values.images.repository .image -}}
{{- if $digest }}{{ $place }}@{{ $digest }}{{ else }}{{ $place }}:{{ .root.Values.images.tag | default .root.Chart.AppVersion }}{{ end -}}
{{- end }}

{{- /* The workspace of a workflow: the parameter, or the chart's root and the speaker's name. */ -}}
{{- define "svc-jobs.workspace" -}}
{{- $root := .Values.workspaces | trimSuffix "/" -}}
[[=workflow.parameters.workspace == '' ? '{{ $root }}/' + workflow.parameters.speaker : workflow.parameters.workspace]]
{{- end }}

{{- /* Bucket and prefix of `workspaces`, as Argo's artifact repository takes them. */ -}}
{{- define "svc-jobs.bucketName" -}}
{{- .Values.workspaces | trimPrefix "s3://" | splitList "/" | first -}}
{{- end }}

{{- define "svc-jobs.artifactPrefix" -}}
{{- range (.Values.workspaces | trimPrefix "s3://" | trimSuffix "/" | splitList "/" | rest) }}{{ . }}/{{ end }}.argo/
{{- end }}
