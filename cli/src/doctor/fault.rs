//! What may be wrong in a live mesh: what users see then, why, and what mends it.

/// What a column of the table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    /// The module is there, and the right one.
    Module,
    /// Its configuration is in force.
    Config,
    /// It runs on the named routes, and on no other.
    Routes,
    /// Envoy picks by the bucket header.
    Header,
    /// The weights are as written.
    Weights,
    /// The proxy takes what istiod says.
    Xds,
    /// The filter runs once.
    Once,
    /// Counters have labels.
    Tags,
    /// The versions are among those that were tried.
    Version,
}

impl Column {
    /// All columns with their heads, from left to right.
    pub(super) const ALL: [(Self, &'static str); 9] = [
        (Self::Module, "module"),
        (Self::Config, "config"),
        (Self::Routes, "routes"),
        (Self::Header, "header"),
        (Self::Weights, "weights"),
        (Self::Xds, "xds"),
        (Self::Once, "once"),
        (Self::Tags, "tags"),
        (Self::Version, "version"),
    ];

    /// Returns its head.
    pub(super) fn head(self) -> &'static str {
        let found = Self::ALL.iter().find(|(column, _)| *column == self);
        found.map_or("", |(_, head)| head)
    }
}

/// A kind of fault.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    /// Its name, as in `--allow`.
    pub(super) id: &'static str,
    /// Where its ✘ stands.
    pub(super) column: Column,
    /// What users see.
    pub(super) users: &'static str,
    /// Why it is so.
    pub(super) why: &'static str,
    /// What mends it. `NAMESPACE`, `POD`, `NAME` and `WORKLOAD` are those of the first one that has it.
    pub(super) mend: &'static str,
}

macro_rules! kinds {
    ($($name:ident, $id:literal, $column:ident, $users:literal, $why:literal, $mend:literal;)*) => {
        $(
            #[doc = concat!("`", $id, "`")]
            pub(super) const $name: Kind = Kind {
                id: $id,
                column: Column::$column,
                users: $users,
                why: $why,
                mend: $mend,
            };
        )*
        /// All kinds, in the order of the page.
        pub(super) const KINDS: &[&Kind] = &[$(&$name),*];
    };
}

