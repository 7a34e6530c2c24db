//! Who sent a request: the identity header, else the cookies.

use crate::core::bucket::Bucket;
use crate::core::config::{Config, Cookie};
use crate::core::facts::RequestFacts;
use crate::core::headers::Headers;
use crate::core::identity::CookieId;
use crate::core::metrics::Source;
use crate::core::pin::{self, PinRequest};
use crate::core::rollout::Rollout;

/// Who sent a request.
pub(crate) enum User<'h> {
    Header(&'h [u8]),
    Cookie(CookieId),
    Minted(CookieId),
    Unknown,
}

impl User<'_> {
    pub(crate) fn or_mint(self, config: &Config, facts: &impl RequestFacts) -> Self {
        match self {
            Self::Unknown if config.identity.cookie.is_some() => facts
                .random()
                .map_or(Self::Unknown, |random| Self::Minted(CookieId::mint(random))),
            known => known,
        }
    }

    pub(crate) fn source(&self) -> Source {
        match self {
            Self::Header(_) => Source::IdentityHeader,
            Self::Cookie(_) => Source::IdentityCookie,
            Self::Minted(_) => Source::Minted,
            Self::Unknown => Source::None,
        }
    }

    pub(crate) fn minted(&self) -> Option<CookieId> {
        match self {
            Self::Minted(id) => Some(*id),
            _ => None,
        }
    }

    pub(crate) fn bucket(&self, rollout: &Rollout) -> Option<Bucket> {
        let identity: &[u8] = match self {
            Self::Header(value) => value,
            Self::Cookie(id) | Self::Minted(id) => id,
            Self::Unknown => return None,
        };
        let hash = rollout.salted.hash(identity);
        Some(Bucket::of(hash, rollout.weight_total))
    }
}

/// The user by header, else by cookie, and what else the cookies say;
/// `wants_pin`: whether a pin cookie still counts.
pub(crate) fn identify<'h>(
    config: &Config,
    rollout: &Rollout,
    wants_pin: bool,
    headers: &'h Headers<'_>,
) -> (User<'h>, RequestCookies) {
    let by_header = config
        .identity
        .header
        .as_ref()
        .and_then(|name| headers.first(name))
        .filter(|value| !value.is_empty());
    let reads_pins = config.pin.as_ref().is_some_and(|pin| pin.cookie.is_some());
    let wanted = Wanted {
        pin: wants_pin && reads_pins,
        identity: by_header.is_none() && config.identity.cookie.is_some(),
    };
    let cookies = RequestCookies::read(config, &wanted, rollout, headers);
    let user = match (by_header, cookies.identity) {
        (Some(value), _) => User::Header(value),
        (None, Some(id)) => User::Cookie(id),
        (None, None) => User::Unknown,
    };
    (user, cookies)
}

/// The cookies that matter to a request.
struct Wanted {
    pin: bool,
    identity: bool,
}

/// What a request's cookies say. Of the same cookie twice the first well-formed
/// one counts.
#[derive(Default)]
pub(crate) struct RequestCookies {
    pub(crate) pin: Option<PinRequest>,
    pin_is_well_formed: bool,
    identity: Option<CookieId>,
    identity_seen: bool,
}

impl RequestCookies {
    /// Reads the cookies of all `cookie` lines.
    fn read(config: &Config, wanted: &Wanted, rollout: &Rollout, headers: &Headers<'_>) -> Self {
        let mut cookies = Self::default();
        if wanted.pin || wanted.identity {
            for line in headers.all("cookie") {
                cookies.take_in(line, config, wanted, rollout);
            }
        }
        cookies
    }

    fn take_in(&mut self, line: &[u8], config: &Config, wanted: &Wanted, rollout: &Rollout) {
        config.cookies.each(line, |cookie, value| match cookie {
            Cookie::Identity if wanted.identity => {
                self.identity_seen = true;
                self.identity = self.identity.or_else(|| CookieId::parse(value));
            }
            Cookie::Pin if wanted.pin => {
                let well_formed = pin::is_well_formed(value);
                if self.pin.is_none() || (well_formed && !self.pin_is_well_formed) {
                    self.pin = Some(PinRequest::of(value, rollout));
                    self.pin_is_well_formed = well_formed;
                }
            }
            Cookie::Identity | Cookie::Pin => {}
        });
    }

    pub(crate) fn is_malformed(&self) -> bool {
        self.identity_seen && self.identity.is_none()
    }
}
