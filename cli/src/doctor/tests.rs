//! Each fault on a mesh that is well: the files of the project, and what a gateway of a
//! cluster said with them (tests/doctor/gateway.json, cut to what is read).

use super::diagnose::{Diagnosis, Mark};
use super::fault::{Column, KINDS};
use super::mesh::{Mesh, Refused};
use super::proxy::{Kind, Loaded, Pod, Proxy};
use super::{report, served, survey, versions};
use crate::files::File;
use crate::mesh::Routes;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const PLUGIN: &str = "istio-system.bluegreen-outbound";
const SHOP: &str = "../examples/blue-green/istio/virtual-service-70-30.yaml";

/// A mesh in which all is well.
fn healthy() -> Mesh {
    let files = [
        "../envoyfilter/envoy-filter.yaml",
        "../envoyfilter/plugins.yaml",
        "../examples/blue-green/istio/destination-rules.yaml",
        SHOP,
    ];
    let labels = BTreeMap::from([("istio".to_owned(), "ingressgateway".to_owned())]);
    let pod = Pod {
        namespace: "istio-system".to_owned(),
        name: "istio-ingressgateway-5d8f-x2x7k".to_owned(),
        workload: "istio-ingressgateway".to_owned(),
        restart: "rollout restart deployment/istio-ingressgateway".to_owned(),
        kind: Kind::Gateway,
        labels,
    };
    let gateway = json!({
        "metadata": {"name": "shop", "namespace": "shop"},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"hosts": ["shop.example"]}],
        },
    });
    Mesh {
        kubernetes: "v1.34.4".to_owned(),
        root: "istio-system".to_owned(),
        files: files.map(|name| File::read(name).expect(name)).into(),
        gateways: vec![gateway],
        synced: Some(BTreeMap::from([(
            format!("{}.{}", pod.name, pod.namespace),
            Vec::new(),
        )])),
        proxies: vec![(pod, Ok(recorded()))],
        ..Mesh::default()
    }
}

/// What the gateway said.
fn recorded() -> Proxy {
    let text = include_str!("../../tests/doctor/gateway.json");
    let said: Value = serde_json::from_str(text).expect("JSON");
    let of = |key: &str| said[key].to_string().into_bytes();
    Proxy::read(&of("server_info"), &of("config_dump"), &of("stats")).expect("Envoy's words")
}

/// What is found in a mesh.
fn diagnose(mesh: &Mesh) -> Diagnosis {
    let routes = Routes::of(&mesh.files).expect("few");
    super::diagnose::diagnose(mesh, &routes)
}

/// The faults of a mesh, by name, without notes.
fn faults(found: &Diagnosis) -> BTreeSet<&'static str> {
    let faults = found.faults.iter().filter(|fault| !fault.is_note);
    faults.map(|fault| fault.id).collect()
}

/// The plugin's file, changed.
fn plugins(mesh: &mut Mesh, from: &str, to: &str) {
    change(mesh, "plugins.yaml", from, to);
}

fn change(mesh: &mut Mesh, name: &str, from: &str, to: &str) {
    for file in mesh
        .files
        .iter_mut()
        .filter(|file| file.name.ends_with(name))
    {
        assert!(file.text.contains(from), "{from}");
        *file = File::of_text(&file.name, file.text.replace(from, to));
    }
}

fn proxy(mesh: &mut Mesh) -> &mut Proxy {
    let (_, proxy) = mesh.proxies.first_mut().expect("one");
    proxy.as_mut().expect("it answers")
}

fn log(mesh: &mut Mesh, line: &str) {
    let id = mesh.proxies.first().expect("one").0.id();
    mesh.logs.insert(id, format!("before\n{line}\nafter\n"));
}

fn weighted(mesh: &mut Mesh) -> impl Iterator<Item = &mut super::proxy::Route> {
    proxy(mesh)
        .routes
        .iter_mut()
        .filter(|route| route.is_weighted())
}

/// Faults, with what makes them, and a word of what is said.
type Row = (&'static [&'static str], fn(&mut Mesh), &'static str);

