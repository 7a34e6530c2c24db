//! The configuration: from the bytes of a `pluginConfig` to types in which
//! everything is checked and what a request needs lies ready.
//!
//! [`parse`] is the only way in. All problems are reported, not only the first;
//! unknown and repeated fields are problems, too. A field is one row in one of
//! the `read_…` functions below, and its default stands there.

mod check;
mod error;
mod fields;
mod tree;

use crate::core::bucket::{Salted, WeightTotal};
use crate::core::cookie::Finder;
use crate::core::role::Setting;
use crate::core::rollout::{Rollout, Rollouts, Scope};
use crate::core::set_cookie::{Attributes, SameSite, Secure, SetCookie};
pub use error::ConfigError;
use error::Problem;
use fields::Fields;
use tree::{Tree, quoted};

/// The pin header's default name, which a gateway removes while pins are off.
pub const DEFAULT_PIN_HEADER: &str = "x-version-pin";

/// A checked configuration. The fields are those of the README's table.
#[derive(Debug)]
pub struct Config {
    /// The role, as it is written; the proxy decides what it means.
    pub role: Setting,
    /// The request header that carries the bucket to Envoy's weighted route.
    pub bucket_header: Box<str>,
    /// Where a user's identity comes from.
    pub identity: Identity,
    /// How a tester pins; `None`: pins are off.
    pub pin: Option<Pin>,
    /// The response header that says the serving version.
    pub tag: Tag,
    /// 1 to 256 rollouts, indexed by host.
    pub rollouts: Rollouts,
    /// Finds the cookies that are read.
    pub cookies: Finder<Cookie>,
}

/// A cookie that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// The identity cookie.
    Identity,
    /// The pin cookie.
    Pin,
}

impl Config {
    /// The pin header; its default while pins are off.
    #[must_use]
    pub fn pin_header(&self) -> &str {
        self.pin
            .as_ref()
            .map_or(DEFAULT_PIN_HEADER, |pin| &pin.header)
    }
}

/// Where a user's identity comes from: the header, else the cookie.
#[derive(Debug)]
pub struct Identity {
    /// A request header whose value, when it is not empty, is the identity.
    pub header: Option<Box<str>>,
    /// The cookie that a gateway mints; `None`: off.
    pub cookie: Option<SetCookie>,
}

/// How a tester pins: the header, else the query parameter, else the cookie.
#[derive(Debug)]
pub struct Pin {
    /// The request header that names the version, and the response header that
    /// tells about a pin that did not hold.
    pub header: Box<str>,
    /// The query parameter; `None`: off.
    pub query: Option<Box<str>>,
    /// The cookie that remembers a pin by query parameter; `None`: off.
    pub cookie: Option<SetCookie>,
}

/// The response header that says the serving version.
#[derive(Debug)]
pub struct Tag {
    /// Its name.
    pub header: Box<str>,
    /// On which responses a gateway or a client shows it.
    pub when: When,
    /// The key of the pod's label from which a server reads its own version.
    pub label: Box<str>,
}

/// On which responses the tag shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// On every response that a version answered.
    Always,
    /// On the responses to pinned requests.
    Pinned,
    /// On none.
    Never,
}

/// Reads a `pluginConfig`, which Envoy hands over as JSON.
///
/// # Errors
/// Everything that is wrong with it, in the order of the fields; at least one.
/// Empty bytes are wrong, for a configuration without rollouts does nothing.
pub fn parse(json: &[u8]) -> Result<Config, Vec<ConfigError>> {
    let tree: Tree = serde_json::from_slice(json)
        .map_err(|error| vec![ConfigError::new("", Problem::NotJson(error.to_string()))])?;
    let mut errors = Vec::new();
    let mut fields = Fields::of(tree, String::new(), &mut errors);
    let config = read_config(&mut fields);
    fields.finish();
    if errors.is_empty() {
        Ok(config)
    } else {
        Err(errors)
    }
}

/// A pod label's value as a version: 1 to 63 characters that may stand in a
/// header (Kubernetes: letters, digits, `-`, `_` and `.`). `None` for anything else.
#[must_use]
pub fn label_value(value: &[u8]) -> Option<String> {
    let inner = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    let is_label = (1..=63).contains(&value.len()) && value.iter().all(inner);
    is_label
        .then(|| String::from_utf8(value.to_vec()).ok())
        .flatten()
}

