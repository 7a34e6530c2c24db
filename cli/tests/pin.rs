//! Signed pins: what `pin make` makes counts, by `pin read` and by what the filter would do.

mod kit;

use kit::{bash, root};
use std::fs;

const ROUTES: &str = "examples/blue-green/istio/virtual-service-70-30.yaml";

/// What a script prints, and its exit code.
fn run(script: &str) -> (String, i32) {
    let output = bash(&root(), script).output().expect("bash");
    let text = [output.stdout, output.stderr].concat();
    let code = output.status.code().expect("a code");
    (String::from_utf8(text).expect("UTF-8"), code)
}

fn made(arguments: &str) -> String {
    let (text, code) = run(&format!("bluegreen pin make {arguments}"));
    assert_eq!(code, 0, "{text}");
    text.trim_end().to_owned()
}

fn read(arguments: &str) -> (String, i32) {
    run(&format!("bluegreen pin read {arguments}"))
}

#[test]
fn what_is_made_counts_by_its_own_key_alone() {
    for (key, other) in [("es", "other"), ("rs", "es")] {
        let token = made(&format!(
            "--key tests/keys/{key}.pem --subject ci@shop --id 7 --kid k1 shop.example=green stock=v2"
        ));
        let (text, code) = read(&format!("--key tests/keys/{key}.pub.pem {token}"));
        let says = |words: &str| assert!(text.contains(words), "{words}: {text}");
        says("pins    green on shop.example\npins    v2 on stock\n");
        says("for     ci@shop\nid      7\n");
        says("kid k1\n");
        says("counts  yes: ");
        assert_eq!(code, 0);
        let (text, code) = read(&format!("--key tests/keys/{other}.pub.pem {token}"));
        assert!(text.contains("counts  no: "), "{text}");
        assert_eq!(code, 1);
        let (head, signature) = token.rsplit_once('.').expect("a signature");
        let digit = if signature.starts_with('A') { 'B' } else { 'A' };
        let forged = format!("{head}.{digit}{}", signature.get(1..).expect("more"));
        let (text, code) = read(&format!("--key tests/keys/{key}.pub.pem {forged}"));
        assert!(text.contains("no: no key has signed it"), "{text}");
        assert_eq!(code, 1);
    }
}

#[test]
fn a_token_begins_and_ends() {
    let token = made("--key tests/keys/es.pem --for 1h --at 1800000000 shop.example=green");
    for (at, words, code) in [
        (1_799_999_900, "counts  no: it has not begun", 1),
        (1_800_000_000, "2027-01-15 09:00:00 UTC, in 1 hour\n", 0),
        (1_800_003_599, "2027-01-15 09:00:00 UTC, in 1 second\n", 0),
        (1_800_003_600, "counts  no: it has ended", 1),
        (1_800_010_800, "UTC: it ended 2 hours ago\n", 1),
    ] {
        let (text, ended) = read(&format!("--key tests/keys/es.pub.pem --at {at} {token}"));
        assert!(text.contains(words), "{at}: {text}");
        assert_eq!(ended, code, "{at}");
    }
    let (text, code) = read(&format!("--at 1800003600 - <<<{token}"));
    assert!(text.contains("counts  not looked at"), "{text}");
    assert_eq!(code, 1);
}

#[test]
fn the_forms_in_which_openssl_writes_keys() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    for (name, command) in [
        ("sec1", "ecparam -name prime256v1 -genkey -noout"),
        ("sec1-parameters", "ecparam -name prime256v1 -genkey"),
        ("rsa", "genrsa -traditional 2048"),
    ] {
        let file = format!("{folder}/{name}.pem");
        let public = format!("{folder}/{name}.pub.pem");
        let (text, code) = run(&format!(
            "openssl {command} 2>/dev/null >{file} && openssl pkey -in {file} -pubout -out {public}"
        ));
        assert_eq!(code, 0, "{text}");
        let token = made(&format!("--key {file} shop.example=green"));
        let (text, code) = read(&format!("--key {public} {token}"));
        assert_eq!(code, 0, "{name}: {text}");
    }
}

