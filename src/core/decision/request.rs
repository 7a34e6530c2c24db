//! What becomes of a request: where it is routed, and why.

use super::{Choice, Edit, Memory, PinCookie};
use crate::core::bucket::Bucket;
use crate::core::config::Config;
use crate::core::facts::RequestFacts;
use crate::core::headers::Headers;
use crate::core::metrics::{Reason, Source};
use crate::core::pin::{self, PinRequest};
use crate::core::role::Role;
use crate::core::rollout::Rollout;
use crate::core::user::{RequestCookies, User, identify};

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestDecision<'c> {
    /// The pin header, by which the `VirtualService`'s pin routes match.
    pub pin: Edit<&'c str>,
    /// The bucket header, by which Envoy's weighted route picks.
    pub bucket: Edit<Bucket>,
    /// What did not count, to be counted.
    pub rejected: Vec<Reason>,
    /// What the response's decision needs to know.
    pub memory: Memory,
}

/// Decides about a request. `None`: no rollout matches, and nothing is touched.
///
/// `own_version` is the pod's own version, which only a server needs.
pub fn request<'c>(
    config: &'c Config,
    role: Role,
    own_version: Option<&str>,
    facts: &impl RequestFacts,
) -> Option<RequestDecision<'c>> {
    let place = config
        .rollouts
        .find(|| facts.header(":authority"), || facts.header(":path"))?;
    let rollout = config.rollouts.get(place)?;
    Some(match role {
        Role::Server => serve(config, rollout, own_version, facts),
        Role::Gateway => route_stranger(config, place, rollout, facts),
        Role::Client => route_workload(config, place, rollout, facts.headers()),
    })
}

/// A gateway's request: its caller is a stranger, whose bucket never counts.
fn route_stranger<'c>(
    config: &'c Config,
    place: u16,
    rollout: &'c Rollout,
    facts: &impl RequestFacts,
) -> RequestDecision<'c> {
    let headers = facts.headers();
    let asked =
        pin_in_header(config, rollout, headers).or_else(|| pin_in_query(config, rollout, headers));
    let (user, cookies) = match asked {
        Some((_, PinRequest::Version(_))) => (User::Unknown, RequestCookies::default()),
        _ => identify(config, rollout, asked.is_none(), headers),
    };
    let asked = asked.or(cookies.pin.map(|request| (Source::PinCookie, request)));

    let mut rejected = Vec::new();
    let mut choice = Choice::new(place, true);
    let (pin, bucket) = if let Some((source, PinRequest::Version(version))) = asked {
        choice.source = source;
        choice.pinned = Some(version);
        let pin = pin_to(rollout.version_name(version), config, headers);
        (pin, remove(&config.bucket_header, headers))
    } else {
        if cookies.is_malformed() {
            rejected.push(Reason::CookieMalformed);
        }
        let user = user.or_mint(config, facts);
        choice.source = user.source();
        choice.minted = user.minted();
        let bucket = user.bucket(rollout).map(Edit::Set);
        let bucket = bucket.unwrap_or_else(|| remove(&config.bucket_header, headers));
        (pin_of_the_unpinned(config, asked, headers), bucket)
    };
    match asked {
        Some((Source::PinQuery, PinRequest::Version(version))) => {
            choice.pin_cookie = Some(PinCookie::Remember(version));
        }
        Some((_, PinRequest::Unpin)) => choice.pin_cookie = Some(PinCookie::Clear),
        Some((_, PinRequest::Unknown)) => {
            choice.refused = true;
            rejected.push(Reason::PinUnknownVersion);
        }
        _ => {}
    }
    choice.https = choice.needs_scheme(config) && came_by_https(headers);
    RequestDecision {
        pin,
        bucket,
        rejected,
        memory: Memory::Outbound(choice),
    }
}

