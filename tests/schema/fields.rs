//! Each field by itself: its texts, its default, its examples, its bounds, and texts
//! that are nearly of its form.

use super::{agrees, schema_value, validator};
use bluegreen::core::config;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// A field: its path, `NAME` for any rollout and `[]` for any item, and its schema.
struct Field {
    path: Vec<String>,
    schema: Value,
}

/// All fields, and the items of lists.
fn fields() -> Vec<Field> {
    let root = schema_value("pluginConfig.schema.json");
    let mut fields = Vec::new();
    collect(&root, &root, &[], &mut fields);
    assert!(fields.len() > 50, "{}", fields.len());
    fields
}

fn collect(schema: &Value, root: &Value, path: &[String], fields: &mut Vec<Field>) {
    let mut inside = |name: &str, schema: &Value| {
        let schema = resolved(schema, root);
        let path = [path, &[name.to_owned()]].concat();
        collect(&schema, root, &path, fields);
        fields.push(Field { path, schema });
    };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        inside(name, property);
    }
    if schema["additionalProperties"].is_object() {
        inside("NAME", &schema["additionalProperties"]);
    }
    if schema["items"].is_object() {
        inside("[]", &schema["items"]);
    }
}

/// A schema with what it refers to; its own keywords come first.
pub(crate) fn resolved(schema: &Value, root: &Value) -> Value {
    let mut resolved = schema.clone();
    if let Some(place) = schema["$ref"].as_str() {
        let place = root.pointer(place.trim_start_matches('#')).expect(place);
        for (keyword, value) in place.as_object().unwrap() {
            let own = resolved.as_object_mut().unwrap();
            own.entry(keyword).or_insert_with(|| value.clone());
        }
    }
    resolved
}

/// A configuration of little more than this field.
fn with(path: &[String], value: &Value) -> Value {
    let Some((name, inner)) = path.split_first() else {
        return value.clone();
    };
    let mut value = with(inner, value);
    match &**name {
        "[]" => json!([value]),
        "NAME" => {
            let rollout = value.as_object_mut().expect("a rollout");
            rollout.entry("hosts").or_insert(json!(["a.example"]));
            json!({"shop": rollout})
        }
        name => {
            if name == "keys" {
                value
                    .as_array_mut()
                    .into_iter()
                    .flatten()
                    .for_each(complete);
            }
            json!({name: value})
        }
    }
}

/// Adds what a key must have.
fn complete(key: &mut Value) {
    static PEM: LazyLock<Value> = LazyLock::new(|| {
        let schema = schema_value("pluginConfig.schema.json");
        let pem = "/$defs/pin/properties/keys/items/properties/publicKey/examples/0";
        schema.pointer(pem).expect(pem).clone()
    });
    if let Some(key) = key.as_object_mut() {
        key.entry("name").or_insert_with(|| json!("a"));
        key.entry("publicKey").or_insert_with(|| PEM.clone());
    }
}

#[test]
fn each_field_has_its_texts() {
    for Field { path, schema } in fields() {
        let name = path.last().unwrap();
        if name == "[]" {
            continue;
        }
        let text = |keyword: &str| schema[keyword].as_str().unwrap_or_default();
        assert!(text("title").len() > 3, "{path:?}: title");
        assert!(text("description").ends_with('.'), "{path:?}: description");
        let examples = schema["examples"].as_array();
        assert!(
            name == "NAME" || examples.is_some_and(|examples| !examples.is_empty()),
            "{path:?}"
        );
    }
}

#[test]
fn each_default_is_what_the_parser_takes_in_its_place() {
    let mut defaults = 0;
    for Field { path, schema } in fields() {
        let (name, parent) = path.split_last().unwrap();
        let Some(default) = schema.get("default") else {
            // A rollout has the mesh's settings where it does not say its own.
            let of_rollout = parent.last().is_some_and(|parent| parent == "NAME");
            // A key has no limits where it says none.
            let of_key = parent.last().is_some_and(|parent| parent == "[]");
            assert!(
                of_rollout || of_key || name == "NAME" || name == "[]",
                "{path:?}"
            );
            continue;
        };
        let parsed = |config: Value| {
            let json = config.to_string();
            format!("{:?}", config::parse(json.as_bytes()).expect(&json))
        };
        let absent = with(parent, &json!({}));
        assert_eq!(parsed(with(&path, default)), parsed(absent), "{path:?}");
        defaults += 1;
    }
    assert!(defaults > 30, "{defaults}");
}

#[test]
fn each_example_is_right() {
    let schema = validator("pluginConfig.schema.json");
    let whole = Field {
        path: Vec::new(),
        schema: schema_value("pluginConfig.schema.json"),
    };
    for Field {
        path,
        schema: field,
    } in fields().into_iter().chain([whole])
    {
        for example in field["examples"].as_array().into_iter().flatten() {
            let config = match path.split_last() {
                Some((name, cookie)) if name == "partitioned" => {
                    with(cookie, &json!({"partitioned": example, "secure": "always"}))
                }
                _ => with(&path, example),
            };
            assert_eq!(agrees(&schema, &config.to_string()), Ok(true), "{config}");
        }
    }
}

