//! Reads one section of the tree and collects what is wrong with it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;

use super::entry::{Entry, Node};
use super::keys;
use super::problem::{Origin, Problem};

/// Similarity from which an unknown key is taken for a typing error.
const CLOSE: f64 = 0.7;
/// Longest part of a value that a message shows.
const SHOWN: usize = 60;

/// One section. Every value that was asked for and is wrong becomes a [`Problem`]; the caller
/// goes on with `None`.
pub(crate) struct Section<'a, 'p> {
    members: Option<&'a BTreeMap<String, Entry>>,
    /// Dotted path, such as `gate.route[0]`.
    path: String,
    heading: String,
    origin: Origin,
    problems: &'p mut Vec<Problem>,
}

impl<'a, 'p> Section<'a, 'p> {
    /// Opens a section and reports keys that it does not have. `heading` is as in [`keys::KEYS`].
    pub(crate) fn open(
        entry: Option<&'a Entry>,
        path: String,
        heading: &str,
        problems: &'p mut Vec<Problem>,
    ) -> Self {
        let origin = entry.map_or(Origin::Missing, |entry| entry.origin.clone());
        let members = match entry.map(|entry| &entry.node) {
            Some(Node::Table(members)) => Some(members),
            Some(other) => {
                let reason = format!("expected a section, found {}", other.kind());
                let fix = format!("write it as {heading}");
                let key = path.clone();
                let origin = origin.clone();
                problems.push(Problem { origin, key, value: String::new(), reason, fix });
                None
            }
            None => None,
        };
        let known: Vec<&str> = if heading.is_empty() {
            keys::of_top().collect()
        } else {
            let inner = heading.trim_matches(['[', ']']);
            let nested = keys::KEYS.iter().filter_map(|key| {
                key.section.trim_matches(['[', ']']).strip_prefix(inner)?.strip_prefix('.')
            });
            keys::of_section(heading).chain(nested).collect()
        };
        let section = Self { members, path, heading: heading.to_owned(), origin, problems };
        section.report_unknown(&known)
    }

    fn report_unknown(self, known: &[&str]) -> Self {
        for (name, entry) in self.members.into_iter().flatten() {
            if known.contains(&name.as_str()) {
                continue;
            }
            let closest = known
                .iter()
                .map(|candidate| (strsim::jaro_winkler(name, candidate), *candidate))
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .filter(|(score, _)| *score >= CLOSE);
            let fix = match closest {
                Some((_, candidate)) => format!("did you mean {candidate}?"),
                None => format!("the keys here are {}", known.join(", ")),
            };
            self.problems.push(Problem {
                origin: entry.origin.clone(),
                key: join(&self.path, name),
                value: String::new(),
                reason: "there is no such key".to_owned(),
                fix,
            });
        }
        self
    }

