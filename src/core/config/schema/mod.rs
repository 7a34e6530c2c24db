//! The JSON Schema of a `pluginConfig`, for editors and pipelines: what the functions
//! ask for that read a configuration, with the texts of [`texts`] beside it.
//!
//! No part of the module. What it cannot say is listed in `tests/schema.rs`.

mod texts;

use super::check::{Check, Form, Schema};
use super::error::Problem;
use super::fields::{Case, Fields, Needed, join};
use super::tree::Tree;
use super::{header, read_config};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use std::mem;

/// Returns the schema's text.
///
/// # Errors
/// None: only its type allows for one.
pub fn plugin_config() -> serde_json::Result<String> {
    let mut describer = Describer::default();
    let (_, schema) = describer.inside(String::new(), read_config);
    let mut definitions = describer.definitions;
    definitions.push(header::definition());
    let mut keywords = vec![("$schema".to_owned(), DRAFT.into())];
    keywords.extend(texts::of("").iter().flat_map(|text| text.keywords(None)));
    keywords.push(("$comment".to_owned(), UNSAID.into()));
    keywords.extend(schema);
    keywords.extend(texts::of("").map(|text| ("examples".to_owned(), text.examples())));
    keywords.push(("$defs".to_owned(), Tree::Map(definitions)));
    let text = serde_json::to_string_pretty(&Tree::Map(keywords))?;
    Ok(text + "\n")
}

const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

/// What the filter refuses and no schema can.
const UNSAID: &str = "The filter refuses more than this schema can: a header, a cookie or a \
                      key of baggage that two fields name, two rollouts with the same host and \
                      path prefix, two keys of one name, a key that is none or of another kind \
                      or size, a field that is given twice, and a salt of more bytes than \
                      characters that is longer than 256 bytes.";

/// Writes down what is asked for. Every field is absent, so each value is the default.
#[derive(Default)]
struct Describer {
    mapping: Mapping,
    /// What mesh and rollouts both have, by its name.
    definitions: Schema,
}

/// What was asked of one mapping.
#[derive(Default)]
struct Mapping {
    path: String,
    properties: Schema,
    required: Vec<Tree>,
    conditions: Vec<Tree>,
    /// The flag without which the next conditions do not hold.
    flag: Option<&'static str>,
}

impl Mapping {
    fn schema(self) -> Schema {
        let some = |keyword: &str, list: Vec<Tree>| {
            (!list.is_empty()).then(|| (keyword.to_owned(), Tree::List(list)))
        };
        let mut schema = vec![
            ("type".to_owned(), "object".into()),
            ("properties".to_owned(), Tree::Map(self.properties)),
        ];
        schema.extend(some("required", self.required));
        schema.push(("additionalProperties".to_owned(), Tree::Bool(false)));
        schema.extend(some("allOf", self.conditions));
        schema
    }
}

impl Describer {
    /// Describes a mapping at `path`.
    fn inside<T>(&mut self, path: String, read: impl FnOnce(&mut Self) -> T) -> (T, Schema) {
        let inner = Mapping {
            path,
            ..Mapping::default()
        };
        let outer = mem::replace(&mut self.mapping, inner);
        let value = read(self);
        let inner = mem::replace(&mut self.mapping, outer);
        (value, inner.schema())
    }

    /// Puts a field down: its texts, its default, and what it must be.
    fn put(
        &mut self,
        name: &str,
        words: Option<&str>,
        default: Option<Tree>,
        schema: impl IntoIterator<Item = (String, Tree)>,
    ) {
        let text = texts::of(&self.path_of(name));
        let mut keywords: Schema = text.iter().flat_map(|text| text.keywords(words)).collect();
        keywords.extend(default.map(|default| ("default".to_owned(), default)));
        keywords.extend(schema);
        keywords.extend(text.map(|text| ("examples".to_owned(), text.examples())));
        let properties = &mut self.mapping.properties;
        properties.push((name.to_owned(), Tree::Map(keywords)));
    }

