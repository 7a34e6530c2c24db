//! Finds the settings of a request: those of the rollout of the configuration whose
//! host and path fit it best, else those of the mesh.
//!
//! Hosts are indexed when the configuration is read, so 256 rollouts cost what one does.

use super::host;
use super::pin::without_query;
use rustc_hash::FxHashMap;
use std::fmt;

/// A place in the list of settings.
pub type Place = u16;

/// The requests that a rollout is for.
#[derive(Debug)]
pub struct Scope {
    /// Lower-case names without a port; `*.` stands for one or more labels.
    pub hosts: Vec<Box<str>>,
    /// Plain prefixes of the path without its query; `None`: every path.
    pub path_prefixes: Option<Vec<Box<str>>>,
}

/// The rollouts of a configuration by host and path.
#[derive(Debug, Default)]
pub struct Rollouts {
    /// By a host's whole name.
    by_name: Hosts,
    /// By a host's end, the `.shop.example` of `*.shop.example`.
    by_suffix: Hosts,
}

/// The configuration alone adds to it, so a hash without a secret is no danger.
type Hosts = FxHashMap<Box<[u8]>, Paths>;

/// Prefixes of the path and what they lead to, the longest prefix first. The empty
/// prefix is every path.
type Paths = Vec<(Box<str>, Place)>;

impl Rollouts {
    /// Adds the settings at `place` for the requests of a scope. Returns the hosts and
    /// prefixes that other settings are for already, which stay.
    #[must_use]
    pub fn add(&mut self, scope: &Scope, place: Place) -> Vec<Taken> {
        let every_path = [Box::from("")];
        let prefixes = scope.path_prefixes.as_deref().unwrap_or(&every_path);
        let mut all_taken = Vec::new();
        for host in &scope.hosts {
            let (hosts, name) = match host.strip_prefix('*') {
                Some(suffix) => (&mut self.by_suffix, suffix),
                None => (&mut self.by_name, &**host),
            };
            let paths = hosts.entry(name.as_bytes().into()).or_default();
            for prefix in prefixes {
                match paths.iter().find(|(other, _)| same_paths(other, prefix)) {
                    None => {
                        // The longest first. (To sort them takes 4 KB of the module.)
                        let is_before =
                            |(other, _): &(Box<str>, Place)| other.len() >= prefix.len();
                        let at = paths.partition_point(is_before);
                        paths.insert(at, (prefix.clone(), place));
                    }
                    Some((_, first)) if *first == place => {}
                    Some((_, first)) => all_taken.push(Taken {
                        host: host.clone(),
                        prefix: prefix.clone(),
                        first: *first,
                    }),
                }
            }
        }
        all_taken
    }

    /// Returns the settings of the most exact host that fits, a whole name, then the
    /// longest `*.`, and of these the ones of the longest prefix of the path.
    ///
    /// `host` gives the request's host, and is called only where there are rollouts;
    /// `path` gives its `:path`, and is called only where a host fits.
    pub fn find<'h>(
        &self,
        host: impl FnOnce() -> &'h [u8],
        path: impl Fn() -> Option<&'h [u8]>,
    ) -> Option<Place> {
        if self.by_name.is_empty() && self.by_suffix.is_empty() {
            return None;
        }
        let host = host();
        let by_path = |paths: &Paths| {
            let path = without_query(path().unwrap_or_default());
            let mut fitting = paths
                .iter()
                .filter(|(prefix, _)| path.starts_with(prefix.as_bytes()));
            fitting.next().map(|(_, place)| *place)
        };
        let by_name = || self.by_name.get(host).and_then(by_path);
        let by_suffix = || {
            let mut suffixes = host::suffixes(host);
            suffixes.find_map(|suffix| self.by_suffix.get(suffix).and_then(by_path))
        };
        by_name().or_else(by_suffix)
    }
}

/// A host and a prefix of the path that other settings are for already.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// The host, as it is written.
    pub host: Box<str>,
    /// The prefix; empty: every path.
    pub prefix: Box<str>,
    /// The place of the settings that were there first.
    pub first: Place,
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} with ", self.host)?;
        match &*self.prefix {
            "" => f.write_str("every path"),
            prefix => write!(f, "the path prefix {prefix:?}"),
        }
    }
}

