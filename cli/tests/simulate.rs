//! `simulate` counts users as a second implementation does, in memory that stays flat.

mod kit;

use kit::{bash, root};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::hash::Hasher as _;
use std::path::PathBuf;

fn folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("simulate");
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A route with these versions and weights.
fn route(parts: &[(&str, u32)]) -> String {
    let mut text = "kind: VirtualService\nmetadata: {name: shop, namespace: shop}\nspec:\n  \
        hosts: [shop.example]\n  http:\n  - name: bluegreen\n    route:\n"
        .to_owned();
    for (version, weight) in parts {
        let to = format!("{{host: shop, subset: {version}}}");
        writeln!(text, "    - {{destination: {to}, weight: {weight}}}").expect("text");
    }
    text
}

fn simulate(arguments: &str) -> (Vec<Value>, i32) {
    let script = format!("bluegreen simulate --json {arguments}");
    let output = bash(&folder(), &script).output().expect("bash");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{script}: {error}"));
    (json, output.status.code().expect("a code"))
}

/// The bucket by the standard library's SipHash-2-4.
#[allow(deprecated, reason = "a second implementation, not the core's")]
fn bucket(host: &str, identity: &str) -> u64 {
    let key = |half: &[u8; 8]| u64::from_le_bytes(*half);
    let mut hasher = std::hash::SipHasher::new_with_keys(key(b"bluegree"), key(b"n-bucket"));
    hasher.write(format!("{host}\0{identity}").as_bytes());
    hasher.finish()
}

#[test]
fn users_are_where_their_buckets_take_them() {
    let users: Vec<String> = (0..2000)
        .map(|n| format!("user-{n}@shop.example"))
        .collect();
    let file = folder().join("users.txt");
    fs::write(&file, users.join("\r\n")).expect("a file");
    fs::write(
        folder().join("a.yaml"),
        route(&[("blue", 100), ("green", 0)]),
    )
    .expect("a file");
    let (json, code) = simulate("-r a.yaml --to 10,50,30 --ids users.txt");
    assert_eq!(code, 0);
    assert_eq!(json[0]["users"], 2000);
    let mut before: Vec<bool> = Vec::new();
    for (step, green) in json[0]["steps"]
        .as_array()
        .expect("steps")
        .iter()
        .zip([0, 10, 50, 30])
    {
        let now: Vec<bool> = users
            .iter()
            .map(|user| bucket("shop.example", user) % 100 >= 100 - green)
            .collect();
        let count = now.iter().filter(|is_green| **is_green).count();
        assert_eq!(step["users"]["green"], count);
        let moved = now
            .iter()
            .zip(&before)
            .filter(|(now, before)| now != before);
        assert_eq!(step["moved"], moved.count());
        let back = if green == 30 {
            step["moved"].clone()
        } else {
            0.into()
        };
        assert_eq!(step["back"], back);
        before = now;
    }
}

#[test]
fn moves_for_nothing_are_warned_of() {
    let parts = [("v1", 80), ("v2", 10), ("v3", 10)];
    fs::write(folder().join("b.yaml"), route(&parts)).expect("a file");
    let [one, two, three] = parts;
    fs::write(folder().join("c.yaml"), route(&[two, one, three])).expect("a file");
    for (arguments, warned, words) in [
        ("-r b.yaml --to 70/20/10", 0, ""),
        ("-r b.yaml --to 0/0/100", 0, ""),
        (
            "-r b.yaml --to 70/10/20",
            1,
            "70/10/20: weight moves past v2",
        ),
        (
            "-r b.yaml --to 800/100/100",
            1,
            "the sum of the weights was 100, and is 1000",
        ),
        (
            "-r b.yaml -r c.yaml",
            1,
            "10/80/10: the order was v1, v2, v3",
        ),
        ("-r b.yaml -r b.yaml", 0, ""),
    ] {
        let (json, code) = simulate(arguments);
        assert_eq!(code, warned, "{arguments}");
        let said = json[0]["warnings"].to_string();
        assert!(
            said.contains(words) && (said == "[]") == (warned == 0),
            "{arguments}: {said}"
        );
    }
}

/// As Flagger has it: the one says the name and the host, the other the weights.
#[test]
fn the_weights_of_a_delegate_are_those_of_the_route_that_hands_over() {
    let users = "kind: VirtualService\nmetadata: {name: users, namespace: shop}\nspec:\n  \
        hosts: [shop.example]\n  http:\n  - {name: bluegreen, delegate: {name: shop}}\n";
    fs::write(folder().join("users.yaml"), users).expect("a file");
    for (name, green) in [("begin", 0), ("end", 40)] {
        let weights = route(&[("blue", 100 - green), ("green", green)]);
        let weights = weights
            .replace("  hosts: [shop.example]\n", "")
            .replace("- name: bluegreen\n    route", "- route");
        fs::write(folder().join(format!("{name}.yaml")), weights).expect("a file");
    }
    let whole = route(&[("blue", 100), ("green", 0)]).replace("name: shop,", "name: users,");
    fs::write(folder().join("whole.yaml"), whole).expect("a file");
    let (expected, _) = simulate("-r whole.yaml --to 40 --users 1000");
    let (json, code) = simulate("-r users.yaml -r begin.yaml -r end.yaml --users 1000");
    assert_eq!((&json, code), (&expected, 0));
    let script = "cat users.yaml; echo ---; cat begin.yaml";
    let (json, _) = simulate(&format!("-r <({script}) -r end.yaml --users 1000"));
    assert_eq!(json, expected);
    for arguments in ["-r end.yaml", "-r users.yaml"] {
        let script = format!("bluegreen simulate {arguments}");
        let output = bash(&folder(), &script).output().expect("bash");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains("hand over both objects"), "{error}");
    }
}

