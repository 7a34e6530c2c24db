//! All headers of a message, as the host hands them out in one call.
//!
//! The call costs what two by name do, one for a header that is there and one for
//! a header that is not (`benches/RESULTS.md`), and each further header costs next to
//! nothing.

use std::borrow::Cow;

/// Header fields in order, pseudo headers included. Names are lowercase, values
/// are a stranger's bytes.
///
/// They are read as they are: a serialized map of proxy-wasm's ABI 0.2.1. That is
/// the number of fields; the size of each one's name and of its value; then each
/// name and each value, with a NUL behind it. A number has 32 bits, the lowest
/// first. Bytes that are no such map have no headers, or odd ones.
#[derive(Debug, Default)]
pub struct Headers<'h>(Cow<'h, [u8]>);

impl<'h> Headers<'h> {
    /// Returns the headers in these bytes.
    #[must_use]
    pub fn new(serialized: Cow<'h, [u8]>) -> Self {
        Self(serialized)
    }

    /// Returns the first value of a header.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.all(name).next()
    }

    /// Returns the first values of several headers, looked for in one go.
    #[must_use]
    pub fn first_of<const N: usize>(&self, names: [&str; N]) -> [Found<'_>; N] {
        let mut found = [Found::default(); N];
        let lengths = names
            .iter()
            .fold(0, |all, name| all | length_bit(name.len()));
        for (name, value) in fields(&self.0, lengths) {
            for (found, wanted) in found.iter_mut().zip(names) {
                if name.len() == wanted.len() && name == wanted.as_bytes() {
                    found.is_alone = found.first.is_none();
                    found.first = found.first.or(Some(value));
                }
            }
        }
        found
    }

    /// Returns all values of a header, in order.
    pub fn all<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s [u8]> {
        values(&self.0, name)
    }
}

/// A header that was looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Found<'s> {
    /// Its first value.
    pub first: Option<&'s [u8]>,
    /// Whether it is there once, and not more often.
    pub is_alone: bool,
}

impl Found<'_> {
    /// Returns whether this is the header's one value.
    #[must_use]
    pub fn is_only(&self, value: &[u8]) -> bool {
        self.is_alone && self.first == Some(value)
    }
}

fn values<'b>(map: &'b [u8], name: &str) -> impl Iterator<Item = &'b [u8]> {
    let of_name =
        move |(field, _): &(&[u8], &[u8])| field.len() == name.len() && *field == name.as_bytes();
    let lengths = length_bit(name.len());
    fields(map, lengths).filter(of_name).map(|(_, value)| value)
}

/// Returns the bit that stands for names of this length, and of some others. It spares a
/// look at most names of a message.
fn length_bit(length: usize) -> u64 {
    let length = u32::try_from(length % 64).unwrap_or_default();
    1_u64.rotate_left(length)
}

/// Returns, in order, the names whose lengths have one of these bits, and the values.
/// What has wrong sizes is left out, or has other bytes of the map for name and value.
fn fields(map: &[u8], lengths: u64) -> impl Iterator<Item = (&[u8], &[u8])> {
    let (sizes, fields) = parts(map).unwrap_or_default();
    let mut next = 0_usize;
    sizes.iter().filter_map(move |[of_name, of_value]| {
        let (of_name, of_value) = (number(*of_name), number(*of_value));
        let field = next;
        // Wrong sizes lead to other bytes of the map, or out of it.
        let value = field.wrapping_add(of_name).wrapping_add(1);
        next = value.wrapping_add(of_value).wrapping_add(1);
        if length_bit(of_name) & lengths == 0 {
            return None;
        }
        let name = fields.get(field..)?.get(..of_name)?;
        Some((name, fields.get(value..)?.get(..of_value)?))
    })
}

/// Returns the sizes of each name and value, and the names and values.
fn parts(map: &[u8]) -> Option<(&[[Number; 2]], &[u8])> {
    let (count, rest) = map.split_first_chunk()?;
    let (sizes, fields) = rest.split_at_checked(number(*count).checked_mul(8)?)?;
    let (numbers, _) = sizes.as_chunks();
    let (pairs, _) = numbers.as_chunks();
    Some((pairs, fields))
}

/// Returns the map of these header fields, as a host writes it.
#[must_use]
pub fn serialized(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let number = |size: usize| u32::try_from(size).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = number(fields.len()).to_vec();
    for (name, value) in fields {
        bytes.extend([number(name.len()), number(value.len())].concat());
    }
    for (name, value) in fields {
        bytes.extend([name.as_bytes(), b"\0", value, b"\0"].concat());
    }
    bytes
}

type Number = [u8; 4];

fn number(bytes: Number) -> usize {
    usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_the_whole_name_in_order() {
        let bytes = serialized(&[
            (":path", b"/"),
            ("cookie", b"a=1"),
            ("cookies", b"no"),
            ("cookie", b"\xff\0\xff"),
            ("empty", b""),
        ]);
        let headers = Headers::new(bytes.into());
        assert_eq!(headers.first(":path"), Some(&b"/"[..]));
        assert_eq!(headers.first("cookie"), Some(&b"a=1"[..]));
        assert_eq!(headers.first("empty"), Some(&b""[..]));
        assert_eq!(headers.first("cook"), None);
        let all: Vec<_> = headers.all("cookie").collect();
        assert_eq!(all, [&b"a=1"[..], b"\xff\0\xff"]);
    }

    #[test]
    fn several_headers_are_found_in_one_go() {
        let bytes = serialized(&[("a", b"1"), ("b", b"2"), ("a", b"3"), ("c", b"")]);
        let headers = Headers::new(bytes.into());
        let found = headers.first_of(["c", "a", "d", "b"]);
        assert_eq!(
            found.map(|found| found.first),
            [Some(&b""[..]), Some(b"1"), None, Some(b"2")]
        );
        assert_eq!(
            found.map(|found| found.is_alone),
            [true, false, false, true]
        );
        assert!(found[3].is_only(b"2") && !found[1].is_only(b"1") && !found[2].is_only(b""));
    }

    #[test]
    fn a_map_is_laid_out_as_the_abi_says() {
        // proxy-wasm spec, abi-versions/v0.2.1, "Serialized map".
        let bytes = serialized(&[("a", b"12"), ("bcd", b"")]);
        let expected = b"\x02\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0a\x0012\0bcd\0\0";
        assert_eq!(bytes, expected);
    }

    #[test]
    fn what_is_no_map_has_no_header() {
        let good = serialized(&[("a", b"1"), ("b", b"2")]);
        for end in 0..good.len() - 1 {
            let headers = Headers::new(good[..end].into());
            assert_eq!(headers.first("b"), None, "the first {end} bytes");
        }
        // Each number of the head at its largest.
        for at in (0..20).step_by(4) {
            let mut wrong = good.clone();
            wrong[at..at + 4].copy_from_slice(&[0xff; 4]);
            let headers = Headers::new(wrong.into());
            assert!(headers.all("b").count() <= 1, "{at}");
        }
    }
}
