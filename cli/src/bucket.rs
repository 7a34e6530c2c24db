//! `bluegreen bucket`: the buckets of users on a host.

use crate::mesh::Side;
use crate::{End, plugin, screen};
use bluegreen::core::bucket::Bucket;
use bluegreen::core::decision::{self, Caller};
use bluegreen::core::host::{ServiceNames, of_authority};
use clap::Args;
use std::fmt::Write as _;
use std::num::NonZeroU64;

/// The arguments of `bucket`.
#[derive(Debug, Args)]
pub struct BucketArgs {
    /// The host that users ask for, as in shop.example
    pub host: String,
    /// Identities: the values of the identity header or of the cookie
    #[arg(required = true)]
    pub users: Vec<String>,
    /// The plugin, or its pluginConfig alone; for its rollouts' salts
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<String>,
    /// The sum of the weights, for the place of a bucket in them
    #[arg(long, default_value = "100")]
    pub sum: NonZeroU64,
    /// Ask as a workload of this namespace, by a Service's name
    #[arg(long, value_name = "NAMESPACE")]
    pub caller: Option<String>,
}

/// Prints the bucket of each user, and its place in the weights.
///
/// # Errors
/// When the configuration cannot be read.
pub fn run(args: &BucketArgs) -> Result<End, String> {
    let config = plugin::read(args.config.as_deref())?.config;
    let host = of_authority(args.host.as_bytes());
    let side = args.caller.clone().map(Side::Caller).unwrap_or_default();
    let names = ServiceNames::of_node(plugin::node(&side).as_bytes());
    let caller = match side {
        Side::Gateway => Caller::Stranger,
        _ => Caller::Workload(names.as_ref()),
    };
    let settings = config.settings(config.rollouts.find(|| &host, || Some(b"/")));
    let salt = decision::salt(settings, caller, &host);
    let width = args.users.iter().map(|user| user.chars().count()).max();
    let width = width.unwrap_or_default().max("user".len());
    let head = format!(
        "{:<width$}  {:>20}  {:>7}",
        "user",
        "bucket",
        format!("of {}", args.sum)
    );
    let mut text = format!("{}\n", screen::styled(screen::DIM, &head));
    for user in &args.users {
        let bucket = Bucket::of(salt, user.as_bytes());
        let mut digits = itoa::Buffer::new();
        let digits = String::from_utf8_lossy(bucket.digits(&mut digits)).into_owned();
        let place = bucket.place(args.sum);
        let _ = writeln!(text, "{user:<width$}  {digits:>20}  {place:>7}");
    }
    screen::out(&text);
    Ok(End::Good)
}
