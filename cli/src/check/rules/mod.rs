//! The rules: each looks at an object, or at several together.

mod controllers;
mod envoy_filters;
mod http_routes;
mod list;
mod plugin_config;
mod plugins;
mod several;
mod virtual_services;
mod weights;

pub(super) use list::{RULES, YAML};

use super::finding::{Finding, Place, Rule};
use crate::files::File;
use crate::yaml::Node;
use bluegreen::core::config::{self, DEFAULT_PIN_HEADER};
use std::collections::HashMap;
use std::ops::Range;

/// The objects of all files, and what was found in them.
pub(super) struct Checker<'f> {
    pub(super) files: &'f [File],
    objects: Vec<Object<'f>>,
    /// The objects by kind and name.
    by_name: Index<'f>,
    /// What is in the cluster now, where somebody says it.
    before: Index<'f>,
    /// The header that pins, in lower case.
    pin: String,
    pub(super) findings: Vec<Finding>,
}

/// An object, and the file in which it stands.
#[derive(Clone, Copy)]
struct Object<'f> {
    file: usize,
    root: &'f Node,
}

/// What a finding says.
struct Said {
    what: String,
    write: String,
    why: String,
}

impl<'f> Object<'f> {
    fn kind(self) -> &'f str {
        self.root.text_at(&["kind"]).unwrap_or_default()
    }

    fn name(self) -> &'f str {
        self.root.text_at(&["metadata", "name"]).unwrap_or_default()
    }

    /// Its namespace; `None` where kubectl takes the one of the day.
    fn namespace(self) -> Option<&'f str> {
        self.root.text_at(&["metadata", "namespace"])
    }

    fn spec(self) -> Option<&'f Node> {
        self.root.at(&["spec"])
    }

    /// Whether the two lie in one namespace, as far as they say.
    fn is_beside(self, other: Self) -> bool {
        match (self.namespace(), other.namespace()) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        }
    }

    /// The place of a value in it.
    fn at(self, node: &Node) -> Place {
        Place::new(self.file, node.span.clone())
    }

    fn span(self, span: &Range<usize>) -> Place {
        Place::new(self.file, span.clone())
    }

    /// The place of its name.
    fn place(self) -> Place {
        let name = self.root.at(&["metadata", "name"]);
        let span = name.map_or_else(|| self.root.head(), |name| name.span.clone());
        Place::new(self.file, span)
    }
}

impl<'f> Checker<'f> {
    pub(super) fn new(files: &'f [File], before: &'f [File]) -> Self {
        let objects = objects(files);
        let mut new = Self {
            by_name: index(&objects),
            before: index(&self::objects(before)),
            objects,
            files,
            pin: DEFAULT_PIN_HEADER.to_owned(),
            findings: Vec::new(),
        };
        if let Some(pin) = new.pin_of_plugins() {
            new.pin = pin;
        }
        new
    }

    /// Looks at everything.
    pub(super) fn check(&mut self) {
        for (at, file) in self.files.iter().enumerate() {
            for error in &file.errors {
                self.findings.push(Finding {
                    rule: &YAML,
                    place: Place::new(at, error.span.clone()),
                    what: format!("cannot be read: {}", error.what),
                    why: "What is wrong here hides the rest of this document.".to_owned(),
                    write: templates_hint(&file.text, error.span.start),
                    also: Vec::new(),
                });
            }
        }
        for object in self.objects.clone() {
            match object.kind() {
                "WasmPlugin" | "TrafficExtension" => {
                    plugin_config::check(self, object);
                    plugins::check(self, object);
                }
                "VirtualService" => virtual_services::check(self, object),
                "HTTPRoute" | "GRPCRoute" => http_routes::check(self, object),
                "Rollout" => controllers::rollout(self, object),
                "Canary" => controllers::canary(self, object),
                "" => plugin_config::bare(self, object),
                _ => {}
            }
        }
        plugins::twice(self);
        envoy_filters::check(self);
        several::check(self);
        let of = |finding: &Finding| (finding.place.file, finding.place.span.start);
        self.findings.sort_by_key(of);
        self.findings.dedup();
    }

    fn of_kind(&self, kind: &str) -> Vec<Object<'f>> {
        let all = self.objects.iter().copied();
        all.filter(|object| object.kind() == kind).collect()
    }

    /// Returns the objects of a kind with a name, of any namespace.
    fn named(&self, kind: &'f str, name: Option<&'f str>) -> Vec<Object<'f>> {
        let found = name.and_then(|name| self.by_name.get(&(kind, name)));
        found.cloned().unwrap_or_default()
    }

    /// Returns what an object was before.
    fn before(&self, object: Object<'f>) -> Option<&'f Node> {
        let all = self.before.get(&(object.kind(), object.name()))?;
        let found = all.iter().find(|before| before.is_beside(object));
        found.map(|before| before.root)
    }

    /// Returns the pin header of the plugins of the files.
    fn pin_of_plugins(&self) -> Option<String> {
        self.objects.iter().find_map(|object| {
            let config = crate::plugin::wasm(object.root)?.at(&["pluginConfig"])?;
            let config = config::parse(config.json().as_bytes()).ok()?;
            Some(config.mesh.pin_header().to_ascii_lowercase())
        })
    }

    /// Adds a finding.
    fn find(&mut self, rule: &'static Rule, place: Place, said: Said) -> &mut Finding {
        self.findings.push(Finding {
            rule,
            place,
            what: said.what,
            why: said.why,
            write: said.write,
            also: Vec::new(),
        });
        let at = self.findings.len() - 1;
        // One was added.
        #[expect(clippy::indexing_slicing, reason = "one was added")]
        &mut self.findings[at]
    }
}

/// Objects by kind and name.
type Index<'f> = HashMap<(&'f str, &'f str), Vec<Object<'f>>>;

fn index<'f>(objects: &[Object<'f>]) -> Index<'f> {
    let mut index = Index::new();
    for object in objects {
        let key = (object.kind(), object.name());
        index.entry(key).or_default().push(*object);
    }
    index
}

fn objects(files: &[File]) -> Vec<Object<'_>> {
    let files = files.iter().enumerate();
    let objects = files.flat_map(|(file, of)| {
        let roots = of.objects.iter();
        roots.map(move |root| Object { file, root })
    });
    objects.collect()
}

/// Returns what to do where somebody hands over a template.
fn templates_hint(text: &str, at: usize) -> String {
    let start = text.get(..at).and_then(|text| text.rfind('\n'));
    let line = text.get(start.map_or(0, |start| start + 1)..);
    let line = line
        .and_then(|text| text.lines().next())
        .unwrap_or_default();
    if line.contains("{{") || text.contains("{{") {
        "render the template, and hand over what comes out: helm template … | bluegreen check -"
            .to_owned()
    } else {
        String::new()
    }
}

/// Returns names in quotes with commas between them.
fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let names: Vec<String> = names
        .into_iter()
        .map(|name| format!("\"{}\"", name.as_ref()))
        .collect();
    names.join(", ")
}
