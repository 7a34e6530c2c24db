//! The host seam: the only file that calls Envoy.
//!
//! The SDK's wrappers panic on any status that they do not expect, and a panic
//! costs the worker its VM. So the calls of a stream are made here, and each
//! status becomes one of two results: there, or not. Its wrappers serve where a
//! panic is impossible or only refuses a configuration.
#![expect(unsafe_code, reason = "the host seam: each block says why it holds")]
#![expect(clippy::disallowed_methods, reason = "only this file calls the host")]

mod results;

use crate::core::facts::{Bytes, RequestFacts, ResponseFacts};
use crate::core::headers::Headers;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType, Status};
pub(crate) use results::Results;
use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::time::Duration;

/// The host's number for a root context or a stream, unique within a VM.
pub(crate) type ContextId = u32;

/// So many random numbers are got at once: a call costs 5,000 instructions,
/// however many bytes it is for.
const RANDOM_NUMBERS: usize = 32;

thread_local! {
    /// Those that nobody took yet.
    static RANDOM: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// The facts about the request of the current stream.
///
/// Two headers by their names are dearer than all of them at once, and one is
/// cheaper. Who was asked for one header goes on, or does not, much as before: so the
/// last request tells how to begin.
pub(crate) struct Request<'p> {
    results: &'p Results,
    all: OnceCell<Headers<'p>>,
    asked: Cell<bool>,
    asked_again: Cell<bool>,
    goes_on: &'p Cell<bool>,
}

impl<'p> Request<'p> {
    /// For as long as the callback lasts. `goes_on`: whether the last request was asked
    /// for more than one header.
    pub(crate) fn current(results: &'p Results, goes_on: &'p Cell<bool>) -> Self {
        Self {
            results,
            all: OnceCell::new(),
            asked: Cell::new(false),
            asked_again: Cell::new(false),
            goes_on,
        }
    }

    fn all(&self) -> &Headers<'p> {
        let ask = || self.results.headers(MapType::HttpRequestHeaders);
        self.all.get_or_init(ask)
    }

    fn note(&self) {
        self.asked_again.set(self.asked.replace(true));
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        if self.asked.get() {
            self.goes_on.set(self.asked_again.get());
        }
    }
}

impl RequestFacts for Request<'_> {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        self.note();
        if self.goes_on.get() {
            self.all().first(name).map(Bytes::from)
        } else {
            self.results.header(MapType::HttpRequestHeaders, name)
        }
    }

    fn headers(&self) -> &Headers<'_> {
        self.note();
        self.all()
    }

    fn random(&self) -> Option<u64> {
        RANDOM.with_borrow_mut(|numbers| {
            if numbers.is_empty() {
                let mut bytes = [[0; 8]; RANDOM_NUMBERS];
                // SAFETY: the host writes so many bytes to `bytes`.
                let errno = unsafe { random_get(bytes.as_mut_ptr().cast(), size_of_val(&bytes)) };
                if errno == 0 {
                    numbers.extend(bytes.map(u64::from_le_bytes).iter().rev());
                }
            }
            numbers.pop()
        })
    }
}

/// The facts about the response of the current stream.
pub(crate) struct Response<'p> {
    results: Results,
    was_there: &'p Cell<bool>,
}

impl<'p> Response<'p> {
    /// For as long as the callback lasts. `was_there`: whether the last response had
    /// the header that is asked for.
    pub(crate) fn current(was_there: &'p Cell<bool>) -> Self {
        let results = Results::begin();
        Self { results, was_there }
    }
}

impl ResponseFacts for Response<'_> {
    /// One that is there is cheaper among all headers (11,200 instructions) than by its
    /// name (13,100); for one that is not, its name is (4,100). Upstreams keep to what
    /// they do, so the last one tells.
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        let map = MapType::HttpResponseHeaders;
        let value = if self.was_there.get() {
            self.results.headers(map).into_first(name)
        } else {
            self.results.header(map, name)
        };
        self.was_there.set(value.is_some());
        value
    }

    fn code_details(&self) -> Option<Bytes<'_>> {
        self.results.property("response\0code_details")
    }

    fn cluster(&self) -> Option<Bytes<'_>> {
        self.results.property("xds\0cluster_name")
    }
}

/// Whether the listener of the current stream is inbound.
pub(crate) fn listener_is_inbound() -> bool {
    const INBOUND: [u8; 8] = 1_i64.to_le_bytes();
    property("xds\0listener_direction").is_some_and(|direction| direction == INBOUND)
}

/// The proxy's node id.
pub(crate) fn node_id() -> Option<Vec<u8>> {
    property("xds\0node\0id")
}

/// The value of a label of the proxy's pod.
pub(crate) fn pod_label(key: &str) -> Option<Vec<u8>> {
    property(&["xds", "node", "metadata", "LABELS", key].join("\0"))
}

/// A name that is this plugin's alone within its proxy.
pub(crate) fn plugin_name() -> Vec<u8> {
    let part = |path| property(path).unwrap_or_default();
    [part("plugin_name"), part("plugin_root_id")].join(&b'/')
}

/// The bytes of the `pluginConfig`; empty where there is none.
pub(crate) fn plugin_configuration(size: usize) -> Vec<u8> {
    let results = Results::begin();
    // SAFETY: the host writes both results.
    let bytes = results.result_of(|data, length| unsafe {
        proxy_get_buffer_bytes(BufferType::PluginConfiguration, 0, size, data, length)
    });
    bytes.map(Cow::into_owned).unwrap_or_default()
}

/// Makes `value` the only one of a request header.
pub(crate) fn set_request_header(name: &str, value: &[u8]) {
    set_header(MapType::HttpRequestHeaders, name, value);
}

