//! What becomes of a request: who the user is, which version a tester asks for, and
//! what Envoy's route is to pick by.

use super::{Edit, Memory, PinCookie, Stranger};
use crate::core::bucket::Bucket;
use crate::core::config::{Config, First, IdentityCookie, Settings};
use crate::core::headers::{Found, Headers};
use crate::core::host::{self, ServiceNames};
use crate::core::identity::CookieId;
use crate::core::metrics::{Reason, Reasons, Source};
use crate::core::pin::{self, PinName, PinRequest};
use crate::core::request_cookies::RequestCookies;

/// Who sends requests to a proxy.
#[derive(Debug, Clone, Copy)]
pub enum Caller<'p> {
    /// Strangers, at a gateway: their buckets never count, and they get cookies.
    Stranger,
    /// Workloads, at a client: their buckets count, and their pins may be meant for
    /// another service. They call Services by these names, where the proxy knows them.
    Workload(Option<&'p ServiceNames>),
}

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestDecision {
    /// The pin header, by which the pin routes match.
    pub pin: Edit<PinValue>,
    /// The bucket header, by which Envoy's weighted route picks.
    pub bucket: Edit<Bucket>,
    /// The one line of the `cookie` header, with the identity that was minted.
    pub cookie: Option<Vec<u8>>,
    /// What the response's decision needs to know.
    pub memory: Memory,
}

/// The value of a pin header that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinValue {
    /// The version that a tester asks for.
    Version(PinName),
    /// `none`, which no route matches, and which the next gateway sees.
    None,
}

impl PinValue {
    /// Returns the bytes of the header.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Version(name) => name,
            Self::None => PinRequest::NONE,
        }
    }
}

/// Decides about a request with these headers. `random` gives a random number, or
/// `None` where the host has none.
pub fn request(
    config: &Config,
    caller: Caller<'_>,
    headers: &Headers<'_>,
    random: impl FnOnce() -> Option<u64>,
) -> RequestDecision {
    let host = host::of_authority(headers.first(":authority").unwrap_or_default());
    let place = config.rollouts.find(&host, || headers.first(":path"));
    let settings = config.settings(place);
    let mut rejected = Reasons::default();
    let identity_header = settings.identity.header.as_deref().unwrap_or_default();
    let [pin_header, bucket_header, identity_header, cookie] = headers.first_of([
        settings.pin_header(),
        &config.bucket_header,
        identity_header,
        "cookie",
    ]);

    let callers_bucket = CallersBucket::find(caller, bucket_header, &mut rejected);
    let cookies = match callers_bucket {
        // Nobody needs to know the user, and workloads pin by the header alone.
        CallersBucket::Counts => RequestCookies::default(),
        CallersBucket::Absent | CallersBucket::Refused => match cookie.first {
            None => RequestCookies::default(),
            Some(line) if cookie.is_alone => RequestCookies::read(settings, [line].into_iter()),
            Some(_) => RequestCookies::read(settings, headers.all("cookie")),
        },
    };
    let pin = Pin::find(settings, caller, pin_header, headers, &cookies);
    if pin.is_malformed_at_a_gateway {
        rejected.add(Reason::PinMalformed);
    }
    let (user, bucket) = if callers_bucket == CallersBucket::Counts {
        (User::OfBucket, Edit::Keep)
    } else {
        let user = User::find(settings, identity_header, &cookies, &mut rejected);
        let user = match (user, caller) {
            (User::Unknown, Caller::Stranger) if mints(settings, headers) => User::mint(random),
            (user, _) => user,
        };
        let salt = salt(settings, caller, &host);
        let bucket = match (user.identity(), callers_bucket) {
            (Some(identity), _) => Edit::Set(Bucket::of(salt, identity)),
            (None, CallersBucket::Absent) => Edit::Keep,
            (None, _) => Edit::Remove,
        };
        (user, bucket)
    };
    let minted = user.minted();
    let stranger = matches!(caller, Caller::Stranger).then(|| {
        let sets_cookie = minted.is_some() || pin.cookie.is_some();
        Stranger {
            pin_is_malformed: pin.is_malformed_at_a_gateway,
            minted,
            pin_cookie: pin.cookie,
            https: sets_cookie && came_by_https(headers),
        }
    });
    RequestDecision {
        pin: pin.header,
        bucket,
        cookie: minted.and_then(|id| cookie_line_with(settings, id, headers)),
        memory: Memory {
            settings: place,
            source: pin.source.unwrap_or(user.source()),
            pinned: pin.version,
            rejected,
            stranger,
        },
    }
}

