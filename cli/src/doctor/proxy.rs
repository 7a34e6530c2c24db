//! What a proxy says of itself: its filters, its routes and its counters.

use bluegreen::core::marked_routes::{PINS, WEIGHTED};
use bluegreen::core::metrics::config_wrong;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A pod with a proxy.
#[derive(Debug, Clone)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    /// What it is a pod of.
    pub(super) workload: String,
    /// What kubectl does to start that anew.
    pub(super) restart: String,
    pub(super) kind: Kind,
    pub(super) labels: BTreeMap<String, String>,
}

impl Pod {
    /// Returns it as people name it, `NAMESPACE/POD`.
    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// What a proxy is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Gateway,
    Sidecar,
    Waypoint,
}

/// What a proxy says of itself.
#[derive(Debug, Default)]
pub(super) struct Proxy {
    /// The version of Istio, as in `1.31.0`.
    pub(super) istio: String,
    /// The version of Envoy, as in `1.39.3`.
    pub(super) envoy: String,
    /// Its node id.
    pub(super) node: String,
    /// What runs under the name of a plugin, `NAMESPACE.NAME`.
    pub(super) plugins: BTreeMap<String, Loaded>,
    /// The plugins in its chains of filters.
    pub(super) chains: Vec<Chain>,
    /// The routes of its dynamic tables.
    pub(super) routes: Vec<Route>,
    /// The labels that it makes of counters' names.
    pub(super) stat_tags: BTreeSet<String>,
    /// The plugins whose configuration is wrong.
    pub(super) wrong: BTreeSet<String>,
    /// Which port a route table is served on in plain HTTP.
    pub(super) ports: BTreeMap<String, u16>,
}

/// What runs as a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Loaded {
    /// A module, by the name of its file, which is the digest; and the configuration.
    Module { digest: String, config: String },
    /// What the agent puts there when it cannot fetch the module.
    Placeholder,
}

/// The filters of a listener.
#[derive(Debug)]
pub(super) struct Chain {
    pub(super) listener: String,
    pub(super) is_inbound: bool,
    /// The plugins, `NAMESPACE.NAME`, in their order.
    pub(super) plugins: Vec<String>,
}

/// A route.
#[derive(Debug)]
pub(super) struct Route {
    /// The table, as in `http.8080`.
    pub(super) table: String,
    /// The hosts.
    pub(super) domains: Vec<String>,
    pub(super) name: String,
    /// The path of Istio's object: `/apis/…/namespaces/shop/virtual-service/shop`.
    pub(super) source: String,
    /// The clusters with their weights, where they are weighted.
    pub(super) weights: Vec<(String, u64)>,
    /// The header by which Envoy picks.
    pub(super) bucket_header: Option<String>,
    /// The headers that Envoy writes on responses.
    pub(super) response_headers: Vec<String>,
    /// The plugins that are switched on, by the route itself.
    pub(super) on: BTreeSet<String>,
    /// The plugins that are switched off for the whole table.
    pub(super) off: BTreeSet<String>,
    /// Whether a retry may go to another cluster.
    pub(super) is_picked_anew: bool,
}

impl Route {
    /// Returns whether users are dealt here by its name.
    pub(super) fn is_weighted(&self) -> bool {
        WEIGHTED.contains(&&*self.name)
    }

    /// Returns whether it has a name of the `EnvoyFilter`'s.
    pub(super) fn is_marked(&self) -> bool {
        self.is_weighted() || PINS.contains(&&*self.name)
    }

    /// Returns whether a plugin runs on it.
    pub(super) fn runs(&self, plugin: &str) -> bool {
        self.on.contains(plugin) || !self.off.contains(plugin)
    }

    /// Returns the object that it is made of, as in `shop.shop`.
    pub(super) fn object(&self) -> Option<(&str, &str)> {
        let rest = self.source.split("/namespaces/").nth(1)?;
        let (namespace, rest) = rest.split_once('/')?;
        let (kind, name) = rest.split_once('/')?;
        (kind == "virtual-service").then_some((namespace, name))
    }
}

