//! `bluegreen check`: manifests as they lie in a repository.

mod finding;
mod report;
mod rules;

pub use finding::{Finding, Level, Place, Rule};
pub use report::Format;

use crate::cluster::{Cluster, ClusterArgs};
use crate::files::{self, File};
use crate::{End, screen};
use clap::Args;
use rules::{Checker, RULES};
use std::fmt::Write as _;

/// The arguments of `check`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  bluegreen check envoyfilter/*.yaml shop/*.yaml\n  \
    kustomize build . | bluegreen check -\n  \
    git show HEAD:shop.yaml | bluegreen check --before - shop.yaml"
)]
pub struct CheckArgs {
    /// The manifests; - is the standard input
    #[arg(required_unless_present_any = ["rules", "from_cluster"])]
    pub files: Vec<String>,
    /// How to print what is found
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// What is in the cluster now: order and sum of its weights are compared
    #[arg(long, value_name = "FILE")]
    pub before: Vec<String>,
    /// Take what is in the cluster now for --before; without files, check it
    #[arg(long, conflicts_with = "before")]
    pub from_cluster: bool,
    /// A rule that may be broken
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// List the rules
    #[arg(long)]
    pub rules: bool,
    /// Which cluster
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Says what is wrong with manifests. Notes alone are no reason to stop.
///
/// # Errors
/// When a file cannot be read.
pub fn run(args: &CheckArgs) -> Result<End, String> {
    if args.rules {
        screen::out(&list());
        return Ok(End::Good);
    }
    if let Some(other) = args.allow.iter().find(|id| !is_rule(id)) {
        return Err(format!("--allow {other}: is no rule; --rules lists them"));
    }
    files::one_input(args.files.iter().chain(&args.before))?;
    let mut files = read(&args.files)?;
    let mut before = read(&args.before)?;
    if args.from_cluster {
        let live = Cluster::new(&args.cluster)?.files(None)?;
        if files.is_empty() {
            files = live;
        } else {
            before = live;
        }
    }
    let mut findings = findings(&files, &before);
    findings.retain(|finding| !args.allow.iter().any(|id| id == finding.rule.id));
    screen::out(&report::text(args.format, &files, &findings));
    let counts = findings
        .iter()
        .any(|finding| finding.rule.level < Level::Note);
    Ok(if counts { End::Found } else { End::Good })
}

/// Returns whether there is a rule of this name.
pub(crate) fn is_rule(id: &str) -> bool {
    RULES.iter().any(|rule| rule.id == id)
}

fn read(names: &[String]) -> Result<Vec<File>, String> {
    names.iter().map(|name| File::read(name)).collect()
}

/// Returns what is wrong with the objects of some files. `before`: what is in the cluster.
#[must_use]
pub fn findings(files: &[File], before: &[File]) -> Vec<Finding> {
    let mut checker = Checker::new(files, before);
    checker.check();
    checker.findings
}

fn list() -> String {
    let mut text = String::new();
    for rule in RULES {
        let level = rule.level.word();
        let policy = if rule.is_policys { "policy" } else { "" };
        for (at, line) in screen::wrapped(rule.about, 36).iter().enumerate() {
            if at == 0 {
                let _ = writeln!(text, "{:<24} {level:<8} {policy:<7} {line}", rule.id);
            } else {
                let _ = writeln!(text, "{:<42}{line}", "");
            }
        }
    }
    text
}
