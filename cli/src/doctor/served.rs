//! Whether users get what the weights say: requests through the gateways, each of another
//! user, and what the core explains of each.

use super::fault::{Fault, Names, SERVED};
use super::mesh::Mesh;
use super::proxy::{Kind, Pod, Proxy as Dump};
use crate::cluster::{Cluster, Tunnel};
use crate::explain::{Place, Proxy};
use crate::mesh::{Action, Condition, Headers, Route, Routes, Source};
use bluegreen::core::config::{Config, IdentityCookie};

/// What was served on a route.
#[derive(Debug)]
pub(super) struct Served {
    /// The object of the route, as in `shop.shop`.
    pub(super) object: String,
    pub(super) host: String,
    /// The gateway, `NAMESPACE/POD`.
    pub(super) gateway: String,
    /// How many requests.
    pub(super) asked: usize,
    /// Of each version: its weight, how many requests the core sends there, and how many
    /// it has served.
    pub(super) versions: Vec<(String, u64, usize, usize)>,
    /// The requests that got another version than the core says.
    pub(super) wrong: Vec<String>,
}

impl Served {
    /// Counts an answer.
    pub(super) fn add(&mut self, identity: &[u8], explained: &str, got: &str) {
        self.asked += 1;
        for (version, _, of_core, of_mesh) in &mut self.versions {
            *of_core += usize::from(explained == version);
            *of_mesh += usize::from(got == version);
        }
        if explained != got {
            let identity = String::from_utf8_lossy(identity);
            self.wrong
                .push(format!("{identity} got {got}, and not {explained}"));
        }
    }

    /// Returns the fault that it is, if it is one.
    pub(super) fn fault(&self) -> Option<Fault> {
        let first = self.wrong.first()?;
        let number = self.wrong.len();
        let what = format!(
            "{number} of {} requests for {} were not served as explained: {first}",
            self.asked, self.host
        );
        Some(SERVED.fault(what, &self.gateway, &Names::default()))
    }
}

/// Asks each gateway for each host with a weighted route, once for each of so many users.
pub(super) fn ask(
    cluster: &Cluster,
    mesh: &Mesh,
    routes: &Routes,
    users: usize,
) -> Result<Vec<Served>, String> {
    let mut all = Vec::new();
    for (pod, dump) in &mesh.proxies {
        let (Kind::Gateway, Ok(dump)) = (pod.kind, dump) else {
            continue;
        };
        let plugins = mesh.plugins();
        let mine = plugins
            .iter()
            .find(|plugin| plugin.is_marked() && plugin.holds_for(pod, &mesh.root));
        let Some(mine) = mine else { continue };
        let mut hosts: Vec<(String, &str)> = Vec::new();
        for (gateway, host) in mesh.weighted_hosts() {
            let Some(gateway) = gateway else { continue };
            // A wildcard is no host to ask for.
            if host.name.contains('*') || !mesh.serves(&gateway, pod, &host.name) {
                continue;
            }
            let found = dump
                .routes
                .iter()
                .find(|route| route.is_weighted() && route.domains.contains(&host.name));
            let table = found.map(|route| &*route.table);
            if let Some(table) = table.filter(|_| !hosts.iter().any(|(of, _)| *of == host.name)) {
                hosts.push((host.name, table));
            }
        }
        for (host, table) in hosts {
            // Where only TLS is served, nobody can ask from here.
            let Some(port) = dump.ports.get(table) else {
                continue;
            };
            let config = bluegreen::core::config::parse(mine.json.as_bytes());
            let Ok(config) = config else { continue };
            let served = of_host(cluster, pod, dump, routes, config, (&host, *port), users)?;
            all.extend(served);
        }
    }
    Ok(all)
}

