//! What holds for every input, not only for the rows of a table: the core
//! against second implementations, and against statistics.

use bluegreen::core::baggage::{self, Baggage, Keys, Members};
use bluegreen::core::bucket::Bucket;
use bluegreen::core::config;
use bluegreen::core::cookie::Finder;
use bluegreen::core::edit::Edit;
use bluegreen::core::headers::{self, Headers};
use bluegreen::core::host;
use bluegreen::core::identity::CookieId;
use bluegreen::core::pin::{self, PinRequest};
use bluegreen::core::pin_list::PinList;
use bluegreen::core::rollouts::{Rollouts, Scope};
use bluegreen::core::route::Route;
use bluegreen::core::route_name::{LONGEST, PREFIX, RouteName};
use bluegreen::core::set_cookie::{Attributes, SameSite, Secure, SetCookie};
use bluegreen::core::signed_pin::{Checker, Names, Verifier};
use bluegreen::core::version::Version;
use proptest::prelude::*;
use proptest::sample::Index;
use std::cell::RefCell;
use std::hash::Hasher as _;
use std::sync::LazyLock;

mod signing;

// -- Buckets ------------------------------------------------------------------

/// The bucket as a number.
fn bucket(salt: &[u8], identity: &[u8]) -> u64 {
    let mut buffer = itoa::Buffer::new();
    let bucket = Bucket::of([salt, b""], identity);
    let digits = bucket.digits(&mut buffer).to_vec();
    String::from_utf8(digits).unwrap().parse().unwrap()
}

/// The version that Envoy gives a bucket: the first whose cumulative weight is above
/// the bucket modulo the sum (`weighted_clusters.header_name`).
fn picked(bucket: u64, weights: &[u64]) -> usize {
    let place = bucket % weights.iter().sum::<u64>();
    let mut cumulative = 0;
    let picked = weights.iter().position(|weight| {
        cumulative += weight;
        place < cumulative
    });
    picked.expect("the place is below the sum")
}

