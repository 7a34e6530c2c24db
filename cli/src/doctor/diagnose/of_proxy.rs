//! What a proxy runs, beside what is written.

use crate::doctor::fault::{
    BUCKET_HEADER, CONFIG_INERT, CONFIG_OLD, CONFIG_WRONG, Column, FILTER_ELSEWHERE, FILTER_OFF,
    Fault, Kind, MODULE_DIGEST, MODULE_MISSING, MODULE_PLACEHOLDER, NO_ISTIOD, Names, REJECTED,
    RETRY, ROUTE_HEADER, ROUTE_MISSING, STAT_TAGS, TWICE, UNTRIED, WEIGHTS, add,
};
use crate::doctor::mesh::{Mesh, Plugin, dealt, stat_tags};
use crate::doctor::proxy::{self, Loaded, Pod, Proxy, Route};
use crate::doctor::versions::{self, minor};
use crate::mesh::Routes;
use crate::screen::first_of;
use bluegreen::core::config;
use serde_json::Value;
use std::collections::BTreeSet;

/// The questions about one proxy.
pub(super) struct OfProxy<'m, 'f> {
    pub(super) mesh: &'m Mesh,
    pub(super) plugins: &'m [Plugin<'m>],
    pub(super) routes: &'m Routes,
    pub(super) pod: &'m Pod,
    pub(super) asked: BTreeSet<Column>,
    pub(super) faults: &'f mut Vec<Fault>,
}

impl OfProxy<'_, '_> {
    /// Adds a fault of this proxy.
    pub(super) fn find(&mut self, kind: &Kind, what: String) {
        self.find_of(kind, what, None);
    }

    fn find_of(&mut self, kind: &Kind, what: String, plugin: Option<&Plugin<'_>>) {
        let names = Names {
            namespace: self.pod.namespace.clone(),
            pod: self.pod.name.clone(),
            restart: self.pod.restart.clone(),
            plugin: plugin.map(Plugin::argument).unwrap_or_default(),
            root: self.mesh.root.clone(),
        };
        add(self.faults, kind.fault(what, &self.pod.id(), &names));
        self.asked.insert(kind.column);
    }

    /// Asks all questions.
    pub(super) fn proxy(&mut self, proxy: &Proxy) {
        self.versions(proxy);
        self.istiod();
        let mine: Vec<&Plugin<'_>> = { self.plugins.iter() }
            .filter(|plugin| plugin.holds_for(self.pod, &self.mesh.root))
            .collect();
        let mut runs = false;
        for plugin in &mine {
            let chains = proxy.chains.iter();
            let of_side: Vec<&proxy::Chain> = chains
                // All that a waypoint serves is inbound to it.
                .filter(|chain| {
                    self.pod.kind == proxy::Kind::Waypoint
                        || chain.is_inbound == plugin.is_servers()
                })
                .collect();
            if of_side.is_empty() {
                continue;
            }
            runs = true;
            self.module(proxy, plugin, &of_side);
            if plugin.is_marked() {
                self.routes(proxy, plugin);
            }
        }
        if runs {
            self.twice(proxy);
            self.asked.insert(Column::Tags);
            let missing = stat_tags();
            let missing: Vec<String> = { missing.into_iter() }
                .filter(|tag| !proxy.stat_tags.contains(tag))
                .collect();
            if !missing.is_empty() {
                let what = format!("stat tags are missing: {}", missing.join(", "));
                self.find(&STAT_TAGS, what);
            }
        }
        self.weights(proxy);
        self.gateways(proxy);
    }

    fn versions(&mut self, proxy: &Proxy) {
        self.asked.insert(Column::Version);
        let all = [
            ("Istio", &proxy.istio, versions::ISTIO),
            ("Envoy", &proxy.envoy, versions::ENVOY),
        ];
        for (of, version, tried) in all {
            if !minor(version).is_some_and(|minor| tried.contains(&minor)) {
                self.find(&UNTRIED, format!("{of} {version} was not tried"));
            }
        }
    }

