//! What the smaller commands and the wrong arguments of `explain` say. What it explains is
//! held to the table of scenarios, and to a real Envoy by tests/envoy/test_explain.py.

mod kit;

use kit::{bash, root};
use serde_json::Value;
use std::fs;

fn run(script: &str) -> (String, String, i32) {
    let output = bash(&root(), script).output().expect("bash");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("a code");
    (text(output.stdout), text(output.stderr), code)
}

const ROUTES: &str = "examples/blue-green/istio/virtual-service-70-30.yaml";

#[test]
fn wrong_arguments_say_what_to_write() {
    let folder = env!("CARGO_TARGET_TMPDIR");
    let wrong = format!("{folder}/wrong.yaml");
    fs::write(&wrong, "pin: {qery: x}\n").expect("a file");
    for (arguments, words) in [
        (
            "http://a/".to_owned(),
            "hand over the VirtualService with -r FILE",
        ),
        (format!("-r {ROUTES} ftp://a/"), "ftp is not http or https"),
        (
            format!("-r {ROUTES} -H x http://a/"),
            "x: is not a header, which is NAME: VALUE",
        ),
        (
            format!("-r {ROUTES} -b cookies.txt http://a/"),
            "files of cookies are not read",
        ),
        (
            format!("-r {ROUTES} -c {wrong} http://a/"),
            "pin.qery: \"qery\" is not a field here",
        ),
        (format!("-r {ROUTES} -c README.md http://a/"), "README.md"),
        (
            "-r envoyfilter/plugins.yaml http://a/".to_owned(),
            "no VirtualService and no HTTPRoute",
        ),
        (
            "-r none.yaml http://a/".to_owned(),
            "none.yaml: No such file",
        ),
    ] {
        let (out, error, code) = run(&format!("bluegreen explain {arguments}"));
        assert_eq!((out.as_str(), code), ("", 2), "{arguments}: {error}");
        assert!(error.contains(words), "{arguments}: {error}");
    }
}

#[test]
fn each_screen_fits_on_80_columns() {
    let long = "x".repeat(300);
    let requests = [
        format!("explain -r {ROUTES} http://shop.example/"),
        format!("explain -r {ROUTES} -H 'x-version-pin: {long}' http://shop.example/"),
        format!("explain -r {ROUTES} http://nowhere.example/"),
        "explain --help".to_owned(),
        "check --help".to_owned(),
        "simulate --help".to_owned(),
        "bucket --help".to_owned(),
        "pin make --help".to_owned(),
        "pin read --help".to_owned(),
        "--help".to_owned(),
        "check --rules".to_owned(),
    ];
    for request in requests {
        let (plain, error, code) = run(&format!("bluegreen {request}"));
        assert_eq!((error.as_str(), code), ("", 0), "{request}");
        // A path of this test and a header of the response may be longer, and are no words.
        for line in plain
            .lines()
            .filter(|line| line.contains(' ') && !line.contains('/'))
        {
            assert!(line.chars().count() <= 80, "{request}: {line}");
        }
        let (forced, _, _) = run(&format!("CLICOLOR_FORCE=1 bluegreen {request}"));
        let (none, _, _) = run(&format!("NO_COLOR=1 CLICOLOR_FORCE=1 bluegreen {request}"));
        assert!(!plain.contains('\u{1b}'), "{request}");
        assert!(
            forced.contains('\u{1b}') || request.contains("--rules"),
            "{request}"
        );
        assert_eq!(none, plain, "{request}");
    }
}

