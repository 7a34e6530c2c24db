//! A proxy-wasm host in an interpreter: it plays Envoy to the module that
//! `make build` leaves, and counts what the module costs.
//!
//! It offers the imports of the list in [`linker`] and no others, so a module
//! that asks for more does not load. Fuel, the interpreter's unit of work, is
//! the same in every run.

#[path = "../signing/mod.rs"]
pub(crate) mod signing;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use wasmi::{
    Caller, Config, Engine, Error, Instance, Linker, Memory, Module, Store, TypedFunc, WasmParams,
};

/// Header fields in order. Names are lowercase.
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

const OK: i32 = 0;
const NOT_FOUND: i32 = 1;
const BAD_ARGUMENT: i32 = 2;
const CAS_MISMATCH: i32 = 8;

/// What all VMs of one proxy share.
pub(crate) struct Proxy {
    /// Properties by path, as in `xds.node.id`.
    pub properties: BTreeMap<String, Vec<u8>>,
    /// Counters and gauges by name.
    pub metrics: BTreeMap<String, u64>,
    /// Lines of the log.
    pub log: Vec<String>,
    /// The time in seconds since 1970.
    pub now: u64,
    /// Whether it has no `verify_signature`.
    pub lacks_verify_signature: bool,
    /// How often VMs have defined a metric; each time takes memory of Envoy.
    pub definitions: usize,
    /// Values and generations by key.
    shared: BTreeMap<Vec<u8>, (Vec<u8>, i32)>,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            properties: BTreeMap::new(),
            metrics: BTreeMap::new(),
            log: Vec::new(),
            now: signing::NOW,
            lacks_verify_signature: false,
            definitions: 0,
            shared: BTreeMap::new(),
        }
    }
}

/// The phase of the current stream: Envoy answers questions about headers only
/// in theirs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    None,
    Request,
    Response,
}

/// The host's side of one VM.
#[derive(Default)]
pub(crate) struct State {
    proxy: Rc<RefCell<Proxy>>,
    memory: Option<Memory>,
    allocate: Option<TypedFunc<i32, i32>>,
    configuration: Vec<u8>,
    metrics: Vec<String>,
    /// The root contexts and streams that have not ended.
    contexts: BTreeSet<i32>,
    phase: Phase,
    /// Request headers of the current stream.
    pub request: Headers,
    /// Response headers of the current stream.
    pub response: Headers,
    /// What an identity is minted from.
    pub random: u64,
    /// Whether to keep the names of hostcalls.
    pub records: bool,
    /// Hostcalls of streams, in the words of the table.
    pub calls: Vec<String>,
}

impl State {
    fn called(&mut self, call: impl FnOnce() -> String) {
        if self.records && self.phase != Phase::None {
            self.calls.push(call());
        }
    }

    fn headers(&mut self, map: i32) -> Option<&mut Headers> {
        match (map, self.phase) {
            (0, Phase::Request) => Some(&mut self.request),
            (2, Phase::Response) => Some(&mut self.response),
            _ => None,
        }
    }
}

/// The module in one VM.
pub(crate) struct Vm {
    store: Store<State>,
    instance: Instance,
    next_context: i32,
}

/// The path of the module: `BLUEGREEN_WASM`, else what `make build` leaves.
pub(crate) fn path() -> PathBuf {
    std::env::var_os("BLUEGREEN_WASM").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/bluegreen.wasm"),
        PathBuf::from,
    )
}

/// The module's bytes.
pub(crate) fn bytes() -> Vec<u8> {
    let path = path();
    std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run `make build`", path.display()))
}

/// The compiled module, from which VMs are made.
pub(crate) fn module() -> Module {
    compiled(&bytes())
}

fn compiled(bytes: &[u8]) -> Module {
    let mut config = Config::default();
    config.consume_fuel(true);
    Module::new(&Engine::new(&config), bytes).unwrap()
}

/// What the module's allocator is called by; a module without any of them fails.
const ALLOCATING: [&str; 5] = [
    "malloc",
    "calloc",
    "realloc",
    "aligned_alloc",
    "posix_memalign",
];

const ALLOCATIONS: &str = "allocations";

