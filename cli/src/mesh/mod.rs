//! The mesh as files describe it: which routes there are, which one takes a request, and
//! to which cluster. What Istio and Envoy do with them, as far as a request shows it.

mod condition;
mod delegate;
mod facts;
mod http_route;
mod route;
mod virtual_service;

pub use condition::Condition;
pub use facts::{Facts, Side, Told};
pub use route::{Action, Destination, Route, Routes, Source, Spot, pick, sum};
pub(crate) use virtual_service::joined;

/// Header fields in order. Names are in lower case.
pub type Headers = Vec<(String, Vec<u8>)>;

/// Returns the values of a header, in order.
pub fn values<'h>(headers: &'h Headers, name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    let of_name = headers.iter().filter(move |(header, _)| header == name);
    of_name.map(|(_, value)| &**value)
}

/// Returns the host of a Service as Istio's clusters name it; any other host is its own
/// name.
#[must_use]
pub fn full_host(host: &str, namespace: &str) -> String {
    if host.contains('.') {
        host.to_owned()
    } else {
        format!("{host}.{namespace}.svc.cluster.local")
    }
}
