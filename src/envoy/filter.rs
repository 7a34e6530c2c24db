//! The filter: Envoy's callbacks to the core's decisions, and back. Which context
//! a callback is about has been found out in `entry`.
//!
//! A root context is one plugin configuration in one VM. Envoy runs several of
//! them at once: on its main thread (to try a configuration out, and to keep
//! it), and on each worker.

use super::{host, shared};
use crate::core::baggage;
use crate::core::cache_control;
use crate::core::config::{self, Config, ConfigErrors, Routes, VERSION_HEADER};
use crate::core::decision::{
    self, Caller, Memory, NamedRequest, PinValue, RequestDecision, ResponseDecision,
};
use crate::core::edit::Edit;
use crate::core::history::{Meeting, Place};
use crate::core::host::ServiceNames;
use crate::core::metrics::{self, CONFIG_REJECTED, CounterId, Counters, Reason};
use crate::core::named_routes::NamedRoutes;
use crate::core::properties::Properties;
use crate::core::role::{Placement, Role};
use crate::core::route::Target;
use crate::core::route_name::RouteName;
use crate::core::signed_pin::{Checker, Known};
use crate::core::targets::Targets;
use std::cell::RefCell;
use std::rc::Rc;

/// What a VM keeps for as long as it lives, whatever becomes of its plugins.
#[derive(Default)]
pub(crate) struct Vm {
    named_routes: NamedRoutes,
    targets: Targets,
    counters: Counters,
    /// How far it has come in the history of each plugin.
    places: Vec<(Vec<u8>, Place)>,
}

/// A plugin configuration, as Envoy gives it to one VM.
#[derive(Default)]
pub(crate) struct Root {
    /// `None`: inert. The filter touches nothing.
    plugin: Option<Rc<Plugin>>,
}

/// A good configuration in this proxy, which its requests share.
struct Plugin {
    config: Config,
    placement: Placement,
    /// The pod's own version, by its label.
    own_version: Option<String>,
    /// How the pod calls Services.
    services: Option<ServiceNames>,
    /// What is remembered of signed pins.
    known: RefCell<Known>,
}

/// A stream before its request.
pub(crate) struct NewStream(Rc<Plugin>);

/// A stream between its request and its response.
pub(crate) struct Stream {
    plugin: Rc<Plugin>,
    /// What its request's decision remembers; `None`: it is a server's.
    memory: Option<Memory>,
}

impl Root {
    /// Takes the configuration of `size` bytes, in whose place the last good one of
    /// this plugin holds if it is wrong.
    ///
    /// It is never refused: Envoy would remember the refusal by the bytes, and answer
    /// 500 to everybody where it has no other.
    pub(crate) fn on_configure(&mut self, size: usize, vm: &mut Vm) {
        let name = host::plugin_key();
        let json = host::plugin_configuration(size);
        let label = metrics::config_wrong(&host::plugin_name());
        let wrong = vm.counters.named(&label, &mut shared::Gauges);
        // In every VM: Envoy forgets a counter with the last VM that defined it.
        let rejected = vm.counters.named(CONFIG_REJECTED, &mut shared::Counters);
        let parsed = config::parse(&json).and_then(Plugin::new);
        let meeting = vm.meet(&name, &json, parsed.is_err(), wrong);
        let plugin = match parsed {
            Ok(plugin) => {
                shared::keep_good(&name, &json);
                Some(plugin)
            }
            Err(errors) => {
                let good = shared::last_good(&name).and_then(|json| config::parse(&json).ok());
                let good = good.and_then(|config| Plugin::new(config).ok());
                if meeting.is_new {
                    let outcome = if good.is_some() {
                        "the last good one stays in force"
                    } else {
                        "the filter is inert, traffic flows as if it were not there"
                    };
                    log::error!("bluegreen: the configuration is wrong; {outcome}");
                    for line in errors.lines() {
                        log::error!("bluegreen: {line}");
                    }
                    if let Some(counter) = rejected {
                        host::increment(counter);
                    }
                }
                good
            }
        };
        if let Some(plugin) = &plugin {
            plugin.tell_of_lack(&name);
        }
        self.plugin = plugin.map(Rc::new);
    }

    /// Returns a new stream; `None` when it is none of our business.
    pub(crate) fn stream(&self) -> Option<NewStream> {
        self.plugin.clone().map(NewStream)
    }
}

impl Vm {
    fn meet(
        &mut self,
        name: &[u8],
        json: &[u8],
        is_wrong: bool,
        wrong: Option<CounterId>,
    ) -> Meeting {
        let at = self.places.iter().position(|(other, _)| other == name);
        let place = at.map(|at| self.places.swap_remove(at).1);
        let meeting = shared::meet(name, json, place, is_wrong, wrong);
        self.places.push((name.to_owned(), meeting.place));
        meeting
    }

    /// Returns the request's part in a route that states its weights in its name; `None`:
    /// it has none.
    #[inline(never)] // Else routes that are marked pay for its frame.
    fn named_request(&mut self, caller: Caller<'_>) -> Option<NamedRequest> {
        let is_stranger = matches!(caller, Caller::Stranger);
        // A removal has Envoy find the route again, also where there was nothing.
        if is_stranger && host::has_request_header(VERSION_HEADER) {
            host::edit_request_header(VERSION_HEADER, Edit::Remove);
        }
        let results = host::Results::begin();
        match decision::route(&results, &mut self.named_routes) {
            RouteName::States(request) => Some(request),
            RouteName::IsOfOthers => None,
            RouteName::IsMisspelled => {
                self.count_misspelled(&results);
                None
            }
        }
    }

