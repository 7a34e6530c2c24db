//! How findings look: for people, for programs, and for those who show them in a change.

use super::finding::{Finding, Level, Place};
use super::rules::RULES;
use crate::files::File;
use crate::screen::{GREEN, styled, wrapped};
use annotate_snippets::{AnnotationKind, Group, Renderer, Snippet};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::ops::Range;

/// How findings are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs
    Json,
    /// For code scanning: SARIF 2.1.0
    Sarif,
    /// For workflows of GitHub: annotations of the changed lines
    Github,
}

/// The most findings that are shown to people.
const MOST: usize = 100;

/// Returns the findings in a format.
pub(super) fn text(format: Format, files: &[File], findings: &[Finding]) -> String {
    match format {
        Format::Text => for_people(files, findings),
        Format::Json => format!("{:#}\n", for_programs(files, findings)),
        Format::Sarif => format!("{:#}\n", sarif(files, findings)),
        Format::Github => github(files, findings),
    }
}

// ---- for people -----------------------------------------------------------------------

fn for_people(files: &[File], findings: &[Finding]) -> String {
    let renderer = Renderer::styled().term_width(80);
    let mut text = String::new();
    for finding in findings.iter().take(MOST) {
        text.push_str(&renderer.render(&groups(files, finding)));
        text.push_str("\n\n");
    }
    if let Some(more) = findings.len().checked_sub(MOST).filter(|more| *more > 0) {
        let _ = writeln!(text, "and {more} more; --format json has all of them\n");
    }
    let objects: usize = files.iter().map(|file| file.objects.len()).sum();
    let looked = format!(
        "{} of {}",
        counted(objects, "object"),
        counted(files.len(), "file")
    );
    let of_level = |level| {
        let all = findings
            .iter()
            .filter(|finding| finding.rule.level == level);
        all.count()
    };
    let parts: Vec<String> = [Level::Error, Level::Warning, Level::Note]
        .into_iter()
        .filter(|level| of_level(*level) > 0)
        .map(|level| counted(of_level(level), level.word()))
        .collect();
    if parts.is_empty() {
        let _ = writeln!(text, "{} nothing to say of {looked}", styled(GREEN, "✔"));
    } else {
        let _ = writeln!(text, "{} in {looked}", parts.join(", "));
    }
    text
}

fn counted(count: usize, what: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {what}{ending}")
}

/// Returns a finding as annotate-snippets has it.
fn groups<'f>(files: &'f [File], finding: &'f Finding) -> Vec<Group<'f>> {
    use annotate_snippets::Level as Shown;
    let level = match finding.rule.level {
        Level::Error => Shown::ERROR,
        Level::Warning => Shown::WARNING,
        Level::Note => Shown::NOTE,
    };
    // `error[single-destination]: ` goes before the first line.
    let head = finding.rule.level.word().len() + finding.rule.id.len() + 4;
    let title = continued(&finding.what, 80_usize.saturating_sub(head).max(40), 0);
    let mut group = level
        .primary_title(title)
        .id(finding.rule.id)
        .element(snippet(files, &finding.place, AnnotationKind::Primary, ""));
    for (place, label) in &finding.also {
        group = group.element(snippet(files, place, AnnotationKind::Context, label));
    }
    if !finding.write.is_empty() {
        group = group.element(Shown::HELP.message(continued(&finding.write, 66, 0)));
    }
    if !finding.why.is_empty() {
        group = group.element(Shown::NOTE.message(continued(&finding.why, 66, 0)));
    }
    vec![group]
}

fn continued(text: &str, width: usize, indent: usize) -> String {
    let lines = wrapped(text, width);
    lines.join(&format!("\n{:indent$}", ""))
}

/// Returns the line of a place, with the place underlined. Of a place of several lines the
/// first one is shown.
fn snippet<'f>(
    files: &'f [File],
    place: &Place,
    kind: AnnotationKind,
    label: &'f str,
) -> Snippet<'f, annotate_snippets::Annotation<'f>> {
    let (name, text, line, span) = match files.get(place.file) {
        Some(file) => {
            let (text, span) = line(file, &place.span);
            (&*file.name, text, file.place(place.span.start).0, span)
        }
        None => ("", "", 1, 0..0),
    };
    let span = if label.is_empty() {
        span
    } else {
        shortened(text, span)
    };
    let annotation = kind.span(span);
    let annotation = if label.is_empty() {
        annotation
    } else {
        annotation.label(label)
    };
    Snippet::source(text)
        .path(name)
        .line_start(line)
        .annotation(annotation)
}

/// Returns the beginning of a long part of a line, so that there is room for a word behind
/// it.
fn shortened(line: &str, span: Range<usize>) -> Range<usize> {
    const MOST: usize = 16;
    let part = line.get(span.clone()).unwrap_or_default();
    let end = part.char_indices().nth(MOST).map(|(at, _)| at);
    span.start..end.map_or(span.end, |end| span.start + end)
}

