//! What a tester asks for: a version, or no version any more.

use super::pin_list::PinList;
use std::ops::Deref;
use std::rc::Rc;

/// The name of the version that a tester asks for: 1 to 63 of a-z, 0-9 and `-`, with
/// a letter or digit at both ends.
///
/// Most requests have no pin, and what a request comes to is moved several times, so the
/// bytes lie elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinName(Rc<[u8]>);

impl PinName {
    /// The most bytes that a name can have, as a DNS label (RFC 1123).
    pub const LONGEST: usize = 63;

    /// Returns `value` as a name; `None` if it has not the form of one.
    #[must_use]
    pub fn new(value: &[u8]) -> Option<Self> {
        Self::fits(value).then(|| Self(value.into()))
    }

    /// Returns whether `value` has the form of a name.
    #[must_use]
    pub fn fits(value: &[u8]) -> bool {
        let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
        (1..=Self::LONGEST).contains(&value.len())
            && value.iter().all(inner)
            && !value.starts_with(b"-")
            && !value.ends_with(b"-")
    }
}

impl Deref for PinName {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// What a pin asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinRequest {
    /// The version that answers to this name.
    Version(PinName),
    /// Versions of single services.
    List(PinList),
    /// No version any more: `none`.
    Unpin,
    /// Nothing, for it is no name of a version.
    Malformed,
}

impl PinRequest {
    /// The word that asks for no version any more.
    pub const NONE: &'static [u8] = b"none";

    /// Returns what `value` (a header's or a parameter's) asks for.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        if value == Self::NONE {
            return Self::Unpin;
        }
        let version = PinName::new(value).map(Self::Version);
        let list = || PinList::new(value).map(Self::List);
        version.or_else(list).unwrap_or(Self::Malformed)
    }

    /// Returns what `value` (a cookie's or that of a member of baggage) asks for.
    #[must_use]
    pub fn of_token(value: &[u8]) -> Self {
        if !value.contains(&b'.') && !value.contains(&b'=') {
            return Self::of(value);
        }
        PinList::of_token(value).map_or(Self::Malformed, Self::List)
    }
}

/// Returns what the first parameter `name` that has a value asks for, in the query of
/// a `:path`.
#[must_use]
pub fn in_query(path: &[u8], name: &str) -> Option<PinRequest> {
    let value = value_in_query(path, name, PinList::LONGEST)?;
    Some(PinRequest::of(&value))
}

/// Returns the value of the first parameter `name` that has one, in the query of a
/// `:path`: of a value of more than `longest` bytes one byte more, which tells that it is
/// too long. Names and values are decoded from `application/x-www-form-urlencoded`.
#[must_use]
pub fn value_in_query(path: &[u8], name: &str, longest: usize) -> Option<Vec<u8>> {
    let query = path.get(without_query(path).len()..)?.strip_prefix(b"?")?;
    let end = memchr::memchr(b'#', query).unwrap_or(query.len());
    query.get(..end)?.split(|&b| b == b'&').find_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        let (key, value) = pair.split_at_checked(at)?;
        let value = value.strip_prefix(b"=").filter(|value| !value.is_empty())?;
        decoded(key).eq(name.bytes()).then(|| {
            let value = decoded(value).take(longest.saturating_add(1));
            value.collect()
        })
    })
}

/// Returns the path before its query (RFC 3986 3.3).
#[must_use]
pub fn without_query(path: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'?', b'#', path).unwrap_or(path.len());
    path.get(..end).unwrap_or_default()
}

/// Returns the bytes of a query's part: `+` is a space, `%41` is `A`; a `%` without two
/// hex digits stands for itself (as in the URL standard).
fn decoded(part: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = part;
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        if let (b'%', [high, low, after @ ..]) = (first, after)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            rest = after;
            return Some(high.rotate_left(4) | low);
        }
        rest = after;
        Some(if first == b'+' { b' ' } else { first })
    })
}

