//! A request as curl's arguments say it, so that one word makes the one of the other.

use crate::cluster::ClusterArgs;
use crate::mesh::{Facts, Headers, Side, Told, full_host};
use clap::Args;

/// The arguments of `explain`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "curl has as many flags")]
#[command(
    after_help = "Example:\n  bluegreen explain -r routes.yaml -H 'x-version-pin: green' http://shop.example/"
)]
pub struct ExplainArgs {
    /// The address that is asked for, as curl takes it
    pub url: String,
    /// The plugin, or its pluginConfig alone [default: what the shipped one says]
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<String>,
    /// The manifests with the routes
    #[arg(short, long, value_name = "FILE")]
    pub routes: Vec<String>,
    /// Take plugin and routes from the cluster, where no file says them
    #[arg(long)]
    pub from_cluster: bool,
    /// The request is a workload's of this namespace: its sidecar decides
    #[arg(long, value_name = "NAMESPACE")]
    pub caller: Option<String>,
    /// The request comes to this Service: its waypoint decides
    #[arg(long, value_name = "SERVICE.NAMESPACE", conflicts_with = "caller")]
    pub waypoint: Option<String>,
    /// A label of the caller's pod, for sourceLabels
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub caller_label: Vec<(String, String)>,
    /// A claim of the request's token; one without a value is not in it
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    pub claim: Vec<(String, String)>,
    /// A header of the application's answer; `none`: nobody answers
    #[arg(long, value_name = "HEADER")]
    pub answer: Vec<String>,
    /// Send the request, by curl, and compare
    #[arg(long)]
    pub ask: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,

    /// A header of the request
    #[arg(
        short = 'H',
        long = "header",
        value_name = "HEADER",
        help_heading = "As of curl"
    )]
    pub headers: Vec<String>,
    /// Cookies of the request, as in NAME=VALUE
    #[arg(
        short = 'b',
        long = "cookie",
        value_name = "COOKIES",
        help_heading = "As of curl"
    )]
    pub cookies: Vec<String>,
    /// The method of the request
    #[arg(
        short = 'X',
        long = "request",
        value_name = "METHOD",
        help_heading = "As of curl"
    )]
    pub method: Option<String>,
    /// Ask by HEAD
    #[arg(short = 'I', long, help_heading = "As of curl")]
    pub head: bool,
    /// A body, which makes it a POST
    #[arg(
        short = 'd',
        long = "data",
        value_name = "DATA",
        help_heading = "As of curl"
    )]
    pub data: Vec<String>,
    /// The header user-agent
    #[arg(short = 'A', long, value_name = "NAME", help_heading = "As of curl")]
    pub user_agent: Option<String>,
    /// For --ask: another address for a host and port
    #[arg(long, value_name = "HOST:PORT:ADDRESS", help_heading = "As of curl")]
    pub resolve: Vec<String>,
    /// For --ask: another host and port to connect to
    #[arg(
        long,
        value_name = "HOST1:PORT1:HOST2:PORT2",
        help_heading = "As of curl"
    )]
    pub connect_to: Vec<String>,
    /// For --ask: whatever the certificate
    #[arg(short = 'k', long, help_heading = "As of curl")]
    pub insecure: bool,
    /// For --ask: the certificates of authorities
    #[arg(long, value_name = "FILE", help_heading = "As of curl")]
    pub cacert: Option<String>,
    /// Changes nothing here
    #[arg(short = 's', long, hide = true)]
    pub silent: bool,
    /// Changes nothing here
    #[arg(short = 'S', long, hide = true)]
    pub show_error: bool,
    /// Changes nothing here
    #[arg(short = 'i', long, hide = true)]
    pub include: bool,
    /// Changes nothing here
    #[arg(short = 'v', long, hide = true)]
    pub verbose: bool,
    /// Changes nothing here
    #[arg(short = 'o', long, hide = true, value_name = "FILE")]
    pub output: Option<String>,
    /// Which cluster
    #[command(flatten)]
    pub cluster: ClusterArgs,
}

