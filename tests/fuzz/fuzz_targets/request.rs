//! Whatever a stranger and an upstream write, the decisions hold together.
#![no_main]

use arbitrary::Arbitrary;
use bluegreen::core::baggage::{Baggage, Members};
use bluegreen::core::bucket::Bucket;
use bluegreen::core::config::{self, Config, IdentityCookie};
use bluegreen::core::decision::{self, Caller, NamedRequest};
use bluegreen::core::edit::Edit;
use bluegreen::core::headers::{self, Headers};
use bluegreen::core::host::ServiceNames;
use bluegreen::core::named_routes::NamedRoutes;
use bluegreen::core::pin::{PinName, PinRequest};
use bluegreen::core::properties::Properties;
use bluegreen::core::route_name::RouteName;
use bluegreen::core::signed_pin::{Checker, Verifier};
use bluegreen::core::targets::Targets;
use libfuzzer_sys::fuzz_target;
use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::LazyLock;

/// All that others write.
#[derive(Arbitrary, Debug)]
struct Message {
    config: u8,
    is_gateway: bool,
    authority: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    scheme: Option<Vec<u8>>,
    pin: Option<Vec<u8>>,
    bucket: Option<Vec<u8>>,
    user: Option<Vec<u8>>,
    baggage: Vec<Vec<u8>>,
    cookies: Vec<Vec<u8>>,
    /// What the host gives in the place of the headers above.
    odd_headers: Option<Vec<u8>>,
    random: Option<u64>,
    tag: Option<Vec<u8>>,
    cache_control: Option<Vec<u8>>,
    /// Envoy's route header; by default that of an answer by green.
    route: Option<Vec<u8>>,
    /// The name of the route, where routes state their weights.
    name: Option<Vec<u8>>,
    version: Option<Vec<u8>>,
}

const ROUTE: &[u8] = b"via_upstream outbound|80|green|shop.ns /namespaces/ns/virtual-service/shop";

/// The key of RFC 7515 A.3.
const PEM: &str = "-----BEGIN PUBLIC KEY-----MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==-----END PUBLIC KEY-----";

/// A proxy for which each signature is right.
struct Credulous;

impl Verifier for Credulous {
    fn seconds(&self) -> u64 {
        1_800_000_000
    }

    fn verify_signature(&self, _: &[u8]) -> Option<Vec<u8>> {
        Some(vec![8, 1])
    }
}

thread_local! {
    static CONFIGS: &'static [Config] = configs().leak();
}

fn configs() -> Vec<Config> {
    let scoped = r#""rollouts": {"b": {"hosts": ["a.example", "*.example"], "pathPrefixes": ["/a", "/"], "salt": "s"}}"#;
    [
        "{}".to_owned(),
        format!("{{{scoped}}}"),
        format!(r#"{{"pin": {{"query": "p"}}, "identity": {{"header": "x-user-id", "first": "cookie"}}, {scoped}}}"#),
        r#"{"pin": null, "tag": {"when": "never"}}"#.to_owned(),
        r#"{"identity": {"cookie": null}, "tag": {"when": "pinned"}}"#.to_owned(),
        r#"{"baggage": {}, "pin": {"query": "p"}}"#.to_owned(),
        r#"{"baggage": {"bucket": null}, "identity": {"header": "x-user-id"}}"#.to_owned(),
        r#"{"identity": {"cookie": {"mint": false}}, "pin": {"query": "p", "cookie": {"domain": "a.example"}}}"#.to_owned(),
        format!(r#"{{"pin": {{"query": "p", "revoked": ["a"], "keys": [{{"name": "a", "publicKey": "{PEM}", "subjects": ["b"]}}, {{"name": "b", "publicKey": "{PEM}"}}]}}, {scoped}}}"#),
    ]
    .iter()
    .map(|json| config::parse(json.as_bytes()).expect("these are good"))
    .collect()
}

static SERVICES: LazyLock<Option<ServiceNames>> =
    LazyLock::new(|| ServiceNames::of_node(b"sidecar~10.0.0.1~a.shop~shop.svc.cluster.local"));

impl Message {
    /// The request's headers as a host hands them out all at once.
    fn request(&self) -> Vec<u8> {
        if let Some(odd) = &self.odd_headers {
            return odd.clone();
        }
        let cookies = self.cookies.iter().map(|line| ("cookie", Some(line)));
        let baggage = self.baggage.iter().map(|line| ("baggage", Some(line)));
        serialized(
            [
                (":authority", self.authority.as_ref()),
                (":path", self.path.as_ref()),
                (":scheme", self.scheme.as_ref()),
                ("x-version-pin", self.pin.as_ref()),
                ("x-bluegreen-bucket", self.bucket.as_ref()),
                ("x-user-id", self.user.as_ref()),
                ("x-bluegreen-version", self.version.as_ref()),
            ]
            .into_iter()
            .chain(cookies)
            .chain(baggage),
        )
    }

    /// The response's headers.
    fn response(&self) -> Vec<u8> {
        let (status, route) = (b"200".to_vec(), ROUTE.to_vec());
        serialized([
            (":status", Some(&status)),
            ("x-served-version", self.tag.as_ref()),
            ("cache-control", self.cache_control.as_ref()),
            ("x-bluegreen-route", Some(self.route.as_ref().unwrap_or(&route))),
        ])
    }
}

impl Properties for Message {
    fn route_name(&self) -> Option<Cow<'_, [u8]>> {
        let stated = b"bluegreen.shop-blue-70.shop-green-0";
        let name = self.name.as_ref()?;
        let is_empty = name.is_empty();
        Some(if is_empty { stated.as_slice() } else { name.as_slice() }.into())
    }

    fn cluster(&self) -> Option<Cow<'_, [u8]>> {
        let route = self.route.as_deref()?;
        Some(route.strip_prefix(b"via_upstream ").unwrap_or(route).into())
    }

    fn code_details(&self) -> Option<Cow<'_, [u8]>> {
        Some(b"via_upstream".into())
    }
}

