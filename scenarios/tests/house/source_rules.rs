//! Rules about one file: its name, its head, its length and that of its functions, and calls that
//! do not belong into it.

use crate::masked;
use crate::source_tree::SourceFile;

/// A file of code longer than this many lines, its tests not counted, is refused.
pub(crate) const MAX_LINES: usize = 600;
/// A file longer than this is worth a look.
pub(crate) const LONG_LINES: usize = 400;
/// Longest function, in lines from its signature to its closing brace.
pub(crate) const MAX_FUNCTION_LINES: usize = 70;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] =
    &["utils", "util", "common", "commons", "helpers", "helper", "misc", "shared", "stuff"];
/// The only crate that reads the environment.
const READS_ENVIRONMENT: &str = "crates/faregate/";

/// Everything that is wrong with a file.
pub(crate) fn check(file: &SourceFile) -> Vec<String> {
    let mut found = empty_names(file);
    if file.is_rust() {
        let code = masked::code(&file.text);
        found.extend(long_functions(&code));
        found.extend(empty_modules(&code));
        if !file.is_test() {
            let code = masked::without_tests(&code);
            found.extend(head(file));
            found.extend(length(&code));
            found.extend(calls(file, &code));
        }
    }
    found.into_iter().map(|what| format!("{}: {what}", file.path)).collect()
}

/// Lines of a file that are not tests, if there are more than [`LONG_LINES`].
pub(crate) fn worth_a_look(file: &SourceFile) -> Option<usize> {
    if !file.is_rust() || file.is_test() {
        return None;
    }
    let lines = lines(&masked::without_tests(&masked::code(&file.text)));
    Some(lines).filter(|lines| *lines > LONG_LINES)
}

fn empty_names(file: &SourceFile) -> Vec<String> {
    let stem = |part: &str| part.split('.').next().unwrap_or_default().to_lowercase();
    let parts = file.path.split('/').map(stem);
    parts
        .filter(|stem| EMPTY_NAMES.contains(&stem.as_str()))
        .map(|stem| format!("{stem} says nothing about what is inside"))
        .collect()
}

fn empty_modules(code: &str) -> Vec<String> {
    named(code, "mod")
        .filter(|(_, name)| EMPTY_NAMES.contains(name))
        .map(|(line, name)| format!("line {line}: a module named {name}"))
        .collect()
}

fn head(file: &SourceFile) -> Option<String> {
    let missing = !file.text.starts_with("//!");
    missing.then(|| "does not begin with //! and why it exists".to_owned())
}

fn length(code_without_tests: &str) -> Option<String> {
    let lines = lines(code_without_tests);
    (lines > MAX_LINES).then(|| format!("{lines} lines of code; {MAX_LINES} is the limit"))
}

/// Lines up to the last one that is not blank; comments were blanked before, inside they count.
fn lines(code: &str) -> usize {
    code.trim_end().lines().count()
}

fn long_functions(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (line, name) in named(code, "fn") {
        let start = code.split_inclusive('\n').take(line - 1).map(str::len).sum::<usize>();
        let from = code.get(start..).and_then(|rest| rest.find(name)).unwrap_or(0) + start;
        let end = masked::item_end(code.as_bytes(), from);
        let length = code.get(from..end).unwrap_or_default().lines().count();
        if length > MAX_FUNCTION_LINES {
            found.push(format!(
                "line {line}: {name} has {length} lines; {MAX_FUNCTION_LINES} is the limit"
            ));
        }
    }
    found
}

fn calls(file: &SourceFile, code_without_tests: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(code_without_tests.lines()) {
        if line.contains(".unwrap()") {
            found.push(format!("line {number}: unwrap outside tests"));
        }
        if line.contains("env::var") && !file.path.starts_with(READS_ENVIRONMENT) {
            found.push(format!("line {number}: only {READS_ENVIRONMENT} reads the environment"));
        }
    }
    found
}

