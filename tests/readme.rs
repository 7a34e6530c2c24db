//! The pages for people say what the code does: fields, defaults, bounds, names, errors;
//! what they link to and name exists; the configurations and routes in them are good.

use bluegreen::core::bucket::Bucket;
use bluegreen::core::config::{self, ConfigErrors, VERSION_HEADER};
use bluegreen::core::host::LONGEST_NAME;
use bluegreen::core::metrics::{MOST_SERIES, REASONS, SOURCES};
use bluegreen::core::pin::PinName;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

mod names;
use names::{PINS, WEIGHTED, counter_names, labels_of, metrics_of, read, words};

/// The list of the site's pages, which is none itself.
const SUMMARY: &str = "docs/SUMMARY.md";

/// The pages, each by its path from the project's folder.
fn pages() -> Vec<String> {
    let mut pages = vec![
        "README.md".to_owned(),
        "CHANGELOG.md".to_owned(),
        "CONTRIBUTING.md".to_owned(),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["docs", "examples"] {
        for entry in fs::read_dir(root.join(folder)).expect(folder) {
            let path = entry.expect("an entry").path();
            let page = if path.is_dir() {
                path.join("README.md")
            } else {
                path
            };
            let page = page.strip_prefix(root).expect("a path of the project");
            let page = page.to_str().expect("UTF-8");
            if page.ends_with(".md") && page != SUMMARY {
                pages.push(page.to_owned());
            }
        }
    }
    pages.sort();
    pages
}

/// The pages that the second edition's users read first: they say what the code does.
const OURS: [&str; 14] = [
    "README.md",
    "docs/chains.md",
    "docs/cli.md",
    "docs/compatibility.md",
    "docs/configuration.md",
    "docs/controllers.md",
    "docs/gateway-api.md",
    "docs/how-it-works.md",
    "docs/install.md",
    "docs/operating.md",
    "docs/pins.md",
    "docs/route.md",
    "docs/testers.md",
    "docs/upgrade.md",
];

/// A block of code, and the line before it.
struct Block {
    language: String,
    text: String,
    before: String,
}

/// The blocks of code of a page.
fn blocks(page: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    let mut before = "";
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(language)) => {
                open = Some(Block {
                    language: language.to_owned(),
                    text: String::new(),
                    before: before.to_owned(),
                });
            }
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(block), None) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) if line.is_empty() => {}
            (None, None) => before = line,
        }
    }
    assert!(open.is_none(), "a block of code that does not end");
    found
}

/// A page without its blocks of code.
fn prose(page: &str) -> String {
    let mut in_code = false;
    let outside = page.lines().filter(|line| {
        let fence = line.starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    });
    outside.collect::<Vec<_>>().join("\n")
}

/// What stands in backticks outside of blocks of code.
fn code_spans(page: &str) -> Vec<String> {
    let prose = prose(page).replace("``", "");
    let spans = prose.split('`').skip(1).step_by(2);
    spans.map(|span| span.replace('\n', " ")).collect()
}

