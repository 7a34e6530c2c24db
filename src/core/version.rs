//! The version that a cluster stands for, as Istio names clusters.

/// The name of a version: a subset, or else a Service. 1 to 253 letters, digits, `-`,
/// `_` and `.`, so that it may stand in a header and in a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version<'c>(&'c [u8]);

impl<'c> Version<'c> {
    /// Returns the version of the cluster with this name, which is
    /// `DIRECTION|PORT|SUBSET|HOST` to Istio: its subset, else the Service, the first
    /// label of its host. `None` for any other name.
    ///
    /// A waypoint writes the protocol in the place of the subset, with the subset behind
    /// it: `inbound-vip|80|http/green|…`.
    #[must_use]
    pub fn of_cluster(cluster: &'c [u8]) -> Option<Self> {
        let [direction, _, subset, host] = parts(cluster)?;
        let subset = if direction == b"inbound-vip" {
            let slash = subset.iter().position(|&b| b == b'/');
            slash.and_then(|at| subset.get(at..)?.strip_prefix(b"/"))
        } else {
            Some(subset)
        };
        let service = || host.split(|&b| b == b'.').next();
        let name = subset.filter(|subset| !subset.is_empty()).or_else(service);
        Self::new(name?)
    }

    /// Returns the version with this name; `None` if it has not the form of one.
    #[must_use]
    pub fn new(name: &'c [u8]) -> Option<Self> {
        let inner = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
        let is_name = (1..=253).contains(&name.len()) && name.iter().all(inner);
        is_name.then_some(Self(name))
    }

    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'c str {
        std::str::from_utf8(self.0).unwrap_or_default()
    }

    /// Returns the bytes of its name.
    #[must_use]
    pub fn bytes(self) -> &'c [u8] {
        self.0
    }

    /// Returns a copy that outlives what this one was read from.
    #[must_use]
    pub fn to_owned(self) -> OwnedVersion {
        OwnedVersion(self.0.into())
    }

    /// Returns whether a pin for `name` means this version: by its name, or by what
    /// follows a `-` in it. `shop-green` answers to `shop-green` and `green`.
    #[must_use]
    pub fn answers_to(self, name: &[u8]) -> bool {
        let before = self.0.strip_suffix(name);
        !name.is_empty() && before.is_some_and(|before| before.is_empty() || before.ends_with(b"-"))
    }
}

/// A version that outlives the name of the cluster that it was read from.
#[derive(Debug)]
pub struct OwnedVersion(Box<[u8]>);

impl OwnedVersion {
    /// Returns the version.
    #[must_use]
    pub fn borrow(&self) -> Version<'_> {
        Version(&self.0)
    }
}

/// Returns the host of a cluster's name; `None` where Istio names no host.
#[must_use]
pub fn host_of_cluster(cluster: &[u8]) -> Option<&[u8]> {
    let [.., host] = parts(cluster)?;
    (!host.is_empty()).then_some(host)
}

/// Returns the four parts of a cluster's name.
fn parts(cluster: &[u8]) -> Option<[&[u8]; 4]> {
    let mut rest = cluster.splitn(4, |&b| b == b'|');
    Some([rest.next()?, rest.next()?, rest.next()?, rest.next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_its_subset_or_else_its_service() {
        let rows = [
            ("outbound|80|green|shop.shop.svc.cluster.local", "green"),
            (
                "outbound|80||shop-green.shop.svc.cluster.local",
                "shop-green",
            ),
            ("outbound|80|v1.2_x|shop", "v1.2_x"),
            (
                "inbound-vip|80|http/green|shop.shop.svc.cluster.local",
                "green",
            ),
            (
                "inbound-vip|80|http|shop-green.shop.svc.cluster.local",
                "shop-green",
            ),
            (
                "inbound-vip|80|http/|shop-green.shop.svc.cluster.local",
                "shop-green",
            ),
            ("outbound|443||api.example.com", "api"),
        ];
        for (cluster, version) in rows {
            let found = Version::of_cluster(cluster.as_bytes());
            assert_eq!(found.map(Version::name), Some(version), "{cluster}");
        }
        for none in [
            "",
            "-",
            "BlackHoleCluster",
            "PassthroughCluster",
            "inbound|8080||",
            "outbound|80||.example",
            "outbound|80||*.example",
            "outbound|80|a b|shop",
            "outbound|80|gr\u{fc}n|shop",
        ] {
            assert_eq!(Version::of_cluster(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn a_version_answers_to_its_name_and_to_what_follows_a_hyphen() {
        let answers = |version: &'static str, name: &str| {
            Version(version.as_bytes()).answers_to(name.as_bytes())
        };
        for name in ["my-shop-green", "shop-green", "green"] {
            assert!(answers("my-shop-green", name), "{name}");
        }
        for name in ["", "my", "shop", "reen", "-green", "my-shop", "greener"] {
            assert!(!answers("my-shop-green", name), "{name}");
        }
        assert!(!answers("evergreen", "green"));
    }

    #[test]
    fn the_host_of_a_cluster_is_its_last_part() {
        assert_eq!(
            host_of_cluster(b"outbound|80|green|shop.x"),
            Some(&b"shop.x"[..])
        );
        for none in [&b"inbound|8080||"[..], b"-", b"outbound|80|green"] {
            assert_eq!(host_of_cluster(none), None);
        }
    }
}
