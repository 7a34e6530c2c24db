//! A route: what it asks of a request, and where it takes it.

use super::delegate::Delegates;
use super::{
    Condition, Facts, Headers, Side, delegate, full_host, http_route, values, virtual_service,
};
use crate::files::File;
use crate::yaml::Node;
use bluegreen::core::bucket::Bucket;
use bluegreen::core::host::{ServiceNames, of_authority, suffixes};
use bluegreen::core::version::Version;
use std::num::NonZeroU64;
use std::rc::Rc;

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
    pub source: Rc<Source>,
    /// The hosts that it is for.
    pub hosts: Rc<Vec<String>>,
    /// Its name to Envoy; empty: none.
    pub name: String,
    /// What it asks for.
    pub conditions: Vec<Condition>,
    /// What it does.
    pub action: Action,
    /// Where it stands.
    pub at: Spot,
    /// The `VirtualService` that goes on with it by `delegate`, and where it does.
    pub delegate: Option<(Rc<Source>, Spot)>,
}

impl Route {
    /// Returns whether it is there for requests on a side of the mesh, by gateways.
    fn is_on(&self, request: &Headers, facts: &Facts) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.all(|each| !matches!(each, Condition::Gateway(_)) || each.holds(request, facts))
    }
}

/// Where something stands in the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The place of the file.
    pub file: usize,
    /// File and line, as in `routes.yaml:21`.
    pub at: String,
}

impl Spot {
    /// Returns where a value of a file stands.
    #[must_use]
    pub fn new(number: usize, file: &File, node: &Node) -> Self {
        Self {
            file: number,
            at: file.at(node.span.start),
        }
    }
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

/// Routes that are being made.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) routes: Vec<Route>,
    looked: usize,
}

/// More routes than anybody has, of two lists that multiply.
#[derive(Debug)]
pub(super) struct TooMany;

impl Made {
    /// Counts pairs of entries of `match` that are looked at.
    pub(super) fn look(&mut self, roots: usize, leaves: usize) -> Result<(), TooMany> {
        let pairs = roots.saturating_mul(leaves);
        self.looked = self.looked.saturating_add(pairs);
        (self.looked <= MOST_ROUTES).then_some(()).ok_or(TooMany)
    }
}

/// The most routes that come of two lists. Of one there are no more than values in a file.
const MOST_ROUTES: usize = 100_000;

impl Routes {
    /// Returns the routes of these files.
    ///
    /// # Errors
    /// When there are too many.
    pub fn of(files: &[File]) -> Result<Self, String> {
        Self::made(files).map_err(|TooMany| {
            format!("more than {MOST_ROUTES} routes by `delegate` or `parentRefs`")
        })
    }

    fn made(files: &[File]) -> Result<Self, TooMany> {
        let (mut all, mut of_rules) = (Made::default(), Made::default());
        let delegates = Delegates::of(files);
        for (number, file) in files.iter().enumerate() {
            for root in &file.objects {
                match root.text_at(&["kind"]) {
                    // Its routes are those of whoever delegates to it.
                    _ if delegate::is_delegate(root) => {}
                    Some("VirtualService") => {
                        virtual_service::add(number, file, root, &delegates, &mut all)?;
                    }
                    Some("HTTPRoute") => http_route::add(number, file, root, &mut of_rules)?,
                    _ => {}
                }
            }
        }
        let (mut all, mut of_rules) = (all.routes, of_rules.routes);
        http_route::sort(&mut of_rules);
        all.extend(of_rules);
        Ok(Self { all })
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
    pub fn find(&self, request: &Headers, facts: &Facts) -> Option<&Route> {
        let mut routes = self.of_host(request, facts).into_iter();
        routes.find(|route| route.conditions.iter().all(|c| c.holds(request, facts)))
    }

    /// Returns the routes on a side of the mesh that are for the host of a request.
    #[must_use]
    pub fn of_host(&self, request: &Headers, facts: &Facts) -> Vec<&Route> {
        let of_side = || self.all.iter().filter(|route| route.is_on(request, facts));
        if let Side::Waypoint { service, namespace } = &facts.side {
            // It is asked by the address of the Service, whatever the host.
            let of_service = |route: &&Route| {
                route.source.namespace == *namespace && is_for(route, service.as_bytes())
            };
            return of_side().filter(of_service).collect();
        }
        let authority = values(request, ":authority").next().unwrap_or_default();
        let host = of_authority(authority);
        // The most exact host has the request for itself.
        let ends = suffixes(&host).map(|end| [b"*", end].concat());
        let names = std::iter::once(host.to_vec()).chain(ends);
        let all = names.chain(std::iter::once(b"*".to_vec())).map(|name| {
            let of_name = |route: &&Route| {
                let mut hosts = route.hosts.iter();
                hosts.any(|host| same_host(host.as_bytes(), &name, &route.source, &facts.side))
            };
            of_side().filter(of_name).collect::<Vec<_>>()
        });
        { all }
            .find(|routes| !routes.is_empty())
            .unwrap_or_default()
    }
}

/// Returns whether a route is for a Service, by one of its hosts.
fn is_for(route: &Route, service: &[u8]) -> bool {
    let mut hosts = route.hosts.iter();
    hosts.any(|host| match host.strip_prefix('*') {
        Some(end) => service.ends_with(end.as_bytes()),
        None => full_host(host, &route.source.namespace).as_bytes() == service,
    })
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
