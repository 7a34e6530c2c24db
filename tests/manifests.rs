//! What users apply fits the code: configurations, names, labels.

use bluegreen::core::config::{self, Config, DEFAULT_PIN_HEADER, Routes, VERSION_HEADER};
use bluegreen::core::role::{Role, Setting};
use bluegreen::core::route_name::{PREFIX, RouteName};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

mod names;
use names::{PINS, PLUGINS, WEIGHTED, counter_names, labels_of, metrics_of, read, words};

const ROUTE_HEADER_VALUE: &str =
    "%RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER_RAW% %METADATA(ROUTE:istio:config)%";
/// The filter of Envoy's own that removes the route header.
const REMOVER: &str = "bluegreen.route-header";
/// The files with an EnvoyFilter, and the namespace that each is for.
const ENVOY_FILTERS: [(&str, &str); 3] = [
    ("envoy-filter.yaml", "istio-system"),
    ("one-gateway/gateway.yaml", "istio-system"),
    ("one-namespace/namespace.yaml", "myapp"),
];

fn folder() -> PathBuf {
    root().join("envoyfilter")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The YAML files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            files.extend(self::files(&path));
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// All YAML files that users apply or run.
fn all_files() -> Vec<PathBuf> {
    let mut all = files(&folder());
    all.extend(files(&root().join("examples")));
    all
}

/// The documents of a file, with anchors and merges resolved and lists taken
/// apart, as kubectl reads them.
fn documents(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).expect("a file");
    let mut documents = Vec::new();
    for document in serde_norway::Deserializer::from_str(&text) {
        let mut yaml = serde_norway::Value::deserialize(document).expect("YAML");
        yaml.apply_merge().expect("mappings");
        let document = serde_json::to_value(yaml).expect("JSON");
        match document["items"].as_array() {
            Some(items) if document["kind"] == "List" => documents.extend(items.clone()),
            _ => documents.push(document),
        }
    }
    documents
}

/// All documents of one of these kinds, each with its file.
fn of_kind(kinds: &[&str]) -> Vec<(PathBuf, Value)> {
    let mut found = Vec::new();
    for file in all_files() {
        for document in documents(&file) {
            if kinds.iter().any(|kind| document["kind"] == *kind) {
                found.push((file.clone(), document));
            }
        }
    }
    assert!(!found.is_empty(), "{kinds:?}");
    found
}

/// The plugins, and the part of their `spec` that says what runs.
fn plugins() -> Vec<(PathBuf, Value, Value)> {
    let plugins = of_kind(&["WasmPlugin", "TrafficExtension"]).into_iter();
    plugins
        .map(|(file, plugin)| {
            let spec = &plugin["spec"];
            let wasm = spec.get("wasm").unwrap_or(spec).clone();
            (file, plugin, wasm)
        })
        .collect()
}

/// All mappings in a document, from the outside in.
fn mappings(document: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    let mut rest = vec![document];
    while let Some(value) = rest.pop() {
        match value {
            Value::Object(fields) => {
                found.push(value);
                rest.extend(fields.values());
            }
            Value::Array(items) => rest.extend(items),
            _ => {}
        }
    }
    found
}

fn parsed(config: &Value) -> Config {
    config::parse(config.to_string().as_bytes())
        .unwrap_or_else(|errors| panic!("{config}: {errors}"))
}

fn defaults() -> Config {
    parsed(&json!({}))
}

/// Only under these names do the EnvoyFilter and the policies fit.
fn check_header_names(config: &Config) {
    assert_eq!(config.bucket_header, defaults().bucket_header);
    assert_eq!(config.route_header, defaults().route_header);
    assert_eq!(config.mesh.pin_header(), DEFAULT_PIN_HEADER);
}

// ---- plugins --------------------------------------------------------------------------

#[test]
fn every_plugin_config_is_accepted_and_its_role_fits_its_side() {
    for (file, plugin, wasm) in plugins() {
        let config = parsed(&wasm["pluginConfig"]);
        check_header_names(&config);
        if config.routes == Routes::Named {
            continue;
        }
        let spec = &plugin["spec"];
        let mode = spec["match"][0]["mode"].as_str();
        let [outbound, server] = PLUGINS;
        let (name, side) = match config.role {
            Setting::Outbound => (outbound, "CLIENT"),
            Setting::Fixed(Role::Server) => (server, "SERVER"),
            _ => panic!("{}: {:?}", file.display(), config.role),
        };
        assert_eq!(mode, Some(side), "{}", file.display());
        assert_eq!(plugin["metadata"]["name"], name, "{}", file.display());
        // Nobody pays for the servers' plugin who did not ask for it.
        if name == server {
            let selector = &spec["selector"]["matchLabels"];
            assert_eq!(*selector, json!({"bluegreen": "tag"}), "{}", file.display());
        }
    }
}

