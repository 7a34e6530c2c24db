//! What the VMs of a proxy share: the last good configuration of each plugin, what was
//! told of wrong ones, and which series there are.
//!
//! All plugins of a proxy share one space of keys, so each key says whose it is. What
//! is kept under a key is replaced, never added to, and the keys are bounded by the
//! plugins and by the most series.

use super::host;
use crate::core::metrics::{CounterId, MOST_NAMED_SERIES, Registry};
use crate::core::reports::Report;

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

/// Returns whether this VM is the one to tell of a wrong configuration of the plugin
/// `name`. `wrong` is the gauge of the plugin, which is 1 from now on.
pub(crate) fn is_to_tell(name: &[u8], report: Report, wrong: Option<CounterId>) -> bool {
    let key = key("told", name);
    let (told, generation) = host::shared(&key);
    let told = told.and_then(|told| Report::of_bytes(&told));
    let is_known_wrong = wrong.is_some_and(|gauge| host::metric(gauge) == Some(1));
    // Before it is told: who finds it told finds the gauge at 1.
    if let Some(gauge) = wrong {
        host::record(gauge, 1);
    }
    report.is_news(told, is_known_wrong) && host::set_shared(&key, &report.bytes(), generation)
}

/// Returns whether no VM has told yet that the pod has no label of this key.
pub(crate) fn is_new_lack(name: &[u8], label: &str) -> bool {
    let key = key("lack", name);
    let report = Report::first(label.as_bytes()).bytes();
    let (told, generation) = host::shared(&key);
    told.as_deref() != Some(&report) && host::set_shared(&key, &report, generation)
}

/// The counters of the proxy's rollouts.
pub(crate) struct Counters;

impl Registry for Counters {
    fn admits(&mut self, name: &str) -> bool {
        // The name's own key says that the proxy has it; the other one how many it has.
        let known = key("series", &Report::first(name.as_bytes()).bytes());
        if host::shared(&known).0.is_some() {
            return true;
        }
        // Another VM may be faster, but none is so again and again.
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

const MOST_TRIES: usize = 100;

fn key(topic: &str, of: &[u8]) -> Vec<u8> {
    [b"bluegreen/", topic.as_bytes(), b"/", of].concat()
}
