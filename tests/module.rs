//! The module that `make build` leaves, in an interpreter: what it asks of a
//! host, what it makes of configurations, and that nothing upsets it.

mod host;

use host::{Headers, Proxy, Vm};
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

const GOOD: &str =
    r#"{"role": "gateway", "rollouts": [{"name": "a", "versions": ["blue", "green"]}]}"#;
const BAD: &str = r#"{"rolouts": [], "rollouts": [{"name": "A", "versions": ["blue", "green"]}]}"#;
const CONFIG_REJECTED: &str = "bluegreen_config_rejected_total";

// -- What it asks of a host -------------------------------------------------------

#[test]
fn it_imports_what_the_job_needs_and_no_more() {
    let mut imports = host::imports(&host::module());
    imports.sort();
    imports.dedup();
    let expected = [
        "env.proxy_add_header_map_value",
        "env.proxy_define_metric",
        "env.proxy_get_buffer_bytes",
        "env.proxy_get_header_map_pairs",
        "env.proxy_get_header_map_value",
        "env.proxy_get_property",
        "env.proxy_get_shared_data",
        "env.proxy_increment_metric",
        "env.proxy_log",
        "env.proxy_remove_header_map_value",
        "env.proxy_replace_header_map_value",
        "env.proxy_set_effective_context",
        "env.proxy_set_shared_data",
        "env.proxy_set_tick_period_milliseconds",
        "wasi_snapshot_preview1.clock_time_get",
        "wasi_snapshot_preview1.proc_exit",
        "wasi_snapshot_preview1.random_get",
    ];
    assert_eq!(imports, expected);
}

#[test]
fn it_exports_the_callbacks_that_it_uses_and_no_more() {
    let mut exports = host::exports(&host::module());
    exports.sort();
    let expected = [
        "_initialize",
        "memory",
        "proxy_abi_version_0_2_1",
        "proxy_on_configure",
        "proxy_on_context_create",
        "proxy_on_memory_allocate",
        "proxy_on_request_headers",
        "proxy_on_response_headers",
        "proxy_on_tick",
    ];
    assert_eq!(exports, expected);
}

#[test]
fn it_is_small_and_keeps_its_names() {
    let bytes = host::bytes();
    assert!(bytes.len() <= 250_000, "{} bytes", bytes.len());
    let contains = |bytes: &[u8], text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
    let module = host::module();
    let names = module.custom_sections().find(|part| part.name() == "name");
    // A function of ours, as a backtrace of Envoy's shows it.
    assert!(contains(names.expect("names").data(), b"decision"));
    assert!(
        !contains(&bytes, b".cargo/registry"),
        "a path of the building machine"
    );
}

// -- Configurations -----------------------------------------------------------------

struct Mesh {
    module: wasmi::Module,
    proxy: Rc<RefCell<Proxy>>,
}

impl Mesh {
    fn new() -> Self {
        let proxy = Rc::new(RefCell::new(Proxy::default()));
        let properties = [("plugin_name", "bluegreen"), ("xds.node.id", "router~t")];
        proxy
            .borrow_mut()
            .properties
            .extend(properties.map(|(path, value)| (path.to_owned(), value.into())));
        Self {
            module: host::module(),
            proxy,
        }
    }

    fn vm(&self) -> Vm {
        Vm::start(&self.module, &self.proxy)
    }

    fn rejected(&self) -> u64 {
        let counters = &self.proxy.borrow().counters;
        counters.get(CONFIG_REJECTED).copied().unwrap_or_default()
    }

    fn log(&self) -> Vec<String> {
        self.proxy.borrow().log.clone()
    }
}

/// The hostcalls of one request and its response.
fn calls(vm: &mut Vm, root: i32) -> Vec<String> {
    vm.state().calls.clear();
    let stream = vm.stream(root);
    vm.state().request = vec![(":path".to_owned(), b"/".to_vec())];
    vm.request(stream);
    vm.state().response = vec![(":status".to_owned(), b"200".to_vec())];
    vm.response(stream);
    vm.end(stream);
    vm.state().calls.clone()
}

