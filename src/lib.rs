//! Sticky, pinnable and visible blue/green splits on top of Istio's weights.
//!
//! The way of a request:
//!
//! ```text
//! Envoy -> filter.rs -> decision::request  -> filter.rs -> Envoy routes
//!                         rollout   which service's versions
//!                         pin       does a tester ask for one
//!                         identity  else: who is the user
//!                         bucket    and which number is theirs
//! Envoy <- filter.rs <- decision::response <- filter.rs <- Envoy answers
//! ```
//!
//! Everything that decides is pure: bytes in, decisions out. `entry` is what Envoy
//! calls, `filter` a thin translation of its callbacks, and `host` alone calls Envoy.

pub mod bucket;
pub mod config;
pub mod cookie;
pub mod decision;
#[cfg(target_family = "wasm")]
mod entry;
pub mod facts;
#[cfg(target_family = "wasm")]
mod filter;
pub mod headers;
#[cfg(target_family = "wasm")]
mod host;
pub mod identity;
pub mod metrics;
pub mod pin;
pub mod role;
pub mod rollout;
pub mod set_cookie;
#[cfg(target_family = "wasm")]
mod tenure;
mod user;
