//! A proxy with the filter: the core, and as much of Envoy as decides with it.

use super::envoy::{Picked, Said, destination, is_weighted, picked, status, unanswered};
use super::tally::Tally;
use crate::mesh::{Action, Destination, Facts, Headers, Route, Routes, values};
use crate::signatures::Machine;
use bluegreen::core::baggage;
use bluegreen::core::bucket::Bucket;
use bluegreen::core::cache_control;
use bluegreen::core::config::{self, Config, Routes as TakePart, VERSION_HEADER};
use bluegreen::core::decision::{self, Caller, Memory, PinValue, RequestDecision};
use bluegreen::core::edit::Edit;
use bluegreen::core::headers;
use bluegreen::core::host::{ServiceNames, of_authority};
use bluegreen::core::marked_routes::{PINS, WEIGHTED};
use bluegreen::core::metrics::{Counters, Reason};
use bluegreen::core::named_routes::NamedRoutes;
use bluegreen::core::request_cookies::RequestCookies;
use bluegreen::core::role::{Placement, Role};
use bluegreen::core::route::{Target, VIA_UPSTREAM};
use bluegreen::core::route_name::RouteName;
use bluegreen::core::signed_pin::{Checker, Known};
use bluegreen::core::targets::Targets;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// What runs where, and when.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The proxy's node id, as Istio writes it; empty: a gateway's.
    pub node: String,
    /// On which side of the mesh that is, and what is known of its requests.
    pub facts: Facts,
    /// Whether the listener is a sidecar's inbound one.
    pub inbound: bool,
    /// The pod's label with its version, as the configuration names it.
    pub label: Option<Vec<u8>>,
    /// What the `EnvoyFilter` does.
    pub marks: Marks,
    /// The time in seconds since 1970, for signed pins; `None`: the machine's.
    pub now: Option<u64>,
}

/// What the `EnvoyFilter` does on routes with a name of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Marks {
    /// It switches the filter on, and has Envoy write the route header.
    #[default]
    All,
    /// The same, but the route header does not name the `VirtualService`.
    WithoutSource,
    /// There is none: the filter is on everywhere, and no response has a route header.
    None,
}

/// A proxy with the filter.
pub struct Proxy<'r> {
    config: Config,
    routes: &'r Routes,
    place: Place,
    /// Which part the filter plays.
    pub role: Role,
    services: Option<ServiceNames>,
    own_version: Option<String>,
    known: RefCell<Known>,
    named_routes: NamedRoutes,
    targets: Targets,
    counters: Counters,
    tally: Tally,
}

/// What became of a request.
pub struct Request<'r> {
    /// The route that Envoy found first, by which it chose the filters.
    pub found: Option<&'r Route>,
    /// Whether the filter runs.
    pub runs: bool,
    /// The settings that hold, by their place; `None`: those of the mesh.
    pub settings: Option<u16>,
    /// What the filter decided; `None`: nothing.
    pub memory: Option<Memory>,
    /// Who the user is, where somebody knows.
    pub identity: Option<Vec<u8>>,
    /// Whether that is a new user, to whom the filter gave an identity.
    pub is_new: bool,
    /// What users are dealt by.
    pub salt: Vec<u8>,
    /// The pin header as it came.
    pub pin: Option<Vec<u8>>,
    /// The bucket header, as the route sees it.
    pub bucket: Option<Vec<u8>>,
    /// The route that takes it.
    pub route: Option<&'r Route>,
    /// Where that takes it.
    pub picked: Picked,
    /// The request as it goes on.
    pub upstream: Headers,
}

impl<'r> Request<'r> {
    /// Returns the destination to which it goes.
    #[must_use]
    pub fn destination(&self) -> Option<&'r Destination> {
        destination(self.route?, &self.picked)
    }

    /// Returns the version to which it goes.
    #[must_use]
    pub fn version(&self) -> Option<&'r str> {
        self.destination().map(Destination::version)
    }
}

impl<'r> Proxy<'r> {
    /// Returns the proxy at a place, with this configuration and these routes.
    #[must_use]
    pub fn new(config: Config, routes: &'r Routes, place: Place) -> Self {
        let node = place.node.as_bytes();
        let placement = Placement::of(config.role, node);
        let role = placement.role(|| place.inbound);
        let services = ServiceNames::of_node(node);
        Self {
            own_version: place.label.as_deref().and_then(config::label_value),
            role,
            services,
            routes,
            config,
            place,
            known: RefCell::default(),
            named_routes: NamedRoutes::default(),
            targets: Targets::default(),
            counters: Counters::default(),
            tally: Tally::default(),
        }
    }

