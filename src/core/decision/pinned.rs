//! What a request's pin comes to: a version, for this proxy and those behind it.

use super::signed::Proof;
use super::{Caller, Edit, PinCookie};
use crate::core::config::Settings;
use crate::core::headers::{Found, Headers};
use crate::core::metrics::{Reason, Source};
use crate::core::pin::{self, PinName, PinRequest};
use crate::core::request_cookies::RequestCookies;
use crate::core::signed_pin::Pinned;

/// What a request's pin comes to.
pub(super) struct Pin {
    /// What becomes of the pin header.
    pub(super) header: Edit<PinValue>,
    /// The version that the request is pinned to.
    pub(super) version: Option<PinName>,
    /// Where that was asked for.
    pub(super) source: Option<Source>,
    /// What becomes of the pin cookie.
    pub(super) cookie: Option<PinCookie>,
    /// Why a stranger's pin does not count.
    pub(super) refused: Option<Reason>,
    /// What the version was proved by, where pins have to be signed.
    pub(super) signed: Option<Pinned>,
}

impl Pin {
    /// No pin, with this for the pin header.
    pub(super) fn none(header: Edit<PinValue>) -> Self {
        Self {
            header,
            version: None,
            source: None,
            cookie: None,
            refused: None,
            signed: None,
        }
    }

    /// Returns what the first comes to that is there: the header, at a gateway the
    /// query, and the cookie.
    pub(super) fn find(
        settings: &Settings,
        caller: Caller<'_>,
        header: Found<'_>,
        headers: &Headers<'_>,
        cookies: &RequestCookies<'_>,
        proof: &Proof<'_>,
    ) -> Self {
        let is_gateway = matches!(caller, Caller::Stranger);
        let removed = match header.first {
            Some(_) if is_gateway => Edit::Remove,
            _ => Edit::Keep,
        };
        let Some(of) = &settings.pin else {
            // A gateway lets no pin in while pins are off.
            return Self::none(removed);
        };
        if let Some(signed) = of.signed.as_ref().filter(|_| is_gateway) {
            return proof.find(settings, signed, header, headers, cookies);
        }
        let in_header = || Some((Source::PinHeader, PinRequest::of(header.first?)));
        let in_query = || {
            let query = of.query.as_ref().filter(|_| is_gateway)?;
            let request = pin::in_query(headers.first(":path")?, query)?;
            Some((Source::PinQuery, request))
        };
        let in_cookie = || {
            let request = cookies.pin.clone().filter(|_| is_gateway)?;
            Some((Source::PinCookie, request))
        };
        let found = in_header().or_else(in_query).or_else(in_cookie);
        let Some((source, request)) = found else {
            return Self::none(Edit::Keep);
        };
        match request {
            PinRequest::Version(version) => Self {
                version: Some(version.clone()),
                source: Some(source),
                cookie: (source == Source::PinQuery).then_some(PinCookie::Remember),
                ..Self::none(only(PinValue::Version(version), header))
            },
            PinRequest::Unpin => Self {
                cookie: Some(PinCookie::Clear),
                ..Self::none(only(PinValue::None, header))
            },
            PinRequest::Malformed if is_gateway => Self {
                refused: Some(Reason::PinMalformed),
                ..Self::none(removed)
            },
            PinRequest::Malformed => Self::none(Edit::Keep),
        }
    }
}

/// The value of a pin header that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinValue {
    /// The version that a tester asks for.
    Version(PinName),
    /// `none`, which no route matches, and which the next gateway sees.
    None,
}

impl PinValue {
    /// Returns the bytes of the header.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Version(name) => name,
            Self::None => PinRequest::NONE,
        }
    }
}

/// Returns what makes `value` the only one of a header. A request that is not changed
/// spares Envoy another search for its route.
pub(super) fn only(value: PinValue, header: Found<'_>) -> Edit<PinValue> {
    if header.is_only(value.bytes()) {
        Edit::Keep
    } else {
        Edit::Set(value)
    }
}
