{{- define "labels" -}}
app.kubernetes.io/name: evaluation-cancel
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rules" -}}
- apiGroups: ["batch"]
  resources: ["jobs"]
  verbs: ["get", "list", "watch", "delete"]
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["list", "watch"]
{{- end }}

{{- define "rules-of-settings" -}}
{{- if eq (toString .Values.settings.DELETE_LABELLED_PODS) "true" }}
- apiGroups: [""]
  resources: ["pods"]
  verbs: ["delete"]
{{- end }}
{{- end }}

{{- define "environment" -}}
{{- range $name, $value := . }}
- name: EVALUATION_CANCEL_{{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: ["ALL"]
{{- end }}
