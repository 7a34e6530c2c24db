//! Which headers the fields of a configuration may name.

use super::VERSION_HEADER;
use super::check::{Allowed, Check, Form, Schema};
use super::form::is_token;
use super::tree::Tree;
use std::ops::RangeInclusive;

/// The name of a header: a lower-case token (RFC 9110 5.6.2).
struct HeaderName;

impl Form for HeaderName {
    const WORDS: &'static str =
        "a header name (lowercase letters, digits and '-', 1 to 256 characters)";
    const BYTES: RangeInclusive<usize> = 1..=256;

    fn fits(text: &str) -> bool {
        text.bytes().all(|b| is_token(b) && !b.is_ascii_uppercase())
    }

    fn pattern() -> String {
        "^[0-9a-z!#$%&'*+.^_`|~-]+$".to_owned()
    }
}

/// The name of a header that the filter or Envoy writes, which has no meaning of its
/// own.
pub(super) struct WrittenHeader;

impl Check for WrittenHeader {
    type Value = Box<str>;

    fn check(&self, tree: &Tree) -> Result<Box<str>, Allowed> {
        let name = HeaderName.check(tree)?;
        let begins = |prefix: &&str| name.starts_with(prefix);
        if WITH_A_MEANING.contains(&&*name) || FAMILIES.iter().any(begins) {
            return Err(format!(
                "a header without a meaning of its own (any but {}, and those that begin with {})",
                WITH_A_MEANING.join(", "),
                FAMILIES.join(", ")
            ));
        }
        Ok(name)
    }

    fn written(&self, value: &Box<str>) -> Tree {
        HeaderName.written(value)
    }

    fn schema(&self) -> Schema {
        let meaning = format!("#/$defs/{MEANING}");
        let not = Tree::map([("$ref", Tree::Text(meaning))]);
        let mut schema = HeaderName.schema();
        schema.push(("not".to_owned(), not));
        schema
    }

    fn words(&self) -> Option<&'static str> {
        Some(
            "a header name (lowercase letters, digits and '-', 1 to 256 characters) without a \
             meaning of its own, such as location or content-type",
        )
    }
}

/// The name of a header that is only read: any but `cookie`, whose value is no
/// identity.
pub(super) struct IdentityHeader;

impl Check for IdentityHeader {
    type Value = Box<str>;

    fn check(&self, tree: &Tree) -> Result<Box<str>, Allowed> {
        match HeaderName.check(tree)? {
            name if &*name == "cookie" => Err("a header that names a user (any but cookie)".into()),
            name => Ok(name),
        }
    }

    fn written(&self, value: &Box<str>) -> Tree {
        HeaderName.written(value)
    }

    fn schema(&self) -> Schema {
        let mut schema = HeaderName.schema();
        let not = Tree::map([("const", "cookie".into())]);
        schema.push(("not".to_owned(), not));
        schema
    }

    fn words(&self) -> Option<&'static str> {
        Some(HeaderName::WORDS)
    }
}

/// The name of the schema's definition of the headers with a meaning of their own.
const MEANING: &str = "headerWithAMeaning";

/// Returns the definition of the headers with a meaning of their own, for a JSON Schema.
#[cfg(not(target_family = "wasm"))]
pub(super) fn definition() -> (String, Tree) {
    let names = WITH_A_MEANING.iter().map(|name| Tree::from(*name));
    let names = Tree::map([("enum", Tree::List(names.collect()))]);
    let families = Tree::Text(format!("^({})", FAMILIES.join("|")));
    let families = Tree::map([("type", "string".into()), ("pattern", families)]);
    let description = "Headers in which a value of ours would change what clients, servers or \
                       proxies do.";
    let definition = Tree::map([
        ("title", "Headers with a meaning of their own".into()),
        ("description", description.into()),
        ("anyOf", Tree::List(vec![names, families])),
    ]);
    (MEANING.to_owned(), definition)
}

/// Headers in which a value of ours would change what clients, servers or proxies do:
/// hop-by-hop (RFC 9110 7.6.1), or with a meaning in HTTP, Fetch or tracing.
const WITH_A_MEANING: &[&str] = &[
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
    VERSION_HEADER,
    "x-http-method-override",
    "x-original-url",
    "x-real-ip",
    "x-request-id",
];

/// The beginnings of such headers' names.
const FAMILIES: &[&str] = &[
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
