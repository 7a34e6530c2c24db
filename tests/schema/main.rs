//! The JSON Schemas say of a configuration what the parser says: of the table's, of
//! those at each bound, and of random ones.

mod fields;
mod manifests;
mod random;

#[path = "../configurations/mod.rs"]
mod configurations;

#[path = "../signing/mod.rs"]
mod signing;

use bluegreen::core::config::{self, schema};
use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/envoyfilter");

/// What the parser refuses and a JSON Schema cannot: the only cases in which the two
/// may differ.
fn is_beyond_a_schema(error: &str, config: &Value) -> bool {
    // One field would have to be compared with another: two that name one header or
    // one cookie, and two rollouts with the same host and path prefix.
    let taken = error.contains(" is taken by ");
    // Validators look at what a JSON parser gives, which has each field once.
    let repeated = error.contains(": is given twice, ");
    // What stands in a public key.
    let key = error.contains(".publicKey: a key of another kind ")
        || error.contains(".publicKey: an RSA key of ");
    taken || repeated || key || is_only_long_in_bytes(error, config)
}

/// Whether the error is that of a salt of at most 256 characters, but of more bytes: a
/// schema counts characters. All other texts have a form that is ASCII alone.
fn is_only_long_in_bytes(error: &str, config: &Value) -> bool {
    let rollouts = config["rollouts"].as_object();
    let mut salts = rollouts
        .into_iter()
        .flatten()
        .filter_map(|(_, rollout)| rollout["salt"].as_str());
    salts.any(|salt| {
        let start: String = salt.chars().take(64).collect();
        error.contains(&format!(".salt: {start:?}... is not a salt "))
            && salt.len() > 256
            && salt.chars().count() <= 256
            && !salt.contains(char::is_control)
    })
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn schema_file(name: &str) -> PathBuf {
    Path::new(FOLDER).join("schema").join(name)
}

fn schema_value(name: &str) -> Value {
    serde_json::from_str(&read(&schema_file(name))).expect(name)
}

/// A schema of the project as a validator that knows where the schema lies, so that it
/// finds the one that it refers to.
fn validator(name: &str) -> Validator {
    jsonschema::options()
        .with_base_uri(format!("file://{}", schema_file(name).display()))
        .build(&schema_value(name))
        .expect(name)
}

/// The errors of the parser, a line each.
fn errors(json: &str) -> Vec<String> {
    let errors = config::parse(json.as_bytes()).err();
    errors.iter().flat_map(|errors| errors.lines()).collect()
}

/// Holds the schema against the parser; returns whether the configuration is right.
fn agrees(schema: &Validator, json: &str) -> Result<bool, String> {
    let config: Value = serde_json::from_str(json).expect(json);
    let errors = errors(json);
    let told = |error: &String| !is_beyond_a_schema(error, &config);
    let of_schema: Vec<String> = schema
        .iter_errors(&config)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    if errors.iter().any(told) == of_schema.is_empty() {
        return Err(format!(
            "{json}\nparser: {errors:#?}\nschema: {of_schema:#?}"
        ));
    }
    Ok(errors.is_empty())
}

#[test]
fn the_schema_is_the_one_that_make_schema_writes() {
    let generated = schema::plugin_config().unwrap();
    let committed = read(&schema_file("pluginConfig.schema.json"));
    assert!(committed == generated, "run make schema");
}

#[test]
fn both_are_schemas_of_draft_2020_12() {
    for name in ["pluginConfig.schema.json", "manifest.schema.json"] {
        let schema = schema_value(name);
        assert_eq!(Draft::default().detect(&schema), Draft::Draft202012);
        jsonschema::meta::validate(&schema).expect(name);
    }
}

#[test]
fn each_configuration_of_the_table_is_the_same_to_both() {
    let schema = validator("pluginConfig.schema.json");
    let mut beyond = 0;
    for (json, _) in configurations::rows(signing::with_keys) {
        let right = agrees(&schema, &json).unwrap_or_else(|differ| panic!("{differ}"));
        let config: Value = serde_json::from_str(&json).unwrap();
        beyond += usize::from(!right && schema.is_valid(&config));
    }
    // Six name a header of another field, two a cookie, one a key of baggage; two repeat a
    // field; one has the hosts of another rollout; one is the salt; two keys are of one
    // name, and one is none.
    assert_eq!(beyond, 15, "rows that only the parser refuses");
}

#[test]
fn no_header_with_a_meaning_may_be_written() {
    let schema = validator("pluginConfig.schema.json");
    let definition = &schema_value("pluginConfig.schema.json")["$defs"]["headerWithAMeaning"];
    let names = definition["anyOf"][0]["enum"].as_array().unwrap();
    let families = definition["anyOf"][1]["pattern"].as_str().unwrap();
    let families: Vec<&str> = families[2..families.len() - 1].split('|').collect();
    assert!(names.len() > 50 && families.len() > 10);
    let names = names.iter().map(|name| name.as_str().unwrap().to_owned());
    let of_families = families.iter().flat_map(|family| {
        let bare = family.trim_end_matches('-');
        [
            bare.to_owned(),
            (*family).to_owned(),
            format!("{family}x"),
            format!("x{family}x"),
        ]
    });
    for name in names.chain(of_families) {
        for config in [
            json!({"bucketHeader": name}),
            json!({"routeHeader": name}),
            json!({"identity": {"header": name}}),
            json!({"pin": {"header": name}}),
            json!({"tag": {"header": name}}),
        ] {
            agrees(&schema, &config.to_string()).unwrap_or_else(|differ| panic!("{differ}"));
        }
    }
}

#[test]
fn what_the_attributes_of_a_cookie_ask_of_each_other_is_the_same_to_both() {
    let schema = validator("pluginConfig.schema.json");
    let fields: [(&str, &[Value]); 7] = [
        (
            "name",
            &[
                "id",
                "__Host-id",
                "__hOST-",
                "__Secure-id",
                "__sECURE-",
                "__Host",
                "x__Host-",
            ]
            .map(Value::from),
        ),
        ("secure", &["auto", "always", "never"].map(Value::from)),
        ("path", &["/", "/a"].map(Value::from)),
        ("domain", &["", "a.example"].map(Value::from)),
        ("sameSite", &["Lax", "Strict", "None"].map(Value::from)),
        ("partitioned", &[true, false].map(Value::from)),
        ("mint", &[true, false].map(Value::from)),
    ];
    let mut cookies = vec![Map::new()];
    for (field, values) in fields {
        let with_it = cookies.iter().flat_map(|cookie| {
            values.iter().map(|value| {
                let mut cookie = cookie.clone();
                cookie.insert(field.to_owned(), value.clone());
                cookie
            })
        });
        let with_it: Vec<_> = with_it.collect();
        cookies.extend(with_it);
    }
    let mut right = 0;
    for cookie in &cookies {
        for holder in ["identity", "pin"] {
            let config = json!({holder: {"cookie": cookie}}).to_string();
            let is_right = agrees(&schema, &config).unwrap_or_else(|differ| panic!("{differ}"));
            right += usize::from(is_right);
        }
    }
    assert!(
        right > 1000 && right < cookies.len(),
        "{right} of {}",
        cookies.len()
    );
}

/// Patterns are for the regular expressions of many languages. Go and Rust, whose are
/// automata, look neither ahead nor back, and Go's count to 1,000 at most.
#[test]
fn every_pattern_is_one_for_all_languages() {
    fn patterns(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(keywords) => {
                found.extend(
                    keywords
                        .get("pattern")
                        .and_then(Value::as_str)
                        .map(str::to_owned),
                );
                keywords.values().for_each(|value| patterns(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| patterns(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    patterns(&schema_value("pluginConfig.schema.json"), &mut found);
    assert!(found.len() > 20);
    for pattern in found {
        assert!(pattern.is_ascii(), "{pattern}");
        for special in [
            "(?", "\\u", "\\p", "\\d", "\\w", "\\s", "\\b", "&&", "--", "~~", "[[",
        ] {
            assert!(!pattern.contains(special), "{special} in {pattern}");
        }
        let counts = pattern
            .split(['{', ',', '}'])
            .filter_map(|count| count.parse::<u32>().ok());
        assert!(counts.max().unwrap_or_default() <= 1000, "{pattern}");
    }
}
