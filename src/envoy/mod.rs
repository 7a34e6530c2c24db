//! The shell: what Envoy calls, and the only file that calls Envoy.

mod entry;
mod filter;
mod host;
mod tenure;
