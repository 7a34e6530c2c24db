//! How things look: colours, which go where nobody wants them, and lines of 80 columns.

use anstream::eprintln;
use clap::builder::styling::{AnsiColor, Style};

/// The columns of a screen.
pub(crate) const WIDTH: usize = 80;

/// The heads of columns, and what is of less weight.
pub(crate) const DIM: Style = Style::new().dimmed();
/// What counts.
pub(crate) const BOLD: Style = Style::new().bold();
/// What is wrong.
pub(crate) const RED: Style = AnsiColor::Red.on_default().bold();
/// What is right.
pub(crate) const GREEN: Style = AnsiColor::Green.on_default().bold();

/// Returns a text in a style.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints a text to the standard output. A reader who has gone is no error.
pub(crate) fn out(text: &str) {
    use std::io::Write as _;
    let mut out = anstream::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Says why the command could not run.
pub(crate) fn error(why: &str) {
    eprintln!("{} {why}", styled(RED, "bluegreen:"));
}

/// What may be wrong.
pub(crate) const YELLOW: Style = AnsiColor::Yellow.on_default().bold();

/// Returns bytes as text that no terminal stumbles over.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const LONGEST: usize = 48;
    let text = String::from_utf8_lossy(bytes);
    let start: String = text.chars().take(LONGEST).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    let plain = start.chars().all(|c| !c.is_control());
    if plain {
        format!("{start}{more}")
    } else {
        format!("{}{more}", start.escape_debug())
    }
}

/// Returns a text in lines of at most so many characters, cut at spaces.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let fits = line.chars().count() + 1 + word.chars().count() <= width;
            if line.is_empty() {
                line.push_str(word);
            } else if fits {
                line.push(' ');
                line.push_str(word);
            } else {
                lines.push(std::mem::take(&mut line));
                line.push_str(word);
            }
        }
        lines.push(line);
    }
    lines
}

/// Returns the first names with commas between them, and how many more there are.
pub(crate) fn first_of(names: &[String], most: usize) -> String {
    let shown = names.get(..most).unwrap_or(names).join(", ");
    match names.len().saturating_sub(most) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}
