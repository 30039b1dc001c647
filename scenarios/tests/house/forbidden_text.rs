//! Text that may stand in no file: hosts that packages are downloaded from (a build that names
//! one works on one machine only), and directories of somebody's machine.

use crate::source_tree::SourceFile;

/// Written in two halves, so that this file does not find itself.
const HOSTS: &[&str] = &[
    concat!("registry.", "npmjs.org"),
    concat!("registry.", "yarnpkg.com"),
    concat!("crates.", "io-index"),
    concat!("static.", "crates.io"),
    concat!("index.", "crates.io"),
    concat!("static.", "rust-lang.org"),
    concat!("sh.", "rustup.rs"),
    concat!("pypi.", "org"),
    concat!("files.", "pythonhosted.org"),
    concat!("proxy.", "golang.org"),
    concat!("deb.", "debian.org"),
    concat!("binaries.", "soliditylang.org"),
    concat!("raw.", "githubusercontent.com"),
    concat!("github.com/", "foundry-rs/foundry/releases"),
    concat!("registry-1.", "docker.io"),
    concat!("ghcr", ".io"),
];

const MACHINE_PATHS: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];

/// Cargo writes where every package comes from; the rule about sources reads it there.
const WRITTEN_BY_CARGO: &str = "Cargo.lock";

/// Everything forbidden in a file, with its line.
pub(crate) fn check(file: &SourceFile) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        let mut say = |what: &str| found.push(format!("{}: line {number}: {what}", file.path));
        if file.path.rsplit('/').next() != Some(WRITTEN_BY_CARGO) {
            HOSTS.iter().filter(|host| line.contains(*host)).for_each(|host| say(host));
        }
        let paths = MACHINE_PATHS.iter().filter(|path| begins_a_path(line, path));
        paths.for_each(|path| say(path));
    }
    found
}

/// `/dir/` at the beginning of a path, not inside of one or of a URL.
fn begins_a_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        !before.is_some_and(|c| c.is_alphanumeric() || "._-}$*~)".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        check(&SourceFile { path: path.to_owned(), text: text.to_owned() }).len()
    }

    #[test]
    fn every_host_is_found_in_every_file_but_cargos() {
        for host in HOSTS {
            assert_eq!(found("a.md", &format!("see\nhttps://{host}/x")), 1, "{host}");
            for lock in ["Cargo.lock", "bench/peer/Cargo.lock"] {
                assert_eq!(found(lock, &format!("source = \"{host}\"")), 0, "{host}");
            }
        }
        assert_eq!(found("a.md", "https://docs.rs/axum and https://api.example.com"), 0);
    }

    #[test]
    fn directories_of_a_machine_are_found_at_the_beginning_of_a_path_only() {
        for directory in MACHINE_PATHS {
            assert_eq!(found("scripts/a", &format!("cd {directory}faregate")), 1);
            assert_eq!(found("Cargo.lock", &format!("\"{directory}\"")), 1);
            assert_eq!(found("a.md", &format!("https://api.example.com{directory}x")), 0);
            assert_eq!(found("a.md", &format!("./here{directory}x")), 0);
        }
    }
}