/// A client's request: its caller is a workload, whose bucket counts, and whose
/// unknown pin may be meant for another service.
fn route_workload<'c>(
    config: &'c Config,
    place: u16,
    rollout: &'c Rollout,
    headers: &Headers<'_>,
) -> RequestDecision<'c> {
    let mut rejected = Vec::new();
    let mut choice = Choice::new(place, false);
    let pin = match pin_in_header(config, rollout, headers) {
        Some((source, PinRequest::Version(version))) => {
            choice.source = source;
            choice.pinned = Some(version);
            pin_to(rollout.version_name(version), config, headers)
        }
        _ => Edit::Keep,
    };
    let mut values = headers.all(&config.bucket_header);
    let sent = values.next();
    // With two headers Envoy would roll dice.
    let plain = sent
        .filter(|_| values.next().is_none())
        .and_then(|sent| Bucket::parse(sent, rollout.weight_total));
    let bucket = if plain.is_some() {
        if choice.pinned.is_none() {
            choice.source = Source::BucketHeader;
        }
        Edit::Keep
    } else {
        if sent.is_some() {
            rejected.push(Reason::BucketHeader);
        }
        let user = if choice.pinned.is_some() {
            User::Unknown
        } else {
            let (user, cookies) = identify(config, rollout, false, headers);
            if cookies.is_malformed() {
                rejected.push(Reason::CookieMalformed);
            }
            choice.source = user.source();
            user
        };
        match user.bucket(rollout) {
            Some(bucket) => Edit::Set(bucket),
            None if sent.is_some() => Edit::Remove,
            None => Edit::Keep,
        }
    };
    RequestDecision {
        pin,
        bucket,
        rejected,
        memory: Memory::Outbound(choice),
    }
}

/// A server's request: nothing is touched, a pin for another version is counted.
fn serve<'c>(
    config: &'c Config,
    rollout: &Rollout,
    own_version: Option<&str>,
    facts: &impl RequestFacts,
) -> RequestDecision<'c> {
    let mut rejected = Vec::new();
    if let (Some(own), Some(pin)) = (own_version, &config.pin)
        && let Some(value) = facts.header(&pin.header)
        && let PinRequest::Version(pinned) = PinRequest::of(&value, rollout)
        && rollout.version_name(pinned) != own
    {
        rejected.push(Reason::Misrouted);
    }
    RequestDecision {
        pin: Edit::Keep,
        bucket: Edit::Keep,
        rejected,
        memory: Memory::Server,
    }
}

fn pin_in_header(
    config: &Config,
    rollout: &Rollout,
    headers: &Headers<'_>,
) -> Option<(Source, PinRequest)> {
    let value = headers.first(&config.pin.as_ref()?.header)?;
    Some((Source::PinHeader, PinRequest::of(value, rollout)))
}

fn pin_in_query(
    config: &Config,
    rollout: &Rollout,
    headers: &Headers<'_>,
) -> Option<(Source, PinRequest)> {
    let name = config.pin.as_ref()?.query.as_ref()?;
    let request = pin::in_query(headers.first(":path")?, name, rollout)?;
    Some((Source::PinQuery, request))
}

/// What makes `version` the only value of the pin header. A request that is not
/// changed spares Envoy another search for its route.
fn pin_to<'c>(version: &'c str, config: &Config, headers: &Headers<'_>) -> Edit<&'c str> {
    if headers.all(config.pin_header()).eq([version.as_bytes()]) {
        Edit::Keep
    } else {
        Edit::Set(version)
    }
}

/// What becomes of the pin header of a stranger's request that is not pinned.
fn pin_of_the_unpinned<'c>(
    config: &Config,
    asked: Option<(Source, PinRequest)>,
    headers: &Headers<'_>,
) -> Edit<&'c str> {
    match asked {
        Some((Source::PinHeader, _)) => Edit::Remove,
        // Pins are off: nobody looked whether the header is there.
        _ if config.pin.is_none() => remove(config.pin_header(), headers),
        _ => Edit::Keep,
    }
}

/// What leaves no header of this name.
fn remove<T>(name: &str, headers: &Headers<'_>) -> Edit<T> {
    headers.first(name).map_or(Edit::Keep, |_| Edit::Remove)
}

/// Whether the caller came by https: `x-forwarded-proto`, else `:scheme`.
fn came_by_https(headers: &Headers<'_>) -> bool {
    headers
        .first("x-forwarded-proto")
        .or_else(|| headers.first(":scheme"))
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"))
}