#[test]
fn a_wrong_first_configuration_is_told_once_and_inert_everywhere() {
    let mesh = Mesh::new();
    // Envoy's main thread twice, and two workers.
    let mut vms: Vec<Vm> = (0..4).map(|_| mesh.vm()).collect();
    for vm in &mut vms {
        let (root, taken) = vm.configure(BAD.as_bytes());
        assert!(taken, "a refusal at first load would be 500 for everybody");
        assert_eq!(calls(vm, root), [""; 0], "inert");
    }
    assert_eq!(mesh.rejected(), 1);
    assert_eq!(
        mesh.log(),
        [
            "error: bluegreen: the configuration is wrong; the filter is inert, traffic flows as \
             if it were not there",
            "error: bluegreen: rollouts[0].name: \"A\" is not a rollout name (lowercase letters, \
             digits and '-')",
            "error: bluegreen: rolouts: \"rolouts\" is not a field here (role, bucketHeader, \
             identity, pin, tag, rollouts)",
        ]
    );
    // The next good one is taken.
    let (root, taken) = vms[0].configure(GOOD.as_bytes());
    assert!(taken);
    assert!(!calls(&mut vms[0], root).is_empty());
}

#[test]
fn a_wrong_update_is_refused_and_the_old_one_serves() {
    let mesh = Mesh::new();
    let (mut main, mut worker) = (mesh.vm(), mesh.vm());
    main.configure(GOOD.as_bytes());
    let (root, _) = worker.configure(GOOD.as_bytes());
    // In each VM from the start: Envoy forgets what only a refusing VM defined.
    assert!(mesh.proxy.borrow().counters.contains_key(CONFIG_REJECTED));
    let (refused, taken) = main.configure(BAD.as_bytes());
    assert!(!taken);
    main.end(refused);
    assert_eq!(mesh.rejected(), 1);
    assert_eq!(
        mesh.log()[0],
        "error: bluegreen: the configuration is wrong; the previous one stays in force"
    );
    assert!(!calls(&mut worker, root).is_empty());
    let (_, taken) = main.configure(BAD.as_bytes());
    assert!(!taken, "refused again");
    assert_eq!(mesh.rejected(), 2);
}

#[test]
fn after_the_plugin_was_deleted_a_wrong_one_is_a_first_load_again() {
    let mesh = Mesh::new();
    let (mut main, mut worker) = (mesh.vm(), mesh.vm());
    main.configure(GOOD.as_bytes());
    let (root, _) = worker.configure(GOOD.as_bytes());
    // The main thread is busy, and the worker goes on.
    for _ in 0..60 {
        worker.tick(&[root]);
    }
    assert!(!main.configure(BAD.as_bytes()).1, "it serves");
    // Deleted: nobody is called any more.
    for _ in 0..5 {
        worker.tick(&[]);
    }
    let (root, taken) = main.configure(BAD.as_bytes());
    assert!(taken);
    assert_eq!(calls(&mut main, root), [""; 0]);
    // What is inert does not serve, however long.
    main.tick(&[root]);
    assert!(main.configure(BAD.replace("rolouts", "pins").as_bytes()).1);
}

#[test]
fn what_was_taken_once_is_never_refused_and_the_good_one_goes_on() {
    // Envoy remembers that it tried this one out, and asks the workers only:
    // one that refused would never serve again.
    let mesh = Mesh::new();
    let (mut main, mut worker) = (mesh.vm(), mesh.vm());
    for json in [BAD, GOOD] {
        for vm in [&mut main, &mut worker] {
            assert!(vm.configure(json.as_bytes()).1);
        }
    }
    for vm in [&mut main, &mut worker] {
        let (root, taken) = vm.configure(BAD.as_bytes());
        assert!(taken);
        assert!(!calls(vm, root).is_empty(), "the good one goes on");
    }
    assert_eq!(mesh.rejected(), 2, "once inert, once replaced");
    assert!(mesh.log()[3].ends_with("the previous one stays in force"));
}

#[test]
fn another_plugins_good_configuration_is_no_concern() {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    vm.configure(GOOD.as_bytes());
    let name = |name: &str| {
        let properties = &mut mesh.proxy.borrow_mut().properties;
        properties.insert("plugin_name".to_owned(), name.into());
    };
    name("other");
    assert!(vm.configure(BAD.as_bytes()).1, "first load of this one");
}

#[test]
fn an_empty_configuration_is_wrong() {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    let (root, taken) = vm.configure(b"");
    assert!(taken);
    assert_eq!(calls(&mut vm, root), [""; 0]);
    assert_eq!(mesh.rejected(), 1);
}

