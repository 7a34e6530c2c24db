//! What decides about a request besides its headers.

/// What is known of a request besides its headers.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Where it is routed.
    pub side: Side,
    /// What people say of it.
    pub told: Told,
}

/// The side of the mesh on which a request is routed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Side {
    /// At a gateway.
    #[default]
    Gateway,
    /// At the sidecar of a caller in this namespace.
    Caller(String),
    /// At the waypoint of a Service.
    Waypoint {
        /// The host of the Service, in full.
        service: String,
        /// The namespace of the Service, and of its waypoint.
        namespace: String,
    },
}

/// What a request does not show, as far as people say it.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The port that it comes to.
    pub port: Option<u64>,
    /// Labels of the caller's pod; at a gateway of the gateway's.
    pub labels: Vec<(String, String)>,
    /// Claims of its token. One that is there twice is a list; an empty one is none.
    pub claims: Vec<(String, String)>,
}

impl Told {
    /// Returns a label's value; `None`: nobody says.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        let mut all = self.labels.iter();
        let label = all.find(|(other, _)| other == key);
        label.map(|(_, value)| value.as_str())
    }

    /// Returns a claim's values; `None`: nobody says.
    pub(super) fn claim(&self, name: &str) -> Option<Vec<&str>> {
        let of_name = self.claims.iter().filter(|(other, _)| other == name);
        let values: Vec<&str> = of_name.map(|(_, value)| value.as_str()).collect();
        let is_told = !values.is_empty();
        is_told.then(|| values.into_iter().filter(|v| !v.is_empty()).collect())
    }
}
