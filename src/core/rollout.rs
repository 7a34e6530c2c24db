//! Finds a request's rollout: the first of the configuration whose hosts and
//! path prefixes match.
//!
//! Hosts are indexed when the configuration is read, so 256 rollouts by host
//! cost what one does. The request's `:authority` and `:path` are asked for
//! only when an answer depends on them.

use crate::core::bucket::{Salted, WeightTotal};
use crate::core::facts::Bytes;
use rustc_hash::FxHashMap;
use std::cell::LazyCell;

/// One service's versions and how users are dealt to them.
#[derive(Debug)]
pub struct Rollout {
    /// Its name, unique among the rollouts.
    pub name: Box<str>,
    /// 2 to 16 versions: the subsets of the destinations.
    pub versions: Vec<Box<str>>,
    /// The sum of the route's weights.
    pub weight_total: WeightTotal,
    /// The hash of an identity under the rollout's salt.
    pub salted: Salted,
}

impl Rollout {
    /// The index of the version with this name.
    #[must_use]
    pub fn version(&self, name: &[u8]) -> Option<VersionIndex> {
        let at = self.versions.iter().position(|v| v.as_bytes() == name)?;
        u8::try_from(at).ok().map(VersionIndex)
    }

    /// The name of a version of this rollout.
    #[must_use]
    pub fn version_name(&self, index: VersionIndex) -> &str {
        self.versions
            .get(usize::from(index.0))
            .map_or("", |name| name)
    }
}

/// A version's place in [`Rollout::versions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionIndex(pub(crate) u8);

/// The requests that a rollout is for; `None`: all hosts, all paths.
#[derive(Debug)]
pub struct Scope {
    /// Lowercase names without a port; `*.` stands for one or more labels.
    pub hosts: Option<Vec<Box<str>>>,
    /// Plain prefixes of the path without its query.
    pub path_prefixes: Option<Vec<Box<str>>>,
}

/// A rollout's place in the configuration; the lowest that matches is used.
type Place = u16;

/// The rollouts of a configuration, with an index by host.
#[derive(Debug, Default)]
pub struct Rollouts {
    all: Vec<(Rollout, Option<Vec<Box<str>>>)>,
    /// Rollouts for every host, in order.
    every_host: Vec<Place>,
    /// Rollouts by a host's whole name, in order.
    by_name: Hosts,
    /// Rollouts by a host's end, the `.shop.example` of `*.shop.example`, in order.
    by_suffix: Hosts,
}

/// The configuration alone adds to it, so a hash without a secret is no danger.
type Hosts = FxHashMap<Box<[u8]>, Vec<Place>>;

/// The longest host that can match a name (RFC 1035 3.1).
const LONGEST_HOST: usize = 253;

impl Rollouts {
    /// Indexes rollouts, which are in the order of the configuration.
    #[must_use]
    pub fn new(rollouts: Vec<(Rollout, Scope)>) -> Self {
        let mut new = Self::default();
        let mut reachable = true;
        for (place, (rollout, scope)) in (0..).zip(rollouts) {
            if reachable {
                new.index(place, scope.hosts.as_deref());
            }
            // Behind a rollout for every request no other one is ever used.
            reachable &= scope.hosts.is_some() || scope.path_prefixes.is_some();
            new.all.push((rollout, scope.path_prefixes));
        }
        new
    }

    fn index(&mut self, place: Place, hosts: Option<&[Box<str>]>) {
        let Some(hosts) = hosts else {
            self.every_host.push(place);
            return;
        };
        for host in hosts {
            let (hosts, name) = match host.strip_prefix('*') {
                Some(suffix) => (&mut self.by_suffix, suffix),
                None => (&mut self.by_name, &**host),
            };
            hosts.entry(name.as_bytes().into()).or_default().push(place);
        }
    }