/// The same module, but its allocator counts: see [`Vm::allocations`].
pub(crate) fn counting_module() -> Module {
    use walrus::ir::{BinaryOp, Value};
    use walrus::{ConstExpr, FunctionKind, ValType};
    let mut module = walrus::Module::from_buffer(&bytes()).unwrap();
    let zero = ConstExpr::Value(Value::I64(0));
    let count = module.globals.add_local(ValType::I64, true, false, zero);
    module.exports.add(ALLOCATIONS, count);
    let mut found = 0;
    for function in module.funcs.iter_mut() {
        let named = |name: &str| ALLOCATING.contains(&name);
        if let (true, FunctionKind::Local(local)) = (
            function.name.as_deref().is_some_and(named),
            &mut function.kind,
        ) {
            found += 1;
            let mut body = local.builder_mut().func_body();
            body.global_get_at(0, count)
                .const_at(1, Value::I64(1))
                .binop_at(2, BinaryOp::I64Add)
                .global_set_at(3, count);
        }
    }
    assert!(
        found > 0,
        "the module has no allocator by the name of any of these: {ALLOCATING:?}"
    );
    compiled(&module.emit_wasm())
}

impl Vm {
    /// Starts a VM in a proxy.
    pub(crate) fn start(module: &Module, proxy: &Rc<RefCell<Proxy>>) -> Self {
        let engine = module.engine().clone();
        let mut store = Store::new(
            &engine,
            State {
                proxy: Rc::clone(proxy),
                random: 0x5eed_0000_1111_2222,
                records: true,
                ..State::default()
            },
        );
        store.set_fuel(u64::MAX).unwrap();
        let instance = linker(&engine)
            .instantiate_and_start(&mut store, module)
            .expect("the imports are those of the list");
        store.data_mut().memory = instance.get_memory(&store, "memory");
        store.data_mut().allocate = instance
            .get_typed_func(&store, "proxy_on_memory_allocate")
            .ok();
        let mut vm = Self {
            store,
            instance,
            next_context: 1,
        };
        vm.call::<_, ()>("_initialize", ());
        vm
    }

    /// A new root context, configured with these bytes, which it must take: its id.
    pub(crate) fn configure(&mut self, json: &[u8]) -> i32 {
        let root = self.new_context(0);
        self.state().configuration = json.to_vec();
        let size = i32::try_from(json.len()).unwrap();
        let taken: i32 = self.call("proxy_on_configure", (root, size));
        assert_eq!(
            taken, 1,
            "a configuration that is refused can cost all requests"
        );
        root
    }

    /// A new stream of a root context.
    pub(crate) fn stream(&mut self, root: i32) -> i32 {
        self.new_context(root)
    }

    /// The stream's request headers go through the filter.
    pub(crate) fn request(&mut self, stream: i32) {
        self.headers(stream, Phase::Request, "proxy_on_request_headers");
    }

    /// The stream's response headers go through the filter.
    pub(crate) fn response(&mut self, stream: i32) {
        self.headers(stream, Phase::Response, "proxy_on_response_headers");
    }

    /// The end of a stream or of a root context. The module is not told.
    pub(crate) fn end(&mut self, context: i32) {
        self.state().contexts.remove(&context);
    }

    /// The host's side.
    pub(crate) fn state(&mut self) -> &mut State {
        self.store.data_mut()
    }

    /// Work done since the start, in fuel.
    pub(crate) fn fuel(&self) -> u64 {
        u64::MAX - self.store.get_fuel().unwrap()
    }

    /// The size of the VM's memory, in pages of 64 KiB.
    pub(crate) fn pages(&self) -> u64 {
        let memory = self.store.data().memory.expect("the module has a memory");
        memory.size(&self.store)
    }

    /// Allocations since the start; of a [`counting_module`].
    pub(crate) fn allocations(&mut self) -> i64 {
        let count = self.instance.get_global(&self.store, ALLOCATIONS);
        let value = count.expect("a counting module").get(&self.store);
        value.i64().expect("a number")
    }

    fn new_context(&mut self, root: i32) -> i32 {
        let id = self.next_context;
        self.next_context += 1;
        self.state().contexts.insert(id);
        self.call::<_, ()>("proxy_on_context_create", (id, root));
        id
    }

    fn headers(&mut self, stream: i32, phase: Phase, callback: &str) {
        self.state().phase = phase;
        let action: i32 = self.call(callback, (stream, 1, 1));
        assert_eq!(action, OK, "the filter never pauses");
        self.state().phase = Phase::None;
    }

