//! The table of configurations: its rows as they are handed to the parser.

#[path = "../signing/mod.rs"]
mod signing;

use serde::Deserialize;
use serde_json::Value;

/// One row. `tests/configurations.yaml` explains the fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default)]
    config: Value,
    json: Option<String>,
    #[serde(default)]
    errors: String,
}

/// The configurations of the table as JSON, each with all its errors, a line each.
pub(crate) fn rows() -> Vec<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/configurations.yaml");
    let text = std::fs::read_to_string(path).expect(path);
    let rows: Vec<Row> = serde_norway::from_str(&text).expect(path);
    rows.into_iter()
        .map(|row| {
            (
                signing::with_keys(&row.json.unwrap_or_else(|| row.config.to_string())),
                row.errors,
            )
        })
        .collect()
}