/// The plugins for routes that state their weights in their names.
const NAMED_PLUGINS: [&str; 3] = [
    "bluegreen-callers",
    "bluegreen-gateway",
    "bluegreen-waypoints",
];

/// Beside the mesh's plugins, which `envoy-filter.yaml` switches off, and each on the
/// proxies that its file is for.
#[test]
fn the_plugins_for_named_routes_have_names_and_targets_of_their_own() {
    let mut found = BTreeSet::new();
    for (file, plugin, wasm) in plugins() {
        let config = parsed(&wasm["pluginConfig"]);
        let in_folder = file.starts_with(folder().join("gateway-api"));
        let file = file.display();
        assert_eq!(config.routes == Routes::Named, in_folder, "{file}");
        if !in_folder {
            continue;
        }
        assert_eq!(config.role, Setting::Outbound, "{file}");
        let name = plugin["metadata"]["name"].as_str().expect("a name");
        assert!(!PLUGINS.contains(&name), "{file}");
        let spec = &plugin["spec"];
        // Any proxy of the mesh would have it else.
        assert!(
            spec["targetRefs"].is_array() != spec["selector"].is_object(),
            "{file}"
        );
        found.insert(name.to_owned());
    }
    assert_eq!(found, NAMED_PLUGINS.map(str::to_owned).into());
}

#[test]
fn every_configuration_of_an_example_is_accepted() {
    let mut found = 0;
    for file in files(&root().join("examples")) {
        let documents = documents(&file);
        for config in documents.iter().flat_map(mappings) {
            let Some(json) = config
                .pointer("/configuration/value")
                .and_then(Value::as_str)
            else {
                continue;
            };
            let parsed = config::parse(json.as_bytes());
            let parsed = parsed.unwrap_or_else(|errors| panic!("{}: {errors}", file.display()));
            check_header_names(&parsed);
            let [outbound, server] = PLUGINS.map(|plugin| format!("istio-system.{plugin}"));
            let name = match parsed.role {
                Setting::Outbound => outbound,
                Setting::Fixed(Role::Server) => server,
                _ => panic!("{}: {:?}", file.display(), parsed.role),
            };
            assert_eq!(config["name"], name, "{}", file.display());
            assert_eq!(config["root_id"], name, "{}", file.display());
            found += 1;
        }
    }
    assert_eq!(found, 2, "those of the demo");
}

#[test]
fn the_plugins_of_a_file_differ_in_role_side_and_selector_alone() {
    let all = plugins();
    for (file, plugin, wasm) in &all {
        let (_, first, first_wasm) = all.iter().find(|(other, ..)| other == file).expect("it");
        for field in ["url", "failStrategy"] {
            assert_eq!(
                wasm[field],
                first_wasm[field],
                "{}: {field}",
                file.display()
            );
        }
        let spec = &plugin["spec"];
        assert_eq!(
            spec["priority"],
            first["spec"]["priority"],
            "{}",
            file.display()
        );
        // Without the module traffic flows; `phase` unset is behind authentication.
        assert_eq!(wasm["failStrategy"], "FAIL_OPEN", "{}", file.display());
        assert!(spec.get("phase").is_none(), "{}", file.display());
    }
}

#[test]
fn every_url_has_this_version() {
    let version = format!(":{}", env!("CARGO_PKG_VERSION"));
    for (file, _, wasm) in plugins() {
        let url = wasm["url"].as_str().expect("a URL");
        assert!(url.starts_with("oci://"), "{}: {url}", file.display());
        assert!(url.ends_with(&version), "{}: {url}", file.display());
    }
}

#[test]
fn traffic_extensions_say_what_the_wasm_plugins_say() {
    let [plugins, extensions] = ["plugins.yaml", "traffic-extension/plugins.yaml"]
        .map(|file| documents(&folder().join(file)));
    assert_eq!(plugins.len(), extensions.len());
    for (mut plugin, extension) in plugins.into_iter().zip(extensions) {
        plugin["kind"] = "TrafficExtension".into();
        let spec = plugin["spec"].as_object_mut().expect("a mapping");
        let mut wasm = json!({});
        for field in ["url", "failStrategy", "pluginConfig"] {
            wasm[field] = spec.remove(field).expect(field);
        }
        spec.insert("wasm".to_owned(), wasm);
        assert_eq!(plugin, extension);
    }
}

