//! Whatever a stranger and an upstream write, the decisions hold together.
#![no_main]

use arbitrary::Arbitrary;
use bluegreen::core::bucket::{Bucket, WeightTotal};
use bluegreen::core::config::{self, Config};
use bluegreen::core::decision::{self, Edit};
use bluegreen::core::facts::{Bytes, RequestFacts, ResponseFacts};
use bluegreen::core::headers::{self, Headers};
use bluegreen::core::role::Role;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// All that others write.
#[derive(Arbitrary, Debug)]
struct Message {
    config: u8,
    role: u8,
    authority: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    scheme: Option<Vec<u8>>,
    pin: Option<Vec<u8>>,
    bucket: Option<Vec<u8>>,
    user: Option<Vec<u8>>,
    cookies: Vec<Vec<u8>>,
    /// What the host gives in the place of the headers above.
    odd_headers: Option<Vec<u8>>,
    random: Option<u64>,
    tag: Option<Vec<u8>>,
    from_upstream: bool,
    cluster: Option<Vec<u8>>,
}

const VERSIONS: [&str; 2] = ["blue", "green"];

static CONFIGS: LazyLock<Vec<Config>> = LazyLock::new(|| {
    let rollout = r#"{"name": "a", "versions": ["blue", "green"]}"#;
    let scoped = r#"{"name": "b", "hosts": ["a.example", "*.example"], "pathPrefixes": ["/a", "/"], "versions": ["blue", "green"], "weightTotal": 7}"#;
    [
        format!(r#"{{"rollouts": [{rollout}]}}"#),
        format!(r#"{{"rollouts": [{scoped}]}}"#),
        format!(r#"{{"pin": {{"query": "p"}}, "identity": {{"header": "x-user-id"}}, "rollouts": [{scoped}, {rollout}]}}"#),
        format!(r#"{{"pin": null, "tag": {{"when": "never"}}, "rollouts": [{rollout}]}}"#),
        format!(r#"{{"identity": {{"cookie": null}}, "tag": {{"when": "pinned"}}, "rollouts": [{rollout}]}}"#),
    ]
    .iter()
    .map(|json| config::parse(json.as_bytes()).expect("these are good"))
    .collect()
});

impl Message {
    /// The headers as a host hands them out all at once.
    fn serialized(&self) -> Vec<u8> {
        let single = [
            (":authority", &self.authority),
            (":path", &self.path),
            (":scheme", &self.scheme),
            ("x-version-pin", &self.pin),
            ("x-bluegreen-bucket", &self.bucket),
            ("x-user-id", &self.user),
        ];
        let single = single
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let cookies = self.cookies.iter().map(|line| ("cookie", line.as_slice()));
        headers::serialized(&single.chain(cookies).collect::<Vec<_>>())
    }
}

/// A message as a request.
struct Request<'m> {
    message: &'m Message,
    headers: Headers<'m>,
}

impl<'m> Request<'m> {
    fn of(message: &'m Message) -> Self {
        let odd = message.odd_headers.as_ref().map(Bytes::from);
        let headers = Headers::new(odd.unwrap_or_else(|| message.serialized().into()));
        Self { message, headers }
    }
}

impl RequestFacts for Request<'_> {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        self.headers.first(name).map(Bytes::from)
    }

    fn headers(&self) -> &Headers<'_> {
        &self.headers
    }

    fn random(&self) -> Option<u64> {
        self.message.random
    }
}

impl ResponseFacts for Message {
    fn header(&self, name: &str) -> Option<Bytes<'_>> {
        assert_eq!(name, "x-served-version");
        self.tag.as_ref().map(Bytes::from)
    }

    fn code_details(&self) -> Option<Bytes<'_>> {
        self.from_upstream.then(|| b"via_upstream".into())
    }

    fn cluster(&self) -> Option<Bytes<'_>> {
        self.cluster.as_ref().map(Bytes::from)
    }
}

fuzz_target!(|message: Message| {
    let config = &CONFIGS[usize::from(message.config) % CONFIGS.len()];
    let role = [Role::Gateway, Role::Client, Role::Server][usize::from(message.role) % 3];
    let facts = Request::of(&message);
    let Some(request) = decision::request(config, role, Some("green"), &facts) else {
        return;
    };
    let again = decision::request(config, role, Some("green"), &facts);
    assert_eq!(
        Some(&request),
        again.as_ref(),
        "the same request, the same decision"
    );

    if let Edit::Set(version) = request.pin {
        assert!(VERSIONS.contains(&version));
        assert!(
            !matches!(request.bucket, Edit::Set(_)),
            "pinned, and a bucket"
        );
    }
    if let Edit::Set(bucket) = request.bucket {
        let number: u32 = bucket.to_string().parse().expect("a plain number");
        let total = config
            .rollouts
            .iter()
            .map(|r| r.weight_total)
            .collect::<Vec<_>>();
        assert!(total.iter().any(|total| below(number, *total)));
        // An identity header has the bucket of its bytes.
        if let (Some(user), Some(_)) = (&message.user, &config.identity.header)
            && message.odd_headers.is_none()
            && !user.is_empty()
        {
            let expected = config
                .rollouts
                .iter()
                .map(|r| Bucket::of(r.salted.hash(user), r.weight_total));
            assert!(expected.into_iter().any(|expected| expected == bucket));
        }
    }
    if role == Role::Server {
        assert_eq!((request.pin, request.bucket), (Edit::Keep, Edit::Keep));
    }

    let response = decision::response(config, Some("green"), request.memory, &message);
    if let Edit::Set(version) = response.tag {
        assert!(VERSIONS.contains(&version));
    }
    if role != Role::Gateway {
        assert!(response.cookies.is_empty() && response.told.is_none());
    }
    for line in &response.cookies {
        assert!(line.iter().all(|b| (b' '..=b'~').contains(b)), "{line:?}");
    }
    assert_eq!(response.counted.is_some(), role != Role::Server);
});

fn below(number: u32, total: WeightTotal) -> bool {
    // The largest hash has the largest bucket.
    let largest = Bucket::of(u64::MAX, total).to_string();
    number <= largest.parse().expect("a plain number")
}
