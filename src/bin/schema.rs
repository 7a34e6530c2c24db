//! `schema`: prints the JSON Schema of a `pluginConfig`. `make schema` writes it.

use bluegreen::core::config::schema;
use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    let schema = schema::plugin_config()?;
    io::stdout().write_all(schema.as_bytes())
}