fn read_config(fields: &mut Fields<'_>) -> Config {
    let mut config = Config {
        role: fields.get_or("role", Setting::Auto, check::choice(&Setting::WORDS)),
        bucket_header: header(fields, "bucketHeader", "x-bluegreen-bucket"),
        identity: fields
            .mapping("identity", false, read_identity)
            .unwrap_or(Identity {
                header: None,
                cookie: None,
            }),
        pin: fields.mapping("pin", true, read_pin),
        tag: fields.mapping("tag", false, read_tag).unwrap_or(Tag {
            header: "".into(),
            when: When::Always,
            label: "".into(),
        }),
        rollouts: read_rollouts(fields),
        cookies: Finder::new(Vec::new()),
    };
    config.cookies = finder(&config);
    report_claims(fields, &config);
    config
}

fn finder(config: &Config) -> Finder<Cookie> {
    let pin = config.pin.as_ref().and_then(|pin| pin.cookie.as_ref());
    let cookies = [
        (Cookie::Identity, config.identity.cookie.as_ref()),
        (Cookie::Pin, pin),
    ];
    let named = |(key, cookie): (Cookie, Option<&SetCookie>)| Some((key, cookie?.name().into()));
    Finder::new(cookies.into_iter().filter_map(named).collect())
}

fn read_identity(fields: &mut Fields<'_>) -> Identity {
    Identity {
        header: fields.get_or("header", None, check::optional_header_name),
        cookie: fields.mapping("cookie", true, |f| {
            read_cookie(f, "bluegreen-id", 604_800, "0123456789abcdef".len())
        }),
    }
}

fn read_pin(fields: &mut Fields<'_>) -> Pin {
    Pin {
        header: header(fields, "header", DEFAULT_PIN_HEADER),
        query: fields.get_or("query", None, check::query_name),
        cookie: fields.mapping("cookie", true, |f| {
            read_cookie(f, "bluegreen-pin", 3600, LONGEST_NAME)
        }),
    }
}

fn read_tag(fields: &mut Fields<'_>) -> Tag {
    const WHEN: [(&str, When); 3] = [
        ("always", When::Always),
        ("pinned", When::Pinned),
        ("never", When::Never),
    ];
    Tag {
        header: header(fields, "header", "x-served-version"),
        when: fields.get_or("when", When::Always, check::choice(&WHEN)),
        label: fields.get_or("label", "version".into(), check::label_key),
    }
}

fn read_cookie(
    fields: &mut Fields<'_>,
    name: &str,
    max_age: u32,
    longest_value: usize,
) -> SetCookie {
    const SECURE: [(&str, Secure); 3] = [
        ("auto", Secure::Auto),
        ("always", Secure::Always),
        ("never", Secure::Never),
    ];
    const SAME_SITE: [(&str, SameSite); 3] = [
        ("Lax", SameSite::Lax),
        ("Strict", SameSite::Strict),
        ("None", SameSite::None),
    ];
    let name = fields.get_or("name", name.into(), check::cookie_name);
    let attributes = Attributes {
        max_age_seconds: fields.get_or(
            "maxAgeSeconds",
            max_age,
            check::whole(0..=LONGEST_AGE_SECONDS),
        ),
        path: fields.get_or("path", "/".into(), check::cookie_path),
        domain: fields.get_or("domain", "".into(), check::cookie_domain),
        secure: fields.get_or("secure", Secure::Auto, check::choice(&SECURE)),
        http_only: fields.get_or("httpOnly", true, check::flag),
        same_site: fields.get_or("sameSite", SameSite::Lax, check::choice(&SAME_SITE)),
        partitioned: fields.get_or("partitioned", false, check::flag),
    };
    report_conditions(fields, &name, &attributes);
    SetCookie::new(name, &attributes, longest_value)
}

fn read_rollouts(fields: &mut Fields<'_>) -> Rollouts {
    let read = fields.mappings("rollouts", (1, 256), read_rollout);
    for (i, (rollout, _)) in read.iter().enumerate() {
        let first = read
            .iter()
            .take(i)
            .position(|(other, _)| other.name == rollout.name);
        // An empty name is a wrong one, which was reported.
        if let Some(first) = first.filter(|_| !rollout.name.is_empty()) {
            let problem = Problem::Taken {
                found: quoted(&rollout.name),
                by: format!("rollouts[{first}].name"),
            };
            fields.report_at(&format!("rollouts[{i}].name"), problem);
        }
    }
    Rollouts::new(read)
}

