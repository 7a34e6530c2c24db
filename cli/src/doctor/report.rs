//! What is found, as a table with a paragraph for each fault, or as JSON.

use super::Output;
use super::diagnose::{Diagnosis, Mark, OBJECTS};
use super::fault::{Column, Fault, KINDS};
use super::mesh::{Mesh, Plugin};
use super::proxy::{Kind, Loaded};
use super::served::Served;
use crate::screen::{self, BOLD, DIM, GREEN, RED, YELLOW, first_of, styled, wrapped};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How wide a name is in the table.
const NAME: usize = 22;

/// Returns what is found.
pub(super) fn text(output: Output, mesh: &Mesh, found: &Diagnosis, served: &[Served]) -> String {
    match output {
        Output::Text => {
            let mut text = table(mesh, found);
            text.push_str(&seen(mesh));
            text.push_str(&of_served(served));
            text.push_str(&faults(mesh, &found.faults));
            text.push_str(&sum(mesh, found));
            text
        }
        Output::Json => format!("{:#}\n", to_json(mesh, found, served)),
    }
}

/// Returns the list of all faults.
pub(super) fn list() -> String {
    let mut text = String::new();
    for kind in KINDS {
        let head = format!("{:<20} {:<8}", kind.id, kind.column.head());
        for (at, line) in wrapped(kind.why, screen::WIDTH - 30).iter().enumerate() {
            let head = if at == 0 { &*head } else { "" };
            let _ = writeln!(text, "{head:<29} {line}");
        }
    }
    text
}

/// A row of the table: a workload, whose pods are told together.
struct Row {
    /// Empty: that of the objects.
    namespace: String,
    name: String,
    pods: usize,
    marks: Vec<Mark>,
}

fn rows(mesh: &Mesh, found: &Diagnosis) -> Vec<Row> {
    let marks = |row: usize, who: &str| {
        let columns = Column::ALL.iter();
        columns
            .map(|(column, _)| found.mark(row, who, *column))
            .collect()
    };
    let mut rows = vec![Row {
        namespace: String::new(),
        name: OBJECTS.to_owned(),
        pods: 1,
        marks: { Column::ALL.iter() }
            .map(|(column, _)| found.mark_of_objects(mesh, *column))
            .collect(),
    }];
    for (at, (pod, _)) in mesh.proxies.iter().enumerate() {
        let new: Vec<Mark> = marks(at + 1, &pod.id());
        let same = |row: &&mut Row| row.namespace == pod.namespace && row.name == pod.workload;
        match rows.iter_mut().find(same) {
            Some(row) => {
                row.pods += 1;
                for (mark, new) in row.marks.iter_mut().zip(new) {
                    *mark = (*mark).max(new);
                }
            }
            None => rows.push(Row {
                namespace: pod.namespace.clone(),
                name: pod.workload.clone(),
                pods: 1,
                marks: new,
            }),
        }
    }
    rows
}

