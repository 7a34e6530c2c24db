//! Who sent a request: the identity header, else the cookies.

use crate::bucket::Bucket;
use crate::config::Config;
use crate::cookie::{self, Layout};
use crate::facts::RequestFacts;
use crate::identity::CookieId;
use crate::metrics::Source;
use crate::pin::{self, Wish};
use crate::rollout::Rollout;
use crate::set_cookie::SetCookie;

/// Who sent a request.
pub(crate) enum User {
    Header(Vec<u8>),
    Cookie(CookieId),
    Minted(CookieId),
    Unknown,
}

impl User {
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
pub(crate) fn know(
    config: &Config,
    rollout: &Rollout,
    wants_pin: bool,
    facts: &impl RequestFacts,
) -> (User, Jar) {
    let by_header = config
        .identity
        .header
        .as_ref()
        .and_then(|name| facts.header(name))
        .filter(|value| !value.is_empty());
    let pin_cookie = config.pin.as_ref().and_then(|pin| pin.cookie.as_ref());
    let wanted = Wanted {
        pin: pin_cookie.filter(|_| wants_pin).map(SetCookie::name),
        identity: match by_header {
            Some(_) => None,
            None => config.identity.cookie.as_ref().map(SetCookie::name),
        },
    };
    let jar = Jar::read(&wanted, by_header.is_some(), rollout, facts);
    let user = match (by_header, jar.identity) {
        (Some(value), _) => User::Header(value),
        (None, Some(id)) => User::Cookie(id),
        (None, None) => User::Unknown,
    };
    (user, jar)
}

/// The names of the cookies that matter to a request.
struct Wanted<'c> {
    pin: Option<&'c str>,
    identity: Option<&'c str>,
}

/// What a request's cookies say. Of the same cookie twice the first well-formed
/// one counts.
#[derive(Default)]
pub(crate) struct Jar {
    pub(crate) pin: Option<Wish>,
    pin_is_well_formed: bool,
    identity: Option<CookieId>,
    identity_seen: bool,
}

impl Jar {
    /// Reads the cookies. Envoy hands out the first `cookie` line cheaply, and all
    /// of them at the price of a property. Only HTTP/1.1 clients that are no
    /// browsers send several, so the others are looked at when the first one
    /// told neither the pin nor the user.
    fn read(
        wanted: &Wanted<'_>,
        user_is_known: bool,
        rollout: &Rollout,
        facts: &impl RequestFacts,
    ) -> Self {
        let mut jar = Self::default();
        if wanted.pin.is_none() && wanted.identity.is_none() {
            return jar;
        }
        let Some(first) = facts.header("cookie") else {
            return jar;
        };
        jar.take_in(&first, Layout::Line, wanted, rollout);
        let pinned = matches!(jar.pin, Some(Wish::Version(_)));
        if pinned || user_is_known || jar.identity.is_some() {
            return jar;
        }
        let all = facts.all_values("cookie").unwrap_or_default();
        let others = all.strip_prefix(first.as_slice()).unwrap_or(&all);
        jar.take_in(others, Layout::JoinedLines, wanted, rollout);
        jar
    }

    fn take_in(&mut self, value: &[u8], layout: Layout, wanted: &Wanted<'_>, rollout: &Rollout) {
        for piece in cookie::pieces(value, layout) {
            if let Some(value) = wanted
                .identity
                .and_then(|name| cookie::value_of(piece, name))
            {
                self.identity_seen = true;
                self.identity = self.identity.or_else(|| CookieId::parse(value));
            } else if let Some(value) = wanted.pin.and_then(|name| cookie::value_of(piece, name)) {
                let well_formed = pin::is_well_formed(value);
                if self.pin.is_none() || (well_formed && !self.pin_is_well_formed) {
                    self.pin = Some(Wish::of(value, rollout));
                    self.pin_is_well_formed = well_formed;
                }
            }
        }
    }

    pub(crate) fn is_malformed(&self) -> bool {
        self.identity_seen && self.identity.is_none()
    }
}
