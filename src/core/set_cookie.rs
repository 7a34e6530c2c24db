//! Writes cookies: a `Set-Cookie` header (RFC 6265bis 4.1) whose attributes are
//! finished when the configuration is read.

/// The attributes of a cookie, as the configuration gives them.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// How long browsers keep it: 0 to 34,560,000 seconds; 0: as long as they run.
    pub max_age_seconds: u32,
    /// The prefix of paths that it is sent to.
    pub path: Box<str>,
    /// The host whose subdomains get it, too; empty: this host alone.
    pub domain: Box<str>,
    /// Whether it is kept from plain HTTP.
    pub secure: Secure,
    /// Whether it is kept from scripts.
    pub http_only: bool,
    /// Whether it goes along with requests from other sites.
    pub same_site: SameSite,
    /// Whether each embedding site gets one of its own (CHIPS).
    pub partitioned: bool,
}

/// When a cookie has the attribute `Secure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// When the request came by https.
    Auto,
    /// On every response.
    Always,
    /// On none.
    Never,
}

/// The attribute `SameSite` (RFC 6265bis 4.1.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// With top-level navigation only.
    Lax,
    /// Never from other sites.
    Strict,
    /// Always; needs `Secure`.
    None,
}

/// A cookie that the filter sets: its name, and all that follows its value.
#[derive(Debug)]
pub struct SetCookie {
    name: Box<str>,
    /// `; Max-Age=...`, or empty for a session cookie.
    max_age: Box<str>,
    /// The other attributes, on https and on http.
    attributes: ByScheme,
    /// The most bytes that a line can have.
    capacity: usize,
    /// Whether the line depends on the request's scheme.
    secure: Secure,
}

#[derive(Debug)]
struct ByScheme {
    https: Box<str>,
    http: Box<str>,
}

impl SetCookie {
    /// The cookie `name`, whose values have at most `longest_value` bytes.
    #[must_use]
    pub fn new(name: Box<str>, attributes: &Attributes, longest_value: usize) -> Self {
        const CLEARED_AND_SEPARATORS: usize = 16;
        let max_age = match attributes.max_age_seconds {
            0 => String::new(),
            seconds => format!("; Max-Age={seconds}"),
        };
        let secure = attributes.secure;
        let https = tail(attributes, secure != Secure::Never);
        let http = tail(attributes, secure == Secure::Always);
        let capacity = [name.len(), longest_value, max_age.len(), https.len()]
            .into_iter()
            .fold(CLEARED_AND_SEPARATORS, usize::saturating_add);
        Self {
            name,
            max_age: max_age.into(),
            attributes: ByScheme {
                https: https.into(),
                http: http.into(),
            },
            capacity,
            secure,
        }
    }

    /// The cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the line depends on how the request came; if not, nobody needs to ask.
    #[must_use]
    pub fn needs_scheme(&self) -> bool {
        self.secure == Secure::Auto
    }

    /// The header's value that sets the cookie to `value`, whose bytes must be
    /// cookie octets (RFC 6265bis 4.1.1).
    #[must_use]
    pub fn line(&self, value: &[u8], https: bool) -> Vec<u8> {
        self.joined(value, &self.max_age, https)
    }

    /// The header's value that makes a browser forget the cookie.
    #[must_use]
    pub fn clear(&self, https: bool) -> Vec<u8> {
        self.joined(b"", "; Max-Age=0", https)
    }

    fn joined(&self, value: &[u8], max_age: &str, https: bool) -> Vec<u8> {
        let attributes = if https {
            &self.attributes.https
        } else {
            &self.attributes.http
        };
        let mut line = Vec::with_capacity(self.capacity);
        for part in [
            self.name.as_bytes(),
            b"=",
            value,
            max_age.as_bytes(),
            attributes.as_bytes(),
        ] {
            line.extend_from_slice(part);
        }
        line
    }
}

fn tail(attributes: &Attributes, secure: bool) -> String {
    let mut tail = format!("; Path={}", attributes.path);
    if !attributes.domain.is_empty() {
        tail.push_str("; Domain=");
        tail.push_str(&attributes.domain);
    }
    if secure {
        tail.push_str("; Secure");
    }
    if attributes.http_only {
        tail.push_str("; HttpOnly");
    }
    tail.push_str(match attributes.same_site {
        SameSite::Lax => "; SameSite=Lax",
        SameSite::Strict => "; SameSite=Strict",
        SameSite::None => "; SameSite=None",
    });
    if attributes.partitioned {
        tail.push_str("; Partitioned");
    }
    tail
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Attributes {
        Attributes {
            max_age_seconds: 60,
            path: "/".into(),
            domain: "".into(),
            secure: Secure::Auto,
            http_only: true,
            same_site: SameSite::Lax,
            partitioned: false,
        }
    }

    fn line(attributes: &Attributes, https: bool) -> String {
        let cookie = SetCookie::new("a".into(), attributes, 1);
        let line = cookie.line(b"1", https);
        assert!(line.len() <= cookie.capacity);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn each_attribute_stands_in_the_line() {
        let plain = attributes();
        assert_eq!(
            line(&plain, false),
            "a=1; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"
        );
        let all = Attributes {
            max_age_seconds: 0,
            path: "/shop".into(),
            domain: "shop.example".into(),
            secure: Secure::Always,
            http_only: false,
            same_site: SameSite::None,
            partitioned: true,
        };
        assert_eq!(
            line(&all, false),
            "a=1; Path=/shop; Domain=shop.example; Secure; SameSite=None; Partitioned"
        );
    }

    #[test]
    fn secure_follows_the_scheme_only_when_it_is_auto() {
        let secure = |secure, https| {
            let attributes = Attributes {
                secure,
                ..attributes()
            };
            line(&attributes, https).contains("; Secure")
        };
        let rows = [
            (Secure::Auto, false, true),
            (Secure::Always, true, true),
            (Secure::Never, false, false),
        ];
        for (setting, on_http, on_https) in rows {
            assert_eq!(secure(setting, false), on_http, "{setting:?}");
            assert_eq!(secure(setting, true), on_https, "{setting:?}");
        }
    }

    #[test]
    fn a_cleared_cookie_keeps_its_attributes() {
        let cookie = SetCookie::new("a".into(), &attributes(), 1);
        assert_eq!(
            cookie.clear(true),
            b"a=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax"
        );
    }
}
