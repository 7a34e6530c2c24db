//! What a proxy says of a stream besides its headers.

use std::borrow::Cow;

/// The properties of a stream. Each one that is asked for costs a request some 13,000
/// instructions, so only routes that Istio cannot mark ask.
pub trait Properties {
    /// Returns the name of the route (`xds.route_name`): before the filter has changed the
    /// request, of the one that Envoy found first. `None`: no route fits.
    fn route_name(&self) -> Option<Cow<'_, [u8]>>;

    /// Returns the name of the cluster (`xds.cluster_name`): before the filter has changed
    /// the request, of the one that Envoy would take it to. `None`: the route has none.
    fn cluster(&self) -> Option<Cow<'_, [u8]>>;

    /// Returns why the response is what it is (`response.code_details`): `via_upstream`
    /// where an upstream gave it.
    fn code_details(&self) -> Option<Cow<'_, [u8]>>;
}