impl Proxy {
    /// Reads what the addresses of the admin interface say: `/server_info`,
    /// `/config_dump`, and `/stats?format=json`.
    ///
    /// # Errors
    /// Which one is not what Envoy says.
    pub(super) fn read(info: &[u8], dump: &[u8], stats: &[u8]) -> Result<Self, String> {
        let parse = |what: &str, bytes: &[u8]| -> Result<Value, String> {
            serde_json::from_slice(bytes).map_err(|error| format!("{what}: {error}"))
        };
        let info = parse("/server_info", info)?;
        let dump = parse("/config_dump", dump)?;
        let stats = parse("/stats", stats)?;
        let mut new = Self {
            istio: text(&info, "/node/metadata/ISTIO_VERSION").to_owned(),
            node: text(&info, "/node/id").to_owned(),
            // As in `6eb0…/1.39.3/Clean/RELEASE/BoringSSL`.
            envoy: { text(&info, "/version").split('/') }
                .nth(1)
                .unwrap_or_default()
                .to_owned(),
            ..Self::default()
        };
        for config in items(&dump, "/configs") {
            let kind = text(config, "/@type");
            match kind.rsplit('.').next().unwrap_or_default() {
                "BootstrapConfigDump" => new.bootstrap(config),
                "EcdsConfigDump" => new.plugins(config),
                "ListenersConfigDump" => new.listeners(config),
                "RoutesConfigDump" => new.routes(config),
                _ => {}
            }
        }
        new.stats(&stats);
        Ok(new)
    }

    fn bootstrap(&mut self, config: &Value) {
        let tags = items(config, "/bootstrap/stats_config/stats_tags");
        self.stat_tags = tags.map(|tag| text(tag, "/tag_name").to_owned()).collect();
    }

    fn plugins(&mut self, config: &Value) {
        for filter in items(config, "/ecds_filters") {
            let Some(plugin) = plugin(text(filter, "/ecds_filter/name")) else {
                continue;
            };
            let of = "/ecds_filter/typed_config";
            let kind = text(filter, &format!("{of}/@type"));
            let loaded = if kind.ends_with(".wasm.v3.Wasm") {
                let file = text(
                    filter,
                    &format!("{of}/config/vm_config/code/local/filename"),
                );
                let file = file.rsplit('/').next().unwrap_or_default();
                let config = text(filter, &format!("{of}/config/configuration/value"));
                Loaded::Module {
                    digest: file.trim_end_matches(".wasm").to_owned(),
                    config: config.to_owned(),
                }
            } else {
                Loaded::Placeholder
            };
            self.plugins.insert(plugin.to_owned(), loaded);
        }
    }

    fn listeners(&mut self, config: &Value) {
        for listener in items(config, "/dynamic_listeners") {
            let listener = listener.pointer("/active_state/listener");
            let Some(listener) = listener else { continue };
            let name = text(listener, "/name");
            let is_inbound = text(listener, "/traffic_direction") == "INBOUND";
            let last = listener.pointer("/default_filter_chain");
            for chain in items(listener, "/filter_chains").chain(last) {
                let is_plain = chain.pointer("/transport_socket").is_none();
                for filter in items(chain, "/filters") {
                    let Some(filters) = filter.pointer("/typed_config/http_filters") else {
                        continue;
                    };
                    let filters = filters.as_array().into_iter().flatten();
                    let names = filters.filter_map(|filter| plugin(text(filter, "/name")));
                    self.chains.push(Chain {
                        listener: name.to_owned(),
                        is_inbound,
                        plugins: names.map(str::to_owned).collect(),
                    });
                    let table = text(filter, "/typed_config/rds/route_config_name");
                    let port = listener.pointer("/address/socket_address/port_value");
                    let port = port.and_then(Value::as_u64);
                    if let (true, Some(port)) = (is_plain && !table.is_empty(), port) {
                        let port = u16::try_from(port).unwrap_or_default();
                        self.ports.insert(table.to_owned(), port);
                    }
                }
            }
        }
    }