#[test]
fn the_names_of_a_service_are_one_host() {
    let [short, full] = ["stock", "stock.shop.svc.cluster.local"].map(|host| {
        let text = route(&[("blue", 1), ("green", 1)]).replace("shop.example", host);
        fs::write(folder().join(format!("{host}.yaml")), text).expect("a file");
        simulate(&format!("-r {host}.yaml --users 1000")).0[0]["steps"].clone()
    });
    assert_eq!(short, full);
}

#[test]
fn wrong_arguments_say_what_to_write() {
    fs::write(
        folder().join("d.yaml"),
        route(&[("a", 1), ("b", 1), ("c", 1)]),
    )
    .expect("a file");
    fs::write(folder().join("empty.yaml"), "a: 1\n").expect("a file");
    for (arguments, words) in [
        (
            "-r d.yaml --to 10",
            "--to 10: write a weight for each of a, b, c, as in 80/10/10",
        ),
        (
            "-r d.yaml --to 1/2",
            "--to 1/2: is not a weight for each of a, b, c",
        ),
        ("-r d.yaml --to x", "\"x\" is not a weight"),
        ("-r d.yaml --to 0/0/0", "all weights are 0"),
        ("-r empty.yaml", "empty.yaml: no weighted route of ours"),
        ("-r none.yaml", "none.yaml: No such file"),
        ("-r d.yaml --plan", "--plan takes several weighted routes"),
    ] {
        let script = format!("bluegreen simulate {arguments}");
        let output = bash(&folder(), &script).output().expect("bash");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{error}");
        assert!(error.contains(words), "{arguments}: {error}");
    }
}

/// While one hop is changed and the next is not, those between the two weights are mixed.
/// A new version is behind before it is in front, and in front no more before it goes.
#[test]
fn a_plan_counts_who_is_mixed_and_changes_the_last_hop_first() {
    let front = route(&[("blue", 100), ("green", 0)]);
    let back = front
        .replace("name: shop,", "name: stock,")
        .replace("host: shop,", "host: stock,");
    fs::write(folder().join("chain.yaml"), format!("{front}---\n{back}")).expect("a file");
    let users: Vec<String> = (0..1000).map(|n| format!("user-{n}")).collect();
    fs::write(folder().join("chain.txt"), users.join("\n")).expect("a file");
    let between = |from: u64, to: u64| {
        let places = users.iter().map(|user| bucket("shop.example", user) % 100);
        places
            .filter(|place| (from..to).contains(place))
            .count()
            .to_string()
    };
    let script = "bluegreen simulate -r chain.yaml --to 40,10 --ids chain.txt --plan";
    let output = bash(&folder(), script).output().expect("bash");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()))
        .map(|line| line.split_whitespace().skip(1).collect())
        .collect();
    let grows = between(60, 100);
    let shrinks = between(60, 90);
    assert_eq!(
        rows,
        [
            ["stock.shop", "60/40", &*grows],
            ["shop.shop", "60/40", "0"],
            ["shop.shop", "90/10", &*shrinks],
            ["stock.shop", "90/10", "0"],
        ]
    );
}

/// No line is wider than 80 columns, with colours and without.
#[test]
fn it_fits_on_80_columns() {
    let ramp = root().join("examples/blue-green/istio/virtual-service-100-0.yaml");
    let ramp = ramp.display();
    let mut seen = BTreeMap::new();
    for (mode, before) in [
        ("plain", ""),
        ("coloured", "CLICOLOR_FORCE=1"),
        ("none", "NO_COLOR=1 CLICOLOR_FORCE=1"),
    ] {
        let script = format!("{before} bluegreen simulate -r {ramp} --to 10,50 --users 1000");
        let output = bash(&folder(), &script).output().expect("bash");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(
            text.contains('\u{1b}'),
            mode == "coloured",
            "{mode}: {text}"
        );
        seen.insert(mode, text);
    }
    assert_eq!(seen["plain"], seen["none"]);
    for line in seen["plain"].lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

/// Ten times as many users take no more memory, and neither do a million of a file.
#[cfg(target_os = "linux")]
#[test]
fn memory_stays_flat() {
    fs::write(
        folder().join("e.yaml"),
        route(&[("blue", 70), ("green", 30)]),
    )
    .expect("a file");
    // 64 MiB of addresses, of which the binary itself has some.
    let limit = "ulimit -v 65536; ulimit -s 1024";
    for script in [
        "bluegreen simulate -r e.yaml --to 50 --users 1000000",
        "seq 1 1000000 | bluegreen simulate -r e.yaml --to 50 --ids -",
    ] {
        let output = bash(&folder(), &format!("{limit}; set -o pipefail; {script}"));
        let output = { output }.output().expect("bash");
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{script}: {error}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("1,000,000 users"));
    }
    let one = "head -c 200000 /dev/zero | bluegreen simulate -r e.yaml --ids -";
    let output = bash(&folder(), one).output().expect("bash");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("line 1 is longer than 65536 bytes"),
        "{error}"
    );
}
