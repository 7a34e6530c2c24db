use super::*;

/// The errors of a configuration, one a line.
fn errors(json: &str) -> String {
    let errors = parse(json.as_bytes()).expect_err(json);
    let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// A configuration with one good rollout and `fields` before it.
fn with(fields: &str) -> String {
    format!(r#"{{{fields}, "rollouts": [{{"name": "a", "versions": ["blue", "green"]}}]}}"#)
}

/// A configuration with one rollout of these fields.
fn rollout(fields: &str) -> String {
    format!(r#"{{"rollouts": [{{{fields}}}]}}"#)
}

const VERSIONS: &str = r#""versions": ["blue", "green"]"#;

#[test]
fn the_defaults_are_those_of_the_contract() {
    let config = parse(rollout(&format!(r#""name": "myapp", {VERSIONS}"#)).as_bytes()).unwrap();
    assert_eq!(config.role, Setting::Auto);
    assert_eq!(&*config.bucket_header, "x-bluegreen-bucket");
    assert!(config.identity.header.is_none());
    let identity = config.identity.cookie.unwrap();
    assert_eq!(
        identity.line(b"1", true),
        b"bluegreen-id=1; Max-Age=604800; Path=/; Secure; HttpOnly; SameSite=Lax"
    );
    let pin = config.pin.unwrap();
    assert_eq!(&*pin.header, "x-version-pin");
    assert!(pin.query.is_none());
    assert_eq!(
        pin.cookie.unwrap().line(b"green", false),
        b"bluegreen-pin=green; Max-Age=3600; Path=/; HttpOnly; SameSite=Lax"
    );
    assert_eq!(&*config.tag.header, "x-served-version");
    assert_eq!(config.tag.when, When::Always);
    assert_eq!(&*config.tag.label, "version");
    let rollout = config.rollouts.iter().next().unwrap();
    assert_eq!(rollout.weight_total, WeightTotal::new(100));
    assert_eq!(
        rollout.salted.hash(b"u"),
        Salted::new(b"myapp").hash(b"u"),
        "the salt is the name"
    );
}

#[test]
fn null_turns_things_off() {
    let config =
        parse(with(r#""pin": null, "identity": {"cookie": null, "header": null}"#).as_bytes());
    let config = config.unwrap();
    assert!(config.pin.is_none());
    assert!(config.identity.cookie.is_none());
    let config = parse(with(r#""pin": {"cookie": null, "query": null}"#).as_bytes()).unwrap();
    assert!(config.pin.unwrap().cookie.is_none());
}

#[test]
fn what_is_no_configuration_is_one_error() {
    assert_eq!(
        errors(""),
        "pluginConfig: is not JSON (EOF while parsing a value at line 1 column 0)"
    );
    assert_eq!(
        errors("{}"),
        "rollouts: is missing, it must be a list of 1 to 256"
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
    let reserved = "a header that a filter may claim (any but connection, content-length, cookie, \
                    host, http2-settings, keep-alive, proxy-authenticate, proxy-authorization, \
                    proxy-connection, set-cookie, te, trailer, transfer-encoding, upgrade)";
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
        (r#""bucketHeader": "cookie""#, format!("bucketHeader: \"cookie\" is not {reserved}")),
        (r#""identity": {"header": "host"}"#, format!("identity.header: \"host\" is not {reserved}")),
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
        (r#""tag": {"header": "set-cookie"}"#, format!("tag.header: \"set-cookie\" is not {reserved}")),
        (r#""tag": {"colour": "green"}"#, "tag.colour: \"colour\" is not a field here (header, when, label)".to_owned()),
        (r#""a.b\n": 1"#, "\"a.b\\n\": \"a.b\\n\" is not a field here (role, bucketHeader, identity, pin, tag, rollouts)".to_owned()),
        (r#""role": "auto", "role": "client""#, "role: is given twice, only once is allowed".to_owned()),
        (r#""identity": {"header": "x-version-pin"}"#, "pin.header: \"x-version-pin\" is taken by identity.header, the two must differ".to_owned()),
        (r#""pin": null, "tag": {"header": "x-version-pin"}"#, "tag.header: \"x-version-pin\" is taken by pin.header, the two must differ".to_owned()),
        (r#""pin": {"cookie": {"name": "bluegreen-id"}}"#, "pin.cookie.name: \"bluegreen-id\" is taken by identity.cookie.name, the two must differ".to_owned()),
    ];
    for (fields, error) in rows {
        assert_eq!(errors(&with(fields)), error, "{fields}");
    }
}

#[test]
fn each_wrong_rollout_has_its_error() {
    let host = "a host (a name such as shop.example or *.shop.example, without a port; leave hosts \
                out for every host)";
    let prefix = "a path prefix (starts with '/', visible ASCII but '?' and '#', at most 1024 \
                  characters)";
    let long = "x".repeat(64);
    let rows = [
        (VERSIONS.to_owned(), "rollouts[0].name: is missing, it must be a rollout name (lowercase letters, digits and '-')".to_owned()),
        (r#""name": "a""#.to_owned(), "rollouts[0].versions: is missing, it must be a list of 2 to 16".to_owned()),
        (r#""name": "a", "versions": ["blue", "Green"]"#.to_owned(), r#"rollouts[0].versions[1]: "Green" is not a version name (lowercase letters, digits and '-')"#.to_owned()),
        (r#""name": "a", "versions": ["blue", "-green"]"#.to_owned(), r#"rollouts[0].versions[1]: "-green" is not a version name (it starts and ends with a letter or a digit)"#.to_owned()),
        (format!(r#""name": "a", "versions": ["blue", "{long}"]"#), format!(r#"rollouts[0].versions[1]: "{long}" is not a version name (at most 63 characters)"#)),
        (r#""name": "a", "versions": ["blue", "none"]"#.to_owned(), r#"rollouts[0].versions[1]: "none" is not a version name (none and other have a meaning of their own)"#.to_owned()),
        (r#""name": "a", "versions": ["blue"]"#.to_owned(), "rollouts[0].versions: a list of 1 is not a list of 2 to 16".to_owned()),
        (r#""name": "a", "versions": ["b", 1, "b"]"#.to_owned(), "rollouts[0].versions[1]: 1 is not a version name (lowercase letters, digits and '-')\nrollouts[0].versions[2]: \"b\" is taken by rollouts[0].versions[0], the two must differ".to_owned()),
        (format!(r#""name": "a_b", {VERSIONS}"#), r#"rollouts[0].name: "a_b" is not a rollout name (lowercase letters, digits and '-')"#.to_owned()),
        (format!(r#""name": "a", "hosts": ["shop.example:80"], {VERSIONS}"#), format!(r#"rollouts[0].hosts[0]: "shop.example:80" is not {host}"#)),
        (format!(r#""name": "a", "hosts": ["*"], {VERSIONS}"#), format!(r#"rollouts[0].hosts[0]: "*" is not {host}"#)),
        (format!(r#""name": "a", "hosts": ["a.*.example"], {VERSIONS}"#), format!(r#"rollouts[0].hosts[0]: "a.*.example" is not {host}"#)),
        (format!(r#""name": "a", "hosts": [], {VERSIONS}"#), "rollouts[0].hosts: a list of 0 is not a list of 1 or more".to_owned()),
        (format!(r#""name": "a", "pathPrefixes": ["shop"], {VERSIONS}"#), format!(r#"rollouts[0].pathPrefixes[0]: "shop" is not {prefix}"#)),
        (format!(r#""name": "a", "pathPrefixes": ["/a?b"], {VERSIONS}"#), format!(r#"rollouts[0].pathPrefixes[0]: "/a?b" is not {prefix}"#)),
        (format!(r#""name": "a", "weightTotal": 0, {VERSIONS}"#), "rollouts[0].weightTotal: 0 is not a whole number from 1 to 1000000".to_owned()),
        (format!(r#""name": "a", "weightTotal": 1000001, {VERSIONS}"#), "rollouts[0].weightTotal: 1000001 is not a whole number from 1 to 1000000".to_owned()),
        (format!(r#""name": "a", "weightTotal": 99.5, {VERSIONS}"#), "rollouts[0].weightTotal: 99.5 is not a whole number from 1 to 1000000".to_owned()),
        (format!(r#""name": "a", "salt": "", {VERSIONS}"#), "rollouts[0].salt: \"\" is not a salt (text of 1 to 256 bytes without control characters)".to_owned()),
        (format!(r#""name": "a", "weights": [70, 30], {VERSIONS}"#), "rollouts[0].weights: \"weights\" is not a field here (name, hosts, pathPrefixes, versions, weightTotal, salt)".to_owned()),
    ];
    for (fields, error) in rows {
        assert_eq!(errors(&rollout(&fields)), error, "{fields}");
    }
}

#[test]
fn the_list_of_rollouts_has_bounds_and_unique_names() {
    let list = |names: &[String]| {
        let rollouts: Vec<String> = names
            .iter()
            .map(|name| format!(r#"{{"name": "{name}", {VERSIONS}}}"#))
            .collect();
        format!(r#"{{"rollouts": [{}]}}"#, rollouts.join(","))
    };
    let names = |n: usize| (0..n).map(|i| format!("a{i}")).collect::<Vec<_>>();
    assert!(parse(list(&names(256)).as_bytes()).is_ok());
    assert_eq!(
        errors(&list(&names(257))),
        "rollouts: a list of 257 is not a list of 1 to 256"
    );
    assert_eq!(
        errors(&list(&[])),
        "rollouts: a list of 0 is not a list of 1 to 256"
    );
    assert_eq!(
        errors(&list(&["a".to_owned(), "b".to_owned(), "a".to_owned()])),
        "rollouts[2].name: \"a\" is taken by rollouts[0].name, the two must differ"
    );
}

#[test]
fn both_ends_of_each_range_are_allowed() {
    for fields in [
        r#""weightTotal": 1"#,
        r#""weightTotal": 1000000"#,
        r#""weightTotal": 100.0"#,
        r#""hosts": ["Shop.Example", "*.shop.example", "127.0.0.1", "[::1]"]"#,
        r#""pathPrefixes": ["/"]"#,
    ] {
        let json = rollout(&format!(r#""name": "a", {fields}, {VERSIONS}"#));
        assert!(parse(json.as_bytes()).is_ok(), "{json}");
    }
    for age in [0, 34_560_000] {
        let json = with(&format!(
            r#""pin": {{"cookie": {{"maxAgeSeconds": {age}}}}}"#
        ));
        assert!(parse(json.as_bytes()).is_ok(), "{json}");
    }
    let host = r#""identity": {"cookie": {"name": "__Host-id", "secure": "always"}}"#;
    assert!(parse(with(host).as_bytes()).is_ok());
}

#[test]
fn all_errors_are_reported_not_only_the_first() {
    let json = r#"{"role": 1, "rolouts": [], "rollouts": [5, {"name": "A", "versions": []}]}"#;
    assert_eq!(
        errors(json),
        "role: 1 is not one of auto, outbound, gateway, client, server\n\
         rollouts[0]: 5 is not a mapping of fields\n\
         rollouts[1].name: \"A\" is not a rollout name (lowercase letters, digits and '-')\n\
         rollouts[1].versions: a list of 0 is not a list of 2 to 16\n\
         rolouts: \"rolouts\" is not a field here (role, bucketHeader, identity, pin, tag, rollouts)"
    );
}

#[test]
fn a_label_is_a_version_only_if_it_fits_a_header() {
    assert_eq!(label_value(b"v1.2_x-3").as_deref(), Some("v1.2_x-3"));
    for bad in [&b""[..], b"a b", b"\xff", b"a\r\nb", &[b'x'; 64]] {
        assert_eq!(label_value(bad), None, "{bad:?}");
    }
}
