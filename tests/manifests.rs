//! What users apply fits the code: configurations, names, labels.

use bluegreen::core::config::{self, Config, DEFAULT_PIN_HEADER};
use bluegreen::core::metrics::Counters;
use bluegreen::core::role::{Placement, Role, Setting};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The name of the http routes that take part.
const ROUTE: &str = "bluegreen";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("envoyfilter")
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
    for file in files(&folder()) {
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

fn parsed(config: &Value) -> Config {
    config::parse(config.to_string().as_bytes()).unwrap_or_else(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{config}: {errors:?}")
    })
}

fn minimal() -> Value {
    json!({"rollouts": [{"name": "a", "versions": ["blue", "green"]}]})
}

#[test]
fn every_plugin_config_is_accepted_and_its_role_fits_its_side() {
    for (file, plugin, wasm) in plugins() {
        let config = parsed(&wasm["pluginConfig"]);
        let mode = plugin["spec"]["match"][0]["mode"].as_str();
        let fits = match config.role {
            Setting::Outbound | Setting::Fixed(Role::Client) => mode == Some("CLIENT"),
            Setting::Fixed(Role::Server) => mode == Some("SERVER"),
            Setting::Fixed(Role::Gateway) => plugin["spec"].get("selector").is_some(),
            Setting::Auto => false,
        };
        assert!(fits, "{}: {:?} at {mode:?}", file.display(), config.role);
        // Only under these names do the EnvoyFilter and the policy fit.
        let defaults = parsed(&minimal());
        assert_eq!(config.bucket_header, defaults.bucket_header);
        assert_eq!(config.pin_header(), DEFAULT_PIN_HEADER);
    }
}

#[test]
fn the_plugins_of_a_file_differ_in_their_role_alone() {
    let all = plugins();
    for (file, _, wasm) in &all {
        let (_, _, first) = all.iter().find(|(other, ..)| other == file).expect("it");
        let mut same = wasm.clone();
        for path in ["/pluginConfig/role", "/match/0/mode"] {
            if let (Some(field), Some(value)) = (same.pointer_mut(path), first.pointer(path)) {
                *field = value.clone();
            }
        }
        assert_eq!(&same, first, "{}", file.display());
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

#[test]
fn the_envoy_filters_name_the_route_and_the_bucket_header() {
    for (file, filter) in of_kind(&["EnvoyFilter"]) {
        let patch = &filter["spec"]["configPatches"][0];
        let place = &patch["match"]["routeConfiguration"]["vhost"]["route"]["name"];
        let header = &patch["patch"]["value"]["route"]["weighted_clusters"]["header_name"];
        assert_eq!(place, ROUTE, "{}", file.display());
        let bucket_header = parsed(&minimal()).bucket_header;
        assert_eq!(header, &*bucket_header, "{}", file.display());
    }
}

#[test]
fn the_policy_knows_the_route_the_total_and_the_pin_header() {
    for (_, policy) in of_kind(&["ValidatingAdmissionPolicy"]) {
        let variable = |name: &str| {
            let variables = policy["spec"]["variables"].as_array().expect("a list");
            let found = variables.iter().find(|variable| variable["name"] == name);
            let text = found.expect(name)["expression"].as_str().expect("CEL");
            text.to_owned()
        };
        assert_eq!(variable("pin"), format!("'{DEFAULT_PIN_HEADER}'"));
        let mut written = minimal();
        written["rollouts"][0]["weightTotal"] =
            variable("total").parse::<u32>().expect("total").into();
        let [written, default] = [&written, &minimal()].map(|json| format!("{:?}", parsed(json)));
        assert_eq!(written, default);
        let named = format!("r.name == '{ROUTE}'");
        let condition = &policy["spec"]["matchConditions"][0]["expression"];
        assert!(condition.as_str().expect("CEL").contains(&named));
        assert!(variable("weighted").contains(&named));
        assert!(variable("kinds").contains(&named));
    }
}

#[test]
fn the_stat_tags_are_the_labels_of_the_counters() {
    let mut labels = BTreeSet::new();
    let every_role = [Role::Gateway, Role::Client, Role::Server].map(Placement::Fixed);
    for placement in every_role {
        Counters::define(&parsed(&minimal()), placement, |name| {
            let tags = name.split(";.;").filter_map(|part| part.split_once("=.="));
            labels.extend(tags.map(|(tag, _)| tag.to_owned()));
            None
        });
    }
    let values = &documents(&folder().join("stat-tags/values.yaml"))[0];
    let tags = values["meshConfig"]["defaultConfig"]["extraStatTags"].as_array();
    let tags = tags.expect("a list").iter().filter_map(Value::as_str);
    assert_eq!(tags.map(str::to_owned).collect::<BTreeSet<_>>(), labels);
    let annotation = fs::read_to_string(folder().join("stat-tags/values.yaml")).expect("a file");
    let line = annotation.split("sidecar.istio.io/extraStatTags: ").nth(1);
    let listed = line
        .and_then(|rest| rest.lines().next())
        .expect("the annotation");
    assert_eq!(
        listed
            .split(',')
            .map(str::to_owned)
            .collect::<BTreeSet<_>>(),
        labels
    );
}

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
