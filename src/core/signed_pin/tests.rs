use super::*;
use crate::core::metrics::Reason;
use signing::{NOW, Token as Made};
use std::cell::Cell;
use std::rc::Rc;

#[path = "../../../tests/signing/mod.rs"]
pub(crate) mod signing;

/// A proxy that verifies, and counts how often.
struct Proxy {
    now: Cell<u64>,
    asked: Cell<u32>,
}

impl Verifier for Proxy {
    fn seconds(&self) -> u64 {
        self.now.get()
    }

    fn verify_signature(&self, arguments: &[u8]) -> Option<Vec<u8>> {
        self.asked.set(self.asked.get() + 1);
        Some(signing::verify_signature(arguments))
    }
}

/// A worker of a gateway.
struct Worker {
    proxy: Proxy,
    known: RefCell<Known>,
    pins: Rc<SignedPins>,
}

impl Worker {
    fn new(keys: Vec<Key>) -> Self {
        Self {
            proxy: Proxy {
                now: Cell::new(NOW),
                asked: Cell::new(0),
            },
            known: RefCell::default(),
            pins: Rc::new(SignedPins {
                keys,
                revoked: vec!["bad".into()],
            }),
        }
    }

    fn check_at(&self, host: &str, token: &[u8]) -> Result<(String, Pinned), Reason> {
        let names = Names {
            host: host.as_bytes(),
            rollout: Some("Shop"),
        };
        let checker = Checker {
            known: &self.known,
            verifier: &self.proxy,
        };
        let (version, pinned) = self.pins.check(token, &names, checker)?;
        Ok((String::from_utf8(version.to_vec()).unwrap(), pinned))
    }

    fn check(&self, token: &str) -> Result<String, Reason> {
        let checked = self.check_at("shop.example", token.as_bytes());
        checked.map(|(version, _)| version)
    }

    fn asked(&self) -> u32 {
        self.proxy.asked.replace(0)
    }
}

fn key(name: &str) -> Key {
    Key {
        name: name.into(),
        kid: None,
        public: PublicKey::of_pem(&signing::pem(&format!("{name}.pub"))).unwrap(),
        rollouts: None,
        subjects: None,
        max_seconds: 86_400,
    }
}

fn list(items: &[&str]) -> Option<Vec<Box<str>>> {
    Some(items.iter().map(|item| Box::from(*item)).collect())
}

/// A token of the key `es` with these claims beside audience, subject and times.
fn with(claims: &str) -> String {
    let usual = Made::default().claims;
    let claims = usual.replace('}', &format!(",{claims}}}"));
    of(&claims)
}

fn of(claims: &str) -> String {
    Made {
        claims: claims.to_owned(),
        ..Made::default()
    }
    .text()
}

#[test]
fn a_token_is_verified_once() {
    let worker = Worker::new(vec![key("es")]);
    let token = Made::default().text();
    for asked in [1, 0, 0] {
        let (version, pinned) = worker.check_at("shop.example", token.as_bytes()).unwrap();
        assert_eq!(
            (&*version, pinned.by(), pinned.seconds_left),
            ("green", "es/ci@shop", 7200)
        );
        assert_eq!(pinned.token().bytes(), token.as_bytes());
        assert_eq!(worker.asked(), asked);
    }
    worker.proxy.now.set(NOW + 7199);
    assert_eq!(worker.check(&token).as_deref(), Ok("green"));
    worker.proxy.now.set(NOW + 7200);
    assert_eq!(worker.check(&token), Err(Reason::PinExpired));
    assert_eq!(worker.asked(), 0);
}

