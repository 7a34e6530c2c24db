//! What a route asks of a request.

use super::{Headers, Side, values};
use regex_lite::Regex;

/// A condition that a request meets or not.
#[derive(Debug)]
pub enum Condition {
    /// A header, or one of Envoy's pseudo headers, has such a value.
    Header(String, Text),
    /// A header is there.
    Present(String),
    /// The path without its query is such a text; `true`: whatever the case.
    Path(Text, bool),
    /// The path is this one, or lies below it (`PathPrefix` of the Gateway API).
    Below(String),
    /// A parameter of the query has such a value.
    Parameter(String, Text),
    /// The other condition is not met.
    Not(Box<Condition>),
    /// The request comes by this gateway, or, with `mesh`, by no gateway.
    Gateway(Vec<String>),
    /// The caller's namespace is this one.
    CallerNamespace(String),
    /// Something that a request does not show, in the words of the route.
    Unknown(String),
}

/// What a text must be.
#[derive(Debug)]
pub enum Text {
    /// This one.
    Exact(String),
    /// One that begins so.
    Prefix(String),
    /// One that fits as a whole; `None`: the expression is none.
    Regex(Option<Regex>),
}

impl Text {
    /// Returns the texts that fit an expression as a whole, as Envoy's RE2 does it.
    #[must_use]
    pub fn regex(expression: &str) -> Self {
        Self::Regex(Regex::new(&format!("^(?:{expression})$")).ok())
    }

    /// Returns a text that fits; `None`: it takes an expression apart to know one.
    #[must_use]
    pub fn example(&self) -> Option<&str> {
        match self {
            Self::Exact(text) | Self::Prefix(text) => Some(text),
            Self::Regex(_) => None,
        }
    }

    fn fits(&self, value: &[u8], ignores_case: bool) -> bool {
        let lower = |text: &str| text.to_ascii_lowercase();
        match self {
            Self::Exact(text) if ignores_case => value.eq_ignore_ascii_case(text.as_bytes()),
            Self::Exact(text) => value == text.as_bytes(),
            Self::Prefix(text) if ignores_case => value
                .to_ascii_lowercase()
                .starts_with(lower(text).as_bytes()),
            Self::Prefix(text) => value.starts_with(text.as_bytes()),
            Self::Regex(regex) => {
                let value = std::str::from_utf8(value).ok();
                let regex = regex.as_ref();
                regex.is_some_and(|regex| value.is_some_and(|value| regex.is_match(value)))
            }
        }
    }
}

impl Condition {
    /// Returns the words for what a request does not show, and is taken for met.
    #[must_use]
    pub fn unknown(&self) -> Option<&str> {
        match self {
            Self::Unknown(words) => Some(words),
            Self::Not(other) => other.unknown(),
            _ => None,
        }
    }

    /// Returns whether a request meets it on one side of the mesh.
    #[must_use]
    pub fn holds(&self, request: &Headers, side: &Side) -> bool {
        let path = || {
            let path = values(request, ":path").next().unwrap_or_default();
            bluegreen::core::pin::without_query(path)
        };
        match self {
            // Envoy compares the values of several fields as one, with commas between them.
            Self::Header(name, text) => {
                let all: Vec<&[u8]> = values(request, name).collect();
                !all.is_empty() && text.fits(&all.join(&b','), false)
            }
            Self::Present(name) => values(request, name).next().is_some(),
            Self::Path(text, ignores_case) => text.fits(path(), *ignores_case),
            Self::Below(prefix) => {
                let rest = path().strip_prefix(prefix.trim_end_matches('/').as_bytes());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
            }
            Self::Parameter(name, text) => {
                let whole = values(request, ":path").next().unwrap_or_default();
                let query = whole.get(path().len()..).unwrap_or_default();
                let query = query.strip_prefix(b"?").unwrap_or(query);
                let mut pairs = query.split(|&b| b == b'&').map(|pair| {
                    let at = pair.iter().position(|&b| b == b'=').unwrap_or(pair.len());
                    let (key, value) = pair.split_at(at);
                    (key, value.strip_prefix(b"=").unwrap_or(value))
                });
                let value = pairs.find(|(key, _)| *key == name.as_bytes());
                value.is_some_and(|(_, value)| text.fits(value, false))
            }
            Self::Not(other) => other.unknown().is_some() || !other.holds(request, side),
            Self::Gateway(names) => {
                let is_mesh = |name: &String| name == "mesh";
                match side {
                    Side::Gateway => !names.iter().all(is_mesh),
                    Side::Caller(_) => names.iter().any(is_mesh),
                }
            }
            Self::CallerNamespace(namespace) => match side {
                Side::Gateway => false,
                Side::Caller(of_caller) => of_caller == namespace,
            },
            Self::Unknown(_) => true,
        }
    }
}
