//! What a tester asks for of single services: `stock=v2`, or `shop=green,stock=v2`.

use super::pin::{PinName, PinRequest};
use std::rc::Rc;

/// Versions by the services that they are of: 1 to 16 entries `NAME=VERSION` with a comma
/// between two of them.
///
/// A name is a host, or its first label: 1 to 253 of a-z, 0-9, `-`, `_` and `.`. A version
/// has the form of a [`PinName`], and is not `none`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinList(Rc<[u8]>);

impl PinList {
    /// The most bytes that a list can have.
    pub const LONGEST: usize = 1024;

    /// The most entries that it can have.
    pub const MOST_ENTRIES: usize = 16;

    /// Returns the list in a header or a parameter, without the blanks around its commas;
    /// `None` if it is none.
    #[must_use]
    #[inline(never)] // Else it is there twice, and its frame in what calls it.
    pub fn new(value: &[u8]) -> Option<Self> {
        if value.len() > Self::LONGEST {
            return None;
        }
        let mut list = Vec::with_capacity(64);
        for (place, entry) in value.split(|&b| b == b',').enumerate() {
            let entry = entry.trim_ascii();
            let (name, version) = halves(entry)?;
            let is_version = PinName::fits(version) && version != PinRequest::NONE;
            if place >= Self::MOST_ENTRIES || !is_name(name) || !is_version {
                return None;
            }
            if place > 0 {
                list.push(b',');
            }
            list.extend_from_slice(entry);
        }
        Some(Self(list.into()))
    }

    /// Returns the list of what a signed pin is for, where that is more than one: hosts or
    /// their first labels, each with its version. Other names, such as that of a rollout of
    /// the configuration, have no place in a list.
    #[must_use]
    pub fn of(audiences: &[(Box<str>, PinName)]) -> Option<Self> {
        if audiences.len() < 2 {
            return None;
        }
        let mut list = Vec::with_capacity(64);
        for (name, version) in audiences {
            let name = name.to_ascii_lowercase();
            if is_name(name.as_bytes()) {
                if !list.is_empty() {
                    list.push(b',');
                }
                list.extend_from_slice(name.as_bytes());
                list.push(b'=');
                list.extend_from_slice(version);
            }
        }
        Self::new(&list)
    }

    /// Returns the list in a cookie or a member of baggage, where it has no `=` and no
    /// comma, which some clients and servers would encode: `stock.v2`, or
    /// `shop.green..stock.v2`. `None` if it is none.
    ///
    /// Versions have no dot, and names no two in a row.
    #[must_use]
    pub fn of_token(token: &[u8]) -> Option<Self> {
        if token.len() > Self::LONGEST || token.contains(&b'=') || token.contains(&b',') {
            return None;
        }
        // From its end: the first dot of an entry is the one behind its name.
        let mut list = Vec::with_capacity(token.len());
        let mut is_version = true;
        let mut rest = token;
        while let Some((&byte, before)) = rest.split_last() {
            rest = before;
            match (byte, before) {
                (b'.', [before @ .., b'.']) => {
                    rest = before;
                    is_version = true;
                    list.push(b',');
                }
                (b'.', _) if is_version => {
                    is_version = false;
                    list.push(b'=');
                }
                _ => list.push(byte),
            }
        }
        list.reverse();
        Self::new(&list)
    }

    /// Returns the bytes of a header.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes of a cookie or a member of baggage.
    #[must_use]
    pub fn token(&self) -> Vec<u8> {
        let mut token = Vec::with_capacity(self.0.len().saturating_add(Self::MOST_ENTRIES));
        for byte in &*self.0 {
            match byte {
                b'=' => token.push(b'.'),
                b',' => token.extend_from_slice(b".."),
                byte => token.push(*byte),
            }
        }
        token
    }

    /// Returns the version of the first entry whose name `is_for` finds to be the
    /// service's.
    pub fn version_of(&self, is_for: impl Fn(&[u8]) -> bool) -> Option<PinName> {
        self.0.split(|&b| b == b',').find_map(|entry| {
            let (name, version) = halves(entry)?;
            is_for(name).then(|| PinName::new(version)).flatten()
        })
    }
}

/// Returns name and version of an entry.
fn halves(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'=', entry)?;
    let (name, version) = entry.split_at_checked(at)?;
    Some((name, version.strip_prefix(b"=")?))
}

/// Returns whether this has the form of a host's name or of its first label.
fn is_name(name: &[u8]) -> bool {
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(b);
    let is_label = |label: &[u8]| !label.is_empty() && label.iter().all(inner);
    name.len() <= 253 && name.split(|&b| b == b'.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(list: &str, service: &str) -> Option<String> {
        let list = PinList::new(list.as_bytes()).unwrap();
        let version = list.version_of(|name| name == service.as_bytes())?;
        String::from_utf8(version.to_vec()).ok()
    }

    #[test]
    fn each_entry_is_for_its_own_service_and_the_first_counts() {
        let list = "shop=green,stock.shop=v2,shop=blue";
        assert_eq!(version(list, "shop").as_deref(), Some("green"));
        assert_eq!(version(list, "stock.shop").as_deref(), Some("v2"));
        assert_eq!(version(list, "stock"), None);
    }

    #[test]
    fn a_list_is_written_in_two_ways() {
        for (written, token) in [
            ("stock=v2", "stock.v2"),
            ("shop=green,stock=v2", "shop.green..stock.v2"),
            ("shop.example=v-1,a_b=0", "shop.example.v-1..a_b.0"),
        ] {
            let list = PinList::new(written.as_bytes()).unwrap();
            assert_eq!(list.bytes(), written.as_bytes());
            assert_eq!(list.token(), token.as_bytes());
            assert_eq!(PinList::of_token(token.as_bytes()), Some(list));
        }
        let spaced = PinList::new(b" shop=green ,\tstock=v2").unwrap();
        assert_eq!(spaced.bytes(), b"shop=green,stock=v2");
    }

    #[test]
    fn what_is_no_list_is_none() {
        let host = format!("{}=v2", ["x".repeat(63).as_str(); 4].join("."));
        for good in [&host[2..], &vec!["a=b"; 16].join(",")] {
            assert!(PinList::new(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            "",
            "green",
            "=",
            "=v2",
            "stock=",
            "stock=v2,",
            ",stock=v2",
            "stock=v2,,shop=green",
            "stock=v2,green",
            "stock=v2=v3",
            "stock=none",
            "stock=V2",
            "stock=v.2",
            "Stock=v2",
            "stock =v2",
            "stock= v2",
            ".stock=v2",
            "stock.=v2",
            "a..b=v2",
            "sto%63k=v2",
            "st\u{f6}ck=v2",
            &format!("x{host}"),
            &vec!["a=b"; 17].join(","),
            &vec!["stock=".to_owned() + &"x".repeat(63); 16].join(","),
        ] {
            assert_eq!(PinList::new(bad.as_bytes()), None, "{bad}");
        }
        for bad in [
            "",
            "green",
            ".",
            "..",
            ".v2",
            "stock.",
            "stock.v2..",
            "..stock.v2",
            "a.b..c",
            "a.b...c.d",
            "a.b....c.d",
            "stock.none",
            "stock=v2",
            "stock.V2",
        ] {
            assert_eq!(PinList::of_token(bad.as_bytes()), None, "{bad}");
        }
    }
}
