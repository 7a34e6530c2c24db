//! What the smaller commands and the wrong arguments of `explain` say. What it explains is
//! held to the table of scenarios, and to a real Envoy by tests/envoy/test_explain.py.

mod kit;

use kit::{bash, root};
use serde_json::Value;
use std::fs;

fn run(script: &str) -> (String, String, i32) {
    let output = bash(&root(), script).output().expect("bash");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("a code");
    (text(output.stdout), text(output.stderr), code)
}

const ROUTES: &str = "examples/blue-green/istio/virtual-service-70-30.yaml";

#[test]
fn wrong_arguments_say_what_to_write() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let wrong = format!("{folder}/wrong.yaml");
    fs::write(&wrong, "pin: {qery: x}\n").expect("a file");
    for (arguments, words) in [
        (
            "http://a/".to_owned(),
            "hand over the VirtualService with -r FILE",
        ),
        (format!("-r {ROUTES} ftp://a/"), "ftp is not http or https"),
        (
            format!("-r {ROUTES} -H x http://a/"),
            "x: is not a header, which is NAME: VALUE",
        ),
        (
            format!("-r {ROUTES} -b cookies.txt http://a/"),
            "files of cookies are not read",
        ),
        (
            format!("-r {ROUTES} --waypoint shop http://a/"),
            "--waypoint shop: is not SERVICE.NAMESPACE, as in shop.shop",
        ),
        (
            format!("-r {ROUTES} --claim group http://a/"),
            "there is no = between name and value",
        ),
        (
            format!("-r {ROUTES} -c {wrong} http://a/"),
            "pin.qery: \"qery\" is not a field here",
        ),
        (format!("-r {ROUTES} -c README.md http://a/"), "README.md"),
        (
            "-r envoyfilter/plugins.yaml http://a/".to_owned(),
            "no VirtualService with hosts and routes",
        ),
        (
            "-r none.yaml http://a/".to_owned(),
            "none.yaml: No such file",
        ),
    ] {
        let (out, error, code) = run(&format!("bluegreen explain {arguments}"));
        assert_eq!((out.as_str(), code), ("", 2), "{arguments}: {error}");
        assert!(error.contains(words), "{arguments}: {error}");
    }
}

#[test]
fn each_screen_fits_on_80_columns() {
    let long = "x".repeat(300);
    let requests = [
        format!("explain -r {ROUTES} http://shop.example/"),
        format!("explain -r {ROUTES} -H 'x-version-pin: {long}' http://shop.example/"),
        format!("explain -r {ROUTES} http://nowhere.example/"),
        "explain --help".to_owned(),
        "check --help".to_owned(),
        "simulate --help".to_owned(),
        "bucket --help".to_owned(),
        "pin make --help".to_owned(),
        "pin read --help".to_owned(),
        "--help".to_owned(),
        "check --rules".to_owned(),
    ];
    for request in requests {
        let (plain, error, code) = run(&format!("bluegreen {request}"));
        assert_eq!((error.as_str(), code), ("", 0), "{request}");
        // A path of this test and a header of the response may be longer, and are no words.
        for line in plain
            .lines()
            .filter(|line| line.contains(' ') && !line.contains('/'))
        {
            assert!(line.chars().count() <= 80, "{request}: {line}");
        }
        let (forced, _, _) = run(&format!("CLICOLOR_FORCE=1 bluegreen {request}"));
        let (none, _, _) = run(&format!("NO_COLOR=1 CLICOLOR_FORCE=1 bluegreen {request}"));
        assert!(!plain.contains('\u{1b}'), "{request}");
        assert!(
            forced.contains('\u{1b}') || request.contains("--rules"),
            "{request}"
        );
        assert_eq!(none, plain, "{request}");
    }
}

