//! What becomes of a request whose route may state its weights in its name: whether it
//! takes part, and which version it asks for.

use super::pinned::Pin;
use super::{Caller, Edit};
use crate::core::bucket::Bucket;
use crate::core::config::VERSION_HEADER;
use crate::core::headers::{Found, Headers};
use crate::core::metrics::{Reason, Reasons};
use crate::core::named_routes::{self, NamedRoute, NamedRoutes};
use crate::core::properties::Properties;
use crate::core::route_name::{Place, RouteName};
use std::rc::Rc;

/// Decides whether a request takes part, before anything of it is changed. `routes` spares
/// it work, and changes nothing.
pub fn route(properties: &impl Properties, routes: &mut NamedRoutes) -> RouteName<NamedRequest> {
    routes.find(properties).map(|route| {
        let weights = route.weights();
        let is_stale = weights.have_a_zero()
            && properties
                .cluster()
                .is_some_and(|cluster| weights.contradict(&cluster));
        NamedRequest { route, is_stale }
    })
}

/// A request that takes part by the name of its route.
#[derive(Debug)]
pub struct NamedRequest {
    route: Rc<NamedRoute>,
    /// Whether Envoy would take it to a version that gets none by the name: the weights
    /// have changed, and the name has not.
    is_stale: bool,
}

impl NamedRequest {
    /// Returns what becomes of the version header, and what the response needs to know.
    #[inline(never)] // Else routes that are marked pay for its frame.
    pub(super) fn ask(
        self,
        caller: Caller<'_>,
        headers: &Headers<'_>,
        pin: &mut Pin,
        bucket: Option<Bucket>,
        rejected: &mut Reasons,
    ) -> (Edit<Rc<[u8]>>, Asked) {
        if self.is_stale {
            rejected.add(Reason::RouteName);
        }
        let pinned = pin.version.as_ref();
        let backend = pinned.and_then(|name| self.route.weights().answering_to(name));
        if pinned.is_some() && backend.is_none() && !self.route.weights().are_of_one() {
            rejected.add(Reason::PinUnknownVersion);
            pin.is_for_no_version();
        }
        let [version] = headers.first_of([VERSION_HEADER]);
        let place = self.choose(caller, version, backend, bucket);
        let header = self.header(place, version);
        let route = self.route;
        (header, Asked { route, place })
    }

    /// Returns the backend that the request asks for: the one of its pin, at a client the
    /// one of its version header, else the one of its bucket. `None`: Envoy rolls dice.
    fn choose(
        &self,
        caller: Caller<'_>,
        version: Found<'_>,
        pinned: Option<Place>,
        bucket: Option<Bucket>,
    ) -> Option<Place> {
        let weights = self.route.weights();
        let of_workload = || {
            let is_alone = version.is_alone && matches!(caller, Caller::Workload(_));
            weights.place_of(version.first.filter(|_| is_alone)?)
        };
        let of_bucket = || weights.pick(bucket.filter(|_| !self.is_stale)?);
        pinned.or_else(of_workload).or_else(of_bucket)
    }

    /// Returns what becomes of the version header of a request that asks for a backend.
    fn header(&self, place: Option<Place>, version: Found<'_>) -> Edit<Rc<[u8]>> {
        let backends = self.route.weights().backends();
        let Some(backend) = place.and_then(|place| backends.get(place)) else {
            return Edit::Keep;
        };
        match version.first {
            None => Edit::Add(Rc::clone(&backend.name)),
            Some(_) if version.is_only(&backend.name) => Edit::Keep,
            Some(_) => Edit::Set(Rc::clone(&backend.name)),
        }
    }
}

/// The backend that a request asked for, as its response needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    route: Rc<NamedRoute>,
    place: Option<Place>,
}

impl Asked {
    /// Returns whether there was nothing to choose: a pin is for those behind, such as the
    /// waypoint of the one Service.
    pub(super) fn had_no_choice(&self) -> bool {
        self.route.weights().are_of_one()
    }

    /// Returns the name of the cluster to which the request went; empty: none. Where no
    /// upstream answered it may be any.
    pub(super) fn cluster(&self, answered: bool, properties: &impl Properties) -> Rc<[u8]> {
        if answered {
            self.route.cluster(self.place, properties)
        } else {
            named_routes::ask(properties)
        }
    }
}
