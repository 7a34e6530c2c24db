//! What becomes of a request and of its response: [`request()`] and [`response()`].
//!
//! Both take all headers of a message, and return what to write. Where routes state their
//! weights in their names, [`route()`] tells before whether a request takes part.

mod chain;
mod named;
mod pinned;
mod request;
mod response;
mod signed;
mod user;

pub use chain::of_others;
pub use named::{NamedRequest, route};
pub use pinned::PinValue;
pub use request::{RequestDecision, request, salt};
pub use response::{ResponseDecision, response};

use super::host::ServiceNames;
use super::identity::CookieId;
use super::metrics::{Reason, Reasons, Source};
use super::pin::PinName;
use super::pin_list::PinList;
use super::rollouts::Place;
use super::signed_pin::Pinned;

/// Who sends requests to a proxy.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'p> {
    /// Strangers, at a gateway: their buckets never count, and they get cookies.
    Stranger,
    /// Workloads, at a client: their buckets count, and their pins may be meant for
    /// another service. They call Services by these names, where the proxy knows them.
    Workload(Option<&'p ServiceNames>),
}

/// What a stream remembers between its request and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    /// Which settings hold; `None`: those of the mesh.
    settings: Option<Place>,
    /// Why the request goes where it goes.
    source: Source,
    /// The version that the request is pinned to.
    pinned: Option<PinName>,
    /// The versions that services behind this proxy are pinned to.
    list: Option<PinList>,
    /// What that was proved by, where pins have to be signed.
    signed: Option<Pinned>,
    /// What did not count in the request.
    rejected: Reasons,
    /// What the request asked for where its route states weights in its name; `None`: it
    /// does not.
    named: Option<named::Asked>,
    /// What the caller is told and given; `None`: nothing, for it is a workload.
    stranger: Option<Stranger>,
}

impl Memory {
    /// Returns which settings hold; `None`: those of the mesh.
    #[must_use]
    pub fn settings(&self) -> Option<Place> {
        self.settings
    }

    /// Returns why the request goes where it goes.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }

    /// Returns the version that the request is pinned to.
    #[must_use]
    pub fn pinned(&self) -> Option<&PinName> {
        self.pinned.as_ref()
    }

    /// Returns the versions of single services that the request asks for.
    #[must_use]
    pub fn list(&self) -> Option<&PinList> {
        self.list.as_ref()
    }

    /// Returns what did not count in the request.
    #[must_use]
    pub fn rejected(&self) -> Reasons {
        self.rejected
    }

    /// Returns whether a pin may have changed the response.
    fn has_pin(&self) -> bool {
        self.pinned.is_some() || self.list.is_some()
    }

    /// Returns who pins, for a log, where pins have to be signed.
    #[must_use]
    pub fn pinned_by(&self) -> Option<&str> {
        self.signed.as_ref().map(Pinned::by)
    }
}

/// What a gateway owes to a stranger with the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Stranger {
    /// Why the pin does not count.
    refused: Option<Reason>,
    /// The identity that becomes a cookie.
    minted: Option<CookieId>,
    /// What becomes of the pin cookie.
    pin_cookie: Option<PinCookie>,
    /// Whether the request came by https.
    https: bool,
}

impl Stranger {
    /// Returns whether a cookie is set or cleared.
    fn gets_cookies(&self) -> bool {
        self.minted.is_some() || self.pin_cookie.is_some()
    }
}

/// What becomes of the pin cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PinCookie {
    /// It remembers what the request is pinned to.
    Remember,
    /// It is cleared.
    Clear,
}
