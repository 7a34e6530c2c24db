//! The identity that the filter itself gives to a user: the identity cookie's value.

use std::ops::Deref;

/// The identity cookie's value: 16 lowercase hex digits, a random 64-bit
/// number. It says nothing about the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieId([u8; 16]);

impl CookieId {
    /// Returns the identity that `random` makes.
    #[must_use]
    pub fn mint(random: u64) -> Self {
        let mut rest = random;
        Self(std::array::from_fn(|_| {
            rest = rest.rotate_left(4);
            match rest & 15 {
                0 => b'0',
                1 => b'1',
                2 => b'2',
                3 => b'3',
                4 => b'4',
                5 => b'5',
                6 => b'6',
                7 => b'7',
                8 => b'8',
                9 => b'9',
                10 => b'a',
                11 => b'b',
                12 => b'c',
                13 => b'd',
                14 => b'e',
                _ => b'f',
            }
        }))
    }

    /// Returns the identity in a cookie's value; `None` unless it is well-formed.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let digits: [u8; 16] = value.try_into().ok()?;
        let is_digit = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        digits.iter().all(is_digit).then_some(Self(digits))
    }
}

impl Deref for CookieId {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_the_number_in_hex() {
        for random in [0, 1, 0x00c0_ffee_00c0_ffee, 0x0123_4567_89ab_cdef, u64::MAX] {
            let id = CookieId::mint(random);
            assert_eq!(&*id, format!("{random:016x}").as_bytes());
            assert_eq!(CookieId::parse(&id), Some(id));
        }
    }

    #[test]
    fn only_16_lowercase_hex_digits_are_an_identity() {
        for bad in [
            &b""[..],
            b"00c0ffee00c0ffe",
            b"00c0ffee00c0ffee0",
            b"00C0FFEE00C0FFEE",
            b"00c0ffee00c0ffeg",
            b"00c0ffee00c0ff\xff\xff",
        ] {
            assert_eq!(CookieId::parse(bad), None, "{bad:?}");
        }
    }
}
