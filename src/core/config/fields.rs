//! Walks a [`Tree`] and collects every problem on the way, each with its path.

use super::error::{ConfigError, Problem};
use super::tree::{Tree, quoted};

/// What a value must be, in the words that follow "is not" in an error.
pub(super) type Allowed = String;

/// The fields of one mapping. Each is taken by name; [`Fields::finish`] then
/// reports the ones that nobody asked for.
pub(super) struct Fields<'e> {
    path: String,
    entries: Vec<(String, Tree)>,
    known: Vec<&'static str>,
    /// Not a mapping at all: that is said once, and no field is missed.
    broken: bool,
    errors: &'e mut Vec<ConfigError>,
}

impl<'e> Fields<'e> {
    /// The fields of `tree`, which stands at `path`. Anything but a mapping is
    /// an error and has no fields.
    pub(super) fn of(tree: Tree, path: String, errors: &'e mut Vec<ConfigError>) -> Self {
        let (entries, broken) = match tree {
            Tree::Map(entries) => (entries, false),
            other => {
                let problem = Problem::Not {
                    found: other.shown(),
                    allowed: "a mapping of fields".to_owned(),
                };
                errors.push(ConfigError::new(&path, problem));
                (Vec::new(), true)
            }
        };
        Self {
            path,
            entries,
            known: Vec::new(),
            broken,
            errors,
        }
    }

    /// The field's value as `check` gives it; `None` when it is absent or wrong.
    pub(super) fn get<T>(
        &mut self,
        name: &'static str,
        check: impl FnOnce(&Tree) -> Result<T, Allowed>,
    ) -> Option<T> {
        let tree = self.take(name)?;
        let path = self.path_of(name);
        self.checked(&path, &tree, check)
    }

    /// Like [`Fields::get`], with a value for when the field is absent.
    pub(super) fn get_or<T>(
        &mut self,
        name: &'static str,
        default: T,
        check: impl FnOnce(&Tree) -> Result<T, Allowed>,
    ) -> T {
        self.get(name, check).unwrap_or(default)
    }

    /// Like [`Fields::get`]; an absent field is an error that says `allowed`.
    pub(super) fn require<T>(
        &mut self,
        name: &'static str,
        allowed: &str,
        check: impl FnOnce(&Tree) -> Result<T, Allowed>,
    ) -> Option<T> {
        if self.require_given(name, allowed) {
            self.get(name, check)
        } else {
            None
        }
    }

