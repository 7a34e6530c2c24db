//! Signed pins as tests make them, and `verify_signature` as Envoy has it: both by crates
//! that the filter does not use.
#![allow(dead_code, reason = "each test uses a part of it")]

use hmac::Mac as _;
use p256::ecdsa;
use p256::ecdsa::signature::{SignatureEncoding as _, Signer as _, Verifier as _};
use rsa::pkcs1v15;
use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use rsa::sha2::Sha256;
use serde::Deserialize;

/// The time at which tests play, in seconds since 1970.
pub(crate) const NOW: u64 = 1_800_000_000;

/// A token. `tests/scenarios.yaml` explains the fields.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Token {
    pub key: String,
    pub header: String,
    pub claims: String,
    pub signs: Option<String>,
}

impl Default for Token {
    fn default() -> Self {
        Self {
            key: "es".to_owned(),
            header: r#"{"alg":"ES256","typ":"JWT"}"#.to_owned(),
            claims:
                r#"{"aud":"bluegreen:shop.example:green","sub":"ci@shop","iat":NOW,"exp":NOW+7200}"#
                    .to_owned(),
            signs: None,
        }
    }
}

impl Token {
    /// Header, claims and signature, each in base64.
    pub(crate) fn parts(&self) -> [String; 3] {
        let part = |text: &str| base64(&bytes(&timed(text)));
        let message = |claims: &str| format!("{}.{}", part(&self.header), part(claims));
        let signed = message(self.signs.as_deref().unwrap_or(&self.claims));
        let signature = base64(&signature(&self.key, signed.as_bytes()));
        [part(&self.header), part(&self.claims), signature]
    }

    pub(crate) fn text(&self) -> String {
        self.parts().join(".")
    }
}

/// A file of tests/keys.
pub(crate) fn pem(file: &str) -> String {
    let pem = match file {
        "es" => include_str!("../keys/es.pem"),
        "es.pub" => include_str!("../keys/es.pub.pem"),
        "rs" => include_str!("../keys/rs.pem"),
        "rs.pub" => include_str!("../keys/rs.pub.pem"),
        "other" => include_str!("../keys/other.pem"),
        "other.pub" => include_str!("../keys/other.pub.pem"),
        _ => panic!("tests/keys has no {file}.pem"),
    };
    pem.to_owned()
}

/// `text` with what is known in the place of `${key:NAME}`, as JSON writes it in quotes.
pub(crate) fn with_keys(text: &str) -> String {
    let mut text = text.to_owned();
    for name in ["es", "rs", "other"] {
        let pem = serde_json::to_string(&pem(&format!("{name}.pub"))).unwrap();
        let inner = pem.trim_matches('"');
        text = text.replace(&format!("${{key:{name}}}"), inner);
    }
    text
}

/// The bytes of a text: one a character.
fn bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(c).expect("below U+0100"))
        .collect()
}

/// `text` with seconds in the place of `NOW`, `NOW+60` and the like.
fn timed(text: &str) -> String {
    let mut parts = text.split("NOW");
    let mut timed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.bytes().skip(1).take_while(u8::is_ascii_digit).count() + 1;
        let (offset, rest) = match part.as_bytes() {
            [b'+' | b'-', b'0'..=b'9', ..] => part.split_at(end),
            _ => ("0", part),
        };
        let offset: i64 = offset.parse().unwrap();
        timed += &NOW.checked_add_signed(offset).unwrap().to_string();
        timed += rest;
    }
    timed
}

/// base64 for URLs without padding, of as many bits as there are.
pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = |at: usize| {
        bytes
            .get(at / 8)
            .is_some_and(|byte| byte >> (7 - at % 8) & 1 == 1)
    };
    let digit = |at: usize| (at..at + 6).fold(0, |digit, at| digit * 2 + usize::from(bits(at)));
    let digits = (0..bytes.len() * 8)
        .step_by(6)
        .map(|at| char::from(DIGITS[digit(at)]));
    digits.collect()
}

/// A signature in the form of a JWT.
fn signature(key: &str, message: &[u8]) -> Vec<u8> {
    match key {
        "none" => Vec::new(),
        // Key confusion: what is public as the secret of an HMAC.
        "public" => {
            let mut mac = hmac::Hmac::<Sha256>::new_from_slice(pem("es.pub").as_bytes()).unwrap();
            mac.update(message);
            mac.finalize().into_bytes().to_vec()
        }
        "rs" => {
            let key = rsa::RsaPrivateKey::from_pkcs8_pem(&pem("rs")).unwrap();
            pkcs1v15::SigningKey::<Sha256>::new(key)
                .sign(message)
                .to_vec()
        }
        other => {
            let key = ecdsa::SigningKey::from_pkcs8_pem(&pem(other)).unwrap();
            let signature: ecdsa::Signature = key.sign(message);
            signature.to_vec()
        }
    }
}

/// Envoy's foreign function: from the arguments to the result, both as protobuf.
pub(crate) fn verify_signature(arguments: &[u8]) -> Vec<u8> {
    let fields = fields(arguments);
    let field = |number: u8| {
        fields
            .iter()
            .find(|(field, _)| *field == number)
            .map_or(&[][..], |(_, value)| value)
    };
    assert_eq!(field(1), b"sha256");
    match verifies(field(2), field(3), field(4)) {
        Some(true) => vec![8, 1],
        Some(false) => error("Failed to verify digest. Error code: 0"),
        None => error("Failed to initialize digest verify."),
    }
}

/// The fields of a protobuf that has bytes alone.
fn fields(mut rest: &[u8]) -> Vec<(u8, &[u8])> {
    let mut fields = Vec::new();
    while let Some((tag, after)) = rest.split_first() {
        assert_eq!(tag & 7, 2, "bytes");
        let (mut length, mut shift, mut bytes) = (0, 0, after);
        while let Some((byte, after)) = bytes.split_first() {
            length |= usize::from(byte & 127) << shift;
            (shift, bytes) = (shift + 7, after);
            if byte & 128 == 0 {
                break;
            }
        }
        let (value, after) = bytes.split_at(length);
        fields.push((tag >> 3, value));
        rest = after;
    }
    fields
}

fn error(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    [&[0x12, length], text.as_bytes()].concat()
}

/// `None`: this is no key.
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
