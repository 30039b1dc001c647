//! The table of threats names tests that exist, and misses no threat.

use std::collections::BTreeSet;

use crate::source_tree::SourceFile;

/// The table.
pub(crate) const TABLE: &str = "docs/threats-to-tests.md";
/// Letter and last number of every list of threats.
const THREATS: &[(&str, usize)] =
    &[("P", 26), ("E", 38), ("S", 21), ("H", 28), ("F", 18), ("O", 24), ("C", 10), ("B", 78)];
/// Crates whose name is not their folder in `crates/`.
const FOLDERS: &[(&str, &str)] =
    &[("scenarios", "scenarios/tests/it/"), ("house", "scenarios/tests/house/")];

/// Everything that is wrong with the table.
pub(crate) fn check(table: &str, files: &[SourceFile]) -> Vec<String> {
    let mut found = missing(table);
    found.extend(check_names(TABLE, table, files));
    found
}

/// Names of tests in a page that lead nowhere.
pub(crate) fn check_names(page: &str, text: &str, files: &[SourceFile]) -> Vec<String> {
    let unknown = names(text).into_iter().filter(|name| !exists(name, files));
    unknown.map(|name| format!("{page}: there is no test {name}")).collect()
}

fn missing(table: &str) -> Vec<String> {
    let ids: BTreeSet<&str> = rows(table).map(|(id, _)| id).collect();
    let wanted =
        THREATS.iter().flat_map(|(letter, last)| (1..=*last).map(move |n| format!("{letter}{n}")));
    let mut found: Vec<String> = wanted
        .filter(|id| !ids.contains(id.as_str()))
        .map(|id| format!("{TABLE}: {id} has no row"))
        .collect();
    let empty = rows(table).filter(|(_, guard)| guard.is_empty());
    found.extend(empty.map(|(id, _)| format!("{TABLE}: {id} says nothing of its guard")));
    found
}

/// First and last cell of every row.
fn rows(table: &str) -> impl Iterator<Item = (&str, &str)> {
    table.lines().filter_map(|line| {
        let cells: Vec<&str> =
            line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
        let id = cells.first()?;
        let is_id = id.len() > 1 && id.chars().skip(1).all(|c| c.is_ascii_digit());
        is_id.then_some((*id, *cells.last()?))
    })
}

/// `crate::file::function`, between back quotes.
fn names(table: &str) -> BTreeSet<String> {
    let quoted = table.split('`').skip(1).step_by(2);
    quoted
        .filter(|text| text.contains("::") && *text != "crate::file::function")
        .map(str::to_owned)
        .collect()
}

fn exists(name: &str, files: &[SourceFile]) -> bool {
    let parts: Vec<&str> = name.split("::").collect();
    let [room, module, function] = parts.as_slice() else { return false };
    let folder = FOLDERS.iter().find(|(name, _)| name == room);
    let folder =
        folder.map_or_else(|| format!("crates/{room}/"), |(_, folder)| (*folder).to_owned());
    let ends = [format!("/{module}.rs"), format!("/{module}/tests.rs")];
    let defined = format!("fn {function}(");
    let is_it = |file: &&SourceFile| {
        file.path.starts_with(&folder) && ends.iter().any(|end| file.path.ends_with(end))
    };
    files.iter().filter(is_it).any(|file| file.text.contains(&defined))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> SourceFile {
        SourceFile { path: path.to_owned(), text: text.to_owned() }
    }

    #[test]
    fn a_name_that_leads_nowhere_is_found() {
        let files = [
            file("crates/gate/tests/gate/races.rs", "async fn copies() {}"),
            file("crates/faregate/src/config/tests.rs", "fn typos() {}"),
            file("scenarios/tests/it/replays.rs", "fn again() {}"),
        ];
        for good in ["gate::races::copies", "faregate::config::typos", "scenarios::replays::again"]
        {
            assert!(exists(good, &files), "{good}");
        }
        for bad in [
            "gate::races::copy",
            "gate::race::copies",
            "evm::races::copies",
            "scenarios::races::copies",
            "copies",
            "gate::races::deep::copies",
        ] {
            assert!(!exists(bad, &files), "{bad}");
        }
        let found = check("| P1 | what | `gate::races::copy` |", &files);
        assert!(
            found.contains(&format!("{TABLE}: there is no test gate::races::copy")),
            "{found:?}"
        );
    }

    #[test]
    fn a_threat_without_a_row_or_a_guard_is_found() {
        let found = missing("| P1 | what | Solana |\n| P2 | what | |\nP3");
        assert!(!found.iter().any(|what| what.contains(": P1 ")), "{found:?}");
        assert!(found.contains(&format!("{TABLE}: P2 says nothing of its guard")), "{found:?}");
        assert!(found.contains(&format!("{TABLE}: P3 has no row")), "{found:?}");
        assert!(found.contains(&format!("{TABLE}: B78 has no row")), "{found:?}");
    }
}
