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
//! Everything that decides is pure: bytes in, decisions out. `filter` is a thin
//! translation of Envoy's callbacks, and `host` alone calls the host.

pub mod bucket;
pub mod config;
pub mod cookie;
pub mod decision;
pub mod facts;
#[cfg(target_family = "wasm")]
mod filter;
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

#[cfg(target_family = "wasm")]
mod entry {
    //! The entry point: the SDK's macro makes `_initialize`, which Envoy calls once a VM.
    proxy_wasm::main! {{
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
        proxy_wasm::set_root_context(|_| Box::new(crate::filter::Root::new()));
    }}
}