#[test]
fn a_missing_label_is_told_once() {
    let mesh = Mesh::new();
    let json = GOOD.replace("gateway", "server");
    for mut vm in [mesh.vm(), mesh.vm(), mesh.vm()] {
        assert!(vm.configure(json.as_bytes()).1);
    }
    assert_eq!(
        mesh.log(),
        ["warning: bluegreen: the pod has no label \"version\"; a server says no version"]
    );
}

// -- Work -----------------------------------------------------------------------------

/// A configuration with rollouts for the hosts h0.example, h1.example and so on.
fn by_host(rollouts: usize) -> String {
    let rollout = |i| {
        format!(r#"{{"name": "r{i}", "hosts": ["h{i}.example"], "versions": ["blue", "green"]}}"#)
    };
    let rollouts: Vec<String> = (0..rollouts).map(rollout).collect();
    format!(
        r#"{{"role": "gateway", "rollouts": [{}]}}"#,
        rollouts.join(",")
    )
}

/// What one request and its response take.
#[derive(Debug, PartialEq)]
struct Work {
    fuel: u64,
    hostcalls: usize,
    allocations: i64,
    /// The memory, in pages of 64 KiB.
    pages: u64,
}

/// The work of one request and its response, after some like it.
fn work(json: &str, request: &Headers, response: &Headers) -> Work {
    let mesh = Mesh::new();
    mesh.proxy.borrow_mut().properties.extend(
        [
            ("xds.node.metadata.LABELS.version", "blue"),
            ("response.code_details", "via_upstream"),
            ("xds.cluster_name", "outbound|80|green|app.example"),
        ]
        .map(|(path, value)| (path.to_owned(), value.into())),
    );
    let mut vm = mesh.vm();
    let mut counting = Vm::start(&host::counting_module(), &mesh.proxy);
    let mut roots = [&mut vm, &mut counting].map(|vm| {
        let (root, taken) = vm.configure(json.as_bytes());
        assert!(taken && mesh.log().is_empty(), "{:?}", mesh.log());
        (vm, root)
    });
    let mut once = |which: usize| {
        let (vm, root) = &mut roots[which];
        vm.state().calls.clear();
        let (fuel, allocations) = (vm.fuel(), (which == 1).then(|| vm.allocations()));
        let stream = vm.stream(*root);
        vm.state().request.clone_from(request);
        vm.request(stream);
        vm.state().response.clone_from(response);
        vm.response(stream);
        vm.end(stream);
        Work {
            fuel: vm.fuel() - fuel,
            hostcalls: vm.state().calls.len(),
            allocations: allocations.map_or(0, |before| vm.allocations() - before),
            pages: vm.pages(),
        }
    };
    for which in [0, 1].repeat(10) {
        once(which);
    }
    let allocations = once(1).allocations;
    Work {
        allocations,
        ..once(0)
    }
}

/// A row of `tests/budgets.yaml`, which explains the fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Budget {
    name: String,
    /// By the version of the compiler.
    fuel: BTreeMap<String, u64>,
    hostcalls: usize,
    allocations: i64,
    pages: u64,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    rollouts: usize,
    #[serde(default)]
    others: usize,
    #[serde(default)]
    request: BTreeMap<String, String>,
    #[serde(default)]
    upstream: BTreeMap<String, String>,
}

impl Budget {
    /// The most that a module of this compiler may spend.
    fn most(&self, rustc: &str) -> u64 {
        match self.fuel.get(rustc) {
            Some(figure) => figure * 102 / 100,
            None => self.fuel.values().max().expect("a figure") * 125 / 100,
        }
    }

    /// What is over its figure.
    fn over(&self, spent: &Work, rustc: &str) -> Vec<String> {
        let most = self.most(rustc);
        let Work {
            fuel,
            hostcalls,
            allocations,
            pages,
        } = spent;
        let mut over = Vec::new();
        let mut compare = |over_it: bool, what: String| over.extend(over_it.then_some(what));
        compare(*fuel > most, format!("fuel {fuel}, at most {most}"));
        compare(
            *hostcalls > self.hostcalls,
            format!("{hostcalls} hostcalls"),
        );
        compare(
            *allocations > self.allocations,
            format!("{allocations} allocations"),
        );
        compare(*pages > self.pages, format!("{pages} pages"));
        over
    }

