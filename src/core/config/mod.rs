//! The configuration: from the bytes of a `pluginConfig` to types in which
//! everything is checked and what a request needs lies ready.
//!
//! [`parse`] is the only way in. All problems are reported, not only the first;
//! unknown and repeated fields are problems, too. A field is one row in one of
//! the `read_…` functions below, and its default stands there. Mesh and rollouts are
//! read by the same functions, and the JSON Schema is what these functions ask for.

mod check;
mod error;
mod fields;
mod form;
mod header;
mod keys;
mod reader;
#[cfg(not(target_family = "wasm"))]
pub mod schema;
pub(super) mod tree;

use super::baggage;
use super::cookie::Finder;
use super::role::Setting;
use super::rollouts::{Place, Rollouts, Scope};
use super::set_cookie::{Attributes, SameSite, Secure, SetCookie};
use super::signed_pin::{SignedPins, Verifier};
use check::{Choice, Flag, OrNull, Whole};
use error::Problem;
pub use error::{ConfigError, ConfigErrors};
pub use fields::join;
use fields::{Case, Fields, Needed};
use header::{IdentityHeader, WrittenHeader};
use reader::Reader;
use std::rc::Rc;
use tree::{Tree, quoted};

/// The pin header's default name, which a gateway removes while pins are off.
pub const DEFAULT_PIN_HEADER: &str = "x-version-pin";

/// The request header that asks for a version, where routes state their weights in their
/// names: a rule of an `HTTPRoute` for each version matches it.
pub const VERSION_HEADER: &str = "x-bluegreen-version";

/// A checked configuration. The fields are those of docs/configuration.md.
#[derive(Debug)]
pub struct Config {
    /// The role, as it is written; the proxy decides what it means.
    pub role: Setting,
    /// How a route takes part.
    pub routes: Routes,
    /// The request header that carries the bucket to Envoy's weighted route.
    pub bucket_header: Box<str>,
    /// The response header in which Envoy says which way the request went.
    pub route_header: Box<str>,
    /// What proxies pass on in the baggage; `None`: nothing.
    pub baggage: Option<baggage::Keys>,
    /// The rollouts that need other settings than the rest, by host and path.
    pub rollouts: Rollouts,
    /// The settings where no rollout fits.
    pub mesh: Settings,
    /// The settings of each rollout, by its place.
    of_rollouts: Vec<Settings>,
}

impl Config {
    /// Returns the settings at a place that [`Rollouts::find`] gave, else those of the
    /// mesh.
    #[must_use]
    pub fn settings(&self, place: Option<Place>) -> &Settings {
        let of_rollout = |place| self.of_rollouts.get(usize::from(place));
        place.and_then(of_rollout).unwrap_or(&self.mesh)
    }

    /// Asks a proxy whether it can use the keys of pins.
    ///
    /// # Errors
    /// All that it cannot use.
    pub fn check_keys(&self, verifier: &dyn Verifier) -> Result<(), ConfigErrors> {
        let mut errors = ConfigErrors::default();
        keys::report_unusable(&self.mesh, "", verifier, &mut errors);
        for settings in &self.of_rollouts {
            let is_mesh = |signed| {
                self.mesh
                    .signed_pins()
                    .is_some_and(|own| Rc::ptr_eq(own, signed))
            };
            if !settings.signed_pins().is_some_and(is_mesh) {
                let name = settings.name.as_deref().unwrap_or_default();
                let path = fields::join("rollouts", name) + ".";
                keys::report_unusable(settings, &path, verifier, &mut errors);
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(errors)
        }
    }
}

/// How a route takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Routes {
    /// An `EnvoyFilter` switches the filter on for it and has Envoy pick by the bucket.
    Marked,
    /// Its name states its weights, and the filter picks.
    Named,
}

/// How the users of a rollout, or of the mesh, are known, pinned and told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where a user's identity comes from.
    pub identity: Identity,
    /// How a tester pins; `None`: pins are off.
    pub pin: Option<Pin>,
    /// The response header that says the serving version.
    pub tag: Tag,
    /// The name of the rollout of the configuration that they are of; `None`: of none.
    pub name: Option<Box<str>>,
    /// What users are dealt by in the place of the host.
    pub salt: Option<Box<str>>,
    /// Finds the cookies that are read.
    pub cookies: Finder<Cookie>,
}

impl Settings {
    /// Returns the pin header; its default while pins are off.
    #[must_use]
    pub fn pin_header(&self) -> &str {
        let header = self.pin.as_ref().map(|pin| &*pin.header);
        header.unwrap_or(DEFAULT_PIN_HEADER)
    }

