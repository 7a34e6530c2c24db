//! What Envoy does for signed pins: it knows the time, and verifies signatures. And what
//! makes them: private keys.

use bluegreen::core::signed_pin::{PublicKey, Verifier};
use p256::ecdsa;
use p256::ecdsa::signature::{SignatureEncoding as _, Signer as _, Verifier as _};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs1v15;
use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _, LineEnding};
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

/// A private key.
pub(crate) enum PrivateKey {
    /// On P-256.
    Es256(Box<ecdsa::SigningKey>),
    /// RSA.
    Rs256(Box<rsa::RsaPrivateKey>),
}

impl PrivateKey {
    /// Returns the key of a PEM, in the forms in which openssl writes it: `PRIVATE KEY`,
    /// `EC PRIVATE KEY` behind its parameters or without, and `RSA PRIVATE KEY`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn of_pem(text: &str) -> Result<Self, &'static str> {
        if text.contains("-----BEGIN ENCRYPTED") || text.contains("Proc-Type: 4,ENCRYPTED") {
            return Err("the key has a passphrase; hand over one without");
        }
        let of_curve = text
            .find("-----BEGIN EC PRIVATE KEY")
            .and_then(|at| text.get(at..));
        let on_p256 = match of_curve {
            Some(key) => p256::SecretKey::from_sec1_pem(key).ok().map(Into::into),
            None => ecdsa::SigningKey::from_pkcs8_pem(text).ok(),
        };
        if let Some(key) = on_p256 {
            return Ok(Self::Es256(Box::new(key)));
        }
        let key = rsa::RsaPrivateKey::from_pkcs8_pem(text).ok();
        key.or_else(|| rsa::RsaPrivateKey::from_pkcs1_pem(text).ok())
            .map(|key| Self::Rs256(Box::new(key)))
            .ok_or("is no private key in PEM (P-256, or RSA of 2048 to 4096 bits)")
    }

    /// Returns the word of JOSE for how it signs.
    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Es256(_) => "ES256",
            Self::Rs256(_) => "RS256",
        }
    }

    /// Returns its public key.
    ///
    /// # Errors
    /// The filter would not take it.
    pub(crate) fn public(&self) -> Result<PublicKey, String> {
        let pem = match self {
            Self::Es256(key) => key.verifying_key().to_public_key_pem(LineEnding::LF),
            Self::Rs256(key) => key.to_public_key().to_public_key_pem(LineEnding::LF),
        };
        let pem = pem.map_err(|error| error.to_string())?;
        PublicKey::of_pem(pem.trim_end())
            .map_err(|found| format!("is {found}; P-256, or RSA of 2048 to 4096 bits, is allowed"))
    }

    /// Returns its signature as it stands in a token.
    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Es256(key) => {
                let signature: ecdsa::Signature = key.sign(message);
                signature.to_vec()
            }
            Self::Rs256(key) => pkcs1v15::SigningKey::<Sha256>::new(key.as_ref().clone())
                .sign(message)
                .to_vec(),
        }
    }
}
