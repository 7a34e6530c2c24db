//! The table of scenarios, which the core, the module and real Envoys are held to: what
//! `explain` says of a request is what a row says, and with that what Envoy does.
//!
//! Each row becomes the files and the request that a person would hand over; where these are
//! a VirtualService, also with its weighted route in another one, by `delegate`. Each is a
//! trial of its own: `cargo test --test scenarios -- 'a returning user'`.

#[allow(dead_code, reason = "the filter's own tests use the rest")]
#[path = "../../tests/table/mod.rs"]
mod table;

#[path = "../../tests/signing/mod.rs"]
mod signing;

use bluegreen::core::config;
use bluegreen::core::role::{Placement, Role};
use bluegreen_cli::explain::{Marks, Place, Proxy};
use bluegreen_cli::files::File;
use bluegreen_cli::mesh::{Facts, Routes, Side, full_host};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::{Value, json};
use std::process::ExitCode;
use table::{Backends, Direction, Headers, Hop, Outcome, RouteKind, Row, Served};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = table::rows().into_iter().map(|row| {
        let name = row.name.clone();
        Trial::test(name, move || judge(&row))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}

fn judge(row: &Row) -> Result<(), Failed> {
    for form in [Form::Whole, Form::Delegated] {
        let outcome = play(row, form);
        let differences = row.differences(&outcome);
        if !differences.is_empty() {
            return Err(format!("{form:?}: {differences}").into());
        }
    }
    Ok(())
}

/// How a VirtualService is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Whole,
    /// Another one without hosts has the weighted route, without a name.
    Delegated,
}

/// Sends the row's request through its proxies, and the response back.
fn play(row: &Row, form: Form) -> Outcome {
    let mut outcome = Outcome::default();
    let mut sent = row.request();
    let front = row.front();
    let of_front = front.as_ref().map(|hop| routes(row, hop, form));
    let mut in_front = front.as_ref().zip(of_front.as_ref()).map(|(hop, routes)| {
        let mut proxy = proxy(hop, routes);
        let request = proxy.request(sent.clone(), RANDOM);
        sent.clone_from(&request.upstream);
        outcome.between.clone_from(&sent);
        (proxy, request)
    });
    let own = row.own();
    let of_own = routes(row, &own, form);
    let mut proxy = proxy(&own, &of_own);
    let request = proxy.request(sent, RANDOM);
    outcome.upstream.clone_from(&request.upstream);
    let answer = answer(row, request.version());
    outcome.version = answer.as_ref().and(request.version().map(str::to_owned));
    outcome.client = proxy.response(&request, answer);
    outcome.counts.clone_from(proxy.counts());
    if let Some((proxy, request)) = &mut in_front {
        outcome.client = proxy.response(request, Some(outcome.client));
        for (name, count) in proxy.counts() {
            *outcome.counts.entry(name.clone()).or_default() += count;
        }
    }
    outcome
}

const RANDOM: u64 = 0x5eed_0000_1111_2222;

fn proxy<'r>(hop: &Hop, routes: &'r Routes) -> Proxy<'r> {
    let config = config::parse(hop.config.to_string().as_bytes()).expect("it is good");
    let label = hop.proxy.labels.get(&*config.mesh.tag.label);
    let inbound = hop.proxy.direction == Direction::Inbound;
    let place = Place {
        node: hop.proxy.node.clone(),
        facts: Facts {
            side: side(
                hop,
                Placement::of(config.role, hop.proxy.node.as_bytes()).role(|| inbound),
            ),
            ..Facts::default()
        },
        inbound,
        label: label.map(|label| label.clone().into_bytes()),
        marks: match hop.route {
            RouteKind::NoMetadata => Marks::WithoutSource,
            RouteKind::Unmarked => Marks::None,
            _ => Marks::All,
        },
        now: Some(signing::NOW),
    };
    Proxy::new(config, routes, place)
}

/// On which side of the mesh a proxy is that plays this part, whatever its node. A client
/// whose routes are HTTPRoutes is a waypoint: the rows ask for a host that is no Service's.
fn side(hop: &Hop, role: Role) -> Side {
    let [service, namespace] = hop.virtual_service;
    let node = &hop.proxy.node;
    let is_client = role == Role::Client;
    if node.starts_with("waypoint~") || is_client && hop.route == RouteKind::Named {
        return Side::Waypoint {
            service: full_host(service, namespace),
            namespace: namespace.to_owned(),
        };
    }
    if node.starts_with("sidecar~") || is_client {
        let of_node = node.split('~').nth(3).unwrap_or_default();
        let own = of_node.split('.').next().unwrap_or_default();
        return Side::Caller(own.to_owned());
    }
    Side::Gateway
}

/// What the row's upstream answers; `None`: nobody does.
fn answer(row: &Row, version: Option<&str>) -> Option<Headers> {
    match row.served {
        Served::DeadBlue | Served::DeadGreen | Served::Local => return None,
        _ => {}
    }
    let mut answer = row.answer(version);
    if row.own().route == RouteKind::Named && row.envoy_headers {
        answer.push(("x-envoy-upstream-service-time".to_owned(), b"1".to_vec()));
    }
    Some(answer)
}

// -- The files ------------------------------------------------------------------------

