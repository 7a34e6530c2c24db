//! The entry point: Envoy's callbacks, each to the context that it is about.
//!
//! The SDK has a dispatcher of its own, for all that a filter may do. This one
//! knows roots and streams, and leaves out what costs a request instructions:
//! boxes, type ids, maps of what never comes. Its functions have names of their
//! own, because the SDK's have those of the ABI; `postlink` gives them to ours.
#![expect(
    unsafe_code,
    reason = "the host finds callbacks by their exported names"
)]

use crate::filter::{Root, Stream};
use proxy_wasm::types::{Action, LogLevel};
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::cell::RefCell;

// `_initialize`, which Envoy calls once a VM.
proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
}}

/// Envoy's number for a root context or a stream, unique within a VM.
type ContextId = u32;

/// What lives in one VM. A VM has one thread.
struct Contexts {
    /// One for each plugin of the proxy, twice during an update.
    roots: Vec<(ContextId, Root)>,
    streams: FxHashMap<ContextId, Stream>,
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = const {
        RefCell::new(Contexts {
            roots: Vec::new(),
            streams: FxHashMap::with_hasher(FxBuildHasher),
        })
    };
}

/// A root context (`root` is 0), or a stream of the root context `root`.
#[unsafe(export_name = "bluegreen_on_context_create")]
extern "C" fn on_context_create(id: ContextId, root: ContextId) {
    CONTEXTS.with_borrow_mut(|contexts| {
        if root == 0 {
            contexts.roots.push((id, Root::default()));
        } else if let Some(stream) = contexts.root(root).and_then(|root| root.stream()) {
            contexts.streams.insert(id, stream);
        }
    });
}

#[unsafe(export_name = "bluegreen_on_configure")]
extern "C" fn on_configure(id: ContextId, size: usize) -> bool {
    CONTEXTS.with_borrow_mut(|contexts| {
        let root = contexts.root(id);
        root.is_some_and(|root| root.on_configure(size))
    })
}

#[unsafe(export_name = "bluegreen_on_request_headers")]
extern "C" fn on_request_headers(id: ContextId, _headers: usize, _end_of_stream: bool) -> Action {
    for_stream(id, Stream::on_request_headers)
}

#[unsafe(export_name = "bluegreen_on_response_headers")]
extern "C" fn on_response_headers(id: ContextId, _headers: usize, _end_of_stream: bool) -> Action {
    for_stream(id, Stream::on_response_headers)
}

/// The end of a stream, or of a root context.
#[unsafe(export_name = "bluegreen_on_delete")]
extern "C" fn on_delete(id: ContextId) {
    CONTEXTS.with_borrow_mut(|contexts| {
        if contexts.streams.remove(&id).is_none() {
            contexts.roots.retain(|(root, _)| *root != id);
        }
    });
}

/// Calls a stream, if it is our business; the request always goes on.
fn for_stream(id: ContextId, call: impl FnOnce(&mut Stream)) -> Action {
    CONTEXTS.with_borrow_mut(|contexts| contexts.streams.get_mut(&id).map(call));
    Action::Continue
}

impl Contexts {
    fn root(&mut self, id: ContextId) -> Option<&mut Root> {
        let mut roots = self.roots.iter_mut();
        roots.find(|(root, _)| *root == id).map(|(_, root)| root)
    }
}
