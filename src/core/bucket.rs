//! From an identity to a bucket: the number that Envoy's weighted pick uses
//! instead of a random one.

use siphasher::sip::SipHasher24;
use std::hash::Hasher;
use std::num::NonZeroU64;

/// The number that Envoy takes modulo the sum of the weights, to pick by the cumulative
/// weights in the order of the destinations (`weighted_clusters.header_name`).
///
/// It knows neither the sum nor the weights. While sum and order stay, more weight on
/// the last destination only ever moves users there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bucket(u64);

impl Bucket {
    /// The key of the hash. It is no secret, for users may well know their bucket.
    const KEY: &'static [u8; 16] = b"bluegreen-bucket";

    /// Returns the bucket of an identity: SipHash-2-4 (Aumasson and Bernstein, 2012) of
    /// `salt || 0x00 || identity`. The parts of the salt are read one after the other.
    #[must_use]
    pub fn of(salt: [&[u8]; 2], identity: &[u8]) -> Self {
        let mut hasher = SipHasher24::new_with_key(Self::KEY);
        let [salt, rest] = salt;
        hasher.write(salt);
        if !rest.is_empty() {
            hasher.write(rest);
        }
        hasher.write_u8(0);
        hasher.write(identity);
        Self(hasher.finish())
    }

    /// Returns the bucket that a caller wrote: one plain decimal of at most 64 bits.
    /// `None` for anything else, also for what Envoy would take (`007`, `+60`, ` 60`).
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        const LARGEST: &[u8] = b"18446744073709551615";
        let fits = match value.len() {
            0 => false,
            20 => value <= LARGEST,
            length => length < LARGEST.len(),
        };
        let is_plain = value == b"0" || !value.starts_with(b"0");
        // The library's `parse` multiplies by a call, digit by digit, in a module.
        let add = |number: u64, byte: &u8| {
            let digit = byte.wrapping_sub(b'0');
            (digit < 10).then(|| number.wrapping_mul(10).wrapping_add(digit.into()))
        };
        let number = value.iter().try_fold(0, add)?;
        (fits && is_plain).then_some(Self(number))
    }

    /// Returns its place below the sum of the weights: the cumulative weight that is the
    /// first above it is the one that is picked.
    #[must_use]
    pub fn place(self, sum: NonZeroU64) -> u64 {
        self.0 % sum
    }

    /// Returns which of these weights Envoy's weighted route picks: the first whose
    /// cumulative weight is above the bucket modulo their `sum`.
    pub fn pick(self, weights: impl IntoIterator<Item = u32>, sum: NonZeroU64) -> Option<usize> {
        pick_at(self.place(sum), weights)
    }

    /// Returns its decimal digits, in `buffer`.
    pub fn digits(self, buffer: &mut itoa::Buffer) -> &[u8] {
        buffer.format(self.0).as_bytes()
    }
}

/// Returns which of these weights a place below their sum belongs to.
pub fn pick_at(place: u64, weights: impl IntoIterator<Item = u32>) -> Option<usize> {
    let mut cumulative = 0_u64;
    weights.into_iter().position(|weight| {
        cumulative = cumulative.saturating_add(weight.into());
        place < cumulative
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn siphash_gives_the_vector_of_the_paper() {
        // Appendix A: key 00 01 ... 0f, input 00 01 ... 0e.
        let key: [u8; 16] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let mut hasher = SipHasher24::new_with_key(&key);
        hasher.write(&key[..15]);
        assert_eq!(hasher.finish(), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn only_one_plain_decimal_of_64_bits_is_a_bucket() {
        for good in ["0", "7", "99", "18446744073709551615"] {
            let mut buffer = itoa::Buffer::new();
            let bucket = Bucket::parse(good.as_bytes()).unwrap();
            assert_eq!(bucket.digits(&mut buffer), good.as_bytes());
        }
        for bad in [
            &b""[..],
            b"18446744073709551616",
            b"007",
            b"00",
            b"+60",
            b"-1",
            b" 60",
            b"60 ",
            b"1.5",
            b"0x32",
            b"60,61",
            b"abc",
            b"\xff",
        ] {
            assert_eq!(Bucket::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_salt_in_two_parts_is_the_same_as_in_one() {
        assert_eq!(
            Bucket::of([b"stock", b".shop"], b"alice"),
            Bucket::of([b"stock.shop", b""], b"alice")
        );
    }
}
