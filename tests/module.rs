//! The module that `make build` leaves, in an interpreter: what it asks of a
//! host, what it makes of configurations, and that nothing upsets it.

mod host;

use host::signing::{Token, with_keys};
use host::{Headers, Proxy, Vm};
use serde::Deserialize;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

const GOOD: &str = r#"{"role": "gateway"}"#;
const BAD: &str = r#"{"rolouts": [], "rollouts": {"a": {"hosts": ["a b"]}}}"#;
const CONFIG_REJECTED: &str = "bluegreen_config_rejected_total";
const KEPT: &str = "error: bluegreen: the configuration is wrong; the last good one stays in force";
const INERT: &str = "error: bluegreen: the configuration is wrong; the filter is inert, traffic flows \
                     as if it were not there";

// -- What it asks of a host -------------------------------------------------------

#[test]
fn it_imports_what_the_job_needs_and_no_more() {
    let mut imports = host::imports(&host::module());
    imports.sort();
    imports.dedup();
    let expected = [
        "env.proxy_add_header_map_value",
        "env.proxy_call_foreign_function",
        "env.proxy_define_metric",
        "env.proxy_get_buffer_bytes",
        "env.proxy_get_current_time_nanoseconds",
        "env.proxy_get_header_map_pairs",
        "env.proxy_get_header_map_value",
        "env.proxy_get_metric",
        "env.proxy_get_property",
        "env.proxy_get_shared_data",
        "env.proxy_increment_metric",
        "env.proxy_log",
        "env.proxy_record_metric",
        "env.proxy_remove_header_map_value",
        "env.proxy_replace_header_map_value",
        "env.proxy_set_effective_context",
        "env.proxy_set_property",
        "env.proxy_set_shared_data",
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

    fn metric(&self, name: &str) -> u64 {
        let metrics = &self.proxy.borrow().metrics;
        metrics.get(name).copied().unwrap_or_default()
    }

    /// How many wrong configurations were counted.
    fn rejected(&self) -> u64 {
        self.metric(CONFIG_REJECTED)
    }

    /// The gauge of the plugin.
    fn wrong(&self, plugin: &str) -> u64 {
        self.metric(&format!("bg_plugin=.={plugin};.;bluegreen_config_wrong"))
    }

    fn log(&self) -> Vec<String> {
        self.proxy.borrow().log.clone()
    }

    /// From now on configurations are those of the plugin of this name.
    fn name(&self, plugin: &str) {
        let properties = &mut self.proxy.borrow_mut().properties;
        properties.insert("plugin_name".to_owned(), plugin.into());
    }
}

/// The threads of an Envoy, each with a VM, and the VM in which it tries out what it has
/// not seen before.
struct Threads<'m> {
    mesh: &'m Mesh,
    vms: Vec<Vm>,
    roots: Vec<i32>,
}

impl<'m> Threads<'m> {
    fn new(mesh: &'m Mesh) -> Self {
        let vms: Vec<Vm> = (0..3).map(|_| mesh.vm()).collect();
        Self {
            mesh,
            vms,
            roots: Vec::new(),
        }
    }

    /// Gives all threads a configuration. A canary tries it out first where `is_tried`.
    fn configure(&mut self, json: &str, is_tried: bool) {
        if is_tried {
            self.mesh.vm().configure(json.as_bytes());
        }
        self.delete();
        self.roots = self
            .vms
            .iter_mut()
            .map(|vm| vm.configure(json.as_bytes()))
            .collect();
    }

    /// Deletes the plugin; its VMs live on.
    fn delete(&mut self) {
        for (vm, root) in self.vms.iter_mut().zip(self.roots.drain(..)) {
            vm.end(root);
        }
    }

    /// Whether the filter does its job in all threads; in none: `false`.
    fn serve(&mut self) -> bool {
        let mut serve = self.vms.iter_mut().zip(&self.roots);
        let first = serve.next().map(|(vm, root)| !calls(vm, *root).is_empty());
        for (vm, root) in serve {
            assert_eq!(Some(!calls(vm, *root).is_empty()), first, "all alike");
        }
        first.expect("a thread")
    }
}

