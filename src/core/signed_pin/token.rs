//! What a token says: the parts of a JWT (RFC 7515, RFC 7519) that count here. Others
//! are ignored.

use super::base64;
use super::key::Algorithm;
use super::{LONGEST_TOKEN, Names};
use crate::core::config::tree::Tree;
use crate::core::metrics::Reason;
use crate::core::pin::{PinName, PinRequest};

/// What a token says.
#[derive(Debug, PartialEq, Eq)]
pub struct Token {
    /// The token as it was sent.
    pub(super) bytes: Box<[u8]>,
    pub(super) algorithm: Algorithm,
    /// Which key has signed it, by its own words.
    pub(super) kid: Option<Box<str>>,
    /// What it pins: the host or the rollout, and the version.
    pub(super) audiences: Vec<(Box<str>, PinName)>,
    /// When it ends, in seconds since 1970.
    pub(super) expires: u64,
    /// When it was made.
    pub(super) issued: u64,
    /// When it begins, where it says so.
    pub(super) begins: Option<u64>,
    /// Its own name.
    pub(super) id: Option<Box<str>>,
    /// Whom it was made for.
    pub(super) subject: Option<Box<str>>,
}

impl Token {
    /// Returns the token as it was sent.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns what it pins: hosts or rollouts, each with its version.
    #[must_use]
    pub fn audiences(&self) -> &[(Box<str>, PinName)] {
        &self.audiences
    }

    /// Returns what `bytes` say, and their signature; `None` unless they are a whole token.
    pub(super) fn parse(bytes: &[u8]) -> Option<(Self, Vec<u8>)> {
        if bytes.len() > LONGEST_TOKEN {
            return None;
        }
        let mut parts = bytes.split(|&b| b == b'.');
        let mut part = || base64::decoded(parts.next()?, base64::URL);
        let (header, claims, signature) = (part()?, part()?, part()?);
        if parts.next().is_some() {
            return None;
        }
        let header = Tree::of_json(&header)?;
        let claims = Tree::of_json(&claims)?;
        if member(&header, "crit")?.is_some() {
            // It says that whoever does not know its members must refuse it.
            return None;
        }
        let token = Self {
            bytes: bytes.into(),
            algorithm: Algorithm::named(member(&header, "alg")??.text()?)?,
            kid: text(&header, "kid")?,
            audiences: audiences(member(&claims, "aud")??)?,
            expires: seconds(&claims, "exp")??,
            issued: seconds(&claims, "iat")??,
            begins: seconds(&claims, "nbf")?,
            id: text(&claims, "jti")?,
            subject: text(&claims, "sub")?,
        };
        Some((token, signature))
    }

    /// Returns what is signed: all before the signature.
    pub(super) fn message(&self) -> &[u8] {
        let end = memchr::memrchr(b'.', &self.bytes);
        self.bytes
            .get(..end.unwrap_or_default())
            .unwrap_or_default()
    }

    /// Returns the version that it pins at `now`, by its first audience of these names.
    pub(super) fn version(&self, now: u64, names: &Names<'_>) -> Result<&PinName, Reason> {
        /// How much the clock of whoever made it may be ahead.
        const AHEAD: u64 = 60;
        if self.expires <= now {
            return Err(Reason::PinExpired);
        }
        let latest = now.saturating_add(AHEAD);
        if self.issued > latest || self.begins.is_some_and(|begins| begins > latest) {
            return Err(Reason::PinNotYet);
        }
        let mut audiences = self.audiences.iter();
        let of_names = audiences.find(|(name, _)| names.has(name));
        of_names
            .map(|(_, version)| version)
            .ok_or(Reason::PinOtherRollout)
    }
}

/// Returns the member `name` of an object; `None` in the place of one that is there
/// several times, and of what is no object.
fn member<'t>(tree: &'t Tree, name: &str) -> Option<Option<&'t Tree>> {
    let Tree::Map(members) = tree else {
        return None;
    };
    let mut found = members.iter().filter(|(other, _)| other == name);
    let first = found.next();
    found
        .next()
        .is_none()
        .then_some(first.map(|(_, value)| value))
}

/// Returns the same of a text of 1 to 256 bytes without control characters, which can
/// stand in a log.
fn text(tree: &Tree, name: &str) -> Option<Option<Box<str>>> {
    let Some(value) = member(tree, name)? else {
        return Some(None);
    };
    let text = value.text()?;
    let fits = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then(|| Some(text.into()))
}

/// Returns the same of a whole number of seconds.
fn seconds(tree: &Tree, name: &str) -> Option<Option<u64>> {
    match member(tree, name)? {
        None => Some(None),
        Some(Tree::Whole(seconds)) => Some(Some(*seconds)),
        Some(_) => None,
    }
}

/// Returns what an `aud` pins: its texts that are `bluegreen:HOST:VERSION`. `None` where
/// it is neither a text nor a list of texts.
fn audiences(tree: &Tree) -> Option<Vec<(Box<str>, PinName)>> {
    let list = match tree {
        Tree::List(list) => list.as_slice(),
        text => std::slice::from_ref(text),
    };
    let mut audiences = Vec::with_capacity(list.len());
    for audience in list {
        let pin = audience.text()?.strip_prefix("bluegreen:");
        // Addresses have colons, too.
        if let Some((name, version)) = pin.and_then(|pin| pin.rsplit_once(':'))
            && !name.is_empty()
            && let PinRequest::Version(version) = PinRequest::of(version.as_bytes())
        {
            audiences.push((name.into(), version));
        }
    }
    Some(audiences)
}