/// Removes a request header.
pub(crate) fn remove_request_header(name: &str) {
    remove_header(MapType::HttpRequestHeaders, name);
}

/// Makes `value` the only one of a response header.
pub(crate) fn set_response_header(name: &str, value: &[u8]) {
    set_header(MapType::HttpResponseHeaders, name, value);
}

/// Removes a response header.
pub(crate) fn remove_response_header(name: &str) {
    remove_header(MapType::HttpResponseHeaders, name);
}

/// Adds a response header beside those of this name.
pub(crate) fn add_response_header(name: &str, value: &[u8]) {
    // SAFETY: the host reads `name` and `value` during the call. A failure
    // leaves the headers as they are.
    unsafe {
        proxy_add_header_map_value(
            MapType::HttpResponseHeaders,
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
        );
    }
}

/// Whether a context of this VM has not ended yet.
///
/// The host says so of one that calls shall be about from now on, and takes no other;
/// that lasts until the callback ends, so no call about the current one may follow.
pub(crate) fn context_exists(context: ContextId) -> bool {
    // SAFETY: the host reads a number.
    unsafe { proxy_set_effective_context(context) == OK }
}

/// Has the current root context called every `period`.
pub(crate) fn tick_every(period: Duration) {
    let milliseconds = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: the host reads a number.
    unsafe { proxy_set_tick_period_milliseconds(milliseconds) };
}

/// Nanoseconds since some moment, the same for all VMs of the proxy; 0 when the
/// host cannot tell.
pub(crate) fn uptime() -> u64 {
    const MONOTONIC: u32 = 1;
    let mut nanoseconds = 0;
    // SAFETY: the host writes the result, if it can tell.
    unsafe { clock_time_get(MONOTONIC, 1, &raw mut nanoseconds) };
    nanoseconds
}

/// Defines a counter: its id, the same for the same name in the whole proxy.
pub(crate) fn define_counter(name: &str) -> Option<u32> {
    hostcalls::define_metric(MetricType::Counter, name).ok()
}

/// Adds one to a counter.
pub(crate) fn increment(counter: u32) {
    // A failure loses a count, and nothing else.
    hostcalls::increment_metric(counter, 1).ok();
}

/// Data that all VMs of the proxy share: the value and its generation.
pub(crate) fn shared(key: &str) -> (Option<Vec<u8>>, Option<u32>) {
    let results = Results::begin();
    let mut generation = 0;
    // SAFETY: the host reads `key` during the call and writes the three results.
    let value = results.result_of(|data, size| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut generation)
    });
    // No generation is 0.
    (
        value.map(Cow::into_owned),
        (generation != 0).then_some(generation),
    )
}

/// Replaces shared data of this generation; `false` when another VM was faster.
pub(crate) fn set_shared(key: &str, value: &[u8], generation: Option<u32>) -> bool {
    hostcalls::set_shared_data(key, Some(value), generation) != Err(Status::CasMismatch)
}

fn set_header(map: MapType, name: &str, value: &[u8]) {
    // SAFETY: the host reads `name` and `value` during the call. A failure
    // leaves the headers as they are.
    unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len());
    }
}

fn remove_header(map: MapType, name: &str) {
    // SAFETY: the host reads `name` during the call. A failure leaves the
    // headers as they are.
    unsafe {
        proxy_remove_header_map_value(map, name.as_ptr(), name.len());
    }
}

impl Results {
    fn headers(&self, map: MapType) -> Headers<'_> {
        // SAFETY: the host writes both results.
        let serialized =
            self.result_of(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) });
        serialized.map(Headers::new).unwrap_or_default()
    }

    fn header(&self, map: MapType, name: &str) -> Option<Bytes<'_>> {
        // SAFETY: the host reads `name` during the call and writes both results.
        self.result_of(|data, size| unsafe {
            proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size)
        })
    }

    /// A property by its path, whose parts are joined with NUL.
    fn property(&self, path: &str) -> Option<Bytes<'_>> {
        // SAFETY: the host reads `path` during the call and writes both results.
        self.result_of(|data, size| unsafe {
            proxy_get_property(path.as_ptr(), path.len(), data, size)
        })
    }
}

/// A property whose value is kept.
fn property(path: &str) -> Option<Vec<u8>> {
    Results::begin().property(path).map(Cow::into_owned)
}

/// A status as the host returns it; the SDK's enum would be undefined
/// behaviour for a number that it does not know.
type RawStatus = u32;

const OK: RawStatus = 0;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_set_effective_context(context: ContextId) -> RawStatus;

    fn proxy_set_tick_period_milliseconds(period: u32) -> RawStatus;

    fn proxy_get_buffer_bytes(
        buffer: BufferType,
        start: usize,
        most: usize,
        bytes: *mut *mut u8,
        bytes_size: *mut usize,
    ) -> RawStatus;

    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
        generation: *mut u32,
    ) -> RawStatus;

    fn proxy_get_header_map_pairs(
        map: MapType,
        headers: *mut *mut u8,
        headers_size: *mut usize,
    ) -> RawStatus;

    fn proxy_get_header_map_value(
        map: MapType,
        name: *const u8,
        name_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> RawStatus;

    fn proxy_add_header_map_value(
        map: MapType,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> RawStatus;

    fn proxy_replace_header_map_value(
        map: MapType,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> RawStatus;

    fn proxy_remove_header_map_value(map: MapType, name: *const u8, name_size: usize) -> RawStatus;

    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        value: *mut *mut u8,
        value_size: *mut usize,
    ) -> RawStatus;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, size: usize) -> u16;

    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> u16;
}
