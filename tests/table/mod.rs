//! The table of scenarios: its rows, and whether what happened is what a row says.

use crate::signing::{Token, with_keys};
use bluegreen::core::config::{self, VERSION_HEADER};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::Hasher as _;

/// Header fields in order. Names are lowercase.
pub(crate) type Headers = Vec<(String, Vec<u8>)>;

/// One row. `tests/scenarios.yaml` explains the fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub name: String,
    #[serde(default)]
    pub proxy: Proxy,
    #[serde(default = "gateway")]
    role: String,
    #[serde(default)]
    config: Map<String, Value>,
    #[serde(default)]
    route: RouteKind,
    #[serde(rename = "routeName")]
    route_name: Option<String>,
    #[serde(default = "yes", rename = "envoyHeaders")]
    pub envoy_headers: bool,
    #[serde(default)]
    backends: Backends,
    #[serde(default = "even")]
    weights: [u64; 2],
    #[serde(default = "yes")]
    pins: bool,
    pub front: Option<Front>,
    #[serde(default = "host")]
    salt: String,
    #[serde(default)]
    token: Token,
    #[serde(default)]
    request: BTreeMap<String, Option<Values>>,
    #[serde(default)]
    pub served: Served,
    #[serde(default)]
    answer: Answer,
    #[serde(default)]
    between: BTreeMap<String, Values>,
    #[serde(default)]
    upstream: BTreeMap<String, Values>,
    #[serde(default)]
    client: BTreeMap<String, Values>,
    counts: BTreeMap<String, u64>,
    pub calls: Option<Vec<String>>,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proxy {
    pub node: String,
    pub direction: Direction,
    pub labels: BTreeMap<String, String>,
}

impl Default for Proxy {
    fn default() -> Self {
        Self {
            node: "router~t".to_owned(),
            direction: Direction::Outbound,
            labels: BTreeMap::new(),
        }
    }
}

/// The proxy in front of the row's own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Front {
    role: String,
    #[serde(default)]
    config: Map<String, Value>,
}

/// How the route takes part.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RouteKind {
    #[default]
    Marked,
    NoMetadata,
    Unnamed,
    Unmarked,
    Named,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Backends {
    #[default]
    Subsets,
    Services,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    None,
    Inbound,
    Outbound,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Served {
    #[default]
    Any,
    Blue,
    Green,
    DeadBlue,
    DeadGreen,
    Local,
    Plain,
}

#[derive(Deserialize, Default)]
#[serde(untagged)]
enum Answer {
    #[default]
    Untagged,
    Word(Word),
    Headers(BTreeMap<String, Values>),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Tagged,
    Untagged,
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum Values {
    One(String),
    Many(Vec<String>),
}

impl Values {
    fn list(&self) -> Vec<&str> {
        match self {
            Self::One(value) if value == "absent" => Vec::new(),
            Self::One(value) => vec![value],
            Self::Many(values) => values.iter().map(String::as_str).collect(),
        }
    }
}

fn gateway() -> String {
    "gateway".to_owned()
}

fn host() -> String {
    "shop.example".to_owned()
}

fn even() -> [u64; 2] {
    [50, 50]
}

fn yes() -> bool {
    true
}

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    let text = include_str!("../scenarios.yaml");
    serde_norway::from_str(text).unwrap_or_else(|error| panic!("tests/scenarios.yaml: {error}"))
}

/// What a request met on its way through the mesh.
pub(crate) struct Upstream {
    /// The version that answered, where one did: a subset, or a Service.
    pub version: Option<String>,
    pub response: Headers,
    /// What Envoy says of it besides.
    pub properties: Properties,
}

/// What Envoy says of a stream in one of its phases.
#[derive(Default, Clone)]
pub(crate) struct Properties {
    pub route_name: Option<Vec<u8>>,
    pub cluster: Option<Vec<u8>>,
    pub code_details: Option<Vec<u8>>,
}

impl bluegreen::core::properties::Properties for Properties {
    fn route_name(&self) -> Option<Cow<'_, [u8]>> {
        self.route_name.as_deref().map(Into::into)
    }

    fn cluster(&self) -> Option<Cow<'_, [u8]>> {
        self.cluster.as_deref().map(Into::into)
    }

    fn code_details(&self) -> Option<Cow<'_, [u8]>> {
        self.code_details.as_deref().map(Into::into)
    }
}

