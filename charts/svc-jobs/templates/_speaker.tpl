{{- /* What may be said at submit, as a form in Argo's UI. Takes a dict: root, names. */ -}}
{{- define "svc-jobs.parameters" -}}
{{- $defaults := .root.Values.defaults -}}
{{- $known := dict
  "speaker" (dict "description" "Folder below raw/ of the workspace; also the voice's name")
  "workspace" (dict "value" "" "description" "s3://bucket/prefix of the voice; empty: the chart's root and the speaker's name")
  "run" (dict "value" "" "description" "A name to find this run by, as label svc-jobs/run; empty: the workflow's own")
  "preset" (dict "value" $defaults.preset "enum" (list "full" "tiny" "toy") "description" "Network")
  "encoder" (dict "value" $defaults.encoder "enum" (list "contentvec-768l12" "contentvec-256l9" "whisper-base" "mel-bands") "description" "Content encoder; mel-bands is for demonstrations")
  "f0" (dict "value" $defaults.f0 "enum" (list "swift-f0" "dio" "harvest" "rmvpe") "description" "Pitch predictor")
  "steps" (dict "value" (int64 $defaults.steps | toString) "description" "Training steps in all")
  "steps_per_minute" (dict "value" "0" "description" "Training steps for each minute of recordings, where that is more than `steps`")
  "slice_shard_minutes" (dict "value" ($defaults.sliceShardMinutes | toString) "description" "Minutes of recordings for one slice pod")
  "features_shard_minutes" (dict "value" ($defaults.featuresShardMinutes | toString) "description" "Minutes of clips for one features pod")
  "device" (dict "value" $defaults.device "enum" (list "cuda" "auto" "cpu") "description" "cuda fails without a GPU")
  "shard" (dict "value" "0" "description" "Which part of the work, counted from 0")
  "shards" (dict "value" "1" "description" "Into how many parts the work is divided")
  "input" (dict "description" "Audio to convert: s3://bucket/key, or a folder there")
  "transpose" (dict "value" "0" "description" "Semitones up, or auto")
  "speakers" (dict "description" "JSON list of speakers, each a voice in a workspace of its own: [\"alice\", \"bob\"]")
-}}
{{- range .names }}
- name: {{ . }}
  {{- toYaml (get $known .) | nindent 2 }}
{{- end }}
{{- end }}

{{- /* The parameters that prepare records in the config. */ -}}
{{- define "svc-jobs.settings" -}}
{{ list "preset" "encoder" "f0" "steps" "steps_per_minute" "slice_shard_minutes" "features_shard_minutes" | toJson }}
{{- end }}

{{- /* A label's value out of a parameter: what may not stand in one becomes a dash. */ -}}
{{- define "svc-jobs.label" -}}
sprig.trunc(63, sprig.trimAll('-_.', sprig.regexReplaceAll('[^A-Za-z0-9_.-]+', {{ . }}, '-')))
{{- end }}

{{- /* What a workflow needs beside its templates. Takes a dict: root, stage (for the label), speaker (whether one is named). */ -}}
{{- define "svc-jobs.common" -}}
workflowMetadata:
  labels:
    app.kubernetes.io/name: svc-jobs
    svc-jobs/stage: {{ .stage }}
  labelsFrom:
    svc-jobs/run: {expression: "{{ include "svc-jobs.label" "(workflow.parameters.run == '' ? workflow.name : workflow.parameters.run)" }}"}
    {{- if .speaker }}
    svc-jobs/speaker: {expression: "{{ include "svc-jobs.label" "workflow.parameters.speaker" }}"}
    {{- end }}
