//! The commands of the pages print what stands below them. `WRITE=1` writes it anew.

mod kit;

use kit::{bash, root, writes};
use std::fs;
use std::path::Path;

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
fn run(folder: &Path, block: &str) -> String {
    let mut printed = String::new();
    let mut before = String::new();
    for (lines, _) in commands(block) {
        let script: String = lines
            .lines()
            .map(|line| format!("{}\n", line.get(2..).expect("a command")))
            .collect();
        let output = bash(folder, &format!("{before}{script}"));
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

/// The pages, the folders in which people run their commands, and how many blocks there
/// are at least.
const PAGES: [(&str, &str, usize); 2] = [
    ("docs/cli.md", ".", 10),
    ("examples/blue-green/README.md", "examples/blue-green", 7),
];

#[test]
fn the_pages_show_what_the_commands_print() {
    for (page, folder, least) in PAGES {
        let path = root().join(page);
        let text = fs::read_to_string(&path).expect(page);
        let mut parts = text.split(MARK);
        let mut new = parts.next().expect("a beginning").to_owned();
        let mut count = 0;
        for part in parts {
            let (block, rest) = part.split_once("```").expect("an end");
            let printed = run(&root().join(folder), block);
            for line in printed.lines() {
                assert!(line.chars().count() <= 92, "too long: {line}");
            }
            new += &format!("{MARK}{printed}```{rest}");
            count += 1;
        }
        assert!(count >= least, "{page}: {count} blocks");
        if writes() {
            fs::write(&path, &new).expect(page);
        }
        similar(page, &new, &text);
    }
}

/// Says the first line that differs.
fn similar(name: &str, printed: &str, page: &str) {
    for (at, (one, other)) in printed.lines().zip(page.lines()).enumerate() {
        assert_eq!(one, other, "{name}:{}: printed, and shown", at + 1);
    }
    assert_eq!(printed.lines().count(), page.lines().count());
}
