use super::*;
use crate::core::signed_pin::tests::signing::with_keys;

#[path = "../../../tests/configurations/mod.rs"]
mod configurations;

/// The errors of a configuration, one a line.
fn errors(json: &str) -> String {
    parse(json.as_bytes()).expect_err(json).to_string()
}

/// The line that gives a new user their cookie.
fn minted(settings: &Settings) -> String {
    let Some(IdentityCookie::Minted(cookie)) = &settings.identity.cookie else {
        panic!("no cookie of ours: {:?}", settings.identity);
    };
    String::from_utf8(cookie.line(b"1", true)).unwrap()
}

#[test]
fn the_defaults_are_those_of_the_contract() {
    for json in [
        "",
        "{}",
        r#"{"rollouts": {}}"#,
        r#"{"identity": {}, "pin": {}, "tag": {}}"#,
    ] {
        let config = parse(json.as_bytes()).unwrap();
        assert_eq!(config.role, Setting::Auto);
        assert_eq!(&*config.bucket_header, "x-bluegreen-bucket");
        assert_eq!(&*config.route_header, "x-bluegreen-route");
        let mesh = &config.mesh;
        assert!(mesh.identity.header.is_none());
        assert_eq!(mesh.identity.first, First::Header);
        assert_eq!(
            minted(mesh),
            "bluegreen-id=1; Max-Age=34560000; Path=/; Secure; HttpOnly; SameSite=Lax"
        );
        assert_eq!(mesh.pin_header(), "x-version-pin");
        assert!(mesh.pin.as_ref().unwrap().query.is_none());
        assert!(mesh.pin_cookie().is_none(), "only where a query pins");
        assert_eq!(&*mesh.tag.header, "x-served-version");
        assert_eq!(mesh.tag.when, When::Always);
        assert_eq!(&*mesh.tag.label, "version");
        assert!(mesh.salt.is_none());
    }
    let config = parse(br#"{"pin": {"query": "p"}}"#).unwrap();
    assert_eq!(
        config.mesh.pin_cookie().unwrap().line(b"green", false),
        b"bluegreen-pin=green; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax"
    );
}

#[test]
fn a_rollout_has_what_it_says_in_the_place_of_the_meshs() {
    let json = r#"{"identity": {"header": "x-user", "first": "cookie"}, "pin": {"header": "x-pin"},
        "tag": {"header": "x-tag"}, "rollouts": {
        "a": {"hosts": ["a.example"], "salt": "s"},
        "b": {"hosts": ["b.example"], "identity": {"cookie": {"name": "b-id"}}, "tag": {}},
        "c": {"hosts": ["c.example"], "pin": null}}}"#;
    let config = parse(json.as_bytes()).unwrap();
    let of = |host: &str| config.settings(config.rollouts.find(|| host.as_bytes(), || None));
    let header = |settings: &Settings| settings.identity.header.as_deref().map(str::to_owned);
    let a = of("a.example");
    assert_eq!(a.salt.as_deref(), Some("s"));
    assert_eq!(header(a).as_deref(), Some("x-user"));
    assert_eq!((a.pin_header(), &*a.tag.header), ("x-pin", "x-tag"));
    let b = of("b.example");
    assert_eq!(header(b), None, "as a whole");
    assert_eq!(b.identity.first, First::Header);
    assert!(minted(b).starts_with("b-id="));
    assert_eq!(
        (b.pin_header(), &*b.tag.header),
        ("x-pin", "x-served-version")
    );
    assert!(of("c.example").pin.is_none());
    assert!(of("other.example").pin.is_some());
    assert!(of("other.example").salt.is_none());
}

#[test]
fn a_cookie_that_is_not_minted_is_the_applications() {
    let json = br#"{"identity": {"cookie": {"name": "JSESSIONID", "mint": false}}}"#;
    let identity = parse(json).unwrap().mesh.identity;
    let Some(IdentityCookie::OfApplication(name)) = identity.cookie else {
        panic!("{identity:?}");
    };
    assert_eq!(&*name, "JSESSIONID");
    // Attributes that the filter would need are the application's own business.
    let json = r#"{"identity": {"cookie": {"name": "__Host-id", "mint": MINT}}}"#;
    assert!(parse(json.replace("MINT", "false").as_bytes()).is_ok());
    assert!(parse(json.replace("MINT", "true").as_bytes()).is_err());
}

