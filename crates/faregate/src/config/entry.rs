//! A configuration as a tree of values that remember where they came from: the file, overlaid by
//! the environment.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::problem::{Origin, Problem};

/// Prefix of environment variables: `FAREGATE__SECTION__KEY`; entries of a list of tables are
/// numbered from 0, as in `FAREGATE__CHAIN__0__RPC`.
pub(crate) const ENV_PREFIX: &str = "FAREGATE__";

/// The deployment guide's variables that mean one key here.
pub(crate) const ENV_ALIASES: &[(&str, &[&str])] = &[
    ("DATABASE_URL", &["ledger", "url"]),
    ("ENABLE_BATCH_SETTLEMENT", &["chain", "0", "batch"]),
    ("EVM_NETWORK", &["chain", "0", "network"]),
    ("EVM_RPC_URL", &["chain", "0", "rpc"]),
    ("FACILITATOR_URL", &["gate", "facilitator"]),
    ("LOG_LEVEL", &["log", "filter"]),
    ("REDIS_URL", &["cache", "redis_url"]),
];

/// Most entries of a list of tables that the environment may address.
const MAX_INDEX: usize = 255;

/// A value and its origin.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) node: Node,
    pub(crate) origin: Origin,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Node {
    Text(String),
    Integer(i64),
    Bool(bool),
    List(Vec<Entry>),
    Table(BTreeMap<String, Entry>),
    /// A kind that no key has (float, date).
    Other(&'static str),
}

impl Node {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Integer(_) => "a whole number",
            Self::Bool(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// Reads a TOML text.
pub(crate) fn parse(text: &str) -> Result<Entry, Problem> {
    let table = DeTable::parse(text).map_err(|error| Problem {
        origin: error
            .span()
            .map_or(Origin::Missing, |span| Origin::File(line_of(text, span.start))),
        key: "(syntax)".to_owned(),
        value: String::new(),
        reason: error.message().to_owned(),
        fix: String::new(),
    })?;
    Ok(Entry { node: from_table(text, table.get_ref()), origin: Origin::File(1) })
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count().saturating_add(1)
}

fn from_table(text: &str, table: &DeTable<'_>) -> Node {
    let members = table.iter().map(|(key, value)| {
        let origin = Origin::File(line_of(text, key.span().start));
        (key.get_ref().to_string(), Entry { node: from_value(text, value.get_ref()), origin })
    });
    Node::Table(members.collect())
}

fn from_value(text: &str, value: &DeValue<'_>) -> Node {
    match value {
        DeValue::String(string) => Node::Text(string.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Node::Other("a number beyond 64 bits"), Node::Integer),
        DeValue::Boolean(truth) => Node::Bool(*truth),
        DeValue::Float(_) => Node::Other("a fraction"),
        DeValue::Datetime(_) => Node::Other("a date"),
        DeValue::Array(items) => Node::List(
            items
                .iter()
                .map(|item| Entry {
                    node: from_value(text, item.get_ref()),
                    origin: Origin::File(line_of(text, item.span().start)),
                })
                .collect(),
        ),
        DeValue::Table(table) => from_table(text, table),
    }
}

/// Lays the environment over the tree. Returns the variables with our prefix that name no place.
pub(crate) fn overlay<I>(root: &mut Entry, environment: I) -> Vec<Problem>
where
    I: IntoIterator<Item = (String, String)>,
{
    let mut problems = Vec::new();
    let mut variables: Vec<_> = environment.into_iter().collect();
    variables.sort();
    // An alias first, so that the variable with our own prefix wins over it.
    variables.sort_by_key(|(name, _)| name.starts_with(ENV_PREFIX));
    for (name, value) in variables {
        let path: Vec<String> = if let Some(rest) = name.strip_prefix(ENV_PREFIX) {
            rest.split("__").map(str::to_ascii_lowercase).collect()
        } else if let Some((_, path)) = ENV_ALIASES.iter().find(|(alias, _)| *alias == name) {
            path.iter().map(|part| (*part).to_owned()).collect()
        } else {
            continue;
        };
        let leaf = Entry { node: Node::Text(value), origin: Origin::Env(name.clone()) };
        if put(root, &path, leaf).is_none() {
            problems.push(Problem {
                origin: Origin::Env(name),
                key: path.join("."),
                value: String::new(),
                reason: "this variable names no place in the configuration".to_owned(),
                fix: format!("write {ENV_PREFIX}SECTION__KEY, or {ENV_PREFIX}CHAIN__0__KEY for the first chain"),
            });
        }
    }
    problems
}

fn put(entry: &mut Entry, path: &[String], leaf: Entry) -> Option<()> {
    let Some((first, rest)) = path.split_first() else {
        *entry = leaf;
        return Some(());
    };
    if first.is_empty() {
        return None;
    }
    let below = match (&mut entry.node, first.parse::<usize>()) {
        (Node::List(items), Ok(index)) if index <= items.len() && index <= MAX_INDEX => {
            if index == items.len() {
                items.push(empty(&leaf));
            }
            items.get_mut(index)?
        }
        (Node::Table(members), Err(_)) => members.entry(first.clone()).or_insert_with(|| {
            let list = rest.first().is_some_and(|next| next.parse::<usize>().is_ok());
            let node = if list { Node::List(Vec::new()) } else { Node::Table(BTreeMap::new()) };
            Entry { node, origin: leaf.origin.clone() }
        }),
        _ => return None,
    };
    put(below, rest, leaf)
}

fn empty(leaf: &Entry) -> Entry {
    Entry { node: Node::Table(BTreeMap::new()), origin: leaf.origin.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str, environment: &[(&str, &str)]) -> (Entry, Vec<Problem>) {
        let mut root = parse(text).unwrap();
        let pairs = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let problems = overlay(&mut root, pairs);
        (root, problems)
    }

    fn at<'a>(entry: &'a Entry, path: &[&str]) -> &'a Entry {
        path.iter().fold(entry, |entry, part| match &entry.node {
            Node::Table(members) => &members[*part],
            Node::List(items) => &items[part.parse::<usize>().unwrap()],
            _ => panic!("{part} is below a leaf"),
        })
    }

    #[test]
    fn values_remember_their_line() {
        let (root, _) = tree(
            "profile = \"staging\"\n[gate]\n\nlisten = \"x\"\n[[chain]]\nrpc = [\n 'a',\n 'b']",
            &[],
        );
        assert_eq!(at(&root, &["gate", "listen"]).origin, Origin::File(4));
        assert_eq!(at(&root, &["chain", "0", "rpc", "1"]).origin, Origin::File(8));
    }

    #[test]
    fn the_environment_wins_and_the_prefix_wins_over_an_alias() {
        let (root, problems) = tree(
            "[ledger]\nurl = 'sqlite://file.db'",
            &[
                ("DATABASE_URL", "sqlite://alias.db"),
                ("FAREGATE__LEDGER__URL", "sqlite://own.db"),
                ("FAREGATE__CHAIN__0__RPC", "http://one"),
                ("UNRELATED", "x"),
            ],
        );
        assert!(problems.is_empty());
        let url = at(&root, &["ledger", "url"]);
        assert_eq!(url.node, Node::Text("sqlite://own.db".into()));
        assert_eq!(url.origin, Origin::Env("FAREGATE__LEDGER__URL".into()));
        assert_eq!(at(&root, &["chain", "0", "rpc"]).node, Node::Text("http://one".into()));
    }

    #[test]
    fn variables_that_name_no_place_are_problems() {
        for name in ["FAREGATE__", "FAREGATE__LEDGER__URL__DEEPER", "FAREGATE__CHAIN__7__RPC"] {
            let (_, problems) = tree("[ledger]\nurl = 'x'\n[[chain]]\nrpc = 'y'", &[(name, "x")]);
            assert_eq!(problems.len(), 1, "{name}");
        }
    }

    #[test]
    fn a_syntax_error_names_its_line() {
        let problem = parse("a = 1\nb = = 2\n").unwrap_err();
        assert_eq!(problem.origin, Origin::File(2));
    }
}