/// Pearson's statistic of `identities` over `total` buckets, as the number of
/// standard deviations from its mean: chi-square with k degrees of freedom has
/// mean k and variance 2k (NIST handbook, 1.3.6.6.6).
fn deviations(identities: impl Iterator<Item = Vec<u8>>, total: u32) -> f64 {
    let mut counts = vec![0_u32; usize::try_from(total).unwrap()];
    let mut all = 0_u32;
    for identity in identities {
        let place = bucket(b"shop.example", &identity) % u64::from(total);
        counts[usize::try_from(place).unwrap()] += 1;
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
fn a_million_users_are_dealt_evenly_whatever_the_sum() {
    for total in [7, 100, 10_000] {
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
    let salts: [&[u8]; 2] = [b"shop.example", b"cart.example"];
    let both = minted()
        .take(100_000)
        .filter(|id| salts.iter().all(|salt| bucket(salt, id) % 100 < 50))
        .count();
    // A quarter of 100,000; four standard deviations are 548.
    assert!(both.abs_diff(25_000) < 548, "{both}");
}

proptest! {
    #[test]
    fn a_ramp_moves_a_user_at_most_once_and_never_back(bucket: u64, total in 1..=10_000_u64) {
        let versions: Vec<usize> = (0..=total)
            .map(|green| picked(bucket, &[total - green, green]))
            .collect();
        prop_assert!(versions.is_sorted(), "{:?}", versions);
        prop_assert_eq!((versions.first(), versions.last()), (Some(&0), Some(&1)));
    }

    #[test]
    fn a_route_that_states_weights_picks_as_envoy_does(
        bucket: u64,
        weights in prop::collection::vec(prop_oneof![Just(0), 1..100_u32, any::<u32>()], 1..=16),
    ) {
        let stated: Vec<String> = weights
            .iter()
            .enumerate()
            .map(|(place, weight)| format!("shop-v{place}-{weight}"))
            .collect();
        let name = format!("bluegreen.{}", stated.join("."));
        let weights: Vec<u64> = weights.into_iter().map(u64::from).collect();
        let is_short = name.len() <= LONGEST;
        match RouteName::of(name.as_bytes()) {
            RouteName::States(found) => {
                let expected = picked(bucket, &weights);
                let bucket = Bucket::parse(bucket.to_string().as_bytes()).unwrap();
                prop_assert_eq!(found.pick(bucket), Some(expected));
            }
            RouteName::IsMisspelled => {
                prop_assert!(!is_short || weights.iter().sum::<u64>() == 0, "{name}");
            }
            RouteName::IsOfOthers => prop_assert!(false, "{name}"),
        }
    }

    #[test]
    fn no_name_of_a_route_is_too_odd(name in prop::collection::vec(any::<u8>(), 0..300)) {
        let ours = [PREFIX, &name].concat();
        prop_assert!(RouteName::of(&ours) != RouteName::IsOfOthers);
        let is_ours = name.starts_with(PREFIX);
        prop_assert_eq!(RouteName::of(&name) == RouteName::IsOfOthers, !is_ours);
    }

    #[test]
    fn of_three_versions_weight_that_moves_to_a_neighbour_moves_no_other(
        bucket: u64,
        (v1, v2, v3) in (1..100_u64, 1..100_u64, 1..100_u64),
        moved in 1..100_u64,
    ) {
        let moved = moved.min(v2);
        let before = picked(bucket, &[v1, v2, v3]);
        let after = picked(bucket, &[v1, v2 - moved, v3 + moved]);
        prop_assert!(before == after || (before, after) == (1, 2));
    }

    #[test]
    fn a_bucket_is_the_hash_of_salt_and_identity(salt: Vec<u8>, cut: usize, identity: Vec<u8>) {
        #[allow(deprecated, reason = "a second implementation, not the core's")]
        let expected = {
            let key = |half: &[u8; 8]| u64::from_le_bytes(*half);
            let keys = (key(b"bluegree"), key(b"n-bucket"));
            let mut hasher = std::hash::SipHasher::new_with_keys(keys.0, keys.1);
            hasher.write(&[&salt[..], b"\0", &identity[..]].concat());
            hasher.finish()
        };
        prop_assert_eq!(bucket(&salt, &identity), expected);
        let (first, second) = salt.split_at(cut.checked_rem(salt.len()).unwrap_or(0));
        prop_assert_eq!(Bucket::of([first, second], &identity), Bucket::of([&salt, b""], &identity));
    }

    #[test]
    fn what_is_written_is_read_again(salt: Vec<u8>, identity: Vec<u8>) {
        let written = Bucket::of([&salt, b""], &identity);
        let mut buffer = itoa::Buffer::new();
        prop_assert_eq!(Bucket::parse(written.digits(&mut buffer)), Some(written));
    }

    #[test]
    fn a_plain_number_is_one_that_a_number_writes(value in "[0-9+ -]{0,8}|[0-9]{1,3}|1844674407370955[0-9]{4}") {
        let plain = value.parse::<u64>().is_ok_and(|number| number.to_string() == value);
        prop_assert_eq!(Bucket::parse(value.as_bytes()).is_some(), plain);
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
        let line = SetCookie::new("bluegreen-id".into(), &attributes).line(&id, https);
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

// -- Rollouts, routes and pins ------------------------------------------------------

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
                prop::collection::vec("(\\*\\.)?([ab]\\.){0,2}c", 1..4),
                prop::option::of(prop::collection::vec("/[xy]{0,2}", 1..3)),
            ),
            1..8,
        ),
        authority in "([abAB]\\.){0,3}[cC](:80)?",
        path in "/[xy]{0,3}(\\?/x)?",
    ) {
        let boxed = |list: &[String]| list.iter().map(|s| s.as_str().into()).collect::<Vec<_>>();
        let mut rollouts = Rollouts::default();
        let mut taken = Vec::new();
        for (place, (hosts, prefixes)) in (0..).zip(&scopes) {
            let path_prefixes = prefixes.as_ref().map(|prefixes| boxed(prefixes));
            let scope = Scope { hosts: boxed(hosts), path_prefixes };
            for pair in rollouts.add(&scope, place) {
                taken.push((place, pair.host, pair.prefix));
            }
        }
        let bare = path.split('?').next().unwrap();
        // All that fit, each as how exact its host is, and how long its prefix.
        let every_path = vec![String::new()];
        let fitting = (0_u16..).zip(&scopes).flat_map(|(place, (hosts, prefixes))| {
            let prefixes = prefixes.as_ref().unwrap_or(&every_path);
            let pairs = hosts.iter().flat_map(move |host| prefixes.iter().map(move |p| (host, p)));
            pairs.map(move |(host, prefix)| (place, host, prefix))
        });
        let best = fitting
            .filter(|(_, host, prefix)| host_matches(host, &authority) && bare.starts_with(*prefix))
            .filter(|(place, host, prefix)| {
                !taken.iter().any(|(of, h, p)| of == place && **h == **host && **p == **prefix)
            })
            .max_by_key(|(place, host, prefix)| {
                let exact = !host.starts_with('*');
                (exact, host.len(), prefix.len(), std::cmp::Reverse(*place))
            });
        let host = host::of_authority(authority.as_bytes());
        let found = rollouts.find(|| &host, || Some(path.as_bytes()));
        prop_assert_eq!(found, best.map(|(place, ..)| place));
    }

    #[test]
    fn any_bytes_are_a_host(authority: Vec<u8>) {
        let host = host::of_authority(&authority);
        prop_assert!(host.len() <= authority.len());
        prop_assert!(!host.iter().any(u8::is_ascii_uppercase));
        for end in host::suffixes(&host) {
            prop_assert!(host.ends_with(end) && end.starts_with(b".") && end.len() < host.len());
        }
    }

    #[test]
    fn any_bytes_are_a_route_and_its_names_may_stand_in_a_metric(header: Vec<u8>) {
        let header = [b"via_upstream ", &*header].concat();
        let target = Route::of_header(&header).unwrap().target;
        let is_label = |name: &str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.*".contains(&b))
        };
        prop_assert!(target.rollout().is_none_or(|name| is_label(&name)));
        prop_assert!(target.version().is_none_or(|version| is_label(version.name())));
    }

    #[test]
    fn a_version_answers_to_each_end_behind_a_hyphen(parts in prop::collection::vec("[a-z0-9]{1,4}", 1..5)) {
        let name = parts.join("-");
        let version = Version::new(name.as_bytes()).unwrap();
        let ends: Vec<String> = (0..parts.len()).map(|from| parts[from..].join("-")).collect();
        for from in 0..name.len() {
            let end = &name[from..];
            prop_assert_eq!(version.answers_to(end.as_bytes()), ends.iter().any(|e| e == end));
        }
    }

    #[test]
    fn a_query_is_decoded_as_the_url_standard_says(
        query in "((version-pin|version%2Dpin|x)=?[gren%256E+=]{0,8}(green|blue|none)?&?){0,3}",
    ) {
        let first = form_urlencoded::parse(query.as_bytes())
            .find(|(name, value)| name == "version-pin" && !value.is_empty())
            .map(|(_, value)| PinRequest::of(value.as_bytes()));
        let path = format!("/?{query}");
        prop_assert_eq!(pin::in_query(path.as_bytes(), "version-pin"), first);
    }

    #[test]
    fn any_bytes_are_a_query_without_a_panic(path: Vec<u8>) {
        let request = pin::in_query(&path, "version-pin");
        prop_assert!(request.is_none() || path.contains(&b'?'));
    }
}

