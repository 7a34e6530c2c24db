//! What a stranger's pin comes to where pins have to be signed.

use super::PinCookie;
use super::pinned::{Pin, PinValue, Pins, only};
use crate::core::config::Settings;
use crate::core::edit::Edit;
use crate::core::metrics::{Reason, Source};
use crate::core::pin::{self, PinName, PinRequest};
use crate::core::pin_list::PinList;
use crate::core::signed_pin::{LONGEST_TOKEN, Names, SignedPins};
use std::borrow::Cow;
use std::rc::Rc;

/// Returns what the first comes to that is there: the header, the query, the cookie.
#[inline(never)] // Else those whose pins need not be signed pay for its frame.
pub(super) fn find(pins: &Pins<'_>, settings: &Settings, signed: &Rc<SignedPins>) -> Pin {
    let header = pins.header;
    let in_header = || Some((Source::PinHeader, Cow::Borrowed(header.first?)));
    let in_query = || {
        let name = settings.pin.as_ref()?.query.as_ref()?;
        let value = pin::value_in_query(pins.headers.first(":path")?, name, LONGEST_TOKEN)?;
        Some((Source::PinQuery, Cow::Owned(value)))
    };
    let in_cookie = || Some((Source::PinCookie, Cow::Borrowed(pins.cookies.signed_pin?)));
    let found = in_header().or_else(in_query).or_else(in_cookie);
    let Some((source, value)) = found else {
        return Pin::none(Edit::Keep);
    };
    if *value == *PinRequest::NONE {
        return Pin {
            cookie: Some(PinCookie::Clear),
            unpins: true,
            ..Pin::none(only(PinValue::None, header))
        };
    }
    let checked = if PinName::fits(&value) {
        Err(Reason::PinUnsigned)
    } else {
        let names = Names {
            host: (pins.host)(),
            rollout: settings.name.as_deref(),
        };
        let checked = signed.check(&value, &names, pins.checker);
        checked.map_err(|reason| match reason {
            Reason::PinMalformed if PinList::new(&value).is_some() => Reason::PinUnsigned,
            reason => reason,
        })
    };
    match checked {
        Ok((version, pinned)) => Pin {
            list: PinList::of(pinned.token().audiences()),
            version: Some(version.clone()),
            source: Some(source),
            cookie: (source == Source::PinQuery).then_some(PinCookie::Remember),
            signed: Some(pinned),
            ..Pin::none(only(PinValue::Version(version), header))
        },
        Err(reason) => {
            let has_ended = source == Source::PinCookie && reason == Reason::PinExpired;
            Pin {
                cookie: has_ended.then_some(PinCookie::Clear),
                refused: Some(reason),
                ..Pin::none(header.first.map_or(Edit::Keep, |_| Edit::Remove))
            }
        }
    }
}
