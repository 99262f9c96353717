{{- /*
One Argo template that runs one stage in one pod. Takes a dict: root, stage, args (after the workspace), inputs (names
of further input parameters), outputs (names of figures that become output parameters), artifacts (files below
/scratch/outputs that Argo's UI opens).
Everything that a templateRef would take from its caller stands here, at the template.
*/ -}}
{{- define "svc-jobs.stage" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $stage := get $values.stages .stage -}}
{{- $pool := get $values.pools $stage.pool -}}
{{- $name := .stage -}}
{{- $killed := "lastRetry.message contains 'OOMKilled'" -}}
{{- $more := $stage.memoryAfterOom | default $stage.memory -}}
{{- $memory := printf "[[=%s ? '%s' : '%s']]" $killed $more $stage.memory -}}
- name: {{ .stage }}
  inputs:
    parameters:
      - name: workspace
      {{- range .inputs }}
      - name: {{ . }}
      {{- end }}
  {{- if .outputs }}
  outputs:
    parameters:
      {{- range .outputs }}
      - name: {{ . }}
        valueFrom: {path: /scratch/outputs/{{ . }}, default: ""}
      {{- end }}
    {{- if and .artifacts $values.artifacts.enabled }}
    artifacts:
      {{- range .artifacts }}
      - name: {{ . | replace "." "-" }}
        path: /scratch/outputs/{{ . }}
        optional: true
        archive: {none: {}}
        s3: {key: "{{ include "svc-jobs.artifactPrefix" $root }}[[workflow.name]]/{{ $name }}/{{ . }}"}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- if $values.metrics.enabled }}
  metrics:
    prometheus:
      - name: svc_jobs_stage_seconds
        help: Wall time of a stage or shard with all its attempts, by result.
        labels: [{key: stage, value: {{ $name }}}, {key: status, value: "[[status]]"}]
        histogram: {buckets: [10, 30, 60, 300, 900, 3600, 14400, 86400], value: "[[duration]]"}
      - name: svc_jobs_stage_retries_total
        help: Attempts of a stage after the first.
        labels: [{key: stage, value: {{ $name }}}]
        counter: {value: "[[retries]]"}
      {{- if $pool.gpus }}
      - name: svc_jobs_gpu_hours_total
        help: GPUs asked for, times the hours that the stage took with all its attempts and waits.
        labels: [{key: stage, value: {{ $name }}}]
        counter: {value: "[[=asFloat(duration) * {{ $pool.gpus }} / 3600]]"}
      {{- end }}
  {{- end }}
  metadata:
    labels:
      app.kubernetes.io/name: svc-jobs
      svc-jobs/stage: {{ .stage }}
      {{- with $pool.queueName }}
      kueue.x-k8s.io/queue-name: {{ . }}
      {{- end }}
    annotations:
      workflows.argoproj.io/progress: 0/1000
      {{- if $pool.gpus }}
      karpenter.sh/do-not-disrupt: "true"
      cluster-autoscaler.kubernetes.io/safe-to-evict: "false"
      {{- end }}
  {{- with $values.lifecycle.pendingTimeoutSeconds }}
  pendingTimeout: {{ . | int64 }}s
  {{- end }}
  retryStrategy:
    limit: {{ $stage.retries | int64 | quote }}
    retryPolicy: Always
    # -1: the pod went away without an exit code, evicted or with its node. Killed for memory: once more, with more.
    expression: >-
      lastRetry.status == 'Error' || (asInt(lastRetry.exitCode) in [-1, {{ join ", " $values.retryCodes }}]
      && !({{ $killed }} && {{ if eq $more $stage.memory }}true{{ else }}lastRetry.message contains 'limit of {{ $more }}'{{ end }}))
    backoff:
      duration: {{ $values.lifecycle.backoffSeconds | int64 }}s
      factor: "2"
      cap: {{ $values.lifecycle.backoffCapSeconds | int64 }}s
  automountServiceAccountToken: false
  serviceAccountName: {{ $values.serviceAccount.name }}
  executor:
    serviceAccountName: {{ $values.serviceAccount.name }}-executor
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    seccompProfile: {type: RuntimeDefault}
  {{- with $pool.nodeSelector }}
  nodeSelector: {{ toJson . }}
  {{- end }}
  {{- with $pool.tolerations }}
  tolerations: {{ toJson . }}
  {{- end }}
  {{- with $pool.priorityClassName }}
  priorityClassName: {{ . }}
  {{- end }}
  podSpecPatch: |
    {{- with $stage.graceSeconds }}
    terminationGracePeriodSeconds: {{ . | int64 }}
    {{- end }}
    {{- with $pool.runtimeClassName }}
    runtimeClassName: {{ . }}
    {{- end }}
    initContainers:
      - name: init
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    containers:
      - name: main
        resources:
          requests: {memory: "{{ $memory }}"}
          limits: {memory: "{{ $memory }}"}
      - name: wait
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
  container:
    name: main
    image: {{ include "svc-jobs.image" (dict "root" $root "image" $stage.image) }}
    imagePullPolicy: {{ $values.images.pullPolicy }}
    command: [python, -m, jobs]
    args:
      - {{ .stage }}
      - --workspace
      - "[[inputs.parameters.workspace]]"
      {{- range .args }}
      - {{ . | quote }}
      {{- end }}
      - --json
    env:
      - {name: SVC_OUTPUTS, value: /scratch/outputs}
      - {name: SVC_FAILURE_FILE, value: /dev/termination-log}
      - {name: SVC_MEMORY_LIMIT, value: "{{ $memory }}"}
      - {name: AWS_REGION, value: {{ $values.bucket.region | quote }}}
      {{- with $values.bucket.endpoint }}
      - {name: AWS_ENDPOINT_URL_S3, value: {{ . | quote }}}
      {{- end }}
      {{- if $values.bucket.caSecret }}
      - {name: AWS_CA_BUNDLE, value: /etc/svc-jobs/ca/ca.crt}
      {{- end }}
      {{- if $values.modelCacheClaim }}
      - {name: SVC_MODELS, value: /models}
      {{- end }}
      {{- if and (eq $name "publish") $values.hub.namespace }}
      - {name: SVC_HUB, value: {{ $values.hub.namespace | quote }}}
      - {name: HF_TOKEN, valueFrom: {secretKeyRef: {name: {{ $values.hub.existingSecret }}, key: HF_TOKEN}}}
      {{- with $values.hub.endpoint }}
      - {name: HF_ENDPOINT, value: {{ . | quote }}}
      {{- end }}
      {{- end }}
      - {name: OMP_NUM_THREADS, value: {{ $stage.cpu | quote }}}
    {{- with $values.bucket.existingSecret }}
    envFrom:
      - secretRef: {name: {{ . }}}
    {{- end }}
    resources:
      requests:
        cpu: {{ $stage.cpu | quote }}
        memory: {{ $stage.memory }}
        ephemeral-storage: {{ $stage.scratch }}
        {{- if $pool.gpus }}
        {{ $values.gpuResource }}: {{ $pool.gpus | quote }}
        {{- end }}
      limits:
        memory: {{ $stage.memory }}
        {{- if $pool.gpus }}
        {{ $values.gpuResource }}: {{ $pool.gpus | quote }}
        {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities: {drop: [ALL]}
    volumeMounts:
      - {name: scratch, mountPath: /scratch}
      - {name: tmp, mountPath: /tmp}
      {{- if $stage.shm }}
      - {name: shm, mountPath: /dev/shm}
      {{- end }}
      {{- if $values.bucket.caSecret }}
      - {name: ca, mountPath: /etc/svc-jobs/ca, readOnly: true}
      {{- end }}
      {{- if $values.modelCacheClaim }}
      - {name: models, mountPath: /models, readOnly: true}
      {{- end }}
  volumes:
    - name: scratch
      emptyDir: {sizeLimit: {{ $stage.scratch }}}
    - name: tmp
      emptyDir: {sizeLimit: 1Gi}
    {{- if $stage.shm }}
    - name: shm
      emptyDir: {medium: Memory, sizeLimit: {{ $stage.shm }}}
    {{- end }}
    {{- if $values.bucket.caSecret }}
    - name: ca
      secret: {secretName: {{ $values.bucket.caSecret }}}
    {{- end }}
    {{- if $values.modelCacheClaim }}
    - name: models
      persistentVolumeClaim: {claimName: {{ $values.modelCacheClaim }}, readOnly: true}
    {{- end }}
{{- end }}

{{- /*
Arguments and results of each stage. `args` uses the template's inputs of the same names; `inputs` and `outputs` are
parameters, `artifacts` files that Argo's UI opens. Takes a dict: root, stage.
*/ -}}
{{- define "svc-jobs.stage-of" -}}
{{- $shard := list "--shard" "[[inputs.parameters.shard]]" "--shards" "[[inputs.parameters.shards]]" -}}
{{- $device := list "--device" "[[inputs.parameters.device]]" -}}
{{- $speaker := list "--speaker" "[[inputs.parameters.speaker]]" -}}
{{- $settings := list -}}
{{- $given := include "svc-jobs.settings" .root | fromJsonArray -}}
{{- range $given -}}
{{- $settings = concat $settings (list (printf "--%s" (replace "_" "-" .)) (printf "[[inputs.parameters.%s]]" .)) -}}
{{- end -}}
{{- $input := list "[[inputs.parameters.input]]" "--transpose" "[[inputs.parameters.transpose]]" -}}
{{- $stages := dict
  "prepare" (dict "inputs" (concat (list "speaker") $given) "args" (concat $speaker $settings) "outputs" (list "message" "shards" "recordings" "seconds" "steps"))
  "slice" (dict "inputs" (list "shard" "shards") "args" $shard "outputs" (list "message" "clips" "seconds" "dropped"))
  "filelists" (dict "outputs" (list "message" "shards" "train" "val"))
  "features" (dict "inputs" (list "shard" "shards" "device") "args" (concat $shard $device) "outputs" (list "message" "clips"))
  "train" (dict "inputs" (list "device") "args" $device "outputs" (list "message" "step" "epoch" "seconds" "mel_loss"))
  "evaluate" (dict "inputs" (list "device") "args" $device "outputs" (list "message" "best_step" "best_mel_distance"))
  "publish" (dict "outputs" (list "message" "step" "folder"))
  "convert" (dict "inputs" (list "input" "speaker" "transpose" "device") "args" (concat $input $speaker $device) "outputs" (list "message"))
  "report" (dict "outputs" (list "message" "page") "artifacts" (list "report.html"))
-}}
{{- include "svc-jobs.stage" (merge (dict "root" .root "stage" .stage) (get $stages .stage)) -}}
{{- end }}

{{- define "svc-jobs.stages" -}}
{{- range list "prepare" "slice" "filelists" "features" "train" "evaluate" "publish" "report" }}
{{ include "svc-jobs.stage-of" (dict "root" $ "stage" .) }}
{{- end }}
{{- end }}