// ---- EnvoyFilters ---------------------------------------------------------------------

/// The patches of the EnvoyFilter of a file in `envoyfilter/`.
fn patches(file: &str) -> Vec<Value> {
    let documents = documents(&folder().join(file));
    let filter = documents.iter().find(|each| each["kind"] == "EnvoyFilter");
    let patches = filter.expect(file)["spec"]["configPatches"].as_array();
    patches.expect("a list").clone()
}

/// The patches of a kind, and what each merges in.
fn of_target<'p>(patches: &'p [Value], target: &str) -> Vec<(&'p Value, &'p Value)> {
    let of_target = patches.iter().filter(|patch| patch["applyTo"] == target);
    of_target
        .map(|patch| (&patch["match"], &patch["patch"]["value"]))
        .collect()
}

/// The names that Istio gives to the filter of our plugin: of a WasmPlugin before 1.30
/// and since, and of a TrafficExtension.
fn filter_names(namespace: &str) -> BTreeSet<String> {
    let plugin = format!("{namespace}.{}", PLUGINS[0]);
    BTreeSet::from([
        format!("extensions.istio.io/wasmplugin/{plugin}"),
        format!("extensions.istio.io/trafficextension/{plugin}~istio-translated-wasmplugin"),
        format!("extensions.istio.io/trafficextension/{plugin}"),
    ])
}

#[test]
fn the_envoy_filters_switch_the_plugin_off_everywhere_and_on_by_name() {
    for (file, namespace) in ENVOY_FILTERS {
        let patches = patches(file);
        let off = of_target(&patches, "ROUTE_CONFIGURATION");
        assert!(!off.is_empty(), "{file}");
        for (_, value) in off {
            let filters = value["typed_per_filter_config"].as_object().expect(file);
            let named: BTreeSet<String> = filters.keys().cloned().collect();
            assert_eq!(named, filter_names(namespace), "{file}");
            assert!(
                filters.values().all(|each| each["disabled"] == true),
                "{file}"
            );
        }
        let mut named = Vec::new();
        for (place, value) in of_target(&patches, "HTTP_ROUTE") {
            named.push(place["routeConfiguration"]["vhost"]["route"]["name"].clone());
            let filters = value["typed_per_filter_config"].as_object().expect(file);
            let on = filters.iter().filter(|(name, _)| *name != REMOVER);
            for (_, each) in on.clone() {
                assert!(each.get("disabled").is_none(), "{file}");
                assert!(each["config"]["@type"].is_string(), "{file}");
            }
            let on: BTreeSet<String> = on.map(|(name, _)| name.clone()).collect();
            assert_eq!(on, filter_names(namespace), "{file}");
        }
        let named: Vec<&str> = named
            .iter()
            .map(|name| name.as_str().expect(file))
            .collect();
        let all: BTreeSet<&str> = WEIGHTED.into_iter().chain(PINS).collect();
        assert_eq!(named.len(), all.len(), "{file}: a name twice");
        assert_eq!(named.into_iter().collect::<BTreeSet<_>>(), all, "{file}");
    }
}

#[test]
fn the_envoy_filters_have_the_header_names_of_the_code() {
    let code = defaults();
    let header = json!({"key": &*code.route_header, "value": ROUTE_HEADER_VALUE});
    for (file, _) in ENVOY_FILTERS {
        let patches = patches(file);
        for (place, value) in of_target(&patches, "HTTP_ROUTE") {
            let name = place["routeConfiguration"]["vhost"]["route"]["name"].as_str();
            let name = name.expect(file);
            let written = &value["response_headers_to_add"][0];
            assert_eq!(written["header"], header, "{file}: {name}");
            // Over what an upstream sent: it cannot be forged.
            let action = &written["append_action"];
            assert_eq!(action, "OVERWRITE_IF_EXISTS_OR_ADD", "{file}: {name}");
            let remover = &value["typed_per_filter_config"][REMOVER];
            let mutations = json!({"response_mutations": [{"remove": &*code.route_header}]});
            assert_eq!(remover["mutations"], mutations, "{file}: {name}");
            let bucket = value.pointer("/route/weighted_clusters/header_name");
            let bucket = bucket.and_then(Value::as_str);
            let expected = WEIGHTED.contains(&name).then_some(&*code.bucket_header);
            assert_eq!(bucket, expected, "{file}: {name}");
        }
        for (_, filter) in of_target(&patches, "HTTP_FILTER") {
            assert_eq!(filter["name"], REMOVER, "{file}");
            assert_eq!(filter["disabled"], true, "{file}");
        }
        check_early_removals(file, &patches, &[&*code.bucket_header]);
    }
    for file in ["gateway-api/gateway.yaml", "gateway-api/waypoints.yaml"] {
        let patches = patches(file);
        assert_eq!(patches.len(), 1, "{file}");
        check_early_removals(file, &patches, &[VERSION_HEADER, &*code.bucket_header]);
    }
}

