//! What becomes of a request: who the user is, which version a tester asks for, and
//! what Envoy's route is to pick by.

use super::chain::Chain;
use super::named::NamedRequest;
use super::pinned::{PinValue, Pins};
use super::user::User;
use super::{Caller, Memory, Stranger};
use crate::core::bucket::Bucket;
use crate::core::config::{Config, IdentityCookie, Settings};
use crate::core::edit::Edit;
use crate::core::headers::{Found, Headers};
use crate::core::host;
use crate::core::identity::CookieId;
use crate::core::metrics::{Reason, Reasons};
use crate::core::request_cookies::RequestCookies;
use crate::core::signed_pin::Checker;
use std::cell::LazyCell;
use std::rc::Rc;

/// What to do with a request.
#[derive(Debug, PartialEq, Eq)]
pub struct RequestDecision {
    /// The pin header, by which the pin routes match.
    pub pin: Edit<PinValue>,
    /// The bucket header, by which Envoy's weighted route picks.
    pub bucket: Edit<Bucket>,
    /// The version header, by which the rules of the versions match where the route states
    /// its weights in its name.
    pub version: Edit<Rc<[u8]>>,
    /// The `baggage` header, where proxies use it.
    pub baggage: Edit<Vec<u8>>,
    /// The one line of the `cookie` header, with the identity that was minted.
    pub cookie: Option<Vec<u8>>,
    /// What the response's decision needs to know.
    pub memory: Memory,
}

/// Decides about a request with these headers. `named` is its route, where that states
/// its weights in its name. `checker` is for signed pins. `random` gives a random number,
/// or `None` where the host has none.
pub fn request(
    config: &Config,
    caller: Caller<'_>,
    headers: &Headers<'_>,
    named: Option<NamedRequest>,
    checker: Checker<'_>,
    random: impl FnOnce() -> Option<u64>,
) -> RequestDecision {
    let authority = || headers.first(":authority").unwrap_or_default();
    let host = LazyCell::new(|| host::of_authority(authority()));
    let place = config.rollouts.find(|| &host, || headers.first(":path"));
    let settings = config.settings(place);
    let mut rejected = Reasons::default();
    let identity_header = settings.identity.header.as_deref().unwrap_or_default();
    let [pin_header, bucket_header, identity_header, cookie] = headers.first_of([
        settings.pin_header(),
        &config.bucket_header,
        identity_header,
        "cookie",
    ]);

    let keys = config.baggage.as_ref();
    let chain = keys.map(|keys| Chain::read(keys, settings, caller, headers));
    let of_baggage = chain.as_ref().and_then(|chain| chain.bucket);
    let callers_bucket = CallersBucket::find(caller, bucket_header, &mut rejected);
    let cookies = match (callers_bucket, of_baggage) {
        // Nobody needs to know the user, and workloads pin by no cookie.
        (CallersBucket::Counts(_), _) | (_, Some(_)) => RequestCookies::default(),
        _ => match cookie.first {
            None => RequestCookies::default(),
            Some(line) if cookie.is_alone => RequestCookies::read(settings, [line].into_iter()),
            Some(_) => RequestCookies::read(settings, headers.all("cookie")),
        },
    };
    let pins = Pins {
        caller,
        host: &|| &host,
        header: pin_header,
        headers,
        cookies: &cookies,
        of_baggage: chain.as_ref().and_then(|chain| chain.pin.as_ref()),
        checker,
    };
    let pin = pins.find(settings);
    if let Some(reason) = pin.refused {
        rejected.add(reason);
    }
    let (user, bucket, dealt_by) = if let CallersBucket::Counts(bucket) = callers_bucket {
        (User::OfBucket, Edit::Keep, Some(bucket))
    } else if let Some(bucket) = of_baggage {
        let edit = match callers_bucket {
            CallersBucket::Absent => Edit::Add(bucket),
            _ => Edit::Set(bucket),
        };
        (User::OfBaggage, edit, Some(bucket))
    } else {
        let user = User::find(settings, identity_header, &cookies, &mut rejected);
        let user = match (user, caller) {
            (User::Unknown, Caller::Stranger) if mints(settings, headers) => User::mint(random),
            (user, _) => user,
        };
        let salt = salt(settings, caller, &host);
        let bucket = user.identity().map(|identity| Bucket::of(salt, identity));
        let edit = match (bucket, callers_bucket) {
            (Some(bucket), CallersBucket::Absent) => Edit::Add(bucket),
            (Some(bucket), _) => Edit::Set(bucket),
            (None, CallersBucket::Absent) => Edit::Keep,
            (None, _) => Edit::Remove,
        };
        (user, edit, bucket)
    };
    let mut version = Edit::Keep;
    let named = named.map(|named| {
        let asked;
        let source = user.source();
        (version, asked) = named.ask(caller, headers, &pin, source, dealt_by, &mut rejected);
        asked
    });
    let baggage = chain.map_or(Edit::Keep, |chain| {
        chain.pass_on(&pin, dealt_by, &mut rejected)
    });
    let minted = user.minted();
    let stranger = matches!(caller, Caller::Stranger).then(|| {
        let sets_cookie = minted.is_some() || pin.cookie.is_some();
        Stranger {
            refused: pin.refused,
            minted,
            pin_cookie: pin.cookie,
            https: sets_cookie && came_by_https(headers),
        }
    });
    RequestDecision {
        pin: pin.header,
        bucket,
        version,
        baggage,
        cookie: minted.and_then(|id| cookie_line_with(settings, id, headers)),
        memory: Memory {
            settings: place,
            source: pin.source.unwrap_or(user.source()),
            pinned: pin.version,
            list: pin.list,
            signed: pin.signed,
            rejected,
            named,
            stranger,
        },
    }
}

/// What a request's own bucket header comes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum CallersBucket {
    /// There is none.
    Absent,
    /// It is a workload's, and Envoy's route takes it.
    Counts(Bucket),
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
        let bucket = Bucket::parse(first).filter(|_| header.is_alone);
        if let Some(bucket) = bucket {
            return Self::Counts(bucket);
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
/// a sidecar is the Service that a workload means by it. The two parts are one text.
#[must_use]
pub fn salt<'p>(settings: &'p Settings, caller: Caller<'p>, host: &'p [u8]) -> [&'p [u8]; 2] {
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

/// Returns whether the caller came by https: by the first value of `x-forwarded-proto`,
/// else by `:scheme`.
fn came_by_https(headers: &Headers<'_>) -> bool {
    headers
        .first("x-forwarded-proto")
        .or_else(|| headers.first(":scheme"))
        .and_then(|schemes| schemes.split(|&b| b == b',').next())
        .is_some_and(|scheme| scheme.trim_ascii().eq_ignore_ascii_case(b"https"))
}