    /// Returns the cookie that remembers a pin: where a query pins, and nowhere else.
    #[must_use]
    pub fn pin_cookie(&self) -> Option<&SetCookie> {
        let pin = self.pin.as_ref().filter(|pin| pin.query.is_some())?;
        pin.cookie.as_ref()
    }

    /// Returns who may pin; `None`: everybody.
    #[must_use]
    pub fn signed_pins(&self) -> Option<&Rc<SignedPins>> {
        self.pin.as_ref()?.signed.as_ref()
    }

    fn new(identity: Identity, pin: Option<Pin>, tag: Tag) -> Self {
        let mut new = Self {
            identity,
            pin,
            tag,
            name: None,
            salt: None,
            cookies: Finder::new(Vec::new()),
        };
        let identity = new.identity.cookie.as_ref().map(IdentityCookie::name);
        let pin = new.pin_cookie().map(SetCookie::name);
        let names = [(Cookie::Identity, identity), (Cookie::Pin, pin)];
        let present = |(key, name): (Cookie, Option<&str>)| Some((key, name?.into()));
        new.cookies = Finder::new(names.into_iter().filter_map(present).collect());
        new
    }
}

/// A cookie that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cookie {
    /// The identity cookie.
    Identity,
    /// The pin cookie.
    Pin,
}

/// Where a user's identity comes from.
#[derive(Debug, Clone)]
pub struct Identity {
    /// A request header whose value, when it is not empty, is the identity.
    pub header: Option<Box<str>>,
    /// The cookie whose value is the identity; `None`: off.
    pub cookie: Option<IdentityCookie>,
    /// Which one counts when both are there.
    pub first: First,
}

/// The cookie whose value is the identity.
#[derive(Debug, Clone)]
pub enum IdentityCookie {
    /// The filter's own, which a gateway gives to each new user.
    Minted(SetCookie),
    /// The application's, of this name, which is only read.
    OfApplication(Box<str>),
}

impl IdentityCookie {
    /// Returns the cookie's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Minted(cookie) => cookie.name(),
            Self::OfApplication(name) => name,
        }
    }
}

/// Which identity counts when a request has a header and a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// The header's.
    Header,
    /// The cookie's. A login or logout moves nobody who has the cookie.
    Cookie,
}

/// How a tester pins: the header, else the query parameter, else the cookie.
#[derive(Debug, Clone)]
pub struct Pin {
    /// The request header that names the version, and the response header that
    /// tells about a pin that did not hold.
    pub header: Box<str>,
    /// The name of the query parameter; `None`: off.
    pub query: Option<Box<str>>,
    /// The cookie that remembers a pin by query; `None`: off.
    pub cookie: Option<SetCookie>,
    /// Who may pin; `None`: everybody.
    pub signed: Option<Rc<SignedPins>>,
}

/// The response header that says the serving version.
#[derive(Debug, Clone)]
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

/// Reads a `pluginConfig`, which Envoy hands over as JSON. Empty bytes, which are what
/// Envoy has where there is no `pluginConfig`, mean all defaults.
///
/// # Errors
/// Everything that is wrong with it, in the order of the fields; at least one.
pub fn parse(json: &[u8]) -> Result<Config, ConfigErrors> {
    let tree = if json.is_empty() {
        Tree::Map(Vec::new())
    } else {
        serde_json::from_slice(json).map_err(|error| {
            let mut errors = ConfigErrors::default();
            errors.push("", Problem::NotJson(error.to_string()));
            errors
        })?
    };
    Reader::read(tree, read_config)
}

/// Returns a pod label's value as a version: 1 to 63 characters that may stand in a
/// header (Kubernetes: letters, digits, `-`, `_` and `.`). `None` for anything else.
#[must_use]
pub fn label_value(value: &[u8]) -> Option<String> {
    let inner = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    let is_label = (1..=63).contains(&value.len()) && value.iter().all(inner);
    is_label
        .then(|| String::from_utf8(value.to_vec()).ok())
        .flatten()
}