// -- Down the chain -------------------------------------------------------------------

fn keys() -> Keys {
    Keys {
        pin: Some("bluegreen-pin".into()),
        bucket: Some("bluegreen-bucket".into()),
    }
}

/// A member of others: any bytes but a comma, not ours, without blanks at its ends.
fn member_of_others() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"bluegreen-pin".to_vec()),
        Just(b"=".to_vec()),
        Just(b";".to_vec()),
        Just(b"%62".to_vec()),
        "[a-z ]{1,4}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 1..5),
    ];
    prop::collection::vec(piece, 1..6).prop_filter_map("it is ours, or none", |pieces| {
        let mut member = pieces.concat();
        member.retain(|byte| *byte != b',');
        let member = member.trim_ascii().to_vec();
        let key = member
            .split(|byte| *byte == b'=')
            .next()
            .unwrap_or_default();
        let is_others = !member.contains(&b'=') || !decodes_to_ours(key);
        (!member.is_empty() && is_others).then_some(member)
    })
}

/// A member of ours in one of the ways in which agents read it.
fn member_of_ours() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![Just("bluegreen-pin"), Just("bluegreen-bucket")];
    let blank = prop_oneof![
        Just(""),
        Just(" "),
        Just("+"),
        Just("%20"),
        Just("%C2%A0"),
        Just("\t")
    ];
    (name, any::<u32>(), blank.clone(), blank, "[a-z0-9;=]{0,5}").prop_map(
        |(name, encoded, before, behind, value)| {
            let key = name
                .bytes()
                .enumerate()
                .map(|(place, byte)| match encoded >> place & 1 {
                    0 => char::from(byte).to_string(),
                    _ if encoded >> 31 == 0 => format!("%{byte:02x}"),
                    _ => format!("%25{byte:02X}"),
                });
            let key: String = key.collect();
            format!("{before}{key}{behind}={value}").into_bytes()
        },
    )
}

