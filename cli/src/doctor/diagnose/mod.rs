//! What is wrong: each question is asked of the objects, or of each proxy.

mod objects;
mod of_proxy;

use super::fault::{Column, Fault, UNREACHABLE};
use super::mesh::Mesh;
use crate::mesh::Routes;
use of_proxy::OfProxy;
use std::collections::BTreeSet;

/// What is known of one column of one proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// The question does not arise, or cannot be answered.
    None,
    /// It is as it should be.
    Good,
    /// It is not.
    Bad,
}

/// What was found.
#[derive(Default)]
pub(super) struct Diagnosis {
    pub(super) faults: Vec<Fault>,
    /// For the objects first, then for each proxy: the columns about which there is
    /// something to say.
    pub(super) asked: Vec<BTreeSet<Column>>,
}

/// Who the objects are, in the table.
pub(super) const OBJECTS: &str = "manifests";

/// Says what is wrong in a mesh.
pub(super) fn diagnose(mesh: &Mesh, routes: &Routes) -> Diagnosis {
    let plugins = mesh.plugins();
    let mut found = Diagnosis::default();
    found.objects(mesh, &plugins);
    for (pod, proxy) in &mesh.proxies {
        let mut one = OfProxy {
            mesh,
            plugins: &plugins,
            routes,
            pod,
            asked: BTreeSet::new(),
            faults: &mut found.faults,
        };
        match proxy {
            Ok(proxy) => one.proxy(proxy),
            Err(why) => one.find(&UNREACHABLE, format!("the proxy does not answer: {why}")),
        }
        let asked = one.asked;
        found.asked.push(asked);
    }
    found.faults.sort_by_key(|fault| fault.column);
    found
}

impl Diagnosis {
    /// Returns whether something is wrong.
    pub(super) fn is_bad(&self) -> bool {
        self.faults.iter().any(|fault| !fault.is_note)
    }

    /// Leaves out the faults with these names: nothing is said of their columns then.
    pub(super) fn allow(&mut self, ids: &[String], mesh: &Mesh) {
        let is_allowed = |fault: &mut Fault| ids.iter().any(|id| id == fault.id);
        let pods: Vec<String> = mesh.proxies.iter().map(|(pod, _)| pod.id()).collect();
        for fault in self.faults.extract_if(.., is_allowed) {
            if fault.is_note {
                continue;
            }
            let is_objects = fault.who.iter().any(|who| !pods.contains(who));
            let of_pods = pods.iter().map(|pod| fault.who.contains(pod));
            let rows = std::iter::once(is_objects).chain(of_pods);
            for (_, asked) in rows.zip(&mut self.asked).filter(|(has, _)| *has) {
                asked.remove(&fault.column);
            }
        }
    }

    /// Returns the mark of the objects: of faults that no pod has.
    pub(super) fn mark_of_objects(&self, mesh: &Mesh, column: Column) -> Mark {
        let pods: BTreeSet<String> = mesh.proxies.iter().map(|(pod, _)| pod.id()).collect();
        let is_bad = self.faults.iter().any(|fault| {
            let mut who = fault.who.iter();
            fault.column == column && !fault.is_note && who.any(|who| !pods.contains(who))
        });
        let is_asked = self
            .asked
            .first()
            .is_some_and(|asked| asked.contains(&column));
        match (is_bad, is_asked) {
            (true, _) => Mark::Bad,
            (false, true) => Mark::Good,
            (false, false) => Mark::None,
        }
    }

    /// Returns the mark of a proxy, by its place behind the objects.
    pub(super) fn mark(&self, row: usize, who: &str, column: Column) -> Mark {
        let has = |fault: &&Fault| {
            fault.column == column && !fault.is_note && fault.who.iter().any(|one| one == who)
        };
        if self.faults.iter().any(|fault| has(&fault)) {
            return Mark::Bad;
        }
        let is_asked = self
            .asked
            .get(row)
            .is_some_and(|asked| asked.contains(&column));
        if is_asked { Mark::Good } else { Mark::None }
    }
}
