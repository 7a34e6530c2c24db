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

    /// Returns what `bytes` say, and their signature.
    ///
    /// # Errors
    /// They are no whole token.
    pub(super) fn parse(bytes: &[u8]) -> Result<(Self, Vec<u8>), Malformed> {
        if bytes.len() > LONGEST_TOKEN {
            return Err(Malformed);
        }
        let mut parts = bytes.split(|&b| b == b'.');
        let mut part = || base64::decoded(parts.next()?, base64::URL);
        let (Some(header), Some(claims), Some(signature)) = (part(), part(), part()) else {
            return Err(Malformed);
        };
        let header = Tree::of_json(&header).ok_or(Malformed)?;
        let claims = Tree::of_json(&claims).ok_or(Malformed)?;
        // `crit`: whoever does not know its members must refuse the token.
        if parts.next().is_some() || member(&header, "crit")?.is_some() {
            return Err(Malformed);
        }
        let algorithm = member(&header, "alg")?.and_then(Tree::text);
        let audience = member(&claims, "aud")?.and_then(audiences);
        let token = Self {
            bytes: bytes.into(),
            algorithm: algorithm.and_then(Algorithm::named).ok_or(Malformed)?,
            kid: text(&header, "kid")?,
            audiences: audience.ok_or(Malformed)?,
            expires: seconds(&claims, "exp")?.ok_or(Malformed)?,
            issued: seconds(&claims, "iat")?.ok_or(Malformed)?,
            begins: seconds(&claims, "nbf")?,
            id: text(&claims, "jti")?,
            subject: text(&claims, "sub")?,
        };
        Ok((token, signature))
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

/// What is no token.
#[derive(Debug)]
pub(super) struct Malformed;

/// Returns the member `name` of an object.
///
/// # Errors
/// It is there several times, or this is no object.
fn member<'t>(tree: &'t Tree, name: &str) -> Result<Option<&'t Tree>, Malformed> {
    let Tree::Map(members) = tree else {
        return Err(Malformed);
    };
    let mut found = members.iter().filter(|(other, _)| other == name);
    let first = found.next().map(|(_, value)| value);
    if found.next().is_some() {
        return Err(Malformed);
    }
    Ok(first)
}

/// Returns the same of a text of 1 to 256 bytes without control characters, which can
/// stand in a log.
fn text(tree: &Tree, name: &str) -> Result<Option<Box<str>>, Malformed> {
    let Some(value) = member(tree, name)? else {
        return Ok(None);
    };
    let text = value.text().unwrap_or_default();
    let fits = (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
    fits.then(|| Some(text.into())).ok_or(Malformed)
}

/// Returns the same of a whole number of seconds.
fn seconds(tree: &Tree, name: &str) -> Result<Option<u64>, Malformed> {
    match member(tree, name)? {
        None => Ok(None),
        Some(Tree::Whole(seconds)) => Ok(Some(*seconds)),
        Some(_) => Err(Malformed),
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