    fn istiod(&mut self) {
        let Some(synced) = &self.mesh.synced else {
            return;
        };
        self.asked.insert(Column::Xds);
        let name = format!("{}.{}", self.pod.name, self.pod.namespace);
        match synced.get(&name) {
            None => self.find(&NO_ISTIOD, "no istiod serves it".to_owned()),
            Some(refused) => {
                for each in refused {
                    // Of a table Envoy says the whole of it, and istiod keeps the beginning.
                    let is_whole = !each.why.contains('\n') && each.why.len() <= 200;
                    let why = if is_whole {
                        format!(": {}", each.why)
                    } else {
                        String::new()
                    };
                    self.find(&REJECTED, format!("it has refused a {}{why}", each.kind));
                }
            }
        }
    }

    fn module(&mut self, proxy: &Proxy, plugin: &Plugin<'_>, chains: &[&proxy::Chain]) {
        self.asked.insert(Column::Module);
        let id = plugin.id();
        let has_it = |chain: &&proxy::Chain| chain.plugins.contains(&id);
        // A waypoint has other chains for tunnels, and for what is not HTTP.
        let in_chains = if self.pod.kind == proxy::Kind::Waypoint {
            chains.iter().any(has_it)
        } else {
            chains.iter().all(has_it)
        };
        let loaded = match proxy.plugins.get(&id) {
            Some(loaded) if in_chains => loaded,
            Some(_) => {
                let some = chains.iter().find(|chain| !chain.plugins.contains(&id));
                let listener = some.map_or("", |chain| &*chain.listener);
                let what = format!("the listener {listener} does not have {id}");
                return self.find_of(&MODULE_MISSING, what, Some(plugin));
            }
            None => {
                let what = format!("{id} is not there");
                return self.find_of(&MODULE_MISSING, what, Some(plugin));
            }
        };
        let Loaded::Module { digest, config } = loaded else {
            let words = self.mesh.logs.get(&self.pod.id());
            let words = words.and_then(|log| agents_words(log, &id, plugin.url));
            let words = words.map_or(String::new(), |words| format!(": {words}"));
            let what = format!("{id} could not be fetched{words}");
            return self.find_of(&MODULE_PLACEHOLDER, what, Some(plugin));
        };
        if let Some(wanted) = plugin.digest().filter(|wanted| wanted != digest) {
            let what = format!(
                "{id} runs {}, and its url says {}",
                short(digest),
                short(wanted)
            );
            self.find_of(&MODULE_DIGEST, what, Some(plugin));
        } else if let Some(other) = self.other_digest(&id, digest) {
            let what = format!(
                "{id} runs {} here and {} elsewhere",
                short(digest),
                short(&other)
            );
            self.find_of(&MODULE_DIGEST, what, Some(plugin));
        }
        self.asked.insert(Column::Config);
        if proxy.wrong.contains(&id) {
            let words = config::parse(config.as_bytes()).err();
            let words = words.map(|errors| errors.lines().collect::<Vec<_>>().join("; "));
            let words = words.map_or(String::new(), |words| format!(": {words}"));
            let log = self.mesh.logs.get(&self.pod.id());
            let (kind, unknown) = match log.and_then(|log| is_inert(log)) {
                Some(true) => (&CONFIG_INERT, ""),
                Some(false) => (&CONFIG_WRONG, ""),
                // Access logs are long.
                None => (
                    &CONFIG_WRONG,
                    "; its log does not say whether a good one is in force",
                ),
            };
            let what = format!("the pluginConfig of {id} is wrong{words}{unknown}");
            self.find_of(kind, what, Some(plugin));
        } else if !same(config, &plugin.json) {
            let what = format!("{id} has another pluginConfig here");
            self.find_of(&CONFIG_OLD, what, Some(plugin));
        }
    }

    /// Returns another digest of a plugin that most proxies run.
    fn other_digest(&self, id: &str, own: &str) -> Option<String> {
        let proxies = self
            .mesh
            .proxies
            .iter()
            .filter_map(|(_, proxy)| proxy.as_ref().ok());
        let digests = proxies.filter_map(|proxy| match proxy.plugins.get(id)? {
            Loaded::Module { digest, .. } => Some(digest.clone()),
            Loaded::Placeholder => None,
        });
        let digests: Vec<String> = digests.collect();
        let same = digests.iter().filter(|digest| *digest == own).count();
        if 2 * same > digests.len() {
            return None;
        }
        digests.into_iter().find(|digest| digest != own)
    }

