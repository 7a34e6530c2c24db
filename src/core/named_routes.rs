//! What a VM keeps of the routes whose names state weights: the weights, and the cluster
//! behind each backend, so that a response need not ask for it each time.

use super::properties::Properties;
use super::route_name::{Backend, Place, RouteName, Weights};
use super::version::Version;
use rustc_hash::FxHashMap;
use std::cell::RefCell;
use std::rc::Rc;

/// The number of routes at which those that are kept are let go.
pub const MOST_ROUTES: usize = 256;

/// How many answers about a cluster have to agree before it counts as known.
pub const ANSWERS: u32 = 8;

/// For how many responses it counts as known before it is asked for again.
pub const RESPONSES: u32 = 31;

/// The routes of one VM whose names state weights, by their names.
#[derive(Debug, Default)]
pub struct NamedRoutes(FxHashMap<Box<[u8]>, Rc<NamedRoute>>);

/// A route whose name states weights.
#[derive(Debug, PartialEq, Eq)]
pub struct NamedRoute {
    weights: Weights,
    /// The cluster behind each backend, in their order.
    clusters: Vec<RefCell<Known>>,
}

/// What is known of the cluster behind a backend.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// Nothing yet.
    Nothing,
    /// Its name by all answers until now, and for how many more responses it is known.
    Name {
        cluster: Rc<[u8]>,
        answers: u32,
        left: u32,
    },
    /// That requests which ask for the backend come to several clusters: its rule is
    /// missing, or routes of several namespaces have one name.
    Varies,
}

impl NamedRoutes {
    /// Returns the route of a request, by its name.
    pub fn find(&mut self, properties: &impl Properties) -> RouteName<Rc<NamedRoute>> {
        let Some(name) = properties.route_name() else {
            return RouteName::IsOfOthers;
        };
        if let Some(route) = self.0.get(&*name) {
            return RouteName::States(Rc::clone(route));
        }
        RouteName::of(&name).map(|weights| {
            if self.0.len() >= MOST_ROUTES {
                self.0.clear();
            }
            let route = Rc::new(NamedRoute::new(weights));
            self.0.insert((*name).into(), Rc::clone(&route));
            route
        })
    }
}

impl NamedRoute {
    /// Returns the route with these weights.
    #[must_use]
    pub fn new(weights: Weights) -> Self {
        let nothing = || RefCell::new(Known::Nothing);
        Self {
            clusters: weights.backends().iter().map(|_| nothing()).collect(),
            weights,
        }
    }

    /// Returns its weights.
    #[must_use]
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Returns the cluster of a request that asked for the backend at `place`, `None`: for
    /// no backend; empty: there was none.
    ///
    /// Envoy is asked for it [`ANSWERS`] times, then once after [`RESPONSES`] that it is not
    /// asked for; and each time once an answer was another one than before, or not the
    /// backend's.
    pub fn cluster(&self, place: Option<Place>, properties: &impl Properties) -> Rc<[u8]> {
        let asked_for = place.and_then(|place| {
            let backend = self.weights.backends().get(place)?;
            Some((backend, self.clusters.get(place)?))
        });
        let Some((backend, known)) = asked_for else {
            return ask(properties);
        };
        let mut known = known.borrow_mut();
        if let Known::Name { cluster, left, .. } = &mut *known
            && let Some(fewer) = left.checked_sub(1)
        {
            *left = fewer;
            return Rc::clone(cluster);
        }
        let cluster = ask(properties);
        let answers = match &*known {
            Known::Nothing if is_of(&cluster, backend) => Some(1),
            Known::Name {
                cluster: before,
                answers,
                ..
            } if *before == cluster => Some(answers.saturating_add(1).min(ANSWERS)),
            _ => None,
        };
        *known = answers.map_or(Known::Varies, |answers| Known::Name {
            cluster: Rc::clone(&cluster),
            answers,
            left: if answers < ANSWERS { 0 } else { RESPONSES },
        });
        cluster
    }
}

/// Returns the name of the cluster of a request; empty: it has none.
pub fn ask(properties: &impl Properties) -> Rc<[u8]> {
    properties.cluster().unwrap_or_default().as_ref().into()
}

