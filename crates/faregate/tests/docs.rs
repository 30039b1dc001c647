//! The documentation says what the code says: the table of reason codes, the reference of
//! configuration keys, the configurations it shows, and every relative link.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use faregate_protocol::Reason;
use faregate_protocol::reason::{Fault, Retry};

/// Lines that a first configuration may have.
const FIRST_CONFIGURATION_LINES: usize = 15;
/// Folders without documentation of ours.
const NOT_OURS: &[&str] = &["target", "node_modules"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

fn faregate(arguments: &[&str]) -> Output {
    let binary = env!("CARGO_BIN_EXE_faregate");
    // No variable of this machine may look like configuration.
    Command::new(binary).args(arguments).env_clear().current_dir(root()).output().unwrap()
}

/// The generated part of a page goes from `start` to the end of the file.
#[track_caller]
fn assert_generated(page: &str, start: &str, wanted: &str) {
    let text = read(page);
    let (_, found) = text.split_once(start).unwrap_or_else(|| panic!("{page} has no {start:?}"));
    let found = format!("{start}{found}");
    let (found, wanted) = (found.trim(), wanted.trim());
    if found != wanted {
        let known: HashSet<&str> = wanted.lines().collect();
        let stale: Vec<_> = found.lines().filter(|line| !known.contains(line)).collect();
        panic!("{page} is out of date.\nstale: {stale:#?}\npaste this to its end:\n\n{wanted}\n");
    }
}

#[test]
fn the_reason_table_is_that_of_the_code() {
    let start = "| code | who | retry | status | help |";
    let mut table = format!("{start}\n|---|---|---|---|---|\n");
    for reason in Reason::ALL {
        let who = match reason.fault() {
            Fault::Buyer => "buyer",
            Fault::Seller => "seller",
            Fault::Us => "operator",
            Fault::Chain => "chain",
        };
        let retry = match reason.retry() {
            Retry::Never => "never",
            Retry::SameAgain => "same again",
            Retry::AfterChange => "after change",
        };
        let (code, status, help) = (reason.code(), reason.status(), reason.help());
        table.push_str(&format!("| `{code}` | {who} | {retry} | {status} | {help} |\n"));
    }
    assert_generated("docs/protocol.md", start, &table);
}

#[test]
fn the_configuration_reference_is_that_of_the_binary() {
    let keys = faregate(&["config", "keys"]);
    assert!(keys.status.success());
    let wanted = String::from_utf8(keys.stdout).unwrap();
    assert_generated("docs/configuration.md", wanted.lines().next().unwrap(), &wanted);
}

#[test]
fn every_configuration_that_is_shown_is_good() {
    let files = ["examples/gateway.toml", "examples/express/faregate.toml"];
    let mut shown: Vec<(String, String)> =
        files.iter().map(|path| ((*path).to_owned(), read(path))).collect();
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        // A block without a gate or a chain shows a part of a configuration.
        let whole = |block: &&str| block.contains("[gate]\n") || block.contains("[[chain]]\n");
        let blocks = fenced(&text, "toml").into_iter().filter(whole);
        shown.extend(blocks.map(|block| (page.display().to_string(), block.to_owned())));
    }
    assert!(shown.len() > 5, "only {} configurations found", shown.len());
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("faregate.toml");
    for (from, text) in shown {
        fs::write(&path, &text).unwrap();
        let checked =
            faregate(&["config", "check", "--offline", "--config", path.to_str().unwrap()]);
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success(), "{from}:\n{text}\n{said}");
    }
}

#[test]
fn the_first_configuration_is_short_and_is_the_example() {
    let example = read("examples/express/faregate.toml");
    assert!(example.lines().count() <= FIRST_CONFIGURATION_LINES);
    let page = read("docs/seller.md");
    assert_eq!(fenced(&page, "toml").first().copied(), Some(example.as_str()));
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        for link in links(&fs::read_to_string(&page).unwrap()) {
            if !leads_somewhere(&page, &link) {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_broken_link_is_found() {
    let page = root().join("docs/seller.md");
    for (link, good) in [
        ("../README.md", true),
        ("operator.md#settlement_pending", true),
        ("#before-you-start", true),
        ("no-such-page.md", false),
        ("operator.md#no-such-heading", false),
        ("#no-such-heading", false),
    ] {
        assert_eq!(leads_somewhere(&page, link), good, "{link}");
    }
    assert_eq!(links("[a](b.md) `[c](d.md)` [e](https://f/)\n```\n[g](h.md)\n```"), ["b.md"]);
}

/// Every page of Markdown in the tree.
fn pages() -> Vec<PathBuf> {
    let (mut pages, mut folders) = (Vec::new(), vec![root()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && !name.starts_with('.') && !NOT_OURS.contains(&name.as_str()) {
                folders.push(path);
            } else if name.ends_with(".md") {
                pages.push(path);
            }
        }
    }
    assert!(pages.len() > 5);
    pages.sort();
    pages
}

/// Contents of the fenced blocks of a language.
fn fenced<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let opening = format!("\n```{language}\n");
    let blocks = text.split(opening.as_str()).skip(1);
    blocks.filter_map(|rest| rest.find("\n```").and_then(|end| rest.get(..=end))).collect()
}

/// Targets of links, without those to other sites and those inside code.
fn links(text: &str) -> Vec<String> {
    let outside_of_code =
        text.split("```").step_by(2).flat_map(|prose| prose.split('`').step_by(2));
    let prose: String = outside_of_code.collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let is_ours = |target: &&str| !target.contains("://") && !target.starts_with("mailto:");
    targets.map(|(target, _)| target).filter(is_ours).map(str::to_owned).collect()
}

fn leads_somewhere(page: &Path, link: &str) -> bool {
    let (file, heading) = link.split_once('#').map_or((link, None), |(f, h)| (f, Some(h)));
    let beside = page.parent().unwrap().join(file);
    let target = if file.is_empty() { page.to_owned() } else { beside };
    let Some(heading) = heading else { return target.exists() };
    fs::read_to_string(target).is_ok_and(|text| anchors(&text).contains(heading))
}

/// Headings as the usual renderers name them.
fn anchors(text: &str) -> HashSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}
