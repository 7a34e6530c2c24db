//! Pins that are signed: a JWT (RFC 7519) in the place of a version's name. What it pins
//! stands in its audience, `bluegreen:HOST:VERSION`; the proxy verifies its signature.
//!
//! ```text
//! check     does a token count, and for which version
//! token     what it says
//! key       the keys of the configuration
//! verify    how the proxy is asked about a signature
//! known     tokens that counted before, and how many more may be verified
//! ```

mod base64;
mod check;
mod key;
mod known;
mod token;
mod verify;

pub use check::{Names, Pinned};
pub use key::{Key, NoKey, PublicKey};
pub use known::Known;
pub use token::Token;
pub use verify::{Verifier, answers_of_known_key};

use std::cell::RefCell;

/// The most bytes that a token may have.
pub const LONGEST_TOKEN: usize = 2048;

/// Who may pin.
#[derive(Debug)]
pub struct SignedPins {
    /// The keys, one of which has signed a pin that counts.
    pub keys: Vec<Key>,
    /// The tokens (`jti`) that no longer count.
    pub revoked: Vec<Box<str>>,
}

/// What a worker checks signed pins with.
#[derive(Clone, Copy)]
pub struct Checker<'c> {
    /// What it remembers of them.
    pub known: &'c RefCell<Known>,
    /// The proxy around it.
    pub verifier: &'c dyn Verifier,
}

#[cfg(test)]
pub(crate) mod tests;