#[test]
fn what_comes_down_the_chain_is_told() {
    let file = format!("{}/baggage.yaml", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&file, "baggage: {}\n").expect("a file");
    for (request, words) in [
        (
            "--caller shop -H 'baggage: bluegreen-bucket=84' http://stock/",
            [
                "not looked for: the baggage has a bucket",
                "bucket      84, by the baggage",
                "version     green, by the bucket",
            ],
        ),
        (
            "--caller shop -H 'baggage: bluegreen-pin=stock.green,a=b' http://stock/",
            [
                "green, by the baggage: x-version-pin: green",
                "baggage     bluegreen-pin=stock.green,a=b",
                "version     green, by the pin",
            ],
        ),
        (
            "-H 'x-version-pin: stock=green' -b bluegreen-id=00c0ffee00c0ffee http://shop.example/",
            [
                "pin         none here: stock=green is for others",
                "bluegreen-pin=stock.green",
                "version     blue, by the bucket",
            ],
        ),
        (
            "-H 'baggage: bluegreen-bucket=84' -b bluegreen-id=00c0ffee00c0ffee http://shop.example/",
            [
                "of that identity on shop.example",
                "baggage     bluegreen-bucket=12194550004181602153",
                "version     blue, by the bucket",
            ],
        ),
    ] {
        let (text, error, code) = run(&format!(
            "bluegreen explain -r {ROUTES} -c {file} {request}"
        ));
        assert_eq!((error.as_str(), code), ("", 0), "{request}");
        for word in words {
            assert!(text.contains(word), "{request}: {word}: {text}");
        }
    }
}

#[test]
fn programs_get_json() {
    let script = format!(
        "bluegreen explain --json -r {ROUTES} -H 'x-version-pin: green' http://shop.example/"
    );
    let (text, _, code) = run(&script);
    let json: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(
        (code, &json["version"], &json["takesPart"]),
        (0, &"green".into(), &true.into())
    );
    assert_eq!(json["route"], "bluegreen-pin-2");
    let response = json["response"].as_array().expect("headers");
    assert!(response.contains(&serde_json::json!(["x-served-version", "green"])));
}

#[test]
fn a_bucket_is_of_the_host_and_of_its_salt() {
    let place = |arguments: &str| {
        let (text, error, code) = run(&format!("bluegreen bucket {arguments}"));
        assert_eq!(code, 0, "{error}");
        let line = text.lines().nth(1).expect("a user").to_owned();
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        (words[1].clone(), words[2].clone())
    };
    // The same number as in docs/how-it-works.md.
    let (bucket, of_100) = place("Shop.Example.:80 00c0ffee00c0ffee");
    assert_eq!((&*bucket, &*of_100), ("12194550004181602153", "53"));
    assert_eq!(place("shop.example 00c0ffee00c0ffee --sum 1000").1, "153");
    let folder = env!("CARGO_TARGET_TMPDIR");
    let config = format!("{folder}/salt.yaml");
    fs::write(
        &config,
        "rollouts: {web: {hosts: [www.example], salt: shop.example}}\n",
    )
    .expect("a file");
    assert_eq!(
        place(&format!("-c {config} www.example 00c0ffee00c0ffee")).0,
        bucket
    );
    // The table of scenarios has this one.
    let of_caller = place("--caller shop stock 00c0ffee00c0ffee").0;
    assert_eq!(of_caller, "17091238505137255668");
    assert_eq!(
        place("--caller other stock.shop.svc 00c0ffee00c0ffee").0,
        of_caller
    );
}

#[test]
fn what_is_made_for_other_programs() {
    let (schema, _, _) = run("bluegreen schema");
    let path = root().join("envoyfilter/schema/pluginConfig.schema.json");
    assert_eq!(schema, fs::read_to_string(path).expect("the schema"));
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (text, _, code) = run(&format!("bluegreen completions {shell}"));
        assert!(code == 0 && text.contains("simulate"), "{shell}");
    }
    let (_, error, code) = run("bluegreen completions bash | bash -n");
    assert_eq!((error.as_str(), code), ("", 0));
    let folder = format!("{}/man", env!("CARGO_TARGET_TMPDIR"));
    let (_, error, code) = run(&format!("bluegreen man {folder}"));
    assert_eq!((error.as_str(), code), ("", 0));
    let pages = fs::read_dir(folder).expect("a folder").count();
    assert_eq!(pages, 11);
}

#[test]
fn a_reader_who_goes_is_no_error() {
    let (_, error, _) = run("bluegreen check --rules | head -n 1");
    assert_eq!(error, "");
}
