//! Is a raw path spelled in the one way that everybody reads alike?
//!
//! The gate judges the bytes it forwards. A path that two parsers could read differently would let
//! a priced resource be reached under a free name, so it is refused, never normalised.

/// Characters that a compatible normalisation turns into a dot, a slash or a backslash.
const LOOKALIKES: &[char] = &[
    '\u{2024}', '\u{2025}', '\u{2026}', '\u{2044}', '\u{2215}', '\u{29f8}', '\u{fe52}', '\u{fe68}',
];

/// The path can be read in more than one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ambiguous;

/// Judges a raw path (no query) and returns its segments, decoded: those between the slashes, so
/// that `/` has one empty segment and `/a/` has two, `a` and an empty one.
pub(crate) fn segments(path: &str) -> Result<Vec<String>, Ambiguous> {
    let rest = path.strip_prefix('/').ok_or(Ambiguous)?;
    let last = rest.split('/').count().saturating_sub(1);
    rest.split('/').enumerate().map(|(i, raw)| segment(raw, i == last)).collect()
}

fn segment(raw: &str, is_last: bool) -> Result<String, Ambiguous> {
    if (raw.is_empty() && !is_last) || raw == "." || raw == ".." {
        return Err(Ambiguous);
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        if byte == b'%' {
            let escaped = escaped(bytes.next(), bytes.next())?;
            // `%2577` is `%77` after one decoding and `w` after two.
            if escaped == b'%' && starts_with_escape(bytes.as_slice()) {
                return Err(Ambiguous);
            }
            decoded.push(escaped);
        } else if is_plain(byte) {
            decoded.push(byte);
        } else {
            return Err(Ambiguous);
        }
    }
    let text = String::from_utf8(decoded).map_err(|_| Ambiguous)?;
    if text.chars().any(is_lookalike) { Err(Ambiguous) } else { Ok(text) }
}

/// The octet behind `%XX`, if it is one that has no plain spelling and separates nothing.
fn escaped(high: Option<&u8>, low: Option<&u8>) -> Result<u8, Ambiguous> {
    let digit = |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).ok_or(Ambiguous);
    let octet = u8::try_from((digit(high)? << 4) | digit(low)?).map_err(|_| Ambiguous)?;
    let separates = matches!(octet, b'/' | b'\\' | b';' | b'?' | b'#');
    if is_plain(octet) || separates || octet.is_ascii_control() {
        return Err(Ambiguous);
    }
    Ok(octet)
}

fn starts_with_escape(rest: &[u8]) -> bool {
    matches!(rest, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
}

/// Characters of a path segment by RFC 3986, without `;`, whose parameters some servers cut off.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte)
}

fn is_lookalike(c: char) -> bool {
    ('\u{ff01}'..='\u{ff5e}').contains(&c) || LOOKALIKES.contains(&c) || c.is_control()
}

/// What a segment is to an application that minds neither letter case nor trailing dots and
/// spaces.
pub(crate) fn folded(segment: &str) -> String {
    let plain = segment.trim_end_matches(['.', ' ']);
    let upper = plain.chars().flat_map(char::to_uppercase);
    upper.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_paths_are_read() {
        for (path, want) in [
            ("/", vec![""]),
            ("/weather", vec!["weather"]),
            ("/a/b-c_d.e~f", vec!["a", "b-c_d.e~f"]),
            ("/a/", vec!["a", ""]),
            ("/a%20b", vec!["a b"]),
            ("/caf%C3%A9", vec!["café"]),
            ("/100%25", vec!["100%"]),
            ("/a:b@c!$&'()*+,=", vec!["a:b@c!$&'()*+,="]),
            ("/...", vec!["..."]),
        ] {
            assert_eq!(segments(path).unwrap(), want, "{path}");
        }
    }

    #[test]
    fn tricks_are_ambiguous() {
        for path in [
            "",
            "*",
            "weather",
            "//weather",
            "/a//b",
            "/./weather",
            "/a/.",
            "/a/..",
            "/../weather",
            "/x/../weather",
            "/weath\\er",
            "/weather;a=b",
            "/weather%3Ba",
            "/%77eather",
            "/weather%3Fa",
            "/weather%23",
            "/weather%2f",
            "/a%2Fb",
            "/a%5cb",
            "/%2e/weather",
            "/%2E%2e/weather",
            "/weather%00",
            "/weather%0a",
            "/weather%7f",
            "/%2577eather",
            "/%252fweather",
            "/%",
            "/%4",
            "/%zz",
            "/we ather",
            "/weather\u{e9}",
            "/%c0%afweather",
            "/%ff",
            "/%EF%BC%8E%EF%BC%8E/weather",
            "/%E2%80%A5/weather",
            "/a%21b",
            "/a\"b",
            "/a|b",
            "/a{b}",
            "/weather\t",
            "/%C2%85",
        ] {
            assert_eq!(segments(path), Err(Ambiguous), "{path:?}");
        }
    }

    #[test]
    fn folding_forgets_case_and_trailing_dots() {
        for (a, b) in [
            ("WEATHER", "weather"),
            ("weather. .", "weather"),
            ("\u{17f}ecret", "SECRET"),
            ("\u{212a}ey", "key"),
        ] {
            assert_eq!(folded(a), folded(b), "{a} {b}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_panic(path in ".*") {
            let _ = segments(&path);
        }

        #[test]
        fn one_accepted_spelling_for_each_meaning(path in "/[a-z%0-9A-F./]{0,12}") {
            // Upper and lower case digits of an escape are the one freedom left; folding closes it.
            if let Ok(read) = segments(&path) {
                let again: Vec<String> = read.iter().map(|text| spelled(text)).collect();
                prop_assert_eq!(path.to_uppercase(), format!("/{}", again.join("/")).to_uppercase());
            }
        }
    }

    fn spelled(text: &str) -> String {
        text.bytes()
            .map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
            .collect()
    }
}
