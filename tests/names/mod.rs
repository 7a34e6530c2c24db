//! The names that pages and manifests share with the code, and with each other.

pub(crate) use bluegreen::core::marked_routes::{PINS, PLUGINS, WEIGHTED};
use bluegreen::core::metrics::{
    self, CONFIG_REJECTED, Code, CounterId, Counters, REASONS, Reasons, Registry, SOURCES,
};
use bluegreen::core::route::Route;
use bluegreen::core::targets::Targets;
use serde_json::Value;
use std::collections::BTreeSet;

/// Returns the text of a file of the project.
pub(crate) fn read(file: &str) -> String {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).expect(&path)
}

/// A proxy with room for every counter, which keeps their names.
#[derive(Default)]
struct Names(BTreeSet<String>);

impl Registry for Names {
    fn admits(&mut self, _: &str) -> bool {
        true
    }

    fn define(&mut self, name: &str) -> Option<CounterId> {
        self.0.insert(name.to_owned());
        u32::try_from(self.0.len()).ok()
    }
}

/// Returns the names of all counters and gauges that the code has for one rollout with
/// one version: blue of the VirtualService shop in the namespace shop.
pub(crate) fn counter_names() -> BTreeSet<String> {
    const ROUTE: &[u8] = b"via_upstream outbound|80|blue|shop.shop.svc.cluster.local \
        /apis/networking.istio.io/v1/namespaces/shop/virtual-service/shop";
    let mut rejected = Reasons::default();
    REASONS.iter().for_each(|(reason, _)| rejected.add(*reason));
    let mut names = Names::default();
    let (mut targets, mut counters) = (Targets::default(), Counters::default());
    for (source, _) in SOURCES {
        for status in ["101", "200", "302", "404", "503"] {
            let code = Code::of_status(Some(status.as_bytes()));
            let target = targets.know(Route::of_header(ROUTE).expect("two words").target);
            counters.each(&target.counted(source, code, rejected), &mut names, |_| {});
        }
    }
    names.0.insert(CONFIG_REJECTED.to_owned());
    let plugin = format!("extensions.istio.io/wasmplugin/istio-system.{}", PLUGINS[0]);
    names.0.insert(metrics::config_wrong(plugin.as_bytes()));
    names.0
}

/// Returns the labels in the names of counters.
pub(crate) fn labels_of(names: &BTreeSet<String>) -> BTreeSet<String> {
    let parts = names.iter().flat_map(|name| name.split(";.;"));
    let labels = parts.filter_map(|part| Some(part.split_once("=.=")?.0.to_owned()));
    labels.collect()
}

/// Returns the metrics in the names of counters.
pub(crate) fn metrics_of(names: &BTreeSet<String>) -> BTreeSet<String> {
    let last = |name: &String| name.rsplit(";.;").next().map(str::to_owned);
    names.iter().filter_map(last).collect()
}

/// Returns the words of letters, digits and these characters in a text.
pub(crate) fn words<'t>(text: &'t str, also: &'t str) -> impl Iterator<Item = &'t str> {
    let separates = move |c: char| !c.is_ascii_alphanumeric() && !also.contains(c);
    text.split(separates).filter(|word| !word.is_empty())
}

/// Checks that the http routes of a `VirtualService` are such as the admission policy
/// takes. `page`: where they stand.
pub(crate) fn check_routes(page: &str, http: &[Value]) {
    let names: Vec<&str> = http
        .iter()
        .filter_map(|route| route["name"].as_str())
        .collect();
    assert_eq!(names.len(), http.len(), "{page}: a route without a name");
    let different: BTreeSet<&&str> = names.iter().collect();
    assert_eq!(different.len(), names.len(), "{page}: {names:?}");
    let first_weighted = names.iter().position(|name| WEIGHTED.contains(name));
    let first_weighted = first_weighted.expect("a weighted route");
    for (at, (name, route)) in names.iter().zip(http).enumerate() {
        assert!(
            WEIGHTED.contains(name) || PINS.contains(name),
            "{page}: {name}"
        );
        let destinations = route["route"].as_array().map_or(0, Vec::len);
        let pins = route["match"].as_array().is_some_and(|entries| {
            entries
                .iter()
                .all(|entry| entry["headers"].get("x-version-pin").is_some())
        });
        if WEIGHTED.contains(name) {
            assert!(
                destinations > 1 || route.get("delegate").is_some(),
                "{page}: {name}"
            );
            assert!(!pins, "{page}: {name}");
        } else {
            assert!(at < first_weighted, "{page}: {name} below the weights");
            assert!(pins && destinations == 1, "{page}: {name}");
        }
    }
}