impl Message {
    /// The request's part in a route that states weights, as a host asks for it.
    fn named(&self) -> Option<NamedRequest> {
        match decision::route(self, &mut NamedRoutes::default()) {
            RouteName::States(request) => Some(request),
            RouteName::IsMisspelled | RouteName::IsOfOthers => None,
        }
    }
}

fn serialized<'m>(fields: impl IntoIterator<Item = (&'m str, Option<&'m Vec<u8>>)>) -> Vec<u8> {
    let present = fields.into_iter();
    let present = present.filter_map(|(name, value)| Some((name, value?.as_slice())));
    headers::serialized(&present.collect::<Vec<_>>())
}

fuzz_target!(|message: Message| {
    let configs = CONFIGS.with(|configs| *configs);
    let config = &configs[usize::from(message.config) % configs.len()];
    let caller = if message.is_gateway {
        Caller::Stranger
    } else {
        Caller::Workload(SERVICES.as_ref())
    };
    let serialized = message.request();
    let headers = Headers::new(serialized.as_slice().into());
    let known = RefCell::default();
    let checker = Checker {
        known: &known,
        verifier: &Credulous,
    };
    let decide = || decision::request(config, caller, &headers, message.named(), checker, || message.random);
    let (request, again) = (decide(), decide());
    assert_eq!(request, again, "the same request, the same decision");
    let settings = config.settings(request.memory.settings());

    if let Edit::Set(value) = request.pin {
        let is_pin = !matches!(PinRequest::of(value.bytes()), PinRequest::Malformed);
        assert!(is_pin, "{value:?}");
        assert!(settings.pin.is_some());
    }
    if let Edit::Add(bucket) | Edit::Set(bucket) = request.bucket {
        let mut buffer = itoa::Buffer::new();
        assert_eq!(Bucket::parse(bucket.digits(&mut buffer)), Some(bucket));
    } else if message.is_gateway && message.odd_headers.is_none() && message.bucket.is_some() {
        assert_eq!(request.bucket, Edit::Remove, "a stranger's bucket goes on");
    }
    if let Edit::Add(version) | Edit::Set(version) = &request.version {
        assert!(PinName::fits(version), "{version:?}");
    }
    match (&config.baggage, &request.baggage) {
        (None, baggage) => assert_eq!(*baggage, Edit::Keep, "it is off"),
        (Some(keys), Edit::Add(line) | Edit::Set(line)) => {
            let fields = [("baggage", line.as_slice())];
            let again = headers::serialized(&fields);
            let again = Headers::new(again.as_slice().into());
            let baggage = Baggage::read(keys, &again);
            let ours = baggage.ours;
            assert_eq!(baggage.with(ours).edit, Edit::Keep, "one of each at most");
            if message.is_gateway {
                let bucket = ours.bucket.map(Bucket::parse);
                assert!(bucket.is_none_or(|bucket| bucket.is_some()), "{line:?}");
                let pin = ours.pin.map(PinRequest::of_token);
                assert!(pin != Some(PinRequest::Malformed), "{line:?}");
            }
        }
        (Some(keys), Edit::Keep | Edit::Remove) if message.is_gateway => {
            let is_kept = request.baggage == Edit::Keep;
            let ours = Baggage::read(keys, &headers).ours;
            let is_clean = ours.pin.is_none() && ours.bucket.is_none();
            let says_the_same = Baggage::read(keys, &headers).with(Members { ..ours }).edit == Edit::Keep;
            assert!(!is_kept || is_clean || says_the_same);
        }
        _ => {}
    }
    let mints = matches!(settings.identity.cookie, Some(IdentityCookie::Minted(_)));
    if let Some(line) = &request.cookie {
        assert!(mints && message.is_gateway, "{line:?}");
        let id = &line[line.len() - 16..];
        assert!(id.iter().all(u8::is_ascii_hexdigit), "{line:?}");
    }

    let serialized = message.response();
    let headers = Headers::new(serialized.as_slice().into());
    let mut targets = Targets::default();
    let memory = &request.memory;
    let Some(response) = decision::response(config, memory, &headers, &message, &mut targets)
    else {
        // One word is none of Envoy's.
        let is_one_word = |route: &Vec<u8>| !route.contains(&b' ');
        assert!(message.route.as_ref().is_some_and(is_one_word));
        return;
    };
    if let Edit::Add(version) | Edit::Set(version) = response.tag {
        assert!(!version.is_empty() && version.iter().all(u8::is_ascii_graphic));
    }
    if !message.is_gateway {
        assert!(response.cookies.is_empty() && response.told.is_none());
    }
    if response.told.is_some() {
        assert!(response.is_private);
    }
    for line in &response.cookies {
        assert!(line.iter().all(|b| (b' '..=b'~').contains(b)), "{line:?}");
    }
    if message.named().is_none()
        && let Some(route) = &message.route
        && !route.starts_with(b"via_upstream")
    {
        assert!(response.cookies.is_empty(), "nobody answered");
        assert!(!matches!(response.tag, Edit::Add(_) | Edit::Set(_)), "nobody answered");
    }
});