    fn spent(&self) -> Work {
        let json = match self.rollouts {
            0 => GOOD.to_owned(),
            rollouts => by_host(rollouts),
        };
        let role = self.role.as_deref().unwrap_or("gateway");
        let headers = |headers: &BTreeMap<String, String>| -> Headers {
            let pairs = headers.iter();
            pairs
                .map(|(name, value)| (name.clone(), value.clone().into_bytes()))
                .collect()
        };
        let mut request = headers(&self.request);
        if let Some((_, cookies)) = request.iter_mut().find(|(name, _)| name == "cookie") {
            *cookies = [&others(self.others), cookies.as_slice()].concat();
        }
        work(
            &json.replace("gateway", role),
            &request,
            &headers(&self.upstream),
        )
    }
}

/// The version of the compiler that made the module, which the module says.
fn rustc() -> String {
    let module = host::module();
    let producers = module
        .custom_sections()
        .find(|part| part.name() == "producers")
        .expect("a compiler's name");
    // A name and its version, each after its length.
    let text = String::from_utf8_lossy(producers.data());
    let (_, version) = text.split_once("\u{5}rustc").expect("rustc");
    let end = version.find(' ').expect("a version");
    version[1..end].to_owned()
}

/// So many bytes of cookies, or a few more, that mean nothing to the filter.
fn others(bytes: usize) -> Vec<u8> {
    const COOKIE: &str = "some-cookie-of-the-shop=0123456789; ";
    COOKIE.repeat(bytes.div_ceil(COOKIE.len())).into()
}

#[test]
fn each_request_keeps_its_budget() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/budgets.yaml");
    let text = std::fs::read_to_string(path).expect(path);
    let budgets: Vec<Budget> =
        serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(!budgets.is_empty());
    let rustc = rustc();
    let mut over = Vec::new();
    for budget in &budgets {
        let spent = budget.spent();
        // Seen with --nocapture.
        println!("{}: {spent:?}", budget.name);
        for what in budget.over(&spent, &rustc) {
            over.push(format!("{}: {what}", budget.name));
        }
    }
    assert!(
        over.is_empty(),
        "over tests/budgets.yaml, by rustc {rustc}:\n{}",
        over.join("\n")
    );
}

const RETURNING: &str = "bluegreen-id=00c0ffee00c0ffee";

#[test]
fn a_request_costs_the_same_however_many_rollouts_there_are() {
    let of = |rollouts, host: &str| {
        let authority = (":authority".to_owned(), host.into());
        let cookie = ("cookie".to_owned(), RETURNING.into());
        work(
            &by_host(rollouts),
            &vec![authority, cookie],
            &Headers::new(),
        )
    };
    let one = of(1, "h0.example");
    for rollouts in [16, 256] {
        for host in [
            "h0.example".to_owned(),
            format!("h{}.example", rollouts - 1),
        ] {
            let many = of(rollouts, &host);
            // Its host may be longer, and not the first that a hash leads to.
            assert!(
                many.fuel <= one.fuel * 102 / 100 + 100,
                "{host}: {many:?}, alone {one:?}"
            );
            assert_eq!(many.hostcalls, one.hostcalls);
            assert_eq!(many.allocations, one.allocations);
        }
    }
}

#[test]
fn cookies_cost_in_proportion_to_their_bytes() {
    let of = |others: &str, count: usize| {
        let cookies = [others.repeat(count), RETURNING.to_owned()]
            .concat()
            .into_bytes();
        work(GOOD, &vec![("cookie".to_owned(), cookies)], &Headers::new())
    };
    // From one to as many as Envoy takes: small ones, large ones, and what makes a
    // search look as often as it can; at most so much fuel a byte.
    let large = format!("some={}; ", "x".repeat(1024));
    let spaces = format!("{}{}; ", " ".repeat(4096), "d".repeat(16));
    let rows = [
        ("some-cookie-of-the-shop=0123456789; ", 1_700, 6),
        (&large, 58, 6),
        (&spaces, 14, 8),
        ("bluegreen-i", 5_500, 40),
        ("ddddddddd;", 6_000, 40),
        ("bluegreen-id=; ", 4_000, 110),
        ("bluegreen-id=", 4_600, 160),
    ];
    for (others, most, per_byte) in rows {
        let one = of(others, 1);
        for count in [2, 10, 100, most] {
            let some = of(others, count.min(most));
            let bytes = u64::try_from(others.len() * count.min(most)).unwrap();
            let line = format!("{bytes} bytes of {:?}…: {some:?}", &others[..10]);
            // Seen with --nocapture.
            println!("{line}");
            assert!(
                some.fuel <= one.fuel + 600 + per_byte * bytes,
                "{line}, one {one:?}"
            );
            // Lines that are longer than the buffer for them need the heap.
            assert!(
                some.allocations <= one.allocations + 2,
                "{line}, one {one:?}"
            );
            assert!(some.hostcalls <= one.hostcalls, "{line}, one {one:?}");
            assert!(some.pages <= one.pages + 4, "{line}, one {one:?}");
        }
    }
}

