//! How the proxy is asked about a signature: Envoy's foreign function `verify_signature`,
//! whose arguments are a protobuf (`VerifySignatureArguments`).

use super::base64;
use super::key::{Algorithm, PublicKey};

/// The proxy, as far as signatures need it.
pub trait Verifier {
    /// Returns the seconds since 1970.
    fn seconds(&self) -> u64;

    /// Returns the answer of `verify_signature` to these arguments; `None`: it has no such
    /// function, or it failed.
    fn verify_signature(&self, arguments: &[u8]) -> Option<Vec<u8>>;
}

/// Returns whether `signature`, as it stands in a token, is the key's for `message`.
pub(super) fn verifies(
    verifier: &dyn Verifier,
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> bool {
    signature.len() == key.signature_bytes()
        && answer(verifier, key, message, signature).is_some_and(|answer| is_yes(&answer))
}

/// Whether an answer (`VerifySignatureResult`) says that the signature is the key's.
fn is_yes(answer: &[u8]) -> bool {
    answer.starts_with(&[8, 1])
}

fn answer(
    verifier: &dyn Verifier,
    key: &PublicKey,
    message: &[u8],
    signature: &[u8],
) -> Option<Vec<u8>> {
    let mut arguments = Vec::with_capacity(3072);
    field(&mut arguments, 1, b"sha256");
    field(&mut arguments, 2, key.der());
    match key.algorithm() {
        Algorithm::Es256 => field(&mut arguments, 3, &ecdsa_der(signature)),
        Algorithm::Rs256 => field(&mut arguments, 3, signature),
    }
    field(&mut arguments, 4, message);
    verifier.verify_signature(&arguments)
}

/// Adds a field of bytes.
fn field(out: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    out.push(number.wrapping_shl(3) | 2);
    let mut rest = bytes.len();
    while rest > 127 {
        let [low, ..] = rest.to_le_bytes();
        out.push(low | 128);
        rest = rest.wrapping_shr(7);
    }
    let [low, ..] = rest.to_le_bytes();
    out.push(low);
    out.extend_from_slice(bytes);
}

/// Returns a signature of P-256 as DER (RFC 3279 2.2.3), of the two halves of JOSE (RFC
/// 7518 3.4).
fn ecdsa_der(signature: &[u8]) -> Vec<u8> {
    let (r, s) = signature.split_at(signature.len().wrapping_shr(1));
    let mut inner = Vec::with_capacity(80);
    for half in [r, s] {
        let start = half.iter().position(|b| *b != 0).unwrap_or(half.len());
        let digits = half.get(start..).unwrap_or_default();
        // A first bit of 1 would make it negative, and no digits are no number.
        let sign: &[u8] = match digits.first() {
            Some(1..=127) => &[],
            _ => &[0],
        };
        der(&mut inner, 2, &[sign, digits].concat());
    }
    let mut out = Vec::with_capacity(80);
    der(&mut out, 0x30, &inner);
    out
}

/// Adds a value of at most 127 bytes.
fn der(out: &mut Vec<u8>, tag: u8, value: &[u8]) {
    let [length, ..] = value.len().to_le_bytes();
    out.extend([tag, length]);
    out.extend_from_slice(value);
}

/// What a proxy answers about a key that it can use.
pub struct Answers {
    /// What it answers where a signature is not the key's.
    no: Vec<u8>,
}

/// Returns what a proxy answers about a key that is known: the example of RFC 7515 A.3.
/// `None` where it cannot verify that one either.
#[must_use]
pub fn answers_of_known_key(verifier: &dyn Verifier) -> Option<Answers> {
    const POINT: &[u8] =
        b"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b\
          focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ";
    const MESSAGE: &[u8] =
        b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
          cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    const SIGNATURE: &[u8] =
        b"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let key = PublicKey::of_der(base64::decoded(POINT, base64::PEM)?).ok()?;
    let signature = base64::decoded(SIGNATURE, base64::URL)?;
    if !is_yes(&answer(verifier, &key, MESSAGE, &signature)?) {
        return None;
    }
    let no = answer_to_nonsense(verifier, &key)?;
    (!is_yes(&no)).then_some(Answers { no })
}

impl Answers {
    /// Returns whether the proxy can use a key. It answers alike about a signature that is
    /// no good, whatever the key, and otherwise about a key that is none.
    #[must_use]
    pub fn can_use(&self, key: &PublicKey, verifier: &dyn Verifier) -> bool {
        answer_to_nonsense(verifier, key).as_ref() == Some(&self.no)
    }
}

fn answer_to_nonsense(verifier: &dyn Verifier, key: &PublicKey) -> Option<Vec<u8>> {
    answer(verifier, key, b"", &vec![1; key.signature_bytes()])
}
