//! All that decides: pure functions over bytes, without a host call, a clock or a
//! global.
//!
//! ```text
//! decision::request   rollout   which service's versions
//!                     pin       does a tester ask for one
//!                     identity  else: who is the user
//!                     bucket    and which number is theirs
//! decision::response  what the response says, and as what it counts
//! ```

pub mod bucket;
pub mod config;
pub mod cookie;
pub mod decision;
pub mod facts;
pub mod headers;
pub mod identity;
pub mod metrics;
pub mod pin;
pub mod role;
pub mod rollout;
pub mod set_cookie;
mod user;