/// One of the proxies that a request goes through, the row's own or the one in front.
pub(crate) struct Hop {
    pub proxy: Proxy,
    /// The `pluginConfig`.
    pub config: Value,
    pub route: RouteKind,
    /// The name of a route that states its weights.
    pub route_name: Vec<u8>,
    /// `NAME.NAMESPACE` of the `VirtualService`.
    pub virtual_service: [&'static str; 2],
    /// The host of the clusters, for subsets.
    service_host: &'static str,
    pub backends: Backends,
    pub weights: [u64; 2],
    pub pins: bool,
}

/// What became of a row in one world.
#[derive(Default)]
pub(crate) struct Outcome {
    /// What came from the proxy in front.
    pub between: Headers,
    pub upstream: Headers,
    pub client: Headers,
    pub version: Option<String>,
    /// The counters that grew, by name.
    pub counts: BTreeMap<String, u64>,
    pub calls: Vec<String>,
}

impl Hop {
    fn cluster(&self, version: &str) -> String {
        match self.backends {
            Backends::Subsets => format!("outbound|80|{version}|{}", self.service_host),
            Backends::Services => format!("outbound|80||shop-{version}.shop.svc.cluster.local"),
        }
    }

    /// The cluster of a version that is down, which lies in a namespace of its own.
    fn dead_cluster(&self, version: &str) -> String {
        let cluster = self.cluster(version);
        cluster.replace(".shop.svc.", ".dead.svc.")
    }

    pub(crate) fn version_name(&self, version: &str) -> String {
        match self.backends {
            Backends::Subsets => version.to_owned(),
            Backends::Services => format!("shop-{version}"),
        }
    }

    /// Adds the route header as Envoy does, over whatever the upstream sent; `cluster`
    /// is the one that was picked.
    pub(crate) fn mark(&self, response: &mut Headers, details: &str, cluster: &str) {
        let [name, namespace] = self.virtual_service;
        let metadata = match self.route {
            RouteKind::Unnamed | RouteKind::Unmarked | RouteKind::Named => return,
            RouteKind::NoMetadata => String::new(),
            RouteKind::Marked => format!(
                " /apis/networking.istio.io/v1/namespaces/{namespace}/virtual-service/{name}"
            ),
        };
        let name = self.route_header();
        response.retain(|(header, _)| header != name);
        let value = format!("{details} {cluster}{metadata}");
        response.push((name.to_owned(), value.into_bytes()));
    }

    /// The header in which Envoy tells the way of a request.
    fn route_header(&self) -> &str {
        let name = self.config["routeHeader"].as_str();
        name.unwrap_or("x-bluegreen-route")
    }

    /// Removes the route header as Envoy does, after the filter has read it.
    pub(crate) fn unmark(&self, response: &mut Headers) {
        if matches!(self.route, RouteKind::Marked | RouteKind::NoMetadata) {
            response.retain(|(header, _)| header != self.route_header());
        }
    }

    /// What Envoy says of a request before the filter has changed it.
    pub(crate) fn properties(&self, request: &Headers) -> Properties {
        if self.route != RouteKind::Named {
            return Properties::default();
        }
        let of_rule = self.asked_for(request);
        let route_name = match of_rule {
            Some(version) => format!("version-{version}").into_bytes(),
            None => self.route_name.clone(),
        };
        let cluster = self.cluster(of_rule.or_else(|| self.pick(request)).unwrap_or("blue"));
        Properties {
            route_name: Some(route_name),
            cluster: Some(cluster.into_bytes()),
            code_details: None,
        }
    }

    /// What Envoy says of a response; `cluster` is `-` where there is none.
    fn properties_of_response(&self, details: &str, cluster: &str) -> Properties {
        if self.route != RouteKind::Named {
            return Properties::default();
        }
        Properties {
            route_name: None,
            cluster: (cluster != "-").then(|| cluster.into()),
            code_details: Some(details.into()),
        }
    }

    /// The version whose rule matches the version header.
    fn asked_for(&self, request: &Headers) -> Option<&'static str> {
        let mut values = request.iter().filter(|(name, _)| name == VERSION_HEADER);
        let (Some((_, value)), None) = (values.next(), values.next()) else {
            return None;
        };
        let of_value = |version: &&&str| value == self.version_name(version).as_bytes();
        ["blue", "green"]
            .iter()
            .find(of_value)
            .copied()
            .filter(|_| self.pins)
    }

