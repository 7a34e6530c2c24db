//! What Envoy does for signed pins: it knows the time, and verifies signatures.

use bluegreen::core::signed_pin::Verifier;
use p256::ecdsa;
use p256::ecdsa::signature::Verifier as _;
use rsa::pkcs1v15;
use rsa::pkcs8::DecodePublicKey as _;
use rsa::sha2::Sha256;
use std::time::SystemTime;

/// A machine that verifies signatures by itself.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Machine {
    /// The time in seconds since 1970; `None`: the clock's.
    pub(crate) now: Option<u64>,
}

impl Verifier for Machine {
    fn seconds(&self) -> u64 {
        let since = || SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        self.now.unwrap_or_else(|| since().as_secs())
    }

    fn verify_signature(&self, arguments: &[u8]) -> Option<Vec<u8>> {
        let [key, signature, message] = [2, 3, 4].map(|number| field(arguments, number));
        let yes = verifies(key?, signature?, message?)?;
        Some(vec![8, yes.into()])
    }
}

/// Returns a field of a protobuf (`VerifySignatureArguments`) that has bytes alone.
fn field(mut rest: &[u8], wanted: u8) -> Option<&[u8]> {
    while let [tag, after @ ..] = rest {
        rest = after;
        let (mut length, mut shift) = (0, 0_u32);
        loop {
            let (byte, after) = rest.split_first()?;
            rest = after;
            length |= usize::from(byte & 127).checked_shl(shift)?;
            shift += 7;
            if byte & 128 == 0 {
                break;
            }
        }
        let (value, after) = rest.split_at_checked(length)?;
        if tag >> 3 == wanted {
            return Some(value);
        }
        rest = after;
    }
    None
}

/// Returns whether a signature is the key's for a message; `None`: this is no key.
fn verifies(key: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
    if let Ok(key) = ecdsa::VerifyingKey::from_public_key_der(key) {
        let signature = ecdsa::Signature::from_der(signature);
        return Some(signature.is_ok_and(|signature| key.verify(message, &signature).is_ok()));
    }
    let key = rsa::RsaPublicKey::from_public_key_der(key).ok()?;
    let key = pkcs1v15::VerifyingKey::<Sha256>::new(key);
    let signature = pkcs1v15::Signature::try_from(signature);
    Some(signature.is_ok_and(|signature| key.verify(message, &signature).is_ok()))
}
