{{- /*
One Argo template that runs one stage in one pod. Takes a dict: root, stage, args (after the workspace), inputs (names
of further input parameters), outputs (names of figures that become output parameters).
Everything that a templateRef would take from its caller stands here, at the template.
*/ -}}
{{- define "svc-jobs.stage" -}}
{{- $root := .root -}}
{{- $values := $root.Values -}}
{{- $stage := get $values.stages .stage -}}
{{- $pool := get $values.pools $stage.pool -}}
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
    expression: >-
      lastRetry.status == 'Error' || asInt(lastRetry.exitCode) in [{{ join ", " $values.retryCodes }}]
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
      - {name: AWS_REGION, value: {{ $values.bucket.region | quote }}}
      {{- with $values.bucket.endpoint }}
      - {name: AWS_ENDPOINT_URL_S3, value: {{ . | quote }}}
      {{- end }}
      {{- if $values.bucket.caConfigMap }}
      - {name: AWS_CA_BUNDLE, value: /etc/svc-jobs/ca/ca.crt}
      {{- end }}
      {{- if $values.modelCacheClaim }}
      - {name: SVC_MODELS, value: /models}
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
      {{- if $values.bucket.caConfigMap }}
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
    {{- if $values.bucket.caConfigMap }}
    - name: ca
      configMap: {name: {{ $values.bucket.caConfigMap }}}
    {{- end }}
    {{- if $values.modelCacheClaim }}
    - name: models
      persistentVolumeClaim: {claimName: {{ $values.modelCacheClaim }}, readOnly: true}
    {{- end }}
{{- end }}

{{- /* All stages, with the arguments that each takes; `args` uses the workflow's inputs of the same names. */ -}}
{{- define "svc-jobs.stages" -}}
{{- $shard := list "--shard" "[[inputs.parameters.shard]]" "--shards" "[[inputs.parameters.shards]]" -}}
{{- $device := list "--device" "[[inputs.parameters.device]]" -}}
{{- $settings := list "--preset" "[[inputs.parameters.preset]]" "--encoder" "[[inputs.parameters.encoder]]" "--f0" "[[inputs.parameters.f0]]" "--steps" "[[inputs.parameters.steps]]" -}}
{{ include "svc-jobs.stage" (dict "root" . "stage" "prepare" "inputs" (list "speaker" "preset" "encoder" "f0" "steps") "args" (concat (list "--speaker" "[[inputs.parameters.speaker]]") $settings) "outputs" (list "message" "shards" "recordings" "seconds")) }}
{{ include "svc-jobs.stage" (dict "root" . "stage" "slice" "inputs" (list "shard" "shards") "args" $shard "outputs" (list "message" "clips" "seconds" "dropped")) }}
{{ include "svc-jobs.stage" (dict "root" . "stage" "filelists" "outputs" (list "message" "shards" "train" "val")) }}
{{ include "svc-jobs.stage" (dict "root" . "stage" "features" "inputs" (list "shard" "shards" "device") "args" (concat $shard $device) "outputs" (list "message" "clips")) }}
{{ include "svc-jobs.stage" (dict "root" . "stage" "train" "inputs" (list "device") "args" $device "outputs" (list "message" "step" "epoch" "seconds")) }}
{{ include "svc-jobs.stage" (dict "root" . "stage" "evaluate" "inputs" (list "device") "args" $device "outputs" (list "message" "best_step")) }}
{{ include "svc-jobs.stage" (dict "root" . "stage" "publish" "outputs" (list "message" "step" "folder")) }}
{{ include "svc-jobs.stage" (dict "root" . "stage" "report" "outputs" (list "message" "page")) }}
{{- end }}
