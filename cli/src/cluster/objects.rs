//! The objects of a cluster, by lists.

use super::{RIGHTS, because};
use hyper::Request;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;

/// A kind of objects that is listed. The rights of `doctor` are made of these rows.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The kind.
    pub(crate) kind: &'static str,
    /// Its group; empty: the core's.
    pub(crate) group: &'static str,
    /// Its name in an address.
    pub(crate) plural: &'static str,
}

/// All kinds that are listed.
pub(crate) const LISTED: [Listed; 14] = [
    row("", "Namespace", "namespaces"),
    row("", "Pod", "pods"),
    row("", "Service", "services"),
    row("argoproj.io", "Rollout", "rollouts"),
    row(
        "extensions.istio.io",
        "TrafficExtension",
        "trafficextensions",
    ),
    row("extensions.istio.io", "WasmPlugin", "wasmplugins"),
    row("flagger.app", "Canary", "canaries"),
    row("gateway.networking.k8s.io", "GRPCRoute", "grpcroutes"),
    row("gateway.networking.k8s.io", "HTTPRoute", "httproutes"),
    row(GATEWAY_API, "Gateway", "gateways"),
    row("networking.istio.io", "DestinationRule", "destinationrules"),
    row("networking.istio.io", "EnvoyFilter", "envoyfilters"),
    row(ISTIO, "Gateway", "gateways"),
    row("networking.istio.io", "VirtualService", "virtualservices"),
];

/// The group of the Gateway API.
pub(crate) const GATEWAY_API: &str = "gateway.networking.k8s.io";
/// The group of Istio's routes.
pub(crate) const ISTIO: &str = "networking.istio.io";

const fn row(group: &'static str, kind: &'static str, plural: &'static str) -> Listed {
    Listed {
        kind,
        group,
        plural,
    }
}

impl Listed {
    /// Returns the row of a kind.
    pub(crate) fn of(group: &str, kind: &str) -> Option<&'static Self> {
        LISTED
            .iter()
            .find(|row| row.group == group && row.kind == kind)
    }
}

/// How many objects are asked for at once.
const PAGE: u32 = 500;

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    items: Vec<Value>,
    #[serde(default)]
    metadata: Meta,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default, rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    preferred_version: Version,
    versions: Vec<Version>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    group_version: String,
}

/// Returns all objects of a kind.
pub(super) async fn list(
    client: &Client,
    of: &Listed,
    namespace: Option<&str>,
) -> Result<Vec<Value>, String> {
    // A kind need not be there in the version that a group prefers: Istio's v1 has no
    // EnvoyFilter.
    let bases = if of.group.is_empty() {
        vec!["/api/v1".to_owned()]
    } else {
        let Some(group) = get::<Group>(client, &format!("/apis/{}", of.group)).await? else {
            return Ok(Vec::new());
        };
        let versions = std::iter::once(group.preferred_version).chain(group.versions);
        versions
            .map(|version| format!("/apis/{}", version.group_version))
            .collect()
    };
    let scope = match namespace {
        Some(namespace) if of.kind != "Namespace" => format!("/namespaces/{namespace}"),
        _ => String::new(),
    };
    for base in bases {
        let path = format!("{base}{scope}/{}?limit={PAGE}", of.plural);
        if let Some(all) = pages(client, &path).await? {
            return Ok(all);
        }
    }
    Ok(Vec::new())
}

/// Returns what a list has on all its pages; `None`: there is no such list.
async fn pages(client: &Client, path: &str) -> Result<Option<Vec<Value>>, String> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let Some(page) = get::<Page>(client, &format!("{path}{next}")).await? else {
            return Ok(None);
        };
        all.extend(page.items);
        if page.metadata.next.is_empty() {
            return Ok(Some(all));
        }
        next = format!("&continue={}", page.metadata.next);
    }
}

/// Returns what stands at a path; `None`: nothing.
async fn get<T: serde::de::DeserializeOwned>(
    client: &Client,
    path: &str,
) -> Result<Option<T>, String> {
    let request = Request::get(path).body(Vec::new());
    let request = request.map_err(|error| error.to_string())?;
    match client.request::<T>(request).await {
        Ok(found) => Ok(Some(found)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Err(format!("{}\n{RIGHTS}", status.message))
        }
        Err(error) => Err(because(&error)),
    }
}
