//! The commands of docs/cli.md print what stands below them. `WRITE=1` writes it anew.

mod kit;

use kit::{bash, root, writes};
use std::fs;

const MARK: &str = "<!-- run by: cli/tests/pages.rs -->\n```console\n";

/// The commands of a block, each with its lines and what is shown below.
fn commands(block: &str) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        if line.starts_with("$ ") {
            all.push((format!("{line}\n"), String::new()));
        } else if let Some((command, shown)) = all.last_mut() {
            if line.starts_with("> ") && shown.is_empty() {
                *command += &format!("{line}\n");
            } else {
                *shown += &format!("{line}\n");
            }
        }
    }
    all
}

/// What the commands of a block print, below each. They run one after the other in one
/// folder.
fn run(block: &str) -> String {
    let mut printed = String::new();
    let mut before = String::new();
    for (lines, _) in commands(block) {
        let script: String = lines
            .lines()
            .map(|line| format!("{}\n", line.get(2..).expect("a command")))
            .collect();
        let output = bash(&root(), &format!("{before}{script}"));
        let output = { output }.output().expect("bash");
        let text = [output.stdout, output.stderr].concat();
        printed += &lines;
        printed += &String::from_utf8(text).expect("UTF-8");
        if script.starts_with("cd ") {
            before = script;
        }
    }
    printed
}

#[test]
fn the_page_shows_what_the_commands_print() {
    let path = root().join("docs/cli.md");
    let page = fs::read_to_string(&path).expect("the page");
    let mut parts = page.split(MARK);
    let mut new = parts.next().expect("a beginning").to_owned();
    let mut count = 0;
    for part in parts {
        let (block, rest) = part.split_once("```").expect("an end");
        new += &format!("{MARK}{}```{rest}", run(block));
        count += 1;
    }
    if writes() {
        fs::write(&path, &new).expect("the page");
    }
    assert!(count >= 5, "{count} blocks");
    for line in new.lines() {
        let of_table = line.starts_with('|');
        assert!(of_table || line.chars().count() <= 100, "too long: {line}");
    }
    similar(&new, &page);
}

/// Says the first line that differs.
fn similar(printed: &str, page: &str) {
    for (at, (one, other)) in printed.lines().zip(page.lines()).enumerate() {
        assert_eq!(one, other, "line {}: printed, and shown", at + 1);
    }
    assert_eq!(printed.lines().count(), page.lines().count());
}