    /// Puts a mapping down, or where it is described. `inherited`: an absent one is
    /// the mesh's, which is described already.
    fn put_mapping(&mut self, name: &str, inherited: bool, schema: Schema) {
        let refer = || {
            let place = Tree::Text(format!("#/$defs/{name}"));
            vec![("$ref".to_owned(), place)]
        };
        let schema = if inherited {
            refer()
        } else if self.mapping.path.is_empty() {
            self.definitions.push((name.to_owned(), Tree::Map(schema)));
            refer()
        } else {
            schema
        };
        let default = (!inherited).then(|| Tree::map([]));
        self.put(name, None, default, schema);
    }

    /// The default of a field that was put down before.
    fn default_of(&self, name: &str) -> Option<&Tree> {
        let (_, schema) = self
            .mapping
            .properties
            .iter()
            .find(|(other, _)| other == name)?;
        schema.entry("default")
    }
}

impl Fields for Describer {
    fn get<C: Check>(&mut self, name: &'static str, check: C) -> Option<C::Value> {
        self.put(name, check.words(), None, check.schema());
        None
    }

    fn get_or<C: Check>(&mut self, name: &'static str, default: C::Value, check: C) -> C::Value {
        let written = check.written(&default);
        let mut schema = check.schema();
        // As in `OrNull`: the default is of the first type.
        if let Some((_, Tree::List(kinds))) = schema.first_mut()
            && !matches!(written, Tree::Null)
        {
            kinds.reverse();
        }
        self.put(name, check.words(), Some(written), schema);
        default
    }

    fn require<C: Check>(&mut self, name: &'static str, check: C) -> Option<C::Value> {
        self.mapping.required.push(name.into());
        self.get(name, check)
    }

    fn list<C: Check>(&mut self, name: &'static str, item: C) -> Option<Vec<C::Value>> {
        let schema = [
            ("type".to_owned(), "array".into()),
            ("minItems".to_owned(), Tree::Whole(1)),
            ("items".to_owned(), Tree::Map(item.schema())),
        ];
        self.put(name, item.words(), None, schema);
        None
    }

    fn require_list<C: Check>(&mut self, name: &'static str, item: C) -> Vec<C::Value> {
        self.mapping.required.push(name.into());
        self.list(name, item).unwrap_or_default()
    }

    fn list_up_to<C: Check>(&mut self, name: &'static str, most: usize, item: C) -> Vec<C::Value> {
        let schema = [
            ("type".to_owned(), "array".into()),
            ("maxItems".to_owned(), most.into()),
            ("items".to_owned(), Tree::Map(item.schema())),
        ];
        let default = Some(Tree::List(Vec::new()));
        self.put(name, item.words(), default, schema);
        Vec::new()
    }

    fn mappings_or_null<T>(
        &mut self,
        name: &'static str,
        most: usize,
        mut read: impl FnMut(&mut Self) -> T,
    ) -> Option<Vec<T>> {
        let (value, schema) = self.inside(self.path_of(name), &mut read);
        let schema = [
            (
                "type".to_owned(),
                Tree::List(vec!["null".into(), "array".into()]),
            ),
            ("minItems".to_owned(), 1.into()),
            ("maxItems".to_owned(), most.into()),
            ("items".to_owned(), Tree::Map(schema)),
        ];
        self.put(name, None, Some(Tree::Null), schema);
        Some(vec![value])
    }

    fn entries<K: Form>(
        &mut self,
        name: &'static str,
        most: usize,
        key: K,
        mut read: impl FnMut(&mut Self, &str),
    ) {
        let path = join(&self.path_of(name), "NAME");
        let text = texts::of(&path);
        let ((), schema) = self.inside(path, |fields| read(fields, "NAME"));
        let text = text.iter().flat_map(|text| text.keywords(None));
        let value = text.chain(schema).collect();
        let schema = [
            ("type".to_owned(), "object".into()),
            ("maxProperties".to_owned(), most.into()),
            ("propertyNames".to_owned(), Tree::Map(key.schema())),
            ("additionalProperties".to_owned(), Tree::Map(value)),
        ];
        self.put(name, None, Some(Tree::map([])), schema);
    }

