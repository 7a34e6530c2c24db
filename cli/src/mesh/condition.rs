//! What a route asks of a request.

use super::{Facts, Headers, Side, values};
use regex_lite::Regex;
use std::rc::Rc;

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
    Gateway(Rc<Vec<String>>),
    /// The request comes to this port.
    Port(u64),
    /// The caller's namespace is this one.
    CallerNamespace(String),
    /// The caller's pod has this label.
    CallerLabel(String, String),
    /// A claim of the request's token has such a value.
    Claim(String, Text),
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
    /// Returns the words for what nobody says of a request, and is taken for met.
    #[must_use]
    pub fn unknown(&self, facts: &Facts) -> Option<String> {
        let told = &facts.told;
        match self {
            Self::Port(_) if told.port.is_none() => Some("port".to_owned()),
            Self::CallerLabel(key, _) if told.label(key).is_none() && !is_waypoint(facts) => {
                Some(format!("sourceLabels {key} (no --caller-label)"))
            }
            Self::Claim(name, _) if told.claim(name).is_none() => {
                Some(format!("the claim {name} (no --claim)"))
            }
            Self::Unknown(words) => Some(words.clone()),
            Self::Not(other) => other.unknown(facts),
            _ => None,
        }
    }

    /// Returns whether it asks who the caller is.
    #[must_use]
    pub fn is_of_caller(&self) -> bool {
        matches!(self, Self::CallerNamespace(_) | Self::CallerLabel(..))
    }

    /// Returns whether a request meets it.
    #[must_use]
    pub fn holds(&self, request: &Headers, facts: &Facts) -> bool {
        if self.unknown(facts).is_some() {
            return true;
        }
        let (side, told) = (&facts.side, &facts.told);
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
            Self::Not(other) => !other.holds(request, facts),
            Self::Gateway(names) => {
                let is_mesh = |name: &String| name == "mesh";
                match side {
                    Side::Gateway => !names.iter().all(is_mesh),
                    Side::Caller(_) | Side::Waypoint { .. } => names.iter().any(is_mesh),
                }
            }
            Self::Port(port) => told.port == Some(*port),
            Self::CallerNamespace(namespace) => match side {
                Side::Gateway => false,
                // To a waypoint it is its own.
                Side::Caller(own) | Side::Waypoint { namespace: own, .. } => own == namespace,
            },
            // In a waypoint Istio leaves out what asks for labels.
            Self::CallerLabel(key, value) => !is_waypoint(facts) && told.label(key) == Some(value),
            Self::Claim(name, text) => {
                let values = told.claim(name).unwrap_or_default();
                values
                    .iter()
                    .any(|value| text.fits(value.as_bytes(), false))
            }
            Self::Unknown(_) => true,
        }
    }
}

fn is_waypoint(facts: &Facts) -> bool {
    matches!(facts.side, Side::Waypoint { .. })
}
