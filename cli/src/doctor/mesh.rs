//! What is known of a live mesh.

use super::proxy::{Kind, Pod, Proxy};
use crate::files::File;
use crate::mesh::{Action, Routes, Source};
use crate::plugin::{is_servers, runs_filter, wasm};
use crate::yaml::Node;
use bluegreen::core::config::{self, Config};
use bluegreen::core::version::Version;
use serde_json::Value;
use std::collections::BTreeMap;

/// A live mesh, as far as `doctor` has looked.
#[derive(Default)]
pub(super) struct Mesh {
    /// The version of the API server.
    pub(super) kubernetes: String,
    /// The root namespace.
    pub(super) root: String,
    /// The objects that `check` knows.
    pub(super) files: Vec<File>,
    /// Gateways of Istio.
    pub(super) gateways: Vec<Value>,
    /// Gateways of the Gateway API.
    pub(super) gateway_apis: Vec<Value>,
    pub(super) namespaces: Vec<Value>,
    pub(super) services: Vec<Value>,
    /// Each pod with a proxy, and what the proxy says.
    pub(super) proxies: Vec<(Pod, Result<Proxy, String>)>,
    /// What istiod knows of the proxies, by `POD.NAMESPACE`: what it was refused last;
    /// `None`: no istiod was asked.
    pub(super) synced: Option<BTreeMap<String, Vec<Refused>>>,
    /// What the logs of proxies say, by `NAMESPACE/POD`, where something is wrong.
    pub(super) logs: BTreeMap<String, String>,
}

/// What a proxy refused.
#[derive(Debug, Clone)]
pub(super) struct Refused {
    /// What it was, as in `RouteConfiguration`.
    pub(super) kind: String,
    /// What Envoy said.
    pub(super) why: String,
}

/// A plugin of ours.
pub(super) struct Plugin<'m> {
    pub(super) namespace: &'m str,
    pub(super) name: &'m str,
    root: &'m Node,
    /// The url of its module.
    pub(super) url: &'m str,
    /// Its configuration, where it is good.
    pub(super) config: Option<Config>,
    /// Its configuration as JSON.
    pub(super) json: String,
}

