//! The README says what the code does: fields, defaults, targets of `make`.

use bluegreen::core::config;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

fn read(file: &str) -> String {
    let path = format!("{}/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).expect(&path)
}

/// The rows of the table of fields: the field's path and its default.
fn fields() -> Vec<(String, String)> {
    let readme = read("README.md");
    let table = readme.split("<!-- fields -->").nth(1).expect("the mark");
    table
        .lines()
        .map(str::trim)
        .skip_while(|line| !line.starts_with("| `"))
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
        })
        .collect()
}

/// The fields that the code knows in the mapping at `path`, out of the error
/// for an unknown one.
fn known(path: &str) -> Vec<String> {
    let mut unknown = json!({"?": 0});
    for part in path.split('.').rev().filter(|part| !part.is_empty()) {
        unknown = match part.strip_suffix("[]") {
            Some(list) => json!({list: [unknown]}),
            None => json!({part: unknown}),
        };
    }
    let errors = config::parse(unknown.to_string().as_bytes()).expect_err("? is no field");
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    let line = lines.iter().find(|line| line.contains("\"?\" is not"));
    let line = line.unwrap_or_else(|| panic!("{path}: {lines:?}"));
    let list = line.split_once('(').expect(line).1.trim_end_matches(')');
    let dot = if path.is_empty() { "" } else { "." };
    list.split(", ")
        .map(|field| format!("{path}{dot}{field}"))
        .collect()
}

#[test]
fn the_table_of_fields_is_complete_and_has_no_other() {
    let documented: BTreeSet<String> = fields().into_iter().map(|(field, _)| field).collect();
    let levels = [
        "",
        "identity",
        "identity.cookie",
        "pin",
        "tag",
        "rollouts[]",
    ];
    let mut code: BTreeSet<String> = levels.iter().flat_map(|path| known(path)).collect();
    // Mappings whose fields stand in rows of their own.
    code.remove("identity");
    code.remove("tag");
    // "Its other fields are those of identity.cookie."
    let same: BTreeSet<String> = known("pin.cookie")
        .into_iter()
        .map(|field| field.replace("pin.", "identity."))
        .collect();
    assert_eq!(same, known("identity.cookie").into_iter().collect());
    code.extend([
        "pin.cookie.name".to_owned(),
        "pin.cookie.maxAgeSeconds".to_owned(),
    ]);
    assert_eq!(documented, code);
}

#[test]
fn the_defaults_of_the_table_are_the_codes() {
    let rollout = json!({"name": "a", "versions": ["blue", "green"]});
    let mut written = json!({"rollouts": [rollout.clone()]});
    let mut checked = 0;
    for (field, default) in fields() {
        let Some(default) = default.strip_prefix('`').and_then(|d| d.strip_suffix('`')) else {
            continue;
        };
        let value: Value = serde_json::from_str(default).unwrap_or_else(|_| default.into());
        put(&mut written, &field, value);
        checked += 1;
    }
    assert!(checked > 15, "{checked}");
    let minimal = json!({"rollouts": [rollout]});
    let [written, minimal] = [written, minimal]
        .map(|json| format!("{:?}", config::parse(json.to_string().as_bytes()).unwrap()));
    assert_eq!(written, minimal);
}

fn put(json: &mut Value, path: &str, value: Value) {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let object = json.as_object_mut().expect("a mapping");
    let inner = match first.strip_suffix("[]") {
        Some(list) => &mut object[list][0],
        None => object
            .entry(first)
            .or_insert_with(|| Value::Object(Map::new())),
    };
    if rest.is_empty() {
        *inner = value;
    } else {
        put(inner, rest, value);
    }
}

#[test]
fn its_costs_are_those_that_were_measured() {
    // Case, added, ratio: the first two cells, and the one behind the module's share.
    let results = read("benches/RESULTS.md");
    let measured: BTreeSet<[&str; 3]> = cells(&results)
        .filter(|row| row.len() == 6)
        .map(|row| [row[0], row[1], row[3]])
        .collect();
    let readme = read("README.md");
    let table = readme.split("<!-- cost -->").nth(1).expect("the mark");
    let table = table.trim_start().split("\n\n").next().expect("a table");
    let rows: Vec<_> = cells(table).skip(2).collect();
    assert!(rows.len() > 8, "{table}");
    for row in rows {
        assert!(
            measured.iter().any(|found| *found == *row),
            "not in RESULTS.md: {row:?}"
        );
    }
}

/// The rows of a Markdown file's tables.
fn cells(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter_map(|line| {
        let row = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(row.split('|').map(str::trim).collect())
    })
}

#[test]
fn every_target_of_make_that_is_named_exists() {
    let makefile = read("Makefile");
    for file in ["README.md", "CONTRIBUTING.md", "examples/local/README.md"] {
        let text = read(file);
        for command in text.split("`make ").skip(1) {
            let command = command.split('`').next().expect("a command");
            for target in command.split(' ').filter(|word| !word.contains('=')) {
                let rule = format!("\n{target}:");
                assert!(makefile.contains(&rule), "{file}: no target {target}");
            }
        }
    }
}

#[test]
fn every_file_that_is_linked_exists() {
    let readme = read("README.md");
    let links = readme.split("](").skip(1);
    for link in links.map(|link| link.split(')').next().expect("a link")) {
        if !link.starts_with("http") && !link.starts_with('#') {
            let path = format!("{}/{link}", env!("CARGO_MANIFEST_DIR"));
            assert!(std::fs::exists(&path).unwrap(), "{link}");
        }
    }
}
