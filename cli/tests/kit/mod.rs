//! What the tests share: the folders, and the command as people run it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the project.
pub(crate) fn root() -> PathBuf {
    let cli = Path::new(env!("CARGO_MANIFEST_DIR"));
    cli.parent().expect("the project").to_owned()
}

/// A shell in a folder, in which `bluegreen` is the command that was built.
pub(crate) fn bash(folder: &Path, script: &str) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_bluegreen"));
    let of_binary = binary.parent().expect("a folder").display();
    let path = std::env::var("PATH").unwrap_or_default();
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).current_dir(folder);
    bash.env("PATH", format!("{of_binary}:{path}"));
    bash.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    bash
}

#[allow(dead_code, reason = "not all tests show something")]
/// Whether what is shown is to be written anew: `WRITE=1 make test-cli`.
pub(crate) fn writes() -> bool {
    std::env::var_os("WRITE").is_some()
}
