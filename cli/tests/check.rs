//! `check`: a manifest for each rule that shows it, and one that does not; what it says; the
//! formats; and files from hell.

mod kit;

use bluegreen_cli::check::findings;
use bluegreen_cli::files::File;
use kit::{bash, root, writes};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    rule: String,
    bad: String,
    good: String,
    before: Option<String>,
}

fn rows() -> Vec<Row> {
    serde_norway::from_str(include_str!("findings.yaml")).expect("the table")
}

fn folder() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("check");
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The output, what went wrong, and the exit code.
fn run(script: &str) -> (String, String, i32) {
    let output = bash(&folder(), script).output().expect("bash");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let code = output.status.code().expect("a code");
    (text(output.stdout), text(output.stderr), code)
}

/// The names of all rules, as the command lists them.
fn rules() -> BTreeSet<String> {
    let (list, _, code) = run("bluegreen check --rules");
    assert_eq!(code, 0);
    let names = list.lines().filter(|line| !line.starts_with(' '));
    let names = names.filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn each_rule_is_shown_by_one_manifest_and_not_by_the_nearest_one() {
    let rows = rows();
    let shown: BTreeSet<String> = rows.iter().map(|row| row.rule.clone()).collect();
    assert_eq!(shown, rules());
    for row in rows {
        let file = |text: &String| File::of_text("file.yaml", text.clone());
        let before: Vec<File> = row.before.iter().map(file).collect();
        let found = |text: &String| {
            let all = findings(&[file(text)], &before);
            let ids = all.into_iter().map(|finding| finding.rule.id.to_owned());
            ids.collect::<BTreeSet<String>>()
        };
        let (bad, good) = (found(&row.bad), found(&row.good));
        assert!(bad.contains(&row.rule), "{}: {bad:?}", row.rule);
        assert!(!good.contains(&row.rule), "{}: {good:?}", row.rule);
    }
}

/// What people see of each, compared as a whole.
#[test]
fn the_texts_are_those_of_the_file() {
    let mut said = String::new();
    for row in rows() {
        fs::write(folder().join("manifest.yaml"), &row.bad).expect("a file");
        let before = match &row.before {
            Some(before) => {
                fs::write(folder().join("before.yaml"), before).expect("a file");
                " --before before.yaml"
            }
            None => "",
        };
        let (text, error, code) = run(&format!("bluegreen check{before} manifest.yaml"));
        let is_note = !text.contains("error[") && !text.contains("warning[");
        assert_eq!((error.as_str(), code), ("", i32::from(!is_note)), "{text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        writeln!(said, "==== {}\n{text}", row.rule).expect("text");
    }
    let path = root().join("cli/tests/findings.txt");
    if writes() {
        fs::write(&path, &said).expect("the texts");
    }
    let shown = fs::read_to_string(&path).expect("the texts");
    for (at, (one, other)) in said.lines().zip(shown.lines()).enumerate() {
        assert_eq!(one, other, "line {}: said, and shown", at + 1);
    }
    assert_eq!(said.lines().count(), shown.lines().count());
}

#[test]
fn what_the_project_ships_has_nothing_to_mend() {
    let examples = "examples/*/*.yaml examples/*/*/*.yaml envoyfilter/*.yaml \
                    envoyfilter/gateway-api/*.yaml envoyfilter/traffic-extension/*.yaml";
    for file in [
        "envoyfilter/one-gateway/gateway.yaml",
        "envoyfilter/one-namespace/namespace.yaml",
    ]
    .into_iter()
    .map(str::to_owned)
    .chain(
        examples
            .split(' ')
            .filter(|glob| !glob.is_empty())
            .map(str::to_owned),
    ) {
        let root = root();
        let script = format!(
            "cd '{}'; for f in {file}; do bluegreen check $f || exit 1; done",
            root.display()
        );
        let (text, error, code) = run(&script);
        assert_eq!((error.as_str(), code), ("", 0), "{text}");
    }
}

// ---- formats ----------------------------------------------------------------------------

const WRONG: &str = "kind: VirtualService\nmetadata: {name: ü, namespace: shop}\nspec:\n  \
    http:\n  - name: bluegreen # the ä\n    route: [{destination: {host: shop}}]\n";

#[test]
fn each_format_has_file_line_and_column() {
    fs::write(folder().join("a,b: c.yaml"), WRONG).expect("a file");
    let file = "'a,b: c.yaml'";
    let (text, _, code) = run(&format!("bluegreen check {file}"));
    assert_eq!(code, 1);
    assert!(text.contains("--> a,b: c.yaml:6:5"), "{text}");
    let (text, _, code) = run(&format!("bluegreen check --format json {file}"));
    let json: Value = serde_json::from_str(&text).expect("JSON");
    let finding = &json["findings"][0];
    assert_eq!(code, 1);
    assert_eq!(
        (&finding["rule"], &finding["level"]),
        (&"single-destination".into(), &"error".into())
    );
    assert_eq!(
        (&finding["line"], &finding["column"]),
        (&6.into(), &5.into())
    );
    assert_eq!(finding["endColumn"], 10);
    let (text, _, code) = run(&format!("bluegreen check --format github {file}"));
    assert_eq!(code, 1);
    let start = "::error file=a%2Cb%3A c.yaml,line=6,endLine=6,col=5,endColumn=10,\
                 title=single-destination::http route \"bluegreen\" has 1 destination. List the";
    assert!(text.starts_with(start), "{text}");
    let (text, _, code) = run(&format!("bluegreen check --format sarif {file}"));
    assert_eq!(code, 1);
    let sarif: Value = serde_json::from_str(&text).expect("JSON");
    let run = &sarif["runs"][0];
    assert_eq!(sarif["version"], "2.1.0");
    let ids = run["tool"]["driver"]["rules"]
        .as_array()
        .expect("rules")
        .iter();
    let ids: BTreeSet<String> = ids
        .map(|rule| rule["id"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(ids, rules());
    let place = &run["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a%2Cb%3A%20c.yaml");
    let region = &place["region"];
    assert_eq!(
        (&region["startLine"], &region["startColumn"]),
        (&6.into(), &5.into())
    );
}

/// What is wrong with SARIF by the schema of OASIS (sarif/NOTICE says whence it comes).
fn faults(schema: &jsonschema::Validator, sarif: &Value) -> Vec<String> {
    let errors = schema.iter_errors(sarif);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn sarif_is_as_its_schema_says_for_each_rule() {
    let schema: Value =
        serde_json::from_str(include_str!("sarif/sarif-schema-2.1.0.json")).expect("JSON");
    // It says draft 4, to which addresses that are relative have no format.
    let schema = jsonschema::options()
        .with_draft(jsonschema::Draft::Draft7)
        .should_validate_formats(true)
        .build(&schema)
        .expect("a schema");
    let mut wrong = serde_json::json!({"version": "2.1.0", "runs": [{"tool": {"driver": {}}}]});
    assert_eq!(faults(&schema, &wrong).len(), 1, "a driver has a name");
    wrong["$schema"] = "no address".into();
    assert_eq!(
        faults(&schema, &wrong).len(),
        2,
        "and a schema has an address"
    );
    // Names of files that are no addresses as they stand.
    let names = ["sarif.yaml", "ü b:c#d?e%f [g].yaml"];
    let mut count = 0;
    for row in rows() {
        fs::write(
            folder().join("sarif-before.yaml"),
            row.before.unwrap_or_default(),
        )
        .expect("a file");
        for name in names {
            fs::write(folder().join(name), &row.bad).expect("a file");
            let (text, error, _) = run(&format!(
                "bluegreen check --format sarif --before sarif-before.yaml '{name}'"
            ));
            let sarif: Value = serde_json::from_str(&text).expect("JSON");
            assert_eq!(error, "");
            assert_eq!(
                faults(&schema, &sarif),
                Vec::<String>::new(),
                "{}",
                row.rule
            );
            count += sarif["runs"][0]["results"]
                .as_array()
                .expect("a list")
                .len();
        }
    }
    assert!(count >= names.len() * rules().len(), "{count}");
}

#[test]
fn colours_go_where_nobody_wants_them() {
    fs::write(folder().join("colours.yaml"), WRONG).expect("a file");
    let (piped, _, _) = run("bluegreen check colours.yaml");
    let (forced, _, _) = run("CLICOLOR_FORCE=1 bluegreen check colours.yaml");
    let (none, _, _) = run("NO_COLOR=1 CLICOLOR_FORCE=1 bluegreen check colours.yaml");
    assert!(forced.contains('\u{1b}') && !piped.contains('\u{1b}'));
    assert_eq!(piped, none);
}

#[test]
fn rules_may_be_allowed_and_the_pin_header_is_the_plugins() {
    fs::write(folder().join("allowed.yaml"), WRONG).expect("a file");
    let (_, _, code) = run("bluegreen check --allow single-destination,claim allowed.yaml");
    assert_eq!(code, 0);
    let (_, error, code) = run("bluegreen check --allow singel allowed.yaml");
    assert_eq!(code, 2);
    assert!(error.contains("--allow singel: is no rule"), "{error}");
    let plugin = "kind: WasmPlugin\nmetadata: {name: bluegreen-outbound}\n\
        spec: {failStrategy: FAIL_OPEN, match: [{mode: CLIENT}], pluginConfig: {pin: {header: x-try}}}\n---\n";
    let routes = "kind: VirtualService\nmetadata: {name: shop}\nspec:\n  http:\n  - name: bluegreen-pin\n    \
        match: [{headers: {x-try: {exact: green}}}]\n    route: [{destination: {host: shop, subset: green}}]\n  \
        - name: bluegreen\n    route: [{destination: {host: shop, subset: blue}, weight: 1}, \
        {destination: {host: shop, subset: green}, weight: 1}]\n";
    fs::write(folder().join("pin.yaml"), format!("{plugin}{routes}")).expect("a file");
    let (text, _, code) = run("bluegreen check pin.yaml");
    assert_eq!(code, 0, "{text}");
    fs::write(folder().join("pin.yaml"), routes).expect("a file");
    let (text, _, code) = run("bluegreen check pin.yaml");
    assert!(code == 1 && text.contains("pin-open"), "{text}");
}

// ---- files from hell --------------------------------------------------------------------

#[test]
fn what_cannot_be_read_is_a_clear_error_and_code_2() {
    for (script, words) in [
        (
            "printf 'a: \\xff\\n' | bluegreen check -",
            "-: is not UTF-8, from byte 3 on",
        ),
        ("bluegreen check none.yaml", "none.yaml: No such file"),
        ("bluegreen check .", ".: is a folder"),
        ("bluegreen check", "required"),
        (
            "bluegreen check --before - - </dev/null",
            "- is named twice",
        ),
        ("bluegreen check --format xml a.yaml", "invalid value 'xml'"),
        (
            "head -c 100000000 /dev/zero | tr '\\0' a | bluegreen check -",
            "-: is larger than 16 MiB",
        ),
    ] {
        let (text, error, code) = run(script);
        assert_eq!(code, 2, "{script}: {text}{error}");
        assert!(error.contains(words), "{script}: {error}");
    }
}

#[test]
fn what_explodes_is_found_where_it_stands() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let before = format!("*a{}", level - 1);
        let list = [&*before; 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{list}]").expect("text");
    }
    for (name, text, words) in [
        ("bomb.yaml", bomb, "more than 1000000 values"),
        ("deep.yaml", "[".repeat(100_000), "deeper than 100"),
        ("deep-block.yaml", deep_block(), "deeper than 100"),
        ("loop.yaml", "a: &a [*a]\n".to_owned(), "bluegreen"),
        ("tabs.yaml", "a:\n\t- b\n".to_owned(), "tab"),
        (
            "helm.yaml",
            "metadata: {{ .Values.x }}\n  y: {{- end }}\n".to_owned(),
            "helm template",
        ),
        ("nul.yaml", "a: \"\0\"\nb: [\n".to_owned(), "error[yaml]"),
    ] {
        fs::write(folder().join(name), text).expect("a file");
        let limit = "ulimit -v 1000000; ";
        let (text, error, code) = run(&format!("{limit} bluegreen check {name}"));
        assert!(
            text.contains(words) || name == "loop.yaml",
            "{name}: {text}{error}"
        );
        assert_eq!(code, 1, "{name}: {text}{error}");
    }
}

fn deep_block() -> String {
    let lines = (0..200).map(|depth| format!("{:depth$}a:\n", ""));
    lines.collect()
}

/// Ten thousand documents and objects of other kinds are read in memory that is not.
#[cfg(target_os = "linux")]
#[test]
fn many_documents_are_read_in_bounded_memory() {
    let mut many = String::new();
    for n in 0..10_000 {
        writeln!(
            many,
            "---\nkind: ConfigMap\nmetadata: {{name: c{n}}}\ndata: {{a: b}}"
        )
        .expect("text");
        writeln!(
            many,
            "---\nkind: VirtualService\nmetadata: {{name: v{n}, namespace: shop}}"
        )
        .expect("text");
        writeln!(
            many,
            "spec: {{http: [{{name: bluegreen, redirect: {{uri: /}}}}]}}"
        )
        .expect("text");
    }
    fs::write(folder().join("many.yaml"), many).expect("a file");
    let limit = "ulimit -v 400000; ";
    let (text, error, code) = run(&format!("{limit} bluegreen check many.yaml | tail -n 5"));
    assert_eq!((error.as_str(), code), ("", 0));
    assert!(text.contains("and 9900 more"), "{text}");
    assert!(
        text.contains("10000 errors in 10000 objects of 1 file"),
        "{text}"
    );
    let wide = format!(
        "kind: VirtualService\nspec: {{http: [{}]}}\n",
        "a, ".repeat(2_000_000)
    );
    fs::write(folder().join("wide.yaml"), wide).expect("a file");
    let (text, error, code) = run(&format!("{limit} bluegreen check wide.yaml"));
    assert!(
        code == 1 && text.contains("more than 1000000 values"),
        "{text}{error}"
    );
}

/// Each of many delegates to one that has many routes.
#[cfg(target_os = "linux")]
#[test]
fn routes_that_multiply_are_looked_at_once() {
    let mut many = String::new();
    for n in 0..3000 {
        let spec = "spec: {hosts: [a], http: [{name: bluegreen, delegate: {name: to}}]}";
        let head = format!("kind: VirtualService\nmetadata: {{name: v{n}, namespace: shop}}");
        writeln!(many, "{head}\n{spec}\n---").expect("text");
    }
    let routes = "{route: [{destination: {host: a}}]}, ".repeat(3000);
    let head = "kind: VirtualService\nmetadata: {name: to, namespace: shop}";
    writeln!(many, "{head}\nspec: {{http: [{routes}]}}").expect("text");
    fs::write(folder().join("multiply.yaml"), many).expect("a file");
    let script = "ulimit -v 400000; bluegreen check multiply.yaml | tail -n 1";
    let (text, error, code) = run(script);
    assert_eq!((error.as_str(), code), ("", 0));
    assert_eq!(text, "3000 errors in 3001 objects of 1 file\n");
}

/// No text makes the command stop: bytes of what the project ships and of the table are
/// changed, doubled and left out, four thousand times.
#[test]
fn no_text_stops_it() {
    let mut texts: Vec<String> = rows().into_iter().map(|row| row.bad).collect();
    for file in [
        "envoyfilter/plugins.yaml",
        "examples/blue-green/istio/virtual-service-70-30.yaml",
        "examples/gateway-api/routes/versions.yaml",
        "examples/argo-rollouts/rollout.yaml",
    ] {
        texts.push(fs::read_to_string(root().join(file)).expect(file));
    }
    let mut state = 0x5eed_u64;
    let mut random = |below: usize| {
        // xorshift64 (Marsaglia, 2003)
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).expect("64 bits")).expect("64 bits")
    };
    let bits = [
        "{",
        "}",
        "[",
        "]",
        ":",
        "-",
        "\n",
        "\n---\n",
        "&a",
        "*a",
        "<<: *a\n",
        "|\n",
        ">-\n",
        "\"",
        "'",
        "#",
        "\t",
        "ü",
        "null",
        "bluegreen",
    ];
    let (mut broken, mut found) = (0, 0);
    for _ in 0..4000 {
        let mut text: Vec<char> = texts[random(texts.len())].chars().collect();
        for _ in 0..=random(6) {
            let at = random(text.len());
            match random(3) {
                0 => drop(text.splice(at..at, bits[random(bits.len())].chars())),
                1 => drop(text.drain(at..(at + random(30)).min(text.len()))),
                _ => {
                    let part: Vec<char> = text[at..(at + random(80)).min(text.len())].to_vec();
                    text.splice(at..at, part);
                }
            }
        }
        let text: String = text.into_iter().collect();
        let file = File::of_text("file.yaml", text.clone());
        broken += usize::from(!file.errors.is_empty());
        let files = [file];
        for finding in findings(&files, &[]) {
            let span = finding.place.span;
            assert!(text.get(span.clone()).is_some(), "{span:?} of {text}");
            found += 1;
        }
    }
    assert!(broken > 100 && found > 1000, "{broken} {found}");
}
