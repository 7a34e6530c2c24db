//! Random configurations near to right ones.

use super::fields::resolved;
use super::{agrees, schema_value, validator};
use jsonschema::Validator;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::cell::Cell;

/// Texts that mean something in one field or another.
const WORDS: [&str; 16] = [
    "",
    "x-version-pin",
    "x-bluegreen-bucket",
    "x-served-version",
    "bluegreen-id",
    "cookie",
    "expect",
    "content-type",
    "__Host-id",
    "__secure-ID",
    "None",
    "always",
    "/",
    "[::1]",
    "*.shop.example",
    "SHOP.example",
];

/// Values that are seldom what a field must be.
fn odd() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(3600.0),
        json!(1e300),
        json!(""),
        json!("a"),
        json!([]),
        json!(["a"]),
        json!({}),
        json!({"a": 1}),
    ])
}

/// Configurations near to a right one: values of the schema's defaults and examples,
/// some of them changed a bit.
fn near(schema: &Value, root: &Value, seeds: &[Value]) -> BoxedStrategy<Value> {
    let schema = resolved(schema, root);
    let listed = |keyword: &str| schema[keyword].as_array().cloned().unwrap_or_default();
    let mut good = [listed("examples"), listed("enum"), seeds.to_vec()].concat();
    good.extend(schema.get("default").cloned());
    let mut strategies: Vec<(u32, BoxedStrategy<Value>)> = vec![(1, odd().boxed())];
    if !good.is_empty() {
        strategies.push((20, select(good.clone()).boxed()));
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    for kind in types {
        strategies.push(match kind.as_str().expect("a type") {
            "object" => (60, mapping(&schema, root)),
            "array" => {
                let items: Vec<Value> = good
                    .iter()
                    .flat_map(|list| list.as_array().cloned().unwrap_or_default())
                    .collect();
                let item = near(&schema["items"], root, &items);
                (
                    40,
                    prop::collection::vec(item, 0..4)
                        .prop_map(Value::from)
                        .boxed(),
                )
            }
            "string" if schema.get("enum").is_none() => {
                let bases: Vec<String> = good
                    .iter()
                    .filter_map(|v| Some(v.as_str()?.to_owned()))
                    .collect();
                (8, text(bases, schema["maxLength"].as_u64()))
            }
            "integer" => {
                let most = schema["maximum"].as_i64().expect("a bound");
                (20, (0..=most + 1).prop_map(Value::from).boxed())
            }
            "boolean" => (20, any::<bool>().prop_map(Value::from).boxed()),
            _ => (1, Just(Value::Null).boxed()),
        });
    }
    prop::strategy::Union::new_weighted(strategies).boxed()
}

/// A mapping with some of its fields, and seldom one that it does not know.
fn mapping(schema: &Value, root: &Value) -> BoxedStrategy<Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let entry = |(name, property): (&String, &Value)| {
        let name = name.clone();
        let share = if required.contains(&json!(name)) {
            0.98
        } else {
            0.25
        };
        let value = near(property, root, &[]);
        prop::option::weighted(share, value.prop_map(move |value| (name.clone(), value)))
    };
    let known: Vec<_> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(entry)
        .collect();
    let unknown = prop::option::weighted(0.02, ("[a-zA-Z]{0,8}", odd()));
    let others = if schema["additionalProperties"].is_object() {
        let names = vec![json!("shop"), json!("a"), json!("b")];
        let key = prop_oneof![
            20 => "[a-z0-9._-]{1,8}".prop_map(Value::from),
            1 => near(&schema["propertyNames"], root, &names),
        ];
        let key = key.prop_map(|key| key.as_str().unwrap_or("null").to_owned());
        let value = near(&schema["additionalProperties"], root, &[]);
        prop::collection::vec((key, value), 0..4).boxed()
    } else {
        Just(Vec::new()).boxed()
    };
    (known, unknown, others)
        .prop_map(|(known, unknown, others)| {
            let entries = known.into_iter().flatten().chain(unknown).chain(others);
            Value::Object(entries.collect())
        })
        .boxed()
}

/// Texts near to these: words, and the texts themselves with something put in, taken
/// out or added up to the longest length.
fn text(mut bases: Vec<String>, longest: Option<u64>) -> BoxedStrategy<Value> {
    bases.extend(WORDS.map(str::to_owned));
    let longest = usize::try_from(longest.unwrap_or(8)).unwrap();
    let pieces = "[a-zA-Z0-9]|[!-~]|[-._:/\\[\\]*]{1,2}|::|[\0-\x20\x7f\u{85}]|[éß€😀]|x{62,64}";
    let change = (
        any::<Index>(),
        0..3_usize,
        prop_oneof![Just(String::new()), pieces.prop_map_into()],
    );
    let changed =
        (select(bases.clone()), prop::collection::vec(change, 1..3)).prop_map(|(text, changes)| {
            let mut text: Vec<char> = text.chars().collect();
            for (place, out, put) in changes {
                let place = place.index(text.len() + 1);
                let end = text.len().min(place + out);
                text.splice(place..end, put.chars());
            }
            text.into_iter().collect::<String>()
        });
    let filled = (
        select(bases),
        select(vec!["a", "a.", ".a", "ab-", "/a", "ä"]),
        0..4_usize,
    )
        .prop_map(move |(text, filler, more)| {
            let filler = filler.chars().cycle();
            text.chars()
                .chain(filler)
                .take(longest + more - 2)
                .collect::<String>()
        });
    prop_oneof![2 => changed, 1 => filled]
        .prop_map(Value::from)
        .boxed()
}

#[test]
fn random_configurations_are_the_same_to_both() {
    let schema = validator("pluginConfig.schema.json");
    let root = schema_value("pluginConfig.schema.json");
    let (right, beyond, all) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 20000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let result = runner.run(&mapping(&root, &root), |config| {
        let agrees = agrees(&schema, &config.to_string());
        let is_right = agrees.map_err(TestCaseError::fail)?;
        all.set(all.get() + 1);
        right.set(right.get() + i32::from(is_right));
        beyond.set(beyond.get() + i32::from(!is_right && schema.is_valid(&config)));
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{error}"));
    // They are of both sorts, and of the third as well.
    let (right, beyond, all) = (right.get(), beyond.get(), all.get());
    println!("{all} configurations, {right} right, {beyond} that only the parser refuses");
    assert!(right > all / 5 && right < all * 4 / 5, "{right} of {all}");
    assert!(beyond > 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20000))]
    #[test]
    fn an_ipv6_address_is_the_same_to_both(
        groups in prop::collection::vec("[0-9a-fA-F]{1,4}|0{0,5}", 0..9),
        gap in prop::option::of(any::<Index>()),
        ipv4 in prop::option::of("(25[0-9]|[0-9]{1,2}|0[0-9])(\\.(25[0-9]|[0-9]{1,3})){2,4}"),
        brackets in select(vec!["[]", "[]", "[]", "[]", "[", "()", "[ ]"]),
    ) {
        thread_local! {
            static SCHEMA: Validator = validator("pluginConfig.schema.json");
        }
        let mut parts = groups;
        parts.extend(ipv4);
        let address = match gap {
            None => parts.join(":"),
            Some(gap) => {
                let (before, behind) = parts.split_at(gap.index(parts.len() + 1));
                format!("{}::{}", before.join(":"), behind.join(":"))
            }
        };
        let (open, close) = brackets.split_at(1);
        let host = format!("{open}{address}{close}");
        let config = json!({"rollouts": {"a": {"hosts": [host]}}}).to_string();
        SCHEMA.with(|schema| agrees(schema, &config)).map_err(TestCaseError::fail)?;
    }
}
