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
#[derive(Debug, Clone)]
pub struct SetCookie {
    name: Box<str>,
    /// `; Max-Age=...`, or empty for a session cookie.
    max_age: Box<str>,
    /// The same in seconds; 0 for a session cookie.
    max_age_seconds: u32,
    /// The other attributes, on https and on http.
    attributes: ByScheme,
    /// The same without `Domain`, if they have one.
    of_host: Option<ByScheme>,
    /// Whether the line depends on the request's scheme.
    secure: Secure,
}

#[derive(Debug, Clone)]
struct ByScheme {
    https: Box<str>,
    http: Box<str>,
}

impl SetCookie {
    /// Returns the cookie `name`.
    #[must_use]
    pub fn new(name: Box<str>, attributes: &Attributes) -> Self {
        let max_age = match attributes.max_age_seconds {
            0 => String::new(),
            seconds => format!("; Max-Age={seconds}"),
        };
        let of_host = || {
            ByScheme::new(&Attributes {
                domain: "".into(),
                ..attributes.clone()
            })
        };
        Self {
            name,
            max_age: max_age.into(),
            max_age_seconds: attributes.max_age_seconds,
            attributes: ByScheme::new(attributes),
            of_host: (!attributes.domain.is_empty()).then(of_host),
            secure: attributes.secure,
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

    /// Returns the header's value that sets the cookie to `value`, whose bytes must be
    /// cookie octets (RFC 6265bis 4.1.1).
    #[must_use]
    pub fn line(&self, value: &[u8], https: bool) -> Vec<u8> {
        self.joined(value, &self.max_age, self.attributes.on(https))
    }

    /// Returns the same for a value that is of no use after so many seconds. A cookie that
    /// browsers keep until they are closed stays one.
    #[must_use]
    pub fn line_for(&self, value: &[u8], seconds: u32, https: bool) -> Vec<u8> {
        let max_age = match self.max_age_seconds {
            own @ 1.. if seconds < own => format!("; Max-Age={seconds}"),
            _ => return self.line(value, https),
        };
        self.joined(value, &max_age, self.attributes.on(https))
    }

    /// Returns the headers' values that make a browser forget the cookie: with the
    /// attributes that it has, and, where these name a domain, without it as well. A
    /// browser knows the two apart, and may have the other one from before.
    #[must_use]
    pub fn clear(&self, https: bool) -> Vec<Vec<u8>> {
        let kept = [Some(&self.attributes), self.of_host.as_ref()];
        let cleared = |of: &ByScheme| self.joined(b"", "; Max-Age=0", of.on(https));
        kept.into_iter().flatten().map(cleared).collect()
    }

    fn joined(&self, value: &[u8], max_age: &str, attributes: &str) -> Vec<u8> {
        let name = self.name.as_bytes();
        [name, b"=", value, max_age.as_bytes(), attributes.as_bytes()].concat()
    }
}

impl ByScheme {
    fn new(attributes: &Attributes) -> Self {
        let secure = attributes.secure;
        Self {
            https: tail(attributes, secure != Secure::Never).into(),
            http: tail(attributes, secure == Secure::Always).into(),
        }
    }

    fn on(&self, https: bool) -> &str {
        if https { &self.https } else { &self.http }
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
        let cookie = SetCookie::new("a".into(), attributes);
        String::from_utf8(cookie.line(b"1", https)).unwrap()
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
    fn a_cookie_lives_no_longer_than_its_value_is_of_use() {
        let line = |age, seconds| {
            let attributes = Attributes {
                max_age_seconds: age,
                ..attributes()
            };
            let cookie = SetCookie::new("a".into(), &attributes);
            let line = String::from_utf8(cookie.line_for(b"1", seconds, false)).unwrap();
            line.split("; ").nth(1).unwrap().to_owned()
        };
        assert_eq!(line(60, 59), "Max-Age=59");
        assert_eq!(line(60, 60), "Max-Age=60");
        assert_eq!(line(60, u32::MAX), "Max-Age=60");
        assert_eq!(line(0, 59), "Path=/", "until the browser is closed");
    }

    fn cleared(attributes: &Attributes) -> Vec<String> {
        let lines = SetCookie::new("a".into(), attributes).clear(true);
        let text = |line| String::from_utf8(line).unwrap();
        lines.into_iter().map(text).collect()
    }

    #[test]
    fn a_cleared_cookie_keeps_its_attributes() {
        let rest = "Secure; HttpOnly; SameSite=Lax";
        assert_eq!(
            cleared(&attributes()),
            [format!("a=; Max-Age=0; Path=/; {rest}")]
        );
    }

    #[test]
    fn a_cookie_of_a_domain_is_cleared_with_and_without_it() {
        let of_domain = Attributes {
            domain: "shop.example".into(),
            ..attributes()
        };
        let rest = "Secure; HttpOnly; SameSite=Lax";
        assert_eq!(
            cleared(&of_domain),
            [
                format!("a=; Max-Age=0; Path=/; Domain=shop.example; {rest}"),
                format!("a=; Max-Age=0; Path=/; {rest}"),
            ]
        );
    }
}