fn table(mesh: &Mesh, found: &Diagnosis) -> String {
    let mut lines = Vec::new();
    let heads = Column::ALL.map(|(_, head)| head).join(" ");
    lines.push(styled(DIM, &format!("{:NAME$} {heads}", "")));
    let mut namespace = String::new();
    for row in rows(mesh, found) {
        if row.namespace != namespace {
            lines.push(styled(DIM, &row.namespace));
            namespace.clone_from(&row.namespace);
        }
        let count = if row.pods > 1 {
            format!(" ×{}", row.pods)
        } else {
            String::new()
        };
        let indent = if namespace.is_empty() { "" } else { "  " };
        let width = NAME - count.chars().count() - indent.len();
        let mut line = format!(
            "{:NAME$}",
            format!("{indent}{}{count}", cut(&row.name, width))
        );
        let mut spaces = 0;
        for (mark, (_, head)) in row.marks.iter().zip(Column::ALL) {
            let (style, mark) = match mark {
                Mark::Good => (GREEN, "✔"),
                Mark::Bad => (RED, "✘"),
                Mark::None => (DIM, "·"),
            };
            // In the middle below its head.
            let before = spaces + 1 + (head.len() - 1) / 2;
            spaces = head.len() / 2;
            let _ = write!(line, "{:before$}{}", "", styled(style, mark));
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}

/// Returns which versions and modules were seen, and in how many proxies.
fn seen(mesh: &Mesh) -> String {
    let mut versions: BTreeMap<String, usize> = BTreeMap::new();
    let mut modules: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for proxy in mesh
        .proxies
        .iter()
        .filter_map(|(_, proxy)| proxy.as_ref().ok())
    {
        let of = format!("Istio {}, Envoy {}", proxy.istio, proxy.envoy);
        *versions.entry(of).or_default() += 1;
        for (plugin, loaded) in &proxy.plugins {
            if let Loaded::Module { digest, .. } = loaded {
                *modules.entry((plugin, digest)).or_default() += 1;
            }
        }
    }
    let mut text = format!("\nKubernetes {}\n", mesh.kubernetes);
    for (version, number) in versions {
        let _ = writeln!(text, "{version} in {}", proxies(number));
    }
    let ours: Vec<String> = mesh.plugins().iter().map(Plugin::id).collect();
    for ((plugin, digest), number) in modules {
        if ours.iter().any(|id| id == plugin) {
            let _ = writeln!(text, "{plugin} in {}:\n  {digest}", proxies(number));
        }
    }
    text
}

fn proxies(number: usize) -> String {
    let s = if number == 1 { "y" } else { "ies" };
    format!("{number} prox{s}")
}

/// Returns a name of at most so many characters, cut in the middle.
fn cut(name: &str, width: usize) -> String {
    let length = name.chars().count();
    if length <= width {
        return name.to_owned();
    }
    let tail = width / 2;
    let head: String = name.chars().take(width - tail - 1).collect();
    let rest: String = name.chars().skip(length - tail).collect();
    format!("{head}…{rest}")
}

fn of_served(served: &[Served]) -> String {
    let mut text = String::new();
    for each in served {
        let good = each.wrong.is_empty();
        let mark = if good {
            styled(GREEN, "✔")
        } else {
            styled(RED, "✘")
        };
        let sum: u64 = each.versions.iter().map(|(_, weight, ..)| weight).sum();
        // Most sum to 100, as do the requests.
        let of = if sum == 100 {
            String::new()
        } else {
            format!(" of {sum}")
        };
        let versions = each
            .versions
            .iter()
            .map(|(version, weight, _, got)| format!("{version} {weight}{of} → {got}"));
        let versions: Vec<String> = versions.collect();
        let _ = writeln!(
            text,
            "\n{mark} {} on {}: {} requests\n  {}",
            each.object,
            each.host,
            each.asked,
            versions.join(", ")
        );
        let rest = each.asked - each.wrong.len();
        let _ = writeln!(text, "  {rest} of {} served as explained", each.asked);
    }
    text
}

/// Returns who has a fault: pods, or their workloads where all pods of these have it.
fn who(mesh: &Mesh, fault: &Fault) -> String {
    let mut names: Vec<String> = Vec::new();
    for id in &fault.who {
        let pod = mesh
            .proxies
            .iter()
            .map(|(pod, _)| pod)
            .find(|pod| pod.id() == *id);
        let workload = pod.filter(|pod| {
            let mut pods =
                mesh.proxies.iter().map(|(other, _)| other).filter(|other| {
                    other.namespace == pod.namespace && other.workload == pod.workload
                });
            pods.all(|other| fault.who.contains(&other.id()))
        });
        let name = workload.map_or_else(
            || id.clone(),
            |pod| format!("{}/{}", pod.namespace, pod.workload),
        );
        if !names.contains(&name) {
            names.push(name);
        }
    }
    first_of(&names, 4)
}

fn faults(mesh: &Mesh, faults: &[Fault]) -> String {
    const WORDS: usize = 6;
    let mut text = String::new();
    for fault in faults {
        let mark = if fault.is_note {
            styled(YELLOW, "!")
        } else {
            styled(RED, "✘")
        };
        let head = format!("{}: {}", fault.column.head(), fault.what);
        let mut lines = wrapped(&head, screen::WIDTH - 2).into_iter();
        let first = lines.next().unwrap_or_default();
        let _ = writeln!(text, "\n{mark} {}", styled(BOLD, &first));
        for line in lines {
            let _ = writeln!(text, "  {}", styled(BOLD, &line));
        }
        let who = who(mesh, fault);
        let all = [
            ("where", &who),
            ("users", &fault.users),
            ("why", &fault.why),
            ("mend", &fault.mend),
        ];
        for (word, what) in all.into_iter().filter(|(_, what)| !what.is_empty()) {
            let lines = what
                .lines()
                .flat_map(|line| folded(line, screen::WIDTH - WORDS - 3));
            for (at, line) in lines.enumerate() {
                let word = if at == 0 { word } else { "" };
                let word = styled(DIM, &format!("{word:<WORDS$}"));
                let _ = writeln!(text, "  {word} {line}");
            }
        }
    }
    text
}

/// Returns a line in lines of at most so many characters; a command is still one.
fn folded(line: &str, width: usize) -> Vec<String> {
    let is_command = ["kubectl ", "istioctl ", "bluegreen "];
    if !is_command.iter().any(|word| line.starts_with(word)) {
        return wrapped(line, width);
    }
    let mut lines = wrapped(line, width - 2);
    let last = lines.len().saturating_sub(1);
    for line in lines.iter_mut().take(last) {
        line.push_str(" \\");
    }
    lines
}

fn sum(mesh: &Mesh, found: &Diagnosis) -> String {
    let bad = found.faults.iter().filter(|fault| !fault.is_note).count();
    let notes = found.faults.len() - bad;
    let of = |number: usize, what: &str| {
        let s = if number == 1 { "" } else { "s" };
        format!("{number} {what}{s}")
    };
    let notes = if notes == 0 {
        String::new()
    } else {
        format!(", {}", of(notes, "note"))
    };
    let plain = format!(
        "{}{notes} in {}",
        of(bad, "fault"),
        proxies(mesh.proxies.len())
    );
    let mark = if bad == 0 {
        styled(GREEN, "✔")
    } else {
        styled(RED, "✘")
    };
    let mut text = format!("\n{mark} {plain}\n");
    if mesh.proxies.is_empty() {
        text.push_str("No pod has a proxy of Istio here.\n");
    }
    text
}

fn to_json(mesh: &Mesh, found: &Diagnosis, served: &[Served]) -> Value {
    let word = |mark: Mark| match mark {
        Mark::Good => "good",
        Mark::Bad => "bad",
        Mark::None => "none",
    };
    let columns = |of: &dyn Fn(Column) -> Mark| -> Value {
        let marks = Column::ALL.iter();
        let marks = marks.map(|(column, head)| ((*head).to_owned(), json!(word(of(*column)))));
        Value::Object(marks.collect())
    };
    let proxies = mesh.proxies.iter().enumerate().map(|(at, (pod, proxy))| {
        let proxy = proxy.as_ref().ok();
        let modules = proxy.into_iter().flat_map(|proxy| &proxy.plugins);
        let modules = modules.map(|(id, loaded)| {
            let digest = match loaded {
                Loaded::Module { digest, .. } => Some(digest),
                Loaded::Placeholder => None,
            };
            (id.clone(), json!(digest))
        });
        json!({
            "namespace": pod.namespace,
            "pod": pod.name,
            "kind": match pod.kind {
                Kind::Gateway => "gateway",
                Kind::Sidecar => "sidecar",
                Kind::Waypoint => "waypoint",
            },
            "istio": proxy.map(|proxy| &proxy.istio),
            "envoy": proxy.map(|proxy| &proxy.envoy),
            "modules": Value::Object(modules.collect()),
            "marks": columns(&|column| found.mark(at + 1, &pod.id(), column)),
        })
    });
    let proxies: Vec<Value> = proxies.collect();
    let faults: Vec<Value> = { found.faults.iter() }
        .map(|fault| {
            json!({
                "fault": fault.id,
                "column": fault.column.head(),
                "isNote": fault.is_note,
                "what": fault.what,
                "where": fault.who,
                "users": fault.users,
                "why": fault.why,
                "mend": fault.mend,
            })
        })
        .collect();
    let served: Vec<Value> = { served.iter() }
        .map(|each| {
            let versions = each.versions.iter().map(|(version, weight, explained, got)| {
                json!({"version": version, "weight": weight, "explained": explained, "served": got})
            });
            json!({
                "object": each.object,
                "host": each.host,
                "gateway": each.gateway,
                "asked": each.asked,
                "versions": versions.collect::<Vec<_>>(),
                "wrong": each.wrong,
            })
        })
        .collect();
    json!({
        "kubernetes": mesh.kubernetes,
        "manifests": columns(&|column| found.mark_of_objects(mesh, column)),
        "proxies": proxies,
        "served": served,
        "faults": faults,
    })
}
