//! What a worker remembers of signed pins: tokens that counted, so that each is verified
//! once, and how many it has verified in this second.

use super::SignedPins;
use super::token::Token;
use std::fmt;
use std::rc::Rc;

/// The most tokens that a worker remembers.
const MOST_TOKENS: usize = 64;

/// The most signatures that a worker verifies in a second: a hundredth of a core. A flood
/// of forgeries costs testers their pin for as long, and users nothing.
const MOST_A_SECOND: u32 = 100;

/// What a worker remembers of signed pins. It is of one configuration.
#[derive(Default)]
pub struct Known {
    tokens: Vec<Entry>,
    /// Where the next one goes once there are as many as may be.
    next: usize,
    /// The second in which signatures were last verified, and how many.
    second: u64,
    verified: u32,
}

/// A token that counted.
struct Entry {
    tag: u64,
    settings: Rc<SignedPins>,
    proved: Rc<Proved>,
}

/// A token and the key that has signed it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Proved {
    pub(super) token: Token,
    /// The key's place in its settings.
    pub(super) key: usize,
    /// Who pins, for a log: the key's name, and the subject behind a slash.
    pub(super) by: Box<str>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.tokens.len())
    }
}

impl Known {
    /// Returns the token that these bytes are, if it counted before by these settings.
    pub(super) fn find(&self, settings: &Rc<SignedPins>, bytes: &[u8]) -> Option<Rc<Proved>> {
        let tag = tag(bytes);
        let mut entries = self.tokens.iter();
        let found = entries.find(|entry| {
            entry.tag == tag
                && Rc::ptr_eq(&entry.settings, settings)
                && is_same(&entry.proved.token.bytes, bytes)
        })?;
        Some(Rc::clone(&found.proved))
    }

    /// Remembers a token that counts by these settings, in the place of the oldest one
    /// where there are as many as may be.
    pub(super) fn keep(&mut self, settings: &Rc<SignedPins>, proved: &Rc<Proved>) {
        let entry = Entry {
            tag: tag(&proved.token.bytes),
            settings: Rc::clone(settings),
            proved: Rc::clone(proved),
        };
        if self.tokens.len() < MOST_TOKENS {
            self.tokens.push(entry);
        } else if let Some(oldest) = self.tokens.get_mut(self.next) {
            *oldest = entry;
            self.next = self.next.wrapping_add(1) % MOST_TOKENS;
        }
    }

    /// Returns whether one more signature may be verified in this second, and counts it.
    pub(super) fn may_verify(&mut self, second: u64) -> bool {
        if self.second != second {
            (self.second, self.verified) = (second, 0);
        }
        let may = self.verified < MOST_A_SECOND;
        self.verified = self.verified.saturating_add(may.into());
        may
    }
}

/// Returns whether two tokens are the same. In a module `==` looks at byte after byte.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let ((one, end), (other, other_end)) = (one.as_chunks::<8>(), other.as_chunks::<8>());
    let number = |bytes: &[u8; 8]| u64::from_le_bytes(*bytes);
    one.iter().map(number).eq(other.iter().map(number)) && end == other_end
}

/// Returns the last eight bytes, which are of the signature.
fn tag(bytes: &[u8]) -> u64 {
    let last = bytes.last_chunk();
    last.copied().map_or(0, u64::from_le_bytes)
}
