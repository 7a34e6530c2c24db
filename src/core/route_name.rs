//! The name of a route that states its weights, where Istio can neither mark a route nor
//! have Envoy pick by the bucket: at gateways of the Gateway API and in waypoints.
//!
//! ```text
//! bluegreen.BACKEND-WEIGHT.BACKEND-WEIGHT     bluegreen.shop-blue-70.shop-green-30
//! ```

use super::bucket::Bucket;
use super::pin::PinName;
use super::version::Version;
use std::num::NonZeroU64;
use std::rc::Rc;

/// What the name of a route says, or what follows from it.
#[derive(Debug, PartialEq, Eq)]
pub enum RouteName<T> {
    /// The weights of its backends.
    States(T),
    /// It begins as one that states weights, and states none.
    IsMisspelled,
    /// Nothing to us.
    IsOfOthers,
}

/// The backends of a route in their order, with their weights.
#[derive(Debug, PartialEq, Eq)]
pub struct Weights {
    backends: Vec<Backend>,
    sum: NonZeroU64,
}

/// A backend of a route, which is a version.
#[derive(Debug, PartialEq, Eq)]
pub struct Backend {
    /// The name of the Service: a DNS label.
    pub name: Rc<[u8]>,
    /// Its part of the sum of all weights.
    pub weight: u32,
}

/// The place of a backend in its route.
pub type Place = usize;

/// How the names begin that state weights.
pub const PREFIX: &[u8] = b"bluegreen.";

/// The most bytes of the name of an `HTTPRoute`'s rule (Gateway API, `SectionName`).
pub const LONGEST: usize = 253;

/// The most backends of a rule (Gateway API, `HTTPRouteRule.backendRefs`).
pub const MOST_BACKENDS: usize = 16;

impl RouteName<Weights> {
    /// Returns what a name says, which may be any bytes.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        match name.strip_prefix(PREFIX) {
            None => Self::IsOfOthers,
            Some(stated) if name.len() <= LONGEST => {
                Weights::of(stated).map_or(Self::IsMisspelled, Self::States)
            }
            Some(_) => Self::IsMisspelled,
        }
    }
}

impl<T> RouteName<T> {
    /// Returns the same with what `change` makes of what the name states.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> RouteName<U> {
        match self {
            Self::States(stated) => RouteName::States(change(stated)),
            Self::IsMisspelled => RouteName::IsMisspelled,
            Self::IsOfOthers => RouteName::IsOfOthers,
        }
    }
}

impl Weights {
    fn of(stated: &[u8]) -> Option<Self> {
        let parts = || stated.split(|&b| b == b'.');
        if parts().count() > MOST_BACKENDS {
            return None;
        }
        let backends: Vec<Backend> = parts().map(Backend::of).collect::<Option<_>>()?;
        let weights = backends.iter().map(|backend| u64::from(backend.weight));
        let sum = NonZeroU64::new(weights.sum())?;
        Some(Self { backends, sum })
    }

    /// Returns the backends in their order.
    #[must_use]
    pub fn backends(&self) -> &[Backend] {
        &self.backends
    }

    /// Returns the backend to which Envoy's weighted route would take this bucket.
    #[must_use]
    pub fn pick(&self, bucket: Bucket) -> Option<Place> {
        bucket.pick(self.backends.iter().map(|each| each.weight), self.sum)
    }

    /// Returns the backend that a pin means: the one of this name, else the first that
    /// answers to it.
    #[must_use]
    pub fn answering_to(&self, pin: &[u8]) -> Option<Place> {
        let answers =
            |backend: &Backend| Version::new(&backend.name).is_some_and(|v| v.answers_to(pin));
        self.place_of(pin)
            .or_else(|| self.backends.iter().position(answers))
    }

    /// Returns the backend of this name.
    #[must_use]
    pub fn place_of(&self, name: &[u8]) -> Option<Place> {
        self.backends
            .iter()
            .position(|backend| *backend.name == *name)
    }

    /// Returns whether the name is of another day than the weights: Envoy, which knows
    /// these, would take a request to a version that gets none by the name.
    #[must_use]
    pub fn contradict(&self, cluster: &[u8]) -> bool {
        let Some(version) = Version::of_cluster(cluster) else {
            return false;
        };
        let of_version = |backend: &&Backend| *backend.name == *version.bytes();
        let mut found = self.backends.iter().filter(of_version).peekable();
        found.peek().is_some() && found.all(|backend| backend.weight == 0)
    }

    /// Returns whether a backend has the weight 0.
    #[must_use]
    pub fn have_a_zero(&self) -> bool {
        self.backends.iter().any(|backend| backend.weight == 0)
    }
}