    fn call<P: WasmParams, R: wasmi::WasmResults>(&mut self, name: &str, params: P) -> R {
        self.instance
            .get_typed_func::<P, R>(&self.store, name)
            .unwrap_or_else(|error| panic!("{name}: {error}"))
            .call(&mut self.store, params)
            .unwrap_or_else(|error| panic!("{name} trapped: {error}"))
    }
}

/// The imports that the filter's job needs, and no others.
fn linker(engine: &Engine) -> Linker<State> {
    let mut linker = Linker::new(engine);
    let link = |linker: &mut Linker<State>| -> Result<(), Error> {
        linker.func_wrap("env", "proxy_log", log)?;
        linker.func_wrap("env", "proxy_set_effective_context", set_context)?;
        linker.func_wrap("env", "proxy_get_buffer_bytes", get_buffer)?;
        linker.func_wrap("env", "proxy_get_header_map_pairs", get_headers)?;
        linker.func_wrap("env", "proxy_get_header_map_value", get_header)?;
        linker.func_wrap("env", "proxy_add_header_map_value", add_header)?;
        linker.func_wrap("env", "proxy_replace_header_map_value", replace_header)?;
        linker.func_wrap("env", "proxy_remove_header_map_value", remove_header)?;
        linker.func_wrap("env", "proxy_get_property", get_property)?;
        linker.func_wrap("env", "proxy_set_property", set_property)?;
        linker.func_wrap("env", "proxy_get_current_time_nanoseconds", get_time)?;
        linker.func_wrap("env", "proxy_call_foreign_function", call_foreign)?;
        linker.func_wrap("env", "proxy_define_metric", define_metric)?;
        linker.func_wrap("env", "proxy_increment_metric", increment_metric)?;
        linker.func_wrap("env", "proxy_record_metric", record_metric)?;
        linker.func_wrap("env", "proxy_get_metric", get_metric)?;
        linker.func_wrap("env", "proxy_get_shared_data", get_shared)?;
        linker.func_wrap("env", "proxy_set_shared_data", set_shared)?;
        let wasi = "wasi_snapshot_preview1";
        linker.func_wrap(wasi, "random_get", random_get)?;
        linker.func_wrap(wasi, "proc_exit", |code: i32| -> Result<(), Error> {
            Err(Error::i32_exit(code))
        })?;
        Ok(())
    };
    link(&mut linker).unwrap();
    linker
}

type Call<'c> = Caller<'c, State>;

fn read(caller: &Call, at: i32, size: i32) -> Vec<u8> {
    let memory = caller.data().memory.expect("the module has a memory");
    let (at, size) = (at as u32 as usize, size as u32 as usize);
    memory.data(caller)[at..at + size].to_vec()
}

fn read_text(caller: &Call, at: i32, size: i32) -> String {
    String::from_utf8(read(caller, at, size)).expect("names are text")
}

fn write(caller: &mut Call, at: i32, bytes: &[u8]) {
    let memory = caller.data().memory.expect("the module has a memory");
    memory.write(caller, at as u32 as usize, bytes).unwrap();
}

/// Hands bytes to the module, in memory that the module allocates.
fn give(caller: &mut Call, bytes: &[u8], data: i32, size: i32) -> i32 {
    let at = if bytes.is_empty() {
        0
    } else {
        let allocate = caller.data().allocate.expect("the module allocates");
        let len = i32::try_from(bytes.len()).unwrap();
        let at = allocate.call(&mut *caller, len).expect("memory is left");
        write(caller, at, bytes);
        at
    };
    write(caller, data, &at.to_le_bytes());
    write(caller, size, &(bytes.len() as u32).to_le_bytes());
    OK
}

fn log(caller: Call, level: i32, at: i32, size: i32) -> i32 {
    let line = read_text(&caller, at, size);
    let names = ["trace", "debug", "info", "warning", "error", "critical"];
    let name = names[usize::try_from(level).unwrap()];
    caller
        .data()
        .proxy
        .borrow_mut()
        .log
        .push(format!("{name}: {line}"));
    OK
}

fn set_context(caller: Call, context: i32) -> i32 {
    if caller.data().contexts.contains(&context) {
        OK
    } else {
        BAD_ARGUMENT
    }
}