    fn routes(&mut self, config: &Value) {
        for table in items(config, "/dynamic_route_configs") {
            let Some(table) = table.pointer("/route_config") else {
                continue;
            };
            let off = switches(table, |config| {
                config.pointer("/disabled") == Some(&Value::Bool(true))
            });
            for host in items(table, "/virtual_hosts") {
                let domains = items(host, "/domains").filter_map(Value::as_str);
                let domains: Vec<String> = domains.map(str::to_owned).collect();
                for route in items(host, "/routes") {
                    self.routes
                        .push(self::route(text(table, "/name"), &domains, &off, route));
                }
            }
        }
    }

    fn stats(&mut self, stats: &Value) {
        let value = |each: &Value| each.pointer("/value").and_then(Value::as_u64);
        let set: BTreeSet<&str> = items(stats, "/stats")
            .filter(|each| value(each) == Some(1))
            .map(|each| text(each, "/name"))
            .collect();
        let is_wrong = |plugin: &&String| {
            let gauge = format!("wasmcustom.{}", config_wrong(plugin.as_bytes()));
            set.contains(&*gauge)
        };
        self.wrong = self.plugins.keys().filter(is_wrong).cloned().collect();
    }
}

fn route(table: &str, domains: &[String], off: &BTreeSet<String>, route: &Value) -> Route {
    let clusters = items(route, "/route/weighted_clusters/clusters");
    let weight = |cluster: &Value| {
        let weight = cluster.pointer("/weight").and_then(Value::as_u64);
        (text(cluster, "/name").to_owned(), weight.unwrap_or(0))
    };
    let header = text(route, "/route/weighted_clusters/header_name");
    let headers = items(route, "/response_headers_to_add");
    let headers = headers.map(|header| text(header, "/header/key").to_owned());
    Route {
        table: table.to_owned(),
        domains: domains.to_vec(),
        name: text(route, "/name").to_owned(),
        source: text(route, "/metadata/filter_metadata/istio/config").to_owned(),
        weights: clusters.map(weight).collect(),
        bucket_header: (!header.is_empty()).then(|| header.to_owned()),
        response_headers: headers.collect(),
        on: switches(route, |config| config.pointer("/config").is_some()),
        off: off.clone(),
        is_picked_anew: route
            .pointer("/route")
            .is_some_and(|action| is_set(action, "refresh_cluster_on_retry")),
    }
}

/// Returns the plugins that `typed_per_filter_config` names with such a configuration.
fn switches(of: &Value, is: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let filters = of.pointer("/typed_per_filter_config");
    let filters = filters.and_then(Value::as_object).into_iter().flatten();
    let filters = filters.filter(|(_, config)| is(config));
    filters
        .filter_map(|(name, _)| plugin(name).map(str::to_owned))
        .collect()
}

/// Returns the plugin, `NAMESPACE.NAME`, whose filter Istio calls so.
fn plugin(filter: &str) -> Option<&str> {
    let name = filter.strip_prefix("extensions.istio.io/")?;
    let (_, name) = name.split_once('/')?;
    Some(name.split('~').next().unwrap_or_default())
}

/// Returns whether a field of this name is true, at whatever depth.
fn is_set(of: &Value, name: &str) -> bool {
    match of {
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| key == name && *value == Value::Bool(true) || is_set(value, name)),
        Value::Array(all) => all.iter().any(|each| is_set(each, name)),
        _ => false,
    }
}

fn text<'v>(of: &'v Value, at: &str) -> &'v str {
    of.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

fn items<'v>(of: &'v Value, at: &str) -> impl Iterator<Item = &'v Value> {
    of.pointer(at)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}