/// Whether one of our keys is what agents make of this, as often as they decode it.
fn decodes_to_ours(key: &[u8]) -> bool {
    let mut key = key.to_vec();
    loop {
        let decoded: Vec<u8> = percent_decoded(&key);
        if decoded == key {
            break;
        }
        key = decoded;
    }
    let is_blank = |byte: &u8| !byte.is_ascii_graphic() || *byte == b'+';
    while key.first().is_some_and(is_blank) {
        key.remove(0);
    }
    while key.last().is_some_and(is_blank) {
        key.pop();
    }
    ["bluegreen-pin", "bluegreen-bucket"]
        .iter()
        .any(|name| key.eq_ignore_ascii_case(name.as_bytes()))
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let digits = text
            .get(at + 1..at + 3)
            .and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits
            .filter(|two| text[at] == b'%' && two.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        decoded.push(byte.unwrap_or(text[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    decoded
}

/// What becomes of lines of baggage when it is to have these members of ours.
fn written(lines: &[Vec<u8>], ours: Members<'_>) -> (Option<Vec<u8>>, bool) {
    let fields: Vec<_> = lines
        .iter()
        .map(|line| (baggage::HEADER, line.as_slice()))
        .collect();
    let bytes = headers::serialized(&fields);
    let headers = Headers::new(bytes.as_slice().into());
    let keys = keys();
    let written = Baggage::read(&keys, &headers).with(ours);
    let line = match written.edit {
        Edit::Keep => return (None, written.is_full),
        Edit::Add(line) | Edit::Set(line) => line,
        Edit::Remove => Vec::new(),
    };
    (Some(line), written.is_full)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]
    #[test]
    fn members_of_others_stay_byte_for_byte_and_ours_go(
        members in prop::collection::vec(
            prop_oneof![
                (Just(false), member_of_others()),
                (Just(true), member_of_ours()),
            ],
            0..9,
        ),
        lines in prop::collection::vec(any::<bool>(), 9),
        bucket in prop::option::of("[0-9]{1,20}"),
    ) {
        let mut text = vec![Vec::new()];
        for ((_, member), is_new_line) in members.iter().zip(&lines) {
            if *is_new_line {
                text.push(Vec::new());
            }
            let line = text.last_mut().unwrap();
            if !line.is_empty() {
                line.extend_from_slice(b" ,\t");
            }
            line.extend_from_slice(member);
        }
        let mut expected: Vec<&[u8]> = members
            .iter()
            .filter_map(|(is_ours, member)| (!is_ours).then_some(member.as_slice()))
            .collect();
        let own = bucket.as_ref().map(|bucket| format!("bluegreen-bucket={bucket}"));
        expected.extend(own.as_ref().map(String::as_bytes));
        let ours = Members { pin: None, bucket: bucket.as_ref().map(String::as_bytes) };
        let (line, is_full) = written(&text, ours);
        prop_assert!(!is_full);
        match line {
            Some(line) => prop_assert_eq!(line, expected.join(&b','), "{:?}", text),
            None => {
                let is_there = |(is_ours, _): &&(bool, Vec<u8>)| *is_ours;
                let number = members.iter().filter(is_there).count();
                prop_assert_eq!(number, usize::from(bucket.is_some()), "{:?}", text);
            }
        }
    }

    #[test]
    fn baggage_never_becomes_longer_than_proxies_have_to_pass_on(
        number in 0..70_usize,
        length in 0..8300_usize,
    ) {
        let mut line = vec!["a=1"; number].join(",").into_bytes();
        if line.len() < length {
            line.extend(vec![b'x'; length - line.len()]);
        }
        let ours = Members { pin: Some(b"green"), bucket: Some(b"56") };
        let all = b",bluegreen-pin=green,bluegreen-bucket=56";
        let number = line.split(|b| *b == b',').filter(|m| !m.is_empty()).count();
        let (written, is_full) = written(std::slice::from_ref(&line), ours);
        let has_room = number + 2 <= 64 && line.len() + all.len() <= 8192;
        prop_assert_eq!(is_full, !has_room);
        if let Some(written) = written {
            prop_assert!(written.starts_with(&line));
            prop_assert!(written.len() <= 8192 && written.split(|b| *b == b',').count() <= 64);
        }
    }

    #[test]
    fn any_bytes_are_baggage(lines in prop::collection::vec(any::<Vec<u8>>(), 0..3)) {
        let ours = Members { pin: Some(b"green"), bucket: None };
        let (line, _) = written(&lines, ours);
        prop_assert!(line.is_none_or(|line| line.ends_with(b"bluegreen-pin=green")));
    }

    #[test]
    fn a_list_of_pins_is_the_same_in_both_forms(
        entries in prop::collection::vec(("([a-z0-9_-]{1,3}\\.){0,2}[a-z0-9_-]{1,3}", "[a-z0-9]([a-z0-9-]{0,3}[a-z0-9])?"), 1..5),
    ) {
        prop_assume!(entries.iter().all(|(_, version)| version != "none"));
        let written: Vec<String> = entries.iter().map(|(name, v)| format!("{name}={v}")).collect();
        let token: Vec<String> = entries.iter().map(|(name, v)| format!("{name}.{v}")).collect();
        let list = PinList::new(written.join(",").as_bytes()).unwrap();
        prop_assert_eq!(list.token(), token.join("..").into_bytes());
        prop_assert_eq!(PinList::of_token(&list.token()), Some(list.clone()));
        for (name, _) in &entries {
            let first = entries.iter().find(|(other, _)| other == name);
            let found = list.version_of(|other| other == name.as_bytes());
            prop_assert_eq!(found.as_deref(), first.map(|(_, version)| version.as_bytes()));
        }
    }

    #[test]
    fn any_bytes_are_a_list_or_none(value in "[a-z0-9._=, -]{0,24}") {
        for list in [PinList::new(value.as_bytes()), PinList::of_token(value.as_bytes())].into_iter().flatten() {
            prop_assert_eq!(PinList::new(list.bytes()), Some(list.clone()));
            prop_assert_eq!(PinList::of_token(&list.token()), Some(list));
        }
    }
}

// -- Configurations -----------------------------------------------------------------

proptest! {
    #[test]
    fn any_bytes_are_a_configuration_or_errors(json: Vec<u8>) {
        if let Err(errors) = config::parse(&json) {
            prop_assert!(errors.lines().count() > 0);
        }
    }

    #[test]
    fn each_error_is_one_line_that_starts_with_a_path(
        field in "role|pin|tag|identity|rollouts|bucketHeader|routeHeader|\\PC{0,8}",
        value in "true|-?[0-9]{1,9}|\"\\PC{0,90}\"|\\[\\]|\\[\\{\\}\\]|\\{\"\\PC{0,90}\": 1\\}",
    ) {
        let json = format!("{{{}: {value}}}", serde_json::to_string(&field).unwrap());
        if let Err(errors) = config::parse(json.as_bytes()) {
            for line in errors.lines() {
                prop_assert!(!line.contains('\n'));
                prop_assert!(line.contains(": "), "{}", line);
                prop_assert!(line.len() < 1500, "{}", line);
            }
        }
    }
}

// -- Signed pins --------------------------------------------------------------

struct Proxy;

impl Verifier for Proxy {
    fn seconds(&self) -> u64 {
        signing::NOW
    }

    fn verify_signature(&self, arguments: &[u8]) -> Option<Vec<u8>> {
        Some(signing::verify_signature(arguments))
    }
}

/// Good tokens of both algorithms.
static TOKENS: LazyLock<[String; 2]> = LazyLock::new(|| {
    let es = signing::Token::default();
    let rs = signing::Token {
        key: "rs".to_owned(),
        header: r#"{"alg":"RS256","kid":"a"}"#.to_owned(),
        ..es.clone()
    };
    [es.text(), rs.text()]
});

/// The version that a token pins.
fn pinned(token: &[u8]) -> Option<Vec<u8>> {
    let json = r#"{"pin": {"keys": [{"name": "a", "publicKey": "${key:es}"},
                                    {"name": "b", "publicKey": "${key:rs}"}]}}"#;
    let config = config::parse(signing::with_keys(json).as_bytes()).unwrap();
    let names = Names {
        host: b"shop.example",
        rollout: None,
    };
    let checker = Checker {
        known: &RefCell::default(),
        verifier: &Proxy,
    };
    let pins = config.mesh.signed_pins().unwrap();
    let (version, _) = pins.check(token, &names, checker).ok()?;
    Some(version.to_vec())
}