/// Checks which headers of strangers go at gateways, before a route is looked for.
fn check_early_removals(file: &str, patches: &[Value], headers: &[&str]) {
    for (place, value) in of_target(patches, "NETWORK_FILTER") {
        assert_eq!(
            place["context"], "GATEWAY",
            "{file}: a sidecar keeps buckets"
        );
        let early = &value["typed_config"]["early_header_mutation_extensions"];
        let mutations = &early[0]["typed_config"]["mutations"];
        let removals = headers.iter().map(|header| json!({"remove": header}));
        assert_eq!(*mutations, removals.collect::<Value>(), "{file}");
    }
}

/// The main EnvoyFilter in another scope: one context, and another namespace.
fn main_patches(context: &str, namespace: &str) -> Vec<Value> {
    let all = Value::from(patches("envoy-filter.yaml")).to_string();
    let all = all.replace("istio-system.", &format!("{namespace}."));
    let all: Vec<Value> = serde_json::from_str(&all).expect("JSON");
    let of_context = |patch: &Value| {
        let own = patch["match"].get("context");
        own.is_none_or(|own| own == context)
    };
    all.into_iter().filter(of_context).collect()
}

#[test]
fn the_envoy_filters_of_the_folders_are_the_main_one_in_another_scope() {
    for ((file, namespace), context) in ENVOY_FILTERS[1..]
        .iter()
        .zip(["GATEWAY", "SIDECAR_OUTBOUND"])
    {
        assert_eq!(patches(file), main_patches(context, namespace), "{file}");
    }
    let of_main = of_target(&patches("envoy-filter.yaml"), "HTTP_FILTER").len();
    assert_eq!(of_main, 2, "gateways and the outbound side of sidecars");
    let priorities: BTreeSet<String> = of_kind(&["EnvoyFilter"])
        .iter()
        .map(|(_, filter)| filter["spec"]["priority"].to_string())
        .collect();
    assert_eq!(priorities.len(), 1, "{priorities:?}");
}

#[test]
fn plugins_and_envoy_filters_are_of_the_namespace_in_the_filters_names() {
    for (file, namespace) in ENVOY_FILTERS {
        let documents = documents(&folder().join(file));
        let ours = documents.iter().filter(|each| {
            ["EnvoyFilter", "WasmPlugin"]
                .iter()
                .any(|kind| each["kind"] == *kind)
        });
        for each in ours {
            assert_eq!(each["metadata"]["namespace"], namespace, "{file}");
        }
    }
    for (file, plugin, _) in plugins() {
        let in_apps = [ENVOY_FILTERS[2].0, "gateway.yaml", "callers.yaml"];
        let in_apps = in_apps.iter().any(|name| file.ends_with(name));
        if !in_apps || file.ends_with(ENVOY_FILTERS[1].0) {
            let namespace = &plugin["metadata"]["namespace"];
            assert_eq!(namespace, "istio-system", "{}", file.display());
        }
    }
}

// ---- policies -------------------------------------------------------------------------

/// A variable of a policy.
fn variable(policy: &Value, name: &str) -> Option<String> {
    let variables = policy["spec"]["variables"].as_array().expect("a list");
    let found = variables.iter().find(|variable| variable["name"] == name)?;
    Some(found["expression"].as_str().expect("CEL").trim().to_owned())
}

/// The list of names that CEL writes.
fn listed(expression: &str) -> Vec<String> {
    serde_json::from_str(&expression.replace('\'', "\"")).expect(expression)
}

