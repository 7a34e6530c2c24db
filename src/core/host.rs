//! The host that a request is for: its name without case, port and final dot, and the
//! name by which the callers of one Service agree.

use std::borrow::Cow;

/// The longest name of a host (RFC 1035 3.1). Of a longer host, only so many bytes at
/// its end are compared with a `*.` of the configuration.
pub const LONGEST_NAME: usize = 253;

/// Returns the host of an `:authority`: in lower case, without the port and without
/// the dot at the end of a fully qualified name. It may hold any bytes and be empty.
#[must_use]
pub fn of_authority(authority: &[u8]) -> Cow<'_, [u8]> {
    let end = match authority.iter().rposition(|&b| b == b':' || b == b']') {
        Some(at) if authority.get(at) == Some(&b':') => at,
        _ => authority.len(),
    };
    let host = authority.get(..end).unwrap_or_default();
    let host = host.strip_suffix(b".").unwrap_or(host);
    // Browsers send it in lower case.
    if host.iter().any(u8::is_ascii_uppercase) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}

/// Returns the ends of `host` that a `*.` of the configuration may stand before, such
/// as `.shop.example` and `.example`, the longest first.
///
/// At least one label stands before an end, and no end is longer than a name can be.
pub fn suffixes(host: &[u8]) -> impl Iterator<Item = &[u8]> {
    let first = host.len().saturating_sub(LONGEST_NAME).max(1);
    let dots = (first..host.len()).filter(|&at| host.get(at) == Some(&b'.'));
    dots.filter_map(|at| host.get(at..))
}

/// The names of Services as a workload calls them, which may leave out what the
/// workload's own namespace and cluster say.
#[derive(Debug, PartialEq, Eq)]
pub struct ServiceNames {
    /// The caller's namespace behind a dot, as in `.shop`.
    namespace: Box<[u8]>,
    /// What stands behind `NAME.NAMESPACE` in the caller's cluster, as in
    /// `.svc.cluster.local`.
    domain: Box<[u8]>,
}

impl ServiceNames {
    /// Returns the names as the proxy with this node id calls them; `None` when the id
    /// names no namespace.
    ///
    /// Istio's node id is `sidecar~IP~POD.NAMESPACE~NAMESPACE.svc.cluster.local`.
    #[must_use]
    pub fn of_node(node_id: &[u8]) -> Option<Self> {
        let domain = node_id.split(|&b| b == b'~').nth(3)?;
        let dot = domain.iter().position(|&b| b == b'.')?;
        let (namespace, domain) = domain.split_at_checked(dot)?;
        (!namespace.is_empty()).then(|| Self {
            namespace: [b".", namespace].concat().into(),
            domain: domain.into(),
        })
    }

    /// Returns the one name of the Service that `host` means, in two parts to be read
    /// one after the other: `NAME.NAMESPACE`. Any other host is its own name.
    ///
    /// `stock`, `stock.shop`, `stock.shop.svc` and `stock.shop.svc.cluster.local` are
    /// `stock.shop` for a caller in the namespace `shop`.
    #[must_use]
    pub fn unified<'h>(&'h self, host: &'h [u8]) -> [&'h [u8]; 2] {
        const CLUSTER_LOCAL: &[u8] = b".svc.cluster.local";
        let is_short = !host.is_empty() && !host.contains(&b'.') && !host.contains(&b':');
        if is_short {
            return [host, &self.namespace];
        }
        let ends: [&[u8]; 3] = [&self.domain, CLUSTER_LOCAL, b".svc"];
        let service = ends.iter().find_map(|end| host.strip_suffix(*end));
        let is_name_and_namespace = |name: &&[u8]| name.split(|&b| b == b'.').count() == 2;
        [service.filter(is_name_and_namespace).unwrap_or(host), b""]
    }
}

/// Returns whether `name` means this host: as all of it, as its first label, or as the
/// one name of the Service that it is to a workload with these names.
#[must_use]
pub fn is_meant_by(host: &[u8], names: Option<&ServiceNames>, name: &[u8]) -> bool {
    let label = host.split(|&b| b == b'.').next();
    let is_unified = |names: &ServiceNames| {
        let [name_of_host, rest] = names.unified(host);
        name.strip_prefix(name_of_host) == Some(rest)
    };
    name == host || label == Some(name) || names.is_some_and(is_unified)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_no_case_no_port_and_no_final_dot() {
        let rows = [
            ("shop.example", "shop.example"),
            ("SHOP.example:8080", "shop.example"),
            ("shop.example.", "shop.example"),
            ("shop.example.:80", "shop.example"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("shop.example:80:80", "shop.example:80"),
            ("[::1", "[:"),
            (":80", ""),
            ("", ""),
        ];
        for (authority, host) in rows {
            let found = of_authority(authority.as_bytes());
            assert_eq!(&*found, host.as_bytes(), "{authority:?}");
        }
    }

    #[test]
    fn an_end_stands_behind_at_least_one_label_and_is_no_longer_than_a_name() {
        let all = |host: &str| {
            let ends = suffixes(host.as_bytes()).map(|end| String::from_utf8(end.into()).unwrap());
            ends.collect::<Vec<_>>()
        };
        assert_eq!(all("a.shop.example"), [".shop.example", ".example"]);
        assert_eq!(all(".example"), [""; 0]);
        assert_eq!(all("example"), [""; 0]);
        assert_eq!(all(""), [""; 0]);
        let long = "a".repeat(300) + ".shop.example";
        assert_eq!(all(&long), [".shop.example", ".example"]);
        let end = format!(".{}", "b".repeat(LONGEST_NAME - 1));
        assert_eq!(all(&format!("a{end}")).concat(), end);
        assert_eq!(all(&format!("a{end}b")), [""; 0]);
    }

    #[test]
    fn the_names_of_one_service_are_one_for_a_caller() {
        let names = ServiceNames::of_node(b"sidecar~10.0.0.1~front-1.shop~shop.svc.cluster.local");
        let names = names.unwrap();
        let unified = |host: &str| {
            let parts = names.unified(host.as_bytes()).concat();
            String::from_utf8(parts).unwrap()
        };
        for same in [
            "stock",
            "stock.shop",
            "stock.shop.svc",
            "stock.shop.svc.cluster.local",
        ] {
            assert_eq!(unified(same), "stock.shop");
        }
        for other in [
            "",
            "[::1]",
            "10.0.0.7",
            "shop.example",
            "svc.cluster.local",
            "pod-0.stock.shop.svc.cluster.local",
            "stock.svc.cluster.local.example",
        ] {
            assert_eq!(unified(other), other);
        }
        assert_eq!(unified("stock.other.svc"), "stock.other");
    }

    #[test]
    fn a_cluster_may_have_a_domain_of_its_own() {
        let names = ServiceNames::of_node(b"sidecar~10.0.0.1~a.shop~shop.svc.corp.internal");
        let unified = |host: &[u8]| names.as_ref().unwrap().unified(host).concat();
        assert_eq!(unified(b"stock.shop.svc.corp.internal"), b"stock.shop");
        assert_eq!(unified(b"stock.shop.svc.cluster.local"), b"stock.shop");
    }

    #[test]
    fn a_node_without_a_namespace_has_no_names() {
        for node in [
            &b""[..],
            b"sidecar~t",
            b"a~b~c~",
            b"a~b~c~shop",
            b"a~b~c~.svc",
        ] {
            assert_eq!(ServiceNames::of_node(node), None, "{node:?}");
        }
    }
}
