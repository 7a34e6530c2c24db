//! What the cookies of a request say: who the user is, and which version a tester
//! asked for.

use super::config::{Cookie, IdentityCookie, Settings};
use super::identity::CookieId;
use super::pin::PinRequest;

/// The cookies of a request that matter. Of the same cookie several times, on one line
/// or on several, the first well-formed one counts.
#[derive(Debug, Default)]
pub struct RequestCookies<'h> {
    /// The value of the identity cookie.
    pub identity: Option<&'h [u8]>,
    /// Whether there are identity cookies, and none of them is well-formed.
    pub identity_is_malformed: bool,
    /// What the pin cookie asks for, where pins need not be signed.
    pub pin: Option<PinRequest>,
    /// The pin cookie's value, where they have to be: of several the first that may be a
    /// token, or unpins.
    pub signed_pin: Option<&'h [u8]>,
}

impl<'h> RequestCookies<'h> {
    /// Reads the cookies of all `cookie` lines.
    #[must_use]
    pub fn read(settings: &Settings, lines: impl Iterator<Item = &'h [u8]>) -> Self {
        let mut cookies = Self::default();
        for line in lines {
            settings.cookies.each(line, |cookie, value| match cookie {
                Cookie::Identity => cookies.add_identity(settings, value),
                Cookie::Pin if settings.signed_pins().is_some() => cookies.add_signed_pin(value),
                Cookie::Pin => cookies.add_pin(value),
            });
        }
        cookies
    }

    fn add_identity(&mut self, settings: &Settings, value: &'h [u8]) {
        let is_identity = match settings.identity.cookie {
            Some(IdentityCookie::Minted(_)) => CookieId::parse(value).is_some(),
            Some(IdentityCookie::OfApplication(_)) => !value.is_empty(),
            None => false,
        };
        if is_identity {
            self.identity = self.identity.or(Some(value));
        }
        self.identity_is_malformed = self.identity.is_none();
    }

    fn add_pin(&mut self, value: &[u8]) {
        let request = PinRequest::of_token(value);
        if matches!(self.pin, None | Some(PinRequest::Malformed)) {
            self.pin = Some(request);
        }
    }
    fn add_signed_pin(&mut self, value: &'h [u8]) {
        let may_count = |value: &[u8]| value.contains(&b'.') || value == PinRequest::NONE;
        let replaces = |before: &[u8]| !may_count(before) && may_count(value);
        if self.signed_pin.is_none_or(replaces) {
            self.signed_pin = Some(value);
        }
    }
}
