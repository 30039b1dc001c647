//! Rust source with everything blanked that is not code, so that rules can look for words and
//! count braces without being fooled by a string. Lines keep their numbers.

/// Blanks comments and the contents of string and character literals.
pub(crate) fn code(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match skipped(bytes, at) {
            Some(end) => {
                blank(&mut out, at, end);
                end
            }
            None => at + 1,
        };
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Blanks items under `#[cfg(test)]` in text that went through [`code`].
pub(crate) fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.as_bytes().to_vec();
    let mut at = 0;
    while let Some(found) = code.get(at..).and_then(|rest| rest.find(MARK)) {
        let start = at + found;
        let end = item_end(code.as_bytes(), start + MARK.len());
        blank(&mut out, start, end);
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the item that begins at or after `from` ends: behind its `;` or its closing brace.
pub(crate) fn item_end(code: &[u8], from: usize) -> usize {
    let mut at = from;
    let mut depth = 0_usize;
    while let Some(byte) = code.get(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b';' if depth == 0 => return at + 1,
            b'{' if depth == 0 => return closing_brace(code, at),
            _ => {}
        }
        at += 1;
    }
    at
}

/// Behind the brace that closes the one at `open`.
fn closing_brace(code: &[u8], open: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = open;
    while let Some(byte) = code.get(at) {
        at += 1;
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn blank(out: &mut [u8], from: usize, to: usize) {
    let to = to.min(out.len());
    for byte in out.get_mut(from..to).unwrap_or_default() {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

/// End of the comment or literal that begins at `at`, if one does.
fn skipped(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    if rest.starts_with(b"//") {
        return Some(find(bytes, at, b"\n").unwrap_or(bytes.len()));
    }
    if rest.starts_with(b"/*") {
        return Some(comment_end(bytes, at));
    }
    let after_word = at > 0 && bytes.get(at - 1).is_some_and(|b| is_word(*b));
    match rest.first()? {
        b'"' => Some(quoted_end(bytes, at + 1)),
        b'\'' => character_end(bytes, at),
        b'r' | b'b' | b'c' if !after_word => prefixed_end(bytes, at),
        _ => None,
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn find(bytes: &[u8], from: usize, what: &[u8]) -> Option<usize> {
    let rest = bytes.get(from..)?;
    rest.windows(what.len()).position(|window| window == what).map(|found| from + found)
}

/// Block comments nest.
fn comment_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with(b"*/") {
            depth = depth.saturating_sub(1);
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += 1;
        }
    }
    at
}

fn quoted_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// `'x'` and `'\n'` are literals, `'a` is a lifetime.
fn character_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        return find(bytes, at + 3, b"'").map(|end| end + 1);
    }
    let text = std::str::from_utf8(bytes.get(at + 1..bytes.len().min(at + 6))?);
    let first = match text {
        Ok(text) => text.chars().next()?,
        Err(error) => {
            let valid = bytes.get(at + 1..at + 1 + error.valid_up_to())?;
            std::str::from_utf8(valid).ok()?.chars().next()?
        }
    };
    let end = at + 1 + first.len_utf8();
    (bytes.get(end) == Some(&b'\'')).then_some(end + 1)
}

/// `r"…"`, `r#"…"#`, `b"…"`, `br"…"`, `c"…"`, `b'x'`.
fn prefixed_end(bytes: &[u8], at: usize) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let letters = rest.iter().take_while(|b| matches!(b, b'r' | b'b' | b'c')).count().min(2);
    let raw = rest.get(..letters)?.contains(&b'r');
    let hashes = rest.get(letters..)?.iter().take_while(|b| **b == b'#').count();
    let quote = at + letters + hashes;
    match (bytes.get(quote)?, raw) {
        (b'"', true) => {
            let mut close = vec![b'"'];
            close.resize(hashes + 1, b'#');
            Some(find(bytes, quote + 1, &close).map_or(bytes.len(), |end| end + close.len()))
        }
        (b'"', false) if hashes == 0 => Some(quoted_end(bytes, quote + 1)),
        (b'\'', false) if hashes == 0 => character_end(bytes, quote),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_code_is_blank() {
        for (source, want) in [
            ("a // { \nb", "a\nb"),
            ("a /* { /* } */ */ b", "a b"),
            ("f(\"}\\\"{\") {", "f( ) {"),
            ("r\"\\\" x", "x"),
            ("r#\"a\"}\"# x", "x"),
            ("br#\"}\"# x", "x"),
            ("b\"}\" x", "x"),
            ("b'{' x", "x"),
            ("'{' '\\'' '\\u{7f}' x", "x"),
            ("'é' x", "x"),
            ("&'a str; for<'b> {", "&'a str; for<'b> {"),
            ("bar\"}\"", "bar"),
            ("r#match { }", "r#match { }"),
            ("\"never closed {", ""),
        ] {
            let code = code(source);
            assert_eq!(code.len(), source.len(), "{source:?}: columns move");
            let lines = code.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let squeezed: Vec<String> = lines.map(|words| words.join(" ")).collect();
            assert_eq!(squeezed.join("\n"), want, "{source:?}");
        }
    }

    #[test]
    fn tests_are_blanked_and_nothing_else() {
        let source = "a();\n#[cfg(test)]\nmod tests {\n  fn f() { g() }\n}\nb();\n";
        let code = without_tests(&code(source));
        assert_eq!(code.lines().count(), 6);
        assert_eq!(code.split_whitespace().collect::<Vec<_>>(), ["a();", "b();"]);
        let source = "#[cfg(test)]\nmod tests;\nfn a(x: [u8; 2]) {}";
        assert_eq!(without_tests(source).trim(), "fn a(x: [u8; 2]) {}");
    }
}