#[test]
fn explain_says_what_a_gateway_does_with_a_pin() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let pem = fs::read_to_string(root().join("tests/keys/es.pub.pem")).expect("a key");
    let key = serde_json::json!({"name": "ci", "publicKey": pem, "maxSeconds": 3600});
    let config = serde_json::json!({
        "pin": {"query": "version-pin", "keys": [key], "revoked": ["7"]},
    });
    let file = format!("{folder}/signed.yaml");
    fs::write(&file, config.to_string()).expect("a file");
    let explained = |arguments: &str| {
        let words = format!("bluegreen explain -r {ROUTES} -c {file} {arguments}");
        let (text, code) = run(&words);
        assert_eq!(code, 0, "{text}");
        text
    };
    let of = |arguments: &str| made(&format!("--key tests/keys/es.pem {arguments}"));
    let good = of("--subject ci@shop shop.example=green");
    let text = explained(&format!("-H 'x-version-pin: {good}' http://shop.example/"));
    assert!(
        text.contains("green, by the header, signed by ci/ci@shop:"),
        "{text}"
    );
    assert!(text.contains("version     green, by the pin"), "{text}");
    let by_query = format!("'http://shop.example/?version-pin={good}'");
    assert!(explained(&by_query).contains("green, by the query, signed by ci/ci@shop:"));
    for (pin, words) in [
        ("green".to_owned(), "it is a plain name"),
        (of("--at 1800000000 shop.example=green"), "it has not begun"),
        (of("--at 1700000000 shop.example=green"), "it has ended"),
        (of("other.example=green"), "it is for other hosts"),
        (of("--for 2h shop.example=green"), "it lives longer than"),
        (of("--id 7 shop.example=green"), "it was taken back"),
        (good.replacen("ey", "e", 1), "it is no whole token"),
        (
            made("--key tests/keys/other.pem shop.example=green"),
            "no key has signed it",
        ),
    ] {
        let text = explained(&format!("-H 'x-version-pin: {pin}' http://shop.example/"));
        let one_line = text.replace("\n            ", " ");
        let words = format!("does not count: {words}");
        assert!(one_line.contains(&words), "{words}: {text}");
        assert!(text.contains("version     blue, by the bucket"), "{text}");
        assert!(text.contains("x-version-pin: rejected; reason="), "{text}");
        assert!(!text.contains(&pin) || pin == "green", "whole: {text}");
    }
    let text = explained("http://shop.example/?version-pin=green");
    assert!(
        text.contains("that of query or cookie does not count: it is a plain"),
        "{text}"
    );
}

#[test]
fn wrong_arguments_say_what_is_allowed() {
    for (arguments, words) in [
        (
            "make --key tests/keys/es.pem shop.example",
            "is not HOST=VERSION",
        ),
        (
            "make --key tests/keys/es.pem shop.example=Green",
            "\"Green\" is no version's name",
        ),
        (
            "make --key tests/keys/es.pem shop.example:80=green",
            "it is for other hosts",
        ),
        (
            "make --key tests/keys/es.pem --for 31d a=b",
            "is no time from 1s to 30d",
        ),
        (
            "make --key tests/keys/es.pub.pem a=b",
            "is no private key in PEM",
        ),
        ("make --key none.pem a=b", "none.pem: No such file"),
        ("read x.y.z", "this is no token"),
        (
            "read --key tests/keys/es.pem e30.e30.e30",
            "tests/keys/es.pem: is a private key, and not a public key in PEM",
        ),
    ] {
        let (text, code) = run(&format!("bluegreen pin {arguments}"));
        assert_eq!(code, 2, "{arguments}: {text}");
        assert!(text.contains(words), "{arguments}: {text}");
    }
}
