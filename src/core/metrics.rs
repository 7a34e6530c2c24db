//! The counters, all of them known when the configuration is read: no request
//! or response can create a metric.
//!
//! Names have Istio's form for labels, `TAG=.=VALUE;.;` before the name.

use crate::core::config::Config;
use crate::core::role::{Placement, Role};
use crate::core::rollout::VersionIndex;

/// Where the version of a request came from; a label of `bluegreen_responses_total`.
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
    /// Nothing: Envoy rolled dice.
    None,
}

/// Why something that a caller sent did not count; a label of `bluegreen_rejected_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A pin for a version that the rollout does not have.
    PinUnknownVersion,
    /// A pinned request that another version served.
    PinNotRouted,
    /// Identity cookies, none of them well-formed.
    CookieMalformed,
    /// A caller's bucket that is no plain number below the total.
    BucketHeader,
    /// A pinned request at a server of another version.
    Misrouted,
}

/// The version that served a response; a label of `bluegreen_responses_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// One of the rollout's versions.
    Version(VersionIndex),
    /// An upstream that calls itself something else.
    Other,
    /// No version, or an unknown one.
    None,
}

/// The counter of refused configurations.
pub const CONFIG_REJECTED: &str = "bluegreen_config_rejected_total";

type Possible = fn(&Config, Placement) -> bool;

/// The sources, their labels, and when a proxy can see them.
const SOURCES: [(Source, &str, Possible); 8] = [
    (Source::PinHeader, "pin-header", |c, p| {
        c.pin.is_some() && outbound(p)
    }),
    (Source::PinQuery, "pin-query", |c, p| {
        p.allows(Role::Gateway) && c.pin.as_ref().is_some_and(|pin| pin.query.is_some())
    }),
    (Source::PinCookie, "pin-cookie", |c, p| {
        p.allows(Role::Gateway) && c.pin.as_ref().is_some_and(|pin| pin.cookie.is_some())
    }),
    (Source::IdentityHeader, "identity-header", |c, p| {
        outbound(p) && c.identity.header.is_some()
    }),
    (Source::IdentityCookie, "identity-cookie", |c, p| {
        outbound(p) && c.identity.cookie.is_some()
    }),
    (Source::Minted, "minted", |c, p| {
        p.allows(Role::Gateway) && c.identity.cookie.is_some()
    }),
    (Source::BucketHeader, "bucket-header", |_, p| {
        p.allows(Role::Client)
    }),
    (Source::None, "none", |_, p| outbound(p)),
];

/// The reasons, their labels, and when a proxy can see them.
const REASONS: [(Reason, &str, Possible); 5] = [
    (Reason::PinUnknownVersion, "pin-unknown-version", |c, p| {
        c.pin.is_some() && p.allows(Role::Gateway)
    }),
    (Reason::PinNotRouted, "pin-not-routed", |c, p| {
        c.pin.is_some() && outbound(p)
    }),
    (Reason::CookieMalformed, "cookie-malformed", |c, p| {
        outbound(p) && c.identity.cookie.is_some()
    }),
    (Reason::BucketHeader, "bucket-header", |_, p| {
        p.allows(Role::Client)
    }),
    (Reason::Misrouted, "misrouted", |c, p| {
        c.pin.is_some() && p.allows(Role::Server)
    }),
];

fn outbound(placement: Placement) -> bool {
    placement.allows(Role::Gateway) || placement.allows(Role::Client)
}

/// The ids that the host gave to the counters, found by place.
#[derive(Debug, Default)]
pub struct Counters {
    /// By reason.
    rejected: Vec<Option<u32>>,
    /// By rollout, by source; inside, the versions, `other` and `none`.
    responses: Vec<Vec<Vec<Option<u32>>>>,
}

impl Counters {
    /// Defines the counters that `config` can need in a proxy; `define` gives a
    /// name to the host and gets an id, or `None` when it has no room.
    pub fn define(
        config: &Config,
        placement: Placement,
        mut define: impl FnMut(&str) -> Option<u32>,
    ) -> Self {
        let rejected = REASONS
            .iter()
            .map(|(_, reason, possible)| {
                let name = format!("bg_reason=.={reason};.;bluegreen_rejected_total");
                possible(config, placement).then(|| define(&name)).flatten()
            })
            .collect();
        let mut responses = Vec::new();
        for rollout in config.rollouts.iter() {
            let mut by_source = Vec::new();
            for (_, source, possible) in &SOURCES {
                let possible = possible(config, placement);
                let versions = rollout.versions.iter().map(|name| &**name);
                let ids = versions.chain(["other", "none"]).map(|version| {
                    let name = format!(
                        "bg_rollout=.={};.;bg_version=.={version};.;bg_source=.={source};.;\
                         bluegreen_responses_total",
                        rollout.name
                    );
                    possible.then(|| define(&name)).flatten()
                });
                by_source.push(ids.collect());
            }
            responses.push(by_source);
        }
        Self {
            rejected,
            responses,
        }
    }

