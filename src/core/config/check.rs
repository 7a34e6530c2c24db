//! The checks of single values: from a [`Tree`] to a type, or to the words for
//! what is allowed. After them no request can fail on a value of the configuration.

use super::fields::Allowed;
use super::tree::Tree;
use std::ops::RangeInclusive;

type Checked<T> = Result<T, Allowed>;

/// The name of a header that the filter or Envoy writes: a lower-case token (RFC 9110
/// 5.6.2) of 1 to 256 characters, without a meaning of its own.
pub(super) fn header_name(tree: &Tree) -> Checked<Box<str>> {
    let name = token(tree)?;
    let begins = |prefix: &&str| name.starts_with(prefix);
    if HEADERS_WITH_A_MEANING.contains(&&*name) || HEADER_FAMILIES.iter().any(begins) {
        return Err(format!(
            "a header without a meaning of its own (any but {}, and those that begin with {})",
            HEADERS_WITH_A_MEANING.join(", "),
            HEADER_FAMILIES.join(", ")
        ));
    }
    Ok(name)
}

/// Headers in which a value of ours would change what clients, servers or proxies do:
/// hop-by-hop (RFC 9110 7.6.1), or with a meaning in HTTP, Fetch or tracing.
const HEADERS_WITH_A_MEANING: &[&str] = &[
    "accept",
    "age",
    "allow",
    "alt-svc",
    "authorization",
    "b3",
    "baggage",
    "cache-control",
    "connection",
    "cookie",
    "date",
    "dnt",
    "early-data",
    "etag",
    "expect",
    "expires",
    "forwarded",
    "from",
    "host",
    "http2-settings",
    "keep-alive",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "nel",
    "origin",
    "pragma",
    "priority",
    "range",
    "referer",
    "referrer-policy",
    "refresh",
    "report-to",
    "retry-after",
    "server",
    "server-timing",
    "set-cookie",
    "strict-transport-security",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "x-http-method-override",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
];

/// The beginnings of such headers' names.
const HEADER_FAMILIES: &[&str] = &[
    "accept-",
    "access-control-",
    "content-",
    "cross-origin-",
    "grpc-",
    "if-",
    "proxy-",
    "sec-",
    "x-b3-",
    "x-content-",
    "x-envoy-",
    "x-forwarded-",
    "x-frame-",
];

/// `null`, or the name of a header that is only read: any but `cookie`, whose value is
/// no identity.
pub(super) fn optional_identity_header(tree: &Tree) -> Checked<Option<Box<str>>> {
    match tree {
        Tree::Null => Ok(None),
        tree => match token(tree)? {
            name if &*name == "cookie" => Err("a header that names a user (any but cookie)".into()),
            name => Ok(Some(name)),
        },
    }
}

/// A lower-case field name of HTTP.
fn token(tree: &Tree) -> Checked<Box<str>> {
    tree.text()
        .filter(|name| (1..=256).contains(&name.len()))
        .filter(|name| name.bytes().all(|b| is_token(b) && !b.is_ascii_uppercase()))
        .map(Into::into)
        .ok_or_else(|| {
            "a header name (lowercase letters, digits and '-', 1 to 256 characters)".into()
        })
}

/// A cookie's name: a token (RFC 6265bis 4.1.1) of 1 to 256 characters.
pub(super) fn cookie_name(tree: &Tree) -> Checked<Box<str>> {
    tree.text()
        .filter(|name| (1..=256).contains(&name.len()) && name.bytes().all(is_token))
        .map(Into::into)
        .ok_or_else(|| {
            "a cookie name (letters, digits and !#$%&'*+-.^_`|~, 1 to 256 characters)".into()
        })
}

/// `null`, or the name of a query parameter: unreserved characters (RFC 3986 2.3).
pub(super) fn query_name(tree: &Tree) -> Checked<Option<Box<str>>> {
    let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    match tree {
        Tree::Null => Ok(None),
        Tree::Text(name) if (1..=256).contains(&name.len()) && name.bytes().all(unreserved) => {
            Ok(Some(name.as_str().into()))
        }
        _ => Err("a parameter name (letters, digits and -._~, 1 to 256 characters)".into()),
    }
}

/// A cookie's Path attribute: `/` and visible characters but `;`, at most 1024
/// (RFC 6265bis 5.6: longer attributes are ignored by browsers).
pub(super) fn cookie_path(tree: &Tree) -> Checked<Box<str>> {
    tree.text()
        .filter(|path| path.starts_with('/') && path.len() <= 1024)
        .filter(|path| path.bytes().all(|b| b.is_ascii_graphic() && b != b';'))
        .map(Into::into)
        .ok_or_else(|| {
            "a cookie path (starts with '/', visible ASCII but ';', at most 1024 characters)".into()
        })
}