/// Texts of so many characters, one of which fits each form.
fn texts(length: usize) -> Vec<String> {
    let name = |length: usize| -> String {
        let label = "a".repeat(63) + ".";
        let mut name: String = label.chars().cycle().take(length).collect();
        if name.ends_with('.') {
            name.replace_range(length - 2.., ".a");
        }
        name
    };
    let prefixed = |prefix: &str, of: &dyn Fn(usize) -> String| {
        length
            .checked_sub(prefix.len())
            .map(|rest| format!("{prefix}{}", of(rest)))
    };
    let plain = |length| "a".repeat(length);
    let key = length
        .checked_sub(254)
        .map(|rest| format!("{}/{}", name(253), plain(rest)));
    let texts = [
        Some(plain(length)),
        Some(name(length)),
        prefixed("/", &plain),
        prefixed("*.", &name),
        key,
    ];
    texts.into_iter().flatten().collect()
}

#[test]
fn the_parser_has_the_bounds_of_the_schema() {
    let schema = validator("pluginConfig.schema.json");
    let right = |path: &[String], value: &Value| {
        agrees(&schema, &with(path, value).to_string()).unwrap_or_else(|differ| panic!("{differ}"))
    };
    let mut bounds = 0;
    for Field {
        path,
        schema: field,
    } in fields()
    {
        let bound = |keyword: &str| field[keyword].as_u64();
        if let Some(longest) = bound("maxLength") {
            let longest = usize::try_from(longest).unwrap();
            let fits = |length| texts(length).iter().any(|text| right(&path, &json!(text)));
            assert!(fits(longest) && !fits(longest + 1), "{path:?}: {longest}");
            let may_be_empty = bound("minLength").unwrap_or_default() == 0;
            assert_eq!(right(&path, &json!("")), may_be_empty, "{path:?}");
            bounds += 1;
        }
        if let Some(most) = bound("maximum") {
            assert!(
                right(&path, &json!(most)) && !right(&path, &json!(most + 1)),
                "{path:?}"
            );
            let least = field["minimum"].as_i64().unwrap();
            assert!(
                right(&path, &json!(least)) && !right(&path, &json!(least - 1)),
                "{path:?}"
            );
            bounds += 1;
        }
        if bound("minItems") == Some(1) {
            assert!(!right(&path, &json!([])), "{path:?}");
            bounds += 1;
        }
        if let Some(most) = bound("maxProperties") {
            let map = |n: u64| -> Map<String, Value> {
                let host = |i| (format!("a{i}"), json!({"hosts": [format!("h{i}.example")]}));
                (0..n).map(host).collect()
            };
            assert!(right(&path, &json!(map(most))) && !right(&path, &json!(map(most + 1))));
            let named = |name: String| right(&path, &json!({name: {"hosts": ["a"]}}));
            let longest = usize::try_from(field["propertyNames"]["maxLength"].as_u64().unwrap());
            let longest = longest.unwrap();
            assert!(named("a".repeat(longest)) && !named("a".repeat(longest + 1)));
            assert!(!named(String::new()));
            bounds += 1;
        }
    }
    assert!(bounds > 30, "{bounds}");
}

#[test]
fn each_text_with_one_thing_changed_is_the_same_to_both() {
    let schema = validator("pluginConfig.schema.json");
    // Every character of ASCII and the controls behind it, and labels and names that are as long as
    // they may be, shorter or longer by one.
    let mut pieces: Vec<String> = ('\0'..='\u{a0}').map(String::from).collect();
    let label = |length| {
        [
            "a".repeat(length),
            ".".to_owned() + &"-".repeat(length) + "a.",
        ]
    };
    pieces.extend((60..=65).flat_map(label));
    pieces.extend(
        [
            "::",
            "..",
            "//",
            "1:2:3:4:5:6:7",
            "256.1",
            "\u{2028}",
            "€",
            "😀",
        ]
        .map(str::to_owned),
    );
    let whole = (250..=256)
        .flat_map(texts)
        .flat_map(|text| [format!("{text}/a"), format!("*.{text}"), text]);
    let whole: Vec<String> = whole.collect();
    let mut checked = 0;
    let mut check = |path: &[String], text: &str| {
        let config = with(path, &json!(text));
        agrees(&schema, &config.to_string()).unwrap_or_else(|differ| panic!("{differ}"));
        checked += 1;
    };
    for Field {
        path,
        schema: field,
    } in fields()
    {
        if field.get("maxLength").is_none() {
            continue;
        }
        whole.iter().for_each(|text| check(&path, text));
        for good in ["a", "/a", "a.b/c", "*.a.b", "[1::2:3.4.5.6]"] {
            for (at, _) in good.char_indices().chain([(good.len(), ' ')]) {
                let (before, behind) = good.split_at(at);
                for piece in &pieces {
                    check(&path, &format!("{before}{piece}{behind}"));
                    let behind = behind.get(1..).unwrap_or_default();
                    check(&path, &format!("{before}{piece}{behind}"));
                }
            }
        }
    }
    assert!(checked > 100_000, "{checked}");
}
