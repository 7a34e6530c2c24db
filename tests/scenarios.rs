//! The table of scenarios in two worlds: the pure core, and the module that
//! `make build` leaves. (`tests/envoy` runs it in the third, real Envoys.)
//!
//! Each row is a trial of its own: `cargo test --test scenarios -- 'a returning user'`.

#[allow(dead_code, reason = "tests/module.rs uses the rest")]
mod host;
mod table;

use bluegreen::core::config::{self, Config};
use bluegreen::core::decision::{self, Edit};
use bluegreen::core::facts::{Bytes, RequestFacts, ResponseFacts};
use bluegreen::core::metrics::{Counters, Reason};
use bluegreen::core::role::{Placement, Role};
use libtest_mimic::{Arguments, Failed, Trial};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use table::{Direction, Headers, Outcome, Row, Upstream};

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

// -- The module ---------------------------------------------------------------------

fn in_module(row: &Row, module: &wasmi::Module) -> Result<(), Failed> {
    let proxy = Rc::new(RefCell::new(host::Proxy::default()));
    let properties = [
        (
            "xds.node.id".to_owned(),
            row.proxy.node.clone().into_bytes(),
        ),
        ("plugin_name".to_owned(), b"bluegreen".to_vec()),
    ];
    let labels = row.proxy.labels.iter().map(|(key, value)| {
        let path = format!("xds.node.metadata.LABELS.{key}");
        (path, value.clone().into_bytes())
    });
    proxy.borrow_mut().properties.extend(properties);
    proxy.borrow_mut().properties.extend(labels);

    let mut vm = host::Vm::start(module, &proxy);
    let (root, taken) = vm.configure(row.json().to_string().as_bytes());
    if !taken
        || !proxy
            .borrow()
            .log
            .iter()
            .all(|line| line.contains("no label"))
    {
        return Err(format!("refused: {:#?}", proxy.borrow().log).into());
    }
    let set = |path: &str, value: Option<Vec<u8>>| {
        let properties = &mut proxy.borrow_mut().properties;
        match value {
            Some(value) => properties.insert(path.to_owned(), value),
            None => properties.remove(path),
        };
    };
    let direction: i64 = match row.proxy.direction {
        Direction::None => 0,
        Direction::Inbound => 1,
        Direction::Outbound => 2,
    };
    set(
        "xds.listener_direction",
        Some(direction.to_le_bytes().into()),
    );

    let stream = vm.stream(root);
    vm.state().request = row.request();
    vm.request(stream);
    let upstream = row.route(&vm.state().request);
    set("xds.cluster_name", upstream.cluster.map(Into::into));
    set("response.code_details", Some(upstream.code_details.into()));
    vm.state().response = upstream.response;
    vm.response(stream);
    vm.end(stream);

    let counters = &proxy.borrow().counters;
    let grown = counters.iter().filter(|(_, count)| **count > 0);
    let outcome = Outcome {
        upstream: vm.state().request.clone(),
        client: vm.state().response.clone(),
        version: upstream.version,
        counts: grown.map(|(name, count)| (name.clone(), *count)).collect(),
        calls: vm.state().calls.clone(),
    };
    judge(row, &outcome, row.calls.clone())
}

// -- The core -----------------------------------------------------------------------

/// A message of the row as facts, and what was asked of it.
struct Facts<'r> {
    headers: &'r Headers,
    all: bluegreen::core::headers::Headers<'r>,
    upstream: Option<&'r Upstream>,
    asked: &'r RefCell<Vec<String>>,
}

impl Facts<'_> {
    fn ask(&self, question: String) {
        self.asked.borrow_mut().push(question);
    }

    fn first(&self, name: &str) -> Option<Bytes<'_>> {
        self.ask(format!("get {name}"));
        let field = self.headers.iter().find(|(header, _)| header == name)?;
        Some(field.1.as_slice().into())
    }
}

impl RequestFacts for Facts<'_> {
    fn headers(&self) -> &bluegreen::core::headers::Headers<'_> {
        self.ask("get all headers".to_owned());
        &self.all
    }

    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        self.first(name)
    }

    fn random(&self) -> Option<u64> {
        self.ask("random".to_owned());
        Some(0x5eed_0000_1111_2222)
    }
}