/// A response of the green version, as Envoy marks it.
fn marked() -> Headers {
    let route = "via_upstream outbound|80|green|shop.ns.svc.cluster.local \
                 /apis/networking.istio.io/v1/namespaces/ns/virtual-service/shop";
    vec![
        (":status".to_owned(), b"200".to_vec()),
        ("x-bluegreen-route".to_owned(), route.into()),
    ]
}

/// The hostcalls of one request and its response.
fn calls(vm: &mut Vm, root: i32) -> Vec<String> {
    vm.state().calls.clear();
    let stream = vm.stream(root);
    vm.state().request = vec![(":path".to_owned(), b"/".to_vec())];
    vm.request(stream);
    vm.state().response = marked();
    vm.response(stream);
    vm.end(stream);
    vm.state().calls.clone()
}

#[test]
fn a_wrong_first_configuration_is_told_once_and_inert_everywhere() {
    let mesh = Mesh::new();
    let mut threads = Threads::new(&mesh);
    threads.configure(BAD, true);
    assert!(!threads.serve(), "inert");
    assert_eq!((mesh.rejected(), mesh.wrong("bluegreen")), (1, 1));
    assert_eq!(
        mesh.log(),
        [
            INERT,
            "error: bluegreen: rollouts.a.hosts[0]: \"a b\" is not a host (a name such as \
             shop.example or *.shop.example, without a port)",
            "error: bluegreen: rolouts: \"rolouts\" is not a field here (role, routes, \
             bucketHeader, routeHeader, baggage, identity, pin, tag, rollouts)",
        ]
    );
    threads.configure(GOOD, true);
    assert!(threads.serve());
    assert_eq!((mesh.rejected(), mesh.wrong("bluegreen")), (1, 0));
}

#[test]
fn a_wrong_update_leaves_the_last_good_one_in_force() {
    let mesh = Mesh::new();
    let mut threads = Threads::new(&mesh);
    threads.configure(GOOD, true);
    // From the start: an alert cannot see a counter grow that comes with its first count.
    let metrics = mesh.proxy.borrow().metrics.clone();
    assert_eq!(metrics.get(CONFIG_REJECTED), Some(&0), "{metrics:?}");
    assert_eq!(metrics.len(), 2, "{metrics:?}");
    threads.configure(BAD, true);
    assert!(threads.serve());
    assert_eq!((mesh.rejected(), mesh.wrong("bluegreen")), (1, 1));
    assert_eq!(mesh.log()[0], KEPT);
}

/// What happens to the plugin's configuration, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Good,
    OtherGood,
    Wrong,
    OtherWrong,
    Delete,
}

#[test]
fn whatever_the_order_each_wrong_one_is_told_and_the_last_good_one_serves() {
    use Step::{Delete, Good, OtherGood, OtherWrong, Wrong};
    let other_good = r#"{"role": "gateway", "rollouts": {}}"#;
    let other_wrong = BAD.replace("rolouts", "pins");
    let steps = [Good, OtherGood, Wrong, OtherWrong, Delete];
    // All orders of four steps, and of a tried and an untried one.
    for order in 0..5_usize.pow(4) {
        let order = (0..4).map(|i| steps[order / 5_usize.pow(i) % 5]);
        let order: Vec<Step> = order.collect();
        let mesh = Mesh::new();
        let mut threads = Threads::new(&mesh);
        let (mut had_good, mut wrong, mut seen) = (false, 0, Vec::new());
        for step in order.iter().copied() {
            // Envoy tries out each configuration once.
            let is_tried = !seen.contains(&step);
            seen.push(step);
            match step {
                Good => threads.configure(GOOD, is_tried),
                OtherGood => threads.configure(other_good, is_tried),
                Wrong => threads.configure(BAD, is_tried),
                OtherWrong => threads.configure(&other_wrong, is_tried),
                Delete => {
                    threads.delete();
                    continue;
                }
            }
            let is_wrong = matches!(step, Wrong | OtherWrong);
            had_good |= !is_wrong;
            wrong += u64::from(is_wrong);
            assert_eq!(threads.serve(), had_good, "{order:?} at {step:?}");
            assert_eq!(mesh.rejected(), wrong, "{order:?} at {step:?}");
            assert_eq!(
                mesh.wrong("bluegreen"),
                u64::from(is_wrong),
                "{order:?} at {step:?}"
            );
            let told = mesh
                .log()
                .iter()
                .filter(|line| [KEPT, INERT].contains(&line.as_str()))
                .count();
            assert_eq!(told as u64, wrong, "{order:?} at {step:?}");
        }
    }
}