#[test]
fn the_last_64_tokens_are_known() {
    let worker = Worker::new(vec![key("es")]);
    let tokens: Vec<String> = (0..65).map(|i| with(&format!(r#""jti":"{i}""#))).collect();
    for token in &tokens {
        assert!(worker.check(token).is_ok());
    }
    assert_eq!(worker.asked(), 65);
    for token in &tokens[1..] {
        assert!(worker.check(token).is_ok());
    }
    assert_eq!(worker.asked(), 0);
    assert!(worker.check(&tokens[0]).is_ok());
    assert_eq!(worker.asked(), 1, "the oldest one is forgotten");
}

#[test]
fn a_hundred_signatures_are_verified_in_a_second() {
    let worker = Worker::new(vec![key("es")]);
    let good = Made::default().text();
    let [header, _, signature] = Made::default().parts();
    let forged = |i: u32| {
        let [_, claims, _] = Made {
            claims: Made::default().claims.replace("ci@shop", &i.to_string()),
            ..Made::default()
        }
        .parts();
        format!("{header}.{claims}.{signature}")
    };
    assert!(worker.check(&good).is_ok());
    for i in 0..300 {
        let expected = if i < 99 {
            Reason::PinSignature
        } else {
            Reason::PinBusy
        };
        assert_eq!(worker.check(&forged(i)), Err(expected), "{i}");
    }
    assert_eq!(worker.asked(), 100);
    assert!(
        worker.check(&good).is_ok(),
        "one that is known is not in their way"
    );
    worker.proxy.now.set(NOW + 1);
    assert_eq!(worker.check(&forged(0)), Err(Reason::PinSignature));
    assert_eq!(worker.asked(), 1);
}

#[test]
fn nothing_is_verified_that_does_not_count_anyway() {
    let mut es = key("es");
    es.kid = Some("ci".into());
    es.subjects = list(&["tester", "ci@shop"]);
    let worker = Worker::new(vec![es]);
    let [_, claims, signature] = Made::default().parts();
    let token = |header: &str| {
        format!(
            "{}.{claims}.{signature}",
            signing::base64(header.as_bytes())
        )
    };
    for (header, reason) in [
        (r#"{"alg":"ES256"}"#, Reason::PinKey),
        (r#"{"alg":"ES256","kid":"CI"}"#, Reason::PinKey),
        (r#"{"alg":"ES256","kid":1}"#, Reason::PinMalformed),
        (r#"{"alg":"ES256","kid":""}"#, Reason::PinMalformed),
        (
            r#"{"alg":"ES256","kid":"ci","kid":"ci"}"#,
            Reason::PinMalformed,
        ),
        (
            r#"{"alg":"ES256","kid":"ci","crit":["x"],"x":1}"#,
            Reason::PinMalformed,
        ),
        (
            r#"{"alg":"ES256","kid":"ci","crit":[]}"#,
            Reason::PinMalformed,
        ),
        (r#"{"alg":"RS256","kid":"ci"}"#, Reason::PinMalformed),
        (r#"{"alg":"HS256","kid":"ci"}"#, Reason::PinMalformed),
        (r#"{"alg":"none","kid":"ci"}"#, Reason::PinMalformed),
        (r#"{"alg":"es256","kid":"ci"}"#, Reason::PinMalformed),
        (r#"{"kid":"ci"}"#, Reason::PinMalformed),
        (r#"["ES256"]"#, Reason::PinMalformed),
        ("", Reason::PinMalformed),
    ] {
        assert_eq!(worker.check(&token(header)), Err(reason), "{header}");
    }
    assert_eq!(worker.asked(), 0);
    // The signature is of another header.
    let header = r#"{"alg":"ES256","kid":"ci","typ":"at+jwt"}"#;
    assert_eq!(worker.check(&token(header)), Err(Reason::PinSignature));
    assert_eq!(worker.asked(), 1);
}

#[test]
fn each_claim_has_its_bounds() {
    let worker = Worker::new(vec![key("es")]);
    let rows: &[(&str, &str, Result<&str, Reason>)] = &[
        ("bluegreen:shop.example:green", "", Ok("green")),
        ("bluegreen:SHOP.example:green", "", Ok("green")),
        ("bluegreen:Shop:green", "", Ok("green")),
        ("bluegreen:shop:green", "", Err(Reason::PinOtherRollout)),
        (
            "bluegreen:shop.example:Green",
            "",
            Err(Reason::PinOtherRollout),
        ),
        (
            "bluegreen:shop.example:none",
            "",
            Err(Reason::PinOtherRollout),
        ),
        ("bluegreen:shop.example", "", Err(Reason::PinOtherRollout)),
        ("shop.example:green", "", Err(Reason::PinOtherRollout)),
        ("", "", Err(Reason::PinOtherRollout)),
        (
            "bluegreen:shop.example:green",
            r#","nbf":NOW+60"#,
            Ok("green"),
        ),
        (
            "bluegreen:shop.example:green",
            r#","nbf":NOW+61"#,
            Err(Reason::PinNotYet),
        ),
        (
            "bluegreen:shop.example:green",
            r#","nbf":"NOW""#,
            Err(Reason::PinMalformed),
        ),
        (
            "bluegreen:shop.example:green",
            r#","nbf":null"#,
            Err(Reason::PinMalformed),
        ),
        (
            "bluegreen:shop.example:green",
            r#","jti":"good""#,
            Ok("green"),
        ),
        (
            "bluegreen:shop.example:green",
            r#","jti":"bad""#,
            Err(Reason::PinRevoked),
        ),
        (
            "bluegreen:shop.example:green",
            r#","jti":7"#,
            Err(Reason::PinMalformed),
        ),
        (
            "bluegreen:shop.example:green",
            r#","jti":"a\nb""#,
            Err(Reason::PinMalformed),
        ),
        (
            "bluegreen:shop.example:green",
            r#","exp":NOW+7200"#,
            Err(Reason::PinMalformed),
        ),
        (
            "bluegreen:shop.example:green",
            r#","aud":"x""#,
            Err(Reason::PinMalformed),
        ),
        (
            "bluegreen:shop.example:green",
            r#","x":{"exp":1,"exp":[2]},"x":3"#,
            Ok("green"),
        ),
    ];
    for (audience, more, expected) in rows {
        let claims = format!(r#"{{"aud":"{audience}","iat":NOW,"exp":NOW+60{more}}}"#);
        assert_eq!(
            worker.check(&of(&claims)).as_deref().map_err(|e| *e),
            *expected,
            "{claims}"
        );
    }
    for (times, expected) in [
        (r#""iat":NOW,"exp":NOW"#, Err(Reason::PinExpired)),
        (r#""iat":NOW,"exp":NOW+1"#, Ok("green")),
        (r#""iat":NOW+60,"exp":NOW+120"#, Ok("green")),
        (r#""iat":NOW+61,"exp":NOW+120"#, Err(Reason::PinNotYet)),
        (r#""iat":NOW,"exp":NOW+86400"#, Ok("green")),
        (r#""iat":NOW,"exp":NOW+86401"#, Err(Reason::PinLifetime)),
        (r#""iat":0,"exp":NOW+1"#, Err(Reason::PinLifetime)),
        (r#""iat":NOW+50,"exp":NOW+40"#, Err(Reason::PinLifetime)),
        (
            r#""iat":NOW,"exp":18446744073709551615"#,
            Err(Reason::PinLifetime),
        ),
        (
            r#""iat":NOW,"exp":18446744073709551616"#,
            Err(Reason::PinMalformed),
        ),
        (r#""iat":NOW,"exp":1e300"#, Err(Reason::PinMalformed)),
        (r#""iat":NOW,"exp":NOW.5"#, Err(Reason::PinMalformed)),
        (r#""iat":NOW.0,"exp":NOW+60"#, Ok("green")),
        (r#""iat":-1,"exp":NOW+60"#, Err(Reason::PinMalformed)),
        (r#""iat":NOW"#, Err(Reason::PinMalformed)),
        (r#""exp":NOW+60"#, Err(Reason::PinMalformed)),
    ] {
        let claims = format!(r#"{{"aud":"bluegreen:shop.example:green",{times}}}"#);
        assert_eq!(
            worker.check(&of(&claims)).as_deref().map_err(|e| *e),
            expected,
            "{times}"
        );
    }
    for aud in [
        "1",
        "null",
        "[1]",
        r#"["bluegreen:shop.example:green",1]"#,
        "{}",
    ] {
        let claims = format!(r#"{{"aud":{aud},"iat":NOW,"exp":NOW+60}}"#);
        assert_eq!(
            worker.check(&of(&claims)),
            Err(Reason::PinMalformed),
            "{aud}"
        );
    }
    for claims in ["", "{", "[]", "\"x\"", "{} {}", "{\"aud\":\"\u{ff}\"}"] {
        assert_eq!(
            worker.check(&of(claims)),
            Err(Reason::PinMalformed),
            "{claims}"
        );
    }
}

#[test]
fn the_first_audience_of_a_host_or_a_rollout_counts() {
    let worker = Worker::new(vec![key("es")]);
    let token = of(
        r#"{"aud":["https://kubernetes.default.svc","bluegreen:stock:v2","bluegreen:shop.example:green",
            "bluegreen:[::1]:blue","bluegreen:shop.example:blue"],"iat":NOW,"exp":NOW+60}"#,
    );
    for (host, version) in [
        ("shop.example", "green"),
        ("stock", "v2"),
        ("[::1]", "blue"),
    ] {
        let checked = worker.check_at(host, token.as_bytes());
        assert_eq!(checked.map(|(version, _)| version).as_deref(), Ok(version));
    }
    assert_eq!(worker.asked(), 1, "once for all");
    let (_, pinned) = worker.check_at("stock", token.as_bytes()).unwrap();
    assert_eq!(pinned.token().audiences().len(), 4);
    let other = worker.check_at("other.example", token.as_bytes());
    assert_eq!(other.unwrap_err(), Reason::PinOtherRollout);
}

#[test]
fn a_key_pins_what_it_may() {
    let mut of_stock = key("es");
    of_stock.rollouts = list(&["stock"]);
    of_stock.name = "stock".into();
    let mut of_shop = key("es");
    of_shop.rollouts = list(&["SHOP.example", "x"]);
    let worker = Worker::new(vec![of_stock, of_shop]);
    let aud = r#"["bluegreen:shop.example:green","bluegreen:stock:v2","bluegreen:cart:v3"]"#;
    let token = of(&format!(r#"{{"aud":{aud},"iat":NOW,"exp":NOW+60}}"#));
    for host in ["shop.example", "stock"] {
        assert!(worker.check_at(host, token.as_bytes()).is_ok(), "{host}");
    }
    let cart = worker.check_at("cart", token.as_bytes());
    assert_eq!(cart.unwrap_err(), Reason::PinKey, "known, but for others");
    assert_eq!(worker.asked(), 1, "it is one key");

    let mut rollout = key("es");
    rollout.rollouts = list(&["Shop"]);
    let worker = Worker::new(vec![rollout]);
    assert_eq!(
        worker.check(&Made::default().text()).as_deref(),
        Ok("green"),
        "all hosts of it"
    );
}

#[test]
fn each_key_without_a_kid_is_tried() {
    let worker = Worker::new(vec![key("other"), key("rs"), key("es")]);
    assert_eq!(
        worker.check(&Made::default().text()).as_deref(),
        Ok("green")
    );
    assert_eq!(worker.asked(), 2, "those of its algorithm");
    let by_rs = Made {
        key: "rs".to_owned(),
        header: r#"{"alg":"RS256"}"#.to_owned(),
        ..Made::default()
    };
    assert_eq!(worker.check(&by_rs.text()).as_deref(), Ok("green"));
    assert_eq!(worker.asked(), 1);
    let confused = Made {
        key: "public".to_owned(),
        header: r#"{"alg":"HS256"}"#.to_owned(),
        ..Made::default()
    };
    assert_eq!(worker.check(&confused.text()), Err(Reason::PinMalformed));
}

#[test]
fn a_token_has_three_parts_and_2048_bytes_at_most() {
    let worker = Worker::new(vec![key("es")]);
    let [header, claims, signature] = Made::default().parts();
    for bad in [
        "".to_owned(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}.{signature}.x"),
        format!("{header}.{claims}.{signature}="),
        format!(" {header}.{claims}.{signature}"),
        "\u{fffd}".repeat(600),
        "a.".repeat(30_000),
    ] {
        assert_eq!(worker.check(&bad), Err(Reason::PinMalformed), "{bad:.80}");
    }
    for bad in [
        format!("{header}.{claims}."),
        format!("{header}.{claims}.{}", &signature[..80]),
        format!("{header}.{claims}.{}", "A".repeat(86)),
        format!("{header}.{claims}.{}", "_".repeat(85) + "w"),
    ] {
        assert_eq!(worker.check(&bad), Err(Reason::PinSignature), "{bad}");
    }
    let padded = |bytes: usize| {
        let padding = |n: usize| with(&format!(r#""x":"{}""#, "x".repeat(n)));
        let found = (0..2000).map(padding).find(|token| token.len() >= bytes);
        found.unwrap()
    };
    let longest = padded(2046);
    assert!(longest.len() <= 2048, "{}", longest.len());
    assert_eq!(worker.check(&longest).as_deref(), Ok("green"));
    assert_eq!(worker.check(&padded(2049)), Err(Reason::PinMalformed));
}

#[test]
fn a_pem_is_one_public_key_of_a_kind_that_can_be_used() {
    let [es, rs] = ["es.pub", "rs.pub"].map(signing::pem);
    for good in [
        &es,
        &rs,
        &es.replace('\n', "\r\n"),
        &format!("\n  {rs}\n\n"),
        &es.replace('\n', ""),
    ] {
        assert!(PublicKey::of_pem(good).is_ok(), "{good}");
    }
    assert_eq!(PublicKey::of_pem(&es).unwrap().kind(), "a P-256 key");
    assert_eq!(PublicKey::of_pem(&rs).unwrap().kind(), "an RSA key");
    let body = es.lines().nth(1).unwrap();
    for (bad, why) in [
        (String::new(), NoKey::NoPem),
        (body.to_owned(), NoKey::NoPem),
        (es.replace(body, ""), NoKey::OtherKey),
        (es.replace(body, &body[1..]), NoKey::OtherKey),
        (es.replace("PUBLIC", "RSA PUBLIC"), NoKey::NoPem),
        (es.replace("==", ""), NoKey::OtherKey),
        (format!("{es}{es}"), NoKey::NoPem),
        (signing::pem("es"), NoKey::Private),
        (signing::pem("rs") + &rs, NoKey::Private),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_owned(),
            NoKey::Certificate,
        ),
        (of_openssl(P384), NoKey::OtherKey),
        (of_openssl(ED25519), NoKey::OtherKey),
        (of_openssl(RSA_1024), NoKey::RsaBits(1024)),
    ] {
        assert_eq!(PublicKey::of_pem(&bad), Err(why), "{bad}");
    }
}

fn of_openssl(body: &str) -> String {
    format!("{}\n{body}\n{}\n", PublicKey::BEGIN, PublicKey::END)
}

#[test]
fn a_proxy_can_use_a_key_or_says_so() {
    let proxy = Proxy {
        now: Cell::new(NOW),
        asked: Cell::new(0),
    };
    let answers = answers_of_known_key(&proxy).unwrap();
    assert!(answers.can_use(&key("es").public, &proxy));
    assert!(answers.can_use(&key("rs").public, &proxy));
    // A point that is not on the curve.
    let es = signing::pem("es.pub");
    let off = es.replace("==\n", "==").replace(&es[100..104], "AAAA");
    let off = PublicKey::of_pem(&off).unwrap();
    assert!(!answers.can_use(&off, &proxy));

    struct Lacking(Option<Vec<u8>>);
    impl Verifier for Lacking {
        fn seconds(&self) -> u64 {
            NOW
        }
        fn verify_signature(&self, _: &[u8]) -> Option<Vec<u8>> {
            self.0.clone()
        }
    }
    // It has none, fails whatever it is asked, or says yes to all.
    for answer in [None, Some(Vec::new()), Some(vec![8, 0]), Some(vec![8, 1])] {
        assert!(answers_of_known_key(&Lacking(answer)).is_none());
    }
}

const P384: &str = "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEP//7lXei6/bwGUT94RMaW1P1KQZ7gnxK\n\
    TmTbUfXT8SMqbRrSIYoUtIZwMW5gQOwrcsRZhqGAniY0maXvGjaBGzUXib05pmqU\n\
    jZPHNbEnLMOgrhEbxMP1JALb4Pz7Pw92";

const ED25519: &str = "MCowBQYDK2VwAyEA+tPE1aMsTS3xLYyOluXDv3njmFbTVZ/j4EVdFC2eGSY=";

const RSA_1024: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDg8PXsZC79I7qwaVz3RAHWxAV3\n\
    UX6WISxbugCgZCp2kY++KUGHjHjTZR0z/2r1xYAaeIL1Rr46Nu2jCI6YJuBqRc4c\n\
    l2vuhyRjUqAA0uckj/mSegrN1hs/eobn3M9QkbdlBYbsl7WruZx6xkGcWWOTA9o0\n\
    oeevlMeo+jxOPPKDUwIDAQAB";
