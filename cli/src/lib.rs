//! `bluegreen`: one command that checks, explains and simulates blue/green routes, and
//! examines a live mesh.
//!
//! All rules are the filter's own: the crate `bluegreen`, whose core this command asks.

pub mod args;
pub mod bucket;
pub mod check;
mod cluster;
pub mod doctor;
pub mod explain;
pub mod files;
mod generate;
pub mod mesh;
mod moves;
pub mod pin;
mod plugin;
mod screen;
mod signatures;
pub mod simulate;
pub mod yaml;

use args::{Args, Command};
use clap::Parser;
use std::process::ExitCode;

/// What a command ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All is well.
    Good,
    /// There is something to look at.
    Found,
}

/// Runs the command of the arguments: its exit code is 0, 1 when it found something, 2
/// when it could not run.
#[must_use]
pub fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    let end = match &args.command {
        Command::Check(args) => check::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Simulate(args) => simulate::run(args),
        Command::Pin(args) => pin::run(args),
        Command::Bucket(args) => bucket::run(args),
        Command::Schema => generate::schema(),
        Command::Completions { shell } => generate::completions(*shell),
        Command::Man { folder } => generate::man(folder),
    };
    match end {
        Ok(End::Good) => ExitCode::SUCCESS,
        Ok(End::Found) => ExitCode::from(1),
        Err(why) => {
            screen::error(&why);
            ExitCode::from(2)
        }
    }
}