    /// The version that Envoy's routes give the request; `None`: dice.
    pub(crate) fn pick(&self, request: &Headers) -> Option<&'static str> {
        // The routes match whatever header the row's configuration says.
        let config = config::parse(self.config.to_string().as_bytes()).expect("it is good");
        let first = |name: &str| request.iter().find(|(header, _)| header == name);
        let value = |name: &str| first(name).map_or(&b""[..], |(_, value)| value);
        let host = bluegreen::core::host::of_authority(value(":authority"));
        let place = config.rollouts.find(|| &host, || Some(value(":path")));
        let pin_header = config.settings(place).pin_header();
        let values = |name: &str| {
            let of_name = request.iter().filter(|(header, _)| header == name);
            of_name
                .map(|(_, value)| value.as_slice())
                .collect::<Vec<_>>()
        };
        if self.route == RouteKind::Named {
            if let Some(version) = self.asked_for(request) {
                return Some(version);
            }
        } else {
            match values(pin_header).as_slice() {
                [b"blue"] if self.pins => return Some("blue"),
                [b"green"] if self.pins => return Some("green"),
                _ => {}
            }
        }
        let [blue, green] = self.weights;
        if let (_, 0) | (0, _) = (blue, green) {
            return Some(if green == 0 { "blue" } else { "green" });
        }
        if matches!(self.route, RouteKind::Unnamed | RouteKind::Named) {
            return None;
        }
        let buckets = values(&config.bucket_header);
        let [bucket] = buckets.as_slice() else {
            return None;
        };
        let bucket: u64 = std::str::from_utf8(bucket).ok()?.parse().ok()?;
        Some(if bucket % (blue + green) < blue {
            "blue"
        } else {
            "green"
        })
    }
}

impl Row {
    /// The row's own proxy.
    pub(crate) fn own(&self) -> Hop {
        let mut config = configuration(&self.role, &self.config);
        if self.route == RouteKind::Named {
            config["routes"] = json!("named");
        }
        Hop {
            proxy: self.proxy.clone(),
            config,
            route: self.route,
            route_name: bytes(&self.route_name()),
            virtual_service: ["shop", "shop"],
            service_host: "shop.shop.svc.cluster.local",
            backends: match self.route {
                RouteKind::Named => Backends::Services,
                _ => self.backends,
            },
            weights: self.weights,
            pins: self.pins,
        }
    }

    /// The name of a weighted route that states its weights.
    fn route_name(&self) -> String {
        let [blue, green] = self.weights;
        let stated = || format!("bluegreen.shop-blue-{blue}.shop-green-{green}");
        self.route_name.clone().unwrap_or_else(stated)
    }

    /// The proxy in front of it.
    pub(crate) fn front(&self) -> Option<Hop> {
        let front = self.front.as_ref()?;
        Some(Hop {
            proxy: Proxy {
                node: "router~front".to_owned(),
                ..Proxy::default()
            },
            config: configuration(&front.role, &front.config),
            route: RouteKind::Marked,
            route_name: Vec::new(),
            virtual_service: ["edge", "edge"],
            service_host: "edge.edge.svc.cluster.local",
            backends: Backends::Subsets,
            weights: [50, 50],
            pins: true,
        })
    }

    /// The cluster to which the front's routes take a request, and what comes back
    /// from the row's proxy behind it.
    pub(crate) fn behind_front(front: &Hop, request: &Headers, mut response: Headers) -> Headers {
        let version = front.pick(request).unwrap_or("blue");
        front.mark(&mut response, "via_upstream", &front.cluster(version));
        response
    }

    /// The request as it comes to the first proxy.
    pub(crate) fn request(&self) -> Headers {
        let request = self.request.iter().map(|(name, values)| {
            let values = values.as_ref().map(|values| self.with_token(values));
            (name, values)
        });
        let request: Vec<_> = request.collect();
        let mut headers = BTreeMap::from([
            (":method", vec!["GET"]),
            (":scheme", vec!["http"]),
            (":authority", vec!["shop.example"]),
            (":path", vec!["/"]),
            ("x-forwarded-proto", vec!["http"]),
        ]);
        for (name, values) in &request {
            match values {
                Some(values) => headers.insert(name, values.list()),
                None => headers.remove(name.as_str()),
            };
        }
        fields(headers)
    }

