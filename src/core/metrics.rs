//! The counters: their names, and which of them a proxy has.
//!
//! A counter comes into being with its first count. Its labels come from Envoy's
//! configuration and from the lists below, never from a request or an upstream, and a
//! proxy has at most [`MOST_SERIES`]. Names have Istio's form for labels,
//! `TAG=.=VALUE;.;` before the name.

use super::route::Target;
use super::version::Version;
use rustc_hash::FxHashMap;
use std::cell::Cell;

/// Why a request went where it went; a label of `bluegreen_responses_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The pin header.
    PinHeader,
    /// The pin query parameter.
    PinQuery,
    /// The pin cookie.
    PinCookie,
    /// The identity header.
    IdentityHeader,
    /// The identity cookie.
    IdentityCookie,
    /// An identity minted for this request.
    Minted,
    /// A caller's bucket.
    BucketHeader,
    /// A pin in the baggage.
    PinBaggage,
    /// A bucket in the baggage.
    BucketBaggage,
    /// Nothing: Envoy rolled dice.
    None,
}

/// The sources with their labels.
pub const SOURCES: [(Source, &str); 10] = [
    (Source::PinHeader, "pin-header"),
    (Source::PinQuery, "pin-query"),
    (Source::PinCookie, "pin-cookie"),
    (Source::IdentityHeader, "identity-header"),
    (Source::IdentityCookie, "identity-cookie"),
    (Source::Minted, "minted"),
    (Source::BucketHeader, "bucket-header"),
    (Source::PinBaggage, "pin-baggage"),
    (Source::BucketBaggage, "bucket-baggage"),
    (Source::None, "none"),
];

/// Why something that a caller sent did not count; a label of `bluegreen_rejected_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A pin that is no name of a version.
    PinMalformed,
    /// A plain name of a version where pins have to be signed.
    PinUnsigned,
    /// A signed pin that has ended.
    PinExpired,
    /// A signed pin that has not begun.
    PinNotYet,
    /// A signed pin for other hosts and rollouts.
    PinOtherRollout,
    /// A signed pin that lives longer than its key's may.
    PinLifetime,
    /// A signed pin of no key that may pin this for its subject.
    PinKey,
    /// A signed pin whose signature is not the key's.
    PinSignature,
    /// A signed pin that no longer counts.
    PinRevoked,
    /// A signed pin whose signature nobody had the time to verify.
    PinBusy,
    /// A pinned request that another version answered.
    PinNotRouted,
    /// A pin for no backend of a route whose name states weights.
    PinUnknownVersion,
    /// Identity cookies, none of them well-formed.
    CookieMalformed,
    /// A caller's bucket that is not one plain number of 64 bits.
    BucketHeader,
    /// Baggage that has no room for a member of ours.
    BaggageFull,
    /// A route's name that begins as one that states weights, and states none, or those of
    /// another day.
    RouteName,
}

/// The reasons with their labels.
pub const REASONS: [(Reason, &str); 16] = [
    (Reason::PinMalformed, "pin-malformed"),
    (Reason::PinUnsigned, "pin-unsigned"),
    (Reason::PinExpired, "pin-expired"),
    (Reason::PinNotYet, "pin-not-yet"),
    (Reason::PinOtherRollout, "pin-other-rollout"),
    (Reason::PinLifetime, "pin-lifetime"),
    (Reason::PinKey, "pin-key"),
    (Reason::PinSignature, "pin-signature"),
    (Reason::PinRevoked, "pin-revoked"),
    (Reason::PinBusy, "pin-busy"),
    (Reason::PinNotRouted, "pin-not-routed"),
    (Reason::PinUnknownVersion, "pin-unknown-version"),
    (Reason::CookieMalformed, "cookie-malformed"),
    (Reason::BucketHeader, "bucket-header"),
    (Reason::BaggageFull, "baggage-full"),
    (Reason::RouteName, "route-name"),
];

impl Reason {
    /// Returns the word by which a tester is told why a pin does not count.
    #[must_use]
    pub fn word(self) -> &'static str {
        let label = REASONS.iter().find(|(row, _)| *row == self);
        let word = label.and_then(|(_, label)| label.strip_prefix("pin-"));
        word.unwrap_or_default()
    }

    /// Returns the bit of its place in [`REASONS`].
    fn bit(self) -> u32 {
        let place = REASONS.iter().take_while(|(row, _)| *row != self).count();
        u32::try_from(place).map_or(0, |place| 1_u32.wrapping_shl(place))
    }
}