#[test]
fn what_comes_down_the_chain_is_told() {
    let file = format!("{}/baggage.yaml", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&file, "baggage: {}\n").expect("a file");
    for (request, words) in [
        (
            "--caller shop -H 'baggage: bluegreen-bucket=84' http://stock/",
            [
                "not looked for: the baggage has a bucket",
                "bucket      84, by the baggage",
                "version     green, by the bucket",
            ],
        ),
        (
            "--caller shop -H 'baggage: bluegreen-pin=stock.green,a=b' http://stock/",
            [
                "green, by the baggage: x-version-pin: green",
                "baggage     bluegreen-pin=stock.green,a=b",
                "version     green, by the pin",
            ],
        ),
        (
            "-H 'x-version-pin: stock=green' -b bluegreen-id=00c0ffee00c0ffee http://shop.example/",
            [
                "pin         none here: stock=green is for others",
                "bluegreen-pin=stock.green",
                "version     blue, by the bucket",
            ],
        ),
        (
            "-H 'baggage: bluegreen-bucket=84' -b bluegreen-id=00c0ffee00c0ffee http://shop.example/",
            [
                "of that identity on shop.example",
                "baggage     bluegreen-bucket=12194550004181602153",
                "version     blue, by the bucket",
            ],
        ),
    ] {
        let (text, error, code) = run(&format!(
            "bluegreen explain -r {ROUTES} -c {file} {request}"
        ));
        assert_eq!((error.as_str(), code), ("", 0), "{request}");
        for word in words {
            assert!(text.contains(word), "{request}: {word}: {text}");
        }
    }
}

/// Two short lists make a long one.
#[test]
fn routes_that_multiply_are_a_clear_error() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let spec = "kind: VirtualService\nmetadata: {name: a}\nspec: {http: [";
    let delegates = "{delegate: {name: a}},".repeat(1000);
    let entries = "{},".repeat(1000);
    let matches = format!("{{match: [{entries}], delegate: {{name: a}}}}");
    let hosts = spec.replace("spec: {", "spec: {hosts: [b], ");
    for (name, text) in [
        (
            "routes",
            format!(
                "{spec}{}]}}\n---\n{hosts}{delegates}]}}\n",
                "{name: b},".repeat(1000)
            ),
        ),
        (
            "entries",
            format!("{spec}{{match: [{entries}]}}]}}\n---\n{hosts}{matches}]}}\n"),
        ),
        // None of them is a route: each lies outside of the other.
        (
            "apart",
            format!(
                "{spec}{}]}}\n---\n{hosts}{}]}}\n",
                "{match: [{port: 1}]},".repeat(1000),
                "{match: [{port: 2}], delegate: {name: a}},".repeat(1000)
            ),
        ),
        (
            "parents",
            format!(
                "kind: HTTPRoute\nspec: {{parentRefs: [{}], rules: [{}]}}\n",
                "{kind: Service, name: a},".repeat(1000),
                "{},".repeat(1000)
            ),
        ),
    ] {
        let file = format!("{folder}/many-{name}.yaml");
        fs::write(&file, text).expect("a file");
        for command in ["explain http://b/", "simulate"] {
            let (out, error, code) = run(&format!("bluegreen {command} -r {file}"));
            assert_eq!((out.as_str(), code), ("", 2), "{name}");
            let words = format!("many-{name}.yaml: more than 100000 routes");
            assert!(error.contains(&words), "{name}: {error}");
        }
    }
}

/// What becomes of requests by routes that are written here: the arguments, and words of
/// the answer.
fn explained(name: &str, routes: &str, requests: &[(&str, &[&str])]) {
    let file = format!("{}/{name}.yaml", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&file, routes).expect("a file");
    for (request, words) in requests {
        let (text, error, code) = run(&format!("bluegreen explain -r {file} {request}"));
        assert_eq!((error.as_str(), code), ("", 0), "{request}");
        // As one line, with the file's name alone.
        let text = text.replace(&format!("{}/", env!("CARGO_TARGET_TMPDIR")), "");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in *words {
            assert!(text.contains(word), "{request}: {word}: {text}");
        }
    }
}

