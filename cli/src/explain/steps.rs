//! The steps of a decision, in words.

use super::envoy::Picked;
use super::found;
use super::proxy::{Proxy, Request};
use super::text;
use crate::mesh::{Action, Headers, Side, sum};
use crate::pin::why;
use crate::screen::{self, BOLD, DIM, shown, styled, wrapped};
use bluegreen::core::baggage;
use bluegreen::core::bucket::Bucket;
use bluegreen::core::config::{Routes as TakePart, Settings};
use bluegreen::core::decision::Memory;
use bluegreen::core::metrics::{REASONS, SOURCES, Source};
use bluegreen::core::role::Role;
use bluegreen::core::route_name::RouteName;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The steps: a word for each, and what it came to.
pub(super) struct Steps(Vec<(&'static str, String)>);

/// The columns of the words.
const WORDS: usize = 10;

impl Steps {
    /// Returns the steps of a request and its response. `rollouts`: the names in the
    /// configuration, in order.
    pub(super) fn of(
        proxy: &Proxy<'_>,
        sent: &Request<'_>,
        response: &Headers,
        rollouts: &[String],
    ) -> Self {
        let mut steps = vec![("route", found::route(proxy, sent))];
        let Some(memory) = &sent.memory else {
            steps.push(("filter", found::off(sent)));
            steps.push(("version", version(sent)));
            return Self(steps);
        };
        let settings = proxy.config().settings(sent.settings);
        let of = sent
            .settings
            .and_then(|place| rollouts.get(usize::from(place)));
        let of = of.map_or_else(
            || "those of the mesh".to_owned(),
            |name| format!("those of rollouts.{name}"),
        );
        let at = match proxy.facts().side {
            Side::Gateway => "at a gateway",
            Side::Caller(_) => "at a sidecar",
            Side::Waypoint { .. } => "at a waypoint",
        };
        let callers = match proxy.role {
            Role::Gateway => "strangers",
            _ => "workloads",
        };
        let is_marked = proxy.config().routes == TakePart::Marked;
        let cannot = match proxy.facts().side {
            Side::Waypoint { .. } if is_marked => "; it picks only with `routes: named`",
            _ => "",
        };
        steps.push((
            "settings",
            format!("{of}, {at}: callers are {callers}{cannot}"),
        ));
        steps.push(("identity", identity(settings, sent, memory.source())));
        steps.push((
            "bucket",
            bucket(sent, proxy.config().bucket_header.as_ref(), memory.source()),
        ));
        let (weights, interval) = weights(sent);
        steps.push(("weights", weights));
        steps.push(("interval", interval));
        steps.push(("pin", pin(settings, sent, memory)));
        if proxy.config().baggage.is_some() {
            let baggage = text(&sent.upstream, baggage::HEADER);
            steps.push(("baggage", baggage.unwrap_or_else(|| "none".to_owned())));
        }
        steps.push(("version", version(sent)));
        steps.push(("response", said(settings, response)));
        let source = SOURCES
            .iter()
            .find(|(source, _)| *source == memory.source());
        let source = source.map_or("none", |(_, label)| label);
        let status = text(response, ":status").unwrap_or_default();
        let class = status.get(..1).unwrap_or("-").to_owned();
        let is_counted = proxy.counts().keys().any(|name| name.contains("bg_code="));
        let mut counted = if is_counted {
            format!("bg_source=\"{source}\", bg_code=\"{class}xx\"")
        } else {
            "nothing".to_owned()
        };
        let reasons = REASONS.iter().filter(|(_, label)| {
            let label = format!("bg_reason=.={label};");
            proxy.counts().keys().any(|name| name.contains(&label))
        });
        for (_, label) in reasons {
            let _ = write!(counted, "; rejected: bg_reason=\"{label}\"");
        }
        steps.push(("counted", counted));
        Self(steps)
    }

    /// Returns them as lines of 80 columns.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (word, what) in &self.0 {
            let mut lines = wrapped(what, screen::WIDTH - WORDS - 2).into_iter();
            let first = lines.next().unwrap_or_default();
            let first = if *word == "version" {
                styled(BOLD, &first)
            } else {
                first
            };
            let word = styled(DIM, &format!("{word:<WORDS$}"));
            let _ = writeln!(text, "{word}  {first}");
            for line in lines {
                let _ = writeln!(text, "{:WORDS$}  {line}", "");
            }
        }
        text
    }

    /// Returns them as JSON.
    pub(super) fn json(
        &self,
        sent: &Request<'_>,
        response: &Headers,
        counts: &BTreeMap<String, u64>,
    ) -> Value {
        let headers = |all: &Headers| -> Vec<Value> {
            let pairs = all.iter().map(|(name, value)| {
                let value = String::from_utf8_lossy(value);
                json!([name, value])
            });
            pairs.collect()
        };
        let steps: serde_json::Map<String, Value> = self
            .0
            .iter()
            .map(|(word, what)| ((*word).to_owned(), json!(what)))
            .collect();
        json!({
            "takesPart": sent.memory.is_some(),
            "route": sent.route.map(|route| route.name.clone()),
            "at": sent.route.map(|route| &*route.at.at),
            "delegate": sent.route.and_then(|route| route.delegate.as_ref()).map(|(_, at)| &*at.at),
            "version": sent.version(),
            "byChance": matches!(sent.picked, Picked::Chance(_)),
            "bucket": sent.bucket.as_deref().map(String::from_utf8_lossy),
            "request": headers(&sent.upstream),
            "response": headers(response),
            "counts": counts,
            "steps": steps,
        })
    }
}