fn read_config<F: Fields>(fields: &mut F) -> Config {
    const ROUTES: [(&str, Routes); 2] = [("marked", Routes::Marked), ("named", Routes::Named)];
    let role = fields.get_or("role", Setting::Auto, Choice(&Setting::WORDS));
    let routes = fields.get_or("routes", Routes::Marked, Choice(&ROUTES));
    let bucket_header = header(fields, "bucketHeader", "x-bluegreen-bucket");
    let route_header = header(fields, "routeHeader", "x-bluegreen-route");
    let proxies = [
        ("bucketHeader", &*bucket_header),
        ("routeHeader", &*route_header),
    ];
    let baggage = fields.mapping_if_given("baggage", read_baggage);
    let mesh = read_settings(fields, None, &proxies);
    let mut rollouts = Rollouts::default();
    let mut of_rollouts = Vec::new();
    let mut paths: Vec<String> = Vec::new();
    fields.entries(
        "rollouts",
        MOST_ROLLOUTS,
        form::RolloutName,
        |fields, name| {
            let scope = Scope {
                hosts: fields.require_list("hosts", form::Host),
                path_prefixes: fields.list("pathPrefixes", form::PathPrefix),
            };
            let salt = fields.get("salt", form::Salt);
            let settings = read_settings(fields, Some(&mesh), &proxies);
            let place = Place::try_from(of_rollouts.len()).unwrap_or(Place::MAX);
            for taken in rollouts.add(&scope, place) {
                let first = paths.get(usize::from(taken.first));
                fields.report(
                    "hosts",
                    Problem::Taken {
                        found: taken.to_string(),
                        by: first.cloned().unwrap_or_default(),
                    },
                );
            }
            paths.push(fields.path().to_owned());
            of_rollouts.push(Settings {
                name: Some(name.into()),
                salt,
                ..settings
            });
        },
    );
    Config {
        role,
        routes,
        bucket_header,
        route_header,
        baggage,
        rollouts,
        mesh,
        of_rollouts,
    }
}

fn read_baggage<F: Fields>(fields: &mut F) -> baggage::Keys {
    let key = |fields: &mut F, name, default: &str| {
        fields.get_or(name, Some(default.into()), OrNull(form::BaggageKey))
    };
    let keys = baggage::Keys {
        pin: key(fields, "pin", "bluegreen-pin"),
        bucket: key(fields, "bucket", "bluegreen-bucket"),
    };
    let claims = [
        ("pin", keys.pin.as_deref()),
        ("bucket", keys.bucket.as_deref()),
    ];
    report_taken(fields, &claims, &["pin", "bucket"]);
    keys
}

