{{- /*
The objects of a file of envoyfilter/, as documents, with the values filled in. Nothing
of what is applied stands in this chart a second time.

usage: include "bluegreen.objects" (list $ "FILE")
*/ -}}
{{- define "bluegreen.objects" -}}
{{- $root := index . 0 -}}
{{- $text := include "bluegreen.text" . -}}
{{- range splitList "\n---\n" $text -}}
{{- $document := fromYaml . -}}
{{- with $document.Error }}{{ fail . }}{{ end -}}
{{- $objects := list $document -}}
{{- if eq $document.kind "List" -}}
{{- $objects = $document.items -}}
{{- end -}}
{{- range $objects }}
{{- include "bluegreen.object" (list $root .) }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* The text of a file, with the names of namespaces and headers that the values say. */ -}}
{{- define "bluegreen.text" -}}
{{- $root := index . 0 -}}
{{- $config := $root.Values.outbound.pluginConfig -}}
{{- $pin := (($config).pin).header | default "x-version-pin" | lower -}}
{{- $root.Files.Get (printf "files/%s" (index . 1))
  | required (printf "no file %s" (index . 1))
  | replace "istio-system" $root.Values.rootNamespace
  | replace "myapp" $root.Release.Namespace
  | replace "x-bluegreen-bucket" (($config).bucketHeader | default "x-bluegreen-bucket")
  | replace "x-bluegreen-route" (($config).routeHeader | default "x-bluegreen-route")
  | replace "x-version-pin" $pin -}}
{{- end -}}

{{- /* An object as a document; nothing for the servers' plugin where it is off. */ -}}
{{- define "bluegreen.object" -}}
{{- $root := index . 0 -}}
{{- $object := index . 1 -}}
{{- $values := $root.Values -}}
{{- $kind := $object.kind -}}
{{- $wanted := true -}}
{{- if has $kind (list "WasmPlugin" "TrafficExtension") -}}
{{- $wasm := $object.spec.wasm | default $object.spec -}}
{{- $_ := set $wasm "url" (include "bluegreen.url" $root) -}}
{{- with $values.imagePullSecret }}{{ $_ = set $wasm "imagePullSecret" . }}{{ end -}}
{{- $config := $values.outbound.pluginConfig | default dict -}}
{{- if eq $object.metadata.name "bluegreen-server" -}}
{{- $wanted = $values.server.enabled -}}
{{- $config = $values.server.pluginConfig -}}
{{- else if has $values.scope (list "gateway-api" "waypoints" "callers") -}}
{{- $config = merge (dict "routes" "named") $config -}}
{{- end -}}
{{- $_ = set $wasm "pluginConfig" $config -}}
{{- if eq $values.scope "gateway" -}}
{{- $_ = set $object.spec "selector" (dict "matchLabels" $values.gateway.labels) -}}
{{- else if eq $values.scope "callers" -}}
{{- $_ = set $object.spec "selector" (dict "matchLabels" $values.callers.labels) -}}
{{- end -}}
{{- else if and (eq $kind "EnvoyFilter") (eq $values.scope "gateway") -}}
{{- $_ := set $object.spec "workloadSelector" (dict "labels" $values.gateway.labels) -}}
{{- else if has $kind (list "PrometheusRule" "ConfigMap") -}}
{{- $part := ternary $values.alerts $values.dashboard (eq $kind "PrometheusRule") -}}
{{- with $part.namespace }}{{ $_ := set $object.metadata "namespace" . }}{{ end -}}
{{- range $field := list "labels" "annotations" -}}
{{- range $key, $value := get $part $field | default dict -}}
{{- $_ := set (get $object.metadata $field) $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if eq $values.scope "gateway-api" -}}
{{- range $object.spec.targetRefs -}}
{{- $_ := set . "name" ($values.gateway.name | default $root.Release.Namespace) -}}
{{- end -}}
{{- end -}}
{{- if $wanted }}
---
{{ toYaml $object }}
{{ end -}}
{{- end -}}

{{- /* The image, by its digest where there is one. */ -}}
{{- define "bluegreen.url" -}}
{{- if .Values.digest -}}
{{ .Values.url }}@{{ .Values.digest }}
{{- else -}}
{{ .Values.url }}:{{ .Chart.AppVersion }}
{{- end -}}
{{- end -}}
