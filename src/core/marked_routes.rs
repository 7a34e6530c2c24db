//! The names by which http routes of a `VirtualService` take part: an `EnvoyFilter`
//! switches the filter on for these, and for no others.
//!
//! The filter itself asks for none of them. Manifests, policies, the command `bluegreen`
//! and the tests share them.

/// The names of weighted routes. The last one is for a controller's copy.
pub const WEIGHTED: [&str; 4] = ["bluegreen", "bluegreen-2", "bluegreen-3", MIRROR];

/// The name of a controller's copy of a weighted route.
pub const MIRROR: &str = "bluegreen-mirror";

/// The names of routes that match the pin header.
pub const PINS: [&str; 8] = [
    "bluegreen-pin",
    "bluegreen-pin-2",
    "bluegreen-pin-3",
    "bluegreen-pin-4",
    "bluegreen-pin-5",
    "bluegreen-pin-6",
    "bluegreen-pin-7",
    "bluegreen-pin-8",
];

/// The plugin whose filter the `EnvoyFilter` switches on and off, and the servers' one.
pub const PLUGINS: [&str; 2] = ["bluegreen-outbound", "bluegreen-server"];