pub(super) fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(name: &str) -> PinRequest {
        PinRequest::Version(PinName::new(name.as_bytes()).unwrap())
    }

    #[test]
    fn a_pin_has_the_form_of_a_version() {
        let longest = "x".repeat(63);
        for good in ["a", "0", "green", "v-1", "nones", &longest] {
            assert_eq!(PinRequest::of(good.as_bytes()), version(good));
            assert_eq!(&*PinName::new(good.as_bytes()).unwrap(), good.as_bytes());
        }
        assert_eq!(PinRequest::of(b"none"), PinRequest::Unpin);
        for bad in [
            &b""[..],
            b"-",
            b"-a",
            b"a-",
            b"Green",
            b"NONE",
            b" green",
            b"green ",
            b"gr een",
            b"gr_een",
            b"gr.een",
            b"gr\xc3\xbcn",
            b"\xff",
            b"a\0",
            &[b'x'; 64],
            &[b'x'; 60_000],
        ] {
            assert_eq!(PinRequest::of(bad), PinRequest::Malformed, "{bad:?}");
        }
    }

    #[test]
    fn a_pin_may_be_a_list_whose_form_depends_on_where_it_stands() {
        let list = || PinRequest::List(PinList::new(b"stock=v2").unwrap());
        assert_eq!(PinRequest::of(b"stock=v2"), list());
        assert_eq!(PinRequest::of_token(b"stock.v2"), list());
        assert_eq!(PinRequest::of(b"stock.v2"), PinRequest::Malformed);
        assert_eq!(PinRequest::of_token(b"stock=v2"), PinRequest::Malformed);
        assert_eq!(PinRequest::of_token(b"green"), version("green"));
        assert_eq!(PinRequest::of_token(b"none"), PinRequest::Unpin);
    }

    #[test]
    fn the_first_parameter_with_a_value_is_a_pin() {
        let green = || Some(version("green"));
        let malformed = || Some(PinRequest::Malformed);
        let list = |list: &str| PinList::new(list.as_bytes()).map(PinRequest::List);
        let long = format!("/?version-pin={}", "x".repeat(64));
        let longest = format!("/?version-pin={}", "%78".repeat(63));
        let rows = [
            ("/?version-pin=green", green()),
            ("/a/b?x=1&version-pin=green&y", green()),
            ("/?version-pin=green#version-pin=blue", green()),
            ("/?version-pin=&version-pin=green", green()),
            ("/?version-pin&version-pin=green", green()),
            ("/?version-pin=green&version-pin=blue", green()),
            ("/?version-pin=gr%65en", green()),
            ("/?version%2Dpin=%67%72%65%65%6E", green()),
            ("/?version-pin=purple", Some(version("purple"))),
            ("/?version-pin=none", Some(PinRequest::Unpin)),
            ("/?version-pin=stock=v2", list("stock=v2")),
            (
                "/?version-pin=shop%3Dgreen%2Cstock%3Dv2",
                list("shop=green,stock=v2"),
            ),
            ("/?version-pin=stock.v2", malformed()),
            (&longest, Some(version(&"x".repeat(63)))),
            (&long, malformed()),
            ("/?version-pin=green+", malformed()),
            ("/?version-pin=green%00", malformed()),
            ("/?version-pin=%zz", malformed()),
            ("/?version-pin=green%6", malformed()),
            ("/?version-pin=green=", malformed()),
            ("/?Version-Pin=green", None),
            ("/?version-pin", None),
            ("/?version-pin=", None),
            ("/?", None),
            ("/version-pin=green", None),
            ("/#?version-pin=green", None),
            ("", None),
        ];
        for (path, request) in rows {
            let found = in_query(path.as_bytes(), "version-pin");
            assert_eq!(found, request, "{path}");
        }
    }

    #[test]
    fn the_query_and_the_fragment_are_no_part_of_the_path() {
        for (path, without) in [("/a?b", "/a"), ("/a#b?c", "/a"), ("/a", "/a"), ("?", "")] {
            assert_eq!(without_query(path.as_bytes()), without.as_bytes());
        }
    }
}
