//! The users: made up, or as they are. No list of them is kept.

use super::SimulateArgs;
use bluegreen::core::identity::CookieId;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

/// The longest identity that is read. No header and no cookie is longer.
const LONGEST: u64 = 64 * 1024;

/// Shows `take` the identity of each user.
pub(super) fn each(args: &SimulateArgs, mut take: impl FnMut(&[u8])) -> Result<u64, String> {
    let Some(name) = &args.ids else {
        for number in 0..args.users {
            take(&CookieId::mint(random(number)));
        }
        return Ok(args.users);
    };
    let failed = |error: io::Error| format!("{name}: {error}");
    let mut input: Box<dyn BufRead> = match &**name {
        "-" => Box::new(io::stdin().lock()),
        path => Box::new(BufReader::new(File::open(path).map_err(failed)?)),
    };
    let mut line = Vec::new();
    let mut count = 0;
    loop {
        line.clear();
        let mut limited = (&mut *input).take(LONGEST);
        if limited.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            return Ok(count);
        }
        let identity = line.strip_suffix(b"\n").unwrap_or(&line);
        let identity = identity.strip_suffix(b"\r").unwrap_or(identity);
        if identity.len() == line.len() && u64::try_from(line.len()) == Ok(LONGEST) {
            return Err(format!(
                "{name}: line {} is longer than {LONGEST} bytes",
                count + 1
            ));
        }
        if !identity.is_empty() {
            take(identity);
            count += 1;
        }
    }
}

/// Returns a number that looks random, always the same for the same one: `SplitMix64`
/// (Steele, Lea and Flood, 2014).
fn random(number: u64) -> u64 {
    let mut z = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