fn get_buffer(mut caller: Call, kind: i32, start: i32, most: i32, data: i32, size: i32) -> i32 {
    if kind != 7 {
        return BAD_ARGUMENT;
    }
    let bytes = caller.data().configuration.clone();
    let (start, most) = (start as usize, most as usize);
    let end = bytes.len().min(start + most);
    give(&mut caller, &bytes[start..end], data, size)
}

fn get_headers(mut caller: Call, map: i32, data: i32, size: i32) -> i32 {
    caller.data_mut().called(|| "get all headers".to_owned());
    let Some(headers) = caller.data_mut().headers(map) else {
        return BAD_ARGUMENT;
    };
    let bytes = serialized(headers);
    give(&mut caller, &bytes, data, size)
}

fn get_header(mut caller: Call, map: i32, at: i32, len: i32, data: i32, size: i32) -> i32 {
    let name = read_text(&caller, at, len);
    caller.data_mut().called(|| format!("get {name}"));
    let Some(headers) = caller.data_mut().headers(map) else {
        return BAD_ARGUMENT;
    };
    let found = headers.iter().find(|(header, _)| *header == name);
    match found.map(|(_, value)| value.clone()) {
        Some(value) => give(&mut caller, &value, data, size),
        None => NOT_FOUND,
    }
}

/// Headers as a host hands them out all at once.
pub(crate) fn serialized(headers: &Headers) -> Vec<u8> {
    let fields: Vec<(&str, &[u8])> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_slice()))
        .collect();
    bluegreen::core::headers::serialized(&fields)
}

fn edit(
    caller: &mut Call,
    verb: &str,
    map: i32,
    (at, len): (i32, i32),
    change: impl FnOnce(&mut Headers, String),
) -> i32 {
    let name = read_text(caller, at, len);
    caller.data_mut().called(|| format!("{verb} {name}"));
    let Some(headers) = caller.data_mut().headers(map) else {
        return BAD_ARGUMENT;
    };
    change(headers, name);
    OK
}

fn add_header(mut caller: Call, map: i32, at: i32, len: i32, value: i32, size: i32) -> i32 {
    let value = read(&caller, value, size);
    edit(&mut caller, "add", map, (at, len), |headers, name| {
        headers.push((name, value));
    })
}

fn replace_header(mut caller: Call, map: i32, at: i32, len: i32, value: i32, size: i32) -> i32 {
    let value = read(&caller, value, size);
    edit(&mut caller, "set", map, (at, len), |headers, name| {
        headers.retain(|(header, _)| *header != name);
        headers.push((name, value));
    })
}

fn remove_header(mut caller: Call, map: i32, at: i32, len: i32) -> i32 {
    edit(&mut caller, "remove", map, (at, len), |headers, name| {
        headers.retain(|(header, _)| *header != name);
    })
}

fn get_property(mut caller: Call, at: i32, len: i32, data: i32, size: i32) -> i32 {
    let path = read_text(&caller, at, len).replace('\0', ".");
    caller.data_mut().called(|| format!("property {path}"));
    let state = caller.data();
    let value = match path.strip_prefix("request.headers.") {
        Some(name) => joined(&state.request, name),
        None => state.proxy.borrow().properties.get(&path).cloned(),
    };
    match value {
        Some(value) => give(&mut caller, &value, data, size),
        None => NOT_FOUND,
    }
}

fn set_property(mut caller: Call, at: i32, len: i32, value: i32, size: i32) -> i32 {
    let path = read_text(&caller, at, len);
    let value = read_text(&caller, value, size);
    caller
        .data_mut()
        .called(|| format!("set property {path} {value}"));
    OK
}

fn get_time(mut caller: Call, at: i32) -> i32 {
    caller.data_mut().called(|| "time".to_owned());
    let nanoseconds = caller.data().proxy.borrow().now * 1_000_000_000 + 999_999_999;
    write(&mut caller, at, &nanoseconds.to_le_bytes());
    OK
}

fn call_foreign(
    mut caller: Call,
    name: i32,
    len: i32,
    arguments: i32,
    size: i32,
    data: i32,
    data_size: i32,
) -> i32 {
    let name = read_text(&caller, name, len);
    caller.data_mut().called(|| format!("call {name}"));
    if name != "verify_signature" || caller.data().proxy.borrow().lacks_verify_signature {
        return NOT_FOUND;
    }
    let answer = signing::verify_signature(&read(&caller, arguments, size));
    give(&mut caller, &answer, data, data_size)
}