    /// The values with the row's token in the place of `${token}` and its parts.
    fn with_token(&self, values: &Values) -> Values {
        match values {
            Values::One(value) => Values::One(self.fill_token(value)),
            Values::Many(values) => {
                let values = values.iter().map(|value| self.fill_token(value));
                Values::Many(values.collect())
            }
        }
    }

    fn fill_token(&self, text: &str) -> String {
        if !text.contains("${token") {
            return text.to_owned();
        }
        let parts = self.token.parts();
        let [header, claims, signature] = &parts;
        text.replace("${token}", &parts.join("."))
            .replace("${token.header}", header)
            .replace("${token.claims}", claims)
            .replace("${token.signature}", signature)
    }

    /// Where the routes of the row's own proxy take the request, and what comes back.
    pub(crate) fn route(&self, request: &Headers) -> Upstream {
        const DEAD: &str = "upstream_reset_before_response_started{connection_failure}";
        let own = self.own();
        let failed = |details: &str, cluster: &str, code: &str| {
            let mut response = status(code);
            own.mark(&mut response, details, cluster);
            Upstream {
                version: None,
                response,
                properties: own.properties_of_response(details, cluster),
            }
        };
        let version = match self.served {
            Served::Any => own.pick(request).unwrap_or("blue"),
            Served::Blue => own.pick(request).unwrap_or("blue"),
            Served::Green => own.pick(request).unwrap_or("green"),
            Served::DeadBlue => return failed(DEAD, &own.dead_cluster("blue"), "503"),
            Served::DeadGreen => return failed(DEAD, &own.dead_cluster("green"), "503"),
            Served::Local => return failed("direct_response", "-", "200"),
            Served::Plain => {
                return Upstream {
                    version: None,
                    response: self.answer(None),
                    properties: Properties::default(),
                };
            }
        };
        let version_name = own.version_name(version);
        let mut response = self.answer(Some(&version_name));
        let (details, cluster) = ("via_upstream", own.cluster(version));
        own.mark(&mut response, details, &cluster);
        if self.route == RouteKind::Named && self.envoy_headers {
            response.push(("x-envoy-upstream-service-time".to_owned(), b"1".to_vec()));
        }
        Upstream {
            version: Some(version_name),
            response,
            properties: own.properties_of_response(details, &cluster),
        }
    }

    /// The version that the row says answers, where it says one.
    fn served_version(&self) -> Option<&'static str> {
        match self.served {
            Served::Blue => Some("blue"),
            Served::Green => Some("green"),
            _ => None,
        }
    }

    /// Everything in which `outcome` differs from the row, as text; empty when
    /// nothing does.
    pub(crate) fn differences(&self, outcome: &Outcome) -> String {
        let mut text = String::new();
        let id = minted(outcome);
        let bucket = id.as_ref().map(|id| self.bucket(id).to_string());
        let version = outcome.version.as_deref();
        let fill = |value: &str| {
            let mut value = self
                .fill_token(value)
                .replace("${id}", id.as_deref().unwrap_or("${id}"))
                .replace("${bucket}", bucket.as_deref().unwrap_or("${bucket}"))
                .replace("${served}", version.unwrap_or("none"));
            while let Some((before, rest)) = value.split_once("${bucket:") {
                let (identity, after) = rest.split_once('}').expect("a closing brace");
                value = format!("{before}{}{after}", self.bucket(identity));
            }
            value
        };
        if let (Some(due), Some(version)) = (self.served_version(), version)
            && self.own().version_name(due) != version
        {
            writeln!(text, "served: expected {due}, got {version}").unwrap();
        }
        for (side, expected, received) in [
            ("between", &self.between, &outcome.between),
            ("upstream", &self.upstream, &outcome.upstream),
            ("client", &self.client, &outcome.client),
        ] {
            for (name, values) in expected {
                let expected: Vec<String> = values.list().into_iter().map(fill).collect();
                let received: Vec<String> = received
                    .iter()
                    .filter(|(header, _)| header == name)
                    .map(|(_, value)| value.iter().copied().map(char::from).collect())
                    .collect();
                if expected != received {
                    writeln!(
                        text,
                        "{side} {name}: expected {expected:?}, got {received:?}"
                    )
                    .unwrap();
                }
            }
        }
        let counts: BTreeMap<String, u64> = self
            .counts
            .iter()
            .map(|(words, count)| (counter(&fill(words)), *count))
            .collect();
        if counts != outcome.counts {
            writeln!(
                text,
                "counts: expected {counts:?}, got {:?}",
                outcome.counts
            )
            .unwrap();
        }
        if !text.is_empty() {
            writeln!(text, "configuration: {}", self.own().config).unwrap();
            writeln!(text, "sent: {:?}", lossy(&self.request())).unwrap();
            writeln!(text, "upstream got: {:?}", lossy(&outcome.upstream)).unwrap();
            writeln!(text, "client got: {:?}", lossy(&outcome.client)).unwrap();
        }
        text
    }

    pub(crate) fn answer(&self, version: Option<&str>) -> Headers {
        let mut headers = status("200");
        match &self.answer {
            Answer::Word(Word::Tagged) => {
                let version = version.expect("only a version tags by itself");
                headers.push(("x-served-version".to_owned(), version.into()));
            }
            Answer::Untagged | Answer::Word(Word::Untagged) => {}
            Answer::Headers(more) => {
                headers.retain(|(name, _)| !more.contains_key(name));
                let more = more
                    .iter()
                    .map(|(name, values)| (name.as_str(), values.list()));
                headers.extend(fields(more));
            }
        }
        headers
    }

    /// The bucket of an identity under the row's salt, by the standard library's
    /// SipHash-2-4.
    #[allow(deprecated, reason = "a second implementation, not the core's")]
    fn bucket(&self, identity: &str) -> u64 {
        let key = |half: &[u8; 8]| u64::from_le_bytes(*half);
        let mut hasher = std::hash::SipHasher::new_with_keys(key(b"bluegree"), key(b"n-bucket"));
        hasher.write(&[self.salt.as_bytes(), b"\0", &bytes(identity)].concat());
        hasher.finish()
    }
}

