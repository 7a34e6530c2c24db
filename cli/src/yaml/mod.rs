//! YAML as people wrote it: each value with its place in the text, repeated keys kept,
//! aliases shared and never copied, so that nothing explodes.

mod node;
mod reader;

pub use node::{Entry, Kind, Node};
pub use reader::{Document, MOST_VALUES, YamlError, documents};