#[test]
fn other_headers_cost_a_glance_each_whatever_they_say() {
    let of = |count: usize, bytes: usize| {
        let others = (0..count).map(|i| (format!("x-other-{i}"), vec![b'x'; bytes]));
        let cookie = ("cookie".to_owned(), RETURNING.into());
        work(GOOD, &others.chain([cookie]).collect(), &Headers::new())
    };
    let alone = of(0, 0);
    // Envoy takes 100 headers.
    for (count, bytes) in [(1, 0), (1, 1024), (20, 100), (99, 0), (99, 60), (99, 600)] {
        let some = of(count, bytes);
        let line = format!("{count} of {bytes} bytes: {some:?}, none {alone:?}");
        // Seen with --nocapture.
        println!("{line}");
        let glances = 200 * u64::try_from(count).unwrap();
        assert!(some.fuel <= alone.fuel + 600 + glances, "{line}");
        assert_eq!(some.hostcalls, alone.hostcalls, "{line}");
        // More than the buffer for answers holds need the heap.
        assert!(some.allocations <= alone.allocations + 1, "{line}");
        assert!(some.pages <= alone.pages + 2, "{line}");
    }
}

#[test]
fn the_last_request_tells_how_to_look_for_a_host() {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    let (root, _) = vm.configure(by_host(1).as_bytes());
    let mut asked = |host: &str| {
        vm.state().calls.clear();
        let stream = vm.stream(root);
        vm.state().request = vec![
            (":authority".to_owned(), host.into()),
            ("x-version-pin".to_owned(), b"green".to_vec()),
        ];
        vm.request(stream);
        vm.end(stream);
        vm.state().calls.clone()
    };
    let (by_name, among_all) = ("get :authority", "get all headers");
    assert_eq!(asked("other.example"), [by_name]);
    assert_eq!(asked("h0.example"), [by_name, among_all]);
    assert_eq!(asked("h0.example"), [among_all]);
    assert_eq!(asked("other.example"), [among_all]);
    assert_eq!(asked("other.example"), [by_name]);
}

#[test]
fn the_last_response_tells_how_to_look_for_a_tag() {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    let (root, _) = vm.configure(GOOD.as_bytes());
    let mut asked = |tag: Option<&str>| {
        let stream = vm.stream(root);
        vm.state().request.clear();
        vm.request(stream);
        vm.state().calls.clear();
        let tags = tag.map(|tag| ("x-served-version".to_owned(), tag.into()));
        vm.state().response = tags.into_iter().collect();
        vm.response(stream);
        vm.end(stream);
        vm.state().calls[0].clone()
    };
    let (by_name, among_all) = ("get x-served-version", "get all headers");
    assert_eq!(asked(Some("green")), by_name);
    assert_eq!(asked(Some("blue")), among_all);
    assert_eq!(asked(None), among_all);
    assert_eq!(asked(None), by_name);
    let green =
        r#"bg_rollout=.=a;.;bg_version=.=green;.;bg_source=.=minted;.;bluegreen_responses_total"#;
    let counters = &mesh.proxy.borrow().counters;
    assert_eq!(counters[green], 1);
    assert_eq!(counters[&green.replace("green;", "blue;")], 1);
    assert_eq!(counters[&green.replace("green;", "none;")], 2);
}

