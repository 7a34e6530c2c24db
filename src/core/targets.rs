//! What a VM keeps at hand of the targets of its requests: the version behind each, and
//! the ids of its counters, so that a response needs to take no name to pieces.

use super::metrics::{Code, Counted, CounterIds, Reason, Reasons, Source};
use super::route::Target;
use super::version::{OwnedVersion, Version};
use rustc_hash::FxHashMap;

/// The number of targets at which those kept at hand are let go.
pub const MOST_TARGETS: usize = 1024;

/// The targets of one VM, by the print of their bytes.
#[derive(Debug, Default)]
pub struct Targets(FxHashMap<u64, KnownTarget>);

/// A target that requests went to before.
#[derive(Debug)]
pub struct KnownTarget {
    bytes: Box<[u8]>,
    version: Option<OwnedVersion>,
    ids: CounterIds,
}

impl Targets {
    /// Returns what is known of a target, and from now on knows it.
    pub fn know(&mut self, target: Target<'_>) -> &KnownTarget {
        let bytes = target.bytes();
        if self.0.len() >= MOST_TARGETS {
            self.0.clear();
        }
        let known = self.0.entry(print(bytes));
        let known = known.or_insert_with(|| KnownTarget::new(target));
        if !same(&known.bytes, bytes) {
            *known = KnownTarget::new(target);
        }
        known
    }
}

impl KnownTarget {
    fn new(target: Target<'_>) -> Self {
        Self {
            bytes: target.bytes().into(),
            version: target.version().map(Version::to_owned),
            ids: CounterIds::default(),
        }
    }

    /// Returns the target.
    #[must_use]
    pub fn target(&self) -> Target<'_> {
        Target::new(&self.bytes)
    }

    /// Returns its version; `None` when its cluster has none.
    #[must_use]
    pub fn version(&self) -> Option<Version<'_>> {
        self.version.as_ref().map(OwnedVersion::borrow)
    }

    /// Returns what a request that would go there met, to be counted without a response.
    #[must_use]
    pub fn rejected(&self, reason: Reason) -> Counted<'_> {
        let mut rejected = Reasons::default();
        rejected.add(reason);
        self.counted(Source::None, Code::of_status(None), rejected)
    }

    /// Returns a response to a request that went there, to be counted.
    #[must_use]
    pub fn counted(&self, source: Source, code: Code, rejected: Reasons) -> Counted<'_> {
        Counted {
            target: self.target(),
            ids: &self.ids,
            source,
            code,
            rejected,
        }
    }
}

/// Returns a number that nearly always tells these bytes from others. A hash of the
/// library, and a comparison by the library, take some ten steps a byte in a module.
fn print(bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = bytes.as_chunks();
    let mix = |print: u64, word: u64| (print ^ word).wrapping_mul(ODD).rotate_left(23);
    let print = words
        .iter()
        .fold(0, |print, word| mix(print, u64::from_le_bytes(*word)));
    rest.iter()
        .fold(print, |print, byte| mix(print, u64::from(*byte)))
}

/// Returns whether two targets are the same bytes.
fn same(one: &[u8], other: &[u8]) -> bool {
    let ((words, rest), (others, of_other)) = (one.as_chunks::<8>(), other.as_chunks());
    let equal = |(word, other): (&[u8; 8], &[u8; 8])| {
        u64::from_le_bytes(*word) == u64::from_le_bytes(*other)
    };
    one.len() == other.len() && words.iter().zip(others).all(equal) && rest == of_other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart_to_the_last_byte() {
        let all = ["", "a", "12345678", "12345679", "12345678a", "12345678b"];
        for one in all {
            for other in all {
                let same = same(one.as_bytes(), other.as_bytes());
                assert_eq!(same, one == other);
                assert_eq!(
                    print(one.as_bytes()) == print(other.as_bytes()),
                    one == other
                );
            }
        }
    }

    #[test]
    fn a_target_is_known_by_all_of_its_bytes() {
        let mut targets = Targets::default();
        for _ in 0..2 {
            for version in ["blue", "green"] {
                for config in ["/namespaces/ns/virtual-service/shop", "-"] {
                    let bytes = format!("outbound|80|{version}|shop.ns {config}");
                    let target = Target::new(bytes.as_bytes());
                    let known = targets.know(target);
                    assert_eq!(known.target(), target);
                    assert_eq!(known.version(), target.version());
                }
            }
        }
    }
}
