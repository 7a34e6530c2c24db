//! What the objects of the cluster say, without a proxy.

use super::{Diagnosis, OBJECTS};
use crate::check::{self, Level};
use crate::doctor::fault::{
    AGENTGATEWAY, Column, Fault, ISTIOD_MISSING, Kind, NO_FILTER, NO_PLUGIN, Names, UNTRIED,
    WAYPOINT, add,
};
use crate::doctor::mesh::{Host, Mesh, Plugin, text};
use crate::doctor::versions::{self, minor};
use std::collections::BTreeSet;

impl Diagnosis {
    /// Adds what is wrong with the objects.
    pub(super) fn objects(&mut self, mesh: &Mesh, plugins: &[Plugin<'_>]) {
        for finding in check::findings(&mesh.files, &[]) {
            let file = mesh.files.get(finding.place.file);
            let who = file.map_or(OBJECTS, |file| {
                file.name.trim_end_matches(" of the cluster")
            });
            add(
                &mut self.faults,
                Fault {
                    id: finding.rule.id,
                    column: column(finding.rule.id),
                    what: finding.what,
                    users: finding.why,
                    why: String::new(),
                    mend: finding.write,
                    who: vec![who.to_owned()],
                    is_note: finding.rule.level == Level::Note,
                },
            );
        }
        let names = Names {
            root: mesh.root.clone(),
            ..Names::default()
        };
        let mut find = |kind: &Kind, what: String, who: &str| {
            add(&mut self.faults, kind.fault(what, who, &names));
        };
        if plugins.is_empty() {
            find(&NO_PLUGIN, "there is no plugin".to_owned(), OBJECTS);
        }
        for plugin in plugins.iter().filter(|plugin| plugin.is_marked()) {
            if !mesh.has_envoy_filter(plugin) {
                let what = format!("no EnvoyFilter names {}", plugin.id());
                find(&NO_FILTER, what, OBJECTS);
            }
        }
        if mesh.synced.is_none() {
            let what = format!("no istiod answers in {}", mesh.root);
            find(&ISTIOD_MISSING, what, OBJECTS);
        }
        for (gateway, host) in mesh.weighted_hosts() {
            if let (None, Some(waypoint)) = (gateway, mesh.waypoint(&host)) {
                let Host {
                    name: host, object, ..
                } = host;
                let what = format!("{host} is behind the waypoint {waypoint}");
                find(&WAYPOINT, what, &format!("VirtualService {object}"));
            }
        }
        for gateway in &mesh.gateway_apis {
            let class = text(gateway, "/spec/gatewayClassName");
            if class.contains("agentgateway") {
                let name = text(gateway, "/metadata/name");
                let namespace = text(gateway, "/metadata/namespace");
                let what = format!("the Gateway is of the class {class}");
                find(&AGENTGATEWAY, what, &format!("Gateway {name}.{namespace}"));
            }
        }
        if minor(&mesh.kubernetes).is_none_or(|minor| minor < versions::KUBERNETES) {
            let what = format!("Kubernetes {} was not tried", mesh.kubernetes);
            find(&UNTRIED, what, OBJECTS);
        }
        self.asked.push(BTreeSet::from([
            Column::Module,
            Column::Config,
            Column::Routes,
            Column::Header,
            Column::Once,
            Column::Version,
        ]));
    }
}

/// Returns the column of a rule of `check`.
fn column(rule: &str) -> Column {
    match rule {
        "plugin-config" => Column::Config,
        "plugin-twice" => Column::Once,
        "filter-namespace" => Column::Routes,
        "filter-headers" => Column::Header,
        _ if rule.starts_with("plugin-") => Column::Module,
        _ => Column::Routes,
    }
}