/// The routes of a hop, as people write them.
fn routes(row: &Row, hop: &Hop, form: Form) -> Routes {
    let all = match hop.route {
        // No HTTPRoute answers 200 by itself.
        RouteKind::Named if row.served != Served::Local => {
            vec![weighted_rule(row, hop), version_rules(row, hop)]
        }
        _ => virtual_service(row, hop, form),
    };
    let text: Vec<String> = all.iter().map(Value::to_string).collect();
    let text = text.join("\n---\n");
    let file = File::of_text("routes.yaml", text);
    assert_eq!(file.errors, []);
    Routes::of(&[file]).expect("few")
}

fn is_dead(row: &Row, version: &str) -> bool {
    match row.served {
        Served::DeadBlue => version == "blue",
        Served::DeadGreen => version == "green",
        _ => false,
    }
}

/// The weights as the mesh has them: one that is dead gets all.
fn weights(row: &Row, hop: &Hop) -> [u64; 2] {
    match row.served {
        Served::DeadBlue => [100, 0],
        Served::DeadGreen => [0, 100],
        _ => hop.weights,
    }
}

/// A destination of a VirtualService. One that is dead lies in a namespace of its own.
fn destination(row: &Row, hop: &Hop, version: &str) -> Value {
    let [service, namespace] = hop.virtual_service;
    let namespace = if is_dead(row, version) {
        "dead"
    } else {
        namespace
    };
    let host = |name: &str| format!("{name}.{namespace}.svc.cluster.local");
    match hop.backends {
        Backends::Subsets => json!({"host": host(service), "subset": version}),
        Backends::Services => json!({"host": host(&hop.version_name(version))}),
    }
}

fn virtual_service(row: &Row, hop: &Hop, form: Form) -> Vec<Value> {
    let [name, namespace] = hop.virtual_service;
    let header = config::parse(hop.config.to_string().as_bytes()).expect("it is good");
    let mut http = Vec::new();
    let mut headers = vec![header.mesh.pin_header().to_owned()];
    let places = (0..).map(|place| header.settings(Some(place)).pin_header().to_owned());
    headers.extend(places.take(2));
    headers.dedup();
    if hop.pins {
        for (pin, version) in [("bluegreen-pin", "blue"), ("bluegreen-pin-2", "green")] {
            let name = if hop.route == RouteKind::Unnamed {
                "pin"
            } else {
                pin
            };
            let entries = headers
                .iter()
                .map(|header| json!({"headers": {header: {"exact": version}}}));
            http.push(json!({
                "name": name,
                "match": entries.collect::<Vec<_>>(),
                "route": [{"destination": destination(row, hop, version)}],
            }));
        }
    }
    let stated = String::from_utf8_lossy(&hop.route_name);
    let name_of_route = match hop.route {
        RouteKind::Unnamed => "other",
        RouteKind::Named => &stated,
        _ => "bluegreen",
    };
    if row.served == Served::Local && hop.proxy.node != "router~front" {
        http = vec![json!({"name": name_of_route, "directResponse": {"status": 200}})];
    } else {
        let [blue, green] = weights(row, hop);
        http.push(json!({"name": name_of_route, "route": [
            {"destination": destination(row, hop, "blue"), "weight": blue},
            {"destination": destination(row, hop, "green"), "weight": green},
        ]}));
    }
    let object = |name: &str, spec: Value| {
        json!({
            "apiVersion": "networking.istio.io/v1",
            "kind": "VirtualService",
            "metadata": {"name": name, "namespace": namespace},
            "spec": spec,
        })
    };
    let mut all = Vec::new();
    if form == Form::Delegated {
        let mut weighted = http.pop().expect("the weighted route");
        let name_of_route = weighted["name"].take();
        http.push(json!({"name": name_of_route, "delegate": {"name": "weights"}}));
        all.push(object("weights", json!({"http": [weighted]})));
    }
    let spec = json!({"hosts": ["*"], "gateways": ["shop", "mesh"], "http": http});
    all.push(object(name, spec));
    all
}

fn backend(row: &Row, version: &str, weight: u64) -> Value {
    let namespace = if is_dead(row, version) {
        "dead"
    } else {
        "shop"
    };
    json!({"name": format!("shop-{version}"), "namespace": namespace, "port": 80, "weight": weight})
}

fn http_route(name: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {
            "parentRefs": [
                {"name": "shop"},
                {"group": "", "kind": "Service", "name": "shop"},
            ],
            "rules": rules,
        },
    })
}

fn weighted_rule(row: &Row, hop: &Hop) -> Value {
    let [blue, green] = weights(row, hop);
    let backends = [backend(row, "blue", blue), backend(row, "green", green)];
    let name = String::from_utf8_lossy(&hop.route_name).into_owned();
    http_route("shop", &[json!({"name": name, "backendRefs": backends})])
}

fn version_rules(row: &Row, hop: &Hop) -> Value {
    let versions = ["blue", "green"].into_iter().filter(|_| hop.pins);
    let living = versions.filter(|version| !is_dead(row, version));
    let rules = living.map(|version| {
        let header = json!({"name": config::VERSION_HEADER, "value": format!("shop-{version}")});
        json!({
            "name": format!("version-{version}"),
            "matches": [{"headers": [header]}],
            "backendRefs": [backend(row, version, 1)],
        })
    });
    http_route("shop-versions", &rules.collect::<Vec<_>>())
}
