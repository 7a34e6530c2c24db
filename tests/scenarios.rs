//! The table of scenarios in two worlds: the pure core, and the module that
//! `make build` leaves. (`tests/envoy` runs it in the third, real Envoys.)
//!
//! Each row is a trial of its own: `cargo test --test scenarios -- 'a returning user'`.

#[allow(dead_code, reason = "tests/module.rs uses the rest")]
mod host;
mod table;

use bluegreen::core::config::{self, Config, Routes, VERSION_HEADER};
use bluegreen::core::decision::{self, Caller, Memory, PinValue};
use bluegreen::core::edit::Edit;
use bluegreen::core::host::ServiceNames;
use bluegreen::core::metrics::{CounterId, Counters, Reason, Registry};
use bluegreen::core::named_routes::NamedRoutes;
use bluegreen::core::role::{Placement, Role};
use bluegreen::core::route::Target;
use bluegreen::core::route_name::RouteName;
use bluegreen::core::signed_pin::{self, Checker};
use bluegreen::core::targets::Targets;
use bluegreen::core::{baggage, cache_control, headers};
use host::signing;
use libtest_mimic::{Arguments, Failed, Trial};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use table::{Direction, Headers, Hop, Outcome, Properties, RouteKind, Row};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let module = Arc::new(host::module());
    let mut trials = Vec::new();
    for row in table::rows() {
        let row = Arc::new(row);
        trials.push(trial("core", &row, in_core));
        let module = Arc::clone(&module);
        trials.push(trial("module", &row, move |row| in_module(row, &module)));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(
    world: &str,
    row: &Arc<Row>,
    run: impl FnOnce(&Row) -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let row = Arc::clone(row);
    Trial::test(format!("{world}: {}", row.name), move || run(&row))
}

fn judge(row: &Row, outcome: &Outcome, calls: Option<Vec<String>>) -> Result<(), Failed> {
    let mut differences = row.differences(outcome);
    if calls.as_ref().is_some_and(|calls| *calls != outcome.calls) {
        differences += &format!("calls: expected {calls:#?}, got {:#?}", outcome.calls);
    }
    if differences.is_empty() {
        Ok(())
    } else {
        Err(differences.into())
    }
}

/// A proxy with the filter in one of the worlds.
trait World: Sized {
    /// Starts it for a hop; an error says why its configuration is wrong.
    fn start(hop: &Hop) -> Result<Self, Failed>;
    /// Lets the filter change the headers of a request, of which Envoy says this besides.
    fn request(&mut self, headers: Headers, properties: Properties) -> Headers;
    /// Lets the filter change the headers of the response to it.
    fn response(&mut self, headers: Headers, properties: Properties) -> Headers;
    /// The counters that grew.
    fn counts(&self) -> BTreeMap<String, u64>;
}

/// Sends the row's request through its proxies, and the response back.
fn play<W: World>(row: &Row) -> Result<(Outcome, W), Failed> {
    let mut outcome = Outcome::default();
    let mut request = row.request();
    let mut front = row
        .front()
        .map(|hop| W::start(&hop).map(|world| (hop, world)))
        .transpose()?;
    if let Some((_, front)) = &mut front {
        request = front.request(request, Properties::default());
        outcome.between.clone_from(&request);
    }
    let own = row.own();
    let mut world = W::start(&own)?;
    // Where the route has no name of ours, Envoy passes the filter over.
    let runs = own.route != RouteKind::Unnamed;
    let from_front = request.clone();
    if runs {
        let properties = own.properties(&request);
        request = world.request(request, properties);
    }
    outcome.upstream.clone_from(&request);
    let upstream = row.route(&request);
    outcome.version = upstream.version;
    let mut response = upstream.response;
    if runs {
        response = world.response(response, upstream.properties);
    }
    own.unmark(&mut response);
    outcome.counts = world.counts();
    if let Some((hop, front)) = &mut front {
        let marked = Row::behind_front(hop, &from_front, response);
        response = front.response(marked, Properties::default());
        hop.unmark(&mut response);
        for (name, count) in front.counts() {
            *outcome.counts.entry(name).or_default() += count;
        }
    }
    outcome.client = response;
    Ok((outcome, world))
}

fn direction(hop: &Hop) -> i64 {
    match hop.proxy.direction {
        Direction::None => 0,
        Direction::Inbound => 1,
        Direction::Outbound => 2,
    }
}

// -- The module ---------------------------------------------------------------------

/// The module in the interpreter.
struct Module {
    proxy: Rc<RefCell<host::Proxy>>,
    vm: host::Vm,
    root: i32,
    stream: i32,
}

thread_local! {
    static MODULE: RefCell<Option<Arc<wasmi::Module>>> = const { RefCell::new(None) };
}

fn in_module(row: &Row, module: &Arc<wasmi::Module>) -> Result<(), Failed> {
    MODULE.set(Some(Arc::clone(module)));
    let (mut outcome, mut world) = play::<Module>(row)?;
    outcome.calls.clone_from(&world.vm.state().calls);
    judge(row, &outcome, row.calls.clone())
}

impl World for Module {
    fn start(hop: &Hop) -> Result<Self, Failed> {
        let proxy = Rc::new(RefCell::new(host::Proxy::default()));
        let labels = hop.proxy.labels.iter().map(|(key, value)| {
            let path = format!("xds.node.metadata.LABELS.{key}");
            (path, value.clone().into_bytes())
        });
        let properties = [
            ("xds.node.id", hop.proxy.node.as_bytes()),
            ("plugin_name", b"bluegreen"),
            ("xds.listener_direction", &direction(hop).to_le_bytes()),
        ];
        let properties = properties.map(|(path, value)| (path.to_owned(), value.to_vec()));
        proxy.borrow_mut().properties.extend(properties);
        proxy.borrow_mut().properties.extend(labels);
        let module = MODULE.with_borrow(Clone::clone).expect("it was set");
        let mut vm = host::Vm::start(&module, &proxy);
        let root = vm.configure(hop.config.to_string().as_bytes());
        let log = &proxy.borrow().log;
        if !log.iter().all(|line| line.contains("no label")) {
            return Err(format!("refused: {log:#?}").into());
        }
        let stream = vm.stream(root);
        Ok(Self {
            proxy: Rc::clone(&proxy),
            vm,
            root,
            stream,
        })
    }

    fn request(&mut self, headers: Headers, properties: Properties) -> Headers {
        self.say(properties);
        self.stream = self.vm.stream(self.root);
        self.vm.state().request = headers;
        self.vm.request(self.stream);
        self.vm.state().request.clone()
    }

    fn response(&mut self, headers: Headers, properties: Properties) -> Headers {
        self.say(properties);
        self.vm.state().response = headers;
        self.vm.response(self.stream);
        self.vm.end(self.stream);
        self.vm.state().response.clone()
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        let metrics = &self.proxy.borrow().metrics;
        let grown = metrics.iter().filter(|(_, count)| **count > 0);
        grown.map(|(name, count)| (name.clone(), *count)).collect()
    }
}

impl Module {
    /// What Envoy says of the stream from now on.
    fn say(&self, properties: Properties) {
        let all = &mut self.proxy.borrow_mut().properties;
        for (path, value) in [
            ("xds.route_name", properties.route_name),
            ("xds.cluster_name", properties.cluster),
            ("response.code_details", properties.code_details),
        ] {
            match value {
                Some(value) => all.insert(path.to_owned(), value),
                None => all.remove(path),
            };
        }
    }
}

// -- The core -----------------------------------------------------------------------

/// The core with the fewest lines around it that make a proxy.
struct Core {
    config: Config,
    role: Role,
    services: Option<ServiceNames>,
    own_version: Option<String>,
    memory: Option<Memory>,
    named_routes: NamedRoutes,
    targets: Targets,
    counters: Counters,
    tally: Tally,
}

fn in_core(row: &Row) -> Result<(), Failed> {
    let (outcome, _) = play::<Core>(row)?;
    // The hostcalls are the filter's.
    judge(row, &outcome, None)
}

impl World for Core {
    fn start(hop: &Hop) -> Result<Self, Failed> {
        let config = config::parse(hop.config.to_string().as_bytes())
            .map_err(|errors| errors.to_string())?;
        let node = hop.proxy.node.as_bytes();
        let role = Placement::of(config.role, node).role(|| direction(hop) == 1);
        let label = hop.proxy.labels.get(&*config.mesh.tag.label);
        Ok(Self {
            role,
            services: ServiceNames::of_node(node),
            own_version: label.and_then(|label| config::label_value(label.as_bytes())),
            memory: None,
            named_routes: NamedRoutes::default(),
            targets: Targets::default(),
            counters: Counters::default(),
            tally: Tally::default(),
            config,
        })
    }

    fn request(&mut self, mut request: Headers, properties: Properties) -> Headers {
        let caller = match self.role {
            Role::Server => return request,
            Role::Gateway => Caller::Stranger,
            Role::Client => Caller::Workload(self.services.as_ref()),
        };
        let mut named = None;
        if self.config.routes == Routes::Named {
            if matches!(caller, Caller::Stranger) {
                edit(&mut request, VERSION_HEADER, Edit::<&str>::Remove);
            }
            match decision::route(&properties, &mut self.named_routes) {
                RouteName::States(request) => named = Some(request),
                RouteName::IsOfOthers => return self.clean(caller, request),
                RouteName::IsMisspelled => {
                    let cluster = properties.cluster.unwrap_or_default();
                    let target = self.targets.know(Target::new(&cluster));
                    let counted = target.rejected(Reason::RouteName);
                    let (counters, tally) = (&mut self.counters, &mut self.tally);
                    tally.count(|tally, count| counters.each_rejected(&counted, tally, count));
                    return self.clean(caller, request);
                }
            }
        }
        let all = headers::Headers::new(host::serialized(&request).into());
        let random = || Some(0x5eed_0000_1111_2222);
        let known = RefCell::default();
        let checker = Checker {
            known: &known,
            verifier: &Verifier,
        };
        let decision = decision::request(&self.config, caller, &all, named, checker, random);
        let settings = self.config.settings(decision.memory.settings());
        let pin = decision.pin.as_ref().map(PinValue::bytes);
        edit(&mut request, settings.pin_header(), pin);
        let mut digits = itoa::Buffer::new();
        let bucket = decision.bucket.map(|bucket| bucket.digits(&mut digits));
        edit(&mut request, &self.config.bucket_header, bucket);
        let version = decision.version.as_ref().map(|name| &**name);
        edit(&mut request, VERSION_HEADER, version);
        edit(&mut request, baggage::HEADER, decision.baggage);
        if let Some(line) = decision.cookie {
            edit(&mut request, "cookie", Edit::Set(line));
        }
        self.memory = Some(decision.memory);
        request
    }

    fn response(&mut self, mut response: Headers, properties: Properties) -> Headers {
        let Some(memory) = self.memory.take() else {
            if let Some(own) = &self.own_version {
                edit(
                    &mut response,
                    &self.config.mesh.tag.header,
                    Edit::Set(own.as_str()),
                );
            }
            return response;
        };
        let all = headers::Headers::new(host::serialized(&response).into());
        let (config, targets) = (&self.config, &mut self.targets);
        let Some(decision) = decision::response(config, &memory, &all, &properties, targets) else {
            return response;
        };
        let settings = self.config.settings(memory.settings());
        edit(&mut response, &settings.tag.header, decision.tag);
        if let Some(told) = decision.told {
            edit(&mut response, settings.pin_header(), Edit::Set(told));
        }
        if decision.is_private {
            let private = Edit::Set(cache_control::PRIVATE);
            edit(&mut response, "cache-control", private);
        }
        let cookies = decision.cookies.into_iter();
        response.extend(cookies.map(|line| ("set-cookie".to_owned(), line)));
        let counters = &mut self.counters;
        self.tally
            .count(|tally, count| counters.each(&decision.counted, tally, count));
        response
    }

    fn counts(&self) -> BTreeMap<String, u64> {
        self.tally.counts.clone()
    }
}

impl Core {
    /// Takes what only proxies may write out of a stranger's request on a route of others.
    fn clean(&self, caller: Caller<'_>, mut request: Headers) -> Headers {
        if matches!(caller, Caller::Stranger) {
            let all = headers::Headers::new(host::serialized(&request).into());
            let baggage = decision::of_others(&self.config, &all);
            edit(&mut request, baggage::HEADER, baggage);
        }
        request
    }
}

/// The clock and the signatures of the table.
struct Verifier;

impl signed_pin::Verifier for Verifier {
    fn seconds(&self) -> u64 {
        signing::NOW
    }

    fn verify_signature(&self, arguments: &[u8]) -> Option<Vec<u8>> {
        Some(signing::verify_signature(arguments))
    }
}

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

/// Counters by name, as the host would keep them.
#[derive(Default)]
struct Tally {
    names: Vec<String>,
    counts: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts what `each` shows.
    fn count(&mut self, each: impl FnOnce(&mut Self, &mut dyn FnMut(CounterId))) {
        let mut ids = Vec::new();
        each(self, &mut |id| ids.push(id));
        for id in ids {
            let name = self.names[id as usize].clone();
            *self.counts.entry(name).or_default() += 1;
        }
    }
}

impl Registry for Tally {
    fn admits(&mut self, _: &str) -> bool {
        true
    }

    fn define(&mut self, name: &str) -> Option<CounterId> {
        self.names.push(name.to_owned());
        u32::try_from(self.names.len() - 1).ok()
    }
}
