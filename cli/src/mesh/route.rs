//! A route: what it asks of a request, and where it takes it.

use super::{Condition, Headers, full_host, http_route, values, virtual_service};
use crate::files::File;
use bluegreen::core::bucket::Bucket;
use bluegreen::core::host::{ServiceNames, of_authority, suffixes};
use bluegreen::core::version::Version;
use std::num::NonZeroU64;
use std::ops::Range;

/// The side of the mesh on which a request is routed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// At a gateway.
    Gateway,
    /// At the sidecar of a caller in this namespace.
    Caller(String),
}

/// The object that a route stands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `VirtualService` or `HTTPRoute`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

impl Source {
    /// Returns what Istio says of it in a route's metadata.
    #[must_use]
    pub fn config(&self) -> String {
        let Self {
            name, namespace, ..
        } = self;
        format!("/apis/networking.istio.io/v1/namespaces/{namespace}/virtual-service/{name}")
    }
}

/// One route of Envoy's, as one object of the mesh makes it.
#[derive(Debug)]
pub struct Route {
    /// Where it stands.
    pub source: Source,
    /// The hosts that it is for.
    pub hosts: Vec<String>,
    /// Its name to Envoy; empty: none.
    pub name: String,
    /// What it asks for: all conditions of one of these lists. No list: nothing.
    pub matches: Vec<Vec<Condition>>,
    /// What it does.
    pub action: Action,
    /// Its bytes in the text of the file.
    pub span: Range<usize>,
    /// Where it stands, as in `routes.yaml:21`.
    pub at: String,
}

/// What a route does with a request.
#[derive(Debug)]
pub enum Action {
    /// It takes it to one of these, by their weights.
    Destinations(Vec<Destination>),
    /// Envoy answers with this status itself.
    Answers(u16),
    /// Another `VirtualService` says what.
    Delegates(String),
}

/// Where a route takes a request.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The name of Envoy's cluster.
    pub cluster: String,
    /// Its part of the sum of all weights.
    pub weight: u32,
}

impl Destination {
    /// Returns the destination with Istio's name for its cluster.
    #[must_use]
    pub fn new(host: &str, subset: &str, port: u64, namespace: &str, weight: u32) -> Self {
        let host = full_host(host, namespace);
        Self {
            cluster: format!("outbound|{port}|{subset}|{host}"),
            weight,
        }
    }

    /// Returns the version that it is.
    #[must_use]
    pub fn version(&self) -> &str {
        let version = Version::of_cluster(self.cluster.as_bytes());
        version.map_or("none", Version::name)
    }
}

/// Returns the sum of the weights of destinations.
#[must_use]
pub fn sum(destinations: &[Destination]) -> u64 {
    let weights = destinations.iter().map(|each| u64::from(each.weight));
    weights.sum()
}

/// Returns which destination Envoy picks for a bucket.
#[must_use]
pub fn pick(destinations: &[Destination], bucket: Bucket) -> Option<usize> {
    let sum = NonZeroU64::new(sum(destinations))?;
    bucket.pick(destinations.iter().map(|each| each.weight), sum)
}

/// All routes of some files, in the order in which Envoy looks at them.
#[derive(Debug, Default)]
pub struct Routes {
    all: Vec<Route>,
}

impl Routes {
    /// Returns the routes of these files.
    #[must_use]
    pub fn of(files: &[File]) -> Self {
        let mut all = Vec::new();
        let mut of_rules = Vec::new();
        for file in files {
            for root in &file.objects {
                let mut routes = match root.text_at(&["kind"]) {
                    Some("VirtualService") => virtual_service::routes(root),
                    Some("HTTPRoute") => http_route::routes(root),
                    _ => continue,
                };
                for route in &mut routes {
                    route.at = file.at(route.span.start);
                }
                let is_rule = routes.iter().any(|route| route.source.kind == "HTTPRoute");
                let list = if is_rule { &mut of_rules } else { &mut all };
                list.extend(routes);
            }
        }
        http_route::sort(&mut of_rules);
        all.extend(of_rules);
        Self { all }
    }

    /// Returns the routes.
    #[must_use]
    pub fn all(&self) -> &[Route] {
        &self.all
    }

    /// Returns whether there are any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Returns the route that takes a request.
    #[must_use]
    pub fn find(&self, request: &Headers, side: &Side) -> Option<&Route> {
        let authority = values(request, ":authority").next().unwrap_or_default();
        let host = of_authority(authority);
        let fits = |route: &&Route| {
            let mut lists = route.matches.iter();
            route.matches.is_empty() || lists.any(|all| all.iter().all(|c| c.holds(request, side)))
        };
        // The most exact host has the request for itself.
        let ends = suffixes(&host).map(|end| [b"*", end].concat());
        let names = std::iter::once(host.to_vec()).chain(ends);
        for name in names.chain(std::iter::once(b"*".to_vec())) {
            let of_name = |route: &&Route| {
                let mut hosts = route.hosts.iter();
                hosts.any(|host| same_host(host.as_bytes(), &name, &route.source, side))
            };
            let mut routes = self.all.iter().filter(of_name).peekable();
            if routes.peek().is_some() {
                return routes.find(fits);
            }
        }
        None
    }
}

/// Returns whether a host of an object is the one of a request.
fn same_host(written: &[u8], asked: &[u8], source: &Source, side: &Side) -> bool {
    if written.eq_ignore_ascii_case(asked) {
        return true;
    }
    let Side::Caller(namespace) = side else {
        return false;
    };
    // Names of one Service, as its namespace and the caller's write them.
    let names = |namespace: &str| {
        ServiceNames::of_node(format!("sidecar~~~{namespace}.svc.cluster.local").as_bytes())
    };
    let (Some(of_source), Some(of_caller)) = (names(&source.namespace), names(namespace)) else {
        return false;
    };
    of_source.unified(written).concat() == of_caller.unified(asked).concat()
}
