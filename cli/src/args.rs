//! The arguments of the command.

use crate::bucket::BucketArgs;
use crate::check::CheckArgs;
use crate::doctor::DoctorArgs;
use crate::explain::ExplainArgs;
use crate::pin::PinArgs;
use crate::simulate::SimulateArgs;
use clap::{Parser, Subcommand};

/// Checks, explains and simulates blue/green routes of bluegreen, and examines a mesh.
///
/// It asks the filter's own core, from files; only doctor and --from-cluster ask a cluster.
#[derive(Debug, Parser)]
#[command(
    name = "bluegreen",
    version,
    max_term_width = 80,
    disable_help_subcommand = true
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what is wrong with manifests, and what to write
    Check(CheckArgs),
    /// Say what is wrong in a live mesh, and what mends it
    Doctor(DoctorArgs),
    /// Say step by step what becomes of a request
    Explain(Box<ExplainArgs>),
    /// Say who is where at each step of a ramp, and who moves
    Simulate(SimulateArgs),
    /// Make and read signed pins
    Pin(PinArgs),
    /// Say the buckets of users on a host
    Bucket(BucketArgs),
    /// Print the JSON Schema of a pluginConfig
    Schema,
    /// Print the completions of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the man pages into a folder
    Man {
        /// The folder
        folder: std::path::PathBuf,
    },
}