impl Mesh {
    /// Returns the plugins that run the filter.
    pub(super) fn plugins(&self) -> Vec<Plugin<'_>> {
        let roots = crate::cluster::roots(&self.files);
        let ours = roots.filter(|root| runs_filter(root));
        ours.filter_map(|root| {
            let wasm = wasm(root)?;
            let config = wasm.at(&["pluginConfig"]);
            let json = config.map_or_else(|| "{}".to_owned(), Node::json);
            Some(Plugin {
                namespace: root.text_at(&["metadata", "namespace"])?,
                name: root.text_at(&["metadata", "name"])?,
                root,
                url: wasm.text_at(&["url"]).unwrap_or_default(),
                config: config::parse(json.as_bytes()).ok(),
                json,
            })
        })
        .collect()
    }

    /// Returns the weights of a route of a `VirtualService`, by version, without those of
    /// 0, which Istio leaves out; `None`: there is no such route, or it does not say them
    /// itself.
    pub(super) fn weights<'r>(
        routes: &'r Routes,
        (namespace, name): (&str, &str),
        route: &str,
    ) -> Option<Vec<(&'r str, u64)>> {
        let is_source = |source: &Source| {
            source.kind == "VirtualService" && source.namespace == namespace && source.name == name
        };
        let mut all = routes.all().iter();
        let found = all.find(|each| each.name == route && is_source(&each.source))?;
        let Action::Destinations(destinations) = &found.action else {
            return None;
        };
        let weights = destinations.iter().filter(|each| each.weight > 0);
        Some(
            weights
                .map(|each| (each.version(), each.weight.into()))
                .collect(),
        )
    }

    /// Returns whether there is an `EnvoyFilter` that names a plugin's filter.
    pub(super) fn has_envoy_filter(&self, plugin: &Plugin<'_>) -> bool {
        let name = format!("/{}", plugin.id());
        let mut files = self.files.iter();
        files.any(|file| file.text.contains(&name) && is_envoy_filter(file))
    }

    /// Returns the hosts of `VirtualService`s with weighted routes of ours, by the
    /// gateways that they name: `(NAMESPACE, GATEWAY)`; `None` for `mesh`.
    pub(super) fn weighted_hosts(&self) -> Vec<(Option<(String, String)>, Host)> {
        let mut all = Vec::new();
        for root in crate::cluster::roots(&self.files) {
            if root.text_at(&["kind"]) != Some("VirtualService") {
                continue;
            }
            let http = root.at(&["spec", "http"]);
            let mut http = http.into_iter().flat_map(Node::items);
            let weighted = bluegreen::core::marked_routes::WEIGHTED;
            if !http.any(|route| {
                route
                    .text_at(&["name"])
                    .is_some_and(|name| weighted.contains(&name))
            }) {
                continue;
            }
            let text = |key| root.text_at(&["metadata", key]).unwrap_or_default();
            let (namespace, name) = (text("namespace"), text("name"));
            let texts = |key: &str| {
                let list = root.at(&["spec", key]);
                let items = list.into_iter().flat_map(Node::items);
                let texts = items.filter_map(|item| item.text().map(str::to_owned));
                texts.collect::<Vec<_>>()
            };
            let mut gateways = texts("gateways");
            if gateways.is_empty() {
                gateways.push("mesh".to_owned());
            }
            for gateway in &gateways {
                let gateway = (gateway != "mesh").then(|| {
                    let (of, name) = gateway.split_once('/').unwrap_or((namespace, gateway));
                    (of.to_owned(), name.to_owned())
                });
                for host in texts("hosts") {
                    let object = format!("{name}.{namespace}");
                    let of = namespace.to_owned();
                    let host = Host {
                        name: host,
                        object,
                        namespace: of,
                    };
                    all.push((gateway.clone(), host));
                }
            }
        }
        all
    }

    /// Returns whether a pod serves a host by a gateway's object.
    pub(super) fn serves(
        &self,
        (namespace, name): &(String, String),
        pod: &Pod,
        host: &str,
    ) -> bool {
        let found = self.gateways.iter().find(|gateway| {
            text(gateway, "/metadata/name") == name
                && text(gateway, "/metadata/namespace") == namespace
        });
        let Some(gateway) = found else { return false };
        let selector = gateway.pointer("/spec/selector").and_then(Value::as_object);
        let is_selected = selector.is_some_and(|selector| {
            let mut all = selector.iter();
            all.all(|(key, value)| pod.labels.get(key).map(String::as_str) == value.as_str())
        });
        let servers = gateway.pointer("/spec/servers").and_then(Value::as_array);
        let hosts = servers
            .into_iter()
            .flatten()
            .filter_map(|server| server.pointer("/hosts"));
        let hosts = hosts.filter_map(Value::as_array).flatten();
        let mut hosts = hosts.filter_map(Value::as_str);
        // Written as in `shop/*.example`, with or without the namespace.
        let covers = |of: &str| {
            let of = of.rsplit('/').next().unwrap_or_default();
            let end = of.strip_prefix('*');
            of == host || end.is_some_and(|end| host.ends_with(end))
        };
        is_selected && hosts.any(covers)
    }

    /// Returns the waypoint through which a host of the mesh is reached.
    pub(super) fn waypoint(&self, host: &Host) -> Option<String> {
        let full = crate::mesh::full_host(&host.name, &host.namespace);
        let service = self.services.iter().find(|service| {
            let name = text(service, "/metadata/name");
            let namespace = text(service, "/metadata/namespace");
            full == format!("{name}.{namespace}.svc.cluster.local")
        })?;
        let of_namespace = self.namespaces.iter().find(|namespace| {
            text(namespace, "/metadata/name") == text(service, "/metadata/namespace")
        });
        let label = "/metadata/labels/istio.io~1use-waypoint";
        let own = text(service, label);
        let own = if own.is_empty() {
            of_namespace.map_or("", |namespace| text(namespace, label))
        } else {
            own
        };
        (!["", "none"].contains(&own)).then(|| own.to_owned())
    }
}

