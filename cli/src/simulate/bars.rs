//! How a simulation looks: bars as the demo's, and a table.

use super::states::{Series, State};
use super::tally::{Tally, grouped};
use crate::screen::{DIM, GREEN, YELLOW, styled, wrapped};
use clap::builder::styling::{AnsiColor, Style};
use std::fmt::Write as _;

/// The cells of a bar.
pub(super) const CELLS: usize = 50;

/// How versions look, also apart without colours.
const SHADES: [(char, AnsiColor); 8] = [
    ('░', AnsiColor::Blue),
    ('█', AnsiColor::Green),
    ('▒', AnsiColor::Yellow),
    ('▓', AnsiColor::Magenta),
    ('▚', AnsiColor::Cyan),
    ('▞', AnsiColor::Red),
    ('■', AnsiColor::BrightBlue),
    ('□', AnsiColor::BrightGreen),
];

/// Returns the shade of a version by its place in the list.
fn shade(version: usize) -> (char, Style) {
    let (shade, colour) = SHADES
        .get(version % SHADES.len())
        .copied()
        .unwrap_or(('░', AnsiColor::Blue));
    (shade, colour.on_default())
}

/// Returns the stretches of a state as a bar.
pub(super) fn bar(series: &Series, state: &State) -> String {
    let mut text = String::new();
    let cells = u64::try_from(CELLS).unwrap_or(1);
    let mut last: Option<(usize, usize)> = None;
    let write = |text: &mut String, version: usize, count: usize| {
        let (shade, style) = shade(version);
        let part: String = std::iter::repeat_n(shade, count).collect();
        text.push_str(&styled(style, &part));
    };
    for cell in 0..cells {
        // What stands in the middle of the cell.
        let place =
            (2 * u128::from(cell) + 1) * u128::from(state.sum.get()) / (2 * u128::from(cells));
        let mut to = 0_u128;
        let name = state
            .versions
            .iter()
            .zip(&state.weights)
            .find(|(_, weight)| {
                to += u128::from(**weight);
                place < to
            });
        let version = name.and_then(|(name, _)| series.versions.iter().position(|v| v == name));
        let version = version.unwrap_or_default();
        last = match last {
            Some((other, count)) if other == version => Some((version, count + 1)),
            Some((other, count)) => {
                write(&mut text, other, count);
                Some((version, 1))
            }
            None => Some((version, 1)),
        };
    }
    if let Some((version, count)) = last {
        write(&mut text, version, count);
    }
    text
}

/// Returns the bars, the table and the warnings.
pub(super) fn text(series: &Series, tally: &Tally, warnings: &[String]) -> String {
    let mut text = String::new();
    let route = &series.route;
    let of = if tally.users == 1 { "user" } else { "users" };
    let _ = writeln!(
        text,
        "\"{}\" of {}: {} {of} on {}\n",
        route.name,
        route.object,
        grouped(tally.users),
        series.host
    );
    let shown: Vec<String> = series.states.iter().map(State::shown).collect();
    let width = shown.iter().map(String::len).max().unwrap_or_default();
    let width = width.max("weights".len());
    let head = format!(
        "{:>width$}  {:<CELLS$} {:>10} {:>9}",
        "weights",
        legend(series),
        "moved",
        "back"
    );
    let _ = writeln!(text, "{}", styled(DIM, &head));
    for ((state, shown), step) in series.states.iter().zip(&shown).zip(&tally.steps) {
        let _ = writeln!(
            text,
            "{shown:>width$}  {} {:>10} {:>9}",
            bar(series, state),
            grouped(step.moved),
            grouped(step.back)
        );
    }
    text.push('\n');
    table(series, tally, &shown, width, &mut text);
    text.push('\n');
    if warnings.is_empty() {
        let most = if tally.several == 0 {
            "No user moves more than once".to_owned()
        } else {
            format!("{} users move more than once", grouped(tally.several))
        };
        let _ = writeln!(text, "{} {most}, and none for nothing.", styled(GREEN, "✔"));
    }
    for warning in warnings {
        for (at, line) in wrapped(warning, 78).into_iter().enumerate() {
            let mark = if at == 0 {
                styled(YELLOW, "!")
            } else {
                " ".to_owned()
            };
            let _ = writeln!(text, "{mark} {line}");
        }
    }
    text
}

/// Returns which shade is which version.
fn legend(series: &Series) -> String {
    let versions = series.versions.iter().enumerate();
    let all: Vec<String> = versions
        .map(|(at, version)| format!("{} {version}", shade(at).0))
        .collect();
    all.join("  ").chars().take(CELLS).collect()
}

/// The columns of a version in the table.
const COLUMN: usize = 20;

/// Writes how many users each version has. Of many versions some stand below the others.
fn table(series: &Series, tally: &Tally, shown: &[String], width: usize, text: &mut String) {
    let fit = (78_usize.saturating_sub(width) / COLUMN).max(1);
    let versions: Vec<usize> = (0..series.versions.len()).collect();
    for (at, part) in versions.chunks(fit).enumerate() {
        if at > 0 {
            text.push('\n');
        }
        let mut head = format!("{:>width$}", "weights");
        for version in part {
            let name = series.versions.get(*version).map_or("", String::as_str);
            let name: String = name.chars().take(COLUMN - 1).collect();
            let _ = write!(head, "{name:>COLUMN$}");
        }
        let _ = writeln!(text, "{}", styled(DIM, &head));
        for (shown, step) in shown.iter().zip(&tally.steps) {
            let _ = write!(text, "{shown:>width$}");
            for version in part {
                let users = step.users.get(*version).copied().unwrap_or_default();
                let all = tally.users.max(1);
                let permille = (users.saturating_mul(1000) + all / 2) / all;
                let share = format!("{}.{} %", permille / 10, permille % 10);
                let _ = write!(text, "{:>12}{share:>8}", grouped(users));
            }
            text.push('\n');
        }
    }
}
