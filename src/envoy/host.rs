//! The host seam: the only file that calls Envoy.
//!
//! The SDK's wrappers panic on any status that they do not expect, and a panic
//! costs the worker its VM. So the calls of a stream are made here, and each
//! status becomes one of two results: there, or not. Its wrappers serve where a
//! panic is impossible or only refuses a configuration.
#![expect(unsafe_code, reason = "the host seam: each block says why it holds")]
#![expect(clippy::disallowed_methods, reason = "only this file calls the host")]

mod results;

use crate::core::edit::Edit;
use crate::core::headers::Headers;
use crate::core::metrics::CounterId;
use crate::core::properties::Properties;
use crate::core::signed_pin;
use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType, MetricType};
pub(crate) use results::Results;
use std::borrow::Cow;
use std::cell::RefCell;

/// The host's number for a root context or a stream, unique within a VM.
pub(crate) type ContextId = u32;

/// How many random numbers are fetched at once: a call costs 5,000 instructions,
/// however many bytes it is for.
const RANDOM_NUMBERS: usize = 32;

thread_local! {
    /// The random numbers that are left of the last call.
    static RANDOM: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Returns a random number; `None` when the host has none.
pub(crate) fn random() -> Option<u64> {
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

/// Returns whether the listener of the current stream is inbound.
pub(crate) fn listener_is_inbound() -> bool {
    const INBOUND: [u8; 8] = 1_i64.to_le_bytes();
    property("xds\0listener_direction").is_some_and(|direction| direction == INBOUND)
}

/// Returns the proxy's node id.
pub(crate) fn node_id() -> Option<Vec<u8>> {
    property("xds\0node\0id")
}

/// Returns the value of a label of the proxy's pod.
pub(crate) fn pod_label(key: &str) -> Option<Vec<u8>> {
    property(&["xds", "node", "metadata", "LABELS", key].join("\0"))
}

/// Returns whether the current request has a header.
pub(crate) fn has_request_header(name: &str) -> bool {
    let results = Results::begin();
    let map = MapType::HttpRequestHeaders;
    // SAFETY: the host reads `name` during the call and writes both results.
    let value = results.result_of(|data, size| unsafe {
        proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size)
    });
    value.is_some()
}

/// Returns the name of the current root context's plugin.
pub(crate) fn plugin_name() -> Vec<u8> {
    property("plugin_name").unwrap_or_default()
}

/// Returns what tells the current root context's plugin from the others of its proxy.
pub(crate) fn plugin_key() -> Vec<u8> {
    let root = property("plugin_root_id").unwrap_or_default();
    [plugin_name(), root].join(&b'/')
}

/// Returns the bytes of the `pluginConfig`; empty where there is none.
pub(crate) fn plugin_configuration(size: usize) -> Vec<u8> {
    let results = Results::begin();
    // SAFETY: the host writes both results.
    let bytes = results.result_of(|data, length| unsafe {
        proxy_get_buffer_bytes(BufferType::PluginConfiguration, 0, size, data, length)
    });
    bytes.map(Cow::into_owned).unwrap_or_default()
}

/// Does this to a request header.
pub(crate) fn edit_request_header(name: &str, edit: Edit<&[u8]>) {
    edit_header(MapType::HttpRequestHeaders, name, edit);
}

/// Does this to a response header. `Edit::Add` leaves the values that are there.
pub(crate) fn edit_response_header(name: &str, edit: Edit<&[u8]>) {
    edit_header(MapType::HttpResponseHeaders, name, edit);
}

/// The proxy, as far as signed pins need it.
pub(crate) struct Verifier;

impl signed_pin::Verifier for Verifier {
    fn seconds(&self) -> u64 {
        const NANOSECONDS: u64 = 1_000_000_000;
        let mut time = 0;
        // SAFETY: the host writes the result. A failure leaves 1970, where no token has
        // begun.
        unsafe { proxy_get_current_time_nanoseconds(&raw mut time) };
        time.wrapping_div(NANOSECONDS)
    }

    fn verify_signature(&self, arguments: &[u8]) -> Option<Vec<u8>> {
        const NAME: &str = "verify_signature";
        let results = Results::begin();
        // SAFETY: the host reads name and arguments during the call, and writes both
        // results.
        let answer = results.result_of(|data, size| unsafe {
            proxy_call_foreign_function(
                NAME.as_ptr(),
                NAME.len(),
                arguments.as_ptr(),
                arguments.len(),
                data,
                size,
            )
        });
        answer.map(Cow::into_owned)
    }
}

/// Says in an access log's words (`%FILTER_STATE(wasm.bluegreen_pinned_by:PLAIN)%`) who has
/// pinned the current request.
pub(crate) fn set_pinned_by(who: &str) {
    const NAME: &str = "bluegreen_pinned_by";
    // SAFETY: the host reads both during the call. A failure leaves it unsaid.
    unsafe { proxy_set_property(NAME.as_ptr(), NAME.len(), who.as_ptr(), who.len()) };
}

/// Returns whether a context of this VM has not ended yet.
///
/// The host is asked to make it the current context, and refuses one that has ended. The
/// change lasts until the callback ends, so no call about the one before may follow.
pub(crate) fn context_exists(context: ContextId) -> bool {
    // SAFETY: the host reads a number.
    unsafe { proxy_set_effective_context(context) == OK }
}

/// Defines a counter; its id, the same for the same name in the whole proxy.
pub(crate) fn define_counter(name: &str) -> Option<CounterId> {
    hostcalls::define_metric(MetricType::Counter, name).ok()
}

/// Defines a gauge; its id, the same for the same name in the whole proxy.
pub(crate) fn define_gauge(name: &str) -> Option<CounterId> {
    hostcalls::define_metric(MetricType::Gauge, name).ok()
}

/// Adds one to a counter.
pub(crate) fn increment(counter: CounterId) {
    // A failure loses a count, and nothing else.
    hostcalls::increment_metric(counter, 1).ok();
}

/// Makes `value` the one of a gauge.
pub(crate) fn record(gauge: CounterId, value: u64) {
    // A failure leaves the gauge as it is.
    hostcalls::record_metric(gauge, value).ok();
}

/// Returns the value of a counter or a gauge.
pub(crate) fn metric(id: CounterId) -> Option<u64> {
    hostcalls::get_metric(id).ok()
}

/// Returns data that all VMs of the proxy share: the value and its generation.
pub(crate) fn shared(key: &[u8]) -> (Option<Vec<u8>>, Option<u32>) {
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
pub(crate) fn set_shared(key: &[u8], value: &[u8], generation: Option<u32>) -> bool {
    // SAFETY: the host reads `key` and `value` during the call.
    let status = unsafe {
        proxy_set_shared_data(
            key.as_ptr(),
            key.len(),
            value.as_ptr(),
            value.len(),
            generation.unwrap_or_default(),
        )
    };
    status != CAS_MISMATCH
}

fn edit_header(map: MapType, name: &str, edit: Edit<&[u8]>) {
    let (of_name, size) = (name.as_ptr(), name.len());
    // SAFETY: the host reads `name` and the value during the call. A failure leaves
    // the headers as they are.
    unsafe {
        match edit {
            Edit::Keep => OK,
            Edit::Add(value) => {
                proxy_add_header_map_value(map, of_name, size, value.as_ptr(), value.len())
            }
            Edit::Set(value) => {
                proxy_replace_header_map_value(map, of_name, size, value.as_ptr(), value.len())
            }
            Edit::Remove => proxy_remove_header_map_value(map, of_name, size),
        }
    };
}

impl Results {
    /// Returns all headers of the current request.
    pub(crate) fn request_headers(&self) -> Headers<'_> {
        self.headers(MapType::HttpRequestHeaders)
    }

    /// Returns all headers of the current response.
    pub(crate) fn response_headers(&self) -> Headers<'_> {
        self.headers(MapType::HttpResponseHeaders)
    }

    fn headers(&self, map: MapType) -> Headers<'_> {
        // SAFETY: the host writes both results.
        let serialized =
            self.result_of(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) });
        serialized.map(Headers::new).unwrap_or_default()
    }
}

