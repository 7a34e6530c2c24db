//! Any bytes are a configuration, or errors that say where.
#![no_main]

use bluegreen::core::config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    let Err(errors) = config::parse(json) else {
        return;
    };
    assert!(!errors.is_empty());
    for error in errors {
        let line = error.to_string();
        assert!(line.contains(": "), "no path: {line}");
        assert!(!line.contains(char::is_control), "breaks the log: {line}");
    }
});