    /// The first rollout that matches. `authority` and `path` give the
    /// request's `:authority` and `:path`; each is called at most once, and
    /// only when the answer depends on it.
    pub fn find<'h>(
        &self,
        authority: impl FnOnce() -> Option<Bytes<'h>>,
        path: impl FnOnce() -> Option<Bytes<'h>>,
    ) -> Option<Place> {
        let path = LazyCell::new(|| path().unwrap_or_default());
        let mut best = None;
        if !self.by_name.is_empty() || !self.by_suffix.is_empty() {
            let authority = authority().unwrap_or_default();
            let host = host_of(&authority);
            best = self.first(named(&self.by_name, &host), best, &path);
            if !self.by_suffix.is_empty() {
                // From the first dot on: `*.` stands for at least one label.
                let dots = (1..host.len()).filter(|&at| host.get(at) == Some(&b'.'));
                for suffix in dots.filter_map(|at| host.get(at..)) {
                    best = self.first(named(&self.by_suffix, suffix), best, &path);
                }
            }
        }
        self.first(self.every_host.iter().copied(), best, &path)
    }

    /// The rollout at a place that [`Rollouts::find`] gave.
    #[must_use]
    pub fn get(&self, place: Place) -> Option<&Rollout> {
        self.all.get(usize::from(place)).map(|(rollout, _)| rollout)
    }

    /// All rollouts, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Rollout> {
        self.all.iter().map(|(rollout, _)| rollout)
    }

    /// The first of `places` whose path prefixes match, if it stands before `best`.
    fn first<'h>(
        &self,
        places: impl Iterator<Item = Place>,
        best: Option<Place>,
        path: &LazyCell<Bytes<'h>, impl FnOnce() -> Bytes<'h>>,
    ) -> Option<Place> {
        places
            .take_while(|&place| best.is_none_or(|best| place < best))
            .find(|&place| self.path_matches(place, path))
            .or(best)
    }

    fn path_matches<'h>(
        &self,
        place: Place,
        path: &LazyCell<Bytes<'h>, impl FnOnce() -> Bytes<'h>>,
    ) -> bool {
        match self.all.get(usize::from(place)) {
            None => false,
            Some((_, None)) => true,
            Some((_, Some(prefixes))) => {
                let path = without_query(path);
                prefixes
                    .iter()
                    .any(|prefix| path.starts_with(prefix.as_bytes()))
            }
        }
    }
}

/// The places of the rollouts for a host, in order.
fn named(hosts: &Hosts, name: &[u8]) -> impl Iterator<Item = Place> {
    hosts.get(name).into_iter().flatten().copied()
}

/// The host of an authority, in lowercase: without port and without the dot of a
/// fully qualified name. Empty when it is too long for any name.
fn host_of(authority: &[u8]) -> Bytes<'_> {
    let end = match authority.iter().rposition(|&b| b == b':' || b == b']') {
        Some(at) if authority.get(at) == Some(&b':') => at,
        _ => authority.len(),
    };
    let host = authority.get(..end).unwrap_or_default();
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.len() > LONGEST_HOST {
        return Bytes::default();
    }
    // Browsers send it in lowercase.
    if host.iter().any(u8::is_ascii_uppercase) {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    }
}

