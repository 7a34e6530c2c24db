//! `check` says what the admission policies say, word for word: tests/admission.yaml is the
//! table that tests/e2e holds the API server to.

use bluegreen_cli::check::{Finding, Level, findings};
use bluegreen_cli::files::File;
use serde::Deserialize;
use serde_json::{Value, json};

const TABLE: &str = include_str!("../../tests/admission.yaml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Table {
    virtual_services: Kind,
    http_routes: Kind,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kind {
    refused: Vec<Row>,
    passes: Vec<Row>,
    warned: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    what: String,
    #[serde(default)]
    said: String,
    #[serde(default)]
    among: usize,
    #[serde(alias = "http")]
    rules: Vec<Value>,
    before: Option<Vec<Value>>,
    #[serde(default)]
    labels: Value,
    #[serde(rename = "by")]
    _by: Option<String>,
}

fn table() -> Table {
    serde_norway::from_str(TABLE).expect("the table")
}

/// Routes of others.
fn others(count: usize) -> Vec<Value> {
    let of_number = |n| {
        json!({
            "name": format!("other-{n}"),
            "match": [{"uri": {"prefix": format!("/{n}/")}}],
            "timeout": "5s",
            "retries": {"attempts": 3},
            "route": [
                {"destination": {"host": "shop", "subset": "blue"}, "weight": 90},
                {"destination": {"host": "shop", "subset": "plain"}, "weight": 10},
            ],
        })
    };
    (0..count).map(of_number).collect()
}

fn file(is_http: bool, row: &Row, rules: &[Value]) -> File {
    let all = [others(row.among), rules.to_vec()].concat();
    let object = if is_http {
        let metadata = json!({"name": "shop", "namespace": "shop", "labels": row.labels});
        json!({"kind": "HTTPRoute", "metadata": metadata, "spec": {"rules": all}})
    } else {
        let metadata = json!({"name": "shop", "namespace": "shop"});
        json!({"kind": "VirtualService", "metadata": metadata, "spec": {"http": all}})
    };
    File::of_text("row.yaml", object.to_string())
}

/// What the rules that policies have, too, find of a row.
fn found(is_http: bool, row: &Row) -> Vec<Finding> {
    let now = file(is_http, row, &row.rules);
    assert_eq!(now.errors, [], "{}", row.what);
    let before = row.before.as_ref();
    let before: Vec<File> = before
        .map(|rules| file(is_http, row, rules))
        .into_iter()
        .collect();
    let mut all = findings(&[now], &before);
    all.retain(|finding| finding.rule.is_policys);
    all
}

/// The sentences as a policy says them: what to write, and why.
fn sentences(finding: &Finding) -> String {
    format!("{} {}", finding.write, finding.why)
        .trim_end()
        .to_owned()
}

/// Checks that one of the findings says what the policy does.
fn says(row: &Row, all: &[Finding], level: Level) {
    // `"NAME": sentences`, or words for what has no name.
    let (subject, said) = row.said.split_once(": ").expect("a subject");
    let subject = subject.trim_start_matches("rule ");
    let (subject, said) = match said.split_once(": ") {
        // The subject itself has a colon, the header's.
        Some((value, rest)) if subject.contains("the rule that matches") => {
            (format!("{subject}: {value}"), rest)
        }
        _ => (subject.to_owned(), said),
    };
    let is_said = |finding: &&Finding| {
        finding.what.contains(&*subject) && sentences(finding).starts_with(said)
    };
    let finding = all.iter().find(is_said);
    let shown: Vec<_> = all.iter().map(|f| (&f.what, sentences(f))).collect();
    let finding = finding.unwrap_or_else(|| panic!("{}\n{}\n{shown:#?}", row.what, row.said));
    assert_eq!(finding.rule.level, level, "{}", row.what);
}

#[test]
fn what_is_refused_is_an_error_in_the_same_words() {
    let table = table();
    let mut count = 0;
    for (is_http, kind) in [(false, table.virtual_services), (true, table.http_routes)] {
        for row in kind.refused {
            says(&row, &found(is_http, &row), Level::Error);
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn what_is_warned_of_is_a_warning_in_the_same_words_and_nothing_else() {
    let table = table();
    let mut count = 0;
    for (is_http, kind) in [(false, table.virtual_services), (true, table.http_routes)] {
        for row in kind.warned {
            let all = found(is_http, &row);
            says(&row, &all, Level::Warning);
            let errors = all
                .iter()
                .filter(|finding| finding.rule.level == Level::Error);
            assert_eq!(errors.count(), 0, "{}", row.what);
            // A policy tells of the first of several, in one sentence.
            let rules: Vec<&str> = all.iter().map(|finding| finding.rule.id).collect();
            assert!(
                rules.iter().all(|id| *id == rules[0]),
                "{}: {rules:?}",
                row.what
            );
            count += 1;
        }
    }
    assert!(count > 30, "{count}");
}

#[test]
fn of_what_passes_nothing_is_said() {
    let table = table();
    let mut count = 0;
    for (is_http, kind) in [(false, table.virtual_services), (true, table.http_routes)] {
        for row in kind.passes {
            assert_eq!(found(is_http, &row), [], "{}", row.what);
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}