/// Asks for one host.
fn of_host(
    cluster: &Cluster,
    pod: &Pod,
    dump: &Dump,
    routes: &Routes,
    config: Config,
    (host, port): (&str, u16),
    users: usize,
) -> Result<Vec<Served>, String> {
    let weighted = routes.all().iter().filter(|route| {
        route.hosts.iter().any(|of| of == host)
            && bluegreen::core::marked_routes::WEIGHTED.contains(&&*route.name)
    });
    let place = Place {
        node: dump.node.clone(),
        ..Place::default()
    };
    let tag = config.mesh.tag.header.to_string();
    let mut proxy = Proxy::new(config, routes, place);
    let mut all: Vec<Served> = Vec::new();
    let mut names: Vec<(&Source, &str)> = Vec::new();
    for route in weighted {
        // One that has several entries of `match` is asked for by the first that is met.
        let name = (&*route.source, &*route.name);
        if names.contains(&name) {
            continue;
        }
        let (Action::Destinations(destinations), Some(path)) = (&route.action, path(route)) else {
            continue;
        };
        let mut served = Served {
            object: format!("{}.{}", route.source.name, route.source.namespace),
            host: host.to_owned(),
            gateway: pod.id(),
            asked: 0,
            versions: { destinations.iter() }
                .map(|each| (each.version().to_owned(), u64::from(each.weight), 0, 0))
                .collect(),
            wrong: Vec::new(),
        };
        let mut asked = Vec::new();
        for user in 0..users {
            let identity = identity(user);
            let request = headers(host, &path, proxy.config(), &identity);
            let sent = proxy.request(request.clone(), 0);
            // Of another route, which stands before it.
            if !sent.found.is_some_and(|found| std::ptr::eq(found, route)) {
                break;
            }
            let explained = sent.version().unwrap_or("none").to_owned();
            asked.push((identity, request, explained));
        }
        if asked.len() < users {
            continue;
        }
        cluster.wait(async {
            let mut tunnel = cluster.tunnel(&pod.namespace, &pod.name, port).await?;
            for (identity, request, explained) in asked {
                let got = version(&mut tunnel, &path, &request, &tag).await?;
                served.add(&identity, &explained, &got);
            }
            Ok::<_, String>(())
        })?;
        all.push(served);
        names.push(name);
    }
    Ok(all)
}

/// Returns the version that answers a request, by its tag.
async fn version(
    tunnel: &mut Tunnel,
    path: &str,
    request: &Headers,
    tag: &str,
) -> Result<String, String> {
    let host = crate::mesh::values(request, ":authority").next();
    let lines: Vec<(&str, &[u8])> = { request.iter() }
        .filter(|(name, _)| !name.starts_with(':') && name != "x-forwarded-proto")
        .map(|(name, value)| (&**name, &**value))
        .chain(host.map(|host| ("host", host)))
        .collect();
    let answer = tunnel.get(path, &lines).await?;
    let version = answer.headers.get(tag);
    let version = version.and_then(|value| value.to_str().ok());
    let none = || format!("status {} without a tag", answer.status);
    Ok(version.map_or_else(none, str::to_owned))
}

/// Returns a path that a route takes, with nothing else asked of the request; `None`:
/// there is none.
fn path(route: &Route) -> Option<String> {
    let mut path = "/".to_owned();
    for condition in &route.conditions {
        match condition {
            Condition::Path(text, _) => text.example()?.clone_into(&mut path),
            Condition::Below(prefix) => path.clone_from(prefix),
            Condition::Gateway(_) => {}
            _ => return None,
        }
    }
    Some(path)
}

/// Returns the identity of a user, as the filter makes them.
fn identity(user: usize) -> Vec<u8> {
    // Any 64 bits will do; the core hashes them.
    let number = u64::try_from(user).unwrap_or_default();
    let number = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("{number:016x}").into_bytes()
}

/// Returns the request of a user.
fn headers(host: &str, path: &str, config: &Config, identity: &[u8]) -> Headers {
    let of = &config.mesh.identity;
    let mut all: Headers = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", host),
        (":path", path),
        ("x-forwarded-proto", "http"),
        ("user-agent", "bluegreen-doctor"),
    ]
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
    .into();
    let cookie = of.cookie.as_ref().map(IdentityCookie::name);
    if let Some(name) = cookie {
        let line = [name.as_bytes(), b"=", identity].concat();
        all.push(("cookie".to_owned(), line));
    } else if let Some(header) = &of.header {
        all.push((header.to_string(), identity.to_vec()));
    }
    all
}
