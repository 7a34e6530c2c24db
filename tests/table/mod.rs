//! The table of scenarios: its rows, and whether what happened is what a row says.

use serde::Deserialize;
use serde_json::{Map, Value, json};
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
    #[serde(default = "even")]
    weights: [u32; 2],
    #[serde(default = "yes")]
    pins: bool,
    #[serde(default)]
    request: BTreeMap<String, Option<Values>>,
    #[serde(default)]
    served: Served,
    #[serde(default)]
    answer: Answer,
    #[serde(default)]
    upstream: BTreeMap<String, Values>,
    #[serde(default)]
    client: BTreeMap<String, Values>,
    counts: BTreeMap<String, u64>,
    pub calls: Option<Vec<String>>,
}

#[derive(Deserialize)]
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

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Direction {
    None,
    Inbound,
    Outbound,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
enum Served {
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
    Tagged,
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

fn even() -> [u32; 2] {
    [50, 50]
}

fn yes() -> bool {
    true
}

/// All rows.
pub(crate) fn rows() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scenarios.yaml");
    let text = std::fs::read_to_string(path).expect(path);
    serde_norway::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a request met on its way through the mesh.
pub(crate) struct Upstream {
    /// The version that answered, where one did.
    pub version: Option<&'static str>,
    /// The cluster that Envoy chose.
    pub cluster: Option<&'static str>,
    /// `response.code_details`.
    pub code_details: &'static str,
    pub response: Headers,
}

/// What became of a row in one world.
pub(crate) struct Outcome {
    pub upstream: Headers,
    pub client: Headers,
    pub version: Option<&'static str>,
    /// The counters that grew, by name.
    pub counts: BTreeMap<String, u64>,
    pub calls: Vec<String>,
}

impl Row {
    /// The `pluginConfig`.
    pub(crate) fn json(&self) -> Value {
        let mut config = json!({
            "role": self.role,
            "rollouts": [{"name": "myapp", "versions": ["blue", "green"]}],
        });
        for (field, value) in &self.config {
            config[field] = value.clone();
        }
        config
    }

    /// The request as it comes to the proxy.
    pub(crate) fn request(&self) -> Headers {
        let mut headers = BTreeMap::from([
            (":method", vec!["GET"]),
            (":scheme", vec!["http"]),
            (":authority", vec!["shop.example"]),
            (":path", vec!["/"]),
            ("x-forwarded-proto", vec!["http"]),
        ]);
        for (name, values) in &self.request {
            match values {
                Some(values) => headers.insert(name, values.list()),
                None => headers.remove(name.as_str()),
            };
        }
        fields(headers)
    }

    /// Where Envoy's routes take the request, and what comes back.
    pub(crate) fn route(&self, request: &Headers) -> Upstream {
        let version = match self.served {
            Served::Any => self.pick(request).unwrap_or("blue"),
            Served::Blue => self.picked(request, "blue"),
            Served::Green => self.picked(request, "green"),
            Served::DeadBlue => return self.dead("outbound|80|blue|app.example"),
            Served::DeadGreen => return self.dead("outbound|80|green|app.example"),
            Served::Local => {
                return Upstream {
                    version: None,
                    cluster: None,
                    code_details: "direct_response",
                    response: status("200"),
                };
            }
            Served::Plain => {
                return Upstream {
                    version: None,
                    cluster: Some("inbound|8080||"),
                    code_details: "via_upstream",
                    response: self.answer(None),
                };
            }
        };
        Upstream {
            version: Some(version),
            cluster: Some(match version {
                "blue" => "outbound|80|blue|app.example",
                _ => "outbound|80|green|app.example",
            }),
            code_details: "via_upstream",
            response: self.answer(Some(version)),
        }
    }

    /// Everything in which `outcome` differs from the row, as text; empty when
    /// nothing does.
    pub(crate) fn differences(&self, outcome: &Outcome) -> String {
        let mut text = String::new();
        let id = minted(outcome);
        let bucket = id.as_ref().map(|id| self.bucket(id).to_string());
        let fill = |value: &str| {
            value
                .replace("${id}", id.as_deref().unwrap_or("${id}"))
                .replace("${bucket}", bucket.as_deref().unwrap_or("${bucket}"))
                .replace("${served}", outcome.version.unwrap_or("none"))
        };
        for (side, expected, received) in [
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
            writeln!(text, "configuration: {}", self.json()).unwrap();
            writeln!(text, "sent: {:?}", lossy(&self.request())).unwrap();
            writeln!(text, "upstream got: {:?}", lossy(&outcome.upstream)).unwrap();
            writeln!(text, "client got: {:?}", lossy(&outcome.client)).unwrap();
        }
        text
    }

    /// The version that Envoy's routes give the request; `None`: dice.
    fn pick(&self, request: &Headers) -> Option<&'static str> {
        let values = |name: &str| {
            let of_name = request.iter().filter(|(header, _)| header == name);
            of_name
                .map(|(_, value)| value.as_slice())
                .collect::<Vec<_>>()
        };
        match values("x-version-pin").as_slice() {
            [b"blue"] if self.pins => return Some("blue"),
            [b"green"] if self.pins => return Some("green"),
            _ => {}
        }
        let [blue, green] = self.weights;
        if let (_, 0) | (0, _) = (blue, green) {
            return Some(if green == 0 { "blue" } else { "green" });
        }
        let buckets = values("x-bluegreen-bucket");
        let [bucket] = buckets.as_slice() else {
            return None;
        };
        let bucket: u32 = std::str::from_utf8(bucket).ok()?.parse().ok()?;
        Some(if bucket % (blue + green) < blue {
            "blue"
        } else {
            "green"
        })
    }

    /// `version`, unless the routes say another one.
    fn picked(&self, request: &Headers, version: &'static str) -> &'static str {
        self.pick(request).unwrap_or(version)
    }

    fn answer(&self, version: Option<&str>) -> Headers {
        let mut headers = status("200");
        match &self.answer {
            Answer::Tagged | Answer::Word(Word::Tagged) => {
                let version = version.expect("only a version tags by itself");
                headers.push(("x-served-version".to_owned(), version.into()));
            }
            Answer::Word(Word::Untagged) => {}
            Answer::Headers(more) => {
                let more = more
                    .iter()
                    .map(|(name, values)| (name.as_str(), values.list()));
                headers.extend(fields(more));
            }
        }
        headers
    }

    fn dead(&self, cluster: &'static str) -> Upstream {
        Upstream {
            version: None,
            cluster: Some(cluster),
            code_details: "upstream_reset_before_response_started{connection_failure}",
            response: status("503"),
        }
    }

    /// The bucket of an identity in the row's first rollout, by the standard
    /// library's SipHash-2-4.
    #[allow(deprecated, reason = "a second implementation, not the core's")]
    fn bucket(&self, identity: &str) -> u64 {
        let rollout = &self.json()["rollouts"][0];
        let salt = rollout
            .get("salt")
            .unwrap_or(&rollout["name"])
            .as_str()
            .unwrap();
        let total = rollout
            .get("weightTotal")
            .map_or(100, |total| total.as_u64().unwrap());
        let key = |half: &[u8; 8]| u64::from_le_bytes(*half);
        let mut hasher = std::hash::SipHasher::new_with_keys(key(b"bluegree"), key(b"n-bucket"));
        hasher.write(&[salt.as_bytes(), b"\0", identity.as_bytes()].concat());
        u64::try_from((u128::from(hasher.finish()) * u128::from(total)) >> 64).unwrap()
    }
}

/// The counter that the table's words name.
fn counter(words: &str) -> String {
    let responses = |rollout, version, source| {
        format!(
            "bg_rollout=.={rollout};.;bg_version=.={version};.;bg_source=.={source};.;bluegreen_responses_total"
        )
    };
    match words.split(' ').collect::<Vec<_>>().as_slice() {
        [reason] => format!("bg_reason=.={reason};.;bluegreen_rejected_total"),
        [version, source] => responses("myapp", version, source),
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
