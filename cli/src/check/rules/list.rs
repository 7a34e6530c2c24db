//! All rules.

#![allow(clippy::doc_markdown, reason = "people read these sentences")]

use crate::check::finding::{Level, Rule};

macro_rules! rules {
    ($($name:ident, $id:literal, $level:ident, $is_policys:literal, $about:literal;)*) => {
        $(
            #[doc = $about]
            pub(crate) const $name: Rule = Rule {
                id: $id,
                level: Level::$level,
                about: $about,
                is_policys: $is_policys,
            };
        )*
        /// All rules, in the order of the page.
        pub(crate) const RULES: &[&Rule] = &[$(&$name),*];
    };
}

rules! {
    YAML, "yaml", Error, false, "A document is YAML.";
    PLUGIN_CONFIG, "plugin-config", Error, false, "The filter takes the `pluginConfig`.";
    PLUGIN_NAME, "plugin-name", Error, false, "The EnvoyFilter knows the plugin by its name.";
    PLUGIN_MATCH, "plugin-match", Error, false, "The plugin runs on the side of its role.";
    PLUGIN_FAIL, "plugin-fail-strategy", Error, false, "Without the module requests are served.";
    PLUGIN_TWICE, "plugin-twice", Error, false, "The filter runs once on a request.";
    PLUGIN_PHASE, "plugin-phase", Warning, false, "The filter runs behind authentication.";
    PLUGIN_PRIORITY, "plugin-priority", Warning, false, "The filter runs behind all other plugins.";
    PLUGIN_TAG, "plugin-url-tag", Note, false, "The image is known by its digest.";
    FILTER_NAMESPACE, "filter-namespace", Error, false, "The EnvoyFilter is for the plugin of this namespace.";
    FILTER_HEADERS, "filter-headers", Error, false, "The EnvoyFilter and the plugin name the same headers.";
    SINGLE, "single-destination", Error, true, "A weighted route lists two versions or more.";
    MATCH_NAME, "match-name", Error, true, "No `match` entry has a name of its own.";
    NAME_TWICE, "name-twice", Error, true, "Each route has a name of its own.";
    PIN_UNNAMED, "pin-unnamed", Error, true, "A route that matches the pin header is named as a pin route.";
    PIN_BELOW, "pin-below", Error, true, "Pin routes stand above the weighted ones.";
    COPY, "copy", Error, true, "A copy of a weighted route takes part, too.";
    UNKNOWN_NAME, "unknown-name", Warning, true, "A name that begins with `bluegreen` is one of ours.";
    ORDER, "order", Warning, true, "The order of the versions stays (with --before).";
    SUM, "sum", Warning, true, "The sum of the weights stays (with --before).";
    PAST, "past", Warning, true, "Weight moves between neighbours (with --before).";
    UNEQUAL, "unequal-weights", Warning, true, "Weighted routes of one object have the same weights.";
    PIN_DIFFERS, "pin-differs", Warning, true, "A pin route repeats what the weighted one says.";
    PIN_OPEN, "pin-open", Warning, true, "A pin route takes pinned requests alone.";
    CLAIM, "claim", Warning, true, "A route for a token's claim has one without beside it.";
    MARKED_NAME, "marked-name", Error, true, "A rule of an HTTPRoute has no name of a VirtualService's routes.";
    BACKEND_UNFIT, "backend-unfit", Error, true, "A backend is a version, by its name.";
    NAME_WEIGHTS, "name-weights", Error, true, "The name of a rule states its weights.";
    NAME_MISSING, "name-missing", Error, true, "What is labelled `bluegreen: sticky` is named after its weights.";
    RULE_TWICE, "rule-twice", Warning, true, "Each rule has a name of its own.";
    VERSIONS_WITH_WEIGHTS, "versions-beside-weights", Warning, true, "Version rules are in a route of their own.";
    ASTRAY, "version-astray", Warning, true, "A version rule leads to the backend of its value.";
    SUBSET_MISSING, "subset-missing", Error, false, "A DestinationRule has each subset.";
    PIN_NO_VERSION, "pin-no-version", Warning, false, "A pin leads to a version that the weighted route has.";
    PIN_ANSWERS, "pin-answers", Warning, false, "A pin's version answers to its value.";
    PIN_MISSES, "pin-misses", Warning, false, "Pins take the paths of all weighted routes.";
    DELEGATE, "delegate", Error, false, "Who gets a weighted route lists two versions or more.";
    DELEGATE_NAME, "delegate-name", Warning, false, "Who gets a route of ours gives it no other name.";
    HOST_WEIGHTS, "host-weights", Warning, false, "Two VirtualServices of one host have the same weights.";
    VERSION_RULE, "version-rule-missing", Warning, false, "Each backend of a named rule has a version rule.";
    ARGO_SUBSETS, "argo-subsets", Error, false, "Argo Rollouts deletes the subsets that are not its own.";
    ARGO_ROUTES, "argo-routes", Error, false, "Argo Rollouts moves the weights of the routes that it is told.";
    ARGO_MANAGED, "argo-managed-name", Warning, false, "A route that Argo Rollouts adds takes part, too.";
    FLAGGER_DELEGATION, "flagger-delegation", Warning, false, "Flagger gives its routes no names.";
    FLAGGER_MATCH, "flagger-match", Error, false, "Flagger's A/B route has one destination.";
    FLAGGER_STEPS, "flagger-steps", Warning, false, "Flagger's steps end with all users.";
    FLAGGER_AFFINITY, "flagger-affinity", Warning, false, "Flagger keeps users by a cookie of its own.";
}
