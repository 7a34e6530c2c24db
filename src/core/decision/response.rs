//! What becomes of a response: what it says, and as what it counts.

use super::{Choice, Edit, Memory, PinCookie};
use crate::core::config::{Config, When};
use crate::core::facts::ResponseFacts;
use crate::core::metrics::{Counted, Reason, Served};
use crate::core::rollout::{Rollout, VersionIndex};

/// What to do with a response.
#[derive(Debug, PartialEq, Eq)]
pub struct ResponseDecision<'c> {
    /// The tag header.
    pub tag: Edit<&'c str>,
    /// What the tester is told in the pin header's response twin.
    pub told: Option<String>,
    /// `Set-Cookie` lines to add.
    pub cookies: Vec<Vec<u8>>,
    /// What did not hold, to be counted.
    pub rejected: Vec<Reason>,
    /// The response, to be counted; a server counts none.
    pub counted: Option<Counted>,
}

impl Default for ResponseDecision<'_> {
    fn default() -> Self {
        Self {
            tag: Edit::Keep,
            told: None,
            cookies: Vec::new(),
            rejected: Vec::new(),
            counted: None,
        }
    }
}

/// Decides about the response to a request that [`request`] decided about.
pub fn response<'c>(
    config: &'c Config,
    own_version: Option<&'c str>,
    memory: Memory,
    facts: &impl ResponseFacts,
) -> ResponseDecision<'c> {
    match memory {
        Memory::Server => tag_own(config, own_version, facts),
        Memory::Outbound(choice) => answer(config, choice, facts),
    }
}

/// A gateway's or a client's response.
fn answer<'c>(
    config: &'c Config,
    choice: Choice,
    facts: &impl ResponseFacts,
) -> ResponseDecision<'c> {
    let Some(rollout) = config.rollouts.get(choice.rollout) else {
        return ResponseDecision::default();
    };
    let upstream_tag = facts.header(&config.tag.header);
    let served = match upstream_tag.as_deref() {
        None | Some(b"") => served_by_cluster(rollout, facts),
        Some(tag) => rollout.version(tag).map_or(Served::Other, Served::Version),
    };
    let shows = match config.tag.when {
        When::Always => true,
        When::Pinned => choice.pinned.is_some(),
        When::Never => false,
    };
    let tag = match (upstream_tag.as_deref(), served) {
        (Some(_), _) if !shows => Edit::Remove,
        (None | Some(b""), Served::Version(version)) if shows => {
            Edit::Set(rollout.version_name(version))
        }
        _ => Edit::Keep,
    };
    let mut rejected = Vec::new();
    let mut told = choice
        .refused
        .then(|| "rejected; reason=unknown-version".to_owned());
    if let Some(other) = choice
        .pinned
        .and_then(|pinned| other_than(pinned, served, rollout))
    {
        rejected.push(Reason::PinNotRouted);
        told = Some(format!("not-routed; served={other}"));
    }
    ResponseDecision {
        tag,
        told: told.filter(|_| choice.tells),
        cookies: cookies(config, &choice, rollout),
        rejected,
        counted: Some(Counted {
            rollout: choice.rollout,
            served,
            source: choice.source,
        }),
    }
}

/// The version by the name of the cluster, `outbound|80|SUBSET|host`, of a
/// response that an upstream gave.
fn served_by_cluster(rollout: &Rollout, facts: &impl ResponseFacts) -> Served {
    let from_upstream = facts
        .code_details()
        .is_some_and(|details| *details == *b"via_upstream");
    let version = || {
        let cluster = facts.cluster()?;
        rollout.version(cluster.split(|&b| b == b'|').nth(2)?)
    };
    from_upstream
        .then(version)
        .flatten()
        .map_or(Served::None, Served::Version)
}

/// The name of the version that served, when it was another than the pinned one.
fn other_than(pinned: VersionIndex, served: Served, rollout: &Rollout) -> Option<&str> {
    match served {
        Served::Version(version) if version != pinned => Some(rollout.version_name(version)),
        Served::Other => Some("other"),
        Served::Version(_) | Served::None => None,
    }
}

fn cookies(config: &Config, choice: &Choice, rollout: &Rollout) -> Vec<Vec<u8>> {
    let identity = choice
        .identity_cookie(config)
        .map(|(cookie, id)| cookie.line(&id, choice.https));
    let pin = choice
        .pin_cookie(config)
        .map(|(cookie, action)| match action {
            PinCookie::Remember(version) => {
                cookie.line(rollout.version_name(version).as_bytes(), choice.https)
            }
            PinCookie::Clear => cookie.clear(choice.https),
        });
    identity.into_iter().chain(pin).collect()
}

/// A server's response: its own version, unless the application said another.
fn tag_own<'c>(
    config: &'c Config,
    own_version: Option<&'c str>,
    facts: &impl ResponseFacts,
) -> ResponseDecision<'c> {
    let tag = own_version.map_or(Edit::Keep, |own| match facts.header(&config.tag.header) {
        None => Edit::Set(own),
        Some(tag) if tag.is_empty() => Edit::Set(own),
        Some(_) => Edit::Keep,
    });
    ResponseDecision {
        tag,
        ..ResponseDecision::default()
    }
}