fn identity(settings: &Settings, sent: &Request<'_>, source: Source) -> String {
    let value = sent.identity.as_deref().map(shown);
    let header = settings.identity.header.as_deref().unwrap_or("none");
    let cookie = settings.identity.cookie.as_ref();
    let cookie = cookie.map_or("none", |cookie| cookie.name());
    let by_header = settings.identity.header.as_deref().is_some_and(|name| {
        let of_request = text(&sent.upstream, name);
        of_request.is_some_and(|of_request| {
            !of_request.is_empty() && Some(of_request.as_bytes()) == sent.identity.as_deref()
        })
    });
    match value {
        _ if source == Source::BucketHeader => {
            "not looked for: the caller forwards a bucket".to_owned()
        }
        _ if source == Source::BucketBaggage => {
            "not looked for: the baggage has a bucket".to_owned()
        }
        None => format!("none: no header {header}, no cookie {cookie}"),
        Some(value) if sent.is_new => format!("{value}, new and random, for the cookie {cookie}"),
        Some(value) if by_header => format!("{value}, by the header {header}"),
        Some(value) => format!("{value}, by the cookie {cookie}"),
    }
}

fn bucket(sent: &Request<'_>, header: &str, source: Source) -> String {
    let Some(bucket) = &sent.bucket else {
        return format!("none, for there is no identity: no header {header}");
    };
    let identitys = sent
        .identity
        .as_deref()
        .map(|identity| Bucket::of([&*sent.salt, b""], identity));
    let of = if identitys.is_some() && identitys == Bucket::parse(bucket) {
        format!("of that identity on {}", shown(&sent.salt))
    } else if source == Source::BucketBaggage {
        "by the baggage".to_owned()
    } else {
        "as the caller forwards it".to_owned()
    };
    format!("{}, {of}", String::from_utf8_lossy(bucket))
}

/// Returns the weights of the route that deals, and where the bucket lies in them.
fn weights(sent: &Request<'_>) -> (String, String) {
    let none = || "-".to_owned();
    let stated = sent.found.map(|route| RouteName::of(route.name.as_bytes()));
    let parts: Vec<(String, u64)> = match (&stated, sent.route.map(|route| &route.action)) {
        (Some(RouteName::States(weights)), _) => {
            let backends = weights.backends().iter();
            backends
                .map(|each| {
                    (
                        String::from_utf8_lossy(&each.name).into_owned(),
                        each.weight.into(),
                    )
                })
                .collect()
        }
        (_, Some(Action::Destinations(all))) if all.len() > 1 && sum(all) > 0 => {
            let all = all.iter();
            all.map(|each| (each.version().to_owned(), each.weight.into()))
                .collect()
        }
        (_, Some(Action::Delegates(name))) => {
            let text = format!("those of the VirtualService {name}, to which the route delegates");
            return (text, none());
        }
        _ => {
            return (
                "not asked: the route has one destination".to_owned(),
                none(),
            );
        }
    };
    let total: u64 = parts.iter().map(|(_, weight)| weight).sum();
    let shown: Vec<String> = parts
        .iter()
        .map(|(version, weight)| format!("{version} {weight}"))
        .collect();
    let text = format!("{}, {total} in all", shown.join(", "));
    let bucket = sent.bucket.as_deref().and_then(Bucket::parse);
    let (Some(bucket), Some(total)) = (bucket, std::num::NonZeroU64::new(total)) else {
        return (text, "none: without a bucket Envoy rolls dice".to_owned());
    };
    if matches!(sent.picked, Picked::Chance(_)) {
        return (
            text,
            "none: nothing asks for the bucket, and Envoy rolls dice".to_owned(),
        );
    }
    let place = bucket.place(total);
    let mut from = 0;
    for (version, weight) in &parts {
        let to = from + weight;
        if place < to {
            let interval = format!(
                "bucket modulo {total} is {place}, and {version} has {from} to {}",
                to - 1
            );
            return (text, interval);
        }
        from = to;
    }
    (text, none())
}