#[test]
fn the_policies_know_the_names_of_routes_and_the_pin_header() {
    let (mut with_pins, mut with_version) = (0, 0);
    for (_, policy) in of_kind(&["ValidatingAdmissionPolicy"]) {
        let name = &policy["metadata"]["name"];
        if let Some(version) = variable(&policy, "version") {
            assert_eq!(version, format!("'{VERSION_HEADER}'"), "{name}");
            with_version += 1;
        }
        // This one knows the names by how they begin.
        if name == "bluegreen-named" {
            continue;
        }
        let weighted = variable(&policy, "weightedNames").expect("the names");
        assert_eq!(listed(&weighted), WEIGHTED, "{name}");
        if let Some(pins) = variable(&policy, "pinNames") {
            assert_eq!(listed(&pins), PINS, "{name}");
            let header = variable(&policy, "pin").expect("the header");
            assert_eq!(header, format!("'{DEFAULT_PIN_HEADER}'"), "{name}");
            with_pins += 1;
        }
        // A condition that names routes names all of them.
        let condition = &policy["spec"]["matchConditions"][0]["expression"];
        let condition = condition.as_str().expect("CEL");
        if let Some((_, rest)) = condition.split_once("r.name in [") {
            let list = rest.split(']').next().expect("a list");
            let all: Vec<&str> = WEIGHTED.into_iter().chain(PINS).collect();
            assert_eq!(listed(&format!("[{list}]")), all, "{name}");
        }
    }
    assert_eq!(with_pins, 2, "the one that refuses, and the one that warns");
    assert_eq!(with_version, 1, "the one that warns of HTTPRoutes");
}

/// The policies, and the names that the filter reads.
#[test]
fn the_policies_and_the_examples_name_rules_as_the_filter_reads_them() {
    let prefix = std::str::from_utf8(PREFIX).expect("UTF-8");
    for file in ["admission.yaml", "naming.yaml"] {
        let text = fs::read_to_string(folder().join("gateway-api").join(file)).expect(file);
        assert!(text.contains(&format!("startsWith('{prefix}')")), "{file}");
    }
    let (mut weighted, mut versions) = (BTreeSet::new(), BTreeSet::new());
    for (file, route) in of_kind(&["HTTPRoute"]) {
        let file = file.display();
        for rule in route["spec"]["rules"].as_array().expect("a list") {
            let refs = rule["backendRefs"].as_array().expect("a list");
            let backend = |each: &Value| each["name"].as_str().expect("a name").to_owned();
            let name = rule["name"].as_str().expect("a name");
            if let RouteName::States(weights) = RouteName::of(name.as_bytes()) {
                let stated = weights.backends().iter().map(|each| {
                    let name = String::from_utf8_lossy(&each.name).into_owned();
                    (name, u64::from(each.weight))
                });
                let written = refs
                    .iter()
                    .map(|each| (backend(each), each["weight"].as_u64().unwrap_or(1)));
                assert!(stated.eq(written), "{file}: {name}");
                weighted.extend(refs.iter().filter(|_| refs.len() > 1).map(backend));
            } else {
                let header = &rule["matches"][0]["headers"][0];
                assert_eq!(header["name"], VERSION_HEADER, "{file}: {name}");
                let [only] = &refs[..] else {
                    panic!("{file}: {name}")
                };
                assert_eq!(header["value"], backend(only), "{file}: {name}");
                versions.insert(backend(only));
            }
        }
    }
    assert!(!weighted.is_empty());
    assert_eq!(weighted, versions, "a rule for each version");
}

#[test]
fn each_policy_has_a_binding_that_refuses_or_warns() {
    let policies = of_kind(&["ValidatingAdmissionPolicy"]).into_iter();
    let policies: BTreeSet<String> = policies
        .map(|(_, policy)| policy["metadata"]["name"].to_string())
        .collect();
    let mut bound = BTreeSet::new();
    for kind in ["MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"] {
        let all = of_kind(&[kind]);
        let [(_, naming)] = &all[..] else {
            panic!("{kind}")
        };
        assert_eq!(naming["metadata"]["name"], "bluegreen-naming");
    }
    for (_, binding) in of_kind(&["ValidatingAdmissionPolicyBinding"]) {
        let policy = binding["spec"]["policyName"].to_string();
        let warns = policy.contains("warnings");
        let actions = json!([if warns { "Warn" } else { "Deny" }]);
        assert_eq!(binding["spec"]["validationActions"], actions, "{policy}");
        bound.insert(policy);
    }
    assert_eq!(bound, policies);
}

// ---- routes of the examples -----------------------------------------------------------

#[test]
fn the_routes_of_the_examples_take_part_by_the_names() {
    for (file, service) in of_kind(&["VirtualService"]) {
        let http = service["spec"]["http"].as_array().expect("a list");
        names::check_routes(&file.display().to_string(), http);
    }
}