#[test]
fn a_delegates_routes_have_the_names_and_the_matches_of_both() {
    let routes = "
kind: VirtualService
metadata: {name: users, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [shop]
  http:
  - name: bluegreen
    match: [{uri: {prefix: /cart}, withoutHeaders: {x-beta: {prefix: a}}}]
    delegate: {name: carts, namespace: cart}
  - match: [{uri: {prefix: /stock}, name: by-path}]
    delegate: {name: stock, namespace: stock}
  - name: elsewhere
    match: [{uri: {prefix: /gone}}]
    delegate: {name: gone}
  - name: bluegreen-2
    delegate: {name: rest}
---
kind: VirtualService
metadata: {name: carts, namespace: cart}
spec:
  http:
  - match: [{uri: {exact: /cart/pay}, withoutHeaders: {x-test: {exact: y}, x-beta: {exact: ab}}}]
    name: pay
    route: [{destination: {host: pay}}]
  - match: [{uri: {prefix: /elsewhere}}]
    route: [{destination: {host: never}}]
  - route:
    - {destination: {host: carts, subset: blue}, weight: 10}
    - {destination: {host: carts, subset: green}, weight: 90}
---
kind: VirtualService
metadata: {name: stock, namespace: stock}
spec:
  exportTo: [., shop]
  http:
  - {name: bluegreen, match: [{name: of-stock}], route: [{destination: {host: stock}}]}
---
kind: VirtualService
metadata: {name: rest, namespace: shop}
spec: {exportTo: [other], http: [{route: [{destination: {host: never}}]}]}
";
    let id = "-b bluegreen-id=00c0ffee00c0ffee http://shop.example";
    explained(
        "delegates",
        routes,
        &[
            (
                &format!("{id}/cart"),
                &[
                    "\"bluegreen\" of VirtualService users.shop (delegates.yaml:8), \
                     by delegate carts.cart (delegates.yaml:28)",
                    "weights blue 10, green 90, 100 in all",
                    "version green, by the bucket",
                    "x-served-version: green",
                ],
            ),
            // A weighted route and a name behind it: no name of ours.
            (
                &format!("{id}/cart/pay"),
                &[
                    "\"bluegreen-pay\" of",
                    "off: the route has no name of ours",
                    "version pay",
                ],
            ),
            (
                &format!("-H 'x-test: y' {id}/cart/pay"),
                &["\"bluegreen\" of"],
            ),
            // What both say of a header is as the delegate says it.
            (
                &format!("-H 'x-beta: ac' {id}/cart/pay"),
                &["\"bluegreen-pay\" of"],
            ),
            // Its path is not the root's, so Istio leaves the route out.
            (&format!("{id}/elsewhere"), &["none of a gateway fits"]),
            (
                &format!("{id}/stock"),
                &["\"bluegreen.by-path-of-stock\" of"],
            ),
            (
                &format!("{id}/gone"),
                &[
                    "\"elsewhere\" of",
                    "version as the other VirtualService says",
                ],
            ),
            // That one is not exported.
            (&format!("{id}/"), &["none of a gateway fits"]),
            // Nobody asks a delegate itself.
            (
                "--caller cart http://carts/",
                &["none of the mesh is for the host"],
            ),
        ],
    );
    let (text, _, _) = run(&format!(
        "bluegreen explain --json -r {}/delegates.yaml {id}/cart",
        env!("CARGO_TARGET_TMPDIR")
    ));
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let end = |key: &str, end| json[key].as_str().is_some_and(|text| text.ends_with(end));
    assert!(
        end("at", "delegates.yaml:8") && end("delegate", "delegates.yaml:28"),
        "{text}"
    );
}

#[test]
fn a_waypoint_has_the_routes_of_its_service() {
    let routes = "
kind: HTTPRoute
metadata: {name: inside, namespace: store}
spec:
  parentRefs: [{name: store}, {group: '', kind: Service, name: store, port: 8080}]
  hostnames: [store.example]
  rules:
  - name: bluegreen.blue-70.green-30
    backendRefs: [{name: blue, port: 80, weight: 70}, {name: green, port: 80, weight: 30}]
  - name: version
    matches: [{headers: [{name: x-bluegreen-version, value: green}]}]
    backendRefs: [{name: green, port: 80}]
---
kind: HTTPRoute
metadata: {name: foreign, namespace: other}
spec:
  parentRefs: [{group: '', kind: Service, name: shop, namespace: store}]
  rules: [{name: foreign, backendRefs: [{name: other, port: 80}]}]
---
kind: VirtualService
metadata: {name: stock, namespace: store}
spec:
  hosts: [stock]
  http:
  - name: labelled
    match: [{sourceLabels: {app: web}}, {uri: {prefix: /edge}, gateways: [edge]}]
    route: [{destination: {host: labelled}}]
  - name: near
    match: [{sourceNamespace: store, uri: {prefix: /near}}]
    route: [{destination: {host: near}}]
  - name: bluegreen
    match: [{uri: {prefix: /stock}}]
    route:
    - {destination: {host: stock, subset: blue}, weight: 50}
    - {destination: {host: stock, subset: green}, weight: 50}
---
kind: VirtualService
metadata: {name: edge, namespace: store}
spec: {hosts: [edge], gateways: [edge], http: [{route: [{destination: {host: edge}}]}]}
";
    let none = "none of the waypoint is for the Service: Istio's own takes it there";
    explained(
        "waypoint",
        routes,
        &[
            (
                "--waypoint store.store -H 'x-bluegreen-bucket: 84' http://shop.example:8080/",
                &[
                    "\"version\" of HTTPRoute inside.store",
                    "which \"bluegreen.blue-70.green-30\" was before the filter",
                    "at a waypoint: callers are workloads",
                    "version green, by the bucket",
                    "x-served-version: green",
                ],
            ),
            // By another port the route is none.
            (
                "--waypoint store.store.svc http://shop.example/",
                &["none of the waypoint fits"],
            ),
            // As at the sidecar of a caller, who asks by name.
            (
                "--caller store http://store:8080/",
                &["\"bluegreen.blue-70.green-30\" of"],
            ),
            (
                "--caller store http://store.example:8080/",
                &["none of the mesh is for the host"],
            ),
            (
                "http://store.example/",
                &["\"bluegreen.blue-70.green-30\" of"],
            ),
            // A route of another namespace is not for it.
            ("--waypoint shop.store http://shop/", &[none]),
            ("--waypoint edge.store http://edge/", &[none]),
            // No EnvoyFilter makes Envoy deal here.
            (
                "--waypoint stock.store -H 'x-bluegreen-bucket: 84' http://stock/stock",
                &["\"bluegreen\" of", "leaves it alone", "by chance"],
            ),
            (
                "--waypoint stock.store http://stock/edge",
                &["none of the waypoint fits"],
            ),
            ("--waypoint stock.store http://stock/near", &["\"near\" of"]),
            (
                "-c <(echo '{}') --waypoint store.store -H 'x-bluegreen-bucket: 84' \
                 http://store:8080/",
                &[
                    "it picks only with `routes: named`",
                    "interval none: nothing asks for the bucket",
                    "by chance",
                    "counted nothing",
                ],
            ),
        ],
    );
}

#[test]
fn what_a_request_does_not_show_is_said_or_taken_for_met() {
    let routes = "
kind: VirtualService
metadata: {name: shop, namespace: shop}
spec:
  hosts: [shop]
  gateways: [mesh, edge]
  http:
  - name: port
    match: [{port: 8443}]
    route: [{destination: {host: port}}]
  - name: claims
    match:
    - headers: {'@request.auth.claims.Group': {exact: beta}}
      withoutHeaders: {'@request.auth.claims[realm][role]': {prefix: ad}}
      statPrefix: claims
      uri: {prefix: /claims}
    route: [{destination: {host: claims}}]
  - name: labels
    match: [{sourceLabels: {app: web, tier: front}, uri: {prefix: /labels}}]
    route: [{destination: {host: labels}}]
  - name: anywhere
    match: [{sourceLabels: {app: no}, gateways: [mesh], uri: {prefix: /labels}}]
    route: [{destination: {host: anywhere}}]
  - name: rest
    route: [{destination: {host: rest}}]
";
    let claims = "--claim Group=alpha --claim Group=beta";
    explained(
        "told",
        routes,
        &[
            ("--caller shop http://shop:8443/", &["\"port\" of"]),
            ("--caller shop https://shop/", &["\"rest\" of"]),
            (
                "--caller shop http://shop/claims",
                &[
                    "\"claims\" of",
                    "taken for met: the claim Group (no --claim), the claim realm.role (no --claim)",
                ],
            ),
            (
                &format!("{claims} --caller shop http://shop/claims"),
                &[
                    "\"claims\" of",
                    "taken for met: the claim realm.role (no --claim)",
                ],
            ),
            (
                &format!("{claims} --claim realm.role= http://shop/claims"),
                &["\"claims\" of VirtualService shop.shop (told.yaml:11) filter"],
            ),
            (
                &format!("{claims} --claim realm.role=admin http://shop/claims"),
                &["\"rest\" of"],
            ),
            ("--claim Group=alpha http://shop/claims", &["\"rest\" of"]),
            ("--claim Group= http://shop/claims", &["\"rest\" of"]),
            (
                "--caller shop --caller-label app=web http://shop/labels",
                &[
                    "\"labels\" of",
                    "taken for met: sourceLabels tier (no --caller-label)",
                ],
            ),
            (
                "--caller shop --caller-label app=web --caller-label tier=front http://shop/labels",
                &["\"labels\" of VirtualService shop.shop (told.yaml:18) filter"],
            ),
            // Where a match names gateways, Istio does not look at labels.
            (
                "--caller shop --caller-label app=web --caller-label tier=back http://shop/labels",
                &["\"anywhere\" of"],
            ),
        ],
    );
}

#[test]
fn programs_get_json() {
    let script = format!(
        "bluegreen explain --json -r {ROUTES} -H 'x-version-pin: green' http://shop.example/"
    );
    let (text, _, code) = run(&script);
    let json: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (code, &json["version"], &json["takesPart"]),
        (0, &"green".into(), &true.into())
    );
    assert_eq!(json["route"], "bluegreen-pin-2");
    let response = json["response"].as_array().expect("headers");
    assert!(response.contains(&serde_json::json!(["x-served-version", "green"])));
}

