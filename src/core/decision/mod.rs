//! What becomes of a request and of its response: [`request()`] and [`response()`].
//!
//! Both ask for facts through a small trait, and return what to write. The
//! decision never sees the host.

mod request;
mod response;

pub use request::{RequestDecision, request};
pub use response::{ResponseDecision, response};

use crate::core::config::Config;
use crate::core::identity::CookieId;
use crate::core::metrics::Source;
use crate::core::rollout::VersionIndex;
use crate::core::set_cookie::SetCookie;

/// What to do with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit<T> {
    /// Leave it as it is.
    Keep,
    /// Make this its only value.
    Set(T),
    /// Remove all its values.
    Remove,
}

/// What a stream remembers between its request and its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// A server's: nothing but that the request belongs to a rollout.
    Server,
    /// A gateway's or a client's.
    Outbound(Choice),
}

/// The version that was chosen for a request, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    rollout: u16,
    source: Source,
    pinned: Option<VersionIndex>,
    /// Whether the caller is told what became of a pin: at a gateway.
    tells: bool,
    /// Whether a pin was for an unknown version.
    refused: bool,
    minted: Option<CookieId>,
    pin_cookie: Option<PinCookie>,
    https: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PinCookie {
    Remember(VersionIndex),
    Clear,
}

impl Choice {
    fn new(rollout: u16, tells: bool) -> Self {
        Self {
            rollout,
            source: Source::None,
            pinned: None,
            tells,
            refused: false,
            minted: None,
            pin_cookie: None,
            https: false,
        }
    }

    fn identity_cookie<'c>(&self, config: &'c Config) -> Option<(&'c SetCookie, CookieId)> {
        Some((config.identity.cookie.as_ref()?, self.minted?))
    }

    fn pin_cookie<'c>(&self, config: &'c Config) -> Option<(&'c SetCookie, PinCookie)> {
        let cookie = config.pin.as_ref()?.cookie.as_ref()?;
        Some((cookie, self.pin_cookie?))
    }

    fn needs_scheme(&self, config: &Config) -> bool {
        let identity = self.identity_cookie(config).map(|(cookie, _)| cookie);
        let pin = self.pin_cookie(config).map(|(cookie, _)| cookie);
        identity.into_iter().chain(pin).any(SetCookie::needs_scheme)
    }
}