/// What the demo's Envoys have in the place of Istio and the EnvoyFilter.
#[test]
fn the_routes_of_the_demo_are_what_the_envoy_filter_makes() {
    let patches = patches("envoy-filter.yaml");
    let of_name = |name: &str| {
        let all = of_target(&patches, "HTTP_ROUTE").into_iter();
        let mut of_name =
            all.filter(|(place, _)| place["routeConfiguration"]["vhost"]["route"]["name"] == name);
        of_name.next().expect(name).1.clone()
    };
    let mut found = 0;
    for file in files(&root().join("examples/local")) {
        let documents = documents(&file);
        for route in documents.iter().flat_map(mappings) {
            let is_route = route.get("match").is_some();
            let name = route["name"].as_str().filter(|_| is_route);
            let Some(name) = name.filter(|name| name.starts_with("bluegreen")) else {
                continue;
            };
            let patch = of_name(name);
            let file = file.display();
            let field = "response_headers_to_add";
            assert_eq!(route[field], patch[field], "{file}: {name}");
            // A proxy has one of the filter's names.
            let filters = route["typed_per_filter_config"]
                .as_object()
                .expect("filters");
            for (filter, value) in filters {
                assert_eq!(
                    *value, patch["typed_per_filter_config"][filter],
                    "{file}: {name}"
                );
            }
            assert_eq!(filters.len(), 2, "{file}: {name}");
            let at = "/route/weighted_clusters/header_name";
            assert_eq!(route.pointer(at), patch.pointer(at), "{file}: {name}");
            found += 1;
        }
    }
    assert!(found > 2, "{found} routes");
}

// ---- metrics --------------------------------------------------------------------------

#[test]
fn the_stat_tags_are_the_labels_of_the_counters() {
    let labels = labels_of(&counter_names());
    let values = &documents(&folder().join("stat-tags/values.yaml"))[0];
    let tags = values["meshConfig"]["defaultConfig"]["extraStatTags"].as_array();
    let tags = tags.expect("a list").iter().filter_map(Value::as_str);
    assert_eq!(tags.map(str::to_owned).collect::<BTreeSet<_>>(), labels);
    for page in [
        "envoyfilter/stat-tags/values.yaml",
        "examples/blue-green/README.md",
    ] {
        let text = read(page);
        let rest = text.split("sidecar.istio.io/extraStatTags: ").nth(1);
        let mut words = rest.expect(page).split_whitespace();
        let list = words.find(|word| word.starts_with("bg_")).expect(page);
        let listed = list.split(',').map(str::to_owned);
        assert_eq!(listed.collect::<BTreeSet<_>>(), labels, "{page}");
    }
}

#[test]
fn dashboard_and_alerts_ask_for_metrics_and_labels_of_the_code() {
    let counters = counter_names();
    let (labels, metrics) = (labels_of(&counters), metrics_of(&counters));
    for file in files(&folder().join("watching")) {
        let text = fs::read_to_string(&file).expect("a file");
        for word in words(&text, "_:") {
            // A recorded series has a colon in its name.
            let is_label = word.starts_with("bg_");
            let is_metric = word.starts_with("bluegreen_") && !word.contains(':');
            let file = file.display();
            assert!(
                !is_label || labels.contains(word),
                "{file}: no label {word}"
            );
            assert!(
                !is_metric || metrics.contains(word),
                "{file}: no metric {word}"
            );
        }
    }
}

// ---- files ----------------------------------------------------------------------------

#[test]
fn the_folder_applies_by_f_and_by_k_alike() {
    let mut manifests = Vec::new();
    for entry in fs::read_dir(folder()).expect("a folder") {
        let name = entry.expect("an entry").file_name();
        let name = name.into_string().expect("a name");
        // `kubectl apply -f` takes these endings, and would stumble over a kustomization.
        assert!(!name.to_lowercase().starts_with("kustomization."), "{name}");
        if [".yaml", ".yml", ".json"]
            .iter()
            .any(|ending| name.ends_with(ending))
        {
            manifests.push(name);
        }
    }
    manifests.sort();
    let kustomization = &documents(&folder().join("Kustomization"))[0];
    assert_eq!(kustomization["resources"], json!(manifests));
}

#[test]
fn every_file_says_what_to_change_how_to_apply_see_and_undo_it() {
    for file in files(&folder()) {
        let text = fs::read_to_string(&file).expect("a file");
        let head = text.split("\napiVersion").next().expect("a head");
        for word in ["# Change: ", "# Apply:  ", "# See:    ", "# Undo:   "] {
            assert!(head.contains(word), "{}: {word}", file.display());
        }
    }
}
