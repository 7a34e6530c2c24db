//! What a plugin's manifest says beside its configuration.

use super::list::{
    PLUGIN_FAIL, PLUGIN_MATCH, PLUGIN_NAME, PLUGIN_PHASE, PLUGIN_PRIORITY, PLUGIN_TAG, PLUGIN_TWICE,
};
use super::{Checker, Object, Said, listed};
use crate::plugin::{runs_filter, wasm};
use bluegreen::core::config::{self, Config, Routes};
use bluegreen::core::marked_routes::PLUGINS;
use bluegreen::core::role::{Role, Setting};

/// What the shipped plugins have, so that they run behind all others.
const PRIORITY: &str = "-2147483648";

/// How many plugins each one is compared with.
const MOST_COMPARED: usize = 100;

/// Returns whether a plugin runs the filter: by its name, or by its image's.
pub(super) fn is_ours(object: Object<'_>) -> bool {
    runs_filter(object.root)
}

/// Returns the configuration of a plugin, if it is good.
pub(super) fn config(object: Object<'_>) -> Option<Config> {
    let config = wasm(object.root)?.at(&["pluginConfig"]);
    let json = config.map_or_else(|| "{}".to_owned(), crate::yaml::Node::json);
    config::parse(json.as_bytes()).ok()
}

/// Looks at a plugin of ours.
pub(super) fn check(checker: &mut Checker<'_>, object: Object<'_>) {
    let (true, Some(wasm), Some(spec)) = (is_ours(object), wasm(object.root), object.spec()) else {
        return;
    };
    name_and_side(checker, object);
    let strategy = wasm.at(&["failStrategy"]);
    if strategy.and_then(crate::yaml::Node::text) != Some("FAIL_OPEN") {
        let said = Said {
            what: "requests fail without the module".to_owned(),
            write: "write `failStrategy: FAIL_OPEN`.".to_owned(),
            why: "With another one everybody gets 403 when the image cannot be pulled.".to_owned(),
        };
        let place = strategy.map_or_else(|| object.place(), |node| object.at(node));
        checker.find(&PLUGIN_FAIL, place, said);
    }
    let phase = spec.at(&["phase"]);
    let is_before = |phase: &&crate::yaml::Node| matches!(phase.text(), Some("AUTHN" | "AUTHZ"));
    if let Some(phase) = phase.filter(is_before) {
        let said = Said {
            what: "the filter runs before authentication or authorization".to_owned(),
            write: "remove `phase`.".to_owned(),
            why: "Else requests that these refuse get cookies, and the identity header may be a \
                  stranger's."
                .to_owned(),
        };
        checker.find(&PLUGIN_PHASE, object.at(phase), said);
    }
    let priority = spec.at(&["priority"]);
    // Istio takes one without a priority for the least.
    if priority.is_some_and(|priority| priority.json() != PRIORITY) {
        let said = Said {
            what: "the filter may run before other plugins".to_owned(),
            write: format!("write `priority: {PRIORITY}`."),
            why:
                "Of plugins without a phase greater priorities run first, and what one behind the \
                  filter changes of a request the filter has not seen."
                    .to_owned(),
        };
        let place = priority.map_or_else(|| object.place(), |node| object.at(node));
        checker.find(&PLUGIN_PRIORITY, place, said);
    }
    if let Some(url) = wasm.at(&["url"]) {
        let text = url.text().unwrap_or_default();
        if text.starts_with("oci://") && !text.contains("@sha256:") {
            let said = Said {
                what: "the image is known by its tag".to_owned(),
                write: "write the digest, oci://HOST/bluegreen@sha256:…, as `make push` prints it."
                    .to_owned(),
                why: "A tag may be pushed anew, and then proxies that start later run something \
                      else."
                    .to_owned(),
            };
            checker.find(&PLUGIN_TAG, object.at(url), said);
        }
    }
}

