//! Any bytes are a configuration, or errors that say where.
#![no_main]

use bluegreen::core::config::{self, ConfigErrors};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    let Err(errors) = config::parse(json) else {
        return;
    };
    let lines: Vec<String> = errors.lines().collect();
    assert!((1..=ConfigErrors::MOST + 1).contains(&lines.len()));
    for (i, line) in lines.iter().enumerate() {
        if i == ConfigErrors::MOST {
            assert!(line.starts_with("and "), "{line}");
            break;
        }
        assert!(line.contains(": "), "no path: {line}");
        assert!(!line.contains(char::is_control), "breaks the log: {line}");
    }
});