/// The reasons that one stream has met: a bit for each place in [`REASONS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reasons(u32);

impl Reasons {
    /// Adds a reason.
    pub fn add(&mut self, reason: Reason) {
        self.0 |= reason.bit();
    }

    /// Returns whether a reason was met.
    #[must_use]
    pub fn has(self, reason: Reason) -> bool {
        self.0 & reason.bit() != 0
    }

    /// Returns the reasons in the order of [`REASONS`], by their places there.
    pub fn places(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let place = usize::try_from(rest.trailing_zeros()).ok()?;
            let is_met = rest != 0;
            rest &= rest.wrapping_sub(1);
            is_met.then_some(place)
        })
    }
}

/// The class of a response's status; a label of `bluegreen_responses_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(usize);

impl Code {
    /// The labels. The last one is no status, which Envoy does not send.
    const LABELS: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

    /// Returns the class of a `:status`.
    #[must_use]
    pub fn of_status(status: Option<&[u8]>) -> Self {
        let first = status.and_then(|status| status.first());
        Self(match first {
            Some(b'1') => 0,
            Some(b'2') => 1,
            Some(b'3') => 2,
            Some(b'4') => 3,
            Some(b'5') => 4,
            _ => 5,
        })
    }
}

/// One response, as it is counted.
#[derive(Debug)]
pub struct Counted<'r> {
    /// The target of the request, which names rollout and version.
    pub target: Target<'r>,
    /// The ids of that target's counters.
    pub ids: &'r CounterIds,
    /// Why it went there.
    pub source: Source,
    /// The class of the response's status.
    pub code: Code,
    /// What did not count in it.
    pub rejected: Reasons,
}

/// The counter of wrong configurations. It has no label.
pub const CONFIG_REJECTED: &str = "bluegreen_config_rejected_total";

/// Returns the name of the gauge that is 1 while the plugin of this name has a wrong
/// configuration.
///
/// Istio's names of plugins are paths whose last part is `NAMESPACE.NAME`, from Istio
/// 1.30 on with `~istio-translated-wasmplugin` behind it.
#[must_use]
pub fn config_wrong(plugin: &[u8]) -> String {
    let last = plugin.rsplit(|&b| b == b'/').next().unwrap_or_default();
    let name = last
        .strip_suffix(b"~istio-translated-wasmplugin")
        .unwrap_or(last);
    let name = String::from_utf8_lossy(name);
    format!("bg_plugin=.={name};.;bluegreen_config_wrong")
}

/// The most series that a proxy has, those of configurations included. What comes later
/// counts for the rollout `other`.
pub const MOST_SERIES: usize = 4096;

/// The most series of rollouts that have a name. The rest of [`MOST_SERIES`] is for the
/// rollout `other`, whose series are one for each source and class or reason, and for
/// those of configurations.
pub const MOST_NAMED_SERIES: usize = MOST_SERIES - 128;

/// What a VM asks of its proxy about series.
pub trait Registry {
    /// Returns whether the proxy has a series of this name, or room for it.
    fn admits(&mut self, name: &str) -> bool;
    /// Defines the counter of this name; its id in this VM. `None`: the host failed.
    fn define(&mut self, name: &str) -> Option<CounterId>;
}

/// The host's number for a counter, in one VM.
pub type CounterId = u32;

/// The counters of one VM, for as long as it lives: to define a counter again, after an
/// update of the configuration, would take memory of Envoy each time.
#[derive(Debug, Default)]
pub struct Counters {
    by_name: FxHashMap<Box<str>, CounterId>,
}

/// The ids of the counters of one target, as far as they have been needed.
#[derive(Debug, Default)]
pub struct CounterIds {
    responses: [[Cell<Option<CounterId>>; Code::LABELS.len()]; SOURCES.len()],
    rejected: [Cell<Option<CounterId>>; REASONS.len()],
}

impl Counters {
    /// Shows `count` the counters of a response: those of what was rejected, then its own.
    pub fn each(
        &mut self,
        counted: &Counted<'_>,
        registry: &mut impl Registry,
        mut count: impl FnMut(CounterId),
    ) {
        self.each_rejected(counted, registry, &mut count);
        let ids = counted.ids;
        let mut sources = SOURCES.iter().zip(&ids.responses);
        let of_source = sources.find(|((source, _), _)| *source == counted.source);
        let Code(code) = counted.code;
        if let Some(((_, source), by_code)) = of_source
            && let (Some(id), Some(code)) = (by_code.get(code), Code::LABELS.get(code))
        {
            let name = |rollout: &str, version: &str| {
                format!(
                    "bg_rollout=.={rollout};.;bg_version=.={version};.;bg_source=.={source};.;\
                     bg_code=.={code};.;bluegreen_responses_total"
                )
            };
            self.of_target(id, counted.target, registry, name)
                .map(count);
        }
    }