fn pin(settings: &Settings, sent: &Request<'_>, memory: &Memory) -> String {
    let header = settings.pin_header();
    let Some(of) = &settings.pin else {
        return "off".to_owned();
    };
    if let Some(version) = memory.pinned() {
        let by = match memory.source() {
            Source::PinQuery => "the query",
            Source::PinCookie => "the cookie",
            Source::PinBaggage => "the baggage",
            _ => "the header",
        };
        let signed = memory.pinned_by();
        let signed = signed.map(|who| format!(", signed by {}", shown(who.as_bytes())));
        let (version, signed) = (shown(version), signed.unwrap_or_default());
        return format!("{version}, by {by}{signed}: {header}: {version}");
    }
    if let Some(list) = memory.list() {
        return format!("none here: {} is for others", shown(list.bytes()));
    }
    let refused = REASONS
        .iter()
        .find(|(reason, label)| label.starts_with("pin-") && memory.rejected().has(*reason));
    let why = match refused {
        Some((reason, _)) if of.signed.is_some() => why(*reason),
        _ => "it is no version's name",
    };
    match &sent.pin {
        Some(value) if &**value == b"none" => format!("none any more, by {header}: none"),
        Some(value) => format!("\"{}\" does not count: {why}", shown(value)),
        None if refused.is_some() => format!("that of query or cookie does not count: {why}"),
        None => format!("none: no {header}"),
    }
}

/// Whether the name of the route states its weights.
fn is_stated(sent: &Request<'_>) -> bool {
    let name = sent.found.map_or("", |route| &route.name);
    matches!(RouteName::of(name.as_bytes()), RouteName::States(_))
}

fn version(sent: &Request<'_>) -> String {
    let Some(route) = sent.route else {
        return "none".to_owned();
    };
    let version = sent.version().unwrap_or("none");
    match (&sent.picked, &route.action) {
        (Picked::Nothing, Action::Answers(status)) => {
            format!("none: Envoy answers {status} itself")
        }
        (Picked::Nothing, Action::Delegates(_)) => "as the other VirtualService says".to_owned(),
        (Picked::Nothing, _) => "none: no destination gets anything".to_owned(),
        (Picked::Only(_), Action::Destinations(all)) if all.len() > 1 => {
            format!("{version}, which gets everybody")
        }
        (Picked::Only(_), _)
            if sent
                .memory
                .as_ref()
                .is_some_and(|memory| memory.pinned().is_some()) =>
        {
            format!("{version}, by the pin")
        }
        // The filter has picked, and asks for the version.
        (Picked::Only(_), _) if is_stated(sent) => format!("{version}, by the bucket"),
        (Picked::Only(_), _) => version.to_owned(),
        (Picked::Bucket(_), _) => format!("{version}, by the bucket"),
        (Picked::Chance(_), _) => format!("by chance; if it is {version}:"),
    }
}

/// Returns what the response says because of the filter.
fn said(settings: &Settings, response: &Headers) -> String {
    let mut lines = vec![text(response, ":status").unwrap_or_default()];
    let names = [
        &*settings.tag.header,
        settings.pin_header(),
        "cache-control",
    ];
    for name in names {
        let values = crate::mesh::values(response, name);
        lines.extend(values.map(|value| format!("{name}: {}", shown_line(value))));
    }
    let cookies = crate::mesh::values(response, "set-cookie");
    lines.extend(cookies.map(|value| format!("set-cookie: {}", shown_line(value))));
    lines.join("\n")
}

fn shown_line(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let plain = text.chars().all(|c| !c.is_control());
    if plain {
        text.into_owned()
    } else {
        text.escape_debug().to_string()
    }
}
