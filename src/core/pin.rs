//! What a tester asks for: a version, no version any more, or something unknown.

use crate::core::rollout::{Rollout, VersionIndex, without_query};

/// What a pin asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinRequest {
    /// This version.
    Version(VersionIndex),
    /// No version: `none`.
    Unpin,
    /// Anything else.
    Unknown,
}

impl PinRequest {
    /// What `value` (a header's, a cookie's, a parameter's) asks for.
    #[must_use]
    pub fn of(value: &[u8], rollout: &Rollout) -> Self {
        match rollout.version(value) {
            Some(version) => Self::Version(version),
            None if value == b"none" => Self::Unpin,
            None => Self::Unknown,
        }
    }
}

/// Whether `value` could be a version's name: of the same cookie twice, the first
/// such one counts.
#[must_use]
pub fn is_well_formed(value: &[u8]) -> bool {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    (1..=63).contains(&value.len())
        && value.iter().all(inner)
        && !value.starts_with(b"-")
        && !value.ends_with(b"-")
}

/// What the first parameter `name` with a value asks for, in the query of a
/// `:path`. Names and values are decoded from `application/x-www-form-urlencoded`.
#[must_use]
pub fn in_query(path: &[u8], name: &str, rollout: &Rollout) -> Option<PinRequest> {
    let query = path.get(without_query(path).len()..)?.strip_prefix(b"?")?;
    let end = memchr::memchr(b'#', query).unwrap_or(query.len());
    query.get(..end)?.split(|&b| b == b'&').find_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        let (key, value) = pair.split_at_checked(at)?;
        let value = value.strip_prefix(b"=").filter(|value| !value.is_empty())?;
        decoded(key).eq(name.bytes()).then(|| {
            PinRequest::of(
                &decoded(value).take(LONGEST_PIN).collect::<Vec<u8>>(),
                rollout,
            )
        })
    })
}

/// Enough to tell every request from what is longer.
const LONGEST_PIN: usize = 64;

/// The bytes of a query's part: `+` is a space, `%41` is `A`; a `%` without two
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

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::bucket::{Salted, WeightTotal};

    fn rollout() -> Rollout {
        Rollout {
            name: "a".into(),
            versions: vec!["blue".into(), "green".into()],
            weight_total: WeightTotal::new(100),
            salted: Salted::new(b"a"),
        }
    }

    #[test]
    fn a_pin_request_is_a_version_or_none_to_the_letter() {
        let rollout = rollout();
        let request = |value: &[u8]| PinRequest::of(value, &rollout);
        assert_eq!(request(b"green"), PinRequest::Version(VersionIndex(1)));
        assert_eq!(request(b"none"), PinRequest::Unpin);
        for other in [&b""[..], b"Green", b" green", b"greenish", b"NONE", b"\xff"] {
            assert_eq!(request(other), PinRequest::Unknown, "{other:?}");
        }
    }

    #[test]
    fn the_first_parameter_with_a_value_is_a_pin() {
        let rollout = rollout();
        let green = Some(PinRequest::Version(VersionIndex(1)));
        let rows = [
            ("/?version-pin=green", green),
            ("/a/b?x=1&version-pin=green&y", green),
            ("/?version-pin=green#version-pin=blue", green),
            ("/?version-pin=&version-pin=green", green),
            ("/?version-pin&version-pin=green", green),
            ("/?version-pin=green&version-pin=blue", green),
            ("/?version-pin=gr%65en", green),
            ("/?version%2Dpin=%67%72%65%65%6E", green),
            ("/?version-pin=none", Some(PinRequest::Unpin)),
            ("/?version-pin=purple", Some(PinRequest::Unknown)),
            ("/?version-pin=green+", Some(PinRequest::Unknown)),
            ("/?version-pin=green%00", Some(PinRequest::Unknown)),
            ("/?version-pin=%zz", Some(PinRequest::Unknown)),
            ("/?version-pin=green%6", Some(PinRequest::Unknown)),
            ("/?version-pin=green=", Some(PinRequest::Unknown)),
            ("/?Version-Pin=green", None),
            ("/?version-pin", None),
            ("/?version-pin=", None),
            ("/?", None),
            ("/version-pin=green", None),
            ("/#?version-pin=green", None),
            ("", None),
        ];
        for (path, request) in rows {
            let found = in_query(path.as_bytes(), "version-pin", &rollout);
            assert_eq!(found, request, "{path}");
        }
    }

    #[test]
    fn only_the_form_of_a_name_is_well_formed() {
        for good in ["a", "green", "v-1", &"x".repeat(63)] {
            assert!(is_well_formed(good.as_bytes()), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a b", "\u{e9}", &"x".repeat(64)] {
            assert!(!is_well_formed(bad.as_bytes()), "{bad}");
        }
    }
}
