//! The command and the module share the core, and nothing else.

use std::collections::BTreeMap;

const LOCK: &str = include_str!("../Cargo.lock");
const OF_MODULE: &str = include_str!("../../Cargo.lock");
const MANIFEST_OF_MODULE: &str = include_str!("../../Cargo.toml");

/// The packages of a lock file, with their versions.
fn packages(lock: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock.split("[[package]]").skip(1) {
        let field = |name: &str| {
            let mut lines = package.lines();
            let line = lines.find_map(|line| line.strip_prefix(&format!("{name} = \"")));
            line.expect(name).trim_end_matches('"')
        };
        all.entry(field("name")).or_default().push(field("version"));
    }
    all
}

#[test]
fn nothing_of_the_command_is_in_the_lock_file_of_the_module() {
    let of_module = packages(OF_MODULE);
    for name in [
        "bluegreen-cli",
        "clap_mangen",
        "hyper",
        "kube",
        "saphyr-parser",
        "regex-lite",
    ] {
        assert!(!of_module.contains_key(name), "{name}");
    }
    assert!(!MANIFEST_OF_MODULE.contains("[workspace"));
}

/// Otherwise the command might decide otherwise than the filter.
#[test]
fn the_core_has_the_same_dependencies_in_both() {
    let (own, of_module) = (packages(LOCK), packages(OF_MODULE));
    let (_, rest) = MANIFEST_OF_MODULE
        .split_once("\n[dependencies]\n")
        .expect("them");
    let lines = rest.lines().take_while(|line| !line.is_empty());
    let lines = lines.filter(|line| !line.contains("optional = true"));
    let mut compared = 0;
    for name in lines.map(|line| line.split(' ').next().expect("a name")) {
        assert_eq!(own[name], of_module[name], "{name}");
        compared += 1;
    }
    assert!(compared > 5, "{compared}");
    let version = |lock: &str| packages(lock)["bluegreen"].concat();
    assert_eq!(version(LOCK), version(OF_MODULE));
    assert_eq!(version(LOCK), env!("CARGO_PKG_VERSION"));
}
