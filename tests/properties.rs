//! What holds for every input, not only for the rows of a table: the core
//! against second implementations, and against statistics.

use bluegreen::core::bucket::{Bucket, Salted, WeightTotal};
use bluegreen::core::config;
use bluegreen::core::cookie::Finder;
use bluegreen::core::identity::CookieId;
use bluegreen::core::pin::{self, PinRequest};
use bluegreen::core::rollout::{Rollout, Rollouts, Scope};
use bluegreen::core::set_cookie::{Attributes, SameSite, Secure, SetCookie};
use proptest::prelude::*;

// -- Buckets ------------------------------------------------------------------

/// The bucket as a number.
fn bucket(salted: &Salted, identity: &[u8], total: u32) -> u32 {
    let bucket = Bucket::of(salted.hash(identity), WeightTotal::new(total));
    bucket.to_string().parse().unwrap()
}

/// Pearson's statistic of `identities` over `total` buckets, as the number of
/// standard deviations from its mean: chi-square with k degrees of freedom has
/// mean k and variance 2k (NIST handbook, 1.3.6.6.6).
fn deviations(identities: impl Iterator<Item = Vec<u8>>, total: u32) -> f64 {
    let salted = Salted::new(b"myapp");
    let mut counts = vec![0_u32; usize::try_from(total).unwrap()];
    let mut all = 0_u32;
    for identity in identities {
        counts[usize::try_from(bucket(&salted, &identity, total)).unwrap()] += 1;
        all += 1;
    }
    let expected = f64::from(all) / f64::from(total);
    let chi_square: f64 = counts
        .iter()
        .map(|&count| (f64::from(count) - expected).powi(2) / expected)
        .sum();
    let degrees = f64::from(total - 1);
    (chi_square - degrees) / (2.0 * degrees).sqrt()
}

/// Distinct and far from random: a counter through an odd multiplier.
fn minted() -> impl Iterator<Item = Vec<u8>> {
    (0..1_000_000_u64).map(|i| {
        let id = CookieId::mint(i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        id.to_vec()
    })
}

#[test]
fn a_million_users_are_dealt_evenly() {
    for total in [7, 100] {
        let off = deviations(minted(), total);
        assert!(off.abs() < 4.0, "{total}: {off} standard deviations");
    }
}

#[test]
fn a_million_sequential_names_are_dealt_evenly() {
    for total in [7, 100] {
        let names = (1..=1_000_000).map(|i| format!("user-{i}").into_bytes());
        let off = deviations(names, total);
        assert!(off.abs() < 4.0, "{total}: {off} standard deviations");
    }
}

#[test]
fn two_salts_deal_independently() {
    let salts = [Salted::new(b"shop"), Salted::new(b"cart")];
    let both = minted()
        .take(100_000)
        .filter(|id| salts.iter().all(|salt| bucket(salt, id, 2) == 0))
        .count();
    // A quarter of 100,000; four standard deviations are 548.
    assert!(both.abs_diff(25_000) < 548, "{both}");
}

/// The version that Envoy gives a bucket: half-open intervals of cumulative
/// weights (`weighted_clusters`), of which the first is blue's.
fn is_green(bucket: u32, green: u32) -> bool {
    bucket >= 100 - green
}

#[test]
fn for_every_pair_of_weights_a_ramp_moves_a_user_once_and_never_back() {
    for bucket in 0..100 {
        for from in 0..=100 {
            for to in from..=100 {
                let moves_back = is_green(bucket, from) && !is_green(bucket, to);
                assert!(!moves_back, "bucket {bucket}, {from} -> {to}");
            }
        }
        let moves = (0..100)
            .filter(|&green| is_green(bucket, green) != is_green(bucket, green + 1))
            .count();
        assert_eq!(moves, 1, "bucket {bucket}");
    }
}

proptest! {
    #[test]
    fn a_bucket_is_the_upper_half_of_the_product(hash: u64, total in 1..=WeightTotal::MOST) {
        let bucket = Bucket::of(hash, WeightTotal::new(total)).to_string();
        // Schoolbook multiplication in two halves.
        let (high, low) = ((hash >> 32) * u64::from(total), (hash & 0xffff_ffff) * u64::from(total));
        prop_assert_eq!(bucket, ((high + (low >> 32)) >> 32).to_string());
    }

    #[test]
    fn what_is_written_is_read_again(hash: u64, total in 1..=WeightTotal::MOST) {
        let total = WeightTotal::new(total);
        let bucket = Bucket::of(hash, total);
        prop_assert_eq!(Bucket::parse(bucket.to_string().as_bytes(), total), Some(bucket));
    }

    #[test]
    fn a_plain_number_is_one_that_a_number_writes(value in "[0-9+ -]{0,8}|[0-9]{1,3}") {
        let plain = (0..100_u32).any(|number| number.to_string() == value);
        let total = WeightTotal::new(100);
        prop_assert_eq!(Bucket::parse(value.as_bytes(), total).is_some(), plain);
    }
}

// -- Cookies --------------------------------------------------------------------

/// All values of `name`, as the core reads them.
fn values<'l>(line: &'l [u8], name: &str) -> Vec<&'l [u8]> {
    let mut values = Vec::new();
    // Beside another name, which makes the search longer or shorter.
    let finder = Finder::new(vec![(false, "longer".into()), (true, name.into())]);
    finder.each(line, |ours, value| {
        values.extend(ours.then_some(value));
    });
    values
}