/// A host of a `VirtualService`.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// Its name, as the object writes it.
    pub(super) name: String,
    /// `NAME.NAMESPACE` of the object.
    pub(super) object: String,
    pub(super) namespace: String,
}

impl Plugin<'_> {
    /// Returns its name as Envoy has it, `NAMESPACE.NAME`.
    pub(super) fn id(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }

    /// Returns it as an argument of kubectl.
    pub(super) fn argument(&self) -> String {
        let kind = self.root.text_at(&["kind"]).unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        format!("-n {} {kind}/{}", self.namespace, self.name)
    }

    /// Returns whether it is for servers.
    pub(super) fn is_servers(&self) -> bool {
        self.config.as_ref().is_some_and(is_servers)
    }

    /// Returns whether marks in the routes switch it on.
    pub(super) fn is_marked(&self) -> bool {
        let routes = self.config.as_ref().map(|config| config.routes);
        !self.is_servers() && routes == Some(config::Routes::Marked)
    }

    /// Returns whether it holds for a pod.
    pub(super) fn holds_for(&self, pod: &Pod, root: &str) -> bool {
        let spec = |keys: &[&str]| self.root.at(&["spec"]).and_then(|spec| spec.at(keys));
        let one = spec(&["targetRef"]);
        let many = spec(&["targetRefs"]);
        let targets: Vec<&Node> = one
            .into_iter()
            .chain(
                many.into_iter()
                    .flat_map(|list| list.items().iter().map(|rc| &**rc)),
            )
            .collect();
        if !targets.is_empty() {
            let own = pod.labels.get("gateway.networking.k8s.io/gateway-name");
            return targets.iter().any(|target| {
                let is_here = self.namespace == pod.namespace;
                match target.text_at(&["kind"]) {
                    Some("GatewayClass") => self.namespace == root && pod.kind == Kind::Waypoint,
                    Some("Gateway") => is_here && target.text_at(&["name"]) == own.map(|s| &**s),
                    // Of a Service: its waypoint's.
                    _ => is_here && pod.kind == Kind::Waypoint,
                }
            });
        }
        let is_near = self.namespace == root || self.namespace == pod.namespace;
        let selector = spec(&["selector", "matchLabels"]);
        let mut labels = selector.map(Node::entries).unwrap_or_default().iter();
        is_near
            && pod.kind != Kind::Waypoint
            && !(self.is_servers() && pod.kind == Kind::Gateway)
            && labels
                .all(|label| pod.labels.get(&label.key).map(String::as_str) == label.value.text())
    }

    /// Returns the digest that its url names, without `sha256:`.
    pub(super) fn digest(&self) -> Option<&str> {
        self.url.split_once("@sha256:").map(|(_, digest)| digest)
    }
}

/// Returns a version with its weight for each cluster that a proxy deals to.
pub(super) fn dealt(weights: &[(String, u64)]) -> Vec<(&str, u64)> {
    let weights = weights.iter().filter(|(_, weight)| *weight > 0);
    weights
        .map(|(cluster, weight)| {
            let version = Version::of_cluster(cluster.as_bytes());
            (version.map_or("none", Version::name), *weight)
        })
        .collect()
}

/// Returns the labels of an object.
pub(super) fn labels(object: &Value) -> BTreeMap<String, String> {
    let labels = object
        .pointer("/metadata/labels")
        .and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    labels
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// Returns the names of the labels that counters have, as the shipped values say them.
pub(super) fn stat_tags() -> Vec<String> {
    let values = include_str!("../../../envoyfilter/stat-tags/values.yaml");
    let document = crate::yaml::documents(values).next();
    let tags = document.and_then(Result::ok).and_then(|document| {
        let tags = document
            .root
            .at(&["meshConfig", "defaultConfig", "extraStatTags"]);
        let tags = tags?.items().iter().filter_map(|tag| tag.text());
        Some(tags.map(str::to_owned).collect())
    });
    tags.unwrap_or_default()
}

pub(super) fn text<'v>(of: &'v Value, at: &str) -> &'v str {
    of.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

fn is_envoy_filter(file: &File) -> bool {
    let mut roots = file.objects.iter();
    roots.any(|root| root.text_at(&["kind"]) == Some("EnvoyFilter"))
}
