use super::*;

/// The errors of a configuration, one a line.
fn errors(json: &str) -> String {
    parse(json.as_bytes()).expect_err(json).to_string()
}

/// A configuration with one rollout, `a`, of these fields.
fn rollout(fields: &str) -> String {
    format!(r#"{{"rollouts": {{"a": {{{fields}}}}}}}"#)
}

const HOSTS: &str = r#""hosts": ["shop.example"]"#;

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
    let of = |host: &str| config.settings(config.rollouts.find(host.as_bytes(), || None));
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

/// Each row is a field with a wrong value, and the whole error.
#[test]
fn each_wrong_value_has_its_error() {
    let header = "a header name (lowercase letters, digits and '-', 1 to 256 characters)";
    let cookie = "a cookie name (letters, digits and !#$%&'*+-.^_`|~, 1 to 256 characters)";
    let domain = "a domain (a host name such as shop.example, or \"\")";
    let path = "a cookie path (starts with '/', visible ASCII but ';', at most 1024 characters)";
    let parameter = "a parameter name (letters, digits and -._~, 1 to 256 characters)";
    let rows = [
        (r#""role": "edge""#, r#"role: "edge" is not one of auto, outbound, gateway, client, server"#.to_owned()),
        (r#""role": null"#, "role: null is not one of auto, outbound, gateway, client, server".to_owned()),
        (r#""bucketHeader": "X-Bucket""#, format!("bucketHeader: \"X-Bucket\" is not {header}")),
        (r#""bucketHeader": "a b""#, format!("bucketHeader: \"a b\" is not {header}")),
        (r#""bucketHeader": """#, format!("bucketHeader: \"\" is not {header}")),
        (r#""bucketHeader": ":path""#, format!("bucketHeader: \":path\" is not {header}")),
        (r#""bucketHeader": "a\r\nb: c""#, format!("bucketHeader: \"a\\r\\nb: c\" is not {header}")),
        (r#""identity": {"header": "cookie"}"#, "identity.header: \"cookie\" is not a header that names a user (any but cookie)".to_owned()),
        (r#""identity": {"header": "X-User"}"#, format!("identity.header: \"X-User\" is not {header}")),
        (r#""identity": {"first": "both"}"#, "identity.first: \"both\" is not one of header, cookie".to_owned()),
        (r#""identity": {"cookie": {"mint": 1}}"#, "identity.cookie.mint: 1 is not true or false".to_owned()),
        (r#""identity": null"#, "identity: null is not a mapping of fields".to_owned()),
        (r#""identity": {"cookie": true}"#, "identity.cookie: true is not a mapping of fields".to_owned()),
        (r#""identity": {"cookie": {"name": "a b"}}"#, format!("identity.cookie.name: \"a b\" is not {cookie}")),
        (r#""identity": {"cookie": {"name": "a=b"}}"#, format!("identity.cookie.name: \"a=b\" is not {cookie}")),
        (r#""identity": {"cookie": {"maxAgeSeconds": 34560001}}"#, "identity.cookie.maxAgeSeconds: 34560001 is not a whole number from 0 to 34560000".to_owned()),
        (r#""identity": {"cookie": {"maxAgeSeconds": -1}}"#, "identity.cookie.maxAgeSeconds: -1 is not a whole number from 0 to 34560000".to_owned()),
        (r#""identity": {"cookie": {"maxAgeSeconds": "60"}}"#, "identity.cookie.maxAgeSeconds: \"60\" is not a whole number from 0 to 34560000".to_owned()),
        (r#""identity": {"cookie": {"path": "shop"}}"#, format!("identity.cookie.path: \"shop\" is not {path}")),
        (r#""identity": {"cookie": {"path": "/;"}}"#, format!("identity.cookie.path: \"/;\" is not {path}")),
        (r#""identity": {"cookie": {"domain": ".shop.example"}}"#, format!("identity.cookie.domain: \".shop.example\" is not {domain}")),
        (r#""identity": {"cookie": {"domain": "a; b"}}"#, format!("identity.cookie.domain: \"a; b\" is not {domain}")),
        (r#""identity": {"cookie": {"secure": true}}"#, "identity.cookie.secure: true is not one of auto, always, never".to_owned()),
        (r#""identity": {"cookie": {"httpOnly": "yes"}}"#, "identity.cookie.httpOnly: \"yes\" is not true or false".to_owned()),
        (r#""identity": {"cookie": {"sameSite": "lax"}}"#, "identity.cookie.sameSite: \"lax\" is not one of Lax, Strict, None".to_owned()),
        (r#""identity": {"cookie": {"sameSite": "None"}}"#, "identity.cookie.sameSite: \"None\" needs secure: always".to_owned()),
        (r#""identity": {"cookie": {"partitioned": true}}"#, "identity.cookie.partitioned: true needs secure: always".to_owned()),
        (r#""identity": {"cookie": {"name": "__Secure-id"}}"#, "identity.cookie.name: \"__Secure-id\" needs secure: always".to_owned()),
        (r#""identity": {"cookie": {"name": "__host-id", "secure": "always", "path": "/a"}}"#, "identity.cookie.name: \"__host-id\" needs path: /".to_owned()),
        (r#""pin": {"cookie": {"name": "__Host-pin", "secure": "always", "domain": "shop.example"}}"#, "pin.cookie.name: \"__Host-pin\" needs domain: \"\"".to_owned()),
        (r#""pin": {"query": ""}"#, format!("pin.query: \"\" is not {parameter}")),
        (r#""pin": {"query": "a&b"}"#, format!("pin.query: \"a&b\" is not {parameter}")),
        (r#""pin": "off""#, "pin: \"off\" is not a mapping of fields".to_owned()),
        (r#""tag": {"when": "sometimes"}"#, "tag.when: \"sometimes\" is not one of always, pinned, never".to_owned()),
        (r#""tag": {"label": "a b"}"#, "tag.label: \"a b\" is not the key of a pod's label (such as version or app.example/version)".to_owned()),
        (r#""tag": {"colour": "green"}"#, "tag.colour: \"colour\" is not a field here (header, when, label)".to_owned()),
        (r#""a.b\n": 1"#, "\"a.b\\n\": \"a.b\\n\" is not a field here (role, bucketHeader, routeHeader, identity, pin, tag, rollouts)".to_owned()),
        (r#""role": "auto", "role": "client""#, "role: is given twice, only once is allowed".to_owned()),
        (r#""identity": {"header": "x-version-pin"}"#, "pin.header: \"x-version-pin\" is taken by identity.header, the two must differ".to_owned()),
        (r#""pin": null, "tag": {"header": "x-version-pin"}"#, "tag.header: \"x-version-pin\" is taken by pin.header, the two must differ".to_owned()),
        (r#""routeHeader": "x-bluegreen-bucket""#, "routeHeader: \"x-bluegreen-bucket\" is taken by bucketHeader, the two must differ".to_owned()),
        (r#""tag": {"header": "x-bluegreen-route"}"#, "tag.header: \"x-bluegreen-route\" is taken by routeHeader, the two must differ".to_owned()),
        (r#""rollouts": []"#, "rollouts: a list of 0 is not a map of 0 to 256 by name".to_owned()),
        (r#""pin": {"cookie": {"name": "bluegreen-id"}}"#, "pin.cookie.name: \"bluegreen-id\" is taken by identity.cookie.name, the two must differ".to_owned()),
    ];
    for (fields, error) in rows {
        assert_eq!(errors(&format!("{{{fields}}}")), error, "{fields}");
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
fn each_wrong_rollout_has_its_error() {
    let host = "a host (a name such as shop.example or *.shop.example, without a port)";
    let prefix = "a path prefix (starts with '/', visible ASCII but '?' and '#', at most 1024 \
                  characters)";
    let rows = [
        (String::new(), "rollouts.a.hosts: is missing, it must be a list of 1 or more".to_owned()),
        (r#""hosts": ["shop.example:80"]"#.to_owned(), format!(r#"rollouts.a.hosts[0]: "shop.example:80" is not {host}"#)),
        (r#""hosts": ["*"]"#.to_owned(), format!(r#"rollouts.a.hosts[0]: "*" is not {host}"#)),
        (r#""hosts": ["a.*.example"]"#.to_owned(), format!(r#"rollouts.a.hosts[0]: "a.*.example" is not {host}"#)),
        (r#""hosts": []"#.to_owned(), "rollouts.a.hosts: a list of 0 is not a list of 1 or more".to_owned()),
        (r#""hosts": "shop.example""#.to_owned(), "rollouts.a.hosts: \"shop.example\" is not a list of 1 or more".to_owned()),
        (format!(r#"{HOSTS}, "pathPrefixes": ["shop"]"#), format!(r#"rollouts.a.pathPrefixes[0]: "shop" is not {prefix}"#)),
        (format!(r#"{HOSTS}, "pathPrefixes": ["/a?b"]"#), format!(r#"rollouts.a.pathPrefixes[0]: "/a?b" is not {prefix}"#)),
        (format!(r#"{HOSTS}, "salt": """#), "rollouts.a.salt: \"\" is not a salt (text of 1 to 256 bytes without control characters)".to_owned()),
        (format!(r#"{HOSTS}, "weightTotal": 100"#), "rollouts.a.weightTotal: \"weightTotal\" is not a field here (hosts, pathPrefixes, salt, identity, pin, tag)".to_owned()),
        (format!(r#"{HOSTS}, "identity": null"#), "rollouts.a.identity: null is not a mapping of fields".to_owned()),
        (format!(r#"{HOSTS}, "tag": {{"header": "x-version-pin"}}"#), "rollouts.a.tag.header: \"x-version-pin\" is taken by pin.header, the two must differ".to_owned()),
        (format!(r#"{HOSTS}, "pin": {{"header": "x-served-version"}}"#), "tag.header: \"x-served-version\" is taken by rollouts.a.pin.header, the two must differ".to_owned()),
        (format!(r#"{HOSTS}, "pin": {{"cookie": {{"name": "bluegreen-id"}}}}"#), "rollouts.a.pin.cookie.name: \"bluegreen-id\" is taken by identity.cookie.name, the two must differ".to_owned()),
    ];
    for (fields, error) in rows {
        assert_eq!(errors(&rollout(&fields)), error, "{fields}");
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
fn two_rollouts_for_the_same_requests_are_told_with_both_names() {
    let json = r#"{"rollouts": {
        "a": {"hosts": ["shop.example", "*.example"]},
        "b": {"hosts": ["shop.example"], "pathPrefixes": ["/api", "/"]},
        "c": {"hosts": ["*.Example"]}}}"#;
    assert_eq!(
        errors(json),
        "rollouts.b.hosts: \"shop.example\" with the path prefix \"/\" is taken by rollouts.a, \
         the two must differ\n\
         rollouts.c.hosts: \"*.example\" with every path is taken by rollouts.a, the two must differ"
    );
}

#[test]
fn both_ends_of_each_range_are_allowed() {
    for fields in [
        r#""hosts": ["Shop.Example", "*.shop.example", "127.0.0.1", "[::1]"]"#.to_owned(),
        format!(r#"{HOSTS}, "pathPrefixes": ["/"]"#),
        format!(r#"{HOSTS}, "salt": "{}""#, "s".repeat(256)),
    ] {
        let json = rollout(&fields);
        assert!(parse(json.as_bytes()).is_ok(), "{json}");
    }
    for age in ["0", "34560000", "100.0"] {
        let json = format!(r#"{{"pin": {{"cookie": {{"maxAgeSeconds": {age}}}}}}}"#);
        assert!(parse(json.as_bytes()).is_ok(), "{json}");
    }
    let host = br#"{"identity": {"cookie": {"name": "__Host-id", "secure": "always"}}}"#;
    assert!(parse(host).is_ok());
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_fields() {
    let json = r#"{"role": 1, "rolouts": [], "rollouts": {"x": 5, "y": {"hosts": ["a b"]}}}"#;
    assert_eq!(
        errors(json),
        "role: 1 is not one of auto, outbound, gateway, client, server\n\
         rollouts.x: 5 is not a mapping of fields\n\
         rollouts.y.hosts[0]: \"a b\" is not a host (a name such as shop.example or \
         *.shop.example, without a port)\n\
         rolouts: \"rolouts\" is not a field here (role, bucketHeader, routeHeader, identity, \
         pin, tag, rollouts)"
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