impl Properties for Results {
    fn route_name(&self) -> Option<Cow<'_, [u8]>> {
        self.property("xds\0route_name")
    }

    fn cluster(&self) -> Option<Cow<'_, [u8]>> {
        self.property("xds\0cluster_name")
    }

    fn code_details(&self) -> Option<Cow<'_, [u8]>> {
        self.property("response\0code_details")
    }
}

impl Results {
    /// Returns the property with this path, whose parts are joined with NUL.
    fn property(&self, path: &str) -> Option<Cow<'_, [u8]>> {
        // SAFETY: the host reads `path` during the call and writes both results.
        self.result_of(|data, size| unsafe {
            proxy_get_property(path.as_ptr(), path.len(), data, size)
        })
    }
}

/// Returns a copy of the property with this path, whose parts are joined with NUL.
fn property(path: &str) -> Option<Vec<u8>> {
    Results::begin().property(path).map(Cow::into_owned)
}

/// A status as the host returns it; the SDK's enum would be undefined
/// behaviour for a number that it does not know.
type RawStatus = u32;

const OK: RawStatus = 0;
const CAS_MISMATCH: RawStatus = 8;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_set_effective_context(context: ContextId) -> RawStatus;

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

    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        generation: u32,
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

    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> RawStatus;

    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> RawStatus;

    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        result: *mut *mut u8,
        result_size: *mut usize,
    ) -> RawStatus;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, size: usize) -> u16;
}
