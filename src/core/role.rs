//! Which part the filter plays: by the configuration, by the proxy it runs in
//! and, where one configuration serves both sides of a sidecar, by the listener.

/// The part of the filter on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// At the edge: callers are strangers, who get cookies and are told why.
    Gateway,
    /// A workload's outbound side, or a waypoint: callers are workloads.
    Client,
    /// A workload's inbound side, which says its own version.
    Server,
}

/// The `role` of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// Like `Outbound`, but a sidecar's inbound listener is a server.
    Auto,
    /// A client in a sidecar or a waypoint, a gateway elsewhere.
    Outbound,
    /// This role everywhere.
    Fixed(Role),
}

impl Setting {
    /// The words of the configuration.
    pub const WORDS: [(&'static str, Self); 5] = [
        ("auto", Self::Auto),
        ("outbound", Self::Outbound),
        ("gateway", Self::Fixed(Role::Gateway)),
        ("client", Self::Fixed(Role::Client)),
        ("server", Self::Fixed(Role::Server)),
    ];
}

/// Where a plugin got its role: from the configuration and the node, decided
/// once, or still to be asked of each stream's listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// The same role for every stream.
    Fixed(Role),
    /// A server on an inbound listener, a client on any other. One root context
    /// serves both listeners of a sidecar (Envoy 1.36 to 1.40), so only a
    /// stream can tell, at the price of a property (about 12,000 instructions).
    ByListener,
}

impl Placement {
    /// The placement in the proxy whose node id (`xds.node.id`; empty: unknown) is
    /// `node_id`. Istio's ids start with the kind of proxy: `sidecar~`, `router~`, `waypoint~`.
    #[must_use]
    pub fn of(setting: Setting, node_id: &[u8]) -> Self {
        let sidecar = node_id.starts_with(b"sidecar~");
        let waypoint = node_id.starts_with(b"waypoint~");
        match setting {
            Setting::Fixed(role) => Self::Fixed(role),
            Setting::Auto if sidecar => Self::ByListener,
            Setting::Auto | Setting::Outbound if sidecar || waypoint => Self::Fixed(Role::Client),
            Setting::Auto | Setting::Outbound => Self::Fixed(Role::Gateway),
        }
    }

    /// Whether a stream may have this role.
    #[must_use]
    pub fn allows(self, role: Role) -> bool {
        match self {
            Self::Fixed(fixed) => fixed == role,
            Self::ByListener => role != Role::Gateway,
        }
    }

    /// The role of one stream; `inbound` asks its listener and is called only where it matters.
    pub fn role(self, inbound: impl FnOnce() -> bool) -> Role {
        match self {
            Self::Fixed(role) => role,
            Self::ByListener if inbound() => Role::Server,
            Self::ByListener => Role::Client,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_and_the_listener_decide_the_role() {
        let sidecar = b"sidecar~10.0.0.1~app.ns~ns.svc.cluster.local".as_slice();
        let waypoint = b"waypoint~10.0.0.1~w.ns~ns.svc.cluster.local".as_slice();
        let router = b"router~10.0.0.1~gw.ns~ns.svc.cluster.local".as_slice();
        let rows = [
            (Setting::Auto, sidecar, true, Role::Server),
            (Setting::Auto, sidecar, false, Role::Client),
            (Setting::Auto, waypoint, true, Role::Client),
            (Setting::Auto, router, false, Role::Gateway),
            (Setting::Auto, router, true, Role::Gateway),
            (Setting::Auto, b"", false, Role::Gateway),
            (Setting::Auto, b"sidecar", false, Role::Gateway),
            (Setting::Outbound, sidecar, true, Role::Client),
            (Setting::Outbound, waypoint, true, Role::Client),
            (Setting::Outbound, router, false, Role::Gateway),
            (Setting::Fixed(Role::Server), router, false, Role::Server),
            (Setting::Fixed(Role::Gateway), sidecar, true, Role::Gateway),
        ];
        for (setting, node, inbound, role) in rows {
            let placement = Placement::of(setting, node);
            assert_eq!(
                placement.role(|| inbound),
                role,
                "{setting:?} {node:?} {inbound}"
            );
            assert!(placement.allows(role));
        }
    }

    #[test]
    fn only_auto_in_a_sidecar_asks_the_listener() {
        let placement = Placement::of(Setting::Outbound, b"sidecar~x");
        assert_eq!(placement, Placement::Fixed(Role::Client));
    }
}