    fn routes(&mut self, proxy: &Proxy, plugin: &Plugin<'_>) {
        let Some(config) = &plugin.config else { return };
        let id = plugin.id();
        let (marked, others): (Vec<&Route>, Vec<&Route>) =
            proxy.routes.iter().partition(|route| route.is_marked());
        self.asked.insert(Column::Routes);
        let listed = |routes: &[&Route]| {
            let names = routes.iter().map(ToString::to_string);
            let names: BTreeSet<String> = names.collect();
            first_of(&Vec::from_iter(names), 3)
        };
        let off: Vec<&Route> = { marked.iter().copied() }
            .filter(|route| !route.runs(&id))
            .collect();
        if !off.is_empty() {
            self.find(&FILTER_OFF, format!("{id} is off on {}", listed(&off)));
        }
        let on: Vec<&Route> = { others.iter().copied() }
            .filter(|route| route.runs(&id))
            .collect();
        if !on.is_empty() {
            self.find(&FILTER_ELSEWHERE, format!("{id} runs on {}", listed(&on)));
        }
        let is_silent = |route: &&Route| {
            let mut headers = route.response_headers.iter();
            !headers.any(|header| header.eq_ignore_ascii_case(&config.route_header))
        };
        let silent: Vec<&Route> = marked.iter().copied().filter(is_silent).collect();
        if !silent.is_empty() {
            let what = format!(
                "{} is not written on {}",
                config.route_header,
                listed(&silent)
            );
            self.find(&ROUTE_HEADER, what);
        }
        let anew: Vec<&Route> = { marked.iter().copied() }
            .filter(|route| route.is_picked_anew)
            .collect();
        if !anew.is_empty() {
            self.find(&RETRY, format!("retries pick anew on {}", listed(&anew)));
        }
        let weighted = marked.iter().copied().filter(|route| route.is_weighted());
        let weighted: Vec<&Route> = weighted.collect();
        if !weighted.is_empty() {
            self.asked.insert(Column::Header);
        }
        let is_by_chance = |route: &&Route| {
            let header = route.bucket_header.as_deref();
            !header.is_some_and(|header| header.eq_ignore_ascii_case(&config.bucket_header))
        };
        let by_chance: Vec<&Route> = weighted.into_iter().filter(is_by_chance).collect();
        if !by_chance.is_empty() {
            let header = &config.bucket_header;
            let what = format!("Envoy does not pick by {header} on {}", listed(&by_chance));
            self.find(&BUCKET_HEADER, what);
        }
    }

    fn twice(&mut self, proxy: &Proxy) {
        self.asked.insert(Column::Once);
        let of_chain = |chain: &proxy::Chain, is_marked: bool| {
            let ours = chain.plugins.iter().filter(|id| {
                let mut all = self.plugins.iter();
                all.any(|plugin| plugin.id() == **id && plugin.is_marked() == is_marked)
            });
            let ours: Vec<&str> = ours.map(String::as_str).collect();
            let others: BTreeSet<&str> = ours.iter().copied().collect();
            let others: Vec<&str> = others.into_iter().collect();
            match &*others {
                [one] if ours.len() > 1 => Some(format!("{one} runs {} times", ours.len())),
                [_, _, ..] => Some(format!("{} run on one request", others.join(" and "))),
                _ => None,
            }
        };
        // One for marks and one for names of rules leave each other's routes alone. Each
        // listener has them.
        let chains = proxy.chains.iter();
        let found: BTreeSet<String> = chains
            .flat_map(|chain| [true, false].map(|is_marked| of_chain(chain, is_marked)))
            .flatten()
            .collect();
        for what in found {
            self.find(&TWICE, what);
        }
    }