/// Returns the line in which bytes begin, and the part of them in it.
fn line<'f>(file: &'f File, span: &Range<usize>) -> (&'f str, Range<usize>) {
    let before = file.text.get(..span.start).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let rest = file.text.get(start..).unwrap_or_default();
    let line = rest.lines().next().unwrap_or_default();
    let from = (span.start - start).min(line.len());
    let to = (span.end.saturating_sub(start)).clamp(from, line.len());
    // A comment behind the value is no part of it.
    (line, from..to)
}

// ---- for programs ---------------------------------------------------------------------

/// The lines and columns of a place, from 1 on: begin, and behind the end.
struct Region {
    file: String,
    line: usize,
    column: usize,
    end_line: usize,
    end_column: usize,
}

fn region(files: &[File], place: &Place) -> Region {
    let Some(file) = files.get(place.file) else {
        return Region {
            file: String::new(),
            line: 1,
            column: 1,
            end_line: 1,
            end_column: 1,
        };
    };
    let (line, column) = file.place(place.span.start);
    let (end_line, end_column) = file.place(place.span.end);
    Region {
        file: file.name.clone(),
        line,
        column,
        end_line,
        end_column,
    }
}

fn json_region(files: &[File], place: &Place) -> Value {
    let region = region(files, place);
    json!({
        "file": region.file,
        "line": region.line,
        "column": region.column,
        "endLine": region.end_line,
        "endColumn": region.end_column,
    })
}

fn for_programs(files: &[File], findings: &[Finding]) -> Value {
    let all = findings.iter().map(|finding| {
        let also = finding.also.iter().map(|(place, label)| {
            let what = json!({"what": label});
            joined(what, json_region(files, place))
        });
        let own = json!({
            "rule": finding.rule.id,
            "level": finding.rule.level.word(),
            "what": finding.what,
            "why": finding.why,
            "write": finding.write,
            "also": also.collect::<Vec<_>>(),
        });
        joined(own, json_region(files, &finding.place))
    });
    json!({"findings": all.collect::<Vec<_>>()})
}

/// Returns an object with the fields of both.
fn joined(mut one: Value, other: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (one.as_object_mut(), other) {
        fields.extend(more);
    }
    one
}

/// Returns the sentences of a finding, one after the other.
fn message(finding: &Finding) -> String {
    let mut text = finding.what.clone();
    for more in [&finding.write, &finding.why] {
        if !more.is_empty() {
            text.push_str(". ");
            let mut chars = more.trim_end_matches('.').chars();
            text.extend(chars.next().iter().flat_map(|first| first.to_uppercase()));
            text.push_str(chars.as_str());
        }
    }
    text.push('.');
    text
}

fn sarif(files: &[File], findings: &[Finding]) -> Value {
    let location = |place: &Place| {
        let region = region(files, place);
        json!({"physicalLocation": {
            "artifactLocation": {"uri": address(&region.file)},
            "region": {
                "startLine": region.line,
                "startColumn": region.column,
                "endLine": region.end_line,
                "endColumn": region.end_column,
            },
        }})
    };
    let rules = RULES.iter().map(|rule| {
        json!({
            "id": rule.id,
            "shortDescription": {"text": rule.about},
            "defaultConfiguration": {"level": rule.level.word()},
        })
    });
    let results = findings.iter().map(|finding| {
        let also = finding
            .also
            .iter()
            .map(|(place, label)| joined(json!({"message": {"text": label}}), location(place)));
        json!({
            "ruleId": finding.rule.id,
            "level": finding.rule.level.word(),
            "message": {"text": message(finding)},
            "locations": [location(&finding.place)],
            "relatedLocations": also.collect::<Vec<_>>(),
        })
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "bluegreen",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

/// Returns the address of a file relative to the one of its folder (RFC 3986, 4.2).
fn address(name: &str) -> String {
    let mut address = String::new();
    for byte in name.bytes() {
        match char::from(byte) {
            plain @ ('a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~' | '/') => {
                address.push(plain);
            }
            _ => {
                let _ = write!(address, "%{byte:02X}");
            }
        }
    }
    address
}

/// Returns workflow commands of GitHub's, a line each.
fn github(files: &[File], findings: &[Finding]) -> String {
    let data = |text: &str| {
        let text = text.replace('%', "%25").replace('\r', "%0D");
        text.replace('\n', "%0A")
    };
    let property = |text: &str| data(text).replace(':', "%3A").replace(',', "%2C");
    let mut text = String::new();
    for finding in findings {
        let region = region(files, &finding.place);
        let level = match finding.rule.level {
            Level::Note => "notice",
            level => level.word(),
        };
        let _ = writeln!(
            text,
            "::{level} file={},line={},endLine={},col={},endColumn={},title={}::{}",
            property(&region.file),
            region.line,
            region.end_line,
            region.column,
            region.end_column,
            property(finding.rule.id),
            data(&message(finding))
        );
    }
    text
}
