//! The keys of the configuration: public keys from PEM (RFC 7468), and what they may pin.

use super::base64;
use super::check::Names;
use super::token::Token;
use std::fmt;

/// How a token is signed, by the words of JOSE (RFC 7518 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    /// ECDSA on P-256.
    Es256,
    /// RSA, PKCS #1 v1.5.
    Rs256,
}

impl Algorithm {
    /// Returns the algorithm of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "ES256" => Some(Self::Es256),
            "RS256" => Some(Self::Rs256),
            _ => None,
        }
    }
}

/// A public key: one on P-256, or RSA of 2048 to 4096 bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    algorithm: Algorithm,
    /// A `SubjectPublicKeyInfo` (RFC 5280 4.1).
    der: Box<[u8]>,
    /// The bytes of a signature in a token.
    signature_bytes: usize,
}

/// Why a text is no public key that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoKey {
    /// It has a private key in it.
    Private,
    /// It is a certificate.
    Certificate,
    /// It is an RSA key of so many bits.
    RsaBits(usize),
    /// It is a key of another kind, or PEM of something else.
    OtherKey,
    /// It is no PEM of one public key.
    NoPem,
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "a private key",
            Self::Certificate => "a certificate",
            Self::RsaBits(bits) => return write!(f, "an RSA key of {bits} bits"),
            Self::OtherKey => "a key of another kind",
            Self::NoPem => "a text",
        })
    }
}

impl PublicKey {
    /// What is allowed, in words.
    pub const WORDS: &'static str = "a public key in PEM (P-256, or RSA of 2048 to 4096 bits)";

    /// The first line of a key's PEM.
    pub const BEGIN: &'static str = "-----BEGIN PUBLIC KEY-----";

    /// The last line of a key's PEM.
    pub const END: &'static str = "-----END PUBLIC KEY-----";

    /// Returns the one key of a PEM.
    ///
    /// # Errors
    /// What the text is in its place.
    pub fn of_pem(text: &str) -> Result<Self, NoKey> {
        let text = text.as_bytes();
        let says = |words: &[u8]| text.windows(words.len()).any(|part| part == words);
        let inner = text.trim_ascii().strip_prefix(Self::BEGIN.as_bytes());
        let inner = inner.and_then(|text| text.strip_suffix(Self::END.as_bytes()));
        let is_body =
            |b: u8| b.is_ascii_alphanumeric() || b"+/=".contains(&b) || b.is_ascii_whitespace();
        let Some(inner) = inner.filter(|inner| inner.iter().all(|b| is_body(*b))) else {
            return Err(match () {
                () if says(b"PRIVATE KEY") => NoKey::Private,
                () if says(b"BEGIN CERTIFICATE") => NoKey::Certificate,
                () => NoKey::NoPem,
            });
        };
        let mut digits = inner.to_vec();
        digits.retain(|b| !b.is_ascii_whitespace());
        let padded = digits.len();
        while digits.last() == Some(&b'=') {
            digits.pop();
        }
        let needed = digits.len().next_multiple_of(4);
        let der = base64::decoded(&digits, base64::PEM).filter(|_| padded == needed);
        Self::of_der(der.ok_or(NoKey::OtherKey)?)
    }

    /// Returns the key of a `SubjectPublicKeyInfo`.
    pub(super) fn of_der(der: Vec<u8>) -> Result<Self, NoKey> {
        // Of P-256: all but the two coordinates of an uncompressed point.
        const P256: &[u8] = b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\
                              \x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04";
        let (algorithm, signature_bytes) = if der.starts_with(P256) && der.len() == 91 {
            (Algorithm::Es256, 64)
        } else {
            let bits = rsa_bits(&der).ok_or(NoKey::OtherKey)?;
            if !(2048..=4096).contains(&bits) {
                return Err(NoKey::RsaBits(bits));
            }
            (Algorithm::Rs256, bits.div_ceil(8))
        };
        Ok(Self {
            algorithm,
            der: der.into(),
            signature_bytes,
        })
    }