#[test]
fn no_byte_of_a_token_changed_by_one_bit_pins() {
    for token in &*TOKENS {
        assert_eq!(pinned(token.as_bytes()).as_deref(), Some(&b"green"[..]));
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] ^= 1 << (at % 8);
            assert_eq!(pinned(&changed), None, "at {at}");
        }
    }
}

proptest! {
    #[test]
    fn no_token_with_changed_bytes_pins(
        which in 0..2_usize,
        changes in prop::collection::vec((any::<Index>(), prop_oneof!["[A-Za-z0-9_.-]", "[\0-\u{7f}]"]), 1..4),
        cut in prop::option::weighted(0.1, any::<Index>()),
    ) {
        let token = TOKENS[which].as_bytes();
        let mut changed = token.to_vec();
        for (at, byte) in changes {
            *at.get_mut(&mut changed) = byte.as_bytes()[0];
        }
        if let Some(cut) = cut {
            changed.truncate(cut.index(token.len()));
        }
        prop_assume!(changed != token);
        prop_assert_eq!(pinned(&changed), None);
    }

    #[test]
    fn no_bytes_are_too_odd_for_a_token(bytes in prop::collection::vec(any::<u8>(), 0..300), claims: String) {
        prop_assert_eq!(pinned(&bytes), None);
        let made = signing::Token {
            claims: claims.chars().filter(|c| u32::from(*c) < 256).collect(),
            ..signing::Token::default()
        };
        prop_assert_eq!(pinned(made.text().as_bytes()), None);
    }
}
