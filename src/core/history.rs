//! The configurations that a plugin got, in order, so that of a proxy's many VMs one
//! tells of a wrong one, once each time that it comes.
//!
//! Envoy gives a configuration to each of its threads, earlier or later, and does not
//! say which of them know it already. So all VMs share one history, and each knows how
//! far it has come in it. A VM that is behind meets what others have met; one that is at
//! the end is the first to meet something new.

use siphasher::sip::SipHasher24;
use std::array;
use std::hash::Hasher;

/// The last configurations of a plugin, in data that all VMs of a proxy share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    /// How many there were.
    count: u64,
    /// The prints of the last ones, the newest last.
    last: [u64; KEPT],
}

/// The most configurations that a thread may be behind another one.
const KEPT: usize = 15;

/// How far a VM has come in a history: the number of configurations that it met.
pub type Place = u64;

/// A configuration, as a VM meets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meeting {
    /// How far the VM has come with it.
    pub place: Place,
    /// Whether no other VM has met it.
    pub is_new: bool,
    /// Whether there is no later one.
    pub is_last: bool,
}

impl History {
    /// Returns how a VM at this place meets a configuration, which becomes the last one
    /// if it is new. `None`: it is the VM's first of this plugin.
    ///
    /// A VM that has just begun belongs to others that have, or is the first of all
    /// while what others met is history: `is_known` says whether one that lives has met
    /// the last configuration.
    pub fn meet(&mut self, place: Option<Place>, json: &[u8], is_known: bool) -> Meeting {
        let print = print(json);
        let behind = match place {
            Some(place) => self.count.saturating_sub(place),
            None => u64::from(is_known),
        };
        let behind = usize::try_from(behind).unwrap_or(KEPT).min(KEPT);
        let ahead = self.last.iter().rev().take(behind).rev();
        let met = ahead.enumerate().find(|(_, other)| **other == print);
        let place = met.and_then(|(steps, _)| {
            let left = u64::try_from(behind.checked_sub(steps)?.checked_sub(1)?).ok()?;
            self.count.checked_sub(left)
        });
        if place.is_none() {
            self.last.rotate_left(1);
            if let Some(last) = self.last.last_mut() {
                *last = print;
            }
            self.count = self.count.saturating_add(1);
        }
        let is_new = place.is_none();
        let place = place.unwrap_or(self.count);
        Meeting {
            place,
            is_new,
            is_last: place == self.count,
        }
    }

    /// Returns its bytes in shared data.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let numbers = [self.count].into_iter().chain(self.last);
        numbers.flat_map(u64::to_le_bytes).collect()
    }

    /// Returns the history with these bytes; `None` if they are of no history.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<8>() else {
            return None;
        };
        let (count, last) = numbers.split_first()?;
        let last: &[_; KEPT] = last.try_into().ok()?;
        let mut last = last.iter().map(|number| u64::from_le_bytes(*number));
        Some(Self {
            count: u64::from_le_bytes(*count),
            last: array::from_fn(|_| last.next().unwrap_or_default()),
        })
    }
}

/// Returns a number that stands for these bytes.
#[must_use]
pub fn print(bytes: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new();
    hasher.write(bytes);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// VMs that get the same configurations, each when it comes to it.
    struct Vms {
        history: History,
        places: Vec<Option<Place>>,
    }

    impl Vms {
        fn new(count: usize) -> Self {
            Self {
                history: History::default(),
                places: vec![None; count],
            }
        }

        fn meet(&mut self, vm: usize, json: &str) -> bool {
            let is_known = self.places.iter().any(Option::is_some);
            let meeting = self
                .history
                .meet(self.places[vm], json.as_bytes(), is_known);
            self.places[vm] = Some(meeting.place);
            meeting.is_new
        }

        /// How many of them are the first to meet it.
        fn all_meet(&mut self, json: &str) -> usize {
            (0..self.places.len())
                .filter(|vm| self.meet(*vm, json))
                .count()
        }
    }

    #[test]
    fn each_configuration_is_new_to_one_vm() {
        let mut vms = Vms::new(4);
        for json in ["a", "b", "a", "a", "", "b", "b"] {
            assert_eq!(vms.all_meet(json), 1, "{json:?}");
        }
    }

    #[test]
    fn threads_may_be_behind_each_other() {
        let order = ["g", "w", "g", "w", "w", "x", "g", "w"];
        // The second is so many steps behind the first, and the third as many again.
        for lag in 0..KEPT / 2 {
            let mut vms = Vms::new(3);
            vms.all_meet("first");
            let mut new = 0;
            for step in 0..order.len() + 2 * lag {
                for vm in 0..3 {
                    let own = step.checked_sub(vm * lag);
                    let json = own.and_then(|own| order.get(own));
                    new += json.map_or(0, |json| usize::from(vms.meet(vm, json)));
                }
            }
            assert_eq!(new, order.len(), "{lag} behind");
        }
    }

    #[test]
    fn who_is_behind_does_not_meet_the_last_one() {
        let mut vms = Vms::new(2);
        vms.all_meet("g");
        vms.meet(0, "w");
        vms.meet(0, "x");
        let meeting = vms.history.meet(vms.places[1], b"w", true);
        assert_eq!((meeting.is_new, meeting.is_last), (false, false));
        let meeting = vms.history.meet(Some(meeting.place), b"x", true);
        assert_eq!((meeting.is_new, meeting.is_last), (false, true));
    }

    #[test]
    fn a_vm_that_begins_joins_the_others_or_is_the_first_of_all() {
        let mut vms = Vms::new(2);
        vms.all_meet("w");
        assert!(!vms.history.meet(None, b"w", true).is_new, "it joins");
        assert!(vms.history.clone().meet(None, b"g", true).is_new);
        assert!(
            vms.history.meet(None, b"w", false).is_new,
            "all others are gone"
        );
    }

    #[test]
    fn a_history_is_what_its_bytes_say() {
        let mut history = History::default();
        for json in [b"a", b"b", b"c"] {
            history.meet(None, json, true);
        }
        assert_eq!(History::of_bytes(&history.bytes()), Some(history));
        let bytes = history.bytes();
        for bad in [&b""[..], b"12345678", &bytes[1..], &bytes[8..], &[0; 999]] {
            assert_eq!(History::of_bytes(bad), None);
        }
    }
}
