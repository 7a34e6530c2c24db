//! Reads a [`Tree`] and collects every problem on the way, each with its path.

use super::check::{Check, Form};
use super::error::{ConfigErrors, Problem};
use super::fields::{Case, Fields, Needed, join};
use super::tree::{Tree, quoted};
use std::mem;

/// The fields of one mapping of a configuration, and all that is wrong so far. A field
/// is taken by its name; the ones that nobody asked for are reported in the end.
#[derive(Default)]
pub(super) struct Reader {
    mapping: Mapping,
    errors: ConfigErrors,
}

#[derive(Default)]
struct Mapping {
    path: String,
    entries: Vec<(String, Tree)>,
    known: Vec<&'static str>,
    /// Not a mapping at all: that is said once, and no field is missed.
    broken: bool,
}

/// What a list must be.
const LIST: &str = "a list of 1 or more";

impl Reader {
    /// Reads a whole configuration.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn read<T>(
        tree: Tree,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Result<T, ConfigErrors> {
        let mut reader = Self::default();
        let value = reader.inside(tree, String::new(), read);
        if reader.errors.is_empty() {
            Ok(value)
        } else {
            Err(reader.errors)
        }
    }

    /// Reads the fields of `tree`, which stands at `path`.
    fn inside<T>(&mut self, tree: Tree, path: String, read: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.enter(tree, path);
        let value = read(self);
        self.leave(outer);
        value
    }

    /// Goes into a mapping; returns the one around it. Anything but a mapping is an
    /// error and has no fields.
    fn enter(&mut self, tree: Tree, path: String) -> Mapping {
        let (entries, broken) = match tree {
            Tree::Map(entries) => (entries, false),
            other => {
                self.report_not::<()>(&path, &other, "a mapping of fields");
                (Vec::new(), true)
            }
        };
        let inner = Mapping {
            path,
            entries,
            known: Vec::new(),
            broken,
        };
        mem::replace(&mut self.mapping, inner)
    }

    /// Goes back, and reports the fields that nobody asked for.
    fn leave(&mut self, outer: Mapping) {
        let inner = mem::replace(&mut self.mapping, outer);
        let allowed = format!("a field here ({})", inner.known.join(", "));
        for (name, _) in &inner.entries {
            let problem = Problem::Not {
                found: quoted(name),
                allowed: allowed.clone(),
            };
            self.errors.push(&join(&inner.path, name), problem);
        }
    }

    /// Reports a value that is not what is allowed.
    fn report_not<T>(&mut self, path: &str, tree: &Tree, allowed: &str) -> Option<T> {
        self.report_wrong(path, tree.shown(), allowed.to_owned())
    }

    fn take(&mut self, name: &'static str) -> Option<Tree> {
        self.mapping.known.push(name);
        let mut taken = None;
        let mut repeated = false;
        self.mapping.entries.retain_mut(|(key, tree)| {
            if key != name {
                return true;
            }
            repeated |= taken.is_some();
            taken = Some(mem::replace(tree, Tree::Null));
            false
        });
        if repeated {
            self.report(name, Problem::Repeated);
        }
        taken
    }

    fn checked<C: Check>(&mut self, path: &str, tree: &Tree, check: &C) -> Option<C::Value> {
        check.check(tree).map_or_else(
            |allowed| self.report_wrong(path, check.shown(tree), allowed),
            Some,
        )
    }

    fn report_wrong<T>(&mut self, path: &str, found: String, allowed: String) -> Option<T> {
        self.report_at(path, Problem::Not { found, allowed });
        None
    }

    fn checked_items<C: Check>(&mut self, path: &str, items: &[Tree], item: &C) -> Vec<C::Value> {
        let items = items.iter().enumerate();
        let checked =
            items.filter_map(|(i, tree)| self.checked(&format!("{path}[{i}]"), tree, item));
        checked.collect()
    }

    /// Reports a required field that is not there.
    fn report_missing(&mut self, name: &'static str, allowed: &str) {
        if !self.has(name) && !self.mapping.broken {
            let allowed = allowed.to_owned();
            self.report(name, Problem::Missing { allowed });
        }
    }
}

impl Fields for Reader {
    fn get<C: Check>(&mut self, name: &'static str, check: C) -> Option<C::Value> {
        let tree = self.take(name)?;
        let path = self.path_of(name);
        self.checked(&path, &tree, &check)
    }

    fn get_or<C: Check>(&mut self, name: &'static str, default: C::Value, check: C) -> C::Value {
        self.get(name, check).unwrap_or(default)
    }

    fn require<C: Check>(&mut self, name: &'static str, check: C) -> Option<C::Value> {
        self.report_missing(name, check.words().unwrap_or_default());
        self.get(name, check)
    }