/// Line and name of each item that `keyword` introduces.
fn named<'a>(code: &'a str, keyword: &'static str) -> impl Iterator<Item = (usize, &'a str)> {
    (1..).zip(code.lines()).flat_map(move |(number, line)| {
        let mut words = line
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '('))
            .filter(|word| !word.is_empty());
        let mut items = Vec::new();
        while let Some(word) = words.next() {
            if word != keyword {
                continue;
            }
            let name = words.next().and_then(|word| word.split('(').next());
            items.extend(name.filter(|name| !name.is_empty()).map(|name| (number, name)));
        }
        items
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&SourceFile { path: path.to_owned(), text: text.to_owned() })
    }

    #[test]
    fn a_good_file_is_good() {
        let text = "//! Why.\nfn a() -> u8 { b.unwrap_or(\".unwrap()\") }\n\
                    #[cfg(test)]\nmod tests {\n  fn t() { x.unwrap(); std::env::var(y); }\n}\n";
        assert_eq!(found("crates/a/src/b.rs", text), [""; 0]);
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        let want = |path: &str| found(path, "//! x").len();
        for path in ["crates/a/src/utils.rs", "a/common/b.rs", "scripts/Helpers.sh", "x/misc.rs"] {
            assert_eq!(want(path), 1, "{path}");
        }
        assert_eq!(want("crates/a/src/commonwealth.rs"), 0);
        let text = "//! x\npub(crate) mod helpers {\n}\n// mod util\n";
        assert_eq!(found("a/src/b.rs", text), ["a/src/b.rs: line 2: a module named helpers"]);
    }

    #[test]
    fn a_file_without_a_head_is_found_unless_it_is_a_test() {
        for path in ["crates/a/src/lib.rs", "crates/a/examples/b.rs"] {
            let want = format!("{path}: does not begin with //! and why it exists");
            assert_eq!(found(path, "use a;\n"), [want]);
        }
        assert_eq!(found("crates/a/tests/it/b.rs", "use a;\n"), [""; 0]);
        assert_eq!(found("crates/a/src/b/tests.rs", "use a;\n"), [""; 0]);
    }

    #[test]
    fn length_is_counted_without_tests() {
        let body = "const A: u8 = 1;\n".repeat(MAX_LINES - 1);
        assert_eq!(found("a/src/b.rs", &format!("//! x\n{body}")), [""; 0]);
        let long = format!("//! x\n{body}const B: u8 = 1;\n");
        assert_eq!(found("a/src/b.rs", &long).len(), 1);
        let tested = format!("//! x\n{body}#[cfg(test)]\nmod tests {{\n{body}}}\n");
        assert_eq!(found("a/src/b.rs", &tested), [""; 0]);
        let file = SourceFile { path: "a/src/b.rs".to_owned(), text: long };
        assert_eq!(worth_a_look(&file), Some(MAX_LINES + 1));
    }

    #[test]
    fn a_function_that_is_too_long_is_found_in_tests_too() {
        let function = |lines: usize| {
            let body = "    a(\"{\", '}'); // {\n".repeat(lines - 2);
            format!("//! x\nfn short() {{}}\npub async fn long<'a>(x: [u8; 2]) {{\n{body}}}\n")
        };
        assert_eq!(found("a/tests/b.rs", &function(MAX_FUNCTION_LINES)), [""; 0]);
        assert_eq!(
            found("a/tests/b.rs", &function(MAX_FUNCTION_LINES + 1)),
            ["a/tests/b.rs: line 3: long has 71 lines; 70 is the limit"]
        );
    }

    #[test]
    fn unwrap_and_the_environment_are_found_where_they_do_not_belong() {
        let text = "//! x\nfn a() {\n    b.unwrap();\n    std::env::var_os(c);\n}\n";
        assert_eq!(
            found("crates/gate/src/a.rs", text),
            [
                "crates/gate/src/a.rs: line 3: unwrap outside tests",
                "crates/gate/src/a.rs: line 4: only crates/faregate/ reads the environment",
            ]
        );
        assert_eq!(found("crates/faregate/src/a.rs", text).len(), 1);
        assert_eq!(found("crates/gate/tests/a.rs", text), [""; 0]);
    }
}
