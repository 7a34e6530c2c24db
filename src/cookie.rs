//! Reads cookies: the `Cookie` header of RFC 6265bis 5.8.3 as strangers write it.
//!
//! Names are compared with their case, values count without their quotes, and
//! what is no pair is skipped. Nothing is copied.

/// What stands between the cookies of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One header line: `a=1; b=2`.
    Line,
    /// Several header lines as Envoy's properties join them: `a=1; b=2,c=3`. A
    /// comma inside of a value ends it here.
    JoinedLines,
}

/// The cookies of `value` in order, each as the bytes between two separators,
/// without the white space before them.
pub fn pieces(value: &[u8], layout: Layout) -> impl Iterator<Item = &[u8]> {
    let other = match layout {
        Layout::Line => b';',
        Layout::JoinedLines => b',',
    };
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let current = rest?;
        let (piece, after) = match memchr::memchr2(b';', other, current) {
            Some(at) => (current.get(..at)?, at.checked_add(1)),
            None => (current, None),
        };
        rest = after.and_then(|after| current.get(after..));
        Some(piece.trim_ascii_start())
    })
}

/// The value of `piece`, one of [`pieces`], if it is a pair of this name:
/// without the white space around it and without quotes.
#[must_use]
pub fn value_of<'p>(piece: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let value = piece
        .strip_prefix(name.as_bytes())?
        .trim_ascii_start()
        .strip_prefix(b"=")?
        .trim_ascii();
    let unquoted = value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""));
    Some(unquoted.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<'v>(line: &'v [u8], layout: Layout, name: &str) -> Vec<&'v [u8]> {
        pieces(line, layout)
            .filter_map(|piece| value_of(piece, name))
            .collect()
    }

    #[test]
    fn odd_lines_give_what_browsers_and_servers_agree_on() {
        let rows: [(&[u8], &[&[u8]]); 16] = [
            (b"", &[]),
            (b"a=1", &[b"1"]),
            (b"b=2; a=1", &[b"1"]),
            (b"a=1;a=2", &[b"1", b"2"]),
            (b"A=1", &[]),
            (b"aa=1; ba=2", &[]),
            (b"a", &[]),
            (b"=a=1", &[]),
            (b"a=", &[b""]),
            (b"a==1", &[b"=1"]),
            (b" \ta = 1 ", &[b"1"]),
            (b"a=\"1\"", &[b"1"]),
            (b"a=\"1", &[b"\"1"]),
            (b"a=\"", &[b"\""]),
            (b";;; a=\xff\x00;", &[b"\xff\x00"]),
            (b"b=1,a=2", &[]),
        ];
        for (line, expected) in rows {
            assert_eq!(values(line, Layout::Line, "a"), expected, "{line:?}");
        }
    }

    #[test]
    fn joined_lines_are_split_at_commas_too() {
        let joined = b"b=1; c=2,a=3,d=4; a=5";
        assert_eq!(
            values(joined, Layout::JoinedLines, "a"),
            [b"3".as_slice(), b"5"]
        );
    }
}
