//! What a request's pin comes to: a version, for this proxy and those behind it.

use super::signed;
use super::{Caller, PinCookie};
use crate::core::config::Settings;
use crate::core::edit::Edit;
use crate::core::headers::{Found, Headers};
use crate::core::host;
use crate::core::metrics::{Reason, Source};
use crate::core::pin::{self, PinName, PinRequest};
use crate::core::pin_list::PinList;
use crate::core::request_cookies::RequestCookies;
use crate::core::signed_pin::{Checker, Pinned};

/// What a request's pin comes to.
pub(super) struct Pin {
    /// What becomes of the pin header.
    pub(super) header: Edit<PinValue>,
    /// The version that the request is pinned to.
    pub(super) version: Option<PinName>,
    /// The versions of single services that it asks for.
    pub(super) list: Option<PinList>,
    /// Whether it asks for no version any more.
    pub(super) unpins: bool,
    /// Where that was asked for.
    pub(super) source: Option<Source>,
    /// What becomes of the pin cookie.
    pub(super) cookie: Option<PinCookie>,
    /// Why a stranger's pin does not count.
    pub(super) refused: Option<Reason>,
    /// What the version was proved by, where pins have to be signed.
    pub(super) signed: Option<Pinned>,
}

impl Pin {
    /// No pin, with this for the pin header.
    pub(super) fn none(header: Edit<PinValue>) -> Self {
        Self {
            header,
            version: None,
            list: None,
            unpins: false,
            source: None,
            cookie: None,
            refused: None,
            signed: None,
        }
    }

    /// A pin of these versions of single services, one of which may be `version`, that of
    /// the service which the request is for.
    #[inline(never)] // Else requests without a list pay for its frame.
    fn of_list(list: PinList, version: Option<PinName>, source: Source, header: Found<'_>) -> Self {
        let edit = match &version {
            Some(version) => only(PinValue::Version(version.clone()), header),
            // It is what an earlier hop made of the list, for itself.
            None if source == Source::PinBaggage && header.first.is_some() => Edit::Remove,
            None if source == Source::PinBaggage => Edit::Keep,
            None => only(PinValue::List(list.clone()), header),
        };
        Self {
            source: version.is_some().then_some(source),
            version,
            list: Some(list),
            ..Self::none(edit)
        }
    }
}

/// All that may pin a request.
pub(super) struct Pins<'r> {
    /// Who sends it.
    pub(super) caller: Caller<'r>,
    /// Its host.
    pub(super) host: &'r dyn Fn() -> &'r [u8],
    /// Its pin header.
    pub(super) header: Found<'r>,
    /// All its headers.
    pub(super) headers: &'r Headers<'r>,
    /// Its cookies.
    pub(super) cookies: &'r RequestCookies<'r>,
    /// What its baggage asks for, where that counts.
    pub(super) of_baggage: Option<&'r PinRequest>,
    /// What signed pins are checked with.
    pub(super) checker: Checker<'r>,
}

impl Pins<'_> {
    /// Returns what the first comes to that is there: the header, at a gateway the
    /// query, and the cookie, at a client the baggage.
    pub(super) fn find(&self, settings: &Settings) -> Pin {
        let header = self.header;
        let is_gateway = matches!(self.caller, Caller::Stranger);
        let removed = match header.first {
            Some(_) if is_gateway => Edit::Remove,
            _ => Edit::Keep,
        };
        let Some(of) = &settings.pin else {
            // A gateway lets no pin in while pins are off.
            return Pin::none(removed);
        };
        if let Some(signed) = of.signed.as_ref().filter(|_| is_gateway) {
            return signed::find(self, settings, signed);
        }
        let in_header = || Some((Source::PinHeader, PinRequest::of(header.first?)));
        let in_query = || {
            let query = of.query.as_ref().filter(|_| is_gateway)?;
            let request = pin::in_query(self.headers.first(":path")?, query)?;
            Some((Source::PinQuery, request))
        };
        let in_cookie = || {
            let request = self.cookies.pin.clone().filter(|_| is_gateway)?;
            Some((Source::PinCookie, request))
        };
        let found = in_header().or_else(in_query).or_else(in_cookie);
        let found = match self.of_baggage {
            None => found,
            Some(request) => Some(of_baggage_or(request, found)),
        };
        let Some((source, request)) = found else {
            return Pin::none(Edit::Keep);
        };
        let cookie = (source == Source::PinQuery).then_some(PinCookie::Remember);
        match request {
            PinRequest::Version(version) => Pin {
                version: Some(version.clone()),
                source: Some(source),
                cookie,
                ..Pin::none(only(PinValue::Version(version), header))
            },
            PinRequest::List(list) => {
                let names = match self.caller {
                    Caller::Stranger => None,
                    Caller::Workload(names) => names,
                };
                let host = (self.host)();
                let version = list.version_of(|name| host::is_meant_by(host, names, name));
                Pin {
                    cookie,
                    ..Pin::of_list(list, version, source, header)
                }
            }
            PinRequest::Unpin => Pin {
                cookie: Some(PinCookie::Clear),
                unpins: true,
                ..Pin::none(only(PinValue::None, header))
            },
            PinRequest::Malformed if is_gateway => Pin {
                refused: Some(Reason::PinMalformed),
                ..Pin::none(removed)
            },
            PinRequest::Malformed => Pin::none(Edit::Keep),
        }
    }
}

/// Returns which of two pins of a workload's request counts: the header's, unless it is
/// none, or is the plain name that an earlier hop made of the list in the baggage.
#[inline(never)] // Else requests without baggage pay for its frame.
fn of_baggage_or(
    of_baggage: &PinRequest,
    found: Option<(Source, PinRequest)>,
) -> (Source, PinRequest) {
    match (found, of_baggage) {
        (Some((_, PinRequest::Version(_))), PinRequest::List(_))
        | (Some((_, PinRequest::Malformed)) | None, _) => (Source::PinBaggage, of_baggage.clone()),
        (Some(found), _) => found,
    }
}

/// The value of a pin header that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PinValue {
    /// The version that a tester asks for.
    Version(PinName),
    /// The versions of single services, which no route matches, and which a proxy behind
    /// this one sees.
    List(PinList),
    /// `none`, which no route matches, and which the next gateway sees.
    None,
}

impl PinValue {
    /// Returns the bytes of the header.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Version(name) => name,
            Self::List(list) => list.bytes(),
            Self::None => PinRequest::NONE,
        }
    }
}

/// Returns what makes `value` the only one of a header. A request that is not changed
/// spares Envoy another search for its route.
pub(super) fn only(value: PinValue, header: Found<'_>) -> Edit<PinValue> {
    if header.is_only(value.bytes()) {
        Edit::Keep
    } else {
        Edit::Set(value)
    }
}