    /// Returns on which side of the mesh it is, and what is known of its requests.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.place.facts
    }

    /// Returns its configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Returns the routes that it has, and others.
    #[must_use]
    pub fn routes(&self) -> &'r Routes {
        self.routes
    }

    /// Returns what becomes of a request. `random` is what a new identity is made of.
    pub fn request(&mut self, request: Headers, random: u64) -> Request<'r> {
        let found = self.routes.find(&request, &self.place.facts);
        let mut new = Request {
            found,
            runs: self.runs(found),
            settings: None,
            memory: None,
            identity: None,
            is_new: false,
            salt: Vec::new(),
            pin: None,
            bucket: None,
            route: found,
            picked: Picked::Nothing,
            upstream: request,
        };
        if new.runs && self.role != Role::Server {
            self.decide(&mut new, random);
        }
        // What the filter changed may lead to another route.
        new.route = self.routes.find(&new.upstream, &self.place.facts);
        let buckets = values(&new.upstream, &self.config.bucket_header);
        let buckets: Vec<Vec<u8>> = buckets.map(<[u8]>::to_vec).collect();
        // With several Envoy rolls dice.
        let bucket = match &*buckets {
            [bucket] => Bucket::parse(bucket),
            _ => None,
        };
        new.bucket = buckets.into_iter().next();
        if let Some(route) = new.route {
            let bucket = bucket.filter(|_| self.is_marked(route) && is_weighted(route));
            new.picked = picked(route, bucket);
        }
        new
    }

    /// Returns whether Envoy runs the filter on a route.
    fn runs(&self, route: Option<&Route>) -> bool {
        self.role == Role::Server
            || self.config.routes == TakePart::Named
            || self.place.marks == Marks::None
            || route.is_some_and(|route| self.is_marked(route))
    }

    /// Returns whether the `EnvoyFilter` is for a route.
    fn is_marked(&self, route: &Route) -> bool {
        let name = &&*route.name;
        let takes_part = WEIGHTED.contains(name) || PINS.contains(name);
        takes_part
            && self.config.routes == TakePart::Marked
            && self.place.marks != Marks::None
            && route.source.kind == "VirtualService"
    }

    fn decide(&mut self, new: &mut Request<'r>, random: u64) {
        let caller = match self.role {
            Role::Client => Caller::Workload(self.services.as_ref()),
            Role::Gateway | Role::Server => Caller::Stranger,
        };
        let mut named = None;
        if self.config.routes == TakePart::Named {
            // What Envoy says of the request as it came.
            let properties = Said::of_request(new.found);
            if matches!(caller, Caller::Stranger) {
                edit(&mut new.upstream, VERSION_HEADER, Edit::<&str>::Remove);
            }
            match decision::route(&properties, &mut self.named_routes) {
                RouteName::States(request) => named = Some(request),
                RouteName::IsOfOthers => return self.clean(caller, &mut new.upstream),
                RouteName::IsMisspelled => {
                    let cluster = properties.cluster.unwrap_or_default();
                    let target = self.targets.know(Target::new(&cluster));
                    let counted = target.rejected(Reason::RouteName);
                    let (counters, tally) = (&mut self.counters, &mut self.tally);
                    tally.count(|tally, count| counters.each_rejected(&counted, tally, count));
                    return self.clean(caller, &mut new.upstream);
                }
            }
        }
        let serialized = serialized(&new.upstream);
        let all = headers::Headers::new(serialized.into());
        let checker = Checker {
            known: &self.known,
            verifier: &Machine {
                now: self.place.now,
            },
        };
        let random = || Some(random);
        let decision = decision::request(&self.config, caller, &all, named, checker, random);
        let settings = self.config.settings(decision.memory.settings());
        new.settings = decision.memory.settings();
        new.pin = all.first(settings.pin_header()).map(<[u8]>::to_vec);
        let host = of_authority(all.first(":authority").unwrap_or_default());
        new.salt = decision::salt(settings, caller, &host).concat();
        self.apply(&decision, &mut new.upstream);
        new.is_new = decision.cookie.is_some();
        new.identity = identity(settings, &new.upstream);
        new.memory = Some(decision.memory);
    }

    /// Takes what only proxies may write out of a stranger's request on a route of others.
    fn clean(&self, caller: Caller<'_>, request: &mut Headers) {
        if matches!(caller, Caller::Stranger) {
            let serialized = serialized(request);
            let all = headers::Headers::new(serialized.into());
            let baggage = decision::of_others(&self.config, &all);
            edit(request, baggage::HEADER, baggage);
        }
    }

    /// Writes what was decided into a request.
    fn apply(&self, decision: &RequestDecision, request: &mut Headers) {
        let settings = self.config.settings(decision.memory.settings());
        let pin = decision.pin.as_ref().map(PinValue::bytes);
        edit(request, settings.pin_header(), pin);
        let mut digits = itoa::Buffer::new();
        let bucket = decision.bucket.map(|bucket| bucket.digits(&mut digits));
        edit(request, &self.config.bucket_header, bucket);
        let version = decision.version.as_ref().map(|name| &**name);
        edit(request, VERSION_HEADER, version);
        edit(request, baggage::HEADER, decision.baggage.clone());
        if let Some(line) = &decision.cookie {
            edit(request, "cookie", Edit::Set(line.clone()));
        }
    }

    /// Returns the response as the caller gets it. `answer` is the upstream's; `None`:
    /// no upstream answers.
    pub fn response(&mut self, request: &Request<'r>, answer: Option<Headers>) -> Headers {
        let answered = answer.is_some() && request.destination().is_some();
        let mut response = answer
            .unwrap_or_else(|| vec![status(unanswered(request.route, request.destination()).1)]);
        if !answered && let Some(Action::Answers(code)) = request.route.map(|route| &route.action) {
            response = vec![status(*code)];
        }
        if !request.runs {
            return response;
        }
        if self.role == Role::Server {
            if let Some(own) = &self.own_version {
                let tag = &self.config.mesh.tag.header;
                edit(&mut response, tag, Edit::Set(own.as_str()));
            }
            return response;
        }
        let details = if answered {
            String::from_utf8_lossy(VIA_UPSTREAM).into_owned()
        } else {
            unanswered(request.route, request.destination())
                .0
                .to_owned()
        };
        let cluster = request.destination().map(|each| each.cluster.clone());
        self.mark(request, &details, cluster.as_deref(), &mut response);
        let said = Said {
            cluster: cluster.map(String::into_bytes),
            code_details: Some(details.into_bytes()),
            ..Said::default()
        };
        if let Some(memory) = &request.memory {
            self.decide_response(memory, &said, &mut response);
        }
        let marks = self.config.route_header.to_string();
        response.retain(|(name, _)| self.place.marks == Marks::None || *name != marks);
        response
    }

    /// Writes the route header into a response, as Envoy does.
    fn mark(
        &self,
        request: &Request<'r>,
        details: &str,
        cluster: Option<&str>,
        response: &mut Headers,
    ) {
        let Some(route) = request.route.filter(|route| self.is_marked(route)) else {
            return;
        };
        let source = match self.place.marks {
            Marks::All => format!(" {}", route.source.config()),
            Marks::WithoutSource | Marks::None => String::new(),
        };
        let value = format!("{details} {}{source}", cluster.unwrap_or("-"));
        edit(response, &self.config.route_header, Edit::Set(value));
    }

    fn decide_response(&mut self, memory: &Memory, said: &Said, response: &mut Headers) {
        let serialized = serialized(response);
        let all = headers::Headers::new(serialized.into());
        let (config, targets) = (&self.config, &mut self.targets);
        let Some(decision) = decision::response(config, memory, &all, said, targets) else {
            return;
        };
        let settings = self.config.settings(memory.settings());
        edit(response, &settings.tag.header, decision.tag);
        if let Some(told) = decision.told {
            edit(response, settings.pin_header(), Edit::Set(told));
        }
        if decision.is_private {
            let private = Edit::Set(cache_control::PRIVATE);
            edit(response, "cache-control", private);
        }
        let cookies = decision.cookies.into_iter();
        response.extend(cookies.map(|line| ("set-cookie".to_owned(), line)));
        let counters = &mut self.counters;
        self.tally
            .count(|tally, count| counters.each(&decision.counted, tally, count));
    }

    /// Returns the counters that grew, by name.
    #[must_use]
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.tally.counts
    }
}