#[test]
fn null_turns_things_off() {
    let json = br#"{"pin": null, "identity": {"cookie": null, "header": null}}"#;
    let mesh = parse(json).unwrap().mesh;
    assert!(mesh.pin.is_none());
    assert!(mesh.identity.cookie.is_none());
    let mesh = parse(br#"{"pin": {"cookie": null, "query": "p"}}"#)
        .unwrap()
        .mesh;
    assert!(mesh.pin.as_ref().unwrap().query.is_some());
    assert!(mesh.pin_cookie().is_none());
    let mesh = parse(br#"{"pin": {"query": null}}"#).unwrap().mesh;
    assert!(mesh.pin.unwrap().query.is_none());
}

#[test]
fn what_is_no_configuration_is_one_error() {
    assert_eq!(
        errors(" "),
        "pluginConfig: is not JSON (EOF while parsing a value at line 1 column 1)"
    );
    assert_eq!(
        errors("null"),
        "pluginConfig: null is not a mapping of fields"
    );
    assert_eq!(
        errors("[1]"),
        "pluginConfig: a list of 1 is not a mapping of fields"
    );
    assert!(parse(b"\xff\xfe").is_err());
    assert!(parse("[".repeat(100_000).as_bytes()).is_err());
}

#[test]
fn each_configuration_of_the_table_is_right_or_has_its_errors() {
    for (json, expected) in configurations::rows(with_keys) {
        let errors = parse(json.as_bytes()).err();
        let errors = errors.map(|errors| errors.to_string());
        assert_eq!(errors.unwrap_or_default(), expected, "{json}");
    }
}

#[test]
fn no_header_that_is_written_has_a_meaning_of_its_own() {
    let families = [
        "accept-encoding",
        "access-control-allow-origin",
        "content-encoding",
        "grpc-status",
        "if-none-match",
        "proxy-authorization",
        "sec-fetch-mode",
        "x-envoy-upstream-rq-timeout-ms",
        "x-forwarded-for",
    ];
    let names = [
        "expect",
        "range",
        "location",
        "set-cookie",
        "host",
        "te",
        "cache-control",
    ];
    for name in families.into_iter().chain(names) {
        for (field, json) in [
            ("bucketHeader", format!(r#"{{"bucketHeader": "{name}"}}"#)),
            ("routeHeader", format!(r#"{{"routeHeader": "{name}"}}"#)),
            (
                "pin.header",
                format!(r#"{{"pin": {{"header": "{name}"}}}}"#),
            ),
            (
                "tag.header",
                format!(r#"{{"tag": {{"header": "{name}"}}}}"#),
            ),
        ] {
            let errors = errors(&json);
            let begin = format!(
                "{field}: {name:?} is not a header without a meaning of its own (any but accept, "
            );
            assert!(errors.starts_with(&begin), "{errors}");
            assert!(errors.lines().count() == 1, "{errors}");
        }
        // One that is only read may be any, such as the address of the caller.
        let json = format!(r#"{{"identity": {{"header": "{name}"}}}}"#);
        assert!(parse(json.as_bytes()).is_ok(), "{name}");
    }
    for good in ["x-accept", "x-bucket", "served-by", "x-envoy"] {
        let json = format!(r#"{{"bucketHeader": "{good}"}}"#);
        assert!(parse(json.as_bytes()).is_ok(), "{good}");
    }
}

#[test]
fn rollouts_have_names_of_their_own_and_at_most_256() {
    let map = |names: &[String]| {
        let rollouts: Vec<String> = names
            .iter()
            .enumerate()
            .map(|(i, name)| format!(r#""{name}": {{"hosts": ["h{i}.example"]}}"#))
            .collect();
        format!(r#"{{"rollouts": {{{}}}}}"#, rollouts.join(","))
    };
    let names = |n: usize| (0..n).map(|i| format!("a{i}")).collect::<Vec<_>>();
    assert!(parse(map(&names(256)).as_bytes()).is_ok());
    assert_eq!(
        errors(&map(&names(257))),
        "rollouts: a mapping is not a map of 0 to 256 by name"
    );
    assert_eq!(
        errors(&map(&["a".to_owned(), "b".to_owned(), "a".to_owned()])),
        "rollouts.a: is given twice, only once is allowed"
    );
    assert!(parse(map(&["Shop_1.example".to_owned()]).as_bytes()).is_ok());
    assert_eq!(
        errors(&map(&["a b".to_owned()])),
        "rollouts.\"a b\": \"a b\" is not a rollout name (letters, digits, '-', '_' and '.', 1 to 253)"
    );
}

#[test]
fn of_many_errors_the_first_are_told_and_how_many_more() {
    let unknown = |n: usize| {
        let fields: Vec<String> = (0..n).map(|i| format!(r#""f{i}": 1"#)).collect();
        format!("{{{}}}", fields.join(","))
    };
    assert_eq!(errors(&unknown(50)).lines().count(), 50);
    let errors = errors(&unknown(100_002));
    assert_eq!(errors.lines().count(), 51);
    assert_eq!(errors.lines().last(), Some("and 99952 more"));
}

#[test]
fn a_label_is_a_version_only_if_it_fits_a_header() {
    assert_eq!(label_value(b"v1.2_x-3").as_deref(), Some("v1.2_x-3"));
    for bad in [&b""[..], b"a b", b"\xff", b"a\r\nb", &[b'x'; 64]] {
        assert_eq!(label_value(bad), None, "{bad:?}");
    }
}