const ROWS: &[Row] = &[
    (
        &["no-plugin"],
        |mesh| {
            mesh.files
                .retain(|file| !file.name.ends_with("plugins.yaml"));
        },
        "there is no plugin",
    ),
    (
        &["unreachable"],
        |mesh| mesh.proxies.first_mut().expect("one").1 = Err("refused".to_owned()),
        "the proxy does not answer: refused",
    ),
    (
        &["module-missing"],
        |mesh| proxy(mesh).plugins.clear(),
        "istio-system.bluegreen-outbound is not there",
    ),
    (
        &["module-missing"],
        |mesh| proxy(mesh).chains.first_mut().expect("one").plugins.clear(),
        "the listener 0.0.0.0_8080 does not have",
    ),
    (
        &["module-placeholder"],
        |mesh| {
            proxy(mesh)
                .plugins
                .insert(PLUGIN.to_owned(), Loaded::Placeholder);
            log(
                mesh,
                "2026-11-29T12:19:54Z\terror\twasm\terror in converting the wasm config to \
                 local: cannot fetch Wasm module oci://registry.example/bluegreen:0.1.0: could \
                 not fetch Wasm OCI image: could not fetch manifest: GET http://registry.example/\
                 manifests/sha256:abababababababababababababababababababababababababababababababab: \
                 MANIFEST_UNKNOWN: manifest unknown. applying allow RBAC filter",
            );
        },
        "could not be fetched: fetch manifest: GET http://registry.example/manifests/\
         sha256:abababababab…: MANIFEST_UNKNOWN: manifest unknown",
    ),
    (
        &["module-digest"],
        |mesh| plugins(mesh, "bluegreen:0.1.0", "bluegreen@sha256:0123456789abcdef"),
        "runs 977ecdc54e64…, and its url says 0123456789ab…",
    ),
    (
        &["config-wrong"],
        |mesh| {
            proxy(mesh).wrong.insert(PLUGIN.to_owned());
            log(
                mesh,
                "bluegreen: the configuration is wrong; the last good one stays in force",
            );
        },
        "the pluginConfig of istio-system.bluegreen-outbound is wrong",
    ),
    (
        &["config-wrong"],
        |mesh| {
            proxy(mesh).wrong.insert(PLUGIN.to_owned());
        },
        "its log does not say whether a good one is in force",
    ),
    (
        &["config-inert"],
        |mesh| {
            proxy(mesh).wrong.insert(PLUGIN.to_owned());
            log(
                mesh,
                "bluegreen: the configuration is wrong; the filter is inert, traffic flows",
            );
        },
        "is wrong",
    ),
    (
        &["config-old"],
        |mesh| {
            plugins(
                mesh,
                "role: outbound #",
                "bucketHeader: x-bluegreen-bucket\n      role: outbound #",
            );
        },
        "has another pluginConfig here",
    ),
    (
        &["no-envoyfilter"],
        |mesh| {
            mesh.files
                .retain(|file| !file.name.ends_with("envoy-filter.yaml"));
        },
        "no EnvoyFilter names istio-system.bluegreen-outbound",
    ),
    (
        &["filter-off"],
        |mesh| {
            for route in weighted(mesh) {
                route.on.clear();
            }
        },
        "is off on bluegreen of shop.shop",
    ),
    (
        &["filter-elsewhere"],
        |mesh| {
            let routes = &mut proxy(mesh).routes;
            for route in routes.iter_mut().filter(|route| !route.is_marked()) {
                route.off.clear();
            }
        },
        "runs on main of docs.docs",
    ),
    (
        &["route-header"],
        |mesh| {
            for route in weighted(mesh) {
                route.response_headers.clear();
            }
        },
        "x-bluegreen-route is not written on bluegreen of shop.shop",
    ),
    (
        &["route-missing"],
        |mesh| proxy(mesh).routes.retain(|route| !route.is_marked()),
        "there is no route of shop.shop for shop.example",
    ),
    (
        &["retry-refresh"],
        |mesh| weighted(mesh).for_each(|route| route.is_picked_anew = true),
        "retries pick anew on bluegreen of shop.shop",
    ),
    (
        &["waypoint"],
        |mesh| {
            mesh.services = vec![json!({"metadata": {
                "name": "stock",
                "namespace": "shop",
                "labels": {"istio.io/use-waypoint": "waypoint"},
            }})];
        },
        "stock is behind the waypoint waypoint",
    ),
    (
        &["waypoint"],
        |mesh| {
            mesh.services = vec![json!({"metadata": {"name": "stock", "namespace": "shop"}})];
            mesh.namespaces = vec![json!({"metadata": {
                "name": "shop",
                "labels": {"istio.io/use-waypoint": "waypoint"},
            }})];
        },
        "stock is behind the waypoint waypoint",
    ),
    (
        &["agentgateway"],
        |mesh| {
            mesh.gateway_apis = vec![json!({
                "metadata": {"name": "edge", "namespace": "shop"},
                "spec": {"gatewayClassName": "istio-agentgateway"},
            })];
        },
        "the Gateway is of the class istio-agentgateway",
    ),
    (
        &["bucket-header"],
        |mesh| weighted(mesh).for_each(|route| route.bucket_header = None),
        "Envoy does not pick by x-bluegreen-bucket on bluegreen of shop.shop",
    ),
    (
        &["weights"],
        |mesh| change(mesh, SHOP, "weight: 70", "weight: 75"),
        "bluegreen of shop.shop deals blue 70, green 30, and is written blue 75, green 30",
    ),
    (
        &["rejected"],
        |mesh| {
            let refused = Refused {
                kind: "RouteConfiguration".to_owned(),
                why: "no".to_owned(),
            };
            for known in mesh.synced.iter_mut().flat_map(BTreeMap::values_mut) {
                known.push(refused.clone());
            }
        },
        "it has refused a RouteConfiguration: no",
    ),
    (
        &["no-istiod"],
        |mesh| mesh.synced = Some(BTreeMap::new()),
        "no istiod serves it",
    ),
    (
        &["istiod-missing"],
        |mesh| mesh.synced = None,
        "no istiod answers in istio-system",
    ),
    (
        &["twice"],
        |mesh| {
            let chain = proxy(mesh).chains.first_mut().expect("one");
            chain.plugins.push(PLUGIN.to_owned());
        },
        "istio-system.bluegreen-outbound runs 2 times",
    ),
    (
        &["stat-tags"],
        |mesh| {
            proxy(mesh).stat_tags.remove("bg_code");
        },
        "stat tags are missing: bg_code",
    ),
    (
        &["version"],
        |mesh| proxy(mesh).istio = "1.27.9".to_owned(),
        "Istio 1.27.9 was not tried",
    ),
    (
        &["version"],
        |mesh| mesh.kubernetes = "v1.29.0".to_owned(),
        "Kubernetes v1.29.0 was not tried",
    ),
    // What `check` says of the objects has the same place.
    (
        &["plugin-config"],
        |mesh| plugins(mesh, "role: outbound #", "rol: outbound #"),
        "",
    ),
];

