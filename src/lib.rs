//! Sticky, pinnable and visible blue/green splits on top of Istio's weights.
//!
//! The way of a request:
//!
//! ```text
//! Envoy -> envoy::entry -> envoy::filter -> core::decision::request  -> Envoy routes
//! Envoy <- envoy::filter <- core::decision::response <- envoy::entry <- Envoy answers
//! ```
//!
//! [`core`] decides everything, and is pure: bytes in, decisions out. `envoy` is the
//! shell around it, the only part that calls the host.

pub mod core;
#[cfg(target_family = "wasm")]
mod envoy;
