//! What becomes of a wrong configuration: whether a good one of the plugin serves
//! in this proxy right now, in any of its VMs, and what Envoy knows already.
//!
//! Envoy tries a new configuration on its main thread, knowing nothing of the
//! old one, then gives it to each worker. So the VMs count the root contexts
//! that serve in shared data, under the plugin's name, for all plugins of a
//! proxy share one space of keys.

use crate::bucket::Salted;
use crate::host;

/// A root context that serves. It counts from [`Tenure::begin`] until it is
/// dropped, which is when Envoy deletes the root context.
pub(crate) struct Tenure {
    name: Vec<u8>,
}

impl Tenure {
    /// Counts a root context of the plugin `name` with a good configuration.
    pub(crate) fn begin(name: Vec<u8>, json: &[u8]) -> Self {
        host::set_shared(&key(GOOD, &name), json, None);
        host::set_shared(&key(REFUSAL, &name), b"", None);
        Self::resume(name)
    }

    /// Counts one that goes on with the configuration that serves.
    pub(crate) fn resume(name: Vec<u8>) -> Self {
        change(&name, |count| count.saturating_add(1));
        Self { name }
    }
}

impl Drop for Tenure {
    fn drop(&mut self) {
        change(&self.name, |count| count.saturating_sub(1));
    }
}

/// What to do with a wrong configuration.
pub(crate) enum Verdict {
    /// A good one serves. Envoy keeps it, and shows the refusal.
    Refuse,
    /// None serves. Refused, Envoy would answer 500 to everybody.
    TakeInert,
    /// A good one serves, but Envoy takes this one without asking: it remembers
    /// (for as long as the VM lives, seen on 1.36 to 1.40) that it was taken
    /// before, and a worker that refused it now would never serve again. The
    /// good one goes on in its place; these are its bytes.
    TakePrevious(Vec<u8>),
}

/// Judges a wrong configuration of the plugin `name`.
pub(crate) fn judge(name: &[u8], json: &[u8]) -> Verdict {
    // Not under the plugin's name: Envoy remembers by the bytes.
    let taken = key(TAKEN, format!("{:016x}", print(TAKEN, json)).as_bytes());
    if count(host::shared(&key(SERVING, name)).0) == 0 {
        host::set_shared(&taken, b"1", None);
        return Verdict::TakeInert;
    }
    match host::shared(&taken) {
        (None, _) => Verdict::Refuse,
        _ => Verdict::TakePrevious(host::shared(&key(GOOD, name)).0.unwrap_or_default()),
    }
}

/// Whether no other VM has told about this wrong configuration yet, since the
/// plugin `name` last got a good one.
pub(crate) fn is_new_refusal(name: &[u8], json: &[u8]) -> bool {
    is_news(REFUSAL, name, json)
}

/// Whether no other VM has told yet that the pod has no label of this key.
pub(crate) fn is_new_lack(name: &[u8], label: &str) -> bool {
    is_news(LACK, name, label.as_bytes())
}

// The topics of shared data.
const SERVING: &str = "serving";
const GOOD: &str = "good";
const TAKEN: &str = "taken";
const REFUSAL: &str = "refusal";
const LACK: &str = "lack";

fn is_news(topic: &str, name: &[u8], what: &[u8]) -> bool {
    let key = key(topic, name);
    let print = print(topic, what).to_le_bytes();
    let (told, generation) = host::shared(&key);
    told.as_deref() != Some(&print) && host::set_shared(&key, &print, generation)
}

fn print(topic: &str, what: &[u8]) -> u64 {
    Salted::new(topic.as_bytes()).hash(what)
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
