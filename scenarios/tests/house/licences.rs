//! Under which licences the parts that we ship may stand, and where they may come from.

use std::iter::Peekable;
use std::vec::IntoIter;

use crate::workspace::Workspace;

/// Licences that ask for nothing but a notice; MPL-2.0 asks for the source of changed files, and we
/// change none.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "OpenSSL",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The one registry, as cargo writes it.
const REGISTRY: &str = concat!("registry+https://github.com/rust-lang/crates", ".io-index");

/// Shipped packages whose licence cannot be satisfied from the allow-list.
pub(crate) fn licences(workspace: &Workspace) -> Vec<String> {
    let shipped = workspace.shipped().into_iter().filter(|package| !package.member);
    shipped
        .filter_map(|package| {
            let name = format!("{} {}", package.name, package.version);
            match package.licence.as_deref() {
                None => Some(format!("{name} states no licence")),
                Some(expression) => match satisfied(expression) {
                    Some(true) => None,
                    Some(false) => Some(format!("{name} is under {expression}")),
                    None => Some(format!("{name}: unreadable licence {expression:?}")),
                },
            }
        })
        .collect()
}

/// Packages, for whatever purpose, that come from neither the registry nor this workspace.
pub(crate) fn sources(workspace: &Workspace) -> Vec<String> {
    workspace
        .all()
        .filter_map(|package| match package.source.as_deref() {
            Some(REGISTRY) => None,
            Some(other) => Some(format!("{} comes from {other}", package.name)),
            None if package.member => None,
            None => Some(format!("{} is a path outside the workspace", package.name)),
        })
        .collect()
}

/// Whether an SPDX expression can be satisfied from the allow-list; `None` if it is no expression.
/// A slash is the old way to write OR.
pub(crate) fn satisfied(expression: &str) -> Option<bool> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    let mut words = words.into_iter().peekable();
    let value = any(&mut words)?;
    words.next().is_none().then_some(value)
}

fn any(words: &mut Peekable<IntoIter<String>>) -> Option<bool> {
    let mut value = all(words)?;
    while words.next_if(|word| word == "OR").is_some() {
        value |= all(words)?;
    }
    Some(value)
}

fn all(words: &mut Peekable<IntoIter<String>>) -> Option<bool> {
    let mut value = one(words)?;
    while words.next_if(|word| word == "AND").is_some() {
        value &= one(words)?;
    }
    Some(value)
}

fn one(words: &mut Peekable<IntoIter<String>>) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let value = any(words)?;
        return words.next_if(|word| word == ")").map(|_| value);
    }
    if ["OR", "AND", "WITH", ")"].contains(&word.as_str()) {
        return None;
    }
    if words.next_if(|word| word == "WITH").is_some() {
        let exception = words.next()?;
        return Some(ALLOWED.contains(&format!("{word} WITH {exception}").as_str()));
    }
    Some(ALLOWED.contains(&word.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::planted::workspace;

    #[test]
    fn expressions_are_evaluated() {
        for (expression, want) in [
            ("MIT", Some(true)),
            ("GPL-3.0-only", Some(false)),
            ("MIT OR GPL-3.0-only", Some(true)),
            ("MIT AND GPL-3.0-only", Some(false)),
            ("MIT/Apache-2.0", Some(true)),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", Some(true)),
            ("(MIT OR Apache-2.0) AND AGPL-3.0", Some(false)),
            ("GPL-2.0 OR MIT AND ISC", Some(true)),
            ("Apache-2.0 WITH LLVM-exception OR GPL-2.0", Some(true)),
            ("GPL-2.0 WITH Classpath-exception-2.0", Some(false)),
            ("ISC AND (Apache-2.0 OR ISC) AND OpenSSL", Some(true)),
            ("", None),
            ("MIT OR", None),
            ("(MIT", None),
            ("MIT ISC", None),
        ] {
            assert_eq!(satisfied(expression), want, "{expression:?}");
        }
    }

    #[test]
    fn a_licence_or_source_that_is_not_allowed_is_found() {
        let bad = workspace(&[
            ("a", "GPL-3.0", None, &[("b", "normal"), ("c", "dev"), ("d", "build")]),
            ("b", "AGPL-3.0", Some(REGISTRY), &[("e", "normal")]),
            ("c", "GPL-3.0", Some("git+https://example.com/c"), &[]),
            ("d", "", Some(REGISTRY), &[]),
            ("e", "MIT", Some("registry+https://example.com"), &[]),
        ]);
        assert_eq!(
            licences(&bad),
            ["b 1.0.0 is under AGPL-3.0", "d 1.0.0: unreadable licence \"\""],
            "our own licence and test dependencies are not looked at"
        );
        assert_eq!(
            sources(&bad),
            ["c comes from git+https://example.com/c", "e comes from registry+https://example.com"]
        );
    }
}
