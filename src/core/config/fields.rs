//! Walks a [`Tree`] and collects every problem on the way, each with its path.

use super::error::{ConfigErrors, Problem};
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
    errors: &'e mut ConfigErrors,
}

impl<'e> Fields<'e> {
    /// The fields of `tree`, which stands at `path`. Anything but a mapping is
    /// an error and has no fields.
    pub(super) fn of(tree: Tree, path: String, errors: &'e mut ConfigErrors) -> Self {
        let (entries, broken) = match tree {
            Tree::Map(entries) => (entries, false),
            other => {
                let problem = Problem::Not {
                    found: other.shown(),
                    allowed: "a mapping of fields".to_owned(),
                };
                errors.push(&path, problem);
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

    /// The value of a field that is not there, which is `inherited`.
    pub(super) fn absent<T: Clone>(&mut self, name: &'static str, inherited: &T) -> T {
        self.known.push(name);
        inherited.clone()
    }

    /// The items of a list of one or more values, each as `check` gives it; `None`
    /// when the field is absent. Wrong items are reported and left out.
    pub(super) fn list<T>(
        &mut self,
        name: &'static str,
        mut check: impl FnMut(&Tree) -> Result<T, Allowed>,
    ) -> Option<Vec<T>> {
        let tree = self.take(name)?;
        let path = self.path_of(name);
        let Tree::List(items) = tree else {
            return self.report_not(&path, &tree, LIST);
        };
        if items.is_empty() {
            return self.report_not(&path, &Tree::List(items), LIST);
        }
        let checked = items
            .iter()
            .enumerate()
            .filter_map(|(i, item)| self.checked(&format!("{path}[{i}]"), item, &mut check));
        Some(checked.collect())
    }

    /// Like [`Fields::list`]; an absent field is an error.
    pub(super) fn require_list<T>(
        &mut self,
        name: &'static str,
        check: impl FnMut(&Tree) -> Result<T, Allowed>,
    ) -> Vec<T> {
        if !self.has(name) && !self.broken {
            let allowed = LIST.to_owned();
            self.report(name, Problem::Missing { allowed });
        }
        self.list(name, check).unwrap_or_default()
    }

    /// Reads the mappings of a map of 0 to `most` of them, by names as `check` allows.
    /// An absent one is empty.
    pub(super) fn entries(
        &mut self,
        name: &'static str,
        most: usize,
        check: impl Fn(&str) -> Result<(), Allowed>,
        mut read: impl FnMut(&mut Fields<'_>),
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
            if let Err(allowed) = check(&key) {
                let found = quoted(&key);
                self.report_at(&path, Problem::Not { found, allowed });
            }
            if known.contains(&key) {
                self.report_at(&path, Problem::Repeated);
            }
            let mut fields = Fields::of(tree, path, self.errors);
            read(&mut fields);
            fields.finish();
            known.push(key);
        }
    }

    /// A mapping inside of this one, as `read` gives it; an absent one is read as an
    /// empty one, so that all defaults stand in one place.
    pub(super) fn mapping<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> T {
        let tree = self.take(name).unwrap_or(Tree::Map(Vec::new()));
        let mut fields = Fields::of(tree, self.path_of(name), self.errors);
        let value = read(&mut fields);
        fields.finish();
        value
    }

    /// Like [`Fields::mapping`]; `null` is `None`.
    pub(super) fn mapping_or_null<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Fields<'_>) -> T,
    ) -> Option<T> {
        let is_null = |(key, tree): &(String, Tree)| key == name && *tree == Tree::Null;
        if self.entries.iter().any(is_null) {
            self.take(name);
            return None;
        }
        Some(self.mapping(name, read))
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
            self.errors.push(&path, problem);
        }
    }

    /// Whether the field is given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.iter().any(|(key, _)| key == name)
    }

    /// The path of this mapping.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// The path of a field of it, or of one below, as in `tag.header`.
    pub(super) fn path_of(&self, name: &str) -> String {
        let mut names = name.split('.');
        let first = join(&self.path, names.next().unwrap_or_default());
        names.fold(first, |path, name| join(&path, name))
    }

    /// Reports a problem of the field `name`.
    pub(super) fn report(&mut self, name: &str, problem: Problem) {
        self.report_at(&self.path_of(name), problem);
    }

    /// Reports a problem at a whole path.
    pub(super) fn report_at(&mut self, path: &str, problem: Problem) {
        self.errors.push(path, problem);
    }

    /// Reports a value that is not what is allowed.
    fn report_not<T>(&mut self, path: &str, tree: &Tree, allowed: &str) -> Option<T> {
        let (found, allowed) = (tree.shown(), allowed.to_owned());
        self.report_at(path, Problem::Not { found, allowed });
        None
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

    fn checked<T>(
        &mut self,
        path: &str,
        tree: &Tree,
        check: impl FnOnce(&Tree) -> Result<T, Allowed>,
    ) -> Option<T> {
        check(tree).map_or_else(|allowed| self.report_not(path, tree, &allowed), Some)
    }
}

/// What a list must be.
const LIST: &str = "a list of 1 or more";

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
