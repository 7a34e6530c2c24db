//! `bluegreen doctor`: what is wrong in a live mesh, and what mends it. It changes nothing.

mod diagnose;
mod fault;
mod mesh;
mod proxy;
mod report;
mod served;
mod survey;
#[cfg(test)]
mod tests;
pub mod versions;

use crate::cluster::{Cluster, ClusterArgs};
use crate::mesh::Routes;
use crate::{End, check, screen};
use clap::{Args, ValueEnum};
use fault::KINDS;
use std::time::Duration;

/// The arguments of `doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bluegreen doctor\n  bluegreen doctor -n shop --ask\n  \
    bluegreen doctor --rights | kubectl apply -f -"
)]
pub struct DoctorArgs {
    /// Look at the applications of this namespace alone [default: of all]
    #[arg(short, long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Ask the gateways for each weighted route, once for each of so many users
    #[arg(long, value_name = "USERS", num_args = 0..=1, default_missing_value = "100")]
    pub ask: Option<u16>,
    /// How to print what is found
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
    /// A fault that may be there
    #[arg(long, value_name = "FAULT", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// List the faults that it knows
    #[arg(long)]
    pub faults: bool,
    /// Print the cluster role that it takes, and do nothing
    #[arg(long)]
    pub rights: bool,
    /// Which cluster
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// How to print what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A table, and a paragraph for each fault
    Text,
    /// For programs
    Json,
}

/// How long what was applied a moment ago may take until proxies have it.
const MOMENT: Duration = Duration::from_secs(3);

/// Says what is wrong in a live mesh.
///
/// # Errors
/// When the cluster cannot be asked.
pub fn run(args: &DoctorArgs) -> Result<End, String> {
    if args.rights {
        screen::out(&survey::rights());
        return Ok(End::Good);
    }
    if args.faults {
        screen::out(&report::list());
        return Ok(End::Good);
    }
    let is_known = |id: &&String| KINDS.iter().any(|kind| kind.id == **id) || check::is_rule(id);
    if let Some(other) = args.allow.iter().find(|id| !is_known(id)) {
        return Err(format!("--allow {other}: is no fault; --faults lists them"));
    }
    let cluster = Cluster::new(&args.cluster)?;
    let root = &args.cluster.istio_namespace;
    let survey = || survey::survey(&cluster, root, args.namespace.as_deref());
    let mut mesh = survey()?;
    let mut routes = Routes::of(&mesh.files)?;
    let mut found = diagnose::diagnose(&mesh, &routes);
    found.allow(&args.allow, &mesh);
    if found.is_bad() {
        std::thread::sleep(MOMENT);
        mesh = survey()?;
        routes = Routes::of(&mesh.files)?;
        found = diagnose::diagnose(&mesh, &routes);
    }
    let served = match args.ask {
        Some(users) => served::ask(&cluster, &mesh, &routes, users.into())?,
        None => Vec::new(),
    };
    found
        .faults
        .extend(served.iter().filter_map(served::Served::fault));
    found.allow(&args.allow, &mesh);
    screen::out(&report::text(args.output, &mesh, &found, &served));
    Ok(if found.is_bad() {
        End::Found
    } else {
        End::Good
    })
}
