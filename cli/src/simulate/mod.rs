//! `bluegreen simulate`: who is where at each step of a ramp, and who moves.

mod bars;
mod plan;
mod states;
mod tally;
mod users;

use crate::files::{self, File};
use crate::mesh::{Action, Route, Routes};
use crate::{End, screen};
use bluegreen::core::bucket::Bucket;
use clap::Args;
use states::{Series, To};
use std::num::NonZeroU64;
use tally::Tally;

/// The arguments of `simulate`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bluegreen simulate -r routes.yaml --to 10,30,50,100")]
pub struct SimulateArgs {
    /// The manifests with the weights; several are steps, one after the other
    #[arg(short, long, value_name = "FILE", required = true)]
    pub routes: Vec<String>,
    /// Further steps: the weight of the last version out of the sum, or all weights, as in
    /// 80/10/10,70/20/10
    #[arg(long, value_name = "WEIGHTS", value_delimiter = ',')]
    pub to: Vec<To>,
    /// How many users there are; their cookies are made up
    #[arg(long, value_name = "NUMBER", default_value = "100000")]
    pub users: u64,
    /// Users as they are: a file with one identity a line; - is the standard input
    #[arg(long, value_name = "FILE", conflicts_with = "users")]
    pub ids: Option<String>,
    /// The host that users ask for [default: the first one of the route]
    #[arg(long)]
    pub host: Option<String>,
    /// The plugin, or its pluginConfig alone; for its rollouts' salts
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<String>,
    /// Say in which order to change the routes of a chain, the first hop first
    #[arg(long)]
    pub plan: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Says who is where at each step.
///
/// # Errors
/// When a file cannot be read, or has no weights.
pub fn run(args: &SimulateArgs) -> Result<End, String> {
    let names = args.routes.iter().chain(&args.config).chain(&args.ids);
    files::one_input(names)?;
    let plugin = crate::plugin::read(args.config.as_deref())?;
    let mut all: Vec<Series> = Vec::new();
    let mut files: Vec<File> = Vec::new();
    for name in &args.routes {
        let file = File::read(name)?;
        if let Some(error) = file.errors.first() {
            return Err(format!("{}: {}", file.at(error.span.start), error.what));
        }
        files.push(file);
        // With the files before, for a route in one may be handed over to another.
        let routes = Routes::of(&files).map_err(|error| format!("{name}: {error}"))?;
        let number = files.len() - 1;
        let found = states::of(&routes, number);
        let hands_over =
            |route: &Route| matches!(route.action, Action::Delegates(_)) && route.at.file == number;
        if found.is_empty() && !routes.all().iter().any(hands_over) {
            return Err(nothing(name));
        }
        for (route, state) in found {
            match all.iter_mut().find(|series| series.route == route) {
                Some(series) => series.states.push(state),
                None => all.push(Series::new(route, state)),
            }
        }
    }
    if all.is_empty() {
        return Err(nothing(&args.routes.join(", ")));
    }
    for series in &mut all {
        series.go_on(&args.to)?;
        series.dealt_by(args.host.as_deref(), &plugin.config);
    }
    let mut warned = false;
    if args.plan {
        let text = plan::of(&all, args)?;
        screen::out(&text);
        return Ok(End::Good);
    }
    let mut tallies: Vec<Tally> = all.iter().map(Tally::new).collect();
    users::each(args, |identity| {
        for (series, tally) in all.iter().zip(&mut tallies) {
            tally.add(Bucket::of([&series.salt, b""], identity));
        }
    })?;
    let results: Vec<_> = all.iter().zip(&tallies).collect();
    if args.json {
        let json: Vec<_> = results
            .iter()
            .map(|(series, tally)| tally.json(series))
            .collect();
        screen::out(&format!("{:#}\n", serde_json::Value::from(json)));
    }
    for (at, (series, tally)) in results.into_iter().enumerate() {
        let warnings = tally.warnings(series);
        warned |= !warnings.is_empty();
        if !args.json {
            let gap = if at > 0 { "\n" } else { "" };
            screen::out(&format!("{gap}{}", bars::text(series, tally, &warnings)));
        }
    }
    Ok(if warned { End::Found } else { End::Good })
}

fn nothing(names: &str) -> String {
    format!(
        "{names}: no weighted route of ours, such as one named \"bluegreen\"; where it is \
         handed over by `delegate`, hand over both objects, the one with the hosts first"
    )
}

/// Returns the place in a list of weights to which Envoy takes a bucket.
fn pick(bucket: Bucket, weights: &[u32], sum: NonZeroU64) -> usize {
    let place = bucket.pick(weights.iter().copied(), sum);
    place.unwrap_or_default()
}
