//! `bluegreen pin read`: what a token says.

use super::{check, why};
use crate::End;
use crate::files::File;
use crate::screen::{self, DIM, shown, styled};
use crate::signatures::Machine;
use base64ct::{Base64UrlUnpadded, Encoding as _};
use bluegreen::core::pin::PinRequest;
use bluegreen::core::signed_pin::{PublicKey, Verifier as _};
use clap::Args;
use serde_json::Value;
use std::fmt::Write as _;

/// The arguments of `pin read`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  bluegreen pin read --key ci.pub.pem - <token")]
pub(super) struct ReadArgs {
    /// The token; `-`: the standard input
    token: String,
    /// The public key that is to have signed it, in PEM
    #[arg(short, long, value_name = "FILE")]
    key: Option<String>,
    /// Ask as of this time, in seconds since 1970 [default: now]
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
}

/// Says what a token says, and with a key whether it counts.
pub(super) fn run(args: &ReadArgs) -> Result<End, String> {
    let text = match &*args.token {
        "-" => File::read("-")?.text,
        token => token.to_owned(),
    };
    let token = text.trim();
    let mut parts = token.split('.');
    let mut object = || -> Option<Value> {
        let part = Base64UrlUnpadded::decode_vec(parts.next()?).ok()?;
        serde_json::from_slice(&part).ok().filter(Value::is_object)
    };
    let (Some(header), Some(claims)) = (object(), object()) else {
        return Err("this is no token, which is three parts with a dot between them".to_owned());
    };
    let machine = Machine { now: args.at };
    let now = machine.seconds();
    let pins = audiences(member(&claims, "aud"));
    let first = pins.first().map_or("", |(host, _)| host);
    let mut lines = Vec::new();
    for (host, version) in &pins {
        lines.push(("pins", format!("{version} on {host}")));
    }
    if pins.is_empty() {
        let why = "nothing: no audience (aud) is bluegreen:HOST:VERSION";
        lines.push(("pins", why.to_owned()));
    }
    for (word, value) in [
        ("for", member(&claims, "sub")),
        ("id", member(&claims, "jti")),
    ] {
        if let Some(text) = value.as_str() {
            lines.push((word, shown(text.as_bytes())));
        }
    }
    lines.push(("made", time(member(&claims, "iat"))));
    if !member(&claims, "nbf").is_null() {
        lines.push(("from", time(member(&claims, "nbf"))));
    }
    let expires = member(&claims, "exp").as_u64();
    let is_over = expires.is_some_and(|expires| expires <= now);
    let left = expires.map(|expires| match expires.checked_sub(now) {
        Some(left) if left > 0 => format!(", in {}", duration(left)),
        _ => format!(": it ended {} ago", duration(now.saturating_sub(expires))),
    });
    let until = time(member(&claims, "exp"));
    lines.push(("until", format!("{until}{}", left.unwrap_or_default())));
    let word = |value: &Value| value.as_str().map(|text| shown(text.as_bytes()));
    let algorithm = word(member(&header, "alg")).unwrap_or_else(|| "no algorithm".to_owned());
    let kid = word(member(&header, "kid"));
    let kid = kid.map_or_else(|| "no kid".to_owned(), |kid| format!("kid {kid}"));
    lines.push(("signed", format!("by {algorithm}, {kid}")));
    let counts = match &args.key {
        None => {
            let text = "not looked at: there is no --key FILE".to_owned();
            lines.push(("counts", text));
            !is_over
        }
        Some(file) => {
            let key = PublicKey::of_pem(&File::read(file)?.text)
                .map_err(|found| format!("{file}: is {found}, and not {}", PublicKey::WORDS))?;
            let checked = check(token, first, key, machine);
            let text = match checked {
                Ok(()) => format!("yes: {file} has signed it"),
                Err(reason) => format!("no: {}", why(reason)),
            };
            lines.push(("counts", text));
            checked.is_ok()
        }
    };
    let mut text = String::new();
    for (word, what) in lines {
        let _ = writeln!(text, "{}  {what}", styled(DIM, &format!("{word:<6}")));
    }
    screen::out(&text);
    Ok(if counts { End::Good } else { End::Found })
}

/// Returns a member of an object.
fn member<'v>(object: &'v Value, name: &str) -> &'v Value {
    object.get(name).unwrap_or(&Value::Null)
}

/// Returns what an audience pins: hosts, and their versions.
fn audiences(audience: &Value) -> Vec<(String, String)> {
    let all = match audience {
        Value::Array(all) => all.as_slice(),
        one => std::slice::from_ref(one),
    };
    let pins = all.iter().filter_map(|one| {
        let (host, version) = one.as_str()?.strip_prefix("bluegreen:")?.rsplit_once(':')?;
        let is_version = matches!(PinRequest::of(version.as_bytes()), PinRequest::Version(_));
        is_version.then(|| (host.to_owned(), version.to_owned()))
    });
    pins.collect()
}

/// Returns a claim's time in words.
fn time(claim: &Value) -> String {
    claim
        .as_u64()
        .map_or_else(|| "not said in whole seconds".to_owned(), utc)
}

/// Returns seconds since 1970 as a date and a time.
fn utc(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Years begin in March here, so that the day that some lack is the last one. In 400
    // years there are 146,097 days.
    let days = days.saturating_add(719_468);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let year = year + era * 400 + later;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Returns a time in its largest whole unit.
fn duration(seconds: u64) -> String {
    let units = [(86_400, "day"), (3600, "hour"), (60, "minute")];
    let found = units.into_iter().find(|(unit, _)| seconds >= *unit);
    let (unit, word) = found.unwrap_or((1, "second"));
    let count = seconds / unit;
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {word}{s}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_a_date() {
        for (seconds, date) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_800_000_000, "2027-01-15 08:00:00 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(seconds), date);
        }
    }

    #[test]
    fn a_time_is_in_its_largest_unit() {
        let all = [1, 59, 60, 3599, 7200, 86_400].map(duration);
        let words = ["1 second", "59 seconds", "1 minute", "59 minutes"];
        assert_eq!(all[..4], words);
        assert_eq!(all[4..], ["2 hours", "1 day"]);
    }
}