/// Returns whether two prefixes are for the same paths: every path but `*` begins with
/// `/`, so `/` leaves next to nothing to a rollout for every path.
fn same_paths(one: &str, other: &str) -> bool {
    let whole = |prefix: &str| prefix.is_empty() || prefix == "/";
    one == other || (whole(one) && whole(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(hosts: &[&str], prefixes: &[&str]) -> Scope {
        let list = |items: &[&str]| items.iter().map(|&item| item.into()).collect();
        Scope {
            hosts: list(hosts),
            path_prefixes: (!prefixes.is_empty()).then(|| list(prefixes)),
        }
    }

    fn rollouts(scopes: &[(&[&str], &[&str])]) -> Rollouts {
        let mut rollouts = Rollouts::default();
        for (place, (hosts, prefixes)) in (1..).zip(scopes) {
            assert_eq!(rollouts.add(&scope(hosts, prefixes), place), []);
        }
        rollouts
    }

    fn find(rollouts: &Rollouts, host: &str, path: &str) -> Option<Place> {
        rollouts.find(|| host.as_bytes(), || Some(path.as_bytes()))
    }

    #[test]
    fn the_most_exact_host_counts_then_the_longest_prefix() {
        let rollouts = rollouts(&[
            (&["*.example"], &[]),
            (&["*.shop.example"], &["/api", "/api/v2"]),
            (&["shop.example"], &["/"]),
            (&["shop.example"], &["/api/"]),
            (&["a.shop.example"], &["/web"]),
            (&["*.shop.example"], &["/web/x"]),
        ]);
        let rows = [
            ("shop.example", "/", Some(3)),
            ("shop.example", "/api/x?y", Some(4)),
            ("shop.example", "/api", Some(3)),
            ("shop.example", "/?/api/", Some(3)),
            ("shop.example", "*", Some(1)),
            ("a.shop.example", "/web", Some(5)),
            ("a.shop.example", "/web/x", Some(5)),
            ("b.shop.example", "/web/x", Some(6)),
            ("a.shop.example", "/api/v2/x", Some(2)),
            ("a.shop.example", "/", Some(1)),
            ("b.example", "/api", Some(1)),
            ("example", "/", None),
            (".example", "/", None),
            ("xshop.example", "/", Some(1)),
            ("", "/", None),
        ];
        for (host, path, place) in rows {
            assert_eq!(find(&rollouts, host, path), place, "{host} {path}");
        }
    }

    #[test]
    fn a_host_longer_than_a_name_fits_by_its_end() {
        let rollouts = rollouts(&[(&["*.shop.example"], &[])]);
        let long = "a".repeat(300) + ".shop.example";
        assert_eq!(find(&rollouts, &long, "/"), Some(1));
    }

    #[test]
    fn the_same_host_and_prefix_is_not_taken_twice() {
        let mut rollouts = rollouts(&[(&["shop.example", "*.example"], &["/api"])]);
        let taken = |host: &str, prefix: &str, first| Taken {
            host: host.into(),
            prefix: prefix.into(),
            first,
        };
        let errors = rollouts.add(&scope(&["b.example", "*.example"], &["/web", "/api"]), 2);
        assert_eq!(errors, [taken("*.example", "/api", 1)]);
        assert_eq!(rollouts.add(&scope(&["c.example"], &[]), 3), []);
        let errors = rollouts.add(&scope(&["c.example"], &["/"]), 4);
        assert_eq!(errors, [taken("c.example", "/", 3)]);
        // A host that stands twice in one list does no harm.
        assert_eq!(
            rollouts.add(&scope(&["d.example", "d.example"], &[]), 5),
            []
        );
        assert_eq!(find(&rollouts, "a.example", "/api"), Some(1));
        assert_eq!(find(&rollouts, "b.example", "/web"), Some(2));
    }

    #[test]
    fn without_a_fitting_host_nobody_asks_for_the_path() {
        let asked = std::cell::Cell::new(false);
        let path = || {
            asked.set(true);
            None
        };
        let rollouts = rollouts(&[(&["shop.example"], &["/"])]);
        assert_eq!(rollouts.find(|| b"other.example", path), None);
        assert!(!asked.get());
        assert_eq!(rollouts.find(|| b"shop.example", path), None);
        assert!(asked.get());
    }
}