    fn weights(&mut self, proxy: &Proxy) {
        let mut seen = BTreeSet::new();
        for route in proxy.routes.iter().filter(|route| route.is_weighted()) {
            let Some(object) = route.object() else {
                continue;
            };
            let Some(written) = Mesh::weights(self.routes, object, &route.name) else {
                continue;
            };
            self.asked.insert(Column::Weights);
            let dealt = dealt(&route.weights);
            if dealt != written && seen.insert((object, &route.name)) {
                let what = format!(
                    "{route} deals {}, and is written {}",
                    weights(&dealt),
                    weights(&written)
                );
                self.find(&WEIGHTS, what);
            }
        }
    }

    fn gateways(&mut self, proxy: &Proxy) {
        if self.pod.kind != proxy::Kind::Gateway {
            return;
        }
        let domains: BTreeSet<&str> = { proxy.routes.iter() }
            .flat_map(|route| route.domains.iter().map(String::as_str))
            .collect();
        for (gateway, host) in self.mesh.weighted_hosts() {
            let Some(gateway) = gateway else { continue };
            if !self.mesh.serves(&gateway, self.pod, &host.name) {
                continue;
            }
            let full = crate::mesh::full_host(&host.name, &host.namespace);
            let is_there = domains.contains(&*host.name) || domains.contains(&*full);
            if !is_there {
                let what = format!("there is no route of {} for {}", host.object, host.name);
                self.find(&ROUTE_MISSING, what);
            }
        }
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = if self.name.is_empty() {
            "a route"
        } else {
            &self.name
        };
        match self.object() {
            Some((namespace, object)) => write!(f, "{name} of {object}.{namespace}"),
            None => write!(f, "{name} of {}", self.table),
        }
    }
}

/// Returns weights in words, as in `blue 70, green 30`.
fn weights(all: &[(&str, u64)]) -> String {
    let all = all
        .iter()
        .map(|(version, weight)| format!("{version} {weight}"));
    let all: Vec<String> = all.collect();
    if all.is_empty() {
        "nothing".to_owned()
    } else {
        all.join(", ")
    }
}

/// Returns a digest as people show it.
fn short(digest: &str) -> String {
    format!("{}…", digest.get(..12).unwrap_or(digest))
}

/// Returns whether two texts are the same JSON.
fn same(one: &str, other: &str) -> bool {
    let parse = |text: &str| {
        let text = if text.is_empty() { "{}" } else { text };
        serde_json::from_str::<Value>(text).ok()
    };
    parse(one) == parse(other)
}

/// The most characters that are told of what an agent says.
const MOST_WORDS: usize = 200;

/// Returns what the agent said last of a module that it could not fetch.
fn agents_words(log: &str, id: &str, url: &str) -> Option<String> {
    let mut lines = log.lines().rev();
    let is_error =
        |line: &&str| line.contains("\terror\twasm\t") && (line.contains(url) || line.contains(id));
    let line = lines.find(is_error)?;
    let words = line.rsplit('\t').next()?;
    // What it does then stands at the end, and before that the cause.
    let words = words.split(". applying ").next()?;
    let words = words.rsplit(": could not ").next()?;
    let words = match words.split_once("cannot fetch Wasm module ") {
        Some((_, cause)) => cause.split_once(": ").map_or(cause, |(_, cause)| cause),
        None => words,
    };
    let mut parts = words.split("sha256:");
    let start = parts.next().unwrap_or_default().to_owned();
    let words = parts.fold(start, |words, rest| {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        let (digest, rest) = rest.split_at_checked(digits).unwrap_or_default();
        format!("{words}sha256:{}{rest}", short(digest))
    });
    let shown: String = words.chars().take(MOST_WORDS).collect();
    let is_cut = shown.len() < words.len();
    Some(if is_cut { format!("{shown}…") } else { shown })
}

/// Returns whether the filter said last that it is inert; `None`: it has not said.
fn is_inert(log: &str) -> Option<bool> {
    let mut lines = log.lines().rev();
    let last = lines.find(|line| line.contains("bluegreen: the configuration is wrong"));
    last.map(|line| line.contains("inert"))
}
