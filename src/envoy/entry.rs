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

use super::filter::{NewStream, Root, Stream, Vm};
use super::host::{self, ContextId};
use proxy_wasm::types::{Action, LogLevel};
use rustc_hash::{FxBuildHasher, FxHashMap};
use std::cell::RefCell;

// `_initialize`, which Envoy calls once a VM.
proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
}}

/// What lives in one VM. A VM has one thread.
///
/// The host does not tell of an end: to be called at the end of each stream
/// (`proxy_on_delete`) costs each request 1,400 instructions. A stream is let go
/// with its response, and what ended without one is looked for when there are many.
struct Contexts {
    /// What outlives all contexts.
    vm: Option<Vm>,
    /// One for each plugin of the proxy, twice during an update.
    roots: Vec<(ContextId, Root)>,
    /// Streams whose request has not come: one, for with all Envoys that are known the
    /// request comes next.
    new: Vec<(ContextId, NewStream)>,
    /// Streams that wait for their response.
    waiting: FxHashMap<ContextId, Stream>,
    /// The most streams that wait before those that ended are looked for.
    most_waiting: usize,
}

/// The least of `most_waiting`, which take 20 KB.
const FEW: usize = 256;

thread_local! {
    static CONTEXTS: RefCell<Contexts> = const {
        RefCell::new(Contexts {
            vm: None,
            roots: Vec::new(),
            new: Vec::new(),
            waiting: FxHashMap::with_hasher(FxBuildHasher),
            most_waiting: FEW,
        })
    };
}

/// There is a new root context (`root` is 0), or a stream of the root context `root`.
#[unsafe(export_name = "bluegreen_on_context_create")]
extern "C" fn on_context_create(id: ContextId, root: ContextId) {
    CONTEXTS.with_borrow_mut(|contexts| {
        if root == 0 {
            contexts
                .roots
                .retain(|(root, _)| host::context_exists(*root));
            contexts.roots.push((id, Root::default()));
        } else if let Some(stream) = contexts.root(root).and_then(Root::stream) {
            if contexts.new.len() >= FEW {
                contexts
                    .new
                    .retain(|(stream, _)| host::context_exists(*stream));
            }
            contexts.new.push((id, stream));
        }
    });
}

/// Takes each configuration, whatever it is.
#[unsafe(export_name = "bluegreen_on_configure")]
extern "C" fn on_configure(id: ContextId, size: usize) -> bool {
    CONTEXTS.with_borrow_mut(|contexts| {
        let vm = contexts.vm.get_or_insert_default();
        let mut roots = contexts.roots.iter_mut();
        if let Some((_, root)) = roots.find(|(root, _)| *root == id) {
            root.on_configure(size, vm);
        }
    });
    true
}

#[unsafe(export_name = "bluegreen_on_request_headers")]
extern "C" fn on_request_headers(id: ContextId, _headers: usize, _end_of_stream: bool) -> Action {
    CONTEXTS.with_borrow_mut(|contexts| {
        let at = contexts.new.iter().rposition(|(stream, _)| *stream == id);
        let new = at.map(|at| contexts.new.swap_remove(at).1);
        let vm = contexts.vm.get_or_insert_default();
        if let Some(stream) = new.and_then(|new| new.on_request_headers(vm)) {
            contexts.wait(id, stream);
        }
    });
    Action::Continue
}

#[unsafe(export_name = "bluegreen_on_response_headers")]
extern "C" fn on_response_headers(id: ContextId, _headers: usize, _end_of_stream: bool) -> Action {
    CONTEXTS.with_borrow_mut(|contexts| {
        if let Some(stream) = contexts.waiting.remove(&id) {
            stream.on_response_headers(contexts.vm.get_or_insert_default());
        }
    });
    Action::Continue
}

impl Contexts {
    fn root(&self, id: ContextId) -> Option<&Root> {
        let mut roots = self.roots.iter();
        roots.find(|(root, _)| *root == id).map(|(_, root)| root)
    }

    fn wait(&mut self, id: ContextId, stream: Stream) {
        if self.waiting.len() >= self.most_waiting {
            self.waiting
                .retain(|stream, _| host::context_exists(*stream));
            // As many again: so each stream is asked about once or twice.
            self.most_waiting = FEW.max(self.waiting.len().saturating_mul(2));
        }
        self.waiting.insert(id, stream);
    }
}
