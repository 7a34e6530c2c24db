//! `bluegreen pin`: makes signed pins, and reads them.

mod make;
mod read;

use crate::End;
use crate::signatures::Machine;
use bluegreen::core::host::of_authority;
use bluegreen::core::metrics::Reason;
use bluegreen::core::signed_pin::{Checker, Key, Known, Names, PublicKey, SignedPins};
use clap::{Args, Subcommand};
use make::MakeArgs;
use read::ReadArgs;
use std::cell::RefCell;
use std::rc::Rc;

/// The arguments of `pin`.
#[derive(Debug, Args)]
pub struct PinArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a signed pin with a private key
    Make(MakeArgs),
    /// Say what a signed pin says, and whether it counts
    Read(ReadArgs),
}

/// Makes or reads a pin.
///
/// # Errors
/// When a key cannot be used, or this is no pin.
pub fn run(args: &PinArgs) -> Result<End, String> {
    match &args.what {
        What::Make(args) => make::run(args),
        What::Read(args) => read::run(args),
    }
}

/// Returns why a pin does not count, by the word that a tester is told.
#[must_use]
pub fn why(reason: Reason) -> &'static str {
    match reason {
        Reason::PinUnsigned => "it is a plain name, and not signed",
        Reason::PinExpired => "it has ended",
        Reason::PinNotYet => "it has not begun",
        Reason::PinOtherRollout => "it is for other hosts",
        Reason::PinLifetime => "it lives longer than its key's maxSeconds",
        Reason::PinKey => "no key of its kid may pin this for its subject",
        Reason::PinSignature => "no key has signed it",
        Reason::PinRevoked => "it was taken back",
        _ => "it is no whole token, or of an algorithm of no key",
    }
}

/// Returns whether a token counts on a host where this is the only key; the reason, if not.
fn check(token: &str, host: &str, key: PublicKey, machine: Machine) -> Result<(), Reason> {
    let key = Key {
        name: "key".into(),
        kid: None,
        public: key,
        rollouts: None,
        subjects: None,
        max_seconds: u32::MAX,
    };
    let pins = Rc::new(SignedPins {
        keys: vec![key],
        revoked: Vec::new(),
    });
    let names = Names {
        host: &of_authority(host.as_bytes()),
        rollout: None,
    };
    let known = RefCell::<Known>::default();
    let checker = Checker {
        known: &known,
        verifier: &machine,
    };
    pins.check(token.as_bytes(), &names, checker).map(|_| ())
}
