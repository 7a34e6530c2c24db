//! What a decision may ask of the host: the wall between the core and Envoy.
//!
//! Each answer costs a hostcall (one that brings bytes about 11,000 instructions),
//! so they are asked for one by one, when something depends on them.

use crate::core::headers::Headers;
use std::borrow::Cow;

/// What the host answers: bytes that it lends for as long as the callback lasts,
/// or, when they are many, bytes that are ours.
pub type Bytes<'h> = Cow<'h, [u8]>;

/// What a decision may ask about a request. Values are a stranger's bytes.
pub trait RequestFacts {
    /// The first value of one request header: for who may need no other.
    fn header(&self, name: &str) -> Option<Bytes<'_>>;
    /// All request headers.
    fn headers(&self) -> &Headers<'_>;
    /// A random number, for an identity.
    fn random(&self) -> Option<u64>;
}

/// What a decision may ask about a response.
pub trait ResponseFacts {
    /// The first value of a response header.
    fn header(&self, name: &str) -> Option<Bytes<'_>>;
    /// Who made the response (Envoy: `response.code_details`).
    fn code_details(&self) -> Option<Bytes<'_>>;
    /// The name of the cluster that the request went to (Envoy: `xds.cluster_name`).
    fn cluster(&self) -> Option<Bytes<'_>>;
}
