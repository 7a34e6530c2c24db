//! Whether the `EnvoyFilter` and the plugin fit: by the plugin's name, which Istio makes of
//! its namespace, and by the names of headers.

use super::list::{FILTER_HEADERS, FILTER_NAMESPACE};
use super::plugins::{config, is_ours};
use super::{Checker, Object, Said, listed};
use crate::yaml::Node;
use bluegreen::core::config::Routes;
use bluegreen::core::marked_routes::PLUGINS;

/// Looks at the plugins that an `EnvoyFilter` of the files switches on and off.
pub(super) fn check(checker: &mut Checker<'_>) {
    let mut known = Known::default();
    for object in checker.of_kind("EnvoyFilter") {
        let patches = object.root.at(&["spec", "configPatches"]);
        for patch in patches.into_iter().flat_map(Node::items) {
            if let Some(value) = patch.at(&["patch", "value"]) {
                known.read(object, value);
            }
        }
    }
    let [outbound, _] = PLUGINS;
    for kind in ["WasmPlugin", "TrafficExtension"] {
        for plugin in checker.named(kind, Some(outbound)) {
            if is_ours(plugin) {
                namespace(checker, &known, plugin);
                headers(checker, &known, plugin);
            }
        }
    }
}

/// What the `EnvoyFilter`s name.
#[derive(Default)]
struct Known<'f> {
    /// The namespaces in the names of the plugin's filter.
    namespaces: Vec<&'f str>,
    /// The bucket headers and the route headers, each with its place.
    buckets: Vec<(Object<'f>, &'f Node)>,
    routes: Vec<(Object<'f>, &'f Node)>,
}

impl<'f> Known<'f> {
    fn read(&mut self, object: Object<'f>, value: &'f Node) {
        let filters = value.at(&["typed_per_filter_config"]);
        let keys = filters.map(Node::entries).unwrap_or_default().iter();
        let [outbound, _] = PLUGINS;
        let ours = keys.filter_map(|entry| {
            let name = entry.key.rsplit('/').next()?;
            let (namespace, name) = name.split_once('.')?;
            name.starts_with(outbound).then_some(namespace)
        });
        let before = self.namespaces.len();
        self.namespaces.extend(ours);
        let is_ours = self.namespaces.len() > before;
        let header = value.at(&["route", "weighted_clusters", "header_name"]);
        self.buckets
            .extend(header.filter(|_| is_ours).map(|header| (object, header)));
        let added = value.at(&["response_headers_to_add"]);
        let added = added.filter(|_| is_ours).into_iter().flat_map(Node::items);
        let keys = added.filter_map(|header| header.at(&["header", "key"]));
        self.routes.extend(keys.map(|key| (object, key)));
        self.namespaces.dedup();
    }
}

fn namespace(checker: &mut Checker<'_>, known: &Known<'_>, plugin: Object<'_>) {
    let Some(own) = plugin.namespace() else {
        return;
    };
    if known.namespaces.is_empty() || known.namespaces.contains(&own) {
        return;
    }
    let mut others = known.namespaces.clone();
    others.sort_unstable();
    others.dedup();
    let said = Said {
        what: format!(
            "the EnvoyFilter switches a plugin of {} on and off",
            listed(&others)
        ),
        write: format!(
            "write {own}.{} in the EnvoyFilter's names of the filter, or move the plugin.",
            plugin.name()
        ),
        why: "Istio names the filter after namespace and name of the plugin. This one it does not \
              know: it runs on every route of the mesh; all requests pay for it, and get its headers."
            .to_owned(),
    };
    let place = plugin.root.at(&["metadata", "namespace"]);
    let place = place.map_or_else(|| plugin.place(), |node| plugin.at(node));
    checker.find(&FILTER_NAMESPACE, place, said);
}

fn headers(checker: &mut Checker<'_>, known: &Known<'_>, plugin: Object<'_>) {
    let Some(config) = config(plugin).filter(|config| config.routes == Routes::Marked) else {
        return;
    };
    for (field, own, all) in [
        ("bucketHeader", &*config.bucket_header, &known.buckets),
        ("routeHeader", &*config.route_header, &known.routes),
    ] {
        if all.is_empty() || all.iter().any(|(_, node)| node.text() == Some(own)) {
            continue;
        }
        let Some((filter, other)) = all.first() else {
            continue;
        };
        let said = Said {
            what: format!("the EnvoyFilter has another {field} than the plugin"),
            write: format!(
                "write {own} in the EnvoyFilter, or {field}: {} here.",
                other.text().unwrap_or_default()
            ),
            why:
                "Envoy picks by the one header and the filter writes the other: nobody is sticky, \
                  or no response is tagged."
                    .to_owned(),
        };
        let wasm = crate::plugin::wasm(plugin.root);
        let node = wasm.and_then(|wasm| wasm.at(&["pluginConfig", field]));
        let place = node.map_or_else(|| plugin.place(), |node| plugin.at(node));
        let also = (filter.at(other), "has this".to_owned());
        let finding = checker.find(&FILTER_HEADERS, place, said);
        finding.also.push(also);
    }
}
