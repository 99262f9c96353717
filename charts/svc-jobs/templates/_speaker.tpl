{{- /* What may be said at submit, as a form in Argo's UI. Takes a dict: root, names. */ -}}
{{- define "svc-jobs.parameters" -}}
{{- $defaults := .root.Values.defaults -}}
{{- $known := dict
  "speaker" (dict "description" "Folder below raw/ of the workspace; also the voice's name")
  "workspace" (dict "value" "" "description" "s3://bucket/prefix of the voice; empty: the chart's root and the speaker's name")
  "preset" (dict "value" $defaults.preset "enum" (list "full" "tiny" "toy") "description" "Network")
  "encoder" (dict "value" $defaults.encoder "enum" (list "contentvec-768l12" "contentvec-256l9" "whisper-base" "mel-bands") "description" "Content encoder; mel-bands is for demonstrations")
  "f0" (dict "value" $defaults.f0 "enum" (list "swift-f0" "dio" "harvest" "rmvpe") "description" "Pitch predictor")
  "steps" (dict "value" (int64 $defaults.steps | toString) "description" "Training steps in all")
  "device" (dict "value" $defaults.device "enum" (list "cuda" "auto" "cpu") "description" "cuda fails without a GPU")
  "shard" (dict "value" "0" "description" "Which part of the work, counted from 0")
  "shards" (dict "value" "1" "description" "Into how many parts the work is divided")
-}}
{{- range .names }}
- name: {{ . }}
  {{- toYaml (get $known .) | nindent 2 }}
{{- end }}
{{- end }}

{{- define "svc-jobs.common" -}}
workflowMetadata:
  labelsFrom:
    svc-jobs/speaker: {expression: "sprig.substr(0, 63, sprig.trimAll('-_.', sprig.regexReplaceAll('[^A-Za-z0-9_.-]', workflow.parameters.speaker, '-')))"}
synchronization:
  mutexes:
    - name: svc-jobs-[[workflow.parameters.speaker]]
serviceAccountName: {{ .Values.serviceAccount.name }}
automountServiceAccountToken: false
executor:
  serviceAccountName: {{ .Values.serviceAccount.name }}-executor
{{- with .Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
podGC:
  strategy: OnPodSuccess
  deleteDelayDuration: 60s
ttlStrategy:
  secondsAfterCompletion: {{ .Values.lifecycle.ttlSeconds | int64 }}
{{- end }}

{{- define "svc-jobs.dag" -}}
{{- $workspace := include "svc-jobs.workspace" . -}}
{{- $at := printf "{name: workspace, value: %q}" $workspace -}}
- name: speaker
  parallelism: {{ .Values.defaults.parallelism | int64 }}
  dag:
    tasks:
      - name: prepare
        template: prepare
        arguments:
          parameters:
            - {{ $at }}
            {{- range list "speaker" "preset" "encoder" "f0" "steps" }}
            - {name: {{ . }}, value: "[[workflow.parameters.{{ . }}]]"}
            {{- end }}
      - name: slice
        depends: prepare.Succeeded
        template: slice
        withSequence: {count: "[[tasks.prepare.outputs.parameters.shards]]"}
        arguments:
          parameters:
            - {{ $at }}
            - {name: shard, value: "[[item]]"}
            - {name: shards, value: "[[tasks.prepare.outputs.parameters.shards]]"}
      - name: filelists
        depends: slice.Succeeded || slice.Skipped
        template: filelists
        arguments:
          parameters:
            - {{ $at }}
      - name: features
        depends: filelists.Succeeded
        template: features
        withSequence: {count: "[[tasks.filelists.outputs.parameters.shards]]"}
        arguments:
          parameters:
            - {{ $at }}
            - {name: shard, value: "[[item]]"}
            - {name: shards, value: "[[tasks.filelists.outputs.parameters.shards]]"}
            - {name: device, value: "[[workflow.parameters.device]]"}
      {{- $before := "features" }}
      {{- range list "train" "evaluate" "publish" "report" }}
      - name: {{ . }}
        depends: {{ $before }}.Succeeded{{ if eq $before "features" }} || features.Skipped{{ end }}
        template: {{ . }}
        arguments:
          parameters:
            - {{ $at }}
            {{- if has . (list "train" "evaluate") }}
            - {name: device, value: "[[workflow.parameters.device]]"}
            {{- end }}
      {{- $before = . }}
      {{- end }}
{{- end }}

{{- define "svc-jobs.svc-speaker" -}}
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata:
  name: svc-speaker
  labels: {{- include "svc-jobs.labels" . | nindent 4 }}
  annotations:
    workflows.argoproj.io/title: Train a voice
    workflows.argoproj.io/description: From the recordings of one speaker to a released voice model and a report.
spec:
  entrypoint: speaker
  arguments:
    parameters: {{- include "svc-jobs.parameters" (dict "root" . "names" (list "speaker" "workspace" "preset" "encoder" "f0" "steps" "device")) | trim | nindent 6 }}
  {{- include "svc-jobs.common" . | nindent 2 }}
  templates:
    {{- include "svc-jobs.dag" . | nindent 4 }}
    {{- include "svc-jobs.stages" . | nindent 4 }}
{{- end }}

{{- /* One stage that can be submitted alone. Takes a dict: root, stage, names (its parameters besides speaker and workspace). */ -}}
{{- define "svc-jobs.svc-stage" -}}
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata:
  name: svc-{{ .stage }}
  labels: {{- include "svc-jobs.labels" .root | nindent 4 }}
  annotations:
    workflows.argoproj.io/title: {{ printf "Only the stage %s" .stage }}
    workflows.argoproj.io/description: One stage of svc-speaker on a workspace whose earlier stages are done.
spec:
  entrypoint: alone
  arguments:
    parameters: {{- include "svc-jobs.parameters" (dict "root" .root "names" (concat (list "speaker" "workspace") .names)) | trim | nindent 6 }}
  {{- include "svc-jobs.common" .root | nindent 2 }}
  templates:
    - name: alone
      dag:
        tasks:
          - name: {{ .stage }}
            template: {{ .stage }}
            arguments:
              parameters:
                - {name: workspace, value: {{ include "svc-jobs.workspace" .root | quote }}}
                {{- if eq .stage "prepare" }}
                - {name: speaker, value: "[[workflow.parameters.speaker]]"}
                {{- end }}
                {{- range .names }}
                - {name: {{ . }}, value: "[[workflow.parameters.{{ . }}]]"}
                {{- end }}
    {{- include "svc-jobs.stages" .root | nindent 4 }}
{{- end }}
