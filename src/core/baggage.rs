//! The members of a request's W3C baggage that are ours: read, written, and nothing else
//! of it touched.
//!
//! Applications with an OpenTelemetry agent pass `baggage` on by themselves, so what
//! stands there reaches every service down the chain. Members are separated by commas,
//! in one line or in several; behind a `;` a member has properties, which ours have not.
//! Our values are of a-z, 0-9, `-`, `_` and `.`, which no agent encodes.

use super::edit::Edit;
use super::headers::Headers;
use super::pin::hex;
use std::iter;

/// The request header.
pub const HEADER: &str = "baggage";

/// The most members of a header that every proxy has to pass on (W3C Baggage 3.3.2).
pub const MOST_MEMBERS: usize = 64;

/// The most bytes of it.
pub const MOST_BYTES: usize = 8192;

/// The keys of our members. They differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// The key of the member that carries a pin; `None`: none does.
    pub pin: Option<Box<str>>,
    /// The key of the member that carries a bucket; `None`: none does.
    pub bucket: Option<Box<str>>,
}

/// Values of our members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Members<'h> {
    /// That of a pin.
    pub pin: Option<&'h [u8]>,
    /// That of a bucket.
    pub bucket: Option<&'h [u8]>,
}

/// The baggage of a request.
#[derive(Debug)]
pub struct Baggage<'h> {
    keys: &'h Keys,
    headers: &'h Headers<'h>,
    /// The first value of each member of ours.
    pub ours: Members<'h>,
    /// How many members of ours there are.
    number_of_ours: usize,
    /// How many lines there are.
    lines: usize,
    /// The first line, if it is the only one, has none of ours and is as it would be written.
    to_keep: Option<&'h [u8]>,
    /// How many members there are.
    number: usize,
}

/// What becomes of the baggage.
#[derive(Debug, PartialEq, Eq)]
pub struct Written {
    /// What becomes of the header.
    pub edit: Edit<Vec<u8>>,
    /// Whether there was no room for all that should be in it.
    pub is_full: bool,
}

impl<'h> Baggage<'h> {
    /// Reads the baggage of a request.
    #[must_use]
    pub fn read(keys: &'h Keys, headers: &'h Headers<'h>) -> Self {
        let mut baggage = Self {
            keys,
            headers,
            ours: Members::default(),
            number_of_ours: 0,
            lines: 0,
            to_keep: None,
            number: 0,
        };
        for line in headers.all(HEADER) {
            baggage.lines = baggage.lines.saturating_add(1);
            let mut written = 0_usize;
            for member in members(line) {
                baggage.number = baggage.number.saturating_add(1);
                // With a comma before it.
                written = written.saturating_add(member.len()).saturating_add(1);
                let Some((kind, value)) = keys.of(member) else {
                    continue;
                };
                let first = match kind {
                    Kind::Pin => &mut baggage.ours.pin,
                    Kind::Bucket => &mut baggage.ours.bucket,
                };
                *first = first.or(Some(value));
                baggage.number_of_ours = baggage.number_of_ours.saturating_add(1);
            }
            let is_as_written = written == line.len().saturating_add(1);
            let is_alone = baggage.lines == 1 && baggage.number_of_ours == 0;
            baggage.to_keep = Some(line).filter(|_| is_alone && is_as_written);
        }
        baggage
    }

    /// Returns what gives the baggage these members of ours, as far as they have a key, and
    /// no others of ours. Members of others stay as they are, in order; several lines become
    /// one. Ours come last, each unless the header would become longer than a proxy has to
    /// pass on.
    #[must_use]
    pub fn with(&self, ours: Members<'_>) -> Written {
        let Keys { pin, bucket } = self.keys;
        let ours = Members {
            pin: ours.pin.filter(|_| pin.is_some()),
            bucket: ours.bucket.filter(|_| bucket.is_some()),
        };
        let wanted = [(pin, ours.pin), (bucket, ours.bucket)];
        let wanted = wanted.iter().filter_map(|(key, value)| {
            let key = key.as_ref()?;
            Some((key.as_bytes(), (*value)?))
        });
        if self.ours == ours && self.number_of_ours == wanted.clone().count() {
            return Written {
                edit: Edit::Keep,
                is_full: false,
            };
        }
        let mut line = Vec::with_capacity(128);
        let mut number = 0_usize;
        if let Some(all) = self.to_keep {
            line.extend_from_slice(all);
            number = self.number;
        }
        // Most requests have none to look for, and are not looked through once more.
        let is_done = self.lines == 0 || self.to_keep.is_some();
        let lines = (!is_done).then(|| self.headers.all(HEADER));
        for member in lines.into_iter().flatten().flat_map(members) {
            if self.number_of_ours == 0 || self.keys.of(member).is_none() {
                append(&mut line, &[member]);
                number = number.saturating_add(1);
            }
        }
        let (mut is_full, mut is_new) = (false, self.number_of_ours > 0);
        for (key, value) in wanted {
            let length = [line.len(), key.len(), value.len(), 2]
                .iter()
                .sum::<usize>();
            if number >= MOST_MEMBERS || length > MOST_BYTES {
                is_full = true;
            } else {
                append(&mut line, &[key, b"=", value]);
                number = number.saturating_add(1);
                is_new = true;
            }
        }
        let edit = match self.lines {
            _ if !is_new => Edit::Keep,
            0 => Edit::Add(line),
            _ if line.is_empty() => Edit::Remove,
            _ => Edit::Set(line),
        };
        Written { edit, is_full }
    }
}