/// What a request's pin comes to.
struct Pin {
    /// What becomes of the pin header.
    header: Edit<PinValue>,
    /// The version that the request is pinned to.
    version: Option<PinName>,
    /// Where that was asked for.
    source: Option<Source>,
    /// What becomes of the pin cookie.
    cookie: Option<PinCookie>,
    /// Whether a stranger's pin is no name of a version.
    is_malformed_at_a_gateway: bool,
}

impl Pin {
    /// No pin, with this for the pin header.
    fn none(header: Edit<PinValue>) -> Self {
        Self {
            header,
            version: None,
            source: None,
            cookie: None,
            is_malformed_at_a_gateway: false,
        }
    }

    /// Returns what the first comes to that is there: the header, at a gateway the
    /// query, and the cookie.
    fn find(
        settings: &Settings,
        caller: Caller<'_>,
        header: Found<'_>,
        headers: &Headers<'_>,
        cookies: &RequestCookies<'_>,
    ) -> Self {
        let is_gateway = matches!(caller, Caller::Stranger);
        let removed = match header.first {
            Some(_) if is_gateway => Edit::Remove,
            _ => Edit::Keep,
        };
        let Some(of) = &settings.pin else {
            // A gateway lets no pin in while pins are off.
            return Self::none(removed);
        };
        let in_header = || Some((Source::PinHeader, PinRequest::of(header.first?)));
        let in_query = || {
            let query = of.query.as_ref().filter(|_| is_gateway)?;
            let request = pin::in_query(headers.first(":path")?, &query.name)?;
            Some((Source::PinQuery, request))
        };
        let in_cookie = || {
            let request = cookies.pin.filter(|_| is_gateway)?;
            Some((Source::PinCookie, request))
        };
        let found = in_header().or_else(in_query).or_else(in_cookie);
        let Some((source, request)) = found else {
            return Self::none(Edit::Keep);
        };
        match request {
            PinRequest::Version(version) => Self {
                version: Some(version),
                source: Some(source),
                cookie: (source == Source::PinQuery).then_some(PinCookie::Remember),
                ..Self::none(only(PinValue::Version(version), header))
            },
            PinRequest::Unpin => Self {
                cookie: Some(PinCookie::Clear),
                ..Self::none(only(PinValue::None, header))
            },
            PinRequest::Malformed if is_gateway => Self {
                is_malformed_at_a_gateway: true,
                ..Self::none(removed)
            },
            PinRequest::Malformed => Self::none(Edit::Keep),
        }
    }
}

/// Who sent a request.
enum User<'h> {
    /// The one that the identity header names.
    Header(&'h [u8]),
    /// The one that the identity cookie names.
    Cookie(&'h [u8]),
    /// A new one, with this identity.
    Minted(CookieId),
    /// The one whose bucket a workload forwards.
    OfBucket,
    /// Nobody knows.
    Unknown,
}

impl<'h> User<'h> {
    /// Returns the user by header or cookie.
    fn find(
        settings: &Settings,
        header: Found<'h>,
        cookies: &RequestCookies<'h>,
        rejected: &mut Reasons,
    ) -> Self {
        let by_header = header.first.filter(|value| !value.is_empty());
        if let (First::Header, Some(value)) = (settings.identity.first, by_header) {
            return Self::Header(value);
        }
        if cookies.identity_is_malformed {
            rejected.add(Reason::CookieMalformed);
        }
        let by_cookie = cookies.identity.map(Self::Cookie);
        let user = by_cookie.or(by_header.map(Self::Header));
        user.unwrap_or(Self::Unknown)
    }

    /// Returns a new user.
    fn mint(random: impl FnOnce() -> Option<u64>) -> Self {
        random().map_or(Self::Unknown, |random| Self::Minted(CookieId::mint(random)))
    }

    fn identity(&self) -> Option<&[u8]> {
        match self {
            Self::Header(value) | Self::Cookie(value) => Some(value),
            Self::Minted(id) => Some(id),
            Self::OfBucket | Self::Unknown => None,
        }
    }

    fn source(&self) -> Source {
        match self {
            Self::Header(_) => Source::IdentityHeader,
            Self::Cookie(_) => Source::IdentityCookie,
            Self::Minted(_) => Source::Minted,
            Self::OfBucket => Source::BucketHeader,
            Self::Unknown => Source::None,
        }
    }

    fn minted(&self) -> Option<CookieId> {
        match self {
            Self::Minted(id) => Some(*id),
            _ => None,
        }
    }
}

/// What a request's own bucket header comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallersBucket {
    /// There is none.
    Absent,
    /// It is a workload's, and Envoy's route takes it.
    Counts,
    /// It is a stranger's, or no plain number.
    Refused,
}

