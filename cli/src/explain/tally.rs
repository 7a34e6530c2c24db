//! The counters that grow.

use bluegreen::core::metrics::{CounterId, Registry};
use std::collections::BTreeMap;

/// Counters by name, as the host would keep them.
#[derive(Default)]
pub(super) struct Tally {
    names: Vec<String>,
    pub(super) counts: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts what `each` shows.
    pub(super) fn count(&mut self, each: impl FnOnce(&mut Self, &mut dyn FnMut(CounterId))) {
        let mut ids = Vec::new();
        each(self, &mut |id| ids.push(id));
        for id in ids {
            let name = usize::try_from(id).ok().and_then(|id| self.names.get(id));
            if let Some(name) = name {
                *self.counts.entry(name.clone()).or_default() += 1;
            }
        }
    }
}

impl Registry for Tally {
    fn admits(&mut self, _: &str) -> bool {
        true
    }

    fn define(&mut self, name: &str) -> Option<CounterId> {
        self.names.push(name.to_owned());
        u32::try_from(self.names.len() - 1).ok()
    }
}
