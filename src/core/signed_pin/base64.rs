//! Reads base64 (RFC 4648).

/// Returns the bytes that `text` stands for, without padding; `last` are the characters
/// for 62 and 63. `None` where it is not base64, or not the only text of its bytes.
pub(super) fn decoded(text: &[u8], last: [u8; 2]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut bits = 0_u32;
    let mut count = 0_u32;
    for &b in text {
        let six = match b {
            b'A'..=b'Z' => b.wrapping_sub(b'A'),
            b'a'..=b'z' => b.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => b.wrapping_sub(b'0').wrapping_add(52),
            b if b == last[0] => 62,
            b if b == last[1] => 63,
            _ => return None,
        };
        bits = bits.wrapping_shl(6) | u32::from(six);
        count = count.wrapping_add(6);
        if count >= 8 {
            count = count.wrapping_sub(8);
            let [.., byte] = bits.wrapping_shr(count).to_be_bytes();
            bytes.push(byte);
            bits &= 1_u32.wrapping_shl(count).wrapping_sub(1);
        }
    }
    // What is left over: no whole character, and no bit that says nothing.
    (bits == 0 && count < 6).then_some(bytes)
}

/// The last two characters of the alphabet for URLs (RFC 4648 5).
pub(super) const URL: [u8; 2] = *b"-_";

/// The last two characters of the alphabet of PEM (RFC 4648 4).
pub(super) const PEM: [u8; 2] = *b"+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648() {
        for (text, bytes) in [
            ("", ""),
            ("Zg", "f"),
            ("Zm8", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg", "foob"),
            ("Zm9vYmE", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            assert_eq!(
                decoded(text.as_bytes(), URL).as_deref(),
                Some(bytes.as_bytes())
            );
        }
        assert_eq!(decoded(b"-_-_", URL), Some(vec![0xfb, 0xff, 0xbf]));
        assert_eq!(decoded(b"+/+/", PEM), Some(vec![0xfb, 0xff, 0xbf]));
    }

    #[test]
    fn each_text_of_bytes_is_the_only_one() {
        for bad in [
            "Z", "Zm9vY", "Zh", "Zm9", "Zg==", "Zm 8", "Zm8\n", "+/+/", "Zm\u{e9}",
        ] {
            assert_eq!(decoded(bad.as_bytes(), URL), None, "{bad:?}");
        }
        assert_eq!(decoded(b"-_-_", PEM), None);
    }
}
