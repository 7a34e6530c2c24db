//! The configuration of the filter, out of a plugin's manifest or by itself.

use crate::files::File;
use crate::mesh::{Side, Source};
use crate::yaml::Node;
use bluegreen::core::config::{self, Config};
use bluegreen::core::role::{Role, Setting};
use serde_json::json;

/// A configuration, and what only its text knows.
#[derive(Debug)]
pub(crate) struct Plugin {
    /// The configuration.
    pub(crate) config: Config,
    /// The names of its rollouts, in their order.
    pub(crate) rollouts: Vec<String>,
}

/// Returns where the object of a plugin says what runs: `spec`, or `spec.wasm`. `None`: it
/// is none.
pub(crate) fn wasm(root: &Node) -> Option<&Node> {
    match root.text_at(&["kind"])? {
        "WasmPlugin" => root.at(&["spec"]),
        "TrafficExtension" => root.at(&["spec", "wasm"]),
        _ => None,
    }
}

/// Returns whether an object is a plugin that runs the filter.
pub(crate) fn runs_filter(root: &Node) -> bool {
    let Some(wasm) = wasm(root) else {
        return false;
    };
    let url = wasm.text_at(&["url"]).unwrap_or_default();
    let image = url.rsplit('/').next().unwrap_or_default();
    let image = image.split(['@', ':', '.']).next().unwrap_or_default();
    let name = root.text_at(&["metadata", "name"]);
    name.is_some_and(|name| name.starts_with("bluegreen")) || image == "bluegreen"
}

/// Reads the configuration of a file: of its plugin for gateways and callers, or the file
/// is one. Without a file it is what the shipped plugin says.
pub(crate) fn read(file: Option<&str>) -> Result<Plugin, String> {
    read_at(file, &Side::Gateway)
}

/// The same, where the shipped plugin is the one for a side of the mesh.
pub(crate) fn read_at(file: Option<&str>, side: &Side) -> Result<Plugin, String> {
    let Some(name) = file else {
        let shipped = match side {
            Side::Gateway | Side::Caller(_) => json!({"role": "outbound"}),
            Side::Waypoint { .. } => json!({"role": "outbound", "routes": "named"}),
        };
        return parsed("the default", &shipped.to_string(), None);
    };
    let file = File::read(name)?;
    if let Some(error) = file.errors.first() {
        let at = file.at(error.span.start);
        return Err(format!("{at}: {}", error.what));
    }
    let found = file.objects.iter().filter_map(|root| {
        Some(match root.text_at(&["kind"]) {
            Some(_) => wasm(root)?.at(&["pluginConfig"]),
            None => Some(&**root),
        })
    });
    let all: Vec<_> = found.collect();
    let outbound = all.iter().find(|node| !has_role_server(**node));
    match outbound.or(all.first()) {
        Some(node) => of_node(name, *node),
        None if file.text.trim().is_empty() => parsed(name, "{}", None),
        None => Err(format!(
            "{name}: has no WasmPlugin and no TrafficExtension, and is no pluginConfig"
        )),
    }
}

/// Reads the configuration of the plugin that runs in a cluster on a side of the mesh, for
/// the route that takes the request: the nearest one. That for names of rules is for those
/// of an `HTTPRoute`.
pub(crate) fn live(
    files: &[File],
    istio_namespace: &str,
    side: &Side,
    route: Option<&Source>,
) -> Result<Plugin, String> {
    let of_rule = route.filter(|source| source.kind == "HTTPRoute");
    let is_named = of_rule.is_some() || matches!(side, Side::Waypoint { .. });
    let text = |root: &Node, key| root.text_at(&["metadata", key]).map(str::to_owned);
    let of = |namespace: &str| {
        let mut roots = crate::cluster::roots(files);
        roots.find_map(|root| {
            let node = wasm(root)?.at(&["pluginConfig"]);
            let routes = node.and_then(|config| config.text_at(&["routes"]));
            let is_it = text(root, "namespace").as_deref() == Some(namespace)
                && runs_filter(root)
                && !has_role_server(node)
                && (routes == Some("named")) == is_named;
            is_it.then(|| (text(root, "name").unwrap_or_default(), node))
        })
    };
    let near = match side {
        Side::Gateway => of_rule.map(|source| &*source.namespace),
        Side::Caller(namespace) | Side::Waypoint { namespace, .. } => Some(&**namespace),
    };
    let found = near.and_then(of).or_else(|| of(istio_namespace));
    let (name, node) = found.ok_or_else(|| {
        let near = near.map(|near| format!("{near} or ")).unwrap_or_default();
        format!(
            "there is no plugin in {near}{istio_namespace}: hand over one with -c FILE, or name \
             the root namespace with --istio-namespace"
        )
    })?;
    of_node(&format!("the plugin {name}"), node)
}

fn has_role_server(config: Option<&Node>) -> bool {
    config.is_some_and(|config| config.text_at(&["role"]) == Some("server"))
}

fn of_node(name: &str, node: Option<&Node>) -> Result<Plugin, String> {
    let json = node.map_or_else(|| "{}".to_owned(), Node::json);
    parsed(name, &json, node)
}

fn parsed(name: &str, json: &str, node: Option<&Node>) -> Result<Plugin, String> {
    let config = config::parse(json.as_bytes()).map_err(|errors| {
        let lines: Vec<String> = errors.lines().map(|line| format!("  {line}")).collect();
        format!(
            "{name}: the pluginConfig is wrong, and the filter would not take it:\n{}",
            lines.join("\n")
        )
    })?;
    let rollouts = node.and_then(|node| node.at(&["rollouts"]));
    let rollouts = rollouts.map(Node::entries).unwrap_or_default();
    Ok(Plugin {
        config,
        rollouts: rollouts.iter().map(|entry| entry.key.clone()).collect(),
    })
}

/// Returns the node id that stands for a proxy on a side of the mesh.
pub(crate) fn node(side: &Side) -> String {
    let id = |kind: &str, namespace: &str| {
        format!("{kind}~0.0.0.0~proxy.{namespace}~{namespace}.svc.cluster.local")
    };
    match side {
        Side::Gateway => "router~".to_owned(),
        Side::Caller(namespace) => id("sidecar", namespace),
        Side::Waypoint { namespace, .. } => id("waypoint", namespace),
    }
}

/// Returns whether a configuration is the servers'.
pub(crate) fn is_servers(config: &Config) -> bool {
    config.role == Setting::Fixed(Role::Server)
}