    /// Shows `count` the counters of what was rejected, and of no response.
    pub fn each_rejected(
        &mut self,
        counted: &Counted<'_>,
        registry: &mut impl Registry,
        mut count: impl FnMut(CounterId),
    ) {
        let ids = counted.ids;
        for place in counted.rejected.places() {
            let (Some(id), Some((_, reason))) = (ids.rejected.get(place), REASONS.get(place))
            else {
                continue;
            };
            let name = |rollout: &str, _: &str| {
                format!("bg_rollout=.={rollout};.;bg_reason=.={reason};.;bluegreen_rejected_total")
            };
            self.of_target(id, counted.target, registry, name)
                .map(&mut count);
        }
    }

    /// Returns the counter of a target by the name that `name` makes of rollout and
    /// version. `id` is its id, once it is known.
    fn of_target(
        &mut self,
        id: &Cell<Option<CounterId>>,
        target: Target<'_>,
        registry: &mut impl Registry,
        name: impl Fn(&str, &str) -> String,
    ) -> Option<CounterId> {
        if id.get().is_none() {
            id.set(self.defined(target, registry, name));
        }
        id.get()
    }

    fn defined(
        &mut self,
        target: Target<'_>,
        registry: &mut impl Registry,
        name: impl Fn(&str, &str) -> String,
    ) -> Option<CounterId> {
        const OTHER: &str = "other";
        let rollout = target.rollout();
        let full = name(
            rollout.as_deref().unwrap_or("none"),
            target.version().map_or("none", Version::name),
        );
        if self.by_name.contains_key(&*full) || registry.admits(&full) {
            self.named(&full, registry)
        } else {
            self.named(&name(OTHER, OTHER), registry)
        }
    }