    fn count_misspelled(&mut self, properties: &impl Properties) {
        let cluster = properties.cluster().unwrap_or_default();
        let target = self.targets.know(Target::new(&cluster));
        let counted = target.rejected(Reason::RouteName);
        let registry = &mut shared::Counters;
        self.counters
            .each_rejected(&counted, registry, host::increment);
    }
}

impl NewStream {
    /// Request headers came: writes what was decided about the request. `None`: the
    /// response is none of our business.
    pub(crate) fn on_request_headers(self, vm: &mut Vm) -> Option<Stream> {
        let plugin = self.0;
        let caller = match plugin.placement.role(host::listener_is_inbound) {
            Role::Server => {
                plugin.own_version.as_ref()?;
                return Some(Stream {
                    plugin,
                    memory: None,
                });
            }
            Role::Gateway => Caller::Stranger,
            Role::Client => Caller::Workload(plugin.services.as_ref()),
        };
        let named = match plugin.config.routes {
            Routes::Marked => None,
            Routes::Named => {
                let named = vm.named_request(caller);
                if named.is_none() {
                    plugin.clean(caller);
                    return None;
                }
                named
            }
        };
        let decision = {
            let results = host::Results::begin();
            let headers = results.request_headers();
            let checker = Checker {
                known: &plugin.known,
                verifier: &host::Verifier,
            };
            decision::request(
                &plugin.config,
                caller,
                &headers,
                named,
                checker,
                host::random,
            )
        };
        plugin.write_request(&decision);
        let memory = Some(decision.memory);
        Some(Stream { plugin, memory })
    }
}

impl Stream {
    /// Response headers came: writes what was decided about the response.
    pub(crate) fn on_response_headers(self, vm: &mut Vm) {
        let plugin = self.plugin;
        let Some(memory) = self.memory else {
            plugin.tag_own();
            return;
        };
        let results = host::Results::begin();
        let headers = results.response_headers();
        let config = &plugin.config;
        let targets = &mut vm.targets;
        if let Some(decision) = decision::response(config, &memory, &headers, &results, targets) {
            plugin.write_response(&decision, &memory, &mut vm.counters);
        }
    }
}

impl Plugin {
    /// Returns the plugin of a configuration.
    ///
    /// # Errors
    /// What the proxy cannot do of it.
    fn new(config: Config) -> Result<Self, ConfigErrors> {
        let node_id = host::node_id().unwrap_or_default();
        let placement = Placement::of(config.role, &node_id);
        // Others verify nothing, and all proxies of a mesh may have one configuration.
        if placement.allows(Role::Gateway) {
            config.check_keys(&host::Verifier)?;
        }
        let own_version = placement
            .allows(Role::Server)
            .then(|| host::pod_label(&config.mesh.tag.label))
            .flatten()
            .and_then(|label| config::label_value(&label));
        Ok(Self {
            config,
            placement,
            own_version,
            services: ServiceNames::of_node(&node_id),
            known: RefCell::default(),
        })
    }

    /// Tells, once a proxy, of a server that cannot know its own version.
    fn tell_of_lack(&self, name: &[u8]) {
        let label = &self.config.mesh.tag.label;
        let lacks = self.placement.allows(Role::Server) && self.own_version.is_none();
        if lacks && shared::is_new_lack(name, label) {
            log::warn!("bluegreen: the pod has no label {label:?}; a server says no version");
        }
    }

    /// Takes what only proxies may write out of a stranger's request on a route that has no
    /// part in all this.
    #[inline(never)] // Else routes that are marked pay for its frame.
    fn clean(&self, caller: Caller<'_>) {
        let is_stranger = matches!(caller, Caller::Stranger);
        let has_baggage = || host::has_request_header(baggage::HEADER);
        if is_stranger && self.config.baggage.is_some() && has_baggage() {
            let results = host::Results::begin();
            let edit = decision::of_others(&self.config, &results.request_headers());
            host::edit_request_header(baggage::HEADER, edit.as_ref().map(Vec::as_slice));
        }
    }

    fn write_request(&self, decision: &RequestDecision) {
        let settings = self.config.settings(decision.memory.settings());
        let pin = decision.pin.as_ref().map(PinValue::bytes);
        host::edit_request_header(settings.pin_header(), pin);
        let mut digits = itoa::Buffer::new();
        let bucket = decision.bucket.map(|bucket| bucket.digits(&mut digits));
        host::edit_request_header(&self.config.bucket_header, bucket);
        let version = decision.version.as_ref().map(|name| &**name);
        host::edit_request_header(VERSION_HEADER, version);
        let baggage = decision.baggage.as_ref().map(Vec::as_slice);
        host::edit_request_header(baggage::HEADER, baggage);
        if let Some(line) = &decision.cookie {
            host::edit_request_header("cookie", Edit::Set(line));
        }
        if let Some(who) = decision.memory.pinned_by() {
            host::set_pinned_by(who);
        }
    }

    fn write_response(
        &self,
        decision: &ResponseDecision<'_>,
        memory: &Memory,
        counters: &mut Counters,
    ) {
        let settings = self.config.settings(memory.settings());
        host::edit_response_header(&settings.tag.header, decision.tag);
        if let Some(told) = &decision.told {
            host::edit_response_header(settings.pin_header(), Edit::Set(told.as_bytes()));
        }
        if decision.is_private {
            let private = cache_control::PRIVATE.as_bytes();
            host::edit_response_header("cache-control", Edit::Set(private));
        }
        for cookie in &decision.cookies {
            host::edit_response_header("set-cookie", Edit::Add(cookie));
        }
        let counted = &decision.counted;
        counters.each(counted, &mut shared::Counters, host::increment);
    }

    /// A server's response says the pod's own version, whatever the application said.
    fn tag_own(&self) {
        if let Some(version) = &self.own_version {
            let version = Edit::Set(version.as_bytes());
            host::edit_response_header(&self.config.mesh.tag.header, version);
        }
    }
}
