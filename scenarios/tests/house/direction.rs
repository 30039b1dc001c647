//! Which crate may use which: the order of the rooms, and who may name which third party.

use crate::workspace::{Kind, Workspace};

/// The rooms; a crate uses only what stands above it.
const ORDER: &[&str] = &[
    "faregate-protocol",
    "faregate-telemetry",
    "faregate-chain",
    "faregate-custody",
    "faregate-evm",
    "faregate-svm",
    "faregate-cache",
    "faregate-ledger",
    "faregate-engine",
    "faregate-edge",
    "faregate-facilitator",
    "faregate-gate",
    "faregate-buyer",
    "faregate-devnet",
    "faregate-bench",
    "faregate",
    "faregate-examples",
    "faregate-scenarios",
];

/// Third parties (a name, or a prefix that ends with `*`) and the only crates that name them.
const NAMED_ONLY_BY: &[(&str, &[&str])] = &[
    ("sqlx*", &["faregate-ledger"]),
    ("rusqlite*", &["faregate-ledger"]),
    ("redis*", &["faregate-cache"]),
    ("prometheus-client*", &["faregate-telemetry"]),
    ("opentelemetry*", &["faregate-telemetry"]),
    ("tracing-opentelemetry", &["faregate-telemetry"]),
    ("sentry*", &["faregate-telemetry"]),
    ("alloy*", &["faregate-evm", "faregate-devnet"]),
    ("revm*", &["faregate-devnet"]),
    ("solana*", &["faregate-svm"]),
];

/// The one alloy crate that everybody may name: numbers and addresses.
const FREE_FOR_ALL: &str = "alloy-primitives";

/// What must not be linked into a crate, however it gets there.
const NEVER_LINKED: &[(&str, &[&str])] = &[
    (
        "faregate-protocol",
        &["tokio", "async-std", "smol", "async-executor", "mio", "hyper", "reqwest", "socket2"],
    ),
    (
        "faregate-gate",
        &[
            "faregate-chain",
            "faregate-evm",
            "faregate-svm",
            "faregate-cache",
            "faregate-engine",
            "faregate-devnet",
            "alloy-consensus",
            "alloy-eips",
            "alloy-sol-types",
            "revm*",
            "solana*",
        ],
    ),
    ("faregate-engine", &["faregate-evm", "faregate-svm"]),
];

/// The dev chain is part of `faregate dev` and of measurements; anywhere else it is for tests.
const LINKS_DEVNET: &[&str] = &["faregate-bench", "faregate"];

/// Violations of the order: a crate that uses one below it, a crate the order does not know, and
/// the dev chain where it does not belong.
pub(crate) fn order(workspace: &Workspace) -> Vec<String> {
    let place = |name: &str| ORDER.iter().position(|known| *known == name);
    let mut found = Vec::new();
    for package in workspace.members() {
        let Some(own) = place(&package.name) else {
            found.push(format!("{} has no place in the order of the rooms", package.name));
            continue;
        };
        for (name, kind) in &package.declared {
            if *kind == Kind::Dev || !name.starts_with("faregate") {
                continue;
            }
            if place(name).is_none_or(|other| other >= own) {
                found.push(format!("{} uses {name}, which is not above it", package.name));
            }
            if name == "faregate-devnet" && !LINKS_DEVNET.contains(&package.name.as_str()) {
                found.push(format!("{} links the dev chain; only tests may", package.name));
            }
        }
    }
    found
}

/// Third parties named by a crate that may not name them, for whatever purpose.
pub(crate) fn naming(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for package in workspace.members() {
        for (name, _) in package.declared.iter().filter(|(name, _)| name != FREE_FOR_ALL) {
            let rule = NAMED_ONLY_BY.iter().find(|(pattern, _)| matches(pattern, name));
            if let Some((_, allowed)) = rule
                && !allowed.contains(&package.name.as_str())
            {
                let owners = allowed.join(" and ");
                found.push(format!("{} names {name}; only {owners} may", package.name));
            }
        }
    }
    found
}

