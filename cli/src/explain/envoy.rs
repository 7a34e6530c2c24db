//! As much of Envoy as decides with the filter: where a route takes a request, and what it
//! says of a stream.

use crate::mesh::{Action, Destination, Route, pick, sum};
use bluegreen::core::bucket::Bucket;
use bluegreen::core::marked_routes::WEIGHTED;
use bluegreen::core::properties::Properties;
use std::borrow::Cow;

/// Where a route takes a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picked {
    /// Nowhere: no route fits, or it answers itself.
    Nothing,
    /// To the only one that gets anything.
    Only(usize),
    /// To the one of its bucket.
    Bucket(usize),
    /// To any: Envoy rolls dice. The first one that gets anything stands for it.
    Chance(usize),
}

impl Picked {
    /// Returns the place of the destination.
    #[must_use]
    pub fn place(&self) -> Option<usize> {
        match self {
            Self::Nothing => None,
            Self::Only(place) | Self::Bucket(place) | Self::Chance(place) => Some(*place),
        }
    }
}

/// Returns where a route takes a request with this bucket.
pub(super) fn picked(route: &Route, bucket: Option<Bucket>) -> Picked {
    let Action::Destinations(all) = &route.action else {
        return Picked::Nothing;
    };
    if let [_] = &**all {
        return Picked::Only(0);
    }
    let get_some = || all.iter().enumerate().filter(|(_, each)| each.weight > 0);
    let Some((first, _)) = get_some().next() else {
        return Picked::Nothing;
    };
    match bucket.and_then(|bucket| pick(all, bucket)) {
        _ if sum(all) > 0 && get_some().count() == 1 => Picked::Only(first),
        Some(place) => Picked::Bucket(place),
        None => Picked::Chance(first),
    }
}

/// Returns whether a route is one that Envoy deals by the bucket.
pub(super) fn is_weighted(route: &Route) -> bool {
    WEIGHTED.contains(&&*route.name)
}

/// Returns the destination at a place of a route.
pub(super) fn destination<'r>(route: &'r Route, picked: &Picked) -> Option<&'r Destination> {
    match &route.action {
        Action::Destinations(all) => all.get(picked.place()?),
        _ => None,
    }
}

/// Returns what Envoy says, and the status, of a response that no upstream gave.
pub(super) fn unanswered(
    route: Option<&Route>,
    destination: Option<&Destination>,
) -> (&'static str, u16) {
    match (route, destination) {
        (_, Some(_)) => (
            "upstream_reset_before_response_started{connection_failure}",
            503,
        ),
        (Some(_), None) => ("direct_response", 200),
        (None, None) => ("route_not_found", 404),
    }
}

pub(super) fn status(code: u16) -> (String, Vec<u8>) {
    (":status".to_owned(), code.to_string().into_bytes())
}

/// What Envoy says of a stream besides its headers.
#[derive(Default)]
pub(super) struct Said {
    pub(super) route_name: Option<Vec<u8>>,
    pub(super) cluster: Option<Vec<u8>>,
    pub(super) code_details: Option<Vec<u8>>,
}

impl Said {
    pub(super) fn of_request(route: Option<&Route>) -> Self {
        let cluster = route.and_then(|route| destination(route, &picked(route, None)));
        Self {
            route_name: route.map(|route| route.name.clone().into_bytes()),
            cluster: cluster.map(|each| each.cluster.clone().into_bytes()),
            code_details: None,
        }
    }
}

impl Properties for Said {
    fn route_name(&self) -> Option<Cow<'_, [u8]>> {
        self.route_name.as_deref().map(Into::into)
    }

    fn cluster(&self) -> Option<Cow<'_, [u8]>> {
        self.cluster.as_deref().map(Into::into)
    }

    fn code_details(&self) -> Option<Cow<'_, [u8]>> {
        self.code_details.as_deref().map(Into::into)
    }
}