#[test]
fn a_wrong_one_is_told_again_where_all_vms_are_new() {
    let mesh = Mesh::new();
    let mut threads = Threads::new(&mesh);
    threads.configure(GOOD, true);
    threads.configure(BAD, true);
    // With the last VM that defined a metric Envoy forgets it.
    drop(threads);
    mesh.proxy.borrow_mut().metrics.clear();
    let mut threads = Threads::new(&mesh);
    threads.configure(BAD, true);
    assert!(threads.serve(), "by the last good one of this proxy");
    assert_eq!((mesh.rejected(), mesh.wrong("bluegreen")), (1, 1));
    assert_eq!(mesh.log().iter().filter(|line| *line == KEPT).count(), 2);
}

#[test]
fn a_thread_that_is_behind_tells_nothing_again() {
    let mesh = Mesh::new();
    let mut threads = Threads::new(&mesh);
    threads.configure(GOOD, true);
    let other = BAD.replace("rolouts", "pins");
    let order = [BAD, GOOD, BAD, &other, GOOD, &other];
    // The second thread begins when the first has all of them.
    for vm in &mut threads.vms {
        for json in order {
            vm.configure(json.as_bytes());
        }
        assert_eq!((mesh.rejected(), mesh.wrong("bluegreen")), (4, 1));
    }
}

#[test]
fn each_plugin_has_a_history_of_its_own() {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    vm.configure(GOOD.as_bytes());
    mesh.name("extensions.istio.io/wasmplugin/ns.other");
    let root = vm.configure(BAD.as_bytes());
    assert_eq!(calls(&mut vm, root), [""; 0], "no good one of this plugin");
    assert_eq!((mesh.wrong("bluegreen"), mesh.wrong("ns.other")), (0, 1));
    mesh.name("bluegreen");
    let root = vm.configure(BAD.as_bytes());
    assert!(!calls(&mut vm, root).is_empty());
    assert_eq!((mesh.wrong("bluegreen"), mesh.wrong("ns.other")), (1, 1));
    assert_eq!(mesh.rejected(), 2);
}

#[test]
fn no_configuration_is_a_good_one() {
    for json in ["", "{}"] {
        let mesh = Mesh::new();
        let mut vm = mesh.vm();
        let root = vm.configure(json.as_bytes());
        assert!(!calls(&mut vm, root).is_empty());
        assert_eq!(mesh.rejected(), 0);
        // As the last good one, too.
        let root = vm.configure(BAD.as_bytes());
        assert!(!calls(&mut vm, root).is_empty());
    }
}