fn configuration(role: &str, fields: &Map<String, Value>) -> Value {
    let mut config = json!({"role": role});
    for (field, value) in fields {
        config[field] = value.clone();
    }
    serde_json::from_str(&with_keys(&config.to_string())).expect("still JSON")
}

/// The counter that the table's words name: `[ROLLOUT] VERSION SOURCE [CODE]`, or
/// `[ROLLOUT] REASON`.
fn counter(words: &str) -> String {
    use bluegreen::core::metrics::REASONS;
    let is_reason = |word: &str| REASONS.iter().any(|(_, label)| *label == word);
    let mut words: Vec<&str> = words.split(' ').collect();
    let code = words.pop_if(|last| last.ends_with("xx")).unwrap_or("2xx");
    let rejected = |rollout, reason| {
        format!("bg_rollout=.={rollout};.;bg_reason=.={reason};.;bluegreen_rejected_total")
    };
    let responses = |rollout, version, source| {
        format!(
            "bg_rollout=.={rollout};.;bg_version=.={version};.;bg_source=.={source};.;\
             bg_code=.={code};.;bluegreen_responses_total"
        )
    };
    match words.as_slice() {
        [reason] => rejected("shop.shop", reason),
        [rollout, reason] if rollout.contains('.') && is_reason(reason) => {
            rejected(rollout, reason)
        }
        [version, source] => responses("shop.shop", version, source),
        [rollout, version, source] => responses(rollout, version, source),
        _ => panic!("{words:?} are no counter's words"),
    }
}

/// The identity in the cookie that a client got: the only value of 16 hex digits.
fn minted(outcome: &Outcome) -> Option<String> {
    outcome
        .client
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .find_map(|(_, line)| {
            let line = std::str::from_utf8(line).ok()?;
            let value = line.split(';').next()?.split_once('=')?.1;
            let is_id =
                value.len() == 16 && value.bytes().all(|b| b"0123456789abcdef".contains(&b));
            is_id.then(|| value.to_owned())
        })
}

fn fields<'t>(headers: impl IntoIterator<Item = (&'t str, Vec<&'t str>)>) -> Headers {
    let mut fields = Headers::new();
    for (name, values) in headers {
        fields.extend(
            values
                .into_iter()
                .map(|value| (name.to_owned(), bytes(value))),
        );
    }
    fields
}

fn status(code: &str) -> Headers {
    vec![(":status".to_owned(), code.into())]
}

/// The bytes of a string of the table: one a character.
fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(c).expect("characters of the table are below U+0100"))
        .collect()
}

fn lossy(headers: &Headers) -> Vec<String> {
    headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
        .collect()
}