#[test]
fn random_numbers_are_got_many_at_a_time_and_given_once() {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    let (root, _) = vm.configure(GOOD.as_bytes());
    vm.state().random = 0;
    let mut cookies = std::collections::BTreeSet::new();
    let mut asked = 0;
    for _ in 0..100 {
        // What the host would give next, should it be asked.
        vm.state().random += 1_000;
        vm.state().response.clear();
        let calls = calls(&mut vm, root);
        asked += calls.iter().filter(|call| *call == "random").count();
        let set = host::joined(&vm.state().response, "set-cookie");
        cookies.insert(set.expect("a new user gets a cookie"));
    }
    assert_eq!(cookies.len(), 100, "no two users share an identity");
    assert!((1..=10).contains(&asked), "{asked} calls for 100 numbers");
}

// -- Many cookies ---------------------------------------------------------------------

/// The bucket of a returning user behind these other cookies, on so many lines.
fn bucket_behind(others: &str, lines: usize) -> Vec<u8> {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    let (root, _) = vm.configure(GOOD.as_bytes());
    let stream = vm.stream(root);
    let line = |value: &str| ("cookie".to_owned(), value.as_bytes().to_vec());
    let mut request: Headers = (1..lines).map(|_| line(others)).collect();
    request.push(line(&format!("{others}; {RETURNING}")));
    vm.state().request = request;
    vm.request(stream);
    host::joined(&vm.state().request, "x-bluegreen-bucket").expect("a bucket")
}

#[test]
fn the_identity_is_found_behind_many_cookies() {
    let hundred = ["some-cookie=value"; 100].join("; ");
    // Envoy takes 60 KiB of headers (max_request_headers_kb).
    let sixty_kib = "a=b; ".repeat(60 * 1024 / 5);
    let one_of_sixty_kib = format!("a={}", "b".repeat(60 * 1024));
    let alone = bucket_behind("a=b", 1);
    for others in [&hundred, &sixty_kib, &one_of_sixty_kib] {
        assert_eq!(bucket_behind(others, 1), alone);
    }
    for lines in [2, 100] {
        assert_eq!(bucket_behind("a=b", lines), alone);
    }
}

// -- Streams that end without a response -------------------------------------------------

#[test]
fn what_ends_without_a_response_leaves_nothing_and_what_waits_is_kept() {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    let (root, _) = vm.configure(GOOD.as_bytes());
    let begin = |vm: &mut Vm| {
        let stream = vm.stream(root);
        vm.state().request = vec![(":path".to_owned(), b"/".to_vec())];
        vm.request(stream);
        stream
    };
    let waiting: Vec<i32> = (0..2_000).map(|_| begin(&mut vm)).collect();
    let mut pages = 0;
    for round in 0..10 {
        for _ in 0..10_000 {
            let stream = begin(&mut vm);
            vm.end(stream);
            // Before its request.
            let stream = vm.stream(root);
            vm.end(stream);
        }
        if round == 0 {
            pages = vm.pages();
        }
    }
    assert_eq!(vm.pages(), pages, "memory that stays");
    for stream in waiting {
        vm.state().response.clear();
        vm.response(stream);
        let set = host::joined(&vm.state().response, "set-cookie");
        assert!(set.is_some(), "it still knows its new user");
        vm.end(stream);
    }
}

#[test]
fn updates_leave_no_memory() {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    let json = by_host(256);
    let mut old = None;
    let mut pages = 0;
    for update in 0..300 {
        let (root, taken) = vm.configure(json.as_bytes());
        assert!(taken);
        if let Some(old) = old.replace(root) {
            vm.end(old);
        }
        if update == 150 {
            pages = vm.pages();
        }
    }
    assert_eq!(vm.pages(), pages, "memory that stays");
}

// -- A million requests of random bytes -----------------------------------------------

/// A small generator of random numbers (SplitMix64, Steele et al. 2014): the
/// same requests in each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }

    fn of<'c, T: ?Sized>(&mut self, choices: &[&'c T]) -> &'c T {
        choices[self.below(choices.len())]
    }
}

const NAMES: [&str; 12] = [
    ":authority",
    ":path",
    ":scheme",
    "cookie",
    "cookie",
    "x-version-pin",
    "x-bluegreen-bucket",
    "x-user-id",
    "x-forwarded-proto",
    "x-served-version",
    "set-cookie",
    "x-other",
];