/// A cookie's Domain attribute: a host name, or empty for a host-only cookie.
pub(super) fn cookie_domain(tree: &Tree) -> Checked<Box<str>> {
    tree.text()
        .filter(|domain| domain.is_empty() || is_host_name(domain))
        .map(Into::into)
        .ok_or_else(|| "a domain (a host name such as shop.example, or \"\")".into())
}

/// A host to match: a name, `*.` and a name, or an address; no port. Lowercased.
pub(super) fn host(tree: &Tree) -> Checked<Box<str>> {
    let is_host = |host: &str| {
        is_host_name(host.strip_prefix("*.").unwrap_or(host))
            || host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'))
                .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
    };
    tree.text()
        .filter(|host| is_host(host))
        .map(|host| host.to_ascii_lowercase().into())
        .ok_or_else(|| {
            "a host (a name such as shop.example or *.shop.example, without a port)".into()
        })
}

/// A plain prefix of a path: `/` and visible characters but `?` and `#`.
pub(super) fn path_prefix(tree: &Tree) -> Checked<Box<str>> {
    tree.text()
        .filter(|prefix| prefix.starts_with('/') && prefix.len() <= 1024)
        .filter(|prefix| {
            prefix
                .bytes()
                .all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#')
        })
        .map(Into::into)
        .ok_or_else(|| {
            "a path prefix (starts with '/', visible ASCII but '?' and '#', at most 1024 \
             characters)"
                .into()
        })
}

/// The name of a rollout of the configuration, which its owner chooses: 1 to 253
/// letters, digits, `-`, `_` and `.`, so that it can be a host.
pub(super) fn rollout_name(name: &str) -> Checked<()> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    ((1..=253).contains(&name.len()) && name.bytes().all(inner))
        .then_some(())
        .ok_or_else(|| "a rollout name (letters, digits, '-', '_' and '.', 1 to 253)".into())
}

/// A salt: 1 to 256 bytes without control characters.
pub(super) fn salt(tree: &Tree) -> Checked<Box<str>> {
    tree.text()
        .filter(|salt| (1..=256).contains(&salt.len()) && !salt.chars().any(char::is_control))
        .map(Into::into)
        .ok_or_else(|| "a salt (text of 1 to 256 bytes without control characters)".into())
}

/// The key of a pod's label: a name of at most 63 characters, optionally with a
/// DNS prefix and `/` before it (Kubernetes: syntax of labels).
pub(super) fn label_key(tree: &Tree) -> Checked<Box<str>> {
    let is_name = |name: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        (1..=63).contains(&name.len())
            && name.bytes().all(inner)
            && name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let is_key = |key: &str| match key.split_once('/') {
        Some((prefix, name)) => is_host_name(prefix) && is_name(name),
        None => is_name(key),
    };
    tree.text()
        .filter(|key| is_key(key))
        .map(Into::into)
        .ok_or_else(|| "the key of a pod's label (such as version or app.example/version)".into())
}

/// A whole number within `range`.
pub(super) fn whole(range: RangeInclusive<u32>) -> impl FnOnce(&Tree) -> Checked<u32> {
    move |tree| match tree {
        Tree::Whole(value) => u32::try_from(*value)
            .ok()
            .filter(|value| range.contains(value))
            .ok_or_else(|| whole_allowed(&range)),
        _ => Err(whole_allowed(&range)),
    }
}

/// `true` or `false`.
pub(super) fn flag(tree: &Tree) -> Checked<bool> {
    match tree {
        Tree::Bool(value) => Ok(*value),
        _ => Err("true or false".into()),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(words: &[(&str, T)]) -> impl FnOnce(&Tree) -> Checked<T> {
    move |tree| {
        words
            .iter()
            .find(|(word, _)| tree.text() == Some(word))
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                format!("one of {}", words.join(", "))
            })
    }
}

fn whole_allowed(range: &RangeInclusive<u32>) -> Allowed {
    format!("a whole number from {} to {}", range.start(), range.end())
}

/// A host name: labels of letters, digits, `-` and `_`, at most 253 characters
/// (RFC 1123 2.1; `_` because Kubernetes and browsers let it pass). IPv4
/// addresses have this form, too.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// A character of a token (RFC 9110 5.6.2).
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}
