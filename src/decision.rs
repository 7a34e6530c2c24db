//! What becomes of a request and of its response: [`request`] and [`response`].
//!
//! Both ask for facts through a small trait, and return what to write. The
//! decision never sees the host.

use crate::bucket::Bucket;
use crate::config::{Config, When};
use crate::facts::{Bytes, RequestFacts, ResponseFacts};
use crate::headers::Headers;
use crate::identity::CookieId;
use crate::metrics::{Counted, Reason, Served, Source};
use crate::pin::{self, Wish};
use crate::role::Role;
use crate::rollout::{Rollout, VersionIndex};
use crate::set_cookie::SetCookie;
use crate::user::{Jar, User, know};
use std::cell::OnceCell;

/// What to do with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit<T> {
    /// Leave it as it is.
    Keep,
    /// Make this its only value.
    Set(T),
    /// Remove all its values.
    Remove,
}

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

/// What a stream remembers between its request and its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// A server's: nothing but that the request belongs to a rollout.
    Server,
    /// A gateway's or a client's.
    Outbound(Choice),
}

/// The version that was chosen for a request, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    rollout: u16,
    source: Source,
    pinned: Option<VersionIndex>,
    /// Whether the caller is told what became of a pin: at a gateway.
    tells: bool,
    /// Whether a pin was for an unknown version.
    refused: bool,
    minted: Option<CookieId>,
    pin_cookie: Option<PinCookie>,
    https: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PinCookie {
    Remember(VersionIndex),
    Clear,
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
    if role == Role::Server {
        return serve(config, own_version, facts);
    }
    let headers = facts.headers();
    let place = find(config, || &headers)?;
    let rollout = config.rollouts.get(place)?;
    Some(match role {
        Role::Gateway => route_stranger(config, place, rollout, &headers, facts),
        Role::Client | Role::Server => route_workload(config, place, rollout, &headers),
    })
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

/// The place of the first rollout that matches; asks for headers if that depends on them.
fn find<'h>(config: &Config, headers: impl Fn() -> &'h Headers<'h>) -> Option<u16> {
    let of = |name| headers().first(name);
    config.rollouts.find(|| of(":authority"), || of(":path"))
}

/// A gateway's request: its caller is a stranger, whose bucket never counts.
fn route_stranger<'c>(
    config: &'c Config,
    place: u16,
    rollout: &'c Rollout,
    headers: &Headers<'_>,
    facts: &impl RequestFacts,
) -> RequestDecision<'c> {
    let asked =
        pin_in_header(config, rollout, headers).or_else(|| pin_in_query(config, rollout, headers));
    let (user, jar) = match asked {
        Some((_, Wish::Version(_))) => (User::Unknown, Jar::default()),
        _ => know(config, rollout, asked.is_none(), headers),
    };
    let asked = asked.or(jar.pin.map(|wish| (Source::PinCookie, wish)));

    let mut rejected = Vec::new();
    let mut choice = Choice::new(place, true);
    let (pin, bucket) = if let Some((source, Wish::Version(version))) = asked {
        choice.source = source;
        choice.pinned = Some(version);
        let pin = pin_to(rollout.version_name(version), config, headers);
        (pin, remove(&config.bucket_header, headers))
    } else {
        if jar.is_malformed() {
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
        Some((Source::PinQuery, Wish::Version(version))) => {
            choice.pin_cookie = Some(PinCookie::Remember(version));
        }
        Some((_, Wish::Unpin)) => choice.pin_cookie = Some(PinCookie::Clear),
        Some((_, Wish::Unknown)) => {
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
        Some((source, Wish::Version(version))) => {
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
            let (user, jar) = know(config, rollout, false, headers);
            if jar.is_malformed() {
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
    own_version: Option<&str>,
    facts: &impl RequestFacts,
) -> Option<RequestDecision<'c>> {
    let headers = OnceCell::new();
    let place = find(config, || headers.get_or_init(|| facts.headers()))?;
    let rollout = config.rollouts.get(place)?;
    let misrouted = || {
        let name = &config.pin.as_ref()?.header;
        // One header alone is cheaper, unless all of them are there already.
        let pin: Bytes = match headers.get() {
            Some(headers) => headers.first(name)?.into(),
            None => facts.header(name)?,
        };
        let Wish::Version(pinned) = Wish::of(&pin, rollout) else {
            return None;
        };
        (rollout.version_name(pinned) != own_version?).then_some(Reason::Misrouted)
    };
    Some(RequestDecision {
        pin: Edit::Keep,
        bucket: Edit::Keep,
        rejected: own_version.and_then(|_| misrouted()).into_iter().collect(),
        memory: Memory::Server,
    })
}

fn pin_in_header(
    config: &Config,
    rollout: &Rollout,
    headers: &Headers<'_>,
) -> Option<(Source, Wish)> {
    let value = headers.first(&config.pin.as_ref()?.header)?;
    Some((Source::PinHeader, Wish::of(value, rollout)))
}

fn pin_in_query(
    config: &Config,
    rollout: &Rollout,
    headers: &Headers<'_>,
) -> Option<(Source, Wish)> {
    let name = config.pin.as_ref()?.query.as_ref()?;
    let wish = pin::in_query(headers.first(":path")?, name, rollout)?;
    Some((Source::PinQuery, wish))
}

/// What makes `version` the only value of the pin header. Not to change a request
/// spares Envoy to look for its route again.
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
    asked: Option<(Source, Wish)>,
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

impl Choice {
    fn new(rollout: u16, tells: bool) -> Self {
        Self {
            rollout,
            source: Source::None,
            pinned: None,
            tells,
            refused: false,
            minted: None,
            pin_cookie: None,
            https: false,
        }
    }

    fn identity_cookie<'c>(&self, config: &'c Config) -> Option<(&'c SetCookie, CookieId)> {
        Some((config.identity.cookie.as_ref()?, self.minted?))
    }

    fn pin_cookie<'c>(&self, config: &'c Config) -> Option<(&'c SetCookie, PinCookie)> {
        let cookie = config.pin.as_ref()?.cookie.as_ref()?;
        Some((cookie, self.pin_cookie?))
    }

    fn needs_scheme(&self, config: &Config) -> bool {
        let identity = self.identity_cookie(config).map(|(cookie, _)| cookie);
        let pin = self.pin_cookie(config).map(|(cookie, _)| cookie);
        identity.into_iter().chain(pin).any(SetCookie::needs_scheme)
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

/// The version by the name of the cluster that answered, `outbound|80|SUBSET|host`.
fn served_by_cluster(rollout: &Rollout, facts: &impl ResponseFacts) -> Served {
    let version = || {
        let cluster = facts.answering_cluster()?;
        rollout.version(cluster.split(|&b| b == b'|').nth(2)?)
    };
    version().map_or(Served::None, Served::Version)
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
