{{- /* Mistakes that the schema cannot see, or could only answer with a pattern. Each ends the rendering with a sentence. */ -}}
{{- define "svc-jobs.checks" -}}
{{- if not .Values.workspaces -}}
{{- fail "workspaces is empty: set it to s3://bucket/prefix" -}}
{{- end -}}
{{- if eq .Values.images.tag "latest" -}}
{{- fail "images.tag is latest: name a version, since two attempts of one stage could run two programs" -}}
{{- end -}}
{{- if and .Values.hub.namespace (not .Values.hub.existingSecret) -}}
{{- fail "hub.namespace is set and hub.existingSecret is not: name the Secret with the key HF_TOKEN" -}}
{{- end -}}
{{- range .Values.retryCodes -}}
{{- if has (toString (int64 .)) (list "2" "66" "70" "78") -}}
{{- fail (printf "retryCodes has %d: no other attempt cures a stage that ends with 2, 66, 70 or 78" (int64 .)) -}}
{{- end -}}
{{- end -}}
{{- range $stage, $settings := .Values.stages -}}
{{- if not (hasKey $.Values.pools $settings.pool) -}}
{{- fail (printf "stages.%s.pool is %q, which is not one of pools: %s" $stage $settings.pool (keys $.Values.pools | sortAlpha | join ", ")) -}}
{{- end -}}
{{- end -}}
{{- end }}