#[test]
fn a_mesh_that_is_well_has_no_fault() {
    let mesh = healthy();
    let found = diagnose(&mesh);
    assert_eq!(faults(&found), BTreeSet::new());
    // The url of the shipped file has a tag.
    assert_eq!(found.faults.len(), 1);
    let pod = mesh.proxies.first().expect("one").0.id();
    for (column, head) in Column::ALL {
        assert_eq!(found.mark(1, &pod, column), Mark::Good, "{head}");
    }
}

#[test]
fn each_fault_is_found_and_no_other() {
    let mut shown = BTreeSet::from(["served"]);
    for (expected, make, words) in ROWS {
        let mut mesh = healthy();
        make(&mut mesh);
        let found = diagnose(&mesh);
        let ids = faults(&found);
        // One that `check` knows may hide what a proxy says of it.
        assert!(
            expected.iter().all(|id| ids.contains(id)),
            "{expected:?}: {ids:?}"
        );
        let is_checks = |id: &&&str| !KINDS.iter().any(|kind| kind.id == **id);
        if !expected.iter().any(|id| is_checks(&id)) {
            let own: BTreeSet<&str> = ids.iter().filter(|id| !is_checks(id)).copied().collect();
            assert_eq!(
                own,
                expected.iter().copied().collect::<BTreeSet<_>>(),
                "{words}"
            );
        }
        let mut all = found.faults.iter();
        assert!(
            all.any(|fault| fault.what.contains(words)),
            "{words}: {:?}",
            found.faults
        );
        shown.extend(ids);
        for fault in &found.faults {
            let left = ["NAMESPACE", "POD", "PLUGIN", "RESTART", "ROOT"];
            for word in left {
                assert!(!fault.mend.contains(word), "{}: {}", fault.id, fault.mend);
            }
        }
        let text = report::text(super::Output::Text, &mesh, &found, &[]);
        for line in anstream::adapter::strip_str(&text).to_string().lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
    for kind in KINDS {
        assert!(shown.contains(kind.id), "no row shows {}", kind.id);
    }
}

#[test]
fn nothing_is_said_of_what_is_allowed() {
    let mut mesh = healthy();
    proxy(&mut mesh).stat_tags.clear();
    mesh.kubernetes = "v1.29.0".to_owned();
    let mut found = diagnose(&mesh);
    assert_eq!(faults(&found), BTreeSet::from(["stat-tags", "version"]));
    found.allow(&["stat-tags".to_owned(), "version".to_owned()], &mesh);
    assert_eq!(faults(&found), BTreeSet::new());
    let pod = mesh.proxies.first().expect("one").0.id();
    assert_eq!(found.mark(1, &pod, Column::Tags), Mark::None);
    // It was the objects' alone.
    assert_eq!(found.mark(1, &pod, Column::Version), Mark::Good);
    assert_eq!(found.mark_of_objects(&mesh, Column::Version), Mark::None);
}

#[test]
fn requests_that_are_served_otherwise_are_a_fault() {
    let mut served = served::Served {
        object: "shop.shop".to_owned(),
        host: "shop.example".to_owned(),
        gateway: "istio-system/a".to_owned(),
        asked: 0,
        versions: vec![
            ("blue".to_owned(), 70, 0, 0),
            ("green".to_owned(), 30, 0, 0),
        ],
        wrong: Vec::new(),
    };
    served.add(b"00c0ffee00c0ffee", "blue", "blue");
    assert!(served.fault().is_none());
    served.add(b"fedcba9876543210", "green", "blue");
    let fault = served.fault().expect("one");
    assert_eq!(
        fault.what,
        "1 of 2 requests for shop.example were not served as explained: fedcba9876543210 got \
         blue, and not green"
    );
    assert_eq!(
        served.versions.first(),
        Some(&("blue".to_owned(), 70, 1, 2))
    );
}

#[test]
fn what_is_no_envoy_is_an_error() {
    let proxy = Proxy::read(b"{}", b"<html>", b"{}").expect_err("no JSON");
    assert!(proxy.starts_with("/config_dump: "), "{proxy}");
    let proxy = Proxy::read(b"{}", b"{\"configs\": 7}", b"[]").expect("JSON");
    assert!(proxy.routes.is_empty() && proxy.chains.is_empty());
}

#[test]
fn the_versions_are_those_of_the_page() {
    let page = include_str!("../../../docs/compatibility.md");
    for minor in versions::ISTIO {
        assert!(
            page.contains(&format!("\n| 1.{minor} | 1.")),
            "Istio 1.{minor}"
        );
    }
    let next = versions::ISTIO.end() + 1;
    assert!(
        !page.contains(&format!("\n| 1.{next} | 1.")),
        "Istio 1.{next}"
    );
    let (oldest, newest) = (versions::ENVOY.start(), versions::ENVOY.end());
    let tested = page
        .lines()
        .find(|line| line.starts_with("| Envoy |"))
        .expect("a line");
    assert!(tested.contains(&format!("| 1.{oldest}.")), "{tested}");
    assert!(tested.contains(&format!(" and 1.{newest}.")), "{tested}");
    assert!(page.contains(&format!("| Kubernetes 1.{} |", versions::KUBERNETES)));
}

#[test]
fn the_rights_are_for_reading() {
    let text = survey::rights();
    let file = File::of_text("rights", text.clone());
    assert!(file.errors.is_empty());
    let verbs = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("verbs: "));
    let verbs: BTreeSet<&str> = verbs.collect();
    assert_eq!(
        verbs,
        BTreeSet::from(["[get, list]", "[get]", "[get, create]"])
    );
}