/// What stands between a mark and the next empty line, but for the lines of fences.
fn marked(page: &str, mark: &str) -> String {
    let mark = format!("<!-- {mark} -->\n");
    let rest = page.split_once(&mark).expect(&mark).1;
    let part = rest.split("\n\n").next().expect("a part");
    let lines = part.lines().filter(|line| !line.starts_with("```"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The rows of a table of Markdown, without its head.
fn rows(table: &str) -> Vec<Vec<String>> {
    let rows = table.lines().skip(2).map(|line| {
        let line = line.strip_prefix('|').expect(line).replace("\\|", "/");
        let cells = line.trim_end().trim_end_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    });
    rows.collect()
}

/// The only thing in backticks in a cell, else the first.
fn code(cell: &str) -> &str {
    cell.split('`')
        .nth(1)
        .unwrap_or_else(|| panic!("no code in {cell}"))
}

fn errors(json: &Value) -> ConfigErrors {
    config::parse(json.to_string().as_bytes()).expect_err(&json.to_string())
}

// ---- README.md ------------------------------------------------------------------------

#[test]
fn the_readme_is_one_page() {
    let lines = read("README.md").lines().count();
    assert!(lines <= 150, "{lines} lines");
}

// ---- docs/configuration.md ------------------------------------------------------------

/// A row of the table of fields.
struct Field {
    path: String,
    default: String,
    allowed: String,
}

fn fields() -> Vec<Field> {
    let rows = rows(&marked(&read("docs/configuration.md"), "fields"));
    let fields = rows.into_iter().map(|row| Field {
        path: code(&row[0]).to_owned(),
        default: row[1].clone(),
        allowed: row[2].clone(),
    });
    fields.collect()
}

/// A configuration with this value at a path; `NAME` is a rollout, which has hosts.
fn with(path: &str, value: Value) -> Value {
    let mut config = json!({});
    put(&mut config, path, value);
    if path.starts_with("rollouts.NAME.") && path != "rollouts.NAME.hosts" {
        put(&mut config, "rollouts.NAME.hosts", json!(["shop.example"]));
    }
    config
}

fn put(json: &mut Value, path: &str, value: Value) {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let fields = json.as_object_mut().expect("a mapping");
    let field = fields
        .entry(first)
        .or_insert_with(|| Value::Object(Map::new()));
    if rest.is_empty() {
        *field = value;
    } else {
        put(field, rest, value);
    }
}

/// The fields that the code knows in the mapping at `path`, out of the error for an
/// unknown one.
fn known(path: &str) -> Vec<String> {
    let dot = if path.is_empty() { "" } else { "." };
    let unknown = with(&format!("{path}{dot}unknown"), json!(0));
    let errors = errors(&unknown);
    let lines: Vec<String> = errors.lines().collect();
    let line = lines
        .iter()
        .find(|line| line.contains("\"unknown\" is not"));
    let line = line.unwrap_or_else(|| panic!("{path}: {lines:?}"));
    let list = line.split_once('(').expect(line).1.trim_end_matches(')');
    let fields = list.split(", ");
    fields.map(|field| format!("{path}{dot}{field}")).collect()
}

#[test]
fn the_table_of_fields_is_complete_and_has_no_other() {
    let documented: BTreeSet<String> = fields().into_iter().map(|field| field.path).collect();
    assert_eq!(documented.len(), fields().len(), "a row twice");
    let levels = [
        "",
        "baggage",
        "identity",
        "identity.cookie",
        "pin",
        "tag",
        "rollouts.NAME",
    ];
    let mut code: BTreeSet<String> = levels.iter().flat_map(|path| known(path)).collect();
    // Mappings whose fields stand in rows of their own.
    code.remove("identity");
    code.remove("tag");
    // "Its other fields are those of identity.cookie, but for mint."
    let mut same: BTreeSet<String> = known("identity.cookie").into_iter().collect();
    same.remove("identity.cookie.mint");
    let of_pin = known("pin.cookie").into_iter();
    let of_pin: BTreeSet<String> = of_pin
        .map(|field| field.replace("pin.", "identity."))
        .collect();
    assert_eq!(of_pin, same);
    code.extend(["pin.cookie.name", "pin.cookie.maxAgeSeconds"].map(str::to_owned));
    assert_eq!(documented, code);
    // A rollout's are the same as the mesh's.
    for path in ["identity", "identity.cookie", "pin", "tag"] {
        let of_rollout = known(&format!("rollouts.NAME.{path}")).into_iter();
        let of_rollout = of_rollout.map(|field| field.replace("rollouts.NAME.", ""));
        assert_eq!(of_rollout.collect::<Vec<_>>(), known(path));
    }
}

#[test]
fn the_defaults_of_the_table_are_the_codes() {
    // Pin cookies are there only where a query pins.
    let query = json!({"pin": {"query": "p"}});
    let mut written = query.clone();
    let mut checked = 0;
    for Field { path, default, .. } in fields() {
        let Some(default) = default.strip_prefix('`').and_then(|d| d.strip_suffix('`')) else {
            continue;
        };
        let value: Value = serde_json::from_str(default).unwrap_or_else(|_| default.into());
        let alone = format!("{:?}", parsed(&with(&path, value.clone())));
        assert_eq!(alone, format!("{:?}", parsed(&json!({}))), "{path}");
        if path != "pin.query" {
            put(&mut written, &path, value);
        }
        checked += 1;
    }
    assert!(checked > 18, "{checked}");
    let [written, query] = [&written, &query].map(|json| format!("{:?}", parsed(json)));
    assert_eq!(written, query);
}

fn parsed(json: &Value) -> config::Config {
    config::parse(json.to_string().as_bytes()).unwrap_or_else(|errors| panic!("{json}: {errors}"))
}

#[test]
fn what_the_table_allows_is_what_the_code_allows() {
    for Field { path, allowed, .. } in fields() {
        let takes_null = allowed.split(", ").any(|word| word == "null");
        let null = config::parse(with(&path, Value::Null).to_string().as_bytes());
        assert_eq!(null.is_ok(), takes_null, "{path}: null");
        // What no field takes.
        let wrong = with(&path, json!(-1));
        let line = errors(&wrong).lines().next().expect("an error");
        let written = allowed.trim_end_matches(", null");
        assert_eq!(in_short(&line), singular(written), "{path}: {line}");
        if let Some((least, most)) = written.split_once(" to ")
            && let (Ok(least), Ok(most)) = (least.parse::<u64>(), most.parse::<u64>())
        {
            parsed(&with(&path, least.into()));
            parsed(&with(&path, most.into()));
            errors(&with(&path, (most + 1).into()));
        }
    }
}

/// What an error says is allowed, as the table says it.
fn in_short(line: &str) -> String {
    let allowed = line.split_once(" is not ").expect(line).1;
    let allowed = allowed.strip_prefix("one of ").unwrap_or(allowed);
    let allowed = allowed
        .strip_prefix("a whole number from ")
        .unwrap_or(allowed);
    let allowed = match allowed.strip_prefix("a ").or(allowed.strip_prefix("the ")) {
        Some(noun) => noun.split(" (").next().expect("a noun"),
        None => allowed,
    };
    let allowed = allowed.strip_suffix(" of fields").unwrap_or(allowed);
    allowed.replace("true or false", "true, false")
}

/// A list's words without those for its items.
fn singular(allowed: &str) -> &str {
    match allowed.find("list of 1 or more") {
        Some(_) => "list of 1 or more",
        None => allowed,
    }
}

#[test]
fn the_headers_that_may_not_be_written_are_those_of_the_code() {
    let listed = marked(&read("docs/configuration.md"), "headers").replace('\n', " ");
    let error = errors(&with("bucketHeader", "expect".into())).to_string();
    assert!(error.contains(&format!("(any but {listed})")), "{error}");
}

#[test]
fn the_errors_that_are_shown_are_those_of_the_code() {
    let page = read("docs/configuration.md");
    let wrong: serde_norway::Value = serde_norway::from_str(&marked(&page, "wrong")).expect("YAML");
    let wrong = serde_json::to_value(wrong).expect("JSON");
    let lines: Vec<String> = errors(&wrong)
        .lines()
        .map(|line| format!("bluegreen: {line}"))
        .collect();
    let shown = marked(&page, "errors");
    // A line that is too long for a page goes on in the next one.
    let shown = shown.replace("\n  ", " ");
    assert_eq!(shown.lines().collect::<Vec<_>>(), lines);
}

#[test]
fn numbers_in_the_pages_are_those_of_the_code() {
    let most = format!("{},{:03}", MOST_SERIES / 1000, MOST_SERIES % 1000);
    let label = PinName::LONGEST;
    let mut buffer = itoa::Buffer::new();
    let bucket = Bucket::of([b"shop.example", b""], b"00c0ffee00c0ffee");
    let bucket = String::from_utf8_lossy(bucket.digits(&mut buffer)).into_owned();
    let (_, last_two) = bucket.split_at(bucket.len() - 2);
    for (page, words) in [
        ("docs/operating.md", format!("at most {most} series")),
        ("docs/how-it-works.md", format!("{most} series in a proxy")),
        (
            "docs/how-it-works.md",
            "`rollouts` in a configuration".to_owned(),
        ),
        (
            "docs/configuration.md",
            format!("the first {} errors", ConfigErrors::MOST),
        ),
        (
            "docs/configuration.md",
            format!("by its last {LONGEST_NAME}"),
        ),
        (
            "docs/testers.md",
            format!("1 to {label} of `a-z`, `0-9` and `-`"),
        ),
        (
            "docs/operating.md",
            format!("1 to {label} of `a-z`, `0-9` and `-`"),
        ),
        (
            "docs/how-it-works.md",
            format!("bucket {bucket} is {last_two}"),
        ),
        (
            "docs/install.md",
            format!("This user has bucket {last_two}"),
        ),
    ] {
        let text = prose(&read(page)).replace("\n  ", " ").replace('\n', " ");
        assert!(text.contains(&words), "{page} does not say: {words}");
    }
}

// ---- configurations, routes and other YAML --------------------------------------------

/// The top-level fields of a configuration.
fn is_configuration(yaml: &Value) -> bool {
    let fields = known("");
    let map = yaml.as_object();
    map.is_some_and(|map| !map.is_empty() && map.keys().all(|key| fields.contains(key)))
}

#[test]
fn configurations_and_routes_in_the_pages_are_good() {
    let (mut configurations, mut routes) = (0, 0);
    for page in pages() {
        for block in blocks(&read(&page)) {
            if block.language != "yaml" || block.before == "<!-- wrong -->" {
                continue;
            }
            for document in serde_norway::Deserializer::from_str(&block.text) {
                let yaml = Value::deserialize(document)
                    .unwrap_or_else(|error| panic!("{page}: {error}\n{}", block.text));
                if is_configuration(&yaml) {
                    parsed(&yaml);
                    configurations += 1;
                }
                let http = yaml.pointer("/spec/http").or(yaml.get("http"));
                if let Some(http) = http {
                    names::check_routes(&page, http.as_array().expect("a list"));
                    routes += 1;
                }
            }
        }
    }
    assert!(configurations >= 6, "{configurations} configurations");
    assert!(routes >= 5, "{routes} VirtualServices");
}

#[test]
fn the_table_of_route_names_has_all_of_them() {
    let page = read("docs/route.md");
    let table = page
        .split("| http route | its name |")
        .nth(1)
        .expect("the table");
    let table = table.split("\n\n").next().expect("a table");
    let mut named: BTreeSet<String> = BTreeSet::new();
    for line in table.lines().filter(|line| line.contains('`')) {
        let cell = line
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .expect("a cell");
        let spans: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        if let [.., from, to] = spans[..]
            && cell.contains("` to `")
        {
            let number = |name: &str| name.rsplit('-').next().and_then(|n| n.parse().ok());
            let (from, last): (u32, u32) = (number(from).expect(from), number(to).expect(to));
            let stem = to.trim_end_matches(char::is_numeric);
            named.extend((from..=last).map(|n| format!("{stem}{n}")));
        }
        named.extend(spans.into_iter().map(str::to_owned));
    }
    let all = WEIGHTED.iter().chain(&PINS);
    assert_eq!(named, all.map(|name| (*name).to_owned()).collect());
}

// ---- names ----------------------------------------------------------------------------

#[test]
fn headers_metrics_and_labels_that_are_named_exist() {
    let defaults = parsed(&json!({}));
    let headers = BTreeSet::from([
        &*defaults.bucket_header,
        &*defaults.route_header,
        defaults.mesh.pin_header(),
        &*defaults.mesh.tag.header,
        VERSION_HEADER,
    ]);
    let labels = labels_of(&counter_names());
    // Recorded series, such as bluegreen:error_share:rate5m, are the rules' own.
    let metrics = metrics_of(&counter_names());
    for page in OURS {
        let text = read(page);
        for word in words(&text, "-_") {
            let ours = ["x-bluegreen", "x-served", "x-version"];
            if ours.iter().any(|start| word.starts_with(start)) {
                assert!(headers.contains(word), "{page}: no header {word}");
            }
            let word = word.trim_end_matches('-');
            // What access logs may print is no metric.
            if word.starts_with("bluegreen_") && word != "bluegreen_pinned_by" {
                assert!(metrics.contains(word), "{page}: no metric {word}");
            }
            if word.starts_with("bg_") && !word.contains("__") {
                assert!(labels.contains(word), "{page}: no label {word}");
            }
        }
    }
}

#[test]
fn the_tables_of_metrics_and_labels_are_the_codes() {
    let page = read("docs/operating.md");
    let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in rows(&marked(&page, "metrics")) {
        let labels = row[1].split('`').skip(1).step_by(2).map(str::to_owned);
        documented.insert(code(&row[0]).to_owned(), labels.collect());
    }
    let counters = counter_names();
    let mut of_code: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in &counters {
        let metric = name.rsplit(";.;").next().expect("a name").to_owned();
        let labels = labels_of(&BTreeSet::from([name.clone()]));
        of_code.entry(metric).or_default().extend(labels);
    }
    assert_eq!(documented, of_code);

    let values = |label: &str| -> BTreeSet<String> {
        let table = rows(&marked(&page, "labels"));
        let row = table
            .iter()
            .find(|row| code(&row[0]) == label)
            .expect(label);
        row[1]
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(values("bg_source"), set(SOURCES.map(|(_, label)| label)));
    assert_eq!(values("bg_reason"), set(REASONS.map(|(_, label)| label)));
    assert_eq!(values("bg_code"), set(["1xx", "2xx", "3xx", "4xx", "5xx"]));
    let all = rows(&marked(&page, "labels"));
    let all: BTreeSet<String> = all.iter().map(|row| code(&row[0]).to_owned()).collect();
    assert_eq!(all, labels_of(&counters));
}

fn set<const N: usize>(words: [&str; N]) -> BTreeSet<String> {
    words.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_series_that_are_shown_have_the_labels_of_the_code() {
    let shown = read("docs/operating.md");
    let mut checked = 0;
    for line in shown
        .lines()
        .filter(|line| line.starts_with("bluegreen_") || line.starts_with("bg_"))
    {
        let counters = counter_names();
        if let Some((metric, rest)) = line.split_once('{')
            && !rest.starts_with('}')
        {
            let labels = rest.split(',').map(|label| {
                let label = label.split("=\"").next().expect("a label");
                label.to_owned()
            });
            let of_metric = |name: &&String| name.ends_with(&format!(";.;{metric}"));
            let name = counters.iter().find(of_metric).expect(metric);
            let order: Vec<String> = name
                .split(";.;")
                .filter_map(|part| Some(part.split_once("=.=")?.0.to_owned()))
                .collect();
            assert_eq!(labels.collect::<Vec<_>>(), order, "{line}");
        } else {
            // The long name: what is no letter, digit or underscore is an underscore.
            let name = counters.iter().find(|name| {
                let long = |text: &str| text.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
                long(name) == line.split('{').next().expect("a name")
            });
            assert!(name.is_some(), "{line}");
        }
        checked += 1;
    }
    assert!(checked >= 3, "{checked}");
}

#[test]
fn the_alerts_that_are_listed_are_those_of_the_rules() {
    let table = rows(&marked(&read("docs/operating.md"), "alerts"));
    let listed: BTreeSet<String> = table.iter().map(|row| code(&row[0]).to_owned()).collect();
    let rules = read("envoyfilter/watching/rules.yaml");
    let alerts = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    assert_eq!(listed, alerts.map(str::to_owned).collect());
}

#[test]
fn the_lines_of_the_log_and_of_responses_are_the_codes() {
    let source = read("src/envoy/filter.rs") + &read("src/core/decision/response.rs");
    let page = read("docs/operating.md");
    let log = page.split("## The log").nth(1).expect("the log");
    let lines: Vec<String> = code_spans(log)
        .into_iter()
        .filter(|span| span.starts_with("bluegreen: the "))
        .collect();
    let told = code_spans(&read("docs/testers.md"))
        .into_iter()
        .filter_map(|span| Some(span.strip_prefix("x-version-pin: ")?.to_owned()));
    let told: Vec<String> = told
        .map(|told| told.replace("served=blue", "served="))
        .collect();
    assert!(lines.len() >= 3 && told.len() == 2, "{lines:?} {told:?}");
    for line in lines.iter().chain(&told) {
        // Without a label's name, and what the page leaves out.
        let parts = line.replace('…', "").replace("\"version\"", "; ");
        let reason = |part: &&str| {
            let word = part.strip_prefix("reason=");
            let label = word.map(|word| format!("pin-{word}"));
            label.is_some_and(|label| REASONS.iter().any(|(_, other)| *other == label))
        };
        let parts = parts.split("; ").filter(|part| !part.trim().is_empty());
        let parts = parts.filter(|part| !reason(part));
        for part in parts {
            assert!(
                source.contains(part.trim_start_matches(';').trim()),
                "{part:?} of {line:?}"
            );
        }
    }
}

// ---- docs/pins.md ---------------------------------------------------------------------

#[test]
fn the_reasons_why_a_pin_does_not_count_are_the_codes() {
    let table = rows(&marked(&read("docs/pins.md"), "reasons"));
    let listed: BTreeSet<String> = table.iter().map(|row| code(&row[0]).to_owned()).collect();
    let of_code = REASONS
        .iter()
        .filter_map(|(_, label)| label.strip_prefix("pin-"));
    let of_code = of_code.filter(|word| *word != "not-routed");
    assert_eq!(listed, of_code.map(str::to_owned).collect());
}

#[test]
fn the_table_of_a_keys_fields_is_complete_and_has_no_other() {
    let page = read("docs/configuration.md");
    let part = page.split("### Keys of pins").nth(1).expect("the part");
    let table = part.split("\n\n").find(|part| part.starts_with('|'));
    let documented: BTreeSet<String> = rows(table.expect("a table"))
        .iter()
        .map(|row| code(&row[0]).to_owned())
        .collect();
    let unknown = errors(&json!({"pin": {"keys": [{"unknown": 0}]}})).to_string();
    let list = unknown.split_once(" a field here (").expect(&unknown).1;
    let fields = list.split(')').next().expect("fields").split(", ");
    assert_eq!(documented, fields.map(str::to_owned).collect());
}

// ---- what others measured and test ----------------------------------------------------

#[test]
fn its_costs_are_those_that_were_measured() {
    // Case, added, ratio: the first two cells, and the one behind the module's share.
    let results = read("benches/RESULTS.md");
    let measured: BTreeSet<[&str; 3]> = cells(&results)
        .filter(|row| row.len() == 6)
        .map(|row| [row[0], row[1], row[3]])
        .collect();
    let table = marked(&read("docs/how-it-works.md"), "cost");
    let rows: Vec<_> = cells(&table).skip(2).collect();
    assert!(rows.len() > 8, "{table}");
    for row in rows {
        assert!(
            measured.iter().any(|found| *found == *row),
            "not in RESULTS.md: {row:?}"
        );
    }
}

/// The rows of a Markdown file's tables.
fn cells(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().filter_map(|line| {
        let row = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(row.split('|').map(str::trim).collect())
    })
}

#[test]
fn the_envoys_that_are_said_to_be_tested_are_those_of_the_makefile() {
    let makefile = read("Makefile");
    let version = |which: &str| {
        let line = makefile.lines().find_map(|line| line.strip_prefix(which));
        line.expect(which)
            .trim_start_matches([' ', ':', '='])
            .to_owned()
    };
    let (oldest, newest) = (
        version("export ENVOY_OLDEST"),
        version("export ENVOY_NEWEST"),
    );
    let page = read("docs/compatibility.md");
    assert!(
        page.contains(&format!("| Envoy | {oldest} and {newest}, ")),
        "{oldest} {newest}"
    );
}

#[test]
fn the_older_istio_that_is_said_to_be_tested_is_the_one_of_its_script() {
    let script = read("tests/tools/older-istio.sh");
    let value = |name: &str| {
        let line = script.lines().find_map(|line| line.strip_prefix(name));
        line.expect(name).to_owned()
    };
    let (tag, envoy) = (value("tag="), value("envoy="));
    let (release, commit) = tag.split_once("-alpha.").expect("a commit");
    let row = format!(
        "| Istio | {release} before its release: commit {commit} of April 2026; with Envoy {envoy},"
    );
    assert!(read("docs/compatibility.md").contains(&row), "{row}");
}

// ---- commands -------------------------------------------------------------------------

/// The pages of which the tests on a cluster run every command.
const WALKTHROUGHS: [&str; 5] = [
    "examples/argo-rollouts/README.md",
    "examples/blue-green/README.md",
    "examples/chain/README.md",
    "examples/flagger/README.md",
    "examples/gateway-api/README.md",
];

/// What stands above a block of commands that the tests on a cluster leave out.
const RUN_BY: &str = "<!-- run by: ";
const NOT_RUN: &str = "<!-- not run: ";

#[test]
fn every_command_runs_in_a_test_or_the_page_says_why_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let makefile = read("Makefile");
    let mut on_cluster = 0;
    for page in pages() {
        for block in blocks(&read(&page)) {
            if !["sh", "console"].contains(&&*block.language) {
                continue;
            }
            let marked = |mark| block.before.strip_prefix(mark)?.strip_suffix(" -->");
            if let Some(test) = marked(RUN_BY) {
                let exists = match test.strip_prefix("make ") {
                    Some(target) => makefile.contains(&format!("\n{target}:")),
                    None => root.join(test).is_file(),
                };
                assert!(exists, "{page}: no {test}");
            } else if let Some(reason) = marked(NOT_RUN) {
                assert!(reason.split(' ').count() > 3, "{page}: {reason}");
            } else {
                // tests/e2e/readme.py runs the sections with words like these.
                let words = [
                    "kubectl",
                    "istioctl",
                    "$REGISTRY",
                    ".example",
                    "bluegreen doctor",
                    "--from-cluster",
                ];
                let by_words = page == "README.md" || page.starts_with("docs/");
                assert!(
                    WALKTHROUGHS.contains(&&*page)
                        || by_words && words.iter().any(|word| block.text.contains(word)),
                    "{page}: nothing runs this:\n{}",
                    block.text
                );
                on_cluster += 1;
            }
        }
    }
    assert!(on_cluster > 30, "{on_cluster} blocks");
}

#[test]
fn the_command_for_another_root_namespace_leaves_the_old_one_nowhere() {
    let blocks = blocks(&read("docs/install.md"));
    let mark = format!("{RUN_BY}tests/readme.rs -->");
    let block = blocks.iter().find(|block| block.before == mark);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("another-root");
    fs::create_dir_all(folder.join("envoyfilter")).expect("a folder");
    let files = ["envoyfilter/envoy-filter.yaml", "envoyfilter/plugins.yaml"];
    for file in files {
        fs::write(folder.join(file), read(file)).expect(file);
    }
    let mut bash = Command::new("bash");
    bash.args(["-c", &block.expect("the block").text]);
    assert!(bash.current_dir(&folder).status().expect("bash").success());
    for file in files {
        let text = fs::read_to_string(folder.join(file)).expect(file);
        assert!(!text.contains("istio-system"), "{file}");
        assert!(text.contains("namespace: mesh-root"), "{file}");
    }
}

// ---- links and paths ------------------------------------------------------------------

#[test]
fn every_target_of_make_that_is_named_exists() {
    let makefile = read("Makefile");
    let mut checked = 0;
    for page in pages() {
        let text = read(&page);
        let mut commands = code_spans(&text);
        for block in blocks(&text) {
            let lines = block
                .text
                .lines()
                .map(|line| line.trim_start_matches("$ ").to_owned());
            commands.extend(lines.filter(|_| block.language != "text"));
        }
        for command in commands {
            let Some(words) = command.trim().strip_prefix("make ") else {
                continue;
            };
            let words = words.split('#').next().expect("words").split(' ');
            for target in words.filter(|word| !word.is_empty()) {
                if target == "\\" || target.contains(['=', '$', '\'']) {
                    break;
                }
                let rule = format!("\n{target}:");
                assert!(makefile.contains(&rule), "{page}: no target {target}");
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "{checked}");
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut checked = 0;
    for page in pages() {
        let folder = Path::new(&page).parent().expect("a folder");
        for link in links(&read(&page)) {
            if link.starts_with("http") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() {
                PathBuf::from(&page)
            } else {
                folder.join(file)
            };
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&target);
            assert!(path.exists(), "{page}: no {link}");
            if !anchor.is_empty() {
                let headings = headings(&fs::read_to_string(&path).expect("a page"));
                assert!(
                    headings.contains(anchor),
                    "{page}: no {link} in {headings:?}"
                );
            }
            checked += 1;
        }
    }
    assert!(checked > 60, "{checked}");
}

#[test]
fn the_site_has_every_page() {
    let listed = links(&read(SUMMARY)).into_iter();
    let listed = listed.map(|link| match link.strip_prefix("../") {
        Some(page) => page.to_owned(),
        None => format!("docs/{link}"),
    });
    let listed: BTreeSet<String> = listed.collect();
    let missing: Vec<_> = pages()
        .into_iter()
        .filter(|page| !listed.contains(page))
        .collect();
    assert!(missing.is_empty(), "not in {SUMMARY}: {missing:?}");
}

/// The targets of the links of a page.
fn links(page: &str) -> Vec<String> {
    let prose = without_code_spans(&prose(page));
    let links = prose.split("](").skip(1).map(|rest| {
        let link = rest.split(')').next().expect("a link");
        link.to_owned()
    });
    links.collect()
}

fn without_code_spans(prose: &str) -> String {
    prose.split('`').step_by(2).collect::<Vec<_>>().join("")
}

/// The anchors of a page's headings, as GitHub makes them.
fn headings(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let prose = prose(page);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    for heading in headings.map(|line| line.trim_start_matches('#').trim_start()) {
        let kept = heading.to_lowercase();
        let kept = kept
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let again = (1..).map(|n| format!("{anchor}-{n}"));
        let mut names = std::iter::once(anchor.clone()).chain(again);
        let free = names.find(|name| !anchors.contains(name));
        anchors.extend(free);
    }
    anchors
}

#[test]
fn every_file_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [
        "benches/",
        "docs/",
        "envoyfilter/",
        "examples/",
        "src/",
        "tests/",
    ];
    let mut checked = 0;
    for page in pages() {
        let text = read(&page);
        let shell = blocks(&text)
            .into_iter()
            .filter(|block| block.language != "text");
        let shell = shell.map(|block| block.text).collect::<String>();
        let spans = code_spans(&text).join(" ");
        for word in (spans + &shell).split([' ', '\n', '=', '"', '\'', ',']) {
            let path = word.trim_end_matches(['.', ':', ')', ';']);
            if folders.iter().any(|folder| path.starts_with(folder)) && !path.contains('*') {
                assert!(root.join(path).exists(), "{page}: no {path}");
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked}");
}

#[test]
fn every_page_of_docs_is_in_the_readme() {
    let readme = read("README.md");
    for page in pages() {
        if page.starts_with("docs/") || page.starts_with("examples/") {
            assert!(readme.contains(&format!("({page})")), "{page}");
        }
    }
    let all: Vec<String> = pages()
        .into_iter()
        .filter(|page| page.starts_with("docs/"))
        .collect();
    assert_eq!(all, &OURS[1..]);
}
