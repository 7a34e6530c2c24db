//! The filter: Envoy's callbacks to the core's decisions, and back. Which context
//! a callback is about has been found out in `entry`.
//!
//! A root context is one plugin configuration in one VM. Envoy runs several of
//! them at once: on its main thread (to try a configuration out, and to keep
//! it), and on each worker.

use crate::core::config::{self, Config, ConfigError};
use crate::core::decision::{self, Edit, Memory, RequestDecision, ResponseDecision};
use crate::core::metrics::{CONFIG_REJECTED, Counters, Reason};
use crate::core::role::{Placement, Role};
use crate::envoy::host;
use crate::envoy::tenure::{self, Tenure, Verdict};
use std::cell::Cell;
use std::rc::Rc;

/// A plugin configuration, as Envoy gives it to one VM.
#[derive(Default)]
pub(crate) struct Root {
    /// `None`: inert. The filter touches nothing.
    plugin: Option<Rc<Plugin>>,
    tenure: Option<Tenure>,
}

/// A good configuration in this proxy, and all that its requests share.
struct Plugin {
    config: Config,
    placement: Placement,
    /// The pod's own version, by its label.
    own_version: Option<String>,
    counters: Counters,
    /// Whether the last request was asked for more than one header.
    requests_go_on: Cell<bool>,
    /// Whether the last upstream said its version.
    upstream_tags: Cell<bool>,
}

/// A stream before its request.
pub(crate) struct NewStream(Rc<Plugin>);

/// A stream between its request and its response.
pub(crate) struct Stream {
    plugin: Rc<Plugin>,
    memory: Memory,
}

impl Root {
    /// Takes its configuration, which has `size` bytes; `false`: refuses it.
    pub(crate) fn on_configure(&mut self, size: usize) -> bool {
        // In every VM: Envoy forgets a counter with the last VM that defined it,
        // and the one that refuses does not live long.
        let rejected = host::define_counter(CONFIG_REJECTED);
        let name = host::plugin_name();
        let json = host::plugin_configuration(size);
        match config::parse(&json) {
            Ok(config) => {
                let plugin = Plugin::new(config);
                plugin.tell_of_lack(&name);
                self.serve(Tenure::begin(&name, &json), plugin);
                true
            }
            Err(errors) => self.reject(&name, &json, &errors, rejected),
        }
    }

    /// Some time has passed: a root context that serves says so.
    pub(crate) fn on_tick(&mut self) {
        if let Some(tenure) = &self.tenure {
            tenure.go_on();
        }
    }

    /// A new stream; `None` when it is none of our business.
    pub(crate) fn stream(&self) -> Option<NewStream> {
        self.plugin.clone().map(NewStream)
    }

    fn serve(&mut self, tenure: Tenure, plugin: Plugin) {
        self.tenure = Some(tenure);
        self.plugin = Some(Rc::new(plugin));
    }

    /// Tells what is wrong with a configuration, and whether to take it all the same.
    fn reject(
        &mut self,
        name: &[u8],
        json: &[u8],
        errors: &[ConfigError],
        counter: Option<u32>,
    ) -> bool {
        let verdict = tenure::judge(name, json);
        let refused = matches!(verdict, Verdict::Refuse);
        // Only one VM is asked about what it refuses; every VM gets what is taken.
        if refused || tenure::is_new_refusal(name, json) {
            let outcome = match verdict {
                Verdict::TakeInert => "the filter is inert, traffic flows as if it were not there",
                Verdict::Refuse | Verdict::TakePrevious(_) => "the previous one stays in force",
            };
            log::error!("bluegreen: the configuration is wrong; {outcome}");
            for error in errors {
                log::error!("bluegreen: {error}");
            }
            count(counter);
        }
        if let Verdict::TakePrevious(json) = verdict
            && let Ok(config) = config::parse(&json)
        {
            self.serve(Tenure::resume(name), Plugin::new(config));
        }
        !refused
    }
}

impl NewStream {
    /// Request headers came: writes what was decided about the request. `None`: the
    /// response is none of our business.
    pub(crate) fn on_request_headers(self) -> Option<Stream> {
        let plugin = self.0;
        let role = plugin.placement.role(host::listener_is_inbound);
        let own = plugin.own_version.as_deref();
        let decision = {
            let results = host::Results::begin();
            let facts = host::Request::current(&results, &plugin.requests_go_on);
            decision::request(&plugin.config, role, own, &facts)?
        };
        plugin.write_request(&decision);
        let memory = decision.memory;
        Some(Stream { plugin, memory })
    }
}

impl Stream {
    /// Response headers came: writes what was decided about the response.
    pub(crate) fn on_response_headers(self) {
        let plugin = self.plugin;
        let own = plugin.own_version.as_deref();
        let facts = host::Response::current(&plugin.upstream_tags);
        let decision = decision::response(&plugin.config, own, self.memory, &facts);
        plugin.write_response(&decision);
    }
}

impl Plugin {
    fn new(config: Config) -> Self {
        let placement = Placement::of(config.role, &host::node_id().unwrap_or_default());
        let counters = Counters::define(&config, placement, host::define_counter);
        let own_version = placement
            .allows(Role::Server)
            .then(|| host::pod_label(&config.tag.label))
            .flatten()
            .and_then(|label| config::label_value(&label));
        Self {
            config,
            placement,
            own_version,
            counters,
            requests_go_on: Cell::new(false),
            upstream_tags: Cell::new(false),
        }
    }

    /// Tells, once a proxy, of a server that cannot know its own version.
    fn tell_of_lack(&self, name: &[u8]) {
        let label = &self.config.tag.label;
        let lacks = self.placement.allows(Role::Server) && self.own_version.is_none();
        if lacks && tenure::is_new_lack(name, label) {
            log::warn!("bluegreen: the pod has no label {label:?}; a server says no version");
        }
    }

    fn write_request(&self, decision: &RequestDecision<'_>) {
        let pin = self.config.pin_header();
        match decision.pin {
            Edit::Keep => {}
            Edit::Set(version) => host::set_request_header(pin, version.as_bytes()),
            Edit::Remove => host::remove_request_header(pin),
        }
        match decision.bucket {
            Edit::Keep => {}
            Edit::Set(bucket) => {
                let mut buffer = itoa::Buffer::new();
                host::set_request_header(&self.config.bucket_header, bucket.digits(&mut buffer));
            }
            Edit::Remove => host::remove_request_header(&self.config.bucket_header),
        }
        self.count_rejected(&decision.rejected);
    }

    fn write_response(&self, decision: &ResponseDecision<'_>) {
        let tag = &self.config.tag.header;
        match decision.tag {
            Edit::Keep => {}
            Edit::Set(version) => host::set_response_header(tag, version.as_bytes()),
            Edit::Remove => host::remove_response_header(tag),
        }
        if let Some(told) = &decision.told {
            host::set_response_header(self.config.pin_header(), told.as_bytes());
        }
        for cookie in &decision.cookies {
            host::add_response_header("set-cookie", cookie);
        }
        self.count_rejected(&decision.rejected);
        if let Some(counted) = decision.counted {
            count(self.counters.responses(counted));
        }
    }

    fn count_rejected(&self, reasons: &[Reason]) {
        for reason in reasons {
            count(self.counters.rejected(*reason));
        }
    }
}

fn count(counter: Option<u32>) {
    if let Some(counter) = counter {
        host::increment(counter);
    }
}