/// Values that come close to what the filter looks for.
const VALUES: [&[u8]; 16] = [
    b"",
    b"green",
    b"none",
    b"purple",
    b"50",
    b"100",
    b"https",
    b"shop.example:80",
    b"a.b.c.shop.example",
    b"/?version-pin=green",
    b"/?version-pin=%67reen&version-pin=%",
    b"bluegreen-id=00c0ffee00c0ffee",
    b"bluegreen-id=\"00c0ffee00c0ffee\"; bluegreen-pin=blue",
    b"bluegreen-id=; bluegreen-id; =; ;;",
    b"bluegreen-pin=none; bluegreen-id=\xff\xff",
    b"\xff\xfe\x80\x00,;=\"",
];

fn value(random: &mut Random) -> Vec<u8> {
    let mut value = random.of(&VALUES).to_vec();
    match random.below(64) {
        0..16 => value.extend(random.next().to_le_bytes()),
        16..24 => {
            let other = random.of(&VALUES);
            value = [value.as_slice(), other].join(random.of::<[u8]>(&[b"; ", b",", b";", b"\0"]));
        }
        24..28 => {
            for _ in 0..random.below(40) {
                value.extend(random.next().to_be_bytes());
            }
        }
        _ => {}
    }
    value
}

/// Headers of a message; `rarity`: one of that many has 60 KiB, the most that
/// Envoy takes.
fn headers(random: &mut Random, rarity: usize) -> Headers {
    let count = random.below(8);
    let mut headers: Headers = (0..count)
        .map(|_| (random.of(&NAMES).to_owned(), value(random)))
        .collect();
    if random.below(rarity) == 0
        && let Some((_, value)) = headers.first_mut()
    {
        *value = value.repeat(61_440 / value.len().max(1));
    }
    headers
}

#[test]
fn a_million_random_requests_neither_trap_nor_leave_anything() {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    vm.state().records = false;
    let hosts: Vec<String> = (0..256)
        .map(|i| format!(r#"{{"name": "r{i}", "hosts": ["h{i}.example", "*.b{i}.example"], "versions": ["blue", "green"]}}"#))
        .collect();
    let many = format!(
        r#"{{"role": "gateway", "rollouts": [{}, {{"name": "rest", "versions": ["blue", "green"]}}]}}"#,
        hosts[..255].join(",")
    );
    let query = r#""pin": {"query": "version-pin"}, "identity": {"header": "x-user-id"}"#;
    let configurations = [
        GOOD.to_owned(),
        GOOD.replace("gateway", "client"),
        GOOD.replace("gateway", "server"),
        GOOD.replace(r#""role""#, &format!(r#"{query}, "role""#)),
        GOOD.replace(
            r#""name""#,
            r#""hosts": ["*.shop.example"], "pathPrefixes": ["/"], "name""#,
        ),
        many,
        BAD.to_owned(),
    ];
    mesh.proxy.borrow_mut().properties.extend([
        (
            "xds.node.metadata.LABELS.version".to_owned(),
            b"green".to_vec(),
        ),
        (
            "xds.cluster_name".to_owned(),
            b"outbound|80|green|\xff".to_vec(),
        ),
        ("response.code_details".to_owned(), b"via_upstream".to_vec()),
    ]);
    let name = |name: String| {
        let properties = &mut mesh.proxy.borrow_mut().properties;
        properties.insert("plugin_name".to_owned(), name.into_bytes());
    };
    let mut roots = Vec::new();
    for (i, json) in configurations.iter().enumerate() {
        name(format!("plugin-{i}"));
        let (root, taken) = vm.configure(json.as_bytes());
        assert!(taken, "{:?}", mesh.log());
        roots.push(root);
    }
    let counters = mesh.proxy.borrow().counters.len();

    let mut random = Random(7);
    let mut half = 0;
    for i in 0..1_000_000 {
        let stream = vm.stream(roots[random.below(roots.len())]);
        vm.state().random = random.next();
        // The first thousand see the largest requests, too.
        let rarity = if i < 1_000 { 4 } else { 4_000 };
        vm.state().request = headers(&mut random, rarity);
        vm.request(stream);
        // Some callers leave before there is a response.
        if random.below(16) != 0 {
            vm.state().response = headers(&mut random, rarity);
            vm.response(stream);
        }
        vm.end(stream);
        if i == 499_999 {
            half = vm.pages();
        }
    }
    assert_eq!(vm.pages(), half, "memory that stays");
    assert_eq!(mesh.proxy.borrow().counters.len(), counters, "a new metric");
}