/// Reads what mesh and rollouts both have. What a rollout does not say is `of_mesh`'s.
fn read_settings<F: Fields>(
    fields: &mut F,
    of_mesh: Option<&Settings>,
    of_proxy: &[(&'static str, &str)],
) -> Settings {
    const OWN: [&str; 5] = ["bucketHeader", "routeHeader", "identity", "pin", "tag"];
    let own: Vec<&str> = match of_mesh {
        None => OWN.into(),
        Some(_) => OWN
            .into_iter()
            .skip(2)
            .filter(|name| fields.has(name))
            .collect(),
    };
    let settings = Settings::new(
        fields.mapping(
            "identity",
            of_mesh.map(|mesh| &mesh.identity),
            read_identity,
        ),
        fields.mapping_or_null("pin", of_mesh.map(|mesh| &mesh.pin), read_pin),
        fields.mapping("tag", of_mesh.map(|mesh| &mesh.tag), read_tag),
    );
    report_claims(fields, of_proxy, &settings, &own);
    settings
}

fn read_identity<F: Fields>(fields: &mut F) -> Identity {
    const FIRST: [(&str, First); 2] = [("header", First::Header), ("cookie", First::Cookie)];
    Identity {
        header: fields.get_or("header", None, OrNull(IdentityHeader)),
        cookie: fields.mapping_or_null("cookie", None, |fields| {
            let mint = fields.get_or("mint", true, Flag);
            let (name, attributes) = read_cookie(fields, "bluegreen-id", LONGEST_AGE_SECONDS);
            fields.only_if("mint", mint, |fields| {
                report_conditions(fields, &name, &attributes);
            });
            if mint {
                IdentityCookie::Minted(SetCookie::new(name, &attributes))
            } else {
                IdentityCookie::OfApplication(name)
            }
        }),
        first: fields.get_or("first", First::Header, Choice(&FIRST)),
    }
}

fn read_pin<F: Fields>(fields: &mut F) -> Pin {
    Pin {
        header: header(fields, "header", DEFAULT_PIN_HEADER),
        query: fields.get_or("query", None, OrNull(form::ParameterName)),
        cookie: fields.mapping_or_null("cookie", None, |fields| {
            let (name, attributes) = read_cookie(fields, "bluegreen-pin", 3600);
            report_conditions(fields, &name, &attributes);
            SetCookie::new(name, &attributes)
        }),
        signed: keys::read_signed(fields),
    }
}

fn read_tag<F: Fields>(fields: &mut F) -> Tag {
    const WHEN: [(&str, When); 3] = [
        ("always", When::Always),
        ("pinned", When::Pinned),
        ("never", When::Never),
    ];
    Tag {
        header: header(fields, "header", "x-served-version"),
        when: fields.get_or("when", When::Always, Choice(&WHEN)),
        label: fields.get_or("label", "version".into(), form::LabelKey),
    }
}

const SAME_SITE: [(&str, SameSite); 3] = [
    ("Lax", SameSite::Lax),
    ("Strict", SameSite::Strict),
    ("None", SameSite::None),
];

/// Reads a cookie's name and attributes.
fn read_cookie<F: Fields>(fields: &mut F, name: &str, max_age: u32) -> (Box<str>, Attributes) {
    const SECURE: [(&str, Secure); 3] = [
        ("auto", Secure::Auto),
        ("always", Secure::Always),
        ("never", Secure::Never),
    ];
    let name = fields.get_or("name", name.into(), form::CookieName);
    let ages = Whole(0..=LONGEST_AGE_SECONDS);
    let attributes = Attributes {
        max_age_seconds: fields.get_or("maxAgeSeconds", max_age, ages),
        path: fields.get_or("path", "/".into(), form::CookiePath),
        domain: fields.get_or("domain", "".into(), form::CookieDomain),
        secure: fields.get_or("secure", Secure::Auto, Choice(&SECURE)),
        http_only: fields.get_or("httpOnly", true, Flag),
        same_site: fields.get_or("sameSite", SameSite::Lax, Choice(&SAME_SITE)),
        partitioned: fields.get_or("partitioned", false, Flag),
    };
    (name, attributes)
}

fn header<F: Fields>(fields: &mut F, name: &'static str, default: &str) -> Box<str> {
    fields.get_or(name, default.into(), WrittenHeader)
}

/// Reports what the attributes of a cookie that the filter sets ask of each other: RFC
/// 6265bis 4.1.2.7 (`SameSite=None`), 4.1.3 (the prefixes, whose case browsers ignore),
/// and the CHIPS draft (`Partitioned`).
fn report_conditions<F: Fields>(fields: &mut F, name: &str, attributes: &Attributes) {
    const HOST: Case = Case::Begins("__Host-");
    let needed = |yaml, met| Needed { yaml, met };
    let secure = needed("secure: always", attributes.secure == Secure::Always);
    let whole_host = needed("path: /", &*attributes.path == "/");
    let host_only = needed("domain: \"\"", attributes.domain.is_empty());
    fields.need("name", name, HOST, secure);
    fields.need("name", name, Case::Begins("__Secure-"), secure);
    fields.need("name", name, HOST, whole_host);
    fields.need("name", name, HOST, host_only);
    let same_site = Choice(&SAME_SITE).word(attributes.same_site);
    fields.need("sameSite", same_site, Case::Is("None"), secure);
    let partitioned = if attributes.partitioned {
        "true"
    } else {
        "false"
    };
    fields.need("partitioned", partitioned, Case::True, secure);
}

/// Reports what claims a header or a cookie that something else has already. Of two
/// fields of the mesh that a rollout shares, the mesh tells.
fn report_claims<F: Fields>(
    fields: &mut F,
    of_proxy: &[(&'static str, &str)],
    settings: &Settings,
    own: &[&str],
) {
    let of_proxy = of_proxy.iter().map(|(path, name)| (*path, Some(*name)));
    let headers = of_proxy.chain([
        ("identity.header", settings.identity.header.as_deref()),
        ("pin.header", Some(settings.pin_header())),
        ("tag.header", Some(&*settings.tag.header)),
    ]);
    let identity_cookie = settings.identity.cookie.as_ref();
    let pin_cookie = settings.pin.as_ref().and_then(|pin| pin.cookie.as_ref());
    let cookies = [
        (
            "identity.cookie.name",
            identity_cookie.map(IdentityCookie::name),
        ),
        ("pin.cookie.name", pin_cookie.map(SetCookie::name)),
    ];
    report_taken(fields, &headers.collect::<Vec<_>>(), own);
    report_taken(fields, &cookies, own);
}

fn report_taken<F: Fields>(fields: &mut F, claims: &[(&'static str, Option<&str>)], own: &[&str]) {
    let is_own = |path: &str| own.iter().any(|own| path.starts_with(own));
    let path_of = |fields: &F, path: &str| {
        if is_own(path) {
            fields.path_of(path)
        } else {
            path.to_owned()
        }
    };
    for (i, (path, name)) in claims.iter().enumerate() {
        let first = claims
            .iter()
            .take(i)
            .find(|(by, other)| name.is_some() && other == name && (is_own(path) || is_own(by)));
        if let (Some(name), Some((by, _))) = (name, first) {
            let found = quoted(name);
            let by = path_of(fields, by);
            fields.report_at(&path_of(fields, path), Problem::Taken { found, by });
        }
    }
}

/// 400 days: browsers cut longer ages down to it (RFC 6265bis 5.6.2).
const LONGEST_AGE_SECONDS: u32 = 34_560_000;

/// The most rollouts that a configuration may have.
const MOST_ROLLOUTS: usize = 256;

#[cfg(test)]
mod tests;
