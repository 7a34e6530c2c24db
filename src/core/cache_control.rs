//! Whether a response may be kept by caches that serve many users.

/// The value that keeps a response out of every cache but the browser's own page.
pub const PRIVATE: &str = "private, no-store";

/// Returns whether a `cache-control` header (RFC 9111 5.2) says that shared caches may
/// keep the response: with `public` or `s-maxage`, in any case.
#[must_use]
pub fn is_for_shared_caches(value: &[u8]) -> bool {
    value.split(|&b| b == b',').any(|directive| {
        let name = directive.split(|&b| b == b'=').next().unwrap_or_default();
        let name = name.trim_ascii();
        name.eq_ignore_ascii_case(b"public") || name.eq_ignore_ascii_case(b"s-maxage")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_and_s_maxage_are_for_shared_caches() {
        for shared in [
            &b"public"[..],
            b"max-age=60, PUBLIC",
            b" Public ,max-age=1",
            b"s-maxage=0",
            b"S-MaxAge = \"60\"",
        ] {
            assert!(is_for_shared_caches(shared), "{shared:?}");
        }
        for private in [
            &b""[..],
            b"private",
            b"max-age=60",
            b"no-store",
            b"publicly",
            b"x-public",
            b"community=s-maxage",
            b"\xff",
            PRIVATE.as_bytes(),
        ] {
            assert!(!is_for_shared_caches(private), "{private:?}");
        }
    }
}
