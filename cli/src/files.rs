//! The files that people hand over: their texts, and the objects in them.

use crate::yaml::{self, Node, YamlError};
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

/// The most bytes that are read of a file. A cluster keeps objects of up to 1.5 MB, and a
/// whole chart is rarely larger.
pub const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The most values that the objects of a file may have together.
pub const MOST_VALUES: usize = 2 * yaml::MOST_VALUES;

/// A file that was read.
#[derive(Debug, Default)]
pub struct File {
    /// Its name, as people wrote it; `-` is the standard input.
    pub name: String,
    /// Its text.
    pub text: String,
    /// The objects in it, with lists taken apart.
    pub objects: Vec<Rc<Node>>,
    /// What is no YAML in it.
    pub errors: Vec<YamlError>,
    /// Whether it is an object of a cluster, whose lines nobody has written.
    pub is_live: bool,
    is_ascii: bool,
    /// The byte of each line.
    lines: Vec<u32>,
}

impl File {
    /// Reads a file.
    ///
    /// # Errors
    /// Why it could not be read, with its name.
    pub fn read(name: &str) -> Result<Self, String> {
        let bytes = bytes(name).map_err(|error| format!("{name}: {error}"))?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > MOST_BYTES) {
            let most = MOST_BYTES / 1024 / 1024;
            return Err(format!(
                "{name}: is larger than {most} MiB, which is all that is read; hand it over in parts"
            ));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::of_text(name, text)),
            Err(error) => {
                let error = error.utf8_error();
                let at = error.valid_up_to();
                Err(format!("{name}: is not UTF-8, from byte {at} on"))
            }
        }
    }

    /// Returns the file with this text.
    #[must_use]
    pub fn of_text(name: &str, text: String) -> Self {
        let mut new = Self {
            name: name.to_owned(),
            ..Self::default()
        };
        let mut values = 0_usize;
        for document in yaml::documents(&text) {
            match document {
                Ok(document) => new.add(&document.root, &mut values),
                Err(error) => new.errors.push(error),
            }
        }
        let breaks = text.match_indices('\n');
        let breaks = breaks.filter_map(|(at, _)| u32::try_from(at + 1).ok());
        new.lines = std::iter::once(0).chain(breaks).collect();
        new.is_ascii = text.is_ascii();
        new.text = text;
        new
    }

    /// Adds the objects of a document. Of others than ours nothing is kept.
    fn add(&mut self, root: &Rc<Node>, values: &mut usize) {
        let is_list = root
            .text_at(&["kind"])
            .is_some_and(|kind| kind.ends_with("List"));
        if let (true, Some(items)) = (is_list, root.get("items")) {
            for item in items.items() {
                self.add(item, values);
            }
            return;
        }
        let kind = root.text_at(&["kind"]);
        if kind.is_some_and(|kind| !KINDS.contains(&kind)) {
            return;
        }
        *values = values.saturating_add(root.size);
        if *values > MOST_VALUES {
            let what = format!("more than {MOST_VALUES} values in the objects of one file");
            if !self.errors.iter().any(|error| error.what == what) {
                let span = root.span.start..root.span.start;
                self.errors.push(YamlError { what, span });
            }
            return;
        }
        self.objects.push(Rc::clone(root));
    }

    /// Returns the line and the column of a byte, both from 1 on. Columns are characters.
    #[must_use]
    pub fn place(&self, byte: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start as usize <= byte);
        let start = line.checked_sub(1).and_then(|at| self.lines.get(at));
        let start = start.map_or(0, |start| *start as usize);
        let column = if self.is_ascii {
            byte.saturating_sub(start)
        } else {
            let before = self.text.get(start..byte).unwrap_or_default();
            before.chars().count()
        };
        (line, column + 1)
    }

    /// Returns where a byte stands, as in `routes.yaml:21`.
    #[must_use]
    pub fn at(&self, byte: usize) -> String {
        if self.is_live {
            return "in the cluster".to_owned();
        }
        format!("{}:{}", self.name, self.place(byte).0)
    }
}

/// Returns an error if the standard input is named twice: it can be read once.
///
/// # Errors
/// When it is.
pub fn one_input<'n>(names: impl IntoIterator<Item = &'n String>) -> Result<(), String> {
    let inputs = names.into_iter().filter(|name| *name == "-").count();
    if inputs > 1 {
        return Err("- is named twice: the standard input can be read once".to_owned());
    }
    Ok(())
}

/// The kinds of objects that are read. Whatever else is in a file is left alone.
pub(crate) const KINDS: [&str; 9] = [
    "Canary",
    "DestinationRule",
    "EnvoyFilter",
    "GRPCRoute",
    "HTTPRoute",
    "Rollout",
    "TrafficExtension",
    "VirtualService",
    "WasmPlugin",
];

/// Returns the bytes of a file, or of the standard input: no more than one above what is
/// allowed.
fn bytes(name: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = MOST_BYTES + 1;
    if name == "-" {
        io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        let path = Path::new(name);
        if path.is_dir() {
            return Err(io::Error::other("is a folder"));
        }
        fs::File::open(path)?.take(most).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}