/// Which of our members.
#[derive(Clone, Copy)]
enum Kind {
    Pin,
    Bucket,
}

impl Keys {
    /// Returns which member of ours this is, and its value without properties; `None`: it
    /// is none of ours.
    fn of<'m>(&self, member: &'m [u8]) -> Option<(Kind, &'m [u8])> {
        let fits = |name: &Option<Box<str>>| {
            let name = name.as_ref();
            name.is_some_and(|name| name.len() < member.len())
        };
        if !fits(&self.pin) && !fits(&self.bucket) {
            return None;
        }
        let at = memchr::memchr(b'=', member)?;
        let (key, value) = member.split_at_checked(at)?;
        let key = key.trim_ascii_end();
        let is = |name: &Option<Box<str>>| {
            let name = name.as_ref();
            name.is_some_and(|name| means(key, name.as_bytes()))
        };
        let kind = if is(&self.pin) {
            Kind::Pin
        } else if is(&self.bucket) {
            Kind::Bucket
        } else {
            return None;
        };
        let value = value.get(1..)?;
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        Some((kind, value.get(..end)?.trim_ascii()))
    }
}

/// Returns the members of a line, without the blanks around them.
fn members(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(line);
    let pieces = iter::from_fn(move || {
        let all = rest?;
        let end = memchr::memchr(b',', all);
        let (piece, behind) = all.split_at_checked(end.unwrap_or(all.len()))?;
        rest = end.and_then(|_| behind.get(1..));
        Some(piece.trim_ascii())
    });
    pieces.filter(|member| !member.is_empty())
}

/// Returns whether an application behind may take this key for `name`, which is of a-z,
/// 0-9, `-`, `_` and `.`.
#[inline(never)] // Else it is there twice.
fn means(key: &[u8], name: &[u8]) -> bool {
    match key.len().checked_sub(name.len()) {
        None => false,
        Some(0) => key.eq_ignore_ascii_case(name),
        Some(_) => is_disguised(key, name),
    }
}

/// Returns whether a key longer than `name` becomes it on the way. Agents decode keys and
/// write them anew; Python's also takes a `+` for a blank, and what Unicode calls one
/// from both ends.
#[inline(never)]
fn is_disguised(key: &[u8], name: &[u8]) -> bool {
    let is_plain = |b: &u8| b.is_ascii_graphic() && *b != b'%' && *b != b'+';
    if key.iter().all(is_plain) {
        return false;
    }
    // As often as it can be decoded: what one agent leaves the next one may decode.
    let mut decoded: Vec<u8> = Vec::with_capacity(key.len());
    for &byte in key {
        decoded.push(byte);
        while let [.., b'%', high, low] = decoded.as_slice()
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            decoded.truncate(decoded.len().saturating_sub(3));
            decoded.push(high.rotate_left(4) | low);
        }
    }
    let is_blank = |b: &u8| !b.is_ascii_graphic() || *b == b'+';
    let begin = decoded.iter().position(|b| !is_blank(b));
    let end = decoded.iter().rposition(|b| !is_blank(b));
    let (Some(begin), Some(end)) = (begin, end) else {
        return false;
    };
    let inner = decoded.get(begin..=end);
    inner.is_some_and(|inner| inner.eq_ignore_ascii_case(name))
}

/// Puts a member behind the others.
fn append(line: &mut Vec<u8>, parts: &[&[u8]]) {
    if !line.is_empty() {
        line.push(b',');
    }
    for part in parts {
        line.extend_from_slice(part);
    }
}