/// Returns the request as a gateway or a sidecar gets it.
///
/// # Errors
/// When the address or a header is none.
pub(super) fn request(args: &ExplainArgs) -> Result<Headers, String> {
    let (scheme, authority, path) = parts(&args.url)?;
    let method = args.method.as_deref().unwrap_or(if args.head {
        "HEAD"
    } else if args.data.is_empty() {
        "GET"
    } else {
        "POST"
    });
    let mut headers: Headers = [
        (":method", method),
        (":scheme", scheme),
        (":authority", authority),
        (":path", path),
        ("x-forwarded-proto", scheme),
    ]
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
    .into();
    for line in &args.headers {
        // As of curl: `name;` is a header without a value, and `name:` takes one out.
        if let Some(name) = line.strip_suffix(';').filter(|name| !name.contains(':')) {
            headers.push((name.to_ascii_lowercase(), Vec::new()));
            continue;
        }
        let (name, value) = field(line)?;
        if name == "host" {
            headers.retain(|(other, _)| other != ":authority");
            headers.push((":authority".to_owned(), value));
        } else if !value.is_empty() {
            headers.push((name, value));
        }
    }
    if !args.cookies.is_empty() {
        if let Some(file) = args.cookies.iter().find(|line| !line.contains('=')) {
            return Err(format!(
                "-b {file}: is not NAME=VALUE; files of cookies are not read"
            ));
        }
        let line = args.cookies.join("; ");
        headers.push(("cookie".to_owned(), line.into_bytes()));
    }
    if let Some(name) = &args.user_agent {
        headers.push(("user-agent".to_owned(), name.clone().into_bytes()));
    }
    Ok(headers)
}

/// Returns where the request is routed, and what is said of it.
///
/// # Errors
/// When the address or the Service is none.
pub(super) fn facts(args: &ExplainArgs) -> Result<Facts, String> {
    let side = match (&args.waypoint, &args.caller) {
        (Some(name), _) => waypoint(name)?,
        (None, Some(namespace)) => Side::Caller(namespace.clone()),
        (None, None) => Side::Gateway,
    };
    let (scheme, authority, _) = parts(&args.url)?;
    // The colons of an IPv6 address stand in brackets.
    let port = authority.rsplit_once(':').map(|(_, port)| port.parse());
    let default = if scheme == "https" { 443 } else { 80 };
    Ok(Facts {
        side,
        told: Told {
            port: Some(port.and_then(Result::ok).unwrap_or(default)),
            labels: args.caller_label.clone(),
            claims: args.claim.clone(),
        },
    })
}

fn waypoint(name: &str) -> Result<Side, String> {
    let mut labels = name.split('.');
    match (labels.next(), labels.next()) {
        (Some(service), Some(namespace)) if !service.is_empty() && !namespace.is_empty() => {
            Ok(Side::Waypoint {
                service: full_host(service, namespace),
                namespace: namespace.to_owned(),
            })
        }
        _ => Err(format!(
            "--waypoint {name}: is not SERVICE.NAMESPACE, as in shop.shop"
        )),
    }
}

/// Returns what stands before and behind the first `=`.
fn pair(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=');
    let (key, value) = pair.ok_or("there is no = between name and value")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// Returns what the application answers; `None`: nobody does.
///
/// # Errors
/// When a header is none.
pub(super) fn answer(args: &ExplainArgs) -> Result<Option<Headers>, String> {
    if args.answer.iter().any(|line| line == "none") {
        return Ok(None);
    }
    let mut headers = Headers::new();
    for line in &args.answer {
        headers.push(match line.strip_prefix(":status:") {
            Some(status) => (":status".to_owned(), status.trim().as_bytes().to_vec()),
            None => field(line)?,
        });
    }
    if !headers.iter().any(|(name, _)| name == ":status") {
        headers.insert(0, (":status".to_owned(), b"200".to_vec()));
    }
    // Envoy's router writes it on each response of an upstream.
    headers.push(("x-envoy-upstream-service-time".to_owned(), b"1".to_vec()));
    Ok(Some(headers))
}

fn field(line: &str) -> Result<(String, Vec<u8>), String> {
    let (name, value) = line
        .split_once(':')
        .ok_or_else(|| format!("{line}: is not a header, which is NAME: VALUE"))?;
    let name = name.trim().to_ascii_lowercase();
    Ok((name, value.trim().as_bytes().to_vec()))
}

/// Returns scheme, host with port, and path with query.
fn parts(url: &str) -> Result<(&str, &str, &str), String> {
    let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
    if !["http", "https"].contains(&scheme) {
        return Err(format!("{url}: {scheme} is not http or https"));
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = authority.rsplit('@').next().unwrap_or_default();
    if authority.is_empty() {
        return Err(format!("{url}: has no host"));
    }
    Ok((scheme, authority, if path.is_empty() { "/" } else { path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_parts() {
        for (url, expected) in [
            (
                "http://shop.example/a?b#c",
                ("http", "shop.example", "/a?b"),
            ),
            ("shop.example", ("http", "shop.example", "/")),
            (
                "https://me:it@shop.example:8443",
                ("https", "shop.example:8443", "/"),
            ),
            ("http://[::1]:80/", ("http", "[::1]:80", "/")),
        ] {
            assert_eq!(parts(url), Ok(expected));
        }
        assert_eq!(
            parts("ftp://a/"),
            Err("ftp://a/: ftp is not http or https".to_owned())
        );
        assert_eq!(parts("http:///a"), Err("http:///a: has no host".to_owned()));
    }
}