    /// The counter of a reason.
    #[must_use]
    pub fn rejected(&self, reason: Reason) -> Option<u32> {
        let place = REASONS.iter().position(|(row, ..)| *row == reason)?;
        *self.rejected.get(place)?
    }

    /// The counter of a response.
    #[must_use]
    pub fn responses(&self, counted: Counted) -> Option<u32> {
        let source = SOURCES
            .iter()
            .position(|(row, ..)| *row == counted.source)?;
        let versions = self
            .responses
            .get(usize::from(counted.rollout))?
            .get(source)?;
        let (none, others) = versions.split_last()?;
        let (other, versions) = others.split_last()?;
        match counted.served {
            Served::Version(VersionIndex(index)) => *versions.get(usize::from(index))?,
            Served::Other => *other,
            Served::None => *none,
        }
    }
}

/// One response, as `bluegreen_responses_total` counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The rollout's place in the configuration.
    pub rollout: u16,
    /// Who answered.
    pub served: Served,
    /// Why it was asked.
    pub source: Source,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config;
    use crate::core::role::Setting;

    /// The names that a configuration defines; ids are their places.
    fn define(json: &str, placement: Placement) -> (Vec<String>, Counters) {
        let config = config::parse(json.as_bytes()).unwrap();
        let mut names = Vec::new();
        let counters = Counters::define(&config, placement, |name| {
            names.push(name.to_owned());
            u32::try_from(names.len() - 1).ok()
        });
        (names, counters)
    }

    const TWO: &str = r#"{"pin": {"query": "p"}, "identity": {"header": "x-user-id"}, "rollouts": [
        {"name": "a", "versions": ["blue", "green"]},
        {"name": "b", "versions": ["v1", "v2", "v3"]}]}"#;

    #[test]
    fn each_response_has_the_counter_of_its_labels() {
        for role in [Role::Gateway, Role::Client] {
            let (names, counters) = define(TWO, Placement::Fixed(role));
            for (source, label, _) in SOURCES {
                let counted = Counted {
                    rollout: 1,
                    served: Served::Version(VersionIndex(2)),
                    source,
                };
                let id = counters.responses(counted);
                let name = id.map(|id| names[usize::try_from(id).unwrap()].as_str());
                let expected = format!(
                    "bg_rollout=.=b;.;bg_version=.=v3;.;bg_source=.={label};.;bluegreen_responses_total"
                );
                let only_gateway = matches!(label, "pin-query" | "pin-cookie" | "minted");
                let possible = match role {
                    Role::Gateway => label != "bucket-header",
                    _ => !only_gateway,
                };
                assert_eq!(
                    name,
                    possible.then_some(expected.as_str()),
                    "{role:?} {label}"
                );
            }
        }
    }

    #[test]
    fn other_and_none_have_counters_of_their_own() {
        let (names, counters) = define(TWO, Placement::Fixed(Role::Gateway));
        for (served, label) in [(Served::Other, "other"), (Served::None, "none")] {
            let counted = Counted {
                rollout: 0,
                served,
                source: Source::None,
            };
            let id = counters.responses(counted).unwrap();
            assert_eq!(
                names[usize::try_from(id).unwrap()],
                format!(
                    "bg_rollout=.=a;.;bg_version=.={label};.;bg_source=.=none;.;bluegreen_responses_total"
                )
            );
        }
    }

    #[test]
    fn a_proxy_defines_only_what_it_can_count() {
        let reasons = |placement| {
            let (names, _) = define(TWO, placement);
            let reasons: Vec<String> = names
                .iter()
                .filter_map(|name| name.strip_prefix("bg_reason=.="))
                .map(|name| name.replace(";.;bluegreen_rejected_total", ""))
                .collect();
            reasons.join(" ")
        };
        assert_eq!(
            reasons(Placement::Fixed(Role::Gateway)),
            "pin-unknown-version pin-not-routed cookie-malformed"
        );
        assert_eq!(
            reasons(Placement::Fixed(Role::Client)),
            "pin-not-routed cookie-malformed bucket-header"
        );
        assert_eq!(reasons(Placement::Fixed(Role::Server)), "misrouted");
        assert_eq!(
            reasons(Placement::of(Setting::Auto, b"sidecar~x")),
            "pin-not-routed cookie-malformed bucket-header misrouted"
        );
        let (server, _) = define(TWO, Placement::Fixed(Role::Server));
        assert_eq!(server.len(), 1, "a server counts no responses");
    }

    #[test]
    fn a_host_without_room_costs_counts_only() {
        let config = config::parse(TWO.as_bytes()).unwrap();
        let counters = Counters::define(&config, Placement::Fixed(Role::Gateway), |_| None);
        assert_eq!(counters.rejected(Reason::CookieMalformed), None);
    }
}
