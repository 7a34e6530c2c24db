//! What a request's baggage says at a client, and what it says behind a proxy.

use super::Caller;
use super::pinned::Pin;
use crate::core::baggage::{Baggage, Keys, Members};
use crate::core::bucket::Bucket;
use crate::core::config::{Config, Settings};
use crate::core::edit::Edit;
use crate::core::headers::Headers;
use crate::core::metrics::{Reason, Reasons};
use crate::core::pin::PinRequest;
use crate::core::pin_list::PinList;

/// What a request's baggage says.
pub(super) struct Chain<'h> {
    baggage: Baggage<'h>,
    /// The pin that counts where the request has no other.
    pub(super) pin: Option<PinRequest>,
    /// The bucket that counts where the request has no other.
    pub(super) bucket: Option<Bucket>,
    /// Whether members of ours are a stranger's, of which nothing goes on.
    is_strangers: bool,
    /// Whether pins are on.
    has_pins: bool,
}

impl<'h> Chain<'h> {
    /// Reads the baggage of a request. At a gateway nothing that it says counts.
    #[inline(never)] // Else requests pay for its frame where it is off.
    pub(super) fn read(
        keys: &'h Keys,
        settings: &Settings,
        caller: Caller<'_>,
        headers: &'h Headers<'h>,
    ) -> Self {
        let baggage = Baggage::read(keys, headers);
        let is_strangers = matches!(caller, Caller::Stranger);
        let has_pins = settings.pin.is_some();
        let members = if is_strangers {
            Members::default()
        } else {
            baggage.ours
        };
        let is_pin = |pin: &PinRequest| matches!(pin, PinRequest::Version(_) | PinRequest::List(_));
        let pin = members.pin.filter(|_| has_pins).map(PinRequest::of_token);
        Self {
            pin: pin.filter(is_pin),
            bucket: members.bucket.and_then(Bucket::parse),
            baggage,
            is_strangers,
            has_pins,
        }
    }

    /// Returns what becomes of the baggage of a request with this pin that is dealt by this
    /// bucket.
    #[inline(never)] // As above.
    pub(super) fn pass_on(
        self,
        pin: &Pin,
        bucket: Option<Bucket>,
        rejected: &mut Reasons,
    ) -> Edit<Vec<u8>> {
        let token = pin.list.as_ref().map(PinList::token);
        let of_pin = token.as_deref().or(pin.version.as_deref());
        let mut digits = itoa::Buffer::new();
        let of_bucket = bucket.map(|bucket| bucket.digits(&mut digits));
        let ours = if self.is_strangers {
            Members {
                pin: of_pin,
                bucket: of_bucket,
            }
        } else {
            let before = self.baggage.ours;
            Members {
                pin: of_pin.or(before.pin.filter(|_| !pin.unpins || !self.has_pins)),
                bucket: of_bucket.or(before.bucket),
            }
        };
        let written = self.baggage.with(ours);
        if written.is_full {
            rejected.add(Reason::BaggageFull);
        }
        written.edit
    }
}

/// Decides about the baggage of a stranger's request on a route that has no part in all
/// this: members of ours go.
#[must_use]
pub fn of_others(config: &Config, headers: &Headers<'_>) -> Edit<Vec<u8>> {
    let without = |keys| Baggage::read(keys, headers).with(Members::default()).edit;
    config.baggage.as_ref().map_or(Edit::Keep, without)
}