    /// The items of a list of `least` to `most` values, each as `check` gives
    /// it; `None` when the field is absent. Wrong items are reported and left out.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        (least, most): (usize, usize),
        mut check: impl FnMut(&Tree) -> Result<T, Allowed>,
    ) -> Option<Vec<T>> {
        let items = self.items(name, least, most)?;
        let path = self.path_of(name);
        let checked = items
            .iter()
            .enumerate()
            .filter_map(|(i, item)| self.checked(&format!("{path}[{i}]"), item, &mut check))
            .collect();
        Some(checked)
    }

    /// Like [`Fields::list`] for a required list whose items all differ.
    pub(super) fn require_distinct<T: PartialEq>(
        &mut self,
        name: &'static str,
        (least, most): (usize, usize),
        check: impl Fn(&Tree) -> Result<T, Allowed>,
    ) -> Vec<T> {
        if !self.require_given(name, &list_of(least, most)) {
            return Vec::new();
        }
        let items = self.items(name, least, most).unwrap_or_default();
        let path = self.path_of(name);
        let mut distinct: Vec<T> = Vec::new();
        for (i, item) in items.iter().enumerate() {
            let item_path = format!("{path}[{i}]");
            let Some(value) = self.checked(&item_path, item, &check) else {
                continue;
            };
            if let Some(first) = items.iter().take(i).position(|other| other == item) {
                let by = format!("{path}[{first}]");
                let found = item.shown();
                self.report_at(&item_path, Problem::Taken { found, by });
            }
            distinct.push(value);
        }
        distinct
    }

    /// Like [`Fields::list`] for a required list of mappings, which `read` reads.
    pub(super) fn mappings<T>(
        &mut self,
        name: &'static str,
        (least, most): (usize, usize),
        mut read: impl FnMut(&mut Fields<'_>) -> T,
    ) -> Vec<T> {
        if !self.require_given(name, &list_of(least, most)) {
            return Vec::new();
        }
        let path = self.path_of(name);
        let mut read_all = Vec::new();
        let items = self.items(name, least, most).unwrap_or_default();
        for (i, item) in items.into_iter().enumerate() {
            let mut fields = Fields::of(item, format!("{path}[{i}]"), self.errors);
            read_all.push(read(&mut fields));
            fields.finish();
        }
        read_all
    }

    /// A mapping inside of this one, as `read` gives it; an absent one is read
    /// as an empty one, so that all defaults stand in one place. `null` is
    /// `None` where `nullable`, else an error.
    pub(super) fn mapping<T>(
        &mut self,
        name: &'static str,
        nullable: bool,
        read: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> Option<T> {
        let tree = self.take(name).unwrap_or(Tree::Map(Vec::new()));
        if nullable && tree == Tree::Null {
            return None;
        }
        let mut fields = Fields::of(tree, self.path_of(name), self.errors);
        let value = read(&mut fields);
        fields.finish();
        Some(value)
    }

    /// Reports the fields that nobody asked for.
    pub(super) fn finish(self) {
        let allowed = format!("a field here ({})", self.known.join(", "));
        for (name, _) in &self.entries {
            let problem = Problem::Not {
                found: quoted(name),
                allowed: allowed.clone(),
            };
            let path = join(&self.path, name);
            self.errors.push(ConfigError::new(&path, problem));
        }
    }

    /// Reports a problem of the field `name`.
    pub(super) fn report(&mut self, name: &str, problem: Problem) {
        self.report_at(&self.path_of(name), problem);
    }

    /// Reports a problem at a whole path.
    pub(super) fn report_at(&mut self, path: &str, problem: Problem) {
        self.errors.push(ConfigError::new(path, problem));
    }

    fn path_of(&self, name: &str) -> String {
        join(&self.path, name)
    }

    fn take(&mut self, name: &'static str) -> Option<Tree> {
        self.known.push(name);
        let mut taken = None;
        let mut repeated = false;
        self.entries.retain_mut(|(key, tree)| {
            if key != name {
                return true;
            }
            repeated |= taken.is_some();
            taken = Some(std::mem::replace(tree, Tree::Null));
            false
        });
        if repeated {
            self.report(name, Problem::Repeated);
        }
        taken
    }

    fn require_given(&mut self, name: &'static str, allowed: &str) -> bool {
        let given = self.entries.iter().any(|(key, _)| key == name);
        if !given {
            self.known.push(name);
        }
        if !given && !self.broken {
            let allowed = allowed.to_owned();
            self.report(name, Problem::Missing { allowed });
        }
        given
    }

    fn items(&mut self, name: &'static str, least: usize, most: usize) -> Option<Vec<Tree>> {
        let found = match self.take(name)? {
            Tree::List(items) if (least..=most).contains(&items.len()) => return Some(items),
            other => other.shown(),
        };
        let allowed = list_of(least, most);
        self.report(name, Problem::Not { found, allowed });
        None
    }

    fn checked<T>(
        &mut self,
        path: &str,
        tree: &Tree,
        check: impl FnOnce(&Tree) -> Result<T, Allowed>,
    ) -> Option<T> {
        check(tree)
            .map_err(|allowed| {
                let found = tree.shown();
                let problem = Problem::Not { found, allowed };
                self.errors.push(ConfigError::new(path, problem));
            })
            .ok()
    }
}

fn list_of(least: usize, most: usize) -> String {
    if most == usize::MAX {
        format!("a list of {least} or more")
    } else {
        format!("a list of {least} to {most}")
    }
}

/// The path of a field: names that need it are quoted, for they come from the
/// configuration's text.
fn join(path: &str, name: &str) -> String {
    let plain = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let name = if plain && name.len() <= 64 {
        name.to_owned()
    } else {
        quoted(name)
    };
    if path.is_empty() {
        name
    } else {
        format!("{path}.{name}")
    }
}
