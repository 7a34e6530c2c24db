//! What is made of the code for other programs: the schema, completions, man pages.

use crate::args::Args;
use crate::{End, screen};
use bluegreen::core::config::schema;
use clap::CommandFactory;
use clap_complete::Shell;
use std::fs;
use std::path::Path;

/// Prints the JSON Schema of a `pluginConfig`.
pub(crate) fn schema() -> Result<End, String> {
    screen::out(&schema::plugin_config().map_err(|error| error.to_string())?);
    Ok(End::Good)
}

/// Prints the completions of a shell.
#[expect(clippy::unnecessary_wraps, reason = "as all commands")]
pub(crate) fn completions(shell: Shell) -> Result<End, String> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "bluegreen", &mut text);
    screen::out(&String::from_utf8_lossy(&text));
    Ok(End::Good)
}

/// Writes the man pages into a folder: one of the whole, and one of each command.
pub(crate) fn man(folder: &Path) -> Result<End, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Args::command(), folder).map_err(failed)?;
    Ok(End::Good)
}
