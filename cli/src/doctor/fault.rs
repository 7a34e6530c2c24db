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
    /// What mends it: commands and sentences, a line each, with the words of [`Names`].
    pub(super) mend: &'static str,
}

/// What stands for the words in capitals of `mend`.
#[derive(Debug, Default, Clone)]
pub(super) struct Names {
    /// `NAMESPACE`: of the first one that has it.
    pub(super) namespace: String,
    /// `POD`: the first one that has it.
    pub(super) pod: String,
    /// `RESTART`: what kubectl does to start its workload anew.
    pub(super) restart: String,
    /// `PLUGIN`: the plugin with its namespace, as kubectl takes it.
    pub(super) plugin: String,
    /// `ROOT`: the root namespace of the mesh.
    pub(super) root: String,
}

impl Kind {
    /// Returns the fault of this kind that somebody has.
    pub(super) fn fault(&self, what: String, who: &str, names: &Names) -> Fault {
        let words = [
            ("NAMESPACE", &names.namespace),
            ("POD", &names.pod),
            ("RESTART", &names.restart),
            ("PLUGIN", &names.plugin),
            ("ROOT", &names.root),
        ];
        let mend = words
            .iter()
            .fold(self.mend.to_owned(), |mend, (word, name)| {
                mend.replace(word, name)
            });
        Fault {
            id: self.id,
            column: self.column,
            what,
            users: self.users.to_owned(),
            why: self.why.to_owned(),
            mend,
            who: vec![who.to_owned()],
            is_note: false,
        }
    }
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
        "istioctl proxy-status POD.NAMESPACE\n\
         kubectl -n ROOT logs -l app=istiod --tail=-1 | grep bluegreen\n\
         An EnvoyFilter may take it out:\n\
         kubectl get envoyfilter -A -o yaml | grep REMOVE";
    MODULE_PLACEHOLDER, "module-placeholder", Module,
        "The same as without the filter: no cookie, no tag, by chance.",
        "The agent could not fetch the module, and put a filter in its place that does \
         nothing. It tries again when the plugin changes.",
        "kubectl -n NAMESPACE logs POD -c istio-proxy | grep wasm\n\
         Mend `url` or `imagePullSecret` of the plugin, or the registry; then:\n\
         kubectl annotate PLUGIN --overwrite fetch=\"$(date)\"";
    MODULE_DIGEST, "module-digest", Module,
        "Some may be treated by rules of another version of the filter.",
        "The module that runs is not the one of the plugin's url, or not everywhere the same.",
        "Write the digest into `url` (oci://HOST/bluegreen@sha256:…), apply the plugin, and \
         for each of them:\n\
         kubectl -n NAMESPACE RESTART";
    CONFIG_WRONG, "config-wrong", Config,
        "The last good configuration stays in force, until the proxy starts anew: then the \
         filter is inert, and requests go by chance.",
        "The filter refused what `pluginConfig` says.",
        "bluegreen check --from-cluster\n\
         Correct the plugin, and apply it.";
    CONFIG_INERT, "config-inert", Config,
        "The same as without the filter: no cookie, no tag, by chance.",
        "The filter refused what `pluginConfig` says, and has had no good configuration since \
         the proxy started.",
        "bluegreen check --from-cluster\n\
         Correct the plugin, and apply it.";
    CONFIG_OLD, "config-old", Config,
        "What was changed last does not hold here.",
        "The proxy runs with another configuration than the plugin has now.",
        "istioctl proxy-status POD.NAMESPACE\n\
         If it stays, for each of them:\n\
         kubectl -n NAMESPACE RESTART";
    NO_FILTER, "no-envoyfilter", Routes,
        "Every request of the mesh pays for the filter, and users are dealt by chance.",
        "No EnvoyFilter switches the plugin on by the names of routes, and Envoy is not told \
         to pick by the bucket.",
        "kubectl apply -f envoyfilter/envoy-filter.yaml";
    FILTER_OFF, "filter-off", Routes,
        "On these routes there is no cookie and no tag, and nothing is counted.",
        "The EnvoyFilter does not switch the filter on here.",
        "kubectl apply -f envoyfilter/envoy-filter.yaml\n\
         Another EnvoyFilter may take its patches back:\n\
         kubectl get envoyfilter -A";
    FILTER_ELSEWHERE, "filter-elsewhere", Routes,
        "Requests that have nothing to do with a rollout pay for the filter.",
        "The filter runs on routes without a name of ours.",
        "kubectl apply -f envoyfilter/envoy-filter.yaml";
    ROUTE_HEADER, "route-header", Routes,
        "Responses have no tag and no cookie.",
        "Envoy does not write the route header, by which the filter knows a response.",
        "kubectl apply -f envoyfilter/envoy-filter.yaml\n\
         Its header is the `routeHeader` of the plugin.";
    ROUTE_MISSING, "route-missing", Routes,
        "404, or the routes of before.",
        "A VirtualService of this gateway is not in its route table.",
        "istioctl analyze -A\n\
         istioctl proxy-status POD.NAMESPACE";
    RETRY, "retry-refresh", Routes,
        "After a failure a user may be answered by the other version.",
        "`refresh_cluster_on_retry` has Envoy pick anew for each retry.",
        "Take it out of the EnvoyFilter that has it:\n\
         kubectl get envoyfilter -A -o yaml | grep refresh_cluster_on_retry";
    WAYPOINT, "waypoint", Routes,
        "Users are dealt by chance behind the waypoint, and pins hold by header alone.",
        "Istio applies no EnvoyFilter to a waypoint's routes.",
        "Name an HTTPRoute's rules after their weights: docs/gateway-api.md.";
    AGENTGATEWAY, "agentgateway", Routes,
        "Users are dealt by chance there, and pins hold by header alone.",
        "agentgateway runs no Wasm.",
        "Let a gateway of Istio with Envoy serve these routes.";
    BUCKET_HEADER, "bucket-header", Header,
        "Users flip between versions: Envoy rolls dice for each request.",
        "Envoy does not pick by the header in which the filter writes the bucket.",
        "kubectl apply -f envoyfilter/envoy-filter.yaml\n\
         Its `header_name` is the `bucketHeader` of the plugin. Another EnvoyFilter may have \
         taken its place:\n\
         kubectl get envoyfilter -A";
    WEIGHTS, "weights", Weights,
        "The weights of before still hold here.",
        "The proxy's route table is not what the VirtualService says now.",
        "istioctl proxy-status POD.NAMESPACE\n\
         If a table was refused, mend that first.";
    SERVED, "served", Weights,
        "Other users than the weights and buckets say get a version.",
        "Responses through the gateway are not what the routes of the cluster explain.",
        "For one of these requests:\n\
         bluegreen explain --from-cluster --ask -b COOKIE URL";
    REJECTED, "rejected", Xds,
        "The route table of before stays, frozen, for every application; proxies that start \
         now have none, and answer 404.",
        "Envoy refused what istiod sent. A weighted route with one destination does that.",
        "bluegreen check --from-cluster\n\
         Mend the object that it names.";
    NO_ISTIOD, "no-istiod", Xds,
        "What was applied since does not hold.",
        "No istiod has this proxy among those that it serves.",
        "kubectl -n ROOT get pods -l app=istiod\n\
         kubectl -n NAMESPACE logs POD -c istio-proxy";
    ISTIOD_MISSING, "istiod-missing", Xds,
        "Nothing yet. What is applied from now on does not hold, and proxies that start now \
         have no routes.",
        "No istiod runs in the root namespace, or none can be reached. One that runs \
         elsewhere is not asked: --allow istiod-missing.",
        "kubectl -n ROOT get pods -l app=istiod";
    TWICE, "twice", Once,
        "Cookies are set twice, and counters count twice.",
        "The filter runs more than once on a request.",
        "Delete all but one:\n\
         kubectl get wasmplugins,trafficextensions -A";
    STAT_TAGS, "stat-tags", Tags,
        "Users see nothing of it: dashboard and alerts find no series.",
        "The proxy started without the names of our labels, and shows counters under long \
         names.",
        "Tell the mesh their names, by envoyfilter/stat-tags/values.yaml; then \
         for each of them:\n\
         kubectl -n NAMESPACE RESTART";
    UNTRIED, "version", Version,
        "Perhaps nothing: nobody has tried it.",
        "The version is not one of docs/compatibility.md.",
        "Read docs/compatibility.md before you rely on it.";
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