#[test]
fn a_log_is_not_as_long_as_its_configuration() {
    let unknown: Vec<String> = (0..100_002).map(|i| format!(r#""f{i}": 1"#)).collect();
    let mesh = Mesh::new();
    mesh.vm()
        .configure(format!("{{{}}}", unknown.join(",")).as_bytes());
    assert_eq!(mesh.log().len(), 52);
    assert_eq!(mesh.log()[51], "error: bluegreen: and 99952 more");
}

#[test]
fn a_missing_label_is_told_once() {
    let mesh = Mesh::new();
    let json = GOOD.replace("gateway", "server");
    for mut vm in [mesh.vm(), mesh.vm(), mesh.vm()] {
        vm.configure(json.as_bytes());
    }
    assert_eq!(
        mesh.log(),
        ["warning: bluegreen: the pod has no label \"version\"; a server says no version"]
    );
}

// -- Work -----------------------------------------------------------------------------

/// A configuration with rollouts for the hosts h0.example, h1.example and so on.
fn by_host(rollouts: usize) -> String {
    let rollout = |i| format!(r#""r{i}": {{"hosts": ["h{i}.example"]}}"#);
    let rollouts: Vec<String> = (0..rollouts).map(rollout).collect();
    format!(
        r#"{{"role": "gateway", "rollouts": {{{}}}}}"#,
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
    let label = "xds.node.metadata.LABELS.version".to_owned();
    let label = (label, b"blue".to_vec());
    mesh.proxy.borrow_mut().properties.extend([label]);
    let mut vm = mesh.vm();
    let mut counting = Vm::start(&host::counting_module(), &mesh.proxy);
    let mut roots = [&mut vm, &mut counting].map(|vm| {
        let root = vm.configure(json.as_bytes());
        assert!(mesh.log().is_empty(), "{:?}", mesh.log());
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
    baggage: bool,
    #[serde(default)]
    keys: bool,
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
            0 if self.keys => signed(""),
            0 => GOOD.to_owned(),
            rollouts => by_host(rollouts),
        };
        let json = match self.baggage {
            false => json,
            true => json.replacen('{', r#"{"baggage": {}, "#, 1),
        };
        let role = self.role.as_deref().unwrap_or("gateway");
        let headers = |headers: &BTreeMap<String, String>| -> Headers {
            let pairs = headers.iter();
            let token = Token::default().text();
            pairs
                .map(|(name, value)| (name.clone(), value.replace("${token}", &token).into_bytes()))
                .collect()
        };
        let mut request = headers(&self.request);
        if let Some((_, cookies)) = request.iter_mut().find(|(name, _)| name == "cookie") {
            *cookies = [&others(self.others), cookies.as_slice()].concat();
        }
        let response = [headers(&self.upstream), marked()].concat();
        work(&json.replace("gateway", role), &request, &response)
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
        work(&by_host(rollouts), &vec![authority, cookie], &marked())
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
        work(GOOD, &vec![("cookie".to_owned(), cookies)], &marked())
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
        let authority = (":authority".to_owned(), b"shop.example".to_vec());
        let cookie = ("cookie".to_owned(), RETURNING.into());
        let request = [authority].into_iter().chain(others).chain([cookie]);
        work(GOOD, &request.collect(), &marked())
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
fn random_numbers_are_got_many_at_a_time_and_given_once() {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    let root = vm.configure(GOOD.as_bytes());
    vm.state().random = 0;
    let mut cookies = std::collections::BTreeSet::new();
    let mut asked = 0;
    for _ in 0..100 {
        // What the host would give next, should it be asked.
        vm.state().random += 1_000;
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
    let root = vm.configure(GOOD.as_bytes());
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

// -- Signed pins ------------------------------------------------------------------------

/// A gateway's configuration with a key for pins, and more in its `pin`.
fn signed(more: &str) -> String {
    let key = r#"{"name": "ci", "publicKey": "${key:es}"}"#;
    let json = format!(
        r#"{{"role": "gateway", "pin": {{"query": "version-pin", "keys": [{key}]{more}}}}}"#
    );
    with_keys(&json)
}

/// What becomes of the pin header of a request to shop.example with this pin.
fn pinned(vm: &mut Vm, root: i32, pin: &[u8]) -> Option<Vec<u8>> {
    let stream = vm.stream(root);
    vm.state().request = vec![
        (":authority".to_owned(), b"shop.example".to_vec()),
        ("cookie".to_owned(), RETURNING.into()),
        ("x-version-pin".to_owned(), pin.to_vec()),
    ];
    vm.request(stream);
    vm.state().response = marked();
    vm.response(stream);
    vm.end(stream);
    host::joined(&vm.state().request, "x-version-pin")
}

#[test]
fn of_a_million_forged_tokens_none_pins_and_none_leaves_anything() {
    const A_SECOND: usize = 20_000;
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    vm.state().records = false;
    let root = vm.configure(signed("").as_bytes());
    let good = Token::default().text();
    let by_other = Token {
        key: "other".to_owned(),
        ..Token::default()
    };
    let by_other = by_other.text();
    assert_eq!(
        pinned(&mut vm, root, good.as_bytes()).as_deref(),
        Some(&b"green"[..])
    );
    let mut random = Random(11);
    let mut half = 0;
    for i in 0..1_000_000 {
        if i % A_SECOND == 0 {
            mesh.proxy.borrow_mut().now += 1;
        }
        // Of one key or another, some bytes changed, or a part of it cut off or repeated.
        let mut token = random.of(&[&*good, &*by_other]).as_bytes().to_vec();
        match random.below(8) {
            0 => token.truncate(random.below(token.len())),
            1 => {
                let at = random.below(token.len());
                let part = token.split_off(at);
                token.extend(part.repeat(2));
            }
            2 if i % 1000 == 2 => token = token.repeat(300),
            _ => {
                for _ in 0..=random.below(3) {
                    const DIGITS: &[u8] =
                        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
                    let at = random.below(token.len());
                    token[at] = DIGITS[random.below(DIGITS.len())];
                }
            }
        }
        if token != good.as_bytes() {
            assert_eq!(
                pinned(&mut vm, root, &token),
                None,
                "{}",
                token.escape_ascii()
            );
        }
        if i == 499_999 {
            half = vm.pages();
        }
    }
    assert_eq!(vm.pages(), half, "memory that stays");
    assert_eq!(mesh.log(), [""; 0]);
    // It has not ended in the minute that this took.
    assert_eq!(
        pinned(&mut vm, root, good.as_bytes()).as_deref(),
        Some(&b"green"[..])
    );
    let rejected = |reason: &str| {
        mesh.metric(&format!(
            "bg_rollout=.=shop.ns;.;bg_reason=.=pin-{reason};.;bluegreen_rejected_total"
        ))
    };
    let seconds = 1_000_000 / u64::try_from(A_SECOND).unwrap();
    assert_eq!(
        rejected("signature"),
        100 * seconds,
        "as many as may be verified"
    );
    assert!(rejected("busy") > 100_000 && rejected("malformed") > 100_000);
}

#[test]
fn a_new_configuration_knows_no_token_of_the_one_before() {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    let token = Token {
        claims: Token::default().claims.replace('{', r#"{"jti":"lost","#),
        ..Token::default()
    };
    let token = token.text();
    let root = vm.configure(signed("").as_bytes());
    for asked in [1, 0] {
        vm.state().calls.clear();
        assert!(pinned(&mut vm, root, token.as_bytes()).is_some());
        let calls = vm.state().calls.iter();
        assert_eq!(
            calls
                .filter(|call| *call == "call verify_signature")
                .count(),
            asked
        );
    }
    vm.end(root);
    let root = vm.configure(signed(r#", "revoked": ["lost"]"#).as_bytes());
    assert_eq!(pinned(&mut vm, root, token.as_bytes()), None);
}

#[test]
fn what_a_proxy_cannot_verify_is_wrong_where_it_is_a_gateway() {
    // The last byte of a point.
    let off_the_curve = signed("").replace("Wg==", "Xg==");
    assert!(off_the_curve != signed(""));
    let rows = [
        (
            true,
            signed(""),
            "pin.keys: a list of 1 is not possible in a proxy that cannot verify signatures",
        ),
        (
            false,
            off_the_curve,
            "pin.keys[0].publicKey: a P-256 key is not one that this proxy can use",
        ),
    ];
    for (lacks, json, error) in rows {
        for (role, is_wrong) in [("gateway", true), ("client", false)] {
            let mesh = Mesh::new();
            mesh.proxy.borrow_mut().lacks_verify_signature = lacks;
            let mut vm = mesh.vm();
            let root = vm.configure(json.replace("gateway", role).as_bytes());
            assert_eq!(
                calls(&mut vm, root).is_empty(),
                is_wrong,
                "inert where it is wrong"
            );
            let log = if is_wrong {
                vec![INERT.to_owned(), format!("error: bluegreen: {error}")]
            } else {
                Vec::new()
            };
            assert_eq!(mesh.log(), log, "{role}");
        }
    }
}

// -- Streams that end without a response -------------------------------------------------

#[test]
fn what_ends_without_a_response_leaves_nothing_and_what_waits_is_kept() {
    let mesh = Mesh::new();
    let mut vm = mesh.vm();
    let root = vm.configure(GOOD.as_bytes());
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
        vm.state().response = marked();
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
    let (mut pages, mut definitions) = (0, 0);
    for update in 0..300 {
        // Good and wrong ones in turn.
        let root = vm.configure(if update % 3 == 2 { BAD } else { &json }.as_bytes());
        assert!(!calls(&mut vm, root).is_empty());
        if let Some(old) = old.replace(root) {
            vm.end(old);
        }
        if update == 2 {
            definitions = mesh.proxy.borrow().definitions;
        }
        if update == 150 {
            pages = vm.pages();
        }
    }
    assert_eq!(vm.pages(), pages, "memory that stays in the module");
    let now = mesh.proxy.borrow().definitions;
    assert_eq!(now, definitions, "memory that stays in Envoy");
}

// -- Series ---------------------------------------------------------------------------

#[test]
fn a_proxy_has_at_most_4096_series_however_many_vms_and_rollouts_it_has() {
    let mesh = Mesh::new();
    let mut vms: Vec<(Vm, i32)> = (0..3)
        .map(|_| {
            let mut vm = mesh.vm();
            let root = vm.configure(GOOD.as_bytes());
            (vm, root)
        })
        .collect();
    let mut count = |which: usize, rollout: usize| {
        let (vm, root) = &mut vms[which];
        let stream = vm.stream(*root);
        vm.state().request = vec![("cookie".to_owned(), RETURNING.into())];
        vm.request(stream);
        let (name, mark) = marked().pop().expect("the mark");
        let mark = String::from_utf8(mark).unwrap();
        let mark = mark.replace("/shop", &format!("/r{rollout}"));
        vm.state().response = vec![(":status".to_owned(), b"200".to_vec()), (name, mark.into())];
        vm.response(stream);
        vm.end(stream);
    };
    const ROLLOUTS: usize = 6_000;
    for rollout in 0..ROLLOUTS {
        // The VMs meet most of them in orders of their own, and each at last.
        for which in 0..3 {
            count(which, (rollout * (which + 1)) % ROLLOUTS);
        }
    }
    let metrics = &mesh.proxy.borrow().metrics;
    // The rest of 4,096 is for series without a name.
    assert!(
        (3_900..=4_096).contains(&metrics.len()),
        "{}",
        metrics.len()
    );
    let total: u64 = metrics
        .iter()
        .filter(|(name, _)| name.ends_with("bluegreen_responses_total"))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(total, 3 * ROLLOUTS as u64, "no response is lost");
    let other = "bg_rollout=.=other;.;bg_version=.=other;.;bg_source=.=identity-cookie;.;\
                 bg_code=.=2xx;.;bluegreen_responses_total";
    assert!(metrics[other] > 1_000);
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

const NAMES: [&str; 14] = [
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
    "cache-control",
    "x-bluegreen-route",
    "x-other",
];

/// Values that come close to what the filter looks for.
const VALUES: [&[u8]; 18] = [
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
    b"public, s-maxage=60",
    b"via_upstream outbound|80|blue|shop /namespaces/ns/virtual-service/web",
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
        .map(|i| format!(r#""r{i}": {{"hosts": ["h{i}.example", "*.b{i}.example"]}}"#))
        .collect();
    let many = format!(
        r#"{{"role": "gateway", "rollouts": {{{}}}}}"#,
        hosts.join(",")
    );
    let query = r#""pin": {"query": "version-pin"}, "identity": {"header": "x-user-id"}"#;
    let configurations = [
        GOOD.to_owned(),
        GOOD.replace("gateway", "client"),
        GOOD.replace("gateway", "server"),
        GOOD.replace(r#""role""#, &format!(r#"{query}, "role""#)),
        GOOD.replace(
            r#""role""#,
            r#""rollouts": {"a": {"hosts": ["*.shop.example"], "pathPrefixes": ["/"], "pin": null}},
               "identity": {"first": "cookie", "header": "x-user-id", "cookie": {"mint": false}}, "role""#,
        ),
        many,
        BAD.to_owned(),
    ];
    let label = "xds.node.metadata.LABELS.version".to_owned();
    let label = (label, b"green".to_vec());
    mesh.proxy.borrow_mut().properties.extend([label]);
    let mut roots = Vec::new();
    for (i, json) in configurations.iter().enumerate() {
        mesh.name(&format!("plugin-{i}"));
        roots.push(vm.configure(json.as_bytes()));
    }

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
            if random.below(2) == 0 {
                vm.state().response.extend(marked());
            }
            vm.response(stream);
        }
        vm.end(stream);
        if i == 499_999 {
            half = vm.pages();
        }
    }
    assert_eq!(vm.pages(), half, "memory that stays");
    // Two of the values are routes, and each has a source and a code of these.
    let metrics = mesh.proxy.borrow().metrics.len();
    assert!(metrics < 400, "{metrics} metrics: strangers make them");
}
