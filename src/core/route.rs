//! What Envoy says of a response: the route header, which it writes on the routes that
//! take part, and on no others.
//!
//! ```text
//! %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER_RAW% %METADATA(ROUTE:istio:config)%
//! via_upstream outbound|80|green|shop.shop.svc.cluster.local /apis/…/virtual-service/shop
//! ```

use super::version::{Version, host_of_cluster};

/// What Envoy says of a response that an upstream gave (`%RESPONSE_CODE_DETAILS%`).
pub const VIA_UPSTREAM: &[u8] = b"via_upstream";

/// The way that a request went, and whether an upstream answered at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route<'h> {
    /// Whether an upstream gave the response, and not Envoy itself.
    pub answered: bool,
    /// Where the request went: the cluster and the configuration of the route, which
    /// together name rollout and version.
    pub target: Target<'h>,
}

impl<'h> Route<'h> {
    /// Returns the route that a route header tells of. What is Envoy's `-` for nothing, or
    /// the third word if it is missing, is not known. `None` for one word: Envoy writes two
    /// or more, so an upstream has a header of this name on a route that takes no part.
    #[must_use]
    pub fn of_header(value: &'h [u8]) -> Option<Self> {
        // Nearly all begin so.
        if let Some(target) = value.strip_prefix(b"via_upstream ") {
            return Some(Self {
                answered: true,
                target: Target(target),
            });
        }
        let (_, target) = value.split_at_checked(memchr::memchr(b' ', value)?)?;
        Some(Self {
            answered: false,
            target: Target(target.strip_prefix(b" ")?),
        })
    }
}

/// The cluster of a route, and the object that made the route, as the route header has
/// them: two words with a space between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'h>(&'h [u8]);

impl<'h> Target<'h> {
    /// Returns the target of these bytes, which may be any.
    #[must_use]
    pub fn new(bytes: &'h [u8]) -> Self {
        Self(bytes)
    }

    /// Returns the bytes that tell this target from others.
    #[must_use]
    pub fn bytes(self) -> &'h [u8] {
        self.0
    }

    /// Returns the version of the cluster; `None` when it has none.
    #[must_use]
    pub fn version(self) -> Option<Version<'h>> {
        Version::of_cluster(self.cluster())
    }

    /// Returns the name of the rollout: `NAME.NAMESPACE` of the `VirtualService`, else
    /// the host of the cluster; `None` when neither is known.
    #[must_use]
    pub fn rollout(self) -> Option<String> {
        let (_, config) = split_at_space(self.0);
        virtual_service(config).or_else(|| name(host_of_cluster(self.cluster())?))
    }

    fn cluster(self) -> &'h [u8] {
        split_at_space(self.0).0
    }
}

/// Returns `NAME.NAMESPACE` of `…/namespaces/NAMESPACE/virtual-service/NAME`.
fn virtual_service(config: &[u8]) -> Option<String> {
    let mut parts = config.rsplit(|&b| b == b'/');
    let (of, kind, namespace, namespaces) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if kind != b"virtual-service" || namespaces != b"namespaces" {
        return None;
    }
    name(&[of, b".", namespace].concat())
}

/// Returns a name of Envoy's configuration that may stand in a metric: 1 to 507 letters,
/// digits, `-`, `_`, `.` and `*`.
fn name(bytes: &[u8]) -> Option<String> {
    // Two names of Kubernetes with a dot between them.
    const LONGEST: usize = 253 + 1 + 253;
    let inner = |b: &u8| b.is_ascii_alphanumeric() || b"-_.*".contains(b);
    let is_name = (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(inner);
    is_name.then(|| String::from_utf8_lossy(bytes).into_owned())
}

/// Returns what stands before the first space, and behind it.
fn split_at_space(text: &[u8]) -> (&[u8], &[u8]) {
    let at = memchr::memchr(b' ', text).unwrap_or(text.len());
    let (before, rest) = text.split_at_checked(at).unwrap_or_default();
    (before, rest.strip_prefix(b" ").unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "/apis/networking.istio.io/v1/namespaces/ns/virtual-service/web";

    fn names(header: &str) -> (bool, Option<String>, Option<String>) {
        let route = Route::of_header(header.as_bytes()).expect(header);
        let version = route.target.version().map(|v| v.name().to_owned());
        (route.answered, route.target.rollout(), version)
    }

    fn some(rollout: &str, version: &str) -> (Option<String>, Option<String>) {
        let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        (text(rollout), text(version))
    }

    #[test]
    fn a_route_header_names_rollout_and_version() {
        let subset = "outbound|80|green|shop.ns.svc.cluster.local";
        let rows = [
            (
                format!("via_upstream {subset} {CONFIG}"),
                true,
                some("web.ns", "green"),
            ),
            (
                format!("via_upstream {subset}"),
                true,
                some("shop.ns.svc.cluster.local", "green"),
            ),
            (
                format!("via_upstream {subset} -"),
                true,
                some("shop.ns.svc.cluster.local", "green"),
            ),
            (
                format!(
                    "upstream_reset_before_response_started{{connection_failure}} {subset} {CONFIG}"
                ),
                false,
                some("web.ns", "green"),
            ),
            (
                format!("direct_response - {CONFIG}"),
                false,
                some("web.ns", ""),
            ),
            ("direct_response - -".to_owned(), false, some("", "")),
            ("via_upstream ".to_owned(), true, some("", "")),
            ("via_upstream_ - -".to_owned(), false, some("", "")),
            (
                "via_upstream inbound|8080|| /namespaces/ns/other-kind/web".to_owned(),
                true,
                some("", ""),
            ),
        ];
        for (header, answered, (rollout, version)) in rows {
            assert_eq!(names(&header), (answered, rollout, version), "{header}");
        }
    }

    #[test]
    fn one_word_is_no_route_header() {
        for header in ["", "docs", "via_upstream"] {
            assert_eq!(Route::of_header(header.as_bytes()), None, "{header}");
        }
    }

    #[test]
    fn what_could_not_stand_in_a_metric_is_no_name() {
        for odd in ["a b", "a;.;b", "\u{fc}", &"x".repeat(508)] {
            assert_eq!(name(odd.as_bytes()), None, "{odd}");
        }
        assert_eq!(name("x".repeat(507).as_bytes()).unwrap().len(), 507);
        assert_eq!(
            Route::of_header(b"via_upstream \xff|\xff|\xff|\xff /\xff")
                .unwrap()
                .target
                .rollout(),
            None
        );
    }
}