/// Returns whether a cluster is that of a backend.
fn is_of(cluster: &[u8], backend: &Backend) -> bool {
    let version = Version::of_cluster(cluster);
    version.is_some_and(|version| *version.bytes() == *backend.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::borrow::Cow;
    use std::cell::Cell;

    /// A proxy that counts what it is asked.
    #[derive(Default)]
    struct Proxy {
        route: &'static str,
        cluster: Cell<&'static str>,
        asked: Cell<u32>,
    }

    impl Properties for Proxy {
        fn route_name(&self) -> Option<Cow<'_, [u8]>> {
            Some(self.route.as_bytes().into())
        }

        fn cluster(&self) -> Option<Cow<'_, [u8]>> {
            self.asked.set(self.asked.get() + 1);
            Some(self.cluster.get().as_bytes().into())
        }

        fn code_details(&self) -> Option<Cow<'_, [u8]>> {
            None
        }
    }

    const BLUE: &str = "outbound|80||shop-blue.shop.svc.cluster.local";
    const GREEN: &str = "outbound|80||shop-green.shop.svc.cluster.local";
    const OF_ANOTHER_NAMESPACE: &str = "outbound|80||shop-green.test.svc.cluster.local";

    fn green(proxy: &Proxy) -> Rc<NamedRoute> {
        let RouteName::States(route) = NamedRoutes::default().find(proxy) else {
            panic!("{}", proxy.route)
        };
        route
    }

    fn proxy(cluster: &'static str) -> Proxy {
        Proxy {
            route: "bluegreen.shop-blue-70.shop-green-30",
            cluster: Cell::new(cluster),
            ..Proxy::default()
        }
    }

    #[test]
    fn envoy_is_asked_for_a_cluster_at_first_and_then_now_and_then() {
        let proxy = proxy(GREEN);
        let route = green(&proxy);
        let mut questions = Vec::new();
        for response in 0..150 {
            let before = proxy.asked.get();
            assert_eq!(*route.cluster(Some(1), &proxy), *GREEN.as_bytes());
            if proxy.asked.get() > before {
                questions.push(response);
            }
        }
        assert_eq!(questions, [0, 1, 2, 3, 4, 5, 6, 7, 39, 71, 103, 135]);
    }

    #[test]
    fn it_is_asked_each_time_for_what_was_not_chosen_or_is_not_the_backends() {
        for (place, cluster) in [(None, GREEN), (Some(1), BLUE), (Some(9), GREEN)] {
            let proxy = proxy(cluster);
            let route = green(&proxy);
            for _ in 0..9 {
                assert_eq!(*route.cluster(place, &proxy), *cluster.as_bytes());
            }
            assert_eq!(proxy.asked.get(), 9, "{place:?} {cluster}");
        }
    }

    #[test]
    fn it_is_asked_each_time_once_two_answers_differed() {
        let proxy = proxy(GREEN);
        let route = green(&proxy);
        for _ in 0..ANSWERS {
            route.cluster(Some(1), &proxy);
        }
        proxy.cluster.set(OF_ANOTHER_NAMESPACE);
        for _ in 0..RESPONSES {
            assert_eq!(*route.cluster(Some(1), &proxy), *GREEN.as_bytes());
        }
        for _ in 0..9 {
            let cluster = route.cluster(Some(1), &proxy);
            assert_eq!(*cluster, *OF_ANOTHER_NAMESPACE.as_bytes());
        }
        assert_eq!(proxy.asked.get(), ANSWERS + 9);
    }

    #[test]
    fn routes_are_known_by_their_names_and_let_go_when_there_are_many() {
        let mut routes = NamedRoutes::default();
        for weight in 0..=MOST_ROUTES {
            let proxy = Proxy {
                route: format!("bluegreen.a-1.b-{weight}").leak(),
                ..Proxy::default()
            };
            let (RouteName::States(once), RouteName::States(again)) =
                (routes.find(&proxy), routes.find(&proxy))
            else {
                panic!("{weight}")
            };
            assert!(Rc::ptr_eq(&once, &again));
        }
        assert_eq!(routes.0.len(), 1);
        let find = |route| {
            NamedRoutes::default().find(&Proxy {
                route,
                ..Proxy::default()
            })
        };
        assert!(matches!(find("bluegreen.a"), RouteName::IsMisspelled));
        assert!(matches!(find("shop"), RouteName::IsOfOthers));
    }
}
