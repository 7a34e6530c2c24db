//! Asks a live mesh: the API server, istiod, and each proxy.

use super::mesh::{Mesh, Refused, labels, text};
use super::proxy::{Kind, Loaded, Pod, Proxy};
use crate::cluster::{Cluster, GATEWAY_API, ISTIO, LISTED, Listed, NoTunnel, Tunnel};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

/// How many proxies are asked at once.
const AT_ONCE: usize = 8;

/// The port of Envoy's admin interface.
const ADMIN: u16 = 15000;

/// The port on which istiod tells those in its pod about its proxies.
const ISTIOD: u16 = 8080;

/// Returns what is known of a mesh. `namespace`: its applications, else those of all.
pub(super) fn survey(
    cluster: &Cluster,
    root: &str,
    namespace: Option<&str>,
) -> Result<Mesh, String> {
    let progress = progress();
    progress.set_message("objects");
    let mut mesh = Mesh {
        kubernetes: cluster.version.clone(),
        root: root.to_owned(),
        ..Mesh::default()
    };
    // What holds for all stands in the root namespace.
    let scopes: Vec<Option<&str>> = match namespace {
        None => vec![None],
        Some(namespace) if namespace == root => vec![Some(root)],
        Some(namespace) => vec![Some(root), Some(namespace)],
    };
    let list = |group: &str, kind: &str| -> Result<Vec<Value>, String> {
        let Some(of) = Listed::of(group, kind) else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        for scope in &scopes {
            all.extend(cluster.list(of, *scope)?);
        }
        Ok(all)
    };
    for scope in &scopes {
        mesh.files.extend(cluster.files(*scope)?);
    }
    mesh.gateways = list(ISTIO, "Gateway")?;
    mesh.gateway_apis = list(GATEWAY_API, "Gateway")?;
    mesh.services = list("", "Service")?;
    // Of all namespaces: one alone may be no right of whoever asks.
    mesh.namespaces = match namespace {
        None => list("", "Namespace")?,
        Some(_) => Vec::new(),
    };
    let pods = list("", "Pod")?;
    progress.set_message("istiod");
    mesh.synced = cluster.wait(synced(cluster, root, &pods));
    let proxies: Vec<Pod> = pods.iter().filter_map(pod).collect();
    progress.set_length(u64::try_from(proxies.len()).unwrap_or_default());
    progress.set_style(bar());
    mesh.proxies = cluster.wait(async {
        let asked = stream::iter(proxies).map(|pod| {
            let progress = &progress;
            async move {
                let proxy = proxy(cluster, &pod).await?;
                progress.inc(1);
                progress.set_message(pod.id());
                Ok::<_, String>((pod, proxy))
            }
        });
        asked.buffered(AT_ONCE).try_collect().await
    })?;
    mesh.logs = cluster.wait(logs(cluster, &mesh));
    progress.finish_and_clear();
    Ok(mesh)
}

/// Returns the pod of an object, if it runs a proxy of Istio.
fn pod(object: &Value) -> Option<Pod> {
    let of = |at: &str| {
        let all = object.pointer(at).and_then(Value::as_array);
        all.into_iter().flatten()
    };
    let mut containers = of("/spec/containers").chain(of("/spec/initContainers"));
    let proxy = containers.find(|container| text(container, "/name") == "istio-proxy")?;
    let args = proxy.pointer("/args").and_then(Value::as_array);
    let mut args = args.into_iter().flatten().filter_map(Value::as_str);
    let kind = args.find_map(|arg| match arg {
        "router" => Some(Kind::Gateway),
        "sidecar" => Some(Kind::Sidecar),
        "waypoint" => Some(Kind::Waypoint),
        _ => None,
    })?;
    // Before the rest of the pod, where it is a sidecar of Kubernetes's own kind.
    let statuses = of("/status/containerStatuses").chain(of("/status/initContainerStatuses"));
    let mut proxies = statuses.filter(|status| text(status, "/name") == "istio-proxy");
    let is_running = proxies.any(|status| status.pointer("/state/running").is_some());
    let is_going = object.pointer("/metadata/deletionTimestamp").is_some();
    if is_going || !is_running {
        return None;
    }
    let name = text(object, "/metadata/name");
    let labels = labels(object);
    let (workload, restart) = owner(object, name);
    Some(Pod {
        namespace: text(object, "/metadata/namespace").to_owned(),
        name: name.to_owned(),
        workload,
        restart,
        kind,
        labels,
    })
}

/// Returns the workload of a pod, and what kubectl does to start it anew.
fn owner(pod: &Value, name: &str) -> (String, String) {
    let kind = text(pod, "/metadata/ownerReferences/0/kind");
    let owner = text(pod, "/metadata/ownerReferences/0/name");
    let hash = text(pod, "/metadata/labels/pod-template-hash");
    let of_deployment = owner
        .strip_suffix(hash)
        .and_then(|name| name.strip_suffix('-'));
    let (kind, workload) = match (kind, of_deployment) {
        ("ReplicaSet", Some(deployment)) => ("deployment", deployment),
        ("StatefulSet", _) => ("statefulset", owner),
        ("DaemonSet", _) => ("daemonset", owner),
        _ => return (name.to_owned(), format!("delete pod {name}")),
    };
    (
        workload.to_owned(),
        format!("rollout restart {kind}/{workload}"),
    )
}