/// Returns who the user is by what the request has now.
fn identity(settings: &config::Settings, request: &Headers) -> Option<Vec<u8>> {
    use bluegreen::core::config::First;
    let header = settings.identity.header.as_deref();
    let by_header = header.and_then(|name| values(request, name).next());
    let by_header = by_header.filter(|value| !value.is_empty());
    let cookies = RequestCookies::read(settings, values(request, "cookie"));
    let found = match settings.identity.first {
        First::Header => by_header.or(cookies.identity),
        First::Cookie => cookies.identity.or(by_header),
    };
    found.map(<[u8]>::to_vec)
}

/// Returns headers as a host hands them out all at once.
fn serialized(all: &Headers) -> Vec<u8> {
    let fields: Vec<(&str, &[u8])> = all
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect();
    headers::serialized(&fields)
}

/// Changes a header.
fn edit(headers: &mut Headers, name: &str, edit: Edit<impl Into<Vec<u8>>>) {
    match edit {
        Edit::Keep => {}
        Edit::Add(value) => headers.push((name.to_owned(), value.into())),
        Edit::Set(value) => {
            headers.retain(|(header, _)| header != name);
            headers.push((name.to_owned(), value.into()));
        }
        Edit::Remove => headers.retain(|(header, _)| header != name),
    }
}