#[test]
fn a_bucket_is_of_the_host_and_of_its_salt() {
    let place = |arguments: &str| {
        let (text, error, code) = run(&format!("bluegreen bucket {arguments}"));
        assert_eq!(code, 0, "{error}");
        let line = text.lines().nth(1).expect("a user").to_owned();
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        (words[1].clone(), words[2].clone())
    };
    // The same number as in docs/how-it-works.md.
    let (bucket, of_100) = place("Shop.Example.:80 00c0ffee00c0ffee");
    assert_eq!((&*bucket, &*of_100), ("12194550004181602153", "53"));
    assert_eq!(place("shop.example 00c0ffee00c0ffee --sum 1000").1, "153");
    let folder = env!("CARGO_TARGET_TMPDIR");
    let config = format!("{folder}/salt.yaml");
    fs::write(
        &config,
        "rollouts: {web: {hosts: [www.example], salt: shop.example}}\n",
    )
    .expect("a file");
    assert_eq!(
        place(&format!("-c {config} www.example 00c0ffee00c0ffee")).0,
        bucket
    );
    // The table of scenarios has this one.
    let of_caller = place("--caller shop stock 00c0ffee00c0ffee").0;
    assert_eq!(of_caller, "17091238505137255668");
    assert_eq!(
        place("--caller other stock.shop.svc 00c0ffee00c0ffee").0,
        of_caller
    );
}

#[test]
fn what_is_made_for_other_programs() {
    let (schema, _, _) = run("bluegreen schema");
    let path = root().join("envoyfilter/schema/pluginConfig.schema.json");
    assert_eq!(schema, fs::read_to_string(path).expect("the schema"));
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (text, _, code) = run(&format!("bluegreen completions {shell}"));
        assert!(code == 0 && text.contains("simulate"), "{shell}");
    }
    let (_, error, code) = run("bluegreen completions bash | bash -n");
    assert_eq!((error.as_str(), code), ("", 0));
    let folder = format!("{}/man", env!("CARGO_TARGET_TMPDIR"));
    let (_, error, code) = run(&format!("bluegreen man {folder}"));
    assert_eq!((error.as_str(), code), ("", 0));
    let pages = fs::read_dir(folder).expect("a folder").count();
    assert_eq!(pages, 12);
}

#[test]
fn a_reader_who_goes_is_no_error() {
    let (_, error, _) = run("bluegreen check --rules | head -n 1");
    assert_eq!(error, "");
}