serviceAccountName: {{ .root.Values.serviceAccount.name }}
automountServiceAccountToken: false
executor:
  serviceAccountName: {{ .root.Values.serviceAccount.name }}-executor
{{- if .root.Values.artifacts.enabled }}
artifactRepositoryRef: {configMap: {{ .root.Values.serviceAccount.name }}-artifacts, key: svc-jobs}
{{- end }}
{{- with .root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
podGC:
  strategy: OnPodSuccess
  deleteDelayDuration: 60s
ttlStrategy:
  secondsAfterCompletion: {{ .root.Values.lifecycle.ttlSeconds | int64 }}
{{- end }}

{{- /* The way of one speaker. The mutex stands here, so that two submits wait for each other, alone or within a fan-out. */ -}}
{{- define "svc-jobs.dag" -}}
{{- $at := "{name: workspace, value: \"[[inputs.parameters.workspace]]\"}" -}}
{{- $device := "{name: device, value: \"[[inputs.parameters.device]]\"}" -}}
{{- $settings := prepend (include "svc-jobs.settings" . | fromJsonArray) "speaker" -}}
- name: speaker
  inputs:
    parameters:
      {{- range concat (list "workspace" "device") $settings }}
      - name: {{ . }}
      {{- end }}
  parallelism: {{ .Values.defaults.parallelism | int64 }}
  synchronization:
    mutexes:
      - name: svc-jobs-[[inputs.parameters.speaker]]
  dag:
    tasks:
      - name: prepare
        template: prepare
        arguments:
          parameters:
            - {{ $at }}
            {{- range $settings }}
            - {name: {{ . }}, value: "[[inputs.parameters.{{ . }}]]"}
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
            - {{ $device }}
      {{- $before := "features" }}
      {{- range list "train" "evaluate" "publish" "report" }}
      - name: {{ . }}
        depends: {{ $before }}.Succeeded{{ if eq $before "features" }} || features.Skipped{{ end }}
        template: {{ . }}
        arguments:
          parameters:
            - {{ $at }}
            {{- if has . (list "train" "evaluate") }}
            - {{ $device }}
            {{- end }}
      {{- $before = . }}
      {{- end }}
{{- end }}

{{- /* A call of the template `speaker`. Takes a dict: speaker, workspace (Argo's tags). */ -}}
{{- define "svc-jobs.call" -}}
template: speaker
arguments:
  parameters:
    - {name: speaker, value: "{{ .speaker }}"}
    - {name: workspace, value: "{{ .workspace }}"}
    {{- range append (include "svc-jobs.settings" . | fromJsonArray) "device" }}
    - {name: {{ . }}, value: "[[workflow.parameters.{{ . }}]]"}
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
  entrypoint: voice
  arguments:
    parameters: {{- include "svc-jobs.parameters" (dict "root" . "names" (concat (list "speaker" "workspace") (include "svc-jobs.settings" . | fromJsonArray) (list "device" "run"))) | trim | nindent 6 }}
  {{- include "svc-jobs.common" (dict "root" . "stage" "all" "speaker" true) | nindent 2 }}
  templates:
    - name: voice
      dag:
        tasks:
          - name: speaker
            {{- include "svc-jobs.call" (dict "speaker" "[[workflow.parameters.speaker]]" "workspace" (include "svc-jobs.workspace" .)) | nindent 12 }}
    {{- include "svc-jobs.dag" . | nindent 4 }}
    {{- include "svc-jobs.stages" . | nindent 4 }}
{{- end }}

{{- define "svc-jobs.svc-speakers" -}}
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata:
  name: svc-speakers
  labels: {{- include "svc-jobs.labels" . | nindent 4 }}
  annotations:
    workflows.argoproj.io/title: Train many voices
    workflows.argoproj.io/description: One voice for each speaker of a list, each in a workspace of its own; one that fails does not stop the others.
spec:
  entrypoint: voices
  arguments:
    parameters: {{- include "svc-jobs.parameters" (dict "root" . "names" (concat (list "speakers") (include "svc-jobs.settings" . | fromJsonArray) (list "device" "run"))) | trim | nindent 6 }}
  {{- include "svc-jobs.common" (dict "root" . "stage" "all" "speaker" false) | nindent 2 }}
  templates:
    - name: voices
      parallelism: {{ .Values.defaults.speakers | int64 }}
      failFast: false
      dag:
        failFast: false
        tasks:
          - name: speaker
            withParam: "[[workflow.parameters.speakers]]"
            {{- include "svc-jobs.call" (dict "speaker" "[[item]]" "workspace" (printf "%s/[[item]]" (.Values.workspaces | trimSuffix "/"))) | nindent 12 }}
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
    parameters: {{- include "svc-jobs.parameters" (dict "root" .root "names" (concat (list "speaker" "workspace") .names (list "run"))) | trim | nindent 6 }}
  {{- include "svc-jobs.common" (dict "root" .root "stage" .stage "speaker" true) | nindent 2 }}
  synchronization:
    mutexes:
      - name: svc-jobs-[[workflow.parameters.speaker]]
  templates:
    - name: alone
      dag:
        tasks:
          - name: {{ .stage }}
            template: {{ .stage }}
            arguments:
              parameters:
                - {name: workspace, value: {{ include "svc-jobs.workspace" .root | quote }}}
                {{- if has .stage (list "prepare" "convert") }}
                - {name: speaker, value: "[[workflow.parameters.speaker]]"}
                {{- end }}
                {{- range .names }}
                - {name: {{ . }}, value: "[[workflow.parameters.{{ . }}]]"}
                {{- end }}
    {{- include "svc-jobs.stage-of" . | nindent 4 }}
{{- end }}
