//! Reads who may pin: `pin.keys` and `pin.revoked`.

use super::Settings;
use super::check::{Allowed, Check, OrNull, Schema, Whole};
use super::error::{ConfigErrors, Problem};
use super::fields::Fields;
use super::form::{PlainText, RolloutName};
use super::tree::{Tree, quoted};
use crate::core::signed_pin::{Key, NoKey, PublicKey, SignedPins, Verifier, answers_of_known_key};
use std::rc::Rc;

/// The most keys of a pin.
const MOST_KEYS: usize = 8;

/// The most tokens that can be revoked.
const MOST_REVOKED: usize = 256;

/// Reads who may pin; `None`: everybody.
pub(super) fn read_signed<F: Fields>(fields: &mut F) -> Option<Rc<SignedPins>> {
    let mut names: Vec<(Box<str>, String)> = Vec::new();
    let keys = fields.mappings_or_null("keys", MOST_KEYS, |fields| {
        let name = fields.require("name", RolloutName);
        if let Some(name) = &name {
            let path = fields.path_of("name");
            match names.iter().find(|(other, _)| other == name) {
                Some((_, first)) => {
                    let (found, by) = (quoted(name), first.clone());
                    fields.report_at(&path, Problem::Taken { found, by });
                }
                None => names.push((name.clone(), path)),
            }
        }
        let key = (
            fields.get_or("kid", None, OrNull(PlainText)),
            fields.require("publicKey", Pem),
            fields.list("rollouts", RolloutName),
            fields.list("subjects", PlainText),
            fields.get_or("maxSeconds", 86_400, Whole(60..=2_592_000)),
        );
        let (kid, public, rollouts, subjects, max_seconds) = key;
        Some(Key {
            name: name?,
            kid,
            public: public?,
            rollouts,
            subjects,
            max_seconds,
        })
    });
    let revoked = fields.list_up_to("revoked", MOST_REVOKED, PlainText);
    keys.map(|keys| {
        Rc::new(SignedPins {
            keys: keys.into_iter().flatten().collect(),
            revoked,
        })
    })
}

/// A public key in PEM.
struct Pem;

impl Check for Pem {
    type Value = PublicKey;

    fn check(&self, tree: &Tree) -> Result<PublicKey, Allowed> {
        let key = PublicKey::of_pem(tree.text().unwrap_or_default());
        key.map_err(|_| PublicKey::WORDS.to_owned())
    }

    // What kind of key it is. It may be a private one, of which no part gets into a log.
    fn shown(&self, tree: &Tree) -> String {
        match tree.text().map(PublicKey::of_pem) {
            Some(Err(why)) => NoKey::to_string(&why),
            _ => tree.shown(),
        }
    }

    fn written(&self, _: &PublicKey) -> Tree {
        Tree::Null
    }

    fn schema(&self) -> Schema {
        let [begin, end] =
            [PublicKey::BEGIN, PublicKey::END].map(|line| line.replace("-----", "-{5}"));
        let space = " \\t\\n\\f\\r";
        let pattern = format!("^[{space}]*{begin}[0-9A-Za-z+/={space}]*{end}[{space}]*$");
        vec![
            ("type".to_owned(), "string".into()),
            ("pattern".to_owned(), Tree::Text(pattern)),
        ]
    }

    fn words(&self) -> Option<&'static str> {
        Some(PublicKey::WORDS)
    }
}

/// Reports the keys of `settings`, which stand at `path`, that a proxy cannot use.
pub(super) fn report_unusable(
    settings: &Settings,
    path: &str,
    verifier: &dyn Verifier,
    errors: &mut ConfigErrors,
) {
    let Some(signed) = settings.signed_pins() else {
        return;
    };
    let path = [path, "pin.keys"].concat();
    let mut report = |path: &str, found: String, allowed: &str| {
        let allowed = allowed.to_owned();
        errors.push(path, Problem::Not { found, allowed });
    };
    let Some(answers) = answers_of_known_key(verifier) else {
        let found = format!("a list of {}", signed.keys.len());
        report(
            &path,
            found,
            "possible in a proxy that cannot verify signatures",
        );
        return;
    };
    for (place, key) in signed.keys.iter().enumerate() {
        if !answers.can_use(&key.public, verifier) {
            let path = format!("{path}[{place}].publicKey");
            report(
                &path,
                key.public.kind().to_owned(),
                "one that this proxy can use",
            );
        }
    }
}
