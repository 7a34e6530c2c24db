//! All that decides: pure functions over bytes, without a host call, a clock or a
//! global.
//!
//! ```text
//! decision::route      named_routes     does its name state weights
//!                      route_name       and which
//!
//! decision::request    rollouts         which settings hold
//!                      pin              does a tester ask for a version
//!                      signed_pin       and may they
//!                      pin_list         or for versions of single services
//!                      baggage          what do the applications' agents pass on
//!                      request_cookies  who is the user: header, cookie, or
//!                      identity         a new one
//!                      host             what users are dealt by
//!                      bucket           and which number is theirs
//!
//! decision::response   route            which way the request went
//!                      targets          what is known of its end
//!                      version          who that is
//!                      cache_control    who may keep the response
//!                      set_cookie       what the user keeps
//!                      metrics          and as what it counts
//! ```

pub mod baggage;
pub mod bucket;
pub mod cache_control;
pub mod config;
pub mod cookie;
pub mod decision;
pub mod edit;
pub mod headers;
pub mod history;
pub mod host;
pub mod identity;
pub mod marked_routes;
pub mod metrics;
pub mod named_routes;
pub mod pin;
pub mod pin_list;
pub mod properties;
pub mod request_cookies;
pub mod role;
pub mod rollouts;
pub mod route;
pub mod route_name;
pub mod set_cookie;
pub mod signed_pin;
pub mod targets;
pub mod version;