    pub(crate) fn entry(&self, name: &str) -> Option<&'a Entry> {
        self.members?.get(name)
    }

    /// Reports a fault of a key that was read.
    pub(crate) fn problem(
        &mut self,
        name: &str,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let entry = self.entry(name);
        let origin = entry.map_or_else(|| self.origin.clone(), |entry| entry.origin.clone());
        let value = entry.map_or_else(String::new, |entry| shown(&entry.node));
        let key = join(&self.path, name);
        self.problems.push(Problem { origin, key, value, reason: reason.into(), fix: fix.into() });
    }

    /// Reports a fault that was found after reading, at an entry of a list below this section.
    /// One fault of a key is enough.
    pub(crate) fn fault(&mut self, entry: &Entry, key: String, reason: String) {
        if self.problems.iter().any(|known| known.key == key) {
            return;
        }
        let (origin, value, fix) = (entry.origin.clone(), String::new(), String::new());
        self.problems.push(Problem { origin, key, value, reason, fix });
    }

    fn missing(&mut self, name: &str) {
        let here = |key: &&keys::Key| key.name == name && key.section == self.heading;
        let help = keys::KEYS.iter().find(here).map_or("", |key| key.help);
        let origin = self.origin.clone();
        let key = join(&self.path, name);
        let (reason, fix) = ("this key is required".to_owned(), help.to_owned());
        self.problems.push(Problem { origin, key, value: String::new(), reason, fix });
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match &self.entry(name)?.node {
            Node::Text(text) => Some(text.clone()),
            other => {
                let kind = other.kind();
                self.problem(name, format!("expected text, found {kind}"), "put it in quotes");
                None
            }
        }
    }

    pub(crate) fn required_text(&mut self, name: &str) -> Option<String> {
        if self.entry(name).is_none() {
            self.missing(name);
            return None;
        }
        self.text(name)
    }

    /// Text that is parsed; `fix` says how it is written.
    pub(crate) fn parsed<T>(&mut self, name: &str, fix: &str) -> Option<T>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        let text = self.text(name)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(name, error.to_string(), fix);
                None
            }
        }
    }

    /// One of a closed set of words.
    pub(crate) fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let list: Vec<_> = words.iter().map(|(word, _)| *word).collect();
            self.problem(name, "there is no such choice", format!("write {}", list.join(" or ")));
        }
        found
    }

    pub(crate) fn address(&mut self, name: &str, default: SocketAddr) -> SocketAddr {
        self.parsed(name, "write IP:PORT, such as 127.0.0.1:4020").unwrap_or(default)
    }

    /// A whole number within bounds.
    pub(crate) fn number(&mut self, name: &str, default: u64, bounds: (u64, u64)) -> u64 {
        let Some(entry) = self.entry(name) else { return default };
        let number = match &entry.node {
            Node::Integer(number) => u64::try_from(*number).ok(),
            Node::Text(text) if matches!(entry.origin, Origin::Env(_)) => text.parse().ok(),
            _ => None,
        };
        match number.filter(|number| (bounds.0..=bounds.1).contains(number)) {
            Some(number) => number,
            None => {
                let reason = format!("expected a whole number from {} to {}", bounds.0, bounds.1);
                self.problem(name, reason, "");
                default
            }
        }
    }

    pub(crate) fn truth(&mut self, name: &str) -> bool {
        self.truth_or(name, false)
    }

    pub(crate) fn truth_or(&mut self, name: &str, default: bool) -> bool {
        match self.entry(name).map(|entry| &entry.node) {
            None => default,
            Some(Node::Bool(truth)) => *truth,
            Some(Node::Text(text)) if text == "true" || text == "false" => text == "true",
            Some(_) => {
                self.problem(name, "expected true or false", "");
                default
            }
        }
    }

    /// A list of texts; one text alone is a list of one, and the environment separates by commas.
    pub(crate) fn texts(&mut self, name: &str) -> Vec<String> {
        let Some(entry) = self.entry(name) else { return Vec::new() };
        match &entry.node {
            Node::Text(text) if matches!(entry.origin, Origin::Env(_)) => {
                text.split(',').map(|part| part.trim().to_owned()).collect()
            }
            Node::Text(text) => vec![text.clone()],
            Node::List(items) if items.iter().all(|item| matches!(item.node, Node::Text(_))) => {
                items
                    .iter()
                    .filter_map(|item| match &item.node {
                        Node::Text(text) => Some(text.clone()),
                        _ => None,
                    })
                    .collect()
            }
            _ => {
                self.problem(name, "expected a list of texts", "write [\"...\", \"...\"]");
                Vec::new()
            }
        }
    }

    /// The entries of a list of tables.
    pub(crate) fn tables(&mut self, name: &str) -> Vec<&'a Entry> {
        match self.entry(name).map(|entry| &entry.node) {
            None => Vec::new(),
            Some(Node::List(items)) => items.iter().collect(),
            Some(other) => {
                let reason = format!("expected a list of tables, found {}", other.kind());
                let heading = format!("write it as [[{}]]", join(&self.path, name));
                self.problem(name, reason, heading);
                Vec::new()
            }
        }
    }

    /// An entry of a list of tables below this one.
    pub(crate) fn below<'b>(
        &mut self,
        entry: &'b Entry,
        path: String,
        heading: &str,
    ) -> Section<'b, '_> {
        Section::open(Some(entry), path, heading, self.problems)
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A value for people. What looks like a key, and the middle of a URL that may hold one, is
/// masked.
pub(crate) fn shown(node: &Node) -> String {
    match node {
        Node::Text(text) => format!("\"{}\"", mask(text)),
        Node::Integer(number) => number.to_string(),
        Node::Bool(truth) => truth.to_string(),
        Node::List(_) | Node::Table(_) | Node::Other(_) => String::new(),
    }
}

/// Hides what may be secret.
pub(crate) fn mask(text: &str) -> String {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    const KEY_DIGITS: usize = 64;
    if digits.len() >= KEY_DIGITS && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return "(masked)".to_owned();
    }
    if let Ok(url) = url::Url::parse(text)
        && let Some(host) = url.host_str()
    {
        let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
        let plain = url.path() == "/" && url.query().is_none() && url.username().is_empty();
        let rest = if plain { "" } else { "/(masked)" };
        return format!("{}://{host}{port}{rest}", url.scheme());
    }
    // What is meant to be a URL and is none may hold a password all the same.
    if let Some((scheme, _)) = text.split_once("://") {
        return format!("{}://(masked)", scheme.chars().take(SHOWN).collect::<String>());
    }
    let cut: String = text.chars().take(SHOWN).collect();
    if cut.len() < text.len() { format!("{cut}...") } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked() {
        assert_eq!(mask(&"ab".repeat(32)), "(masked)");
        assert_eq!(
            mask("https://u:p@rpc.example.com/v2/KEY?x=1"),
            "https://rpc.example.com/(masked)"
        );
        assert_eq!(mask("http://127.0.0.1:8545"), "http://127.0.0.1:8545");
        assert_eq!(mask("redis://:secret@host:port"), "redis://(masked)");
        assert_eq!(mask("postgres://user:secret@/"), "postgres://(masked)");
        assert_eq!(mask("deny"), "deny");
        assert_eq!(mask(&"x".repeat(99)).len(), SHOWN + 3);
    }
}