    fn mapping<T: Clone>(
        &mut self,
        name: &'static str,
        inherited: Option<&T>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let (value, schema) = self.inside(self.path_of(name), read);
        self.put_mapping(name, inherited.is_some(), schema);
        value
    }

    fn mapping_or_null<T: Clone>(
        &mut self,
        name: &'static str,
        inherited: Option<&Option<T>>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let (value, mut schema) = self.inside(self.path_of(name), read);
        if let Some((_, kind)) = schema.first_mut() {
            *kind = Tree::List(vec!["object".into(), "null".into()]);
        }
        self.put_mapping(name, inherited.is_some(), schema);
        Some(value)
    }

    fn mapping_if_given<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let (_, mut schema) = self.inside(self.path_of(name), read);
        if let Some((_, kind)) = schema.first_mut() {
            *kind = Tree::List(vec!["null".into(), "object".into()]);
        }
        self.put(name, None, Some(Tree::Null), schema);
        None
    }

    fn need(&mut self, name: &'static str, _: &str, case: Case, needed: Needed) {
        let flag = self.mapping.flag.map(|flag| {
            let set = Tree::map([("const", Tree::Bool(true))]);
            (flag.to_owned(), set)
        });
        let case = (name.to_owned(), case.schema());
        let properties = flag.into_iter().chain([case]).collect();
        let of_case = Tree::map([
            ("properties", Tree::Map(properties)),
            ("required", Tree::List(vec![name.into()])),
        ]);
        let (other, value) = needed.yaml.split_once(": ").unwrap_or((needed.yaml, ""));
        let value = Tree::from(value.trim_matches('"'));
        let by_default = self.default_of(other) == Some(&value);
        let property = Tree::map([(other, Tree::map([("const", value)]))]);
        let mut then = vec![("properties".to_owned(), property)];
        if !by_default {
            then.push(("required".to_owned(), Tree::List(vec![other.into()])));
        }
        let condition = Tree::map([("if", of_case), ("then", Tree::Map(then))]);
        self.mapping.conditions.push(condition);
    }

    fn only_if(&mut self, flag: &'static str, _: bool, read: impl FnOnce(&mut Self)) {
        self.mapping.flag = Some(flag);
        read(self);
        self.mapping.flag = None;
    }

    fn has(&self, _: &str) -> bool {
        false
    }

    fn path(&self) -> &str {
        &self.mapping.path
    }

    fn path_of(&self, name: &str) -> String {
        join(&self.mapping.path, name)
    }

    fn report_at(&mut self, _: &str, _: Problem) {}
}

impl Case {
    /// The same as [`Case::has`] in JSON Schema.
    fn schema(self) -> Tree {
        match self {
            Self::Begins(prefix) => {
                let any_case = |c: char| match c {
                    'A'..='Z' | 'a'..='z' => {
                        format!("[{}{}]", c.to_ascii_uppercase(), c.to_ascii_lowercase())
                    }
                    _ => c.to_string(),
                };
                let prefix: String = prefix.chars().map(any_case).collect();
                Tree::map([
                    ("type", "string".into()),
                    ("pattern", Tree::Text(format!("^{prefix}"))),
                ])
            }
            Self::Is(word) => Tree::map([("const", word.into())]),
            Self::True => Tree::map([("const", Tree::Bool(true))]),
        }
    }
}

impl Tree {
    /// The value of a mapping's first entry of this name.
    fn entry(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Whole(value) => serializer.serialize_u64(*value),
            Self::Number(text) => match text.parse() {
                Ok(number) => serializer.serialize_f64(number),
                Err(_) => serializer.serialize_str(text),
            },
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (name, value) in entries {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}