    fn list<C: Check>(&mut self, name: &'static str, item: C) -> Option<Vec<C::Value>> {
        let tree = self.take(name)?;
        let path = self.path_of(name);
        let Tree::List(items) = tree else {
            return self.report_not(&path, &tree, LIST);
        };
        if items.is_empty() {
            return self.report_not(&path, &Tree::List(items), LIST);
        }
        Some(self.checked_items(&path, &items, &item))
    }

    fn require_list<C: Check>(&mut self, name: &'static str, item: C) -> Vec<C::Value> {
        self.report_missing(name, LIST);
        self.list(name, item).unwrap_or_default()
    }

    fn list_up_to<C: Check>(&mut self, name: &'static str, most: usize, item: C) -> Vec<C::Value> {
        let path = self.path_of(name);
        match self.take(name) {
            None => Vec::new(),
            Some(Tree::List(items)) if items.len() <= most => {
                self.checked_items(&path, &items, &item)
            }
            Some(other) => self
                .report_not(&path, &other, &format!("a list of 0 to {most}"))
                .unwrap_or_default(),
        }
    }

    fn mappings_or_null<T>(
        &mut self,
        name: &'static str,
        most: usize,
        mut read: impl FnMut(&mut Self) -> T,
    ) -> Option<Vec<T>> {
        let path = self.path_of(name);
        match self.take(name)? {
            Tree::Null => None,
            Tree::List(items) if (1..=most).contains(&items.len()) => {
                let items = items.into_iter().enumerate();
                let read =
                    items.map(|(i, tree)| self.inside(tree, format!("{path}[{i}]"), &mut read));
                Some(read.collect())
            }
            other => self.report_not(&path, &other, &format!("a list of 1 to {most}")),
        }
    }

    fn entries<K: Form>(
        &mut self,
        name: &'static str,
        most: usize,
        _: K,
        mut read: impl FnMut(&mut Self, &str),
    ) {
        let allowed = format!("a map of 0 to {most} by name");
        let path = self.path_of(name);
        let entries = match self.take(name) {
            None => return,
            Some(Tree::Map(entries)) if entries.len() <= most => entries,
            Some(other) => {
                self.report_not::<()>(&path, &other, &allowed);
                return;
            }
        };
        let mut known: Vec<String> = Vec::new();
        for (key, tree) in entries {
            let path = join(&path, &key);
            if !K::is(&key) {
                let (found, allowed) = (quoted(&key), K::WORDS.to_owned());
                self.report_at(&path, Problem::Not { found, allowed });
            }
            if known.contains(&key) {
                self.report_at(&path, Problem::Repeated);
            }
            self.inside(tree, path, |fields| read(fields, &key));
            known.push(key);
        }
    }

    fn mapping<T: Clone>(
        &mut self,
        name: &'static str,
        inherited: Option<&T>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        match (self.take(name), inherited) {
            (None, Some(inherited)) => inherited.clone(),
            (tree, _) => {
                let tree = tree.unwrap_or(Tree::Map(Vec::new()));
                self.inside(tree, self.path_of(name), read)
            }
        }
    }

    fn mapping_or_null<T: Clone>(
        &mut self,
        name: &'static str,
        inherited: Option<&Option<T>>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let is_null = |(key, tree): &(String, Tree)| key == name && matches!(tree, Tree::Null);
        if self.mapping.entries.iter().any(is_null) {
            self.take(name);
            return None;
        }
        match inherited {
            Some(inherited) if !self.has(name) => {
                self.take(name);
                inherited.clone()
            }
            _ => Some(self.mapping(name, None, read)),
        }
    }

    fn mapping_if_given<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        match self.take(name) {
            None | Some(Tree::Null) => None,
            Some(tree) => Some(self.inside(tree, self.path_of(name), read)),
        }
    }

    fn need(&mut self, name: &'static str, value: &str, case: Case, needed: Needed) {
        if case.has(value) && !needed.met {
            let found = match case {
                Case::True => value.to_owned(),
                Case::Begins(_) | Case::Is(_) => quoted(value),
            };
            let needed = needed.yaml;
            self.report(name, Problem::Needs { found, needed });
        }
    }

    fn only_if(&mut self, _: &'static str, is: bool, read: impl FnOnce(&mut Self)) {
        if is {
            read(self);
        }
    }

    fn has(&self, name: &str) -> bool {
        self.mapping.entries.iter().any(|(key, _)| key == name)
    }

    fn path(&self) -> &str {
        &self.mapping.path
    }

    fn path_of(&self, name: &str) -> String {
        let mut names = name.split('.');
        let first = join(&self.mapping.path, names.next().unwrap_or_default());
        names.fold(first, |path, name| join(&path, name))
    }

    fn report_at(&mut self, path: &str, problem: Problem) {
        self.errors.push(path, problem);
    }
}
