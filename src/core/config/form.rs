//! The forms of texts: each in words, as code, and as a regular expression for the
//! JSON Schema.

use super::check::Form;
use std::net::Ipv6Addr;
use std::ops::RangeInclusive;

/// A cookie's name: a token (RFC 6265bis 4.1.1).
pub(super) struct CookieName;

impl Form for CookieName {
    const WORDS: &'static str =
        "a cookie name (letters, digits and !#$%&'*+-.^_`|~, 1 to 256 characters)";
    const BYTES: RangeInclusive<usize> = 1..=256;

    fn fits(name: &str) -> bool {
        name.bytes().all(is_token)
    }

    fn pattern() -> String {
        "^[0-9A-Za-z!#$%&'*+.^_`|~-]+$".to_owned()
    }
}

/// The name of a query parameter: unreserved characters (RFC 3986 2.3).
pub(super) struct ParameterName;

impl Form for ParameterName {
    const WORDS: &'static str = "a parameter name (letters, digits and -._~, 1 to 256 characters)";
    const BYTES: RangeInclusive<usize> = 1..=256;

    fn fits(name: &str) -> bool {
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        name.bytes().all(unreserved)
    }

    fn pattern() -> String {
        "^[0-9A-Za-z._~-]+$".to_owned()
    }
}

/// A cookie's Path attribute (RFC 6265bis 5.6: browsers ignore longer attributes).
pub(super) struct CookiePath;

impl Form for CookiePath {
    const WORDS: &'static str =
        "a cookie path (starts with '/', visible ASCII but ';', at most 1024 characters)";
    const BYTES: RangeInclusive<usize> = 1..=1024;

    fn fits(path: &str) -> bool {
        path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b';')
    }

    fn pattern() -> String {
        "^/[!-:<-~]*$".to_owned()
    }
}

/// A cookie's Domain attribute: a host name, or empty for a host-only cookie.
pub(super) struct CookieDomain;

impl Form for CookieDomain {
    const WORDS: &'static str = "a domain (a host name such as shop.example, or \"\")";
    const BYTES: RangeInclusive<usize> = 0..=LONGEST_HOST_NAME;

    fn fits(domain: &str) -> bool {
        domain.is_empty() || is_host_name(domain)
    }

    fn pattern() -> String {
        format!("^({})?$", host_name())
    }
}

/// A host to match: a name, `*.` and a name, or an address; no port. Becomes lower case.
pub(super) struct Host;

impl Form for Host {
    const WORDS: &'static str =
        "a host (a name such as shop.example or *.shop.example, without a port)";
    const BYTES: RangeInclusive<usize> = 1..=LONGEST_HOST_NAME + 2;

    fn fits(host: &str) -> bool {
        let address = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        is_host_name(host.strip_prefix("*.").unwrap_or(host))
            || address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
    }

    fn pattern() -> String {
        format!("^((\\*\\.)?{}|\\[{}\\])$", host_name(), ipv6_address())
    }

    fn and_pattern() -> Option<String> {
        Some(format!("^(\\*\\.)?[^*]{{1,{LONGEST_HOST_NAME}}}$"))
    }

    fn value(host: &str) -> Box<str> {
        host.to_ascii_lowercase().into()
    }
}

/// A plain prefix of a path without its query.
pub(super) struct PathPrefix;

impl Form for PathPrefix {
    const WORDS: &'static str = "a path prefix (starts with '/', visible ASCII but '?' and '#', at \
                                 most 1024 characters)";
    const BYTES: RangeInclusive<usize> = 1..=1024;

    fn fits(prefix: &str) -> bool {
        let visible = |b: u8| b.is_ascii_graphic() && b != b'?' && b != b'#';
        prefix.starts_with('/') && prefix.bytes().all(visible)
    }

    fn pattern() -> String {
        "^/[!\"$->@-~]*$".to_owned()
    }
}

/// The name of a rollout of the configuration, which its owner chooses. It can be a host.
pub(super) struct RolloutName;

impl Form for RolloutName {
    const WORDS: &'static str = "a rollout name (letters, digits, '-', '_' and '.', 1 to 253)";
    const BYTES: RangeInclusive<usize> = 1..=LONGEST_HOST_NAME;

    fn fits(name: &str) -> bool {
        name.bytes().all(is_label_byte)
    }