/// The path before its query (RFC 3986 3.3).
#[must_use]
pub fn without_query(path: &[u8]) -> &[u8] {
    let end = memchr::memchr2(b'?', b'#', path).unwrap_or(path.len());
    path.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rollouts(scopes: &[(&[&str], &[&str])]) -> Rollouts {
        let some = |list: &[&str]| {
            (!list.is_empty()).then(|| list.iter().map(|&item| item.into()).collect())
        };
        let placed = scopes.iter().map(|(hosts, prefixes)| {
            let rollout = Rollout {
                name: "a".into(),
                versions: vec!["blue".into(), "green".into()],
                weight_total: WeightTotal::new(100),
                salted: Salted::new(b"a"),
            };
            let scope = Scope {
                hosts: some(hosts),
                path_prefixes: some(prefixes),
            };
            (rollout, scope)
        });
        Rollouts::new(placed.collect())
    }

    fn find(rollouts: &Rollouts, authority: &str, path: &str) -> Option<Place> {
        rollouts.find(
            || Some(authority.as_bytes().into()),
            || Some(path.as_bytes().into()),
        )
    }

    #[test]
    fn hosts_are_compared_without_port_and_case() {
        let rollouts = rollouts(&[
            (&["shop.example"], &[]),
            (&["*.shop.example"], &[]),
            (&["[::1]", "127.0.0.1"], &[]),
        ]);
        let rows = [
            ("shop.example", Some(0)),
            ("SHOP.example:8080", Some(0)),
            ("shop.example.", Some(0)),
            ("shop.example.:80", Some(0)),
            ("a.shop.example", Some(1)),
            ("a.B.Shop.Example:443", Some(1)),
            ("127.0.0.1:80", Some(2)),
            ("[::1]", Some(2)),
            ("[::1]:80", Some(2)),
            ("xshop.example", None),
            (".shop.example", None),
            ("shop.example.com", None),
            ("example", None),
            ("shop.example:80:80", None),
            ("", None),
            (":80", None),
            ("[::1", None),
        ];
        for (authority, place) in rows {
            assert_eq!(find(&rollouts, authority, "/"), place, "{authority:?}");
        }
    }

    #[test]
    fn a_host_that_is_too_long_for_a_name_matches_no_name() {
        let rollouts = rollouts(&[(&["*.example"], &[])]);
        let host = |labels: usize| "a.".repeat(labels) + "example";
        assert_eq!(find(&rollouts, &host(120), "/"), Some(0));
        assert_eq!(find(&rollouts, &host(30_000), "/"), None);
    }

    #[test]
    fn the_first_that_matches_is_used() {
        let rollouts = rollouts(&[
            (&["b.example"], &["/api"]),
            (&["*.example"], &["/api", "/web"]),
            (&[], &["/static/"]),
            (&["b.example", "*.b.example"], &[]),
            (&[], &[]),
        ]);
        let rows = [
            ("b.example", "/api/x", Some(0)),
            ("b.example", "/web", Some(1)),
            ("b.example", "/", Some(3)),
            ("b.example", "/static/x", Some(2)),
            ("c.b.example", "/?/api", Some(3)),
            ("c.b.example", "/web?x", Some(1)),
            ("c.example", "/", Some(4)),
            ("other", "/static", Some(4)),
            ("other", "/static/", Some(2)),
            ("other", "*", Some(4)),
        ];
        for (authority, path, place) in rows {
            assert_eq!(
                find(&rollouts, authority, path),
                place,
                "{authority} {path}"
            );
        }
    }

    #[test]
    fn only_what_decides_is_asked_for() {
        let asked = |rollouts: &Rollouts| {
            let (authority, path) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
            rollouts.find(
                || {
                    authority.set(authority.get() + 1);
                    Some(b"b.example".into())
                },
                || {
                    path.set(path.get() + 1);
                    Some(b"/".into())
                },
            );
            (authority.get(), path.get())
        };
        assert_eq!(asked(&rollouts(&[(&[], &[])])), (0, 0));
        assert_eq!(
            asked(&rollouts(&[(&[], &[]), (&["b.example"], &[])])),
            (0, 0)
        );
        assert_eq!(
            asked(&rollouts(&[(&["b.example"], &[]), (&[], &[])])),
            (1, 0)
        );
        assert_eq!(asked(&rollouts(&[(&["b.example"], &["/"])])), (1, 1));
        assert_eq!(asked(&rollouts(&[(&["c.example"], &["/"])])), (1, 0));
        assert_eq!(
            asked(&rollouts(&[(&["b.example"], &[]), (&[], &["/"])])),
            (1, 0)
        );
        assert_eq!(asked(&rollouts(&[(&[], &["/a"]), (&[], &["/b"])])), (0, 1));
    }

    #[test]
    fn the_query_and_the_fragment_are_no_part_of_the_path() {
        for (path, without) in [("/a?b", "/a"), ("/a#b?c", "/a"), ("/a", "/a"), ("?", "")] {
            assert_eq!(without_query(path.as_bytes()), without.as_bytes());
        }
    }
}
