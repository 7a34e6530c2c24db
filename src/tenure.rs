//! Whether a good configuration of a plugin serves in this proxy right now, in
//! any of its VMs.
//!
//! Envoy tries a new configuration on its main thread, knowing nothing of the
//! old one, and what it should answer to a wrong one depends on the old one. So
//! the VMs count the root contexts that serve in shared data, under the plugin's
//! name, for all plugins of a proxy share one space of keys.

use crate::bucket::Salted;
use crate::host;

/// A root context that serves. It counts from [`Tenure::begin`] until it is
/// dropped, which is when Envoy deletes the root context.
pub(crate) struct Tenure {
    name: Vec<u8>,
}

impl Tenure {
    /// Counts a root context of the plugin `name`.
    pub(crate) fn begin(name: Vec<u8>) -> Self {
        change(&name, |count| count.saturating_add(1));
        host::set_shared(&key(REFUSAL, &name), b"", None);
        Self { name }
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        change(&self.name, |count| count.saturating_sub(1));
    }
}

/// Whether a root context of the plugin `name` serves.
pub(crate) fn is_held(name: &[u8]) -> bool {
    count(host::shared(&key(SERVING, name)).0) > 0
}

/// Whether no other VM has told about this refused configuration yet, since the
/// plugin `name` last got a good one.
pub(crate) fn is_new_refusal(name: &[u8], json: &[u8]) -> bool {
    is_news(REFUSAL, name, json)
}

/// Whether no other VM has told yet that the pod has no label of this key.
pub(crate) fn is_new_lack(name: &[u8], label: &str) -> bool {
    is_news(LACK, name, label.as_bytes())
}

const SERVING: &str = "serving";
const REFUSAL: &str = "refusal";
const LACK: &str = "lack";

fn is_news(topic: &str, name: &[u8], what: &[u8]) -> bool {
    let key = key(topic, name);
    let print = Salted::new(topic.as_bytes()).hash(what).to_le_bytes();
    let (told, generation) = host::shared(&key);
    told.as_deref() != Some(&print) && host::set_shared(&key, &print, generation)
}

fn change(name: &[u8], to: impl Fn(u32) -> u32) {
    let key = key(SERVING, name);
    loop {
        let (value, generation) = host::shared(&key);
        let changed = to(count(value)).to_le_bytes();
        if host::set_shared(&key, &changed, generation) {
            return;
        }
    }
}

fn count(value: Option<Vec<u8>>) -> u32 {
    value
        .and_then(|value| value.try_into().ok())
        .map_or(0, u32::from_le_bytes)
}

fn key(topic: &str, name: &[u8]) -> String {
    format!("bluegreen/{topic}/{}", String::from_utf8_lossy(name))
}