impl CallersBucket {
    fn find(caller: Caller<'_>, header: Found<'_>, rejected: &mut Reasons) -> Self {
        let Some(first) = header.first else {
            return Self::Absent;
        };
        if matches!(caller, Caller::Stranger) {
            return Self::Refused;
        }
        // With two headers Envoy would roll dice.
        if header.is_alone && Bucket::parse(first).is_some() {
            return Self::Counts;
        }
        rejected.add(Reason::BucketHeader);
        Self::Refused
    }
}

/// Returns whether a request without an identity gets one: a CORS preflight has no
/// cookies, whoever sends it.
fn mints(settings: &Settings, headers: &Headers<'_>) -> bool {
    let minted = matches!(settings.identity.cookie, Some(IdentityCookie::Minted(_)));
    let is_preflight = || {
        headers.first(":method") == Some(b"OPTIONS")
            && headers.first("access-control-request-method").is_some()
    };
    minted && !is_preflight()
}

/// Returns what users are dealt by: the salt of the settings, else the host, which in
/// a sidecar is the Service that a workload means by it.
fn salt<'p>(settings: &'p Settings, caller: Caller<'p>, host: &'p [u8]) -> [&'p [u8]; 2] {
    match (&settings.salt, caller) {
        (Some(salt), _) => [salt.as_bytes(), b""],
        (None, Caller::Workload(Some(names))) => names.unified(host),
        (None, _) => [host, b""],
    }
}

/// Returns the request's cookies on one line, with the identity behind them.
fn cookie_line_with(settings: &Settings, id: CookieId, headers: &Headers<'_>) -> Option<Vec<u8>> {
    let name = settings.identity.cookie.as_ref()?.name().as_bytes();
    let lines = || headers.all("cookie").filter(|line| !line.is_empty());
    let length = lines().map(<[u8]>::len).sum::<usize>();
    // A few lines at most, each with two bytes behind it.
    let mut line = Vec::with_capacity(length.saturating_add(name.len()).saturating_add(32));
    for cookies in lines() {
        line.extend_from_slice(cookies);
        line.extend_from_slice(b"; ");
    }
    line.extend_from_slice(name);
    line.push(b'=');
    line.extend_from_slice(&id);
    Some(line)
}

/// Returns what makes `value` the only one of a header. A request that is not changed
/// spares Envoy another search for its route.
fn only(value: PinValue, header: Found<'_>) -> Edit<PinValue> {
    if header.is_only(value.bytes()) {
        Edit::Keep
    } else {
        Edit::Set(value)
    }
}

/// Returns whether the caller came by https: by the first value of `x-forwarded-proto`,
/// else by `:scheme`.
fn came_by_https(headers: &Headers<'_>) -> bool {
    headers
        .first("x-forwarded-proto")
        .or_else(|| headers.first(":scheme"))
        .and_then(|schemes| schemes.split(|&b| b == b',').next())
        .is_some_and(|scheme| scheme.trim_ascii().eq_ignore_ascii_case(b"https"))
}