impl ResponseFacts for Facts<'_> {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        self.first(name)
    }

    fn code_details(&self) -> Option<Bytes<'_>> {
        self.ask("property response.code_details".to_owned());
        self.upstream
            .map(|upstream| upstream.code_details.as_bytes().into())
    }

    fn cluster(&self) -> Option<Bytes<'_>> {
        self.ask("property xds.cluster_name".to_owned());
        Some(self.upstream?.cluster?.as_bytes().into())
    }
}

fn in_core(row: &Row) -> Result<(), Failed> {
    let config = config::parse(row.json().to_string().as_bytes())
        .map_err(|errors| format!("{errors:#?}"))?;
    let placement = Placement::of(config.role, row.proxy.node.as_bytes());
    let asked = RefCell::new(Vec::new());
    let role = placement.role(|| {
        asked
            .borrow_mut()
            .push("property xds.listener_direction".to_owned());
        row.proxy.direction == Direction::Inbound
    });
    let label = row.proxy.labels.get(&*config.tag.label);
    let own = label
        .filter(|_| placement.allows(Role::Server))
        .and_then(|label| config::label_value(label.as_bytes()));

    let mut tally = Tally::new(&config, placement);
    let mut request = row.request();
    let facts = Facts {
        headers: &request.clone(),
        all: bluegreen::core::headers::Headers::new(host::serialized(&request).into()),
        upstream: None,
        asked: &asked,
    };
    let decision = decision::request(&config, role, own.as_deref(), &facts);
    if let Some(decision) = &decision {
        edit(&mut request, config.pin_header(), decision.pin);
        let bucket = match decision.bucket {
            Edit::Set(bucket) => Edit::Set(bucket.to_string()),
            Edit::Remove => Edit::Remove,
            Edit::Keep => Edit::Keep,
        };
        edit(&mut request, &config.bucket_header, bucket);
        tally.rejected(&decision.rejected);
    }
    let upstream = row.route(&request);
    let mut response = upstream.response.clone();
    if let Some(decision) = decision {
        let facts = Facts {
            headers: &upstream.response,
            all: bluegreen::core::headers::Headers::default(),
            upstream: Some(&upstream),
            asked: &asked,
        };
        let decision = decision::response(&config, own.as_deref(), decision.memory, &facts);
        edit(&mut response, &config.tag.header, decision.tag);
        if let Some(told) = decision.told {
            edit(&mut response, config.pin_header(), Edit::Set(told));
        }
        response.extend(
            decision
                .cookies
                .into_iter()
                .map(|line| ("set-cookie".to_owned(), line)),
        );
        tally.rejected(&decision.rejected);
        tally.count(
            decision
                .counted
                .and_then(|counted| tally.counters.responses(counted)),
        );
    }
    let outcome = Outcome {
        upstream: request,
        client: response,
        version: upstream.version,
        counts: tally.counts,
        calls: asked.take(),
    };
    // The core asks; the hostcalls that write are the filter's.
    let asks = |call: &String| {
        ["get ", "property ", "random"]
            .iter()
            .any(|ask| call.starts_with(ask))
    };
    let calls = row
        .calls
        .clone()
        .map(|calls| calls.into_iter().filter(asks).collect());
    judge(row, &outcome, calls)
}

fn edit(headers: &mut Headers, name: &str, edit: Edit<impl Into<Vec<u8>>>) {
    if let Edit::Keep = edit {
        return;
    }
    headers.retain(|(header, _)| header != name);
    if let Edit::Set(value) = edit {
        headers.push((name.to_owned(), value.into()));
    }
}

/// Counters by name, as the host would keep them.
struct Tally {
    names: Vec<String>,
    counters: Counters,
    counts: BTreeMap<String, u64>,
}

impl Tally {
    fn new(config: &Config, placement: Placement) -> Self {
        let mut names = Vec::new();
        let counters = Counters::define(config, placement, |name| {
            names.push(name.to_owned());
            u32::try_from(names.len() - 1).ok()
        });
        Self {
            names,
            counters,
            counts: BTreeMap::new(),
        }
    }

    fn rejected(&mut self, reasons: &[Reason]) {
        for reason in reasons {
            self.count(self.counters.rejected(*reason));
        }
    }

    fn count(&mut self, counter: Option<u32>) {
        if let Some(id) = counter {
            let name = self.names[id as usize].clone();
            *self.counts.entry(name).or_default() += 1;
        }
    }
}
