//! The house rules as code: what must hold of the dependency graph and of every file of the tree.
//! The tests here apply them to this repository; the unit tests of each rule plant a violation, so
//! that a rule that can no longer fail is noticed.
//!
//! | module | rule |
//! |---|---|
//! | `direction` | a crate uses only crates above it; who may name which third party |
//! | `licences` | licences from an allow-list, sources from the registry or a path |
//! | `source_rules` | heads, lengths, names, `unwrap`, environment, in Rust files |
//! | `forbidden_text` | no registry hosts and no machine paths, in any file |
//! | `threats` | the table of threats names tests that exist, and misses none |

#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod direction;
mod forbidden_text;
mod licences;
mod masked;
mod source_rules;
mod source_tree;
mod threats;
mod workspace;

use source_tree::SourceFile;
use workspace::Workspace;

fn workspace() -> Workspace {
    Workspace::load(&source_tree::root()).unwrap()
}

fn files() -> Vec<SourceFile> {
    let files = source_tree::read(&source_tree::root()).unwrap();
    let rust = files.iter().filter(|file| file.is_rust()).count();
    assert!(rust > 100, "only {rust} Rust files: the listing is not the repository");
    files
}

fn none(rule: &str, violations: &[String]) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}

#[test]
fn crates_use_only_what_stands_above_them() {
    none("order of the rooms", &direction::order(&workspace()));
}

#[test]
fn third_parties_are_named_only_where_they_belong() {
    none("names", &direction::naming(&workspace()));
}

#[test]
fn nothing_creeps_into_protocol_gate_or_engine() {
    let workspace = workspace();
    assert!(workspace.linked_into("faregate-gate").len() > 20, "the graph is not empty");
    none("linked", &direction::linking(&workspace));
}

#[test]
fn everything_we_ship_has_an_allowed_licence_and_comes_from_the_registry() {
    let workspace = workspace();
    assert!(workspace.shipped().len() > 100, "the graph is not empty");
    none("licences", &licences::licences(&workspace));
    none("sources", &licences::sources(&workspace));
}

#[test]
fn files_are_named_headed_and_sized_as_agreed() {
    let files = files();
    for (file, lines) in files.iter().filter_map(|f| Some((f, source_rules::worth_a_look(f)?))) {
        println!("worth a look: {} has {lines} lines of code", file.path);
    }
    let found: Vec<String> = files.iter().flat_map(source_rules::check).collect();
    none("source rules", &found);
}

#[test]
fn every_crate_tells_what_it_is_for() {
    let files = files();
    let manifest = |path: &str| path.starts_with("crates/") && path.ends_with("/Cargo.toml");
    for manifest in files.iter().filter(|file| manifest(&file.path)) {
        let room = manifest.path.trim_end_matches("Cargo.toml");
        let root = files.iter().find(|file| {
            [format!("{room}src/lib.rs"), format!("{room}src/main.rs")].contains(&file.path)
        });
        let root = root.unwrap_or_else(|| panic!("{room} has neither lib.rs nor main.rs"));
        assert!(root.text.starts_with("//! "), "{} has no head", root.path);
        assert!(manifest.text.contains("\ndescription = "), "{} describes nothing", manifest.path);
    }
}

#[test]
fn no_file_names_a_registry_or_a_directory_of_somebodys_machine() {
    let found: Vec<String> = files().iter().flat_map(forbidden_text::check).collect();
    none("forbidden text", &found);
}

#[test]
fn every_threat_has_a_row_and_every_test_it_names_exists() {
    let files = files();
    let table = files.iter().find(|file| file.path == threats::TABLE);
    let table = table.unwrap_or_else(|| panic!("{} is missing", threats::TABLE));
    none("threats", &threats::check(&table.text, &files));
}

#[test]
fn every_invariant_names_a_test_that_exists() {
    const PAGE: &str = "ARCHITECTURE.md";
    const INVARIANTS: usize = 11;
    let files = files();
    let page = files.iter().find(|file| file.path == PAGE);
    let text = &page.unwrap_or_else(|| panic!("{PAGE} is missing")).text;
    let mut found = threats::check_names(PAGE, text, &files);
    for number in 1..=INVARIANTS {
        let start = format!("| D5.{number} |");
        let row = text.lines().find(|line| line.starts_with(&start));
        if !row.is_some_and(|row| row.contains("::")) {
            found.push(format!("{PAGE}: D5.{number} names no test"));
        }
    }
    none("invariants", &found);
}
