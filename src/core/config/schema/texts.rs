//! What people read of each field in their editor: plain sentences, for editors show
//! marks of Markdown as they are.

use crate::core::config::check::Schema;
use crate::core::config::tree::Tree;

/// The texts of one field.
pub(super) struct Text {
    /// The field. `cookie.path` is one of every cookie.
    path: &'static str,
    title: &'static str,
    description: &'static str,
    /// Good values, as JSON.
    examples: &'static [&'static str],
}

/// Returns the texts of the field at `path`; the whole configuration's at an empty one.
pub(super) fn of(path: &str) -> Option<&'static Text> {
    let at = |path: &str| TEXTS.iter().find(|text| text.path == path);
    at(path).or_else(|| {
        let of_any = path.rsplit('.').nth(1)?;
        at(&format!("{of_any}.{}", path.rsplit('.').next()?))
    })
}

impl Text {
    /// Title and description, which says in words what is allowed.
    pub(super) fn keywords(&self, allowed: Option<&str>) -> Schema {
        let allowed = allowed.map(|words| format!(" Allowed: {words}."));
        let description = self.description.to_owned() + &allowed.unwrap_or_default();
        vec![
            ("title".to_owned(), self.title.into()),
            ("description".to_owned(), Tree::Text(description)),
        ]
    }

    /// The good values. One that is not JSON is left out.
    pub(super) fn examples(&self) -> Tree {
        let values = self.examples.iter();
        let values = values.filter_map(|json| serde_json::from_str(json).ok());
        Tree::List(values.collect())
    }
}

