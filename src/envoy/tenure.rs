//! What becomes of a wrong configuration: whether a good one of the plugin serves
//! in this proxy right now, in any of its VMs, and what Envoy knows already.
//!
//! Envoy tries a new configuration on its main thread, knowing nothing of the
//! old one, then gives it to each worker. So the root contexts that serve say so in
//! shared data, again and again, under the plugin's name, for all plugins of a
//! proxy share one space of keys. One that is deleted falls silent.

use crate::core::bucket::Salted;
use crate::envoy::host;
use std::time::Duration;

/// How often a root context that serves says so.
const PERIOD: Duration = Duration::from_millis(500);

/// So long after it did so last, it serves. Envoy's threads are never busy for so
/// long that none of them says it; and a deleted plugin comes back later than that.
const PATIENCE: Duration = Duration::from_secs(3);

/// A root context that serves: it says so from [`Tenure::begin`] on, for as long
/// as Envoy calls it.
pub(crate) struct Tenure {
    /// Where it does.
    key: String,
}

impl Tenure {
    /// A root context of the plugin `name` serves, with a good configuration.
    pub(crate) fn begin(name: &[u8], json: &[u8]) -> Self {
        host::set_shared(&key(GOOD, name), json, None);
        host::set_shared(&key(REFUSAL, name), b"", None);
        Self::resume(name)
    }

    /// One serves, with the configuration that others serve with.
    pub(crate) fn resume(name: &[u8]) -> Self {
        let tenure = Self {
            key: key(SERVING, name),
        };
        tenure.go_on();
        host::tick_every(PERIOD);
        tenure
    }

    /// It still serves.
    pub(crate) fn go_on(&self) {
        host::set_shared(&self.key, &host::uptime().to_le_bytes(), None);
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
    if !serves(name) {
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

/// Whether a root context of the plugin said lately that it serves.
fn serves(name: &[u8]) -> bool {
    let (said, _) = host::shared(&key(SERVING, name));
    let said = said.and_then(|said| said.try_into().ok());
    said.map(u64::from_le_bytes).is_some_and(|said| {
        let silence = host::uptime().saturating_sub(said);
        Duration::from_nanos(silence) < PATIENCE
    })
}

fn key(topic: &str, name: &[u8]) -> String {
    format!("bluegreen/{topic}/{}", String::from_utf8_lossy(name))
}
