//! `bluegreen explain`: what becomes of one request, step by step.

mod ask;
mod curl;
mod envoy;
mod found;
mod proxy;
mod steps;
mod tally;

pub use curl::ExplainArgs;
pub use envoy::Picked;
pub use proxy::{Marks, Place, Proxy, Request};

use crate::cluster::Cluster;
use crate::files::{self, File};
use crate::mesh::{Headers, Routes, Side};
use crate::{End, plugin, screen};
use steps::Steps;

/// What a new identity is made of, so that the same question has the same answer.
const RANDOM: u64 = 0x00c0_ffee_00c0_ffee;

/// Says what becomes of a request, and with `--ask` whether it is so.
///
/// # Errors
/// When a file cannot be read, or the request cannot be sent.
pub fn run(args: &ExplainArgs) -> Result<End, String> {
    files::one_input(args.routes.iter().chain(&args.config))?;
    let facts = curl::facts(args)?;
    let request = curl::request(args)?;
    let live = if args.from_cluster {
        Cluster::new(&args.cluster)?.files(None)?
    } else {
        Vec::new()
    };
    let files = if args.routes.is_empty() {
        &live
    } else {
        &read(&args.routes)?
    };
    let routes = routes(args, files)?;
    let plugin = match &args.config {
        None if args.from_cluster => {
            let found = routes.find(&request, &facts);
            let source = found.map(|route| &*route.source);
            plugin::live(&live, &args.cluster.istio_namespace, &facts.side, source)?
        }
        config => plugin::read_at(config.as_deref(), &facts.side)?,
    };
    let is_waypoint = matches!(facts.side, Side::Waypoint { .. });
    let place = Place {
        node: plugin::node(&facts.side),
        // No EnvoyFilter reaches a waypoint's routes.
        marks: if is_waypoint { Marks::None } else { Marks::All },
        facts,
        ..Place::default()
    };
    let names = plugin.rollouts;
    let mut proxy = Proxy::new(plugin.config, &routes, place);
    if plugin::is_servers(proxy.config()) {
        return Err("this is the servers' plugin, which routes nothing".to_owned());
    }
    let answered = args.ask.then(|| ask::ask(args)).transpose()?;
    // The real gateway has given another identity to a new user.
    let minted = answered
        .as_ref()
        .and_then(|answered| ask::minted(answered, proxy.config()));
    let random = minted.unwrap_or(RANDOM);
    let sent = proxy.request(request, random);
    let answer = curl::answer(args)?;
    let response = proxy.response(&sent, answer);
    let steps = Steps::of(&proxy, &sent, &response, &names);
    if args.json {
        screen::out(&format!(
            "{:#}\n",
            steps.json(&sent, &response, proxy.counts())
        ));
    } else {
        screen::out(&steps.text());
    }
    let Some(answered) = answered else {
        return Ok(End::Good);
    };
    let differences = ask::differences(&sent, &response, &answered, proxy.config());
    screen::out(&ask::text(&differences, &answered, args.json));
    Ok(if differences.is_empty() {
        End::Good
    } else {
        End::Found
    })
}

fn read(names: &[String]) -> Result<Vec<File>, String> {
    let mut files = Vec::new();
    for name in names {
        let file = File::read(name)?;
        if let Some(error) = file.errors.first() {
            return Err(format!("{}: {}", file.at(error.span.start), error.what));
        }
        files.push(file);
    }
    Ok(files)
}

/// Returns the routes of files, which have some.
fn routes(args: &ExplainArgs, files: &[File]) -> Result<Routes, String> {
    let names = args.routes.join(", ");
    let routes = Routes::of(files).map_err(|error| {
        if names.is_empty() {
            error
        } else {
            format!("{names}: {error}")
        }
    })?;
    if !routes.is_empty() {
        return Ok(routes);
    }
    Err(match &*names {
        "" if args.from_cluster => {
            "no VirtualService and no HTTPRoute with routes in the cluster".to_owned()
        }
        "" => "no routes: hand over the VirtualService with -r FILE, or take what is in the \
               cluster with --from-cluster"
            .to_owned(),
        names => format!(
            "{names}: no VirtualService with hosts and routes, and no HTTPRoute with parentRefs \
             and rules"
        ),
    })
}

/// Returns the first value of a header as text.
fn text(headers: &Headers, name: &str) -> Option<String> {
    let value = crate::mesh::values(headers, name).next()?;
    Some(String::from_utf8_lossy(value).into_owned())
}