/// All texts, in the order of the fields.
const TEXTS: &[Text] = &[
    Text {
        path: "",
        title: "Configuration of bluegreen",
        description: "The pluginConfig of the plugins bluegreen-outbound and bluegreen-server. \
                      Everything has a default: an empty or absent one is a good one.",
        examples: &[
            r#"{"role": "outbound"}"#,
            r#"{"role": "outbound", "identity": {"header": "x-user-id", "first": "cookie"}}"#,
            r#"{"role": "outbound", "pin": {"query": "version-pin"}, "rollouts": {"shop": {"hosts": ["shop.example", "*.shop.example"], "tag": {"when": "pinned"}}}}"#,
        ],
    },
    Text {
        path: "role",
        title: "What the filter is in this proxy",
        description: "gateway: the edge, whose callers are strangers; it mints identities and \
                      sets cookies. client: a sidecar's outbound side or a waypoint, whose \
                      callers are workloads. server: a sidecar's inbound side, which says the \
                      pod's own version. outbound: client in a sidecar or a waypoint, gateway \
                      elsewhere; it is what the shipped plugin says. auto: like outbound, but \
                      server on a sidecar's inbound listener.",
        examples: &[r#""outbound""#],
    },
    Text {
        path: "routes",
        title: "How a route takes part",
        description: "marked: the EnvoyFilter switches the filter on for routes of its names, \
                      and Envoy picks by the bucket. named: the filter is on for the whole \
                      proxy, reads the weights from the route's name, \
                      bluegreen.BACKEND-WEIGHT.BACKEND-WEIGHT, and picks itself; for gateways \
                      of the Gateway API and waypoints.",
        examples: &[r#""named""#],
    },
    Text {
        path: "bucketHeader",
        title: "Bucket header",
        description: "The request header that carries the user's bucket to Envoy, which picks \
                      the version by it. It stands in the EnvoyFilter, too (header_name): \
                      change both.",
        examples: &[r#""x-bluegreen-bucket""#],
    },
    Text {
        path: "routeHeader",
        title: "Route header",
        description: "The response header in which Envoy tells the filter which way the request \
                      went. It never leaves a proxy. It stands in the EnvoyFilter, too: change \
                      both.",
        examples: &[r#""x-bluegreen-route""#],
    },
    Text {
        path: "baggage",
        title: "The same version down the chain",
        description: "Members of the request header baggage, which applications with an \
                      OpenTelemetry agent pass on by themselves: gateways write them, clients \
                      read and write them. null: off. Before you set it, apply \
                      envoyfilter/baggage/, which removes strangers' members at gateways.",
        examples: &["{}", r#"{"bucket": null}"#, "null"],
    },
    Text {
        path: "baggage.pin",
        title: "Key of the pin",
        description: "The key of the member that carries a pin. null: none does.",
        examples: &[r#""bluegreen-pin""#, "null"],
    },
    Text {
        path: "baggage.bucket",
        title: "Key of the bucket",
        description: "The key of the member that carries a bucket. null: none does.",
        examples: &[r#""bluegreen-bucket""#, "null"],
    },
    Text {
        path: "identity",
        title: "Who a user is",
        description: "The header, if it is configured, there and not empty; else the cookie; \
                      else, at a gateway, a new random number, which becomes the cookie.",
        examples: &[
            r#"{"header": "x-user-id", "first": "cookie"}"#,
            r#"{"cookie": {"name": "JSESSIONID", "mint": false}}"#,
        ],
    },
    Text {
        path: "identity.header",
        title: "Identity header",
        description: "A request header that names the user, or null. Its whole value counts. \
                      For those who send it no cookie is minted. It is only read, so it may be \
                      any but cookie.",
        examples: &[r#""x-user-id""#, r#""x-envoy-external-address""#],
    },
    Text {
        path: "identity.cookie",
        title: "Identity cookie",
        description: "The cookie whose value is the identity. null turns it off.",
        examples: &[
            r#"{"domain": "shop.example"}"#,
            r#"{"name": "JSESSIONID", "mint": false}"#,
            "null",
        ],
    },
    Text {
        path: "identity.cookie.mint",
        title: "Give new users a cookie",
        description: "true: a gateway gives each new user the cookie, a random number. false: \
                      the cookie is the application's own. Any value of it is the identity, and \
                      it is never written.",
        examples: &["false"],
    },
    Text {
        path: "cookie.name",
        title: "Name",
        description: "The cookie's name. Names that begin with __Secure- need secure: always; \
                      those that begin with __Host- need path: / and domain: \"\" as well. The \
                      two cookies need different names.",
        examples: &[r#""shop-user""#],
    },
    Text {
        path: "cookie.maxAgeSeconds",
        title: "Age in seconds",
        description: "How long browsers keep the cookie, from the day on which it was set: up to \
                      400 days, which is the most that browsers keep. 0: until the browser is \
                      closed.",
        examples: &["86400", "0"],
    },
    Text {
        path: "cookie.path",
        title: "Path",
        description: "The paths to which browsers send the cookie: this one and those below.",
        examples: &[r#""/""#, r#""/shop""#],
    },
    Text {
        path: "cookie.domain",
        title: "Domain",
        description: "The host that gets the cookie with all its subdomains. \"\": the host of \
                      the request alone.",
        examples: &[r#""shop.example""#],
    },
    Text {
        path: "cookie.secure",
        title: "Keep it from plain http",
        description: "auto: when the request came by https, which the first value of \
                      x-forwarded-proto says, else :scheme.",
        examples: &[r#""always""#],
    },
    Text {
        path: "cookie.httpOnly",
        title: "Keep it from scripts",
        description: "Whether scripts of a page are kept from reading the cookie.",
        examples: &["false"],
    },
    Text {
        path: "cookie.sameSite",
        title: "Send it with requests from other sites",
        description: "Lax: when somebody follows a link. Strict: never. None: always; it needs \
                      secure: always.",
        examples: &[r#""Strict""#],
    },
    Text {
        path: "cookie.partitioned",
        title: "One for each embedding site",
        description: "Whether each site in which a page is embedded has a cookie of its own. \
                      true needs secure: always.",
        examples: &["true"],
    },
    Text {
        path: "identity.first",
        title: "Which identity counts",
        description: "Which one counts when header and cookie are both there. With cookie a \
                      login or logout moves nobody.",
        examples: &[r#""cookie""#],
    },
    Text {
        path: "pin",
        title: "How a tester chooses a version",
        description: "By the header, else the query parameter, else the cookie. null turns pins \
                      off; a gateway then removes x-version-pin from requests.",
        examples: &[r#"{"query": "version-pin"}"#, "null"],
    },
    Text {
        path: "pin.header",
        title: "Pin header",
        description: "In requests the version that is asked for; in responses what became of a \
                      pin that did not hold. It stands in the routes and in admission.yaml, too.",
        examples: &[r#""x-version-pin""#],
    },
    Text {
        path: "pin.query",
        title: "Pin parameter",
        description: "The query parameter that pins a browser, or null. With one, a link can pin \
                      somebody else's browser.",
        examples: &[r#""version-pin""#],
    },
    Text {
        path: "pin.cookie",
        title: "Pin cookie",
        description: "The cookie that remembers a pin by query; it is of no use without query. \
                      null: such a pin is not remembered.",
        examples: &[r#"{"maxAgeSeconds": 28800}"#, "null"],
    },
    Text {
        path: "pin.keys",
        title: "Who may pin",
        description: "The keys that sign pins, 1 to 8. A gateway then takes no name of a version, \
                      only tokens (JWT) that one of them has signed. null: everybody may pin, by \
                      a version's name.",
        examples: &["null"],
    },
    Text {
        path: "pin.keys.name",
        title: "Name",
        description: "The operator's word for the key. It stands in access logs, before the \
                      subject of a token: ci/ada@shop.example.",
        examples: &[r#""ci""#],
    },
    Text {
        path: "pin.keys.kid",
        title: "Key id",
        description: "The only kid that tokens of this key have. Absent: any token of the key's \
                      algorithm is tried.",
        examples: &[r#""ci-2026-11""#],
    },
    Text {
        path: "pin.keys.publicKey",
        title: "Public key",
        description: "It says the algorithm, too: ES256 for P-256, RS256 for RSA.",
        examples: &[
            r#""-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n-----END PUBLIC KEY-----\n""#,
        ],
    },
    Text {
        path: "pin.keys.rollouts",
        title: "What it may pin",
        description: "Rollouts of this configuration by their names, and hosts. Absent: all.",
        examples: &[r#"["shop.example", "shop"]"#],
    },
    Text {
        path: "pin.keys.subjects",
        title: "Whom it may pin for",
        description: "The only subjects (sub) that its tokens have. A must for the key of a \
                      cluster, which signs tokens for every pod. Absent: any, or none.",
        examples: &[r#"["system:serviceaccount:pins:tester"]"#],
    },
    Text {
        path: "pin.keys.maxSeconds",
        title: "The longest life of a token",
        description: "The most seconds from iat to exp of its tokens, at most 30 days.",
        examples: &["3600"],
    },
    Text {
        path: "pin.revoked",
        title: "Tokens that no longer count",
        description: "Their jti, until they end by themselves. Of no use without keys.",
        examples: &[r#"["0c5a2b1e-8a53-4b1c-9a84-3b0b5a1f6f0d"]"#],
    },
    Text {
        path: "tag",
        title: "How responses tell the version",
        description: "The response header that says which version served it.",
        examples: &[r#"{"when": "pinned"}"#],
    },
    Text {
        path: "tag.header",
        title: "Tag header",
        description: "The response header with the version.",
        examples: &[r#""x-served-version""#],
    },
    Text {
        path: "tag.when",
        title: "On which responses",
        description: "always: on every response that a version answered. pinned: on those to \
                      pinned requests. never: on none. It holds for gateways and clients; a \
                      server always sets it.",
        examples: &[r#""pinned""#],
    },
    Text {
        path: "tag.label",
        title: "Label of the pod",
        description: "The pod's label that a server tells as its version.",
        examples: &[r#""version""#, r#""app.kubernetes.io/version""#],
    },
    Text {
        path: "rollouts",
        title: "Other settings for some hosts",
        description: "By a name of your own: letters, digits, '-', '_' and '.', 1 to 253. Of \
                      several that fit a request, the one with the most exact host counts, then \
                      the one with the longest path prefix. It makes no route take part.",
        examples: &[r#"{"shop": {"hosts": ["shop.example", "*.shop.example"], "salt": "shop"}}"#],
    },
    Text {
        path: "rollouts.NAME",
        title: "Settings for the routes of some hosts",
        description: "What it does not say is that of all. No two of them may have the same host \
                      and path prefix.",
        examples: &[],
    },
    Text {
        path: "rollouts.NAME.hosts",
        title: "Hosts",
        description: "The hosts of the requests, in any case and without a port. *. stands for \
                      one or more labels.",
        examples: &[
            r#"["shop.example", "*.shop.example"]"#,
            r#"["[2001:db8::1]"]"#,
        ],
    },
    Text {
        path: "rollouts.NAME.pathPrefixes",
        title: "Path prefixes",
        description: "Plain prefixes of the path without its query. Absent: every path.",
        examples: &[r#"["/checkout"]"#],
    },
    Text {
        path: "rollouts.NAME.salt",
        title: "Salt",
        description: "What users are dealt by, beside their identity. A new salt deals them anew; \
                      hosts with one salt deal them alike. Absent: the request's host.",
        examples: &[r#""shop-2026-12""#],
    },
    Text {
        path: "rollouts.NAME.identity",
        title: "Who a user is",
        description: "In the place of the identity of all, as a whole.",
        examples: &[r#"{"cookie": {"domain": "shop.example"}}"#],
    },
    Text {
        path: "rollouts.NAME.pin",
        title: "How a tester chooses a version",
        description: "In the place of the pin of all, as a whole. null turns pins off.",
        examples: &["null"],
    },
    Text {
        path: "rollouts.NAME.tag",
        title: "How responses tell the version",
        description: "In the place of the tag of all, as a whole.",
        examples: &[r#"{"when": "never"}"#],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_one_of_a_field() {
        let schema = super::super::plugin_config().unwrap();
        for text in TEXTS {
            for words in [text.title, text.description] {
                // Behind the description may follow what is allowed.
                let quoted = serde_json::to_string(words).unwrap();
                let begin = quoted.trim_end_matches('"');
                assert!(schema.contains(begin), "{}: {words}", text.path);
            }
        }
    }

    #[test]
    fn each_example_is_json() {
        for text in TEXTS {
            let Tree::List(examples) = text.examples() else {
                panic!("no list");
            };
            assert_eq!(examples.len(), text.examples.len(), "{}", text.path);
        }
    }
}
