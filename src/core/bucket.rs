//! From an identity to a bucket: the number that Envoy's weighted pick uses
//! instead of a random one.

use siphasher::sip::SipHasher24;
use std::fmt;
use std::hash::Hasher;

/// The sum of a weighted route's weights, 1 to [`WeightTotal::MOST`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WeightTotal(u32);

impl WeightTotal {
    /// The largest total that a configuration may give.
    pub const MOST: u32 = 1_000_000;

    /// `total`, brought within 1 to [`WeightTotal::MOST`].
    #[must_use]
    pub fn new(total: u32) -> Self {
        Self(total.clamp(1, Self::MOST))
    }
}

/// A number below a [`WeightTotal`]. Envoy gives it to the first version whose
/// cumulative weight is above it (`weighted_clusters.header_name`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket(u32);

impl Bucket {
    /// The bucket of `hash`: a number below `total`, in equal shares.
    ///
    /// Multiply-shift, not `%`: when the total changes, `%` would deal all
    /// users anew.
    #[must_use]
    pub fn of(hash: u64, total: WeightTotal) -> Self {
        // 64 bits times 20 bits: the product fits, and its upper half is below `total`.
        let product = u128::from(hash).wrapping_mul(u128::from(total.0));
        Self(u32::try_from(product >> 64).unwrap_or_default())
    }

    /// The bucket that a caller wrote: one plain decimal below `total`. `None` for
    /// anything else, also for what Envoy would take (`007`, `+60`, `160`).
    #[must_use]
    pub fn parse(value: &[u8], total: WeightTotal) -> Option<Self> {
        let plain =
            value.iter().all(u8::is_ascii_digit) && (value == b"0" || !value.starts_with(b"0"));
        let number: u32 = std::str::from_utf8(value).ok()?.parse().ok()?;
        (plain && number < total.0).then_some(Self(number))
    }

    /// Its digits, in `buffer`.
    pub fn digits(self, buffer: &mut itoa::Buffer) -> &[u8] {
        buffer.format(self.0).as_bytes()
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A rollout's hash function: SipHash-2-4 (Aumasson and Bernstein, 2012) under a
/// fixed key, with the rollout's salt taken in already.
///
/// The key is no secret, for a user may well know their bucket; the salt deals
/// the users of each rollout independently.
#[derive(Clone, Copy)]
pub struct Salted(SipHasher24);

impl Salted {
    const KEY: &'static [u8; 16] = b"bluegreen-bucket";

    /// The hash function of the rollout with this salt.
    #[must_use]
    pub fn new(salt: &[u8]) -> Self {
        let mut hasher = SipHasher24::new_with_key(Self::KEY);
        hasher.write(salt);
        hasher.write(&[0]);
        Self(hasher)
    }

    /// The hash of `salt || 0x00 || identity`.
    #[must_use]
    pub fn hash(&self, identity: &[u8]) -> u64 {
        let mut hasher = self.0;
        hasher.write(identity);
        hasher.finish()
    }
}

impl fmt::Debug for Salted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salted")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siphash_gives_the_vector_of_the_paper() {
        // Appendix A: key 00 01 ... 0f, input 00 01 ... 0e.
        let key = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let input: Vec<u8> = (0..15).collect();
        let mut hasher = SipHasher24::new_with_key(&key);
        hasher.write(&input);
        assert_eq!(hasher.finish(), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn the_message_is_salt_zero_identity() {
        let mut hasher = SipHasher24::new_with_key(b"bluegreen-bucket");
        hasher.write(b"myapp\0user-1");
        assert_eq!(Salted::new(b"myapp").hash(b"user-1"), hasher.finish());
        assert_ne!(
            Salted::new(b"a").hash(b"bc"),
            Salted::new(b"ab").hash(b"c"),
            "the zero keeps salt and identity apart"
        );
    }

    #[test]
    fn the_bounds_of_the_hash_are_the_bounds_of_the_bucket() {
        for total in [1, 2, 100, WeightTotal::MOST] {
            let total = WeightTotal::new(total);
            assert_eq!(Bucket::of(0, total), Bucket(0));
            assert_eq!(Bucket::of(u64::MAX, total), Bucket(total.0 - 1));
        }
    }

    #[test]
    fn a_callers_bucket_is_one_plain_decimal_below_the_total() {
        let parse = |value: &[u8]| Bucket::parse(value, WeightTotal::new(100)).map(|b| b.0);
        assert_eq!(parse(b"0"), Some(0));
        assert_eq!(parse(b"99"), Some(99));
        for bad in [
            &b""[..],
            b"100",
            b"007",
            b"00",
            b"+60",
            b"-1",
            b" 60",
            b"60 ",
            b"6 0",
            b"1.5",
            b"0x3",
            b"60,61",
            b"abc",
            b"\xff",
            b"18446744073709551616",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