    /// Returns the words for a key of this kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Es256 => "a P-256 key",
            Algorithm::Rs256 => "an RSA key",
        }
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn der(&self) -> &[u8] {
        &self.der
    }

    pub(super) fn signature_bytes(&self) -> usize {
        self.signature_bytes
    }
}

/// Returns the bits of the modulus of an RSA key (RFC 8017 A.1.1).
fn rsa_bits(der: &[u8]) -> Option<usize> {
    const ALGORITHM: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
    const SEQUENCE: u8 = 0x30;
    const INTEGER: u8 = 2;
    const BIT_STRING: u8 = 3;
    let key = whole(SEQUENCE, der)?.strip_prefix(ALGORITHM)?;
    let key = whole(SEQUENCE, whole(BIT_STRING, key)?.strip_prefix(b"\0")?)?;
    let (modulus, exponent) = value(INTEGER, key)?;
    whole(INTEGER, exponent)?;
    let modulus = modulus.strip_prefix(b"\0").unwrap_or(modulus);
    let leading = modulus.first()?.leading_zeros();
    let bits = modulus.len().checked_mul(8)?;
    bits.checked_sub(usize::try_from(leading).ok()?)
}

/// Returns the value of a DER that is one of this tag, and nothing behind it.
fn whole(tag: u8, der: &[u8]) -> Option<&[u8]> {
    let (value, rest) = value(tag, der)?;
    rest.is_empty().then_some(value)
}

/// Returns the value of the first of a DER, if it has this tag, and what stands behind.
fn value(tag: u8, der: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = der.strip_prefix(&[tag])?;
    let (length, rest) = match *rest {
        [short @ 0..=127, ref rest @ ..] => (usize::from(short), rest),
        [0x81, length, ref rest @ ..] => (usize::from(length), rest),
        [0x82, high, low, ref rest @ ..] => (usize::from(u16::from_be_bytes([high, low])), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// A key of the configuration, and what it may pin.
#[derive(Debug)]
pub struct Key {
    /// The operator's word for it.
    pub name: Box<str>,
    /// The only `kid` of its tokens; `None`: any.
    pub kid: Option<Box<str>>,
    /// The key.
    pub public: PublicKey,
    /// The rollouts and hosts that it may pin; `None`: all.
    pub rollouts: Option<Vec<Box<str>>>,
    /// The only `sub` of its tokens; `None`: any.
    pub subjects: Option<Vec<Box<str>>>,
    /// The most seconds from `iat` to `exp` of its tokens.
    pub max_seconds: u32,
}

/// How far a token comes with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fit {
    /// It is of another algorithm.
    Algorithm,
    /// Its `kid`, its subject or what it pins is not for this key.
    Key,
    /// It lives longer than this key's may.
    Lifetime,
    /// Only its signature is left to be verified.
    All,
}

impl Key {
    /// Returns how far a token for one of these names comes with this key.
    pub(super) fn fit(&self, token: &Token, names: &Names<'_>) -> Fit {
        let is_kid = |kid: &str| token.kid.as_deref() == Some(kid);
        let is_subject = |subject: &str| token.subject.as_deref() == Some(subject);
        let lifetime = token.expires.checked_sub(token.issued);
        if token.algorithm != self.public.algorithm {
            Fit::Algorithm
        } else if !self.kid.as_deref().is_none_or(is_kid)
            || !any(self.subjects.as_deref(), is_subject)
            || !any(self.rollouts.as_deref(), |name| names.has(name))
        {
            Fit::Key
        } else if lifetime.is_none_or(|seconds| seconds > u64::from(self.max_seconds)) {
            Fit::Lifetime
        } else {
            Fit::All
        }
    }
}

/// Whether one of a list is so; without a list all are.
fn any(list: Option<&[Box<str>]>, is_so: impl Fn(&str) -> bool) -> bool {
    list.is_none_or(|list| list.iter().any(|item| is_so(item)))
}