    /// Returns the counter of this name, which the proxy has whatever else it has.
    pub fn named(&mut self, name: &str, registry: &mut impl Registry) -> Option<CounterId> {
        if let Some(counter) = self.by_name.get(name) {
            return Some(*counter);
        }
        let counter = registry.define(name)?;
        self.by_name.insert(name.into(), counter);
        Some(counter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::route::Route;
    use crate::core::targets::{MOST_TARGETS, Targets};
    use std::collections::BTreeMap;

    /// A proxy that keeps names and counts.
    #[derive(Default)]
    struct Proxy {
        names: Vec<String>,
        room: usize,
    }

    impl Registry for Proxy {
        fn admits(&mut self, _: &str) -> bool {
            self.names.len() < self.room
        }

        fn define(&mut self, name: &str) -> Option<CounterId> {
            assert!(
                !self.names.iter().any(|other| other == name),
                "{name} twice"
            );
            self.names.push(name.to_owned());
            u32::try_from(self.names.len() - 1).ok()
        }
    }

    #[derive(Default)]
    struct Vm {
        proxy: Proxy,
        targets: Targets,
        counters: Counters,
        counts: BTreeMap<String, usize>,
    }

    impl Vm {
        fn with_room(room: usize) -> Self {
            let mut new = Self::default();
            new.proxy.room = room;
            new
        }

        fn count(&mut self, header: &str, source: Source, status: &str, reasons: &[Reason]) {
            let mut rejected = Reasons::default();
            reasons.iter().for_each(|reason| rejected.add(*reason));
            let target = Route::of_header(header.as_bytes()).target;
            let code = Code::of_status(Some(status.as_bytes()));
            let counted = self.targets.know(target).counted(source, code, rejected);
            let mut ids = Vec::new();
            self.counters
                .each(&counted, &mut self.proxy, |id| ids.push(id));
            for id in ids {
                let name = self.proxy.names[id as usize].clone();
                *self.counts.entry(name).or_default() += 1;
            }
        }
    }

    fn header(service: &str, version: &str) -> String {
        format!(
            "via_upstream outbound|80|{version}|{service}.ns.svc.cluster.local \
             /apis/networking.istio.io/v1/namespaces/ns/virtual-service/{service}"
        )
    }

    #[test]
    fn each_response_has_the_counter_of_its_labels() {
        for (source, label) in SOURCES {
            for (status, class) in [
                ("101", "1xx"),
                ("200", "2xx"),
                ("302", "3xx"),
                ("404", "4xx"),
                ("503", "5xx"),
            ] {
                let mut vm = Vm::with_room(9);
                vm.count(&header("shop", "green"), source, status, &[]);
                let name = format!(
                    "bg_rollout=.=shop.ns;.;bg_version=.=green;.;bg_source=.={label};.;\
                     bg_code=.={class};.;bluegreen_responses_total"
                );
                assert_eq!(vm.counts, BTreeMap::from([(name, 1)]));
            }
        }
    }

    #[test]
    fn each_reason_has_the_counter_of_its_rollout() {
        for (reason, label) in REASONS {
            let mut vm = Vm::with_room(9);
            vm.count(&header("shop", "green"), Source::None, "200", &[reason]);
            let name =
                format!("bg_rollout=.=shop.ns;.;bg_reason=.={label};.;bluegreen_rejected_total");
            assert_eq!(vm.counts.get(&name), Some(&1), "{:?}", vm.counts);
            assert_eq!(vm.counts.len(), 2);
        }
    }

    #[test]
    fn what_has_no_name_counts_as_none() {
        let mut vm = Vm::with_room(9);
        vm.count("direct_response - -", Source::None, "", &[]);
        let name = "bg_rollout=.=none;.;bg_version=.=none;.;bg_source=.=none;.;bg_code=.=none;.;\
                    bluegreen_responses_total";
        assert_eq!(vm.counts, BTreeMap::from([(name.to_owned(), 1)]));
    }

    #[test]
    fn a_counter_is_defined_once_however_the_request_went() {
        let mut vm = Vm::with_room(9);
        for port in [80, 8080, 80] {
            let header = header("shop", "green").replace("|80|", &format!("|{port}|"));
            vm.count(&header, Source::Minted, "200", &[]);
        }
        assert_eq!(vm.counts.into_values().collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn more_ways_than_are_kept_at_hand_lose_no_count() {
        let mut vm = Vm::with_room(usize::MAX);
        for _ in 0..2 {
            for way in 0..=MOST_TARGETS {
                vm.count(
                    &header(&format!("s{way}"), "v1"),
                    Source::Minted,
                    "200",
                    &[],
                );
            }
        }
        assert!(vm.counts.values().all(|count| *count == 2));
        assert_eq!(vm.counts.len(), MOST_TARGETS + 1);
    }

    #[test]
    fn what_the_proxy_has_no_room_for_counts_as_other() {
        let mut vm = Vm::with_room(2);
        for service in ["a", "b", "c", "d", "a"] {
            vm.count(&header(service, "v1"), Source::Minted, "200", &[]);
        }
        vm.count(
            &header("e", "v1"),
            Source::Minted,
            "200",
            &[Reason::BucketHeader],
        );
        let other = "bg_rollout=.=other;.;bg_version=.=other;.;bg_source=.=minted;.;bg_code=.=2xx;.;\
                     bluegreen_responses_total";
        assert_eq!(vm.counts.get(other), Some(&3));
        let rejected = "bg_rollout=.=other;.;bg_reason=.=bucket-header;.;bluegreen_rejected_total";
        assert_eq!(vm.counts.get(rejected), Some(&1));
        assert_eq!(vm.counts.len(), 4);
    }

    #[test]
    fn the_series_without_a_name_have_room_beside_the_others() {
        let others = SOURCES.len() * Code::LABELS.len() + REASONS.len();
        assert!(
            MOST_NAMED_SERIES + others < MOST_SERIES,
            "and some for configurations"
        );
    }

    #[test]
    fn a_plugin_is_told_by_its_namespace_and_name() {
        for name in [
            "istio-system.bluegreen-outbound",
            "extensions.istio.io/wasmplugin/istio-system.bluegreen-outbound",
            "extensions.istio.io/trafficextension/istio-system.bluegreen-outbound~istio-translated-wasmplugin",
        ] {
            assert_eq!(
                config_wrong(name.as_bytes()),
                "bg_plugin=.=istio-system.bluegreen-outbound;.;bluegreen_config_wrong"
            );
        }
        assert_eq!(config_wrong(b""), "bg_plugin=.=;.;bluegreen_config_wrong");
    }
}
