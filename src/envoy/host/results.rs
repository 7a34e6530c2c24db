//! Where the host puts its results: into a buffer that each callback begins
//! anew, or, when they are too long for it, into the heap.
//!
//! The host asks for room by `proxy_on_memory_allocate`, in the middle of the call
//! that it answers. A heap in that place costs each result some 250 instructions.

use super::{OK, RawStatus};
use std::borrow::Cow;
use std::cell::{Cell, UnsafeCell};
use std::{ptr, slice};

/// How many bytes of results of one callback need no heap.
const ROOM: usize = 8192;

struct Buffer {
    bytes: UnsafeCell<[u8; ROOM]>,
    used: Cell<usize>,
}

thread_local! {
    static BUFFER: Buffer = const {
        Buffer {
            bytes: UnsafeCell::new([0; ROOM]),
            used: Cell::new(0),
        }
    };
}

/// The results of one callback. They live as long as it does.
pub(crate) struct Results {
    /// How many bytes were used before it began, and are when it ends.
    before: usize,
}

impl Results {
    /// Makes room for the results of a callback.
    pub(crate) fn begin() -> Self {
        let before = BUFFER.with(|buffer| buffer.used.get());
        Self { before }
    }

    /// Returns the result of a call, which says where it is and how long; `None` when the
    /// call fails.
    ///
    /// `call` must be a host function that puts its result where
    /// `proxy_on_memory_allocate` said, or writes nothing.
    #[expect(clippy::unused_self, reason = "what is lent may not outlive it")]
    pub(super) fn result_of(
        &self,
        call: impl FnOnce(*mut *mut u8, *mut usize) -> RawStatus,
    ) -> Option<Cow<'_, [u8]>> {
        let (mut data, mut size) = (ptr::null_mut(), 0);
        if call(&raw mut data, &raw mut size) != OK {
            return None;
        }
        if data.is_null() {
            return Some(Cow::Borrowed(&[]));
        }
        let lent = BUFFER.with(|buffer| buffer.contains(data));
        Some(if lent {
            // SAFETY: `on_memory_allocate` gave these bytes to nobody else, and does
            // not until this is dropped, which nothing borrowed from it outlives.
            Cow::Borrowed(unsafe { slice::from_raw_parts(data, size) })
        } else {
            // SAFETY: `on_memory_allocate` left a boxed slice of this size, for us,
            // and the host has written to all of it.
            let bytes = unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(data, size)) };
            Cow::Owned(bytes.into_vec())
        })
    }
}

impl Drop for Results {
    fn drop(&mut self) {
        BUFFER.with(|buffer| buffer.used.set(self.before));
    }
}

impl Buffer {
    fn contains(&self, data: *const u8) -> bool {
        // What lies before the buffer wraps around to more than its size.
        data.addr().wrapping_sub(self.bytes.get().addr()) < ROOM
    }

    /// Returns the next `size` bytes, if there are so many left.
    fn lend(&self, size: usize) -> Option<*mut u8> {
        let used = self.used.get();
        let end = used.checked_add(size).filter(|end| *end <= ROOM)?;
        self.used.set(end);
        Some(self.bytes.get().cast::<u8>().wrapping_add(used))
    }
}

/// Returns room for a result of `size` bytes, more than 0.
#[unsafe(export_name = "bluegreen_on_memory_allocate")]
extern "C" fn on_memory_allocate(size: usize) -> *mut u8 {
    BUFFER
        .with(|buffer| buffer.lend(size))
        .unwrap_or_else(|| Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast())
}
