//! The shell: what Envoy calls, and the only file that calls Envoy.
//!
//! ```text
//! entry    the callbacks, each to the context that it is about
//! filter   from a callback to a decision of the core, and back
//! shared   what the VMs of a proxy share
//! host     hostcalls
//! ```

mod entry;
mod filter;
mod host;
mod shared;