impl Backend {
    /// Returns the backend of `NAME-WEIGHT`.
    fn of(stated: &[u8]) -> Option<Self> {
        let at = memchr::memrchr(b'-', stated)?;
        let (name, weight) = stated.split_at_checked(at)?;
        let weight = weight.strip_prefix(b"-")?;
        // Ten digits are enough for 32 bits, in which Envoy adds the weights up.
        let is_plain = weight == b"0" || !weight.starts_with(b"0");
        let weight = std::str::from_utf8(weight).ok()?;
        let is_number = weight.bytes().all(|b| b.is_ascii_digit());
        let fits = PinName::fits(name) && is_plain && is_number;
        fits.then_some(Self {
            name: name.into(),
            weight: weight.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(name: &str) -> Weights {
        match RouteName::of(name.as_bytes()) {
            RouteName::States(weights) => weights,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn a_name_states_backends_and_weights() {
        for (name, expected) in [
            (
                "bluegreen.shop-blue-70.shop-green-30",
                vec![("shop-blue", 70), ("shop-green", 30)],
            ),
            ("bluegreen.a-0.b-1", vec![("a", 0), ("b", 1)]),
            ("bluegreen.v1-2-3.1-1", vec![("v1-2", 3), ("1", 1)]),
            ("bluegreen.a-4294967295", vec![("a", u32::MAX)]),
        ] {
            let found: Vec<_> = weights(name)
                .backends()
                .iter()
                .map(|b| (String::from_utf8(b.name.to_vec()).unwrap(), b.weight))
                .collect();
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(name, weight)| (name.to_owned(), weight))
                .collect();
            assert_eq!(found, expected, "{name}");
        }
    }

    #[test]
    fn what_only_looks_alike_is_of_others_or_misspelled() {
        for other in [
            &b""[..],
            b"bluegreen",
            b"bluegreen-pin",
            b"bluegreen_a-1.b-1",
            b"shop.bluegreen.a-1.b-1",
            b"Bluegreen.a-1.b-1",
            b"\xff",
        ] {
            assert_eq!(RouteName::of(other), RouteName::IsOfOthers, "{other:?}");
        }
        let many = |count: usize| format!("bluegreen.{}", vec!["a-1"; count].join("."));
        let long = format!("bluegreen.{}-1", "a".repeat(65_536));
        for misspelled in [
            "bluegreen.",
            "bluegreen..",
            "bluegreen.a",
            "bluegreen.a.b",
            "bluegreen.a-",
            "bluegreen.-1",
            "bluegreen.a-1.",
            "bluegreen.a-1..b-1",
            "bluegreen.a-01",
            "bluegreen.a-+1",
            "bluegreen.a-1.5",
            "bluegreen.a-1 ",
            "bluegreen.A-1",
            "bluegreen.a--1",
            "bluegreen.a_b-1",
            "bluegreen.\u{fc}-1",
            "bluegreen.a-0.b-0",
            "bluegreen.a-4294967296",
            "bluegreen.a-18446744073709551616.b-1",
            &many(17),
            &many(300),
            &long,
        ] {
            let found = RouteName::of(misspelled.as_bytes());
            assert_eq!(found, RouteName::IsMisspelled, "{misspelled}");
        }
        let bytes = RouteName::of(b"bluegreen.\xff-1");
        assert_eq!(bytes, RouteName::IsMisspelled);
        assert_eq!(weights(&many(16)).backends().len(), 16);
        let longest = format!("bluegreen.{}", vec!["a".repeat(10) + "-1"; 16].join("."));
        assert_eq!(weights(&longest).backends().len(), 16);
    }

    #[test]
    fn a_pin_means_the_backend_of_its_name_then_the_first_that_answers_to_it() {
        let weights = weights("bluegreen.new-green-1.shop-green-1.green-0");
        let rows = [
            ("green", Some(2)),
            ("new-green", Some(0)),
            ("shop-green", Some(1)),
            ("een", None),
            ("", None),
            ("red", None),
        ];
        for (pin, place) in rows {
            assert_eq!(weights.answering_to(pin.as_bytes()), place, "{pin}");
        }
    }

    #[test]
    fn a_pick_of_a_version_without_weight_contradicts_the_name() {
        let weights = weights("bluegreen.shop-blue-100.shop-green-0");
        assert!(weights.have_a_zero());
        let cluster = |version: &str| format!("outbound|80||{version}.shop.svc.cluster.local");
        let rows = [("shop-green", true), ("shop-blue", false), ("other", false)];
        for (version, contradicts) in rows {
            let found = weights.contradict(cluster(version).as_bytes());
            assert_eq!(found, contradicts, "{version}");
        }
        assert!(!weights.contradict(b"") && !weights.contradict(b"cluster"));
    }
}
