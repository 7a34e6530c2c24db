//! The table of configurations: its rows as they are handed to the parser.

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

/// The configurations of the table as JSON, with the keys that `with_keys` puts in, each
/// with all its errors, a line each.
pub(crate) fn rows(with_keys: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/configurations.yaml");
    let text = std::fs::read_to_string(path).expect(path);
    let rows: Vec<Row> = serde_norway::from_str(&text).expect(path);
    rows.into_iter()
        .map(|row| {
            (
                with_keys(&row.json.unwrap_or_else(|| row.config.to_string())),
                row.errors,
            )
        })
        .collect()
}
