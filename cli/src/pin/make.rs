//! `bluegreen pin make`: a token for hosts and versions.

use super::{check, why};
use crate::files::File;
use crate::signatures::{Machine, PrivateKey};
use crate::{End, screen};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use bluegreen::core::pin::PinRequest;
use bluegreen::core::signed_pin::Verifier as _;
use clap::Args;
use serde_json::{Value, json};

/// The arguments of `pin make`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bluegreen pin make --key ci.pem shop.example=green --for 1h")]
pub(super) struct MakeArgs {
    /// What it pins: hosts or rollouts of the pluginConfig, each with a version
    #[arg(required = true, value_name = "HOST=VERSION")]
    pins: Vec<String>,
    /// The private key, in PEM: P-256, or RSA of 2048 to 4096 bits
    #[arg(short, long, value_name = "FILE")]
    key: String,
    /// How long it counts, as in 90s, 30m, 1h or 2d
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = seconds)]
    lifetime: u64,
    /// Whom it is for: it stands in access logs
    #[arg(short, long)]
    subject: Option<String>,
    /// Its own name (jti), by which it can be revoked
    #[arg(long)]
    id: Option<String>,
    /// The kid of the key, where the pluginConfig names one
    #[arg(long)]
    kid: Option<String>,
    /// When it is made, in seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
}

/// The longest life that the pluginConfig allows to any key.
const MOST_SECONDS: u64 = 30 * 86_400;

fn seconds(text: &str) -> Result<u64, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let of = |(unit, factor): (char, u64)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(factor)
    };
    units
        .into_iter()
        .find_map(of)
        .filter(|seconds| (1..=MOST_SECONDS).contains(seconds))
        .ok_or_else(|| "is no time from 1s to 30d, as in 90s, 30m, 1h or 2d".to_owned())
}

fn add(object: &mut Value, name: &str, value: Option<&String>) {
    if let (Value::Object(object), Some(value)) = (object, value) {
        object.insert(name.to_owned(), json!(value));
    }
}

/// Makes a token, and prints it.
pub(super) fn run(args: &MakeArgs) -> Result<End, String> {
    let key = PrivateKey::of_pem(&File::read(&args.key)?.text)
        .map_err(|why| format!("{}: {why}", args.key))?;
    let public = key.public().map_err(|why| format!("{}: {why}", args.key))?;
    let mut hosts = Vec::new();
    let mut audiences = Vec::new();
    for pin in &args.pins {
        let (host, version) = pin
            .split_once('=')
            .filter(|(host, _)| !host.is_empty())
            .ok_or_else(|| format!("{pin}: is not HOST=VERSION"))?;
        if !matches!(PinRequest::of(version.as_bytes()), PinRequest::Version(_)) {
            return Err(format!("{pin}: \"{version}\" is no version's name"));
        }
        hosts.push(host);
        audiences.push(json!(format!("bluegreen:{host}:{version}")));
    }
    let machine = Machine { now: args.at };
    let now = machine.seconds();
    let mut header = json!({"alg": key.algorithm(), "typ": "JWT"});
    let audience = match &*audiences {
        [only] => only.clone(),
        _ => Value::Array(audiences),
    };
    let mut claims = json!({"aud": audience, "iat": now, "exp": now.saturating_add(args.lifetime)});
    add(&mut header, "kid", args.kid.as_ref());
    add(&mut claims, "jti", args.id.as_ref());
    add(&mut claims, "sub", args.subject.as_ref());
    let part = |bytes: &[u8]| Base64UrlUnpadded::encode_string(bytes);
    let message = [header, claims].map(|json| part(json.to_string().as_bytes()));
    let message = message.join(".");
    let token = format!("{message}.{}", part(&key.sign(message.as_bytes())));
    // No gateway is to say later what is known now.
    for (host, pin) in hosts.iter().zip(&args.pins) {
        check(&token, host, public.clone(), machine)
            .map_err(|reason| format!("{pin}: no gateway would take it: {}", why(reason)))?;
    }
    screen::out(&format!("{token}\n"));
    Ok(End::Good)
}
