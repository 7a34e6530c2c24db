//! The versions that were tried: those of docs/compatibility.md, which a test compares.

use std::ops::RangeInclusive;

/// The minor versions of Istio 1 that are supported.
pub const ISTIO: RangeInclusive<u32> = 28..=31;
/// The minor versions of Envoy 1 that were tested.
pub const ENVOY: RangeInclusive<u32> = 36..=40;
/// The oldest minor version of Kubernetes 1.
pub const KUBERNETES: u32 = 30;

/// Returns the minor version of a version 1, as 31 of `1.31.0` or `v1.31`.
pub(super) fn minor(version: &str) -> Option<u32> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let rest = version.strip_prefix("1.")?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest.get(..end.unwrap_or(rest.len()))?.parse().ok()
}
