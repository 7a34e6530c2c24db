//! Which VM of a proxy tells of a wrong configuration.
//!
//! Envoy gives a configuration to each of its threads, and does not say which of them
//! know it already. So what was told is kept in data that all VMs share, and each VM
//! counts how often it got the same bytes: who has got them more often than they were
//! told of is the first to know of another time.

use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// A configuration that a plugin got, and how many times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// A number that stands for the bytes of the configuration.
    print: u64,
    /// How many times it came.
    times: u64,
}

impl Report {
    /// Returns the report of the first time that these bytes come.
    #[must_use]
    pub fn first(json: &[u8]) -> Self {
        let mut hasher = SipHasher24::new();
        hasher.write(json);
        Self {
            print: hasher.finish(),
            times: 1,
        }
    }

    /// Returns the report of these bytes coming to a VM whose last wrong ones were
    /// `last`'s; `None`: it had a good configuration since, or none.
    #[must_use]
    pub fn next(json: &[u8], last: Option<Self>) -> Self {
        let first = Self::first(json);
        match last {
            Some(last) if last.print == first.print => Self {
                times: last.times.saturating_add(1),
                ..last
            },
            _ => first,
        }
    }

    /// Returns whether nobody told of this one yet. `told`: what was told last, of this
    /// plugin; `is_known_wrong`: whether a VM that lives says that the plugin has a
    /// wrong configuration, without which what was told was about others.
    #[must_use]
    pub fn is_news(self, told: Option<Self>, is_known_wrong: bool) -> bool {
        let same = told.filter(|told| told.print == self.print);
        !is_known_wrong || same.is_none_or(|told| told.times < self.times)
    }

    /// Returns its bytes in shared data.
    #[must_use]
    pub fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let (print, times) = bytes.split_at_mut(8);
        print.copy_from_slice(&self.print.to_le_bytes());
        times.copy_from_slice(&self.times.to_le_bytes());
        bytes
    }

    /// Returns the report with these bytes; `None` if they are of no report.
    #[must_use]
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (print, times) = bytes.split_first_chunk()?;
        Some(Self {
            print: u64::from_le_bytes(*print),
            times: u64::from_le_bytes(times.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A proxy with VMs, each of which gets each configuration.
    struct Proxy {
        told: Option<Report>,
        is_known_wrong: bool,
        vms: Vec<Option<Report>>,
    }

    impl Proxy {
        fn new(vms: usize) -> Self {
            Self {
                told: None,
                is_known_wrong: false,
                vms: vec![None; vms],
            }
        }

        fn good(&mut self) {
            self.is_known_wrong = false;
            self.vms.fill(None);
        }

        /// How many VMs tell of a wrong one.
        fn wrong(&mut self, json: &str) -> usize {
            let mut tellers = 0;
            for vm in &mut self.vms {
                let report = Report::next(json.as_bytes(), *vm);
                if report.is_news(self.told, self.is_known_wrong) {
                    tellers += 1;
                    self.told = Some(report);
                }
                self.is_known_wrong = true;
                *vm = Some(report);
            }
            tellers
        }
    }

    #[test]
    fn each_wrong_configuration_is_told_by_one_vm() {
        let mut proxy = Proxy::new(4);
        for json in ["a", "b", "a", "a", "b", "b"] {
            assert_eq!(proxy.wrong(json), 1, "{json}");
        }
        for _ in 0..3 {
            proxy.good();
            assert_eq!(proxy.wrong("a"), 1, "after a good one");
        }
    }

    #[test]
    fn what_vms_told_that_are_gone_is_told_again() {
        let mut proxy = Proxy::new(2);
        assert_eq!(proxy.wrong("a"), 1);
        proxy = Proxy {
            told: proxy.told,
            ..Proxy::new(3)
        };
        assert_eq!(proxy.wrong("a"), 1);
    }

    #[test]
    fn a_vm_that_joins_tells_nothing_new() {
        let mut proxy = Proxy::new(2);
        assert_eq!(proxy.wrong("a"), 1);
        let report = Report::next(b"a", None);
        assert!(!report.is_news(proxy.told, true));
    }

    #[test]
    fn a_report_is_what_its_bytes_say() {
        let report = Report::next(b"a", Some(Report::first(b"a")));
        assert_eq!(Report::of_bytes(&report.bytes()), Some(report));
        for bad in [&b""[..], b"12345678", &[0; 15], &[0; 17]] {
            assert_eq!(Report::of_bytes(bad), None);
        }
    }
}
