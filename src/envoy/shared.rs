//! What the VMs of a proxy share: the last good configuration of each plugin, the
//! history of its configurations, and which series there are.
//!
//! All plugins of a proxy share one space of keys, so each key says whose it is. What
//! is kept under a key is replaced, never added to, and the keys are bounded by the
//! plugins and by the most series.

use super::host;
use crate::core::history::{History, Meeting, Place, print};
use crate::core::metrics::{CounterId, MOST_NAMED_SERIES, Registry};

/// Keeps the bytes of a good configuration of the plugin `name`.
pub(crate) fn keep_good(name: &[u8], json: &[u8]) {
    // No bytes mean all defaults, too, but not every host keeps no bytes.
    let json = if json.is_empty() { b"{}" } else { json };
    host::set_shared(&key("good", name), json, None);
}

/// Returns the bytes of the last good configuration that the plugin `name` had.
pub(crate) fn last_good(name: &[u8]) -> Option<Vec<u8>> {
    host::shared(&key("good", name)).0
}

/// Returns how this VM meets a configuration of the plugin `name`. `place` is how far it
/// had come before. From now on the plugin's gauge `wrong` tells whether the last one is
/// wrong; Envoy forgets it with the last VM, so it also tells whether others live.
pub(crate) fn meet(
    name: &[u8],
    json: &[u8],
    place: Option<Place>,
    is_wrong: bool,
    wrong: Option<CounterId>,
) -> Meeting {
    let key = key("history", name);
    let mut tries = 0..MOST_TRIES;
    loop {
        let (history, generation) = host::shared(&key);
        let history = history.and_then(|history| History::of_bytes(&history));
        let mut history = history.unwrap_or_default();
        // Of a good one it does not matter: nobody tells of it.
        let is_known = !is_wrong || wrong.is_some_and(|gauge| host::metric(gauge) == Some(1));
        let meeting = history.meet(place, json, is_known);
        if let Some(gauge) = wrong.filter(|_| meeting.is_last) {
            // Before others can find it: a VM that begins looks at both.
            host::record(gauge, is_wrong.into());
        }
        let stands = !meeting.is_new || host::set_shared(&key, &history.bytes(), generation);
        if stands || tries.next().is_none() {
            return meeting;
        }
    }
}

/// Returns whether no VM has told yet that the pod has no label of this key.
pub(crate) fn is_new_lack(name: &[u8], label: &str) -> bool {
    let key = key("lack", name);
    let print = print(label.as_bytes()).to_le_bytes();
    let (told, generation) = host::shared(&key);
    told.as_deref() != Some(&print) && host::set_shared(&key, &print, generation)
}

/// The counters of the proxy's rollouts.
pub(crate) struct Counters;

impl Registry for Counters {
    fn admits(&mut self, name: &str) -> bool {
        // The name's own key says that the proxy has it; the other one how many it has.
        let known = key("series", &print(name.as_bytes()).to_le_bytes());
        if host::shared(&known).0.is_some() {
            return true;
        }
        for _ in 0..MOST_TRIES {
            let (count, generation) = host::shared(SERIES);
            let count = count.and_then(|count| Some(u64::from_le_bytes(count.try_into().ok()?)));
            let next = count.unwrap_or_default().saturating_add(1);
            if usize::try_from(next).is_ok_and(|next| next > MOST_NAMED_SERIES) {
                return false;
            }
            if host::set_shared(SERIES, &next.to_le_bytes(), generation) {
                host::set_shared(&known, b"1", None);
                return true;
            }
        }
        false
    }

    fn define(&mut self, name: &str) -> Option<CounterId> {
        host::define_counter(name)
    }
}

/// The gauges of the proxy's plugins.
pub(crate) struct Gauges;

impl Registry for Gauges {
    fn admits(&mut self, _: &str) -> bool {
        true
    }

    fn define(&mut self, name: &str) -> Option<CounterId> {
        host::define_gauge(name)
    }
}

/// The key of the number of series.
const SERIES: &[u8] = b"bluegreen/series";

/// How often a VM tries again where another one was faster, which is not for long.
const MOST_TRIES: usize = 100;

fn key(topic: &str, of: &[u8]) -> Vec<u8> {
    [b"bluegreen/", topic.as_bytes(), b"/", of].concat()
}
