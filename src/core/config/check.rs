//! The checks of single values: from a [`Tree`] to a type, or to the words for
//! what is allowed. After them no request can fail on a value of the configuration.

use super::fields::Allowed;
use super::tree::Tree;
use std::ops::RangeInclusive;

type Checked<T> = Result<T, Allowed>;

/// A field name of HTTP that only this filter decides about: a lowercase
/// token (RFC 9110 5.6.2) of 1 to 256 characters.
pub(super) fn header_name(tree: &Tree) -> Checked<Box<str>> {
    /// Hop-by-hop (RFC 9110 7.6.1), or with a meaning that a value of ours would break.
    const RESERVED: [&str; 14] = [
        "connection",
        "content-length",
        "cookie",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let name = tree
        .text()
        .filter(|name| (1..=256).contains(&name.len()))
        .filter(|name| name.bytes().all(|b| is_token(b) && !b.is_ascii_uppercase()))
        .ok_or("a header name (lowercase letters, digits and '-', 1 to 256 characters)")?;
    if RESERVED.contains(&name) {
        return Err(format!(
            "a header that a filter may claim (any but {})",
            RESERVED.join(", ")
        ));
    }
    Ok(name.into())
}

/// `null`, or a header name.
pub(super) fn optional_header_name(tree: &Tree) -> Checked<Option<Box<str>>> {
    match tree {
        Tree::Null => Ok(None),
        tree => header_name(tree).map(Some),
    }
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
            "a host (a name such as shop.example or *.shop.example, without a port; leave hosts \
             out for every host)"
                .into()
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

/// What a name of a rollout must be.
pub(super) const ROLLOUT_NAME: &str = "a rollout name (lowercase letters, digits and '-')";

/// A rollout's name: a DNS label (RFC 1123), at most 63 characters.
pub(super) fn rollout_name(tree: &Tree) -> Checked<Box<str>> {
    label(tree, "a rollout name")
}

/// A version's name, the subset of a destination: a DNS label, and none of the
/// words with a meaning of their own (`none` unpins, `other` is a metric's label).
pub(super) fn version_name(tree: &Tree) -> Checked<Box<str>> {
    let name = label(tree, "a version name")?;
    if matches!(&*name, "none" | "other") {
        return Err("a version name (none and other have a meaning of their own)".into());
    }
    Ok(name)
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

fn label(tree: &Tree, what: &str) -> Checked<Box<str>> {
    let allowed = |why| Err(format!("{what} ({why})"));
    let Some(name) = tree.text() else {
        return allowed("lowercase letters, digits and '-'");
    };
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    if name.is_empty() || !name.bytes().all(inner) {
        allowed("lowercase letters, digits and '-'")
    } else if name.starts_with('-') || name.ends_with('-') {
        allowed("it starts and ends with a letter or a digit")
    } else if name.len() > 63 {
        allowed("at most 63 characters")
    } else {
        Ok(name.into())
    }
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
