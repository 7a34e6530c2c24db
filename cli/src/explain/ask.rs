//! Sends the request that was explained, by curl, and compares.
//!
//! curl and no library of our own: it is the very command that people would send, with
//! their certificates, proxies and names of hosts.

use super::curl::ExplainArgs;
use super::envoy::Picked;
use super::proxy::Request;
use super::text as header;
use crate::mesh::{Headers, values};
use crate::screen::{GREEN, RED, shown, styled};
use bluegreen::core::config::{Config, IdentityCookie};
use std::fmt::Write as _;
use std::process::Command;

/// Sends the request; returns the headers of the answer.
pub(super) fn ask(args: &ExplainArgs) -> Result<Headers, String> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "30"]);
    curl.args(["--output", "-", "--dump-header", "-"]);
    curl.args(arguments(args)).arg("--").arg(&args.url);
    // The body is not looked at.
    let output = curl.output().map_err(|error| {
        format!("--ask sends the request by curl, which does not run here: {error}")
    })?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(why.trim().to_owned());
    }
    Ok(answer(&output.stdout))
}

/// Returns the arguments that the request has of curl.
fn arguments(args: &ExplainArgs) -> Vec<String> {
    let mut all = Vec::new();
    let several = [
        ("--header", &args.headers),
        ("--cookie", &args.cookies),
        ("--data", &args.data),
        ("--resolve", &args.resolve),
        ("--connect-to", &args.connect_to),
    ];
    for (flag, values) in several {
        for value in values {
            all.extend([flag.to_owned(), value.clone()]);
        }
    }
    let once = [
        ("--request", &args.method),
        ("--user-agent", &args.user_agent),
        ("--cacert", &args.cacert),
    ];
    for (flag, value) in once {
        if let Some(value) = value {
            all.extend([flag.to_owned(), value.clone()]);
        }
    }
    for (flag, is_set) in [("--head", args.head), ("--insecure", args.insecure)] {
        if is_set {
            all.push(flag.to_owned());
        }
    }
    all
}

/// Returns the headers of the last answer that curl printed: before it there may be some
/// of status 1xx.
fn answer(output: &[u8]) -> Headers {
    let mut headers = Headers::new();
    for line in output.split(|&b| b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            if header(&headers, ":status").is_some_and(|status| !status.starts_with('1')) {
                break;
            }
            headers.clear();
        } else if let Some(rest) = line.strip_prefix(b"HTTP/") {
            let status = rest.split(|&b| b == b' ').nth(1).unwrap_or_default();
            headers.push((":status".to_owned(), status.to_vec()));
        } else if let Some(at) = line.iter().position(|&b| b == b':') {
            let (name, value) = line.split_at(at);
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            let value = value.strip_prefix(b":").unwrap_or(value).trim_ascii();
            headers.push((name, value.to_vec()));
        }
    }
    headers
}

/// Returns the number that the identity of a new user was made of, by the cookie in the
/// answer.
pub(super) fn minted(answer: &Headers, config: &Config) -> Option<u64> {
    let Some(IdentityCookie::Minted(cookie)) = &config.mesh.identity.cookie else {
        return None;
    };
    let prefix = format!("{}=", cookie.name());
    values(answer, "set-cookie").find_map(|line| {
        let value = line.strip_prefix(prefix.as_bytes())?;
        let value = value.split(|&b| b == b';').next()?;
        u64::from_str_radix(std::str::from_utf8(value).ok()?, 16).ok()
    })
}

/// A header that is not what was explained.
pub(super) struct Difference {
    name: String,
    explained: Option<String>,
    answered: Option<String>,
}

/// Returns what of the answer is not as explained: the tag, unless chance decides, and
/// what a tester is told.
pub(super) fn differences(
    sent: &Request<'_>,
    response: &Headers,
    answer: &Headers,
    config: &Config,
) -> Vec<Difference> {
    let settings = config.settings(sent.settings);
    let mut names = vec![settings.pin_header()];
    if !matches!(sent.picked, Picked::Chance(_)) {
        names.insert(0, &settings.tag.header);
    }
    let all = names.into_iter().map(|name| Difference {
        name: name.to_owned(),
        explained: header(response, name),
        answered: header(answer, name),
    });
    all.filter(|each| each.explained != each.answered).collect()
}

/// Returns the differences in words.
pub(super) fn text(differences: &[Difference], answer: &Headers, is_json: bool) -> String {
    let mut text = String::new();
    if is_json {
        return text;
    }
    let status = header(answer, ":status").unwrap_or_default();
    if differences.is_empty() {
        let mark = styled(GREEN, "✔");
        let _ = writeln!(text, "{:<10}  {mark} {status}, as explained", "asked");
    }
    for each in differences {
        let value = |value: &Option<String>| {
            let value = value.as_deref().map(|value| shown(value.as_bytes()));
            value.unwrap_or_else(|| "none".to_owned())
        };
        let mark = styled(RED, "✘");
        let _ = writeln!(
            text,
            "{:<10}  {mark} {status}, {}: {}, and not {}",
            "asked",
            each.name,
            value(&each.answered),
            value(&each.explained)
        );
    }
    text
}