fn read_rollout(fields: &mut Fields<'_>) -> (Rollout, Scope) {
    const VERSIONS: (usize, usize) = (2, 16);
    let name = fields.require("name", check::ROLLOUT_NAME, check::rollout_name);
    let scope = Scope {
        hosts: fields.list("hosts", (1, usize::MAX), check::host),
        path_prefixes: fields.list("pathPrefixes", (1, usize::MAX), check::path_prefix),
    };
    let versions = fields.require_distinct("versions", VERSIONS, check::version_name);
    let total = check::whole(1..=WeightTotal::MOST);
    let total = fields.get_or("weightTotal", 100, total);
    let salt = fields.get("salt", check::salt);
    // A rollout without a usable name is read all the same: its place in the
    // list keeps the paths of later errors right.
    let name = name.unwrap_or_default();
    let salted = Salted::new(salt.as_deref().unwrap_or(&name).as_bytes());
    let rollout = Rollout {
        name,
        versions,
        weight_total: WeightTotal::new(total),
        salted,
    };
    (rollout, scope)
}

fn header(fields: &mut Fields<'_>, name: &'static str, default: &str) -> Box<str> {
    fields.get_or(name, default.into(), check::header_name)
}

/// What the attributes of one cookie ask of each other: RFC 6265bis 4.1.2.7
/// (`SameSite=None`), 4.1.3 (the prefixes, whose case browsers ignore), and the
/// CHIPS draft (`Partitioned`).
fn report_conditions(fields: &mut Fields<'_>, name: &str, attributes: &Attributes) {
    let starts_with = |prefix: &str| {
        name.get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let host = starts_with("__Host-");
    let secure = attributes.secure == Secure::Always;
    let conditions = [
        (
            "name",
            (host || starts_with("__Secure-")) && !secure,
            quoted(name),
            "secure: always",
        ),
        (
            "name",
            host && &*attributes.path != "/",
            quoted(name),
            "path: /",
        ),
        (
            "name",
            host && !attributes.domain.is_empty(),
            quoted(name),
            "domain: \"\"",
        ),
        (
            "sameSite",
            attributes.same_site == SameSite::None && !secure,
            quoted("None"),
            "secure: always",
        ),
        (
            "partitioned",
            attributes.partitioned && !secure,
            "true".to_owned(),
            "secure: always",
        ),
    ];
    for (field, broken, found, needed) in conditions {
        if broken {
            fields.report(field, Problem::Needs { found, needed });
        }
    }
}

/// No two things may claim one header or one cookie.
fn report_claims(fields: &mut Fields<'_>, config: &Config) {
    let headers = [
        ("bucketHeader", Some(&*config.bucket_header)),
        ("identity.header", config.identity.header.as_deref()),
        ("pin.header", Some(config.pin_header())),
        ("tag.header", Some(&*config.tag.header)),
    ];
    let pin_cookie = config.pin.as_ref().and_then(|pin| pin.cookie.as_ref());
    let cookies = [
        (
            "identity.cookie.name",
            config.identity.cookie.as_ref().map(SetCookie::name),
        ),
        ("pin.cookie.name", pin_cookie.map(SetCookie::name)),
    ];
    report_taken(fields, &headers);
    report_taken(fields, &cookies);
}

fn report_taken(fields: &mut Fields<'_>, claims: &[(&str, Option<&str>)]) {
    for (i, (path, name)) in claims.iter().enumerate() {
        let first = claims
            .iter()
            .take(i)
            .find(|(_, other)| name.is_some() && other == name);
        if let (Some(name), Some((by, _))) = (name, first) {
            let by = (*by).to_owned();
            let found = quoted(name);
            fields.report_at(path, Problem::Taken { found, by });
        }
    }
}

/// 400 days: browsers cut longer ages down to it (RFC 6265bis 5.6.2).
const LONGEST_AGE_SECONDS: u32 = 34_560_000;

/// The longest name of a version, a DNS label.
const LONGEST_NAME: usize = 63;

#[cfg(test)]
mod tests;
