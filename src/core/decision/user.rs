//! Who sent a request: by header, by cookie, or a new user.

use crate::core::config::{First, Settings};
use crate::core::headers::Found;
use crate::core::identity::CookieId;
use crate::core::metrics::{Reason, Reasons, Source};
use crate::core::request_cookies::RequestCookies;

/// Who sent a request.
pub(super) enum User<'h> {
    /// The one that the identity header names.
    Header(&'h [u8]),
    /// The one that the identity cookie names.
    Cookie(&'h [u8]),
    /// A new one, with this identity.
    Minted(CookieId),
    /// The one whose bucket a workload forwards.
    OfBucket,
    /// The one whose bucket is in the request's baggage.
    OfBaggage,
    /// Nobody knows.
    Unknown,
}

impl<'h> User<'h> {
    /// Returns the user by header or cookie.
    pub(super) fn find(
        settings: &Settings,
        header: Found<'h>,
        cookies: &RequestCookies<'h>,
        rejected: &mut Reasons,
    ) -> Self {
        let by_header = header.first.filter(|value| !value.is_empty());
        if let (First::Header, Some(value)) = (settings.identity.first, by_header) {
            return Self::Header(value);
        }
        if cookies.identity_is_malformed {
            rejected.add(Reason::CookieMalformed);
        }
        let by_cookie = cookies.identity.map(Self::Cookie);
        let user = by_cookie.or(by_header.map(Self::Header));
        user.unwrap_or(Self::Unknown)
    }

    /// Returns a new user.
    pub(super) fn mint(random: impl FnOnce() -> Option<u64>) -> Self {
        random().map_or(Self::Unknown, |random| Self::Minted(CookieId::mint(random)))
    }

    /// Returns what the user is dealt by.
    pub(super) fn identity(&self) -> Option<&[u8]> {
        match self {
            Self::Header(value) | Self::Cookie(value) => Some(value),
            Self::Minted(id) => Some(id),
            Self::OfBucket | Self::OfBaggage | Self::Unknown => None,
        }
    }

    /// Returns how the user is known.
    pub(super) fn source(&self) -> Source {
        match self {
            Self::Header(_) => Source::IdentityHeader,
            Self::Cookie(_) => Source::IdentityCookie,
            Self::Minted(_) => Source::Minted,
            Self::OfBucket => Source::BucketHeader,
            Self::OfBaggage => Source::BucketBaggage,
            Self::Unknown => Source::None,
        }
    }

    /// Returns the identity of a new user.
    pub(super) fn minted(&self) -> Option<CookieId> {
        match self {
            Self::Minted(id) => Some(*id),
            _ => None,
        }
    }
}