    fn pattern() -> String {
        "^[0-9A-Za-z._-]+$".to_owned()
    }
}

/// The key of a member of baggage: characters that no agent encodes.
pub(super) struct BaggageKey;

impl Form for BaggageKey {
    const WORDS: &'static str =
        "a baggage key (lowercase letters, digits and -._, 1 to 64 characters)";
    const BYTES: RangeInclusive<usize> = 1..=64;

    fn fits(key: &str) -> bool {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b);
        key.bytes().all(inner)
    }

    fn pattern() -> String {
        "^[0-9a-z._-]+$".to_owned()
    }
}

/// What users are dealt by.
pub(super) struct Salt;

impl Form for Salt {
    const WORDS: &'static str = "a salt (text of 1 to 256 bytes without control characters)";
    const BYTES: RangeInclusive<usize> = 1..=256;

    fn fits(salt: &str) -> bool {
        !salt.chars().any(char::is_control)
    }

    fn pattern() -> String {
        "^[^\\x00-\\x1f\\x7f-\\x9f]+$".to_owned()
    }
}

/// A text that can stand in a log.
pub(super) struct PlainText;

impl Form for PlainText {
    const WORDS: &'static str = "a text of 1 to 256 visible ASCII characters and spaces";
    const BYTES: RangeInclusive<usize> = 1..=256;

    fn fits(text: &str) -> bool {
        text.bytes().all(|b| matches!(b, b' '..=b'~'))
    }

    fn pattern() -> String {
        "^[ -~]+$".to_owned()
    }
}

/// The key of a pod's label: a name of at most 63 characters, optionally with a
/// DNS prefix and `/` before it (Kubernetes: syntax of labels).
pub(super) struct LabelKey;

impl Form for LabelKey {
    const WORDS: &'static str = "the key of a pod's label (such as version or app.example/version)";
    const BYTES: RangeInclusive<usize> = 1..=LONGEST_HOST_NAME + 1 + 63;

    fn fits(key: &str) -> bool {
        let is_name = |name: &str| {
            (1..=63).contains(&name.len())
                && name.bytes().all(is_label_byte)
                && name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        };
        match key.split_once('/') {
            Some((prefix, name)) => is_host_name(prefix) && is_name(name),
            None => is_name(key),
        }
    }

    fn pattern() -> String {
        let name = "[0-9A-Za-z]([0-9A-Za-z._-]{0,61}[0-9A-Za-z])?";
        format!("^({}/)?{name}$", host_name())
    }

    fn and_pattern() -> Option<String> {
        Some(format!("^([^/]{{1,{LONGEST_HOST_NAME}}}/)?[^/]+$"))
    }
}

/// The most characters of a host name (RFC 1123 2.1).
const LONGEST_HOST_NAME: usize = 253;

/// Whether this is a host name: labels of letters, digits, `-` and `_` (RFC 1123 2.1;
/// `_` because Kubernetes and browsers let it pass). IPv4 addresses have this form, too.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= LONGEST_HOST_NAME && name.split('.').all(is_label)
}

/// Returns the regular expression of [`is_host_name`], but for the length of the whole.
fn host_name() -> String {
    let label = "[0-9A-Za-z_]([0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?";
    format!("{label}(\\.{label})*")
}

/// Returns the regular expression of an IPv6 address (RFC 3986 3.2.2).
fn ipv6_address() -> String {
    let group = "[0-9A-Fa-f]{1,4}";
    let number = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])";
    let last = format!("({group}:{group}|({number}\\.){{3}}{number})");
    let mut forms = vec![
        format!("({group}:){{6}}{last}"),
        format!("::({group}:){{5}}{last}"),
    ];
    for (before, behind) in (0..=4).zip((0..=4).rev()) {
        let before = format!("(({group}:){{0,{before}}}{group})?");
        forms.push(format!("{before}::({group}:){{{behind}}}{last}"));
    }
    forms.push(format!("(({group}:){{0,5}}{group})?::{group}"));
    forms.push(format!("(({group}:){{0,6}}{group})?::"));
    format!("({})", forms.join("|"))
}

/// A character of a token (RFC 9110 5.6.2).
pub(super) fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// A character of a label of Kubernetes.
fn is_label_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.".contains(&b)
}