kinds! {
    NO_PLUGIN, "no-plugin", Module,
        "Named routes deal by chance: no cookie, no tag, and pins are only what the routes say.",
        "No WasmPlugin and no TrafficExtension of this cluster runs the filter.",
        "kubectl apply -f envoyfilter/";
    UNREACHABLE, "unreachable", Module,
        "Not known: the proxy was not asked.",
        "Its admin interface does not answer by a port-forward.",
        "kubectl -n NAMESPACE get pod POD";
    MODULE_MISSING, "module-missing", Module,
        "No cookie and no tag at this proxy; Envoy picks by chance, or by a bucket that the \
         caller sends.",
        "The plugin holds for this pod, and its listeners do not have it.",
        "istioctl proxy-status POD.NAMESPACE; kubectl -n istio-system logs deployment/istiod | grep NAME";
    MODULE_PLACEHOLDER, "module-placeholder", Module,
        "The same as without the filter: no cookie, no tag, by chance.",
        "The agent could not fetch the module, and put a filter in its place that does \
         nothing. It does not try again by itself.",
        "kubectl -n NAMESPACE logs POD -c istio-proxy | grep -i wasm; mend `url` or \
         `imagePullSecret` of the plugin, or the registry; then \
         kubectl -n NAMESPACE rollout restart WORKLOAD";
    MODULE_DIGEST, "module-digest", Module,
        "Some may be treated by rules of another version of the filter.",
        "The module that runs is not the one of the plugin's url, or not everywhere the same.",
        "write the digest into `url` (oci://HOST/bluegreen@sha256:…), and \
         kubectl -n NAMESPACE rollout restart WORKLOAD";
    CONFIG_WRONG, "config-wrong", Config,
        "The last good configuration stays in force, until the proxy starts anew: then the \
         filter is inert, and requests go by chance.",
        "The filter refused what `pluginConfig` says.",
        "bluegreen check --from-cluster; then correct the plugin, and kubectl apply it";
    CONFIG_INERT, "config-inert", Config,
        "The same as without the filter: no cookie, no tag, by chance.",
        "The filter refused what `pluginConfig` says, and has had no good configuration since \
         the proxy started.",
        "bluegreen check --from-cluster; then correct the plugin, and kubectl apply it";
    CONFIG_OLD, "config-old", Config,
        "What was changed last does not hold here.",
        "The proxy runs with another configuration than the plugin has now.",
        "istioctl proxy-status POD.NAMESPACE; if it stays, kubectl -n NAMESPACE rollout restart WORKLOAD";
    NO_FILTER, "no-envoyfilter", Routes,
        "Every request of the mesh pays for the filter, and users are dealt by chance.",
        "No EnvoyFilter switches the plugin on by the names of routes, and Envoy is not told \
         to pick by the bucket.",
        "kubectl apply -f envoyfilter/envoy-filter.yaml";
    FILTER_OFF, "filter-off", Routes,
        "On these routes there is no cookie and no tag, and nothing is counted.",
        "The EnvoyFilter does not switch the filter on here.",
        "kubectl apply -f envoyfilter/envoy-filter.yaml; \
         kubectl get envoyfilter -A (another one may take its patches back)";
    FILTER_ELSEWHERE, "filter-elsewhere", Routes,
        "Requests that have nothing to do with a rollout pay for the filter.",
        "The filter runs on routes without a name of ours.",
        "kubectl apply -f envoyfilter/envoy-filter.yaml";
    ROUTE_HEADER, "route-header", Routes,
        "Responses have no tag and no cookie.",
        "Envoy does not write the route header, by which the filter knows a response.",
        "kubectl apply -f envoyfilter/envoy-filter.yaml (its header is the plugin's `routeHeader`)";
    ROUTE_MISSING, "route-missing", Routes,
        "404, or the routes of before.",
        "A VirtualService of this gateway is not in its route table.",
        "istioctl analyze -n NAMESPACE; istioctl proxy-status POD.NAMESPACE";
    RETRY, "retry-refresh", Routes,
        "After a failure a user may be answered by the other version.",
        "`refresh_cluster_on_retry` has Envoy pick anew for each retry.",
        "kubectl get envoyfilter -A -o yaml | grep refresh_cluster_on_retry; take it out";
    WAYPOINT, "waypoint", Routes,
        "Users are dealt by chance behind the waypoint, and pins hold by header alone.",
        "Istio applies no EnvoyFilter to a waypoint's routes.",
        "name the HTTPRoute's rules after their weights: docs/gateway-api.md";
    AGENTGATEWAY, "agentgateway", Routes,
        "Users are dealt by chance there, and pins hold by header alone.",
        "agentgateway runs no Wasm.",
        "let an Envoy gateway of Istio serve these routes";
    BUCKET_HEADER, "bucket-header", Header,
        "Users flip between versions: Envoy rolls dice for each request.",
        "Envoy does not pick by the header in which the filter writes the bucket.",
        "kubectl apply -f envoyfilter/envoy-filter.yaml (its `header_name` is the plugin's \
         `bucketHeader`)";
    WEIGHTS, "weights", Weights,
        "The weights of before still hold here.",
        "The proxy's route table is not what the VirtualService says now.",
        "istioctl proxy-status POD.NAMESPACE; if a table was refused, mend that first";
    SERVED, "served", Weights,
        "Other users than the weights and buckets say get a version.",
        "Responses through the gateway are not what the routes of the cluster explain.",
        "bluegreen explain --from-cluster --ask, for one of these requests";
    REJECTED, "rejected", Xds,
        "The route table of before stays, frozen, for every application; proxies that start \
         now have none, and answer 404.",
        "Envoy refused what istiod sent. A weighted route with one destination does that.",
        "bluegreen check --from-cluster; mend the object, and see \
         istioctl proxy-status POD.NAMESPACE";
    NO_ISTIOD, "no-istiod", Xds,
        "What was applied since does not hold.",
        "No istiod has this proxy among those that it serves.",
        "kubectl -n istio-system get pods -l app=istiod; kubectl -n NAMESPACE logs POD -c istio-proxy";
    TWICE, "twice", Once,
        "Cookies are set twice, and counters count twice.",
        "The filter runs more than once on a request.",
        "kubectl get wasmplugin,trafficextension -A; delete all but one";
    STAT_TAGS, "stat-tags", Tags,
        "Users see nothing of it: dashboard and alerts find no series.",
        "The proxy started without the names of our labels, and shows counters under long \
         names.",
        "apply envoyfilter/stat-tags/values.yaml, and kubectl -n NAMESPACE rollout restart WORKLOAD";
    UNTRIED, "version", Version,
        "Perhaps nothing: nobody has tried it.",
        "The version is not one of docs/compatibility.md.",
        "read docs/compatibility.md before you rely on it";
}

/// A fault, and who has it.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    /// The kind's name.
    pub(super) id: &'static str,
    pub(super) column: Column,
    /// What is wrong, with what.
    pub(super) what: String,
    pub(super) users: String,
    pub(super) why: String,
    pub(super) mend: String,
    /// Who has it: pods as in `NAMESPACE/POD`, or objects.
    pub(super) who: Vec<String>,
    /// Whether it is something to know, and no fault.
    pub(super) is_note: bool,
}

/// Adds a fault; one of the same words gets one more who has it.
pub(super) fn add(faults: &mut Vec<Fault>, fault: Fault) {
    let same = |other: &&mut Fault| other.id == fault.id && other.what == fault.what;
    match faults.iter_mut().find(same) {
        Some(found) => found.who.extend(fault.who),
        None => faults.push(fault),
    }
}
