//! What becomes of a response: what it says, and as what it counts.

use super::named::Asked;
use super::{Memory, PinCookie, Stranger};
use crate::core::cache_control;
use crate::core::config::{Config, IdentityCookie, Settings, When};
use crate::core::edit::Edit;
use crate::core::headers::Headers;
use crate::core::metrics::{Code, Counted, Reason};
use crate::core::properties::Properties;
use crate::core::route::{Route, Target, VIA_UPSTREAM};
use crate::core::set_cookie::SetCookie;
use crate::core::targets::{KnownTarget, Targets};
use crate::core::version::Version;
use std::borrow::Cow;

/// What to do with a response.
#[derive(Debug)]
pub struct ResponseDecision<'r> {
    /// The tag header.
    pub tag: Edit<&'r [u8]>,
    /// What the tester is told in the pin header's response twin.
    pub told: Option<String>,
    /// Whether no cache may keep the response.
    pub is_private: bool,
    /// `Set-Cookie` lines to add.
    pub cookies: Vec<Vec<u8>>,
    /// The response, to be counted.
    pub counted: Counted<'r>,
}

/// Decides about the response to a request that [`super::request()`] decided about.
/// `None`: it is none of ours, for its route does not take part. `targets` spares it
/// work, and changes nothing.
#[must_use]
pub fn response<'r>(
    config: &Config,
    memory: &Memory,
    headers: &Headers<'_>,
    properties: &impl Properties,
    targets: &'r mut Targets,
) -> Option<ResponseDecision<'r>> {
    let settings = config.settings(memory.settings);
    let proof = match memory.named {
        None => &config.route_header,
        Some(_) => UPSTREAM_TIME,
    };
    let [proof, tag, status] = headers.first_of([proof, &settings.tag.header, ":status"]);
    let code = Code::of_status(status.first);
    let (answered, target) = match &memory.named {
        None => of_marked(proof.first?, targets)?,
        Some(asked) => {
            let is_proved = proof.first.is_some() || tag.first.is_some();
            of_named(asked, is_proved, properties, targets)
        }
    };
    let version = target.version().filter(|_| answered);
    let mut rejected = memory.rejected;
    let pinned = memory.pinned.as_ref();
    let named = memory.named.as_ref();
    let without_pin = named.and_then(|asked| asked.without_pin(pinned, tag.first));
    if without_pin.is_some() {
        rejected.add(Reason::PinUnknownVersion);
    }
    let other = pinned
        .filter(|_| named.is_none_or(Asked::has_pinned))
        .and_then(|pinned| version.filter(|version| !version.answers_to(pinned)));
    if other.is_some() {
        rejected.add(Reason::PinNotRouted);
    }
    let told = memory.stranger.as_ref().and_then(|stranger| {
        let unknown = without_pin.is_some().then_some(Reason::PinUnknownVersion);
        if let Some(reason) = stranger.refused.or(unknown) {
            return Some(["rejected; reason=", reason.word()].concat());
        }
        other.map(|version| format!("not-routed; served={}", version.name()))
    });
    let is_private = memory.has_pin() || told.is_some();
    Some(ResponseDecision {
        tag: tag_of(settings, memory, version, tag.first),
        told,
        is_private,
        cookies: match &memory.stranger {
            Some(stranger) if stranger.gets_cookies() && answered => {
                if is_private || !is_for_shared_caches(headers) {
                    cookies(settings, memory, stranger, without_pin.is_none())
                } else {
                    Vec::new()
                }
            }
            _ => Vec::new(),
        },
        counted: target.counted(without_pin.unwrap_or(memory.source), code, rejected),
    })
}

/// Envoy's router writes it on each response that an upstream gave, over the upstream's
/// own, and on no other. Istio can switch it off.
const UPSTREAM_TIME: &str = "x-envoy-upstream-service-time";

/// Returns whether an upstream answered, and where the request went, by the route header;
/// `None` where it is not Envoy's.
fn of_marked<'r>(header: &[u8], targets: &'r mut Targets) -> Option<(bool, &'r KnownTarget)> {
    let route = Route::of_header(header)?;
    Some((route.answered, targets.know(route.target)))
}

/// Returns the same of a request whose route states weights; `is_proved`: the headers
/// prove that an upstream answered.
#[inline(never)] // Else routes that are marked pay for its frame.
fn of_named<'r>(
    asked: &Asked,
    is_proved: bool,
    properties: &impl Properties,
    targets: &'r mut Targets,
) -> (bool, &'r KnownTarget) {
    let is_upstreams = |details: Cow<'_, [u8]>| *details == *VIA_UPSTREAM;
    let answered = is_proved || properties.code_details().is_some_and(is_upstreams);
    let cluster = asked.cluster(answered, properties);
    (answered, targets.know(Target::new(&cluster)))
}

/// Returns what becomes of the tag: the upstream's own stays, else the version's is set.
fn tag_of<'r>(
    settings: &Settings,
    memory: &Memory,
    version: Option<Version<'r>>,
    of_upstream: Option<&[u8]>,
) -> Edit<&'r [u8]> {
    let shows = match settings.tag.when {
        When::Always => true,
        When::Pinned => memory.has_pin(),
        When::Never => false,
    };
    match (of_upstream, version) {
        (Some(_), _) if !shows => Edit::Remove,
        (None, Some(version)) if shows => Edit::Add(version.bytes()),
        (Some(b""), Some(version)) if shows => Edit::Set(version.bytes()),
        _ => Edit::Keep,
    }
}

/// Returns the `Set-Cookie` lines that a stranger gets; `pin_counts`: a version answers to
/// the pin.
fn cookies(
    settings: &Settings,
    memory: &Memory,
    stranger: &Stranger,
    pin_counts: bool,
) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    if let (Some(id), Some(IdentityCookie::Minted(cookie))) =
        (stranger.minted, &settings.identity.cookie)
    {
        lines.push(cookie.line(&id, stranger.https));
    }
    if let (Some(action), Some(cookie)) = (stranger.pin_cookie, settings.pin_cookie()) {
        match action {
            PinCookie::Remember if !pin_counts => {}
            PinCookie::Remember => lines.extend(pin_line(memory, cookie, stranger.https)),
            PinCookie::Clear => lines.extend(cookie.clear(stranger.https)),
        }
    }
    lines
}

/// Returns the line of the cookie that remembers the request's pin: the token where it is
/// signed, else what it asks for.
fn pin_line(memory: &Memory, cookie: &SetCookie, https: bool) -> Option<Vec<u8>> {
    if let Some(signed) = &memory.signed {
        let token = signed.token().bytes();
        return Some(cookie.line_for(token, signed.seconds_left, https));
    }
    if let Some(list) = &memory.list {
        return Some(cookie.line(&list.token(), https));
    }
    let version = memory.pinned.as_ref()?;
    Some(cookie.line(version, https))
}

/// Returns whether shared caches may keep the response as the upstream gave it.
fn is_for_shared_caches(headers: &Headers<'_>) -> bool {
    let mut values = headers.all("cache-control");
    values.any(cache_control::is_for_shared_caches)
}