/// Returns what a proxy says, or why it says nothing.
///
/// # Errors
/// When the right to ask is missing.
async fn proxy(cluster: &Cluster, pod: &Pod) -> Result<Result<Proxy, String>, String> {
    let tunnel = cluster.tunnel(&pod.namespace, &pod.name, ADMIN).await;
    match tunnel {
        Ok(tunnel) => Ok(said(tunnel).await),
        Err(NoTunnel::Other(why)) => Ok(Err(why)),
        Err(NoTunnel::Forbidden(why)) => Err(why),
    }
}

async fn said(mut tunnel: Tunnel) -> Result<Proxy, String> {
    let info = tunnel.text("/server_info").await?;
    let dump = tunnel.text("/config_dump").await?;
    let stats = tunnel.text("/stats?format=json&filter=bluegreen").await?;
    Proxy::read(&info, &dump, &stats)
}

/// Returns what istiod knows of its proxies; `None`: none could be asked.
async fn synced(
    cluster: &Cluster,
    root: &str,
    pods: &[Value],
) -> Option<BTreeMap<String, Vec<Refused>>> {
    let mut known = None;
    let istiods = pods.iter().filter(|pod| {
        text(pod, "/metadata/labels/app") == "istiod"
            && text(pod, "/metadata/namespace") == root
            && text(pod, "/status/phase") == "Running"
    });
    for istiod in istiods {
        let name = text(istiod, "/metadata/name");
        let Ok(mut tunnel) = cluster.tunnel(root, name, ISTIOD).await else {
            continue;
        };
        let Ok(answer) = tunnel.text("/debug/syncz").await else {
            continue;
        };
        let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
        let of_all = known.get_or_insert_with(BTreeMap::new);
        for proxy in answer.as_array().into_iter().flatten() {
            let resources = proxy.pointer("/resources").and_then(Value::as_object);
            let refused = resources.into_iter().flatten().filter_map(|(kind, state)| {
                let why = text(state, "/lastError");
                let is_refused = !why.is_empty() && text(state, "/sent") != text(state, "/acked");
                is_refused.then(|| Refused {
                    kind: kind.rsplit('.').next().unwrap_or_default().to_owned(),
                    why: why.to_owned(),
                })
            });
            of_all.insert(text(proxy, "/proxy").to_owned(), refused.collect());
        }
    }
    known
}

/// Returns the logs of the proxies that lack the module or have a wrong configuration.
async fn logs(cluster: &Cluster, mesh: &Mesh) -> BTreeMap<String, String> {
    let mut logs = BTreeMap::new();
    for (pod, proxy) in &mesh.proxies {
        let Ok(proxy) = proxy else { continue };
        let mut loaded = proxy.plugins.values();
        let is_there = loaded.all(|loaded| *loaded != Loaded::Placeholder);
        if is_there && proxy.wrong.is_empty() {
            continue;
        }
        // Without the right to read it the rest is told.
        if let Ok(log) = cluster.log(&pod.namespace, &pod.name).await {
            logs.insert(pod.id(), log);
        }
    }
    logs
}

/// Returns the `ClusterRole` with which `doctor` may do all of this.
pub(super) fn rights() -> String {
    let mut text = String::from(
        "# What `bluegreen doctor` needs: to read objects and logs, and to reach the admin\n\
         # interfaces of proxies and istiod. It changes nothing.\n\
         #\n\
         # Apply:  bluegreen doctor --rights | kubectl apply -f -\n\
         #         kubectl create clusterrolebinding bluegreen-doctor \\\n\
         #           --clusterrole=bluegreen-doctor --group=GROUP\n\
         # See:    kubectl auth can-i --list --as=NAME --as-group=GROUP\n\
         # Undo:   kubectl delete clusterrole,clusterrolebinding bluegreen-doctor\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: ClusterRole\n\
         metadata:\n  \
           name: bluegreen-doctor\n  \
           labels: {app: bluegreen}\n\
         rules:\n",
    );
    let mut groups: Vec<&str> = LISTED.iter().map(|of| of.group).collect();
    groups.dedup();
    for group in groups {
        let of_group = LISTED.iter().filter(|of| of.group == group);
        let names: Vec<&str> = of_group.map(|of| of.plural).collect();
        let group = if group.is_empty() { "\"\"" } else { group };
        let _ = write!(
            text,
            "- apiGroups: [{group}]\n  resources: [{}]\n  verbs: [get, list]\n",
            names.join(", ")
        );
    }
    text + "- apiGroups: [\"\"]\n  resources: [pods/log]\n  verbs: [get]\n\
            - apiGroups: [\"\"]\n  resources: [pods/portforward]\n  verbs: [get, create]\n"
}

fn progress() -> ProgressBar {
    // Without a terminal it draws nothing.
    let progress = ProgressBar::new_spinner();
    let style = ProgressStyle::with_template("{spinner} reading {wide_msg}");
    progress.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    progress.enable_steady_tick(Duration::from_millis(100));
    progress
}

fn bar() -> ProgressStyle {
    let style = ProgressStyle::with_template("asking proxies  {bar:20} {pos}/{len}  {wide_msg}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}
