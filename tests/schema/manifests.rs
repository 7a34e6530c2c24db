//! The manifests, the schema that wraps them, and the line by which editors find it.

use super::{FOLDER, read, schema_file, schema_value, validator};
use serde::Deserialize;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The documents of a file, with anchors and merges resolved.
fn documents(file: &Path) -> Vec<Value> {
    serde_norway::Deserializer::from_str(&read(file))
        .map(|document| {
            let mut yaml = serde_norway::Value::deserialize(document).expect("YAML");
            yaml.apply_merge().expect("mappings");
            serde_json::to_value(yaml).expect("JSON")
        })
        .collect()
}

/// The YAML files below `folder`.
fn yaml_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.extension() {
            _ if path.is_dir() => yaml_files(&path),
            Some(ending) if ending == "yaml" => vec![path],
            _ => Vec::new(),
        })
        .collect()
}

/// The `pluginConfig`s of a document.
fn plugin_configs(document: &mut Value) -> Vec<&mut Value> {
    match document["kind"].as_str() {
        Some("List") => {
            let items = document["items"].as_array_mut().expect("items");
            items.iter_mut().flat_map(plugin_configs).collect()
        }
        Some("WasmPlugin") => vec![&mut document["spec"]["pluginConfig"]],
        Some("TrafficExtension") => vec![&mut document["spec"]["wasm"]["pluginConfig"]],
        _ => Vec::new(),
    }
}

#[test]
fn the_manifests_pass_and_each_of_their_configurations_is_looked_at() {
    let schema = validator("manifest.schema.json");
    let mut plugins = 0;
    for file in yaml_files(Path::new(FOLDER)) {
        for mut document in documents(&file) {
            assert!(schema.is_valid(&document), "{}", file.display());
            for place in 0..plugin_configs(&mut document).len() {
                let mut wrong = document.clone();
                *plugin_configs(&mut wrong)[place] = json!({"role": "edge"});
                assert!(!schema.is_valid(&wrong), "{}: {place}", file.display());
                plugins += 1;
            }
        }
    }
    assert_eq!(plugins, 10);
}

#[test]
fn the_plugins_of_others_pass() {
    let schema = validator("manifest.schema.json");
    let plugin = |name: &str| {
        let spec = json!({"pluginConfig": {"role": "edge"}});
        json!({"kind": "WasmPlugin", "metadata": {"name": name}, "spec": spec})
    };
    assert!(!schema.is_valid(&plugin("bluegreen-outbound")));
    assert!(!schema.is_valid(&plugin("bluegreen-server")));
    assert!(schema.is_valid(&plugin("basic-auth")));
    assert!(
        schema.is_valid(&json!({"kind": "WasmPlugin", "metadata": {"name": "bluegreen-server"}}))
    );
}

/// Editors take the schema that a comment names, relative to the file.
#[test]
fn each_manifest_with_a_configuration_names_the_schema() {
    for file in yaml_files(Path::new(FOLDER)) {
        let has_one = documents(&file)
            .iter_mut()
            .any(|document| !plugin_configs(document).is_empty());
        let text = read(&file);
        let named = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# yaml-language-server: $schema="));
        let named = named.map(|path| file.with_file_name(path).canonicalize().expect(path));
        let schema = schema_file("manifest.schema.json").canonicalize().unwrap();
        assert_eq!(named, has_one.then_some(schema), "{}", file.display());
    }
}

/// Helm reads one file, so the schema of the chart's values contains this one.
#[test]
fn the_values_of_the_chart_have_the_schema_of_the_configuration() {
    let values = read(Path::new("charts/bluegreen/values.schema.json"));
    let values: Value = serde_json::from_str(&values).expect("JSON");
    let mut within = values["$defs"]["pluginConfig"].clone();
    within.as_object_mut().expect("a schema").remove("$id");
    let own = schema_value("pluginConfig.schema.json");
    assert!(within == own, "make schema");
}