/// All values of a header, as Envoy's properties join them.
pub(crate) fn joined(headers: &Headers, name: &str) -> Option<Vec<u8>> {
    let values: Vec<&[u8]> = headers
        .iter()
        .filter(|(header, _)| header == name)
        .map(|(_, value)| value.as_slice())
        .collect();
    (!values.is_empty()).then(|| values.join(&b','))
}

fn define_metric(mut caller: Call, kind: i32, at: i32, len: i32, id: i32) -> i32 {
    const KINDS: [i32; 2] = [0, 1];
    if !KINDS.contains(&kind) {
        return BAD_ARGUMENT;
    }
    let name = read_text(&caller, at, len);
    let state = caller.data_mut();
    let mut proxy = state.proxy.borrow_mut();
    proxy.metrics.entry(name.clone()).or_default();
    proxy.definitions += 1;
    drop(proxy);
    state.metrics.push(name);
    let new = state.metrics.len() as u32;
    write(&mut caller, id, &new.to_le_bytes());
    OK
}

/// Shows `change` the value of a metric.
fn with_metric(caller: &mut Call, id: i32, change: impl FnOnce(&mut u64)) -> i32 {
    let state = caller.data();
    let name = usize::try_from(id - 1)
        .ok()
        .and_then(|id| state.metrics.get(id));
    let Some(name) = name else {
        return NOT_FOUND;
    };
    let mut proxy = state.proxy.borrow_mut();
    change(proxy.metrics.get_mut(name).expect("it was defined"));
    OK
}

fn increment_metric(mut caller: Call, id: i32, by: i64) -> i32 {
    caller.data_mut().called(|| "count".to_owned());
    with_metric(&mut caller, id, |value| {
        *value += u64::try_from(by).unwrap()
    })
}

fn record_metric(mut caller: Call, id: i32, new: i64) -> i32 {
    caller.data_mut().called(|| "record".to_owned());
    with_metric(&mut caller, id, |value| {
        *value = u64::try_from(new).unwrap()
    })
}

fn get_metric(mut caller: Call, id: i32, at: i32) -> i32 {
    let mut found = 0;
    let status = with_metric(&mut caller, id, |value| found = *value);
    write(&mut caller, at, &found.to_le_bytes());
    status
}

fn get_shared(mut caller: Call, at: i32, len: i32, data: i32, size: i32, cas: i32) -> i32 {
    let key = read(&caller, at, len);
    let found = caller.data().proxy.borrow().shared.get(&key).cloned();
    match found {
        Some((value, generation)) => {
            write(&mut caller, cas, &generation.to_le_bytes());
            give(&mut caller, &value, data, size)
        }
        None => NOT_FOUND,
    }
}

fn set_shared(caller: Call, at: i32, len: i32, value: i32, size: i32, cas: i32) -> i32 {
    let (key, value) = (read(&caller, at, len), read(&caller, value, size));
    let mut proxy = caller.data().proxy.borrow_mut();
    let generation = proxy
        .shared
        .get(&key)
        .map_or(0, |(_, generation)| *generation);
    if cas != 0 && cas != generation {
        return CAS_MISMATCH;
    }
    proxy.shared.insert(key, (value, generation + 1));
    OK
}

fn random_get(mut caller: Call, at: i32, size: i32) -> i32 {
    caller.data_mut().called(|| "random".to_owned());
    // Whole numbers, each one greater than the one before.
    let (numbers, rest) = (size / 8, size % 8);
    assert_eq!(rest, 0, "{size} bytes");
    let first = caller.data().random;
    let bytes: Vec<u8> = (0..u64::try_from(numbers).unwrap())
        .flat_map(|i| first.wrapping_add(i).to_le_bytes())
        .collect();
    write(&mut caller, at, &bytes);
    OK
}

/// The names of a module's imports, as in `env.proxy_log`.
pub(crate) fn imports(module: &Module) -> Vec<String> {
    let name = |import: wasmi::ImportType| format!("{}.{}", import.module(), import.name());
    module.imports().map(name).collect()
}

/// The names of a module's exports.
pub(crate) fn exports(module: &Module) -> Vec<String> {
    module
        .exports()
        .map(|export| export.name().to_owned())
        .collect()
}
