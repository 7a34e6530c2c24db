//! What becomes of a request whose route may state its weights in its name: whether it
//! takes part, and which version it asks for.

use super::Caller;
use super::pinned::Pin;
use crate::core::bucket::Bucket;
use crate::core::config::VERSION_HEADER;
use crate::core::edit::Edit;
use crate::core::headers::{Found, Headers};
use crate::core::metrics::{Reason, Reasons, Source};
use crate::core::named_routes::{self, NamedRoute, NamedRoutes};
use crate::core::pin::PinName;
use crate::core::properties::Properties;
use crate::core::route_name::{Place, RouteName};
use crate::core::version::Version;
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
        pin: &Pin,
        user: Source,
        bucket: Option<Bucket>,
        rejected: &mut Reasons,
    ) -> (Edit<Rc<[u8]>>, Asked) {
        if self.is_stale {
            rejected.add(Reason::RouteName);
        }
        let pinned = pin.version.as_ref();
        let backend = pinned.and_then(|name| self.route.weights().answering_to(name));
        let [version] = headers.first_of([VERSION_HEADER]);
        let place = self.choose(caller, version, backend, bucket);
        let header = self.header(place, version);
        let is_for_none = pinned.is_some() && backend.is_none();
        let asked = Asked {
            route: self.route,
            place,
            without_pin: is_for_none.then_some(user),
        };
        (header, asked)
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
    /// How the user is known, where no backend of the route answers to the request's pin.
    without_pin: Option<Source>,
}

impl Asked {
    /// Returns how the user is known where the pin does not count: no backend answers to it,
    /// and by the tag of the response no version behind it either, such as a waypoint's.
    pub(super) fn without_pin(
        &self,
        pinned: Option<&PinName>,
        tag: Option<&[u8]>,
    ) -> Option<Source> {
        let behind = tag.and_then(Version::new).zip(pinned);
        self.without_pin
            .filter(|_| behind.is_none_or(|(version, pinned)| !version.answers_to(pinned)))
    }

    /// Returns whether a backend answers to the pin, if there is one.
    pub(super) fn has_pinned(&self) -> bool {
        self.without_pin.is_none()
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