/// A value without the quotes around it.
fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|v| v.strip_suffix(b"\""));
    inner.unwrap_or(value)
}

/// The same by the `cookie` crate, which keeps quotes.
fn oracle(line: &str, name: &str) -> Vec<String> {
    let unquoted = |value: &str| String::from_utf8(unquoted(value.as_bytes()).to_vec()).unwrap();
    cookie::Cookie::split_parse(line)
        .filter_map(Result::ok)
        .filter(|cookie| cookie.name() == name)
        .map(|cookie| unquoted(cookie.value()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn cookies_are_read_as_the_cookie_crate_reads_them(
        pairs in prop::collection::vec("[ab]{0,2}[ =\"]{0,3}[a-z0-9,=\" ]{0,4}", 0..6),
        separator in "; |;|;;| ;  ",
    ) {
        let line = pairs.join(&separator);
        for name in ["a", "b", "ab"] {
            let read = values(line.as_bytes(), name);
            let expected = oracle(&line, name);
            let expected: Vec<&[u8]> = expected.iter().map(String::as_bytes).collect();
            prop_assert_eq!(read, expected, "{:?}", &line);
        }
    }

    #[test]
    fn any_bytes_are_cut_at_their_separators(
        line in prop::collection::vec(
            prop_oneof![
                Just(b"a=".to_vec()), Just(b"b=".to_vec()), Just(b";".to_vec()),
                Just(b",".to_vec()), Just(b" ".to_vec()), prop::collection::vec(any::<u8>(), 1..9),
            ],
            0..24,
        ),
    ) {
        let line = line.concat();
        // The same by the standard library, byte by byte.
        let expected: Vec<&[u8]> = line
            .split(|byte| *byte == b';')
            .filter_map(|piece| piece.trim_ascii().strip_prefix(b"a"))
            .filter_map(|piece| piece.trim_ascii().strip_prefix(b"="))
            .map(|value| unquoted(value.trim_ascii()))
            .collect();
        prop_assert_eq!(values(&line, "a"), expected, "{:?}", line);
    }
}

/// What browsers send in the public cases for RFC 6265 (the `sent` half of
/// http-state's `parser.json`; names of cases in front), and what a server must
/// find in it. Quotes are ours: a value counts without them.
#[test]
fn what_browsers_send_is_read() {
    let rows = [
        ("0001", "foo=bar", "foo", "bar"),
        ("0014", "foo1=bar; foo2=qux", "foo2", "qux"),
        ("0016", "z=y; a=b", "a", "b"),
        ("0017", "z=y, a=b", "z", "y, a=b"),
        ("0022", "a=b; x=; c=d", "x", ""),
        ("0022", "a=b; x=; c=d", "c", "d"),
        (
            "CHARSET0001",
            "foo=\u{6625}\u{8282}",
            "foo",
            "\u{6625}\u{8282}",
        ),
        ("CHARSET0004", "foo=\"\u{6625}\"", "foo", "\u{6625}"),
        ("CHROMIUM0002", "aBc=\"zzz \"", "aBc", "zzz "),
        ("CHROMIUM0004", "aBc=\"zz", "aBc", "\"zz"),
        (
            "CHROMIUM0006",
            "aBc=\"zzz \"   \"ppp\"",
            "aBc",
            "zzz \"   \"ppp",
        ),
        ("CHROMIUM0008", "aBc=A\"B", "aBc", "A\"B"),
        ("CHROMIUM0014", "A=BC", "A", "BC"),
        ("CHROMIUM0015", "A=== BC", "A", "== BC"),
        ("COMMA0001", "foo=bar, baz=qux", "foo", "bar, baz=qux"),
        ("COMMA0002", "foo=\"bar, baz=qux\"", "foo", "bar, baz=qux"),
        ("NAME", "foo bar=qux; a=b", "a", "b"),
        ("VALUE", "foo=  bar  ; a=b", "foo", "bar"),
    ];
    for (case, line, name, value) in rows {
        assert_eq!(
            values(line.as_bytes(), name),
            [value.as_bytes()],
            "{case}: {line}"
        );
    }
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let same_site = prop_oneof![
        Just(SameSite::Lax),
        Just(SameSite::Strict),
        Just(SameSite::None)
    ];
    let secure = prop_oneof![
        Just(Secure::Auto),
        Just(Secure::Always),
        Just(Secure::Never)
    ];
    (
        0..=34_560_000_u32,
        "/[a-z]{0,8}",
        prop_oneof![Just(String::new()), "[a-z]{1,8}\\.example".boxed()],
        secure,
        any::<bool>(),
        same_site,
        any::<bool>(),
    )
        .prop_map(
            |(max_age_seconds, path, domain, secure, http_only, same_site, partitioned)| {
                Attributes {
                    max_age_seconds,
                    path: path.into(),
                    domain: domain.into(),
                    secure,
                    http_only,
                    same_site,
                    partitioned,
                }
            },
        )
}

proptest! {
    #[test]
    fn what_is_set_is_what_was_configured(attributes in attributes(), id: u64, https: bool) {
        let id = CookieId::mint(id);
        let line = SetCookie::new("bluegreen-id".into(), &attributes, id.len()).line(&id, https);
        let line = String::from_utf8(line).unwrap();
        let parsed = cookie::Cookie::parse(line.as_str()).unwrap();
        prop_assert_eq!(parsed.name(), "bluegreen-id");
        prop_assert_eq!(parsed.value().as_bytes(), &*id);
        let max_age = parsed.max_age().map_or(0, |age| age.whole_seconds());
        prop_assert_eq!(max_age, i64::from(attributes.max_age_seconds));
        prop_assert_eq!(parsed.path(), Some(&*attributes.path));
        prop_assert_eq!(parsed.domain().unwrap_or_default(), &*attributes.domain);
        let secure = match attributes.secure {
            Secure::Auto => https,
            Secure::Always => true,
            Secure::Never => false,
        };
        prop_assert_eq!(parsed.secure().unwrap_or_default(), secure);
        prop_assert_eq!(parsed.http_only().unwrap_or_default(), attributes.http_only);
        let same_site = match attributes.same_site {
            SameSite::Lax => cookie::SameSite::Lax,
            SameSite::Strict => cookie::SameSite::Strict,
            SameSite::None => cookie::SameSite::None,
        };
        prop_assert_eq!(parsed.same_site(), Some(same_site));
        prop_assert_eq!(parsed.partitioned().unwrap_or_default(), attributes.partitioned);
    }
}

// -- Rollouts and pins ------------------------------------------------------------

fn rollout() -> Rollout {
    Rollout {
        name: "a".into(),
        versions: vec!["blue".into(), "green".into()],
        weight_total: WeightTotal::new(100),
        salted: Salted::new(b"a"),
    }
}

/// The contract's rule for hosts, read off its sentences.
fn host_matches(pattern: &str, authority: &str) -> bool {
    let host = authority
        .split(':')
        .next()
        .unwrap_or_default()
        .to_lowercase();
    match pattern.strip_prefix("*.") {
        Some(domain) => host
            .strip_suffix(domain)
            .and_then(|labels| labels.strip_suffix('.'))
            .is_some_and(|labels| !labels.is_empty()),
        None => host == pattern,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]
    #[test]
    fn the_index_finds_what_a_scan_finds(
        scopes in prop::collection::vec(
            (
                prop::option::of(prop::collection::vec("(\\*\\.)?([ab]\\.){0,2}c", 1..4)),
                prop::option::of(prop::collection::vec("/[xy]{0,2}", 1..3)),
            ),
            1..8,
        ),
        authority in "([abAB]\\.){0,3}[cC](:80)?",
        path in "/[xy]{0,3}(\\?/x)?",
    ) {
        let boxed = |list: &Option<Vec<String>>| {
            list.as_ref().map(|list| list.iter().map(|s| s.as_str().into()).collect())
        };
        let rollouts = Rollouts::new(
            scopes
                .iter()
                .map(|(hosts, prefixes)| {
                    let scope = Scope { hosts: boxed(hosts), path_prefixes: boxed(prefixes) };
                    (rollout(), scope)
                })
                .collect(),
        );
        let bare = path.split('?').next().unwrap();
        let scan = scopes.iter().position(|(hosts, prefixes)| {
            let host = hosts.as_ref().is_none_or(|h| h.iter().any(|h| host_matches(h, &authority)));
            let path = prefixes.as_ref().is_none_or(|p| p.iter().any(|p| bare.starts_with(p)));
            host && path
        });
        let found = rollouts.find(
            || Some(authority.as_bytes().into()),
            || Some(path.as_bytes().into()),
        );
        prop_assert_eq!(found.map(usize::from), scan);
    }

    #[test]
    fn a_query_is_decoded_as_the_url_standard_says(
        query in "((version-pin|version%2Dpin|x)=?[gren%256E+=]{0,8}(green|blue|none)?&?){0,3}",
    ) {
        let rollout = rollout();
        let first = form_urlencoded::parse(query.as_bytes())
            .find(|(name, value)| name == "version-pin" && !value.is_empty())
            .map(|(_, value)| PinRequest::of(value.as_bytes(), &rollout));
        let path = format!("/?{query}");
        prop_assert_eq!(pin::in_query(path.as_bytes(), "version-pin", &rollout), first);
    }

    #[test]
    fn any_bytes_are_a_query_without_a_panic(path: Vec<u8>) {
        let request = pin::in_query(&path, "version-pin", &rollout());
        prop_assert!(request.is_none() || path.contains(&b'?'));
    }
}

// -- Configurations -----------------------------------------------------------------

proptest! {
    #[test]
    fn any_bytes_are_a_configuration_or_errors(json: Vec<u8>) {
        if let Err(errors) = config::parse(&json) {
            prop_assert!(!errors.is_empty());
        }
    }

    #[test]
    fn each_error_is_one_line_that_starts_with_a_path(
        field in "role|pin|tag|identity|rollouts|bucketHeader|\\PC{0,8}",
        value in "null|true|-?[0-9]{1,9}|\"\\PC{0,90}\"|\\[\\]|\\{\\}|\\[\\{\\}\\]",
    ) {
        let json = format!("{{{}: {value}}}", serde_json::to_string(&field).unwrap());
        for error in config::parse(json.as_bytes()).expect_err("no rollout is complete") {
            let line = error.to_string();
            prop_assert!(!line.contains('\n'));
            prop_assert!(line.contains(": "), "{}", line);
            prop_assert!(line.len() < 1200, "{}", line);
        }
    }
}