/// Crates that are linked where they must not be, directly or through others.
pub(crate) fn linking(workspace: &Workspace) -> Vec<String> {
    let mut found = Vec::new();
    for (name, forbidden) in NEVER_LINKED {
        for package in workspace.linked_into(name) {
            if forbidden.iter().any(|pattern| matches(pattern, &package.name)) {
                found.push(format!("{} is linked into {name}", package.name));
            }
        }
    }
    found
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::planted::workspace;

    const R: Option<&str> = Some("r");

    #[test]
    fn a_crate_that_uses_one_below_it_is_found() {
        let bad = workspace(&[
            ("faregate-chain", "MIT", None, &[("faregate-ledger", "normal")]),
            ("faregate-ledger", "MIT", None, &[("faregate-engine", "dev")]),
            ("faregate-engine", "MIT", None, &[("faregate-engine", "build")]),
            ("faregate-attic", "MIT", None, &[]),
        ]);
        assert_eq!(
            order(&bad),
            [
                "faregate-attic has no place in the order of the rooms",
                "faregate-chain uses faregate-ledger, which is not above it",
                "faregate-engine uses faregate-engine, which is not above it",
            ]
        );
    }

    #[test]
    fn the_dev_chain_is_for_the_binary_for_measurements_and_for_tests() {
        let edges: &[_] = &[("faregate-devnet", "normal")];
        let bad = workspace(&[
            ("faregate-devnet", "MIT", None, &[]),
            ("faregate-bench", "MIT", None, edges),
            ("faregate", "MIT", None, edges),
            ("faregate-evm", "MIT", None, &[("faregate-devnet", "dev")]),
            ("faregate-scenarios", "MIT", None, edges),
        ]);
        assert_eq!(order(&bad), ["faregate-scenarios links the dev chain; only tests may"]);
    }

    #[test]
    fn names_that_belong_to_one_crate_are_found_elsewhere_even_in_tests() {
        let bad = workspace(&[
            ("faregate-ledger", "MIT", None, &[("sqlx", "normal")]),
            ("faregate-engine", "MIT", None, &[("sqlx-core", "dev"), ("sentry", "normal")]),
            ("faregate-chain", "MIT", None, &[("alloy-primitives", "normal"), ("alloy", "build")]),
            ("faregate-gate", "MIT", None, &[("prometheus-client", "normal")]),
            ("faregate-evm", "MIT", None, &[("alloy-rlp", "normal"), ("revm", "normal")]),
        ]);
        assert_eq!(
            naming(&bad),
            [
                "faregate-chain names alloy; only faregate-evm and faregate-devnet may",
                "faregate-engine names sqlx-core; only faregate-ledger may",
                "faregate-engine names sentry; only faregate-telemetry may",
                "faregate-evm names revm; only faregate-devnet may",
                "faregate-gate names prometheus-client; only faregate-telemetry may",
            ]
        );
    }

    #[test]
    fn what_creeps_in_through_others_is_found() {
        let bad = workspace(&[
            ("faregate-protocol", "MIT", None, &[("x", "normal"), ("tokio", "dev")]),
            ("faregate-gate", "MIT", None, &[("faregate-protocol", "normal"), ("y", "normal")]),
            ("faregate-chain", "MIT", None, &[]),
            ("x", "MIT", R, &[("mio", "normal")]),
            ("y", "MIT", R, &[("revm-precompile", "normal"), ("faregate-chain", "normal")]),
            ("mio", "MIT", R, &[]),
            ("tokio", "MIT", R, &[]),
            ("revm-precompile", "MIT", R, &[]),
        ]);
        assert_eq!(
            linking(&bad),
            [
                "mio is linked into faregate-protocol",
                "faregate-chain is linked into faregate-gate",
                "revm-precompile is linked into faregate-gate",
            ]
        );
    }
}