fn name_and_side(checker: &mut Checker<'_>, object: Object<'_>) {
    let (Some(config), Some(spec)) = (config(object), object.spec()) else {
        return;
    };
    let [outbound, server] = PLUGINS;
    let is_server = config.role == Setting::Fixed(Role::Server);
    let name = object.name();
    if config.routes == Routes::Named && PLUGINS.contains(&name) {
        let said = Said {
            what: format!("\"{name}\" is a name that envoy-filter.yaml switches off"),
            write: "give a plugin with `routes: named` another name, such as bluegreen-gateway."
                .to_owned(),
            why: "Under this one it runs on marked routes alone, and no HTTPRoute is one."
                .to_owned(),
        };
        checker.find(&PLUGIN_NAME, object.place(), said);
    } else if config.routes == Routes::Marked && !is_server && name != outbound {
        let said = Said {
            what: format!("the EnvoyFilter does not know a plugin \"{name}\""),
            write: format!("name it \"{outbound}\"."),
            why:
                "The EnvoyFilter switches the filter on and off by its name. Under another one it \
                  runs on every route of the mesh: all requests pay for it, and get its headers."
                    .to_owned(),
        };
        checker.find(&PLUGIN_NAME, object.place(), said);
    }
    // A Gateway or a waypoint, which have one side.
    let is_targeted = ["targetRefs", "targetRef"]
        .iter()
        .any(|key| spec.at(&[key]).is_some());
    let modes = spec.at(&["match"]);
    let modes = modes.map(crate::yaml::Node::items).unwrap_or_default();
    let wanted = if is_server { "SERVER" } else { "CLIENT" };
    let other = modes.iter().filter_map(|entry| entry.at(&["mode"]));
    let other = { other }.find(|mode| mode.text() != Some(wanted));
    let (Setting::Outbound | Setting::Fixed(_)) = config.role else {
        return;
    };
    let what = match (other, modes.is_empty()) {
        (Some(mode), _) => format!(
            "mode {} is not for the role of this plugin",
            mode.text().unwrap_or("of another kind")
        ),
        (None, true) if !is_targeted => "the plugin runs on both sides of a sidecar".to_owned(),
        (None, _) => return,
    };
    let said = Said {
        what,
        write: format!("write `match: [{{mode: {wanted}}}]`."),
        why: if is_server {
            format!("{server} is for the inbound side of sidecars, where a pod says its version.")
        } else {
            "The inbound side of a sidecar has no routes to pick from, and would pay for nothing."
                .to_owned()
        },
    };
    let place = other.map_or_else(|| object.place(), |mode| object.at(mode));
    checker.find(&PLUGIN_MATCH, place, said);
}

/// Looks for plugins that would run the filter twice on one request.
pub(super) fn twice(checker: &mut Checker<'_>) {
    let mut all: Vec<(Object<'_>, Config)> = Vec::new();
    for object in checker.objects.clone() {
        if let Some(config) = config(object).filter(|_| is_ours(object)) {
            all.push((object, config));
        }
    }
    for (at, (object, config)) in all.iter().enumerate() {
        let is_server = |config: &Config| config.role == Setting::Fixed(Role::Server);
        let first = all
            .iter()
            .take(at.min(MOST_COMPARED))
            .find(|(other, of_other)| {
                let alike =
                    is_server(config) == is_server(of_other) && config.routes == of_other.routes;
                // The same object, in another state, is one plugin.
                let is_same = other.kind() == object.kind()
                    && other.name() == object.name()
                    && other.is_beside(*object);
                alike && !is_same && overlap(*object, *other)
            });
        let Some((first, _)) = first else { continue };
        let said = Said {
            what: format!(
                "{} {} runs beside {}",
                object.kind(),
                listed([object.name()]),
                first.kind()
            ),
            write: "keep one of the two: the one for the whole mesh, or those of folders."
                .to_owned(),
            why: "Both hold for the same proxies, so each response is counted twice and gets two \
                  cookies."
                .to_owned(),
        };
        let also = (first.place(), "holds there, too".to_owned());
        let finding = checker.find(&PLUGIN_TWICE, object.place(), said);
        finding.also.push(also);
    }
}

/// Whether two plugins may hold for one proxy: one without a selector in the root namespace
/// holds for all, others for those that they select.
fn overlap(one: Object<'_>, other: Object<'_>) -> bool {
    let scope = |object: Object<'_>| {
        let spec = object.spec();
        let selects = ["selector", "targetRefs", "targetRef"];
        let selected = selects.iter().find_map(|key| spec?.at(&[key]));
        let namespace = object.namespace().unwrap_or_default().to_owned();
        (selected.map(crate::yaml::Node::json), namespace)
    };
    let ((one, of_one), (other, of_other)) = (scope(one), scope(other));
    let root = "istio-system";
    match (one, other) {
        (None, None) => of_one == of_other || of_one == root || of_other == root,
        (None, Some(_)) => of_one == root || of_one == of_other,
        (Some(_), None) => of_other == root || of_one == of_other,
        (Some(one), Some(other)) => one == other && of_one == of_other,
    }
}
