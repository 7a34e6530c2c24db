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

    /// Returns all values of a header, in order.
    pub fn all<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s [u8]> {
        values(&self.0, name)
    }
}

fn values<'b>(map: &'b [u8], name: &str) -> impl Iterator<Item = &'b [u8]> {
    let (sizes, fields) = parts(map).unwrap_or_default();
    let mut next = 0_usize;
    sizes.iter().filter_map(move |[of_name, of_value]| {
        let (of_name, of_value) = (number(*of_name), number(*of_value));
        let field = next;
        // Wrong sizes lead to other bytes of the map, or out of it.
        let value = field.wrapping_add(of_name).wrapping_add(1);
        next = value.wrapping_add(of_value).wrapping_add(1);
        if of_name != name.len() || !fields.get(field..)?.starts_with(name.as_bytes()) {
            return None;
        }
        fields.get(value..)?.get(..of_value)
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
