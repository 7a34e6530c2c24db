//! Whether a token counts, and for which version. What costs least comes first, the
//! signature last.

use super::key::{Fit, Key};
use super::known::Proved;
use super::token::Token;
use super::{Checker, SignedPins, verify};
use crate::core::metrics::Reason;
use crate::core::pin::PinName;
use std::rc::Rc;

/// What a request may be called in an audience.
#[derive(Debug, Clone, Copy)]
pub struct Names<'r> {
    /// Its host, in lower case, without port.
    pub host: &'r [u8],
    /// The name of the rollout of the configuration whose settings hold.
    pub rollout: Option<&'r str>,
}

impl Names<'_> {
    /// Returns whether this is one of the names.
    pub(super) fn has(&self, name: &str) -> bool {
        self.rollout == Some(name) || name.as_bytes().eq_ignore_ascii_case(self.host)
    }
}

/// A request that is pinned by a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pinned {
    proved: Rc<Proved>,
    /// How long the token counts yet.
    pub seconds_left: u32,
}

impl Pinned {
    /// Returns the token.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.proved.token
    }

    /// Returns who pins, for a log: the key's name, and behind a slash the token's subject,
    /// if it has one.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.proved.by
    }
}

impl SignedPins {
    /// Returns the version that a token pins for a request of these names, and the proof.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn check(
        self: &Rc<Self>,
        bytes: &[u8],
        names: &Names<'_>,
        checker: Checker<'_>,
    ) -> Result<(PinName, Pinned), Reason> {
        let now = checker.verifier.seconds();
        let known = checker.known.borrow().find(self, bytes);
        if let Some(proved) = known {
            // What is revoked was never remembered.
            let version = proved.token.version(now, names)?.clone();
            let public = self.keys.get(proved.key).map(|key| &key.public);
            let fits = |key: &Key| key.fit(&proved.token, names) == Fit::All;
            if self
                .keys
                .iter()
                .any(|key| fits(key) && Some(&key.public) == public)
            {
                return Ok((version, Pinned::new(proved, now)));
            }
        }
        self.verify(bytes, names, now, checker)
    }

    /// Does the same for a token that is not known.
    #[inline(never)] // Else one that is known pays for its frame.
    fn verify(
        self: &Rc<Self>,
        bytes: &[u8],
        names: &Names<'_>,
        now: u64,
        checker: Checker<'_>,
    ) -> Result<(PinName, Pinned), Reason> {
        let (token, signature) = Token::parse(bytes).map_err(|_| Reason::PinMalformed)?;
        let version = token.version(now, names)?.clone();
        let fit = |key: &Key| key.fit(&token, names);
        match self.keys.iter().map(fit).max() {
            None | Some(Fit::Algorithm) => return Err(Reason::PinMalformed),
            Some(Fit::Key) => return Err(Reason::PinKey),
            Some(Fit::Lifetime) => return Err(Reason::PinLifetime),
            Some(Fit::All) => {}
        }
        if token
            .id
            .as_ref()
            .is_some_and(|id| self.revoked.contains(id))
        {
            return Err(Reason::PinRevoked);
        }
        let mut known = checker.known.borrow_mut();
        let keys = self.keys.iter().enumerate();
        let mut signer = None;
        for (place, key) in keys.filter(|(_, key)| fit(key) == Fit::All) {
            if !known.may_verify(now) {
                return Err(Reason::PinBusy);
            }
            if verify::verifies(checker.verifier, &key.public, token.message(), &signature) {
                signer = Some((place, key));
                break;
            }
        }
        let (place, key) = signer.ok_or(Reason::PinSignature)?;
        let mut by = String::from(&*key.name);
        for part in token.subject.iter().flat_map(|subject| ["/", subject]) {
            by.push_str(part);
        }
        let proved = Rc::new(Proved {
            token,
            key: place,
            by: by.into(),
        });
        known.keep(self, &proved);
        Ok((version, Pinned::new(proved, now)))
    }
}

impl Pinned {
    fn new(proved: Rc<Proved>, now: u64) -> Self {
        let seconds_left = proved.token.expires.saturating_sub(now);
        let seconds_left = u32::try_from(seconds_left).unwrap_or(u32::MAX);
        Self {
            proved,
            seconds_left,
        }
    }
}
