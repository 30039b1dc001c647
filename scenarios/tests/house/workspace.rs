//! The dependency graph as `cargo metadata` tells it, cut down to what the rules ask.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What a dependency is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Part of the artefact.
    Normal,
    /// For build scripts.
    Build,
    /// For tests and examples.
    Dev,
}

/// A package of the graph.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// Where cargo got it; `None` is a path.
    pub(crate) source: Option<String>,
    /// SPDX expression of its manifest.
    pub(crate) licence: Option<String>,
    /// Dependencies its manifest names, optional ones included.
    pub(crate) declared: Vec<(String, Kind)>,
    /// Whether it is a member of this workspace.
    pub(crate) member: bool,
    resolved: Vec<(String, Kind)>,
}

/// The whole graph.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    packages: BTreeMap<String, Package>,
}

impl Workspace {
    /// Asks cargo, with the lock file as it is.
    ///
    /// # Errors
    /// Text of what failed: cargo did not run, or the lock file does not fit the manifests.
    pub(crate) fn load(root: &Path) -> Result<Self, String> {
        let cargo = option_env!("CARGO").unwrap_or("cargo");
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(root)
            .output()
            .map_err(|error| format!("{cargo} did not run: {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let json = serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        Self::from_json(&json)
    }

    /// Reads the output of `cargo metadata`.
    ///
    /// # Errors
    /// Names the member that is missing.
    pub(crate) fn from_json(json: &Value) -> Result<Self, String> {
        let list = |value: &Value, name: &str| {
            value[name].as_array().cloned().ok_or_else(|| format!("no list named {name}"))
        };
        let members: BTreeSet<String> =
            list(json, "workspace_members")?.iter().filter_map(text).collect();
        let mut packages = BTreeMap::new();
        for package in list(json, "packages")? {
            let id = text(&package["id"]).ok_or("a package without id")?;
            let declared = list(&package, "dependencies")?
                .iter()
                .filter_map(|entry| Some((text(&entry["name"])?, kind(&entry["kind"]))))
                .collect();
            let read = Package {
                name: text(&package["name"]).ok_or("a package without name")?,
                version: text(&package["version"]).unwrap_or_default(),
                source: text(&package["source"]),
                licence: text(&package["license"]),
                declared,
                member: members.contains(&id),
                resolved: Vec::new(),
            };
            packages.insert(id, read);
        }
        for node in list(&json["resolve"], "nodes")? {
            let edges = list(&node, "deps")?.iter().flat_map(edges).collect();
            let id = text(&node["id"]).ok_or("a node without id")?;
            if let Some(package) = packages.get_mut(&id) {
                package.resolved = edges;
            }
        }
        Ok(Self { packages })
    }

    /// The members of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.values().filter(|package| package.member)
    }

    /// Every package cargo knows, whatever it is for.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Package> {
        self.packages.values()
    }

    /// What is linked into `name`: its normal dependencies and theirs, as resolved for the whole
    /// workspace (so with more features than it may ask for itself, never with fewer).
    pub(crate) fn linked_into(&self, name: &str) -> Vec<&Package> {
        let roots = self.packages.iter().filter(|(_, package)| package.name == name);
        self.closure(roots.map(|(id, _)| id.clone()).collect(), &[Kind::Normal])
    }

    /// Everything that takes part in building the members: normal and build dependencies.
    pub(crate) fn shipped(&self) -> Vec<&Package> {
        let roots = self.packages.iter().filter(|(_, package)| package.member);
        self.closure(roots.map(|(id, _)| id.clone()).collect(), &[Kind::Normal, Kind::Build])
    }

    fn closure(&self, roots: Vec<String>, kinds: &[Kind]) -> Vec<&Package> {
        let mut seen: BTreeSet<String> = BTreeSet::new();
        let mut due = roots;
        while let Some(id) = due.pop() {
            if !seen.insert(id.clone()) {
                continue;
            }
            let edges = self.packages.get(&id).map(|package| package.resolved.as_slice());
            let wanted = edges.unwrap_or_default().iter().filter(|edge| kinds.contains(&edge.1));
            due.extend(wanted.map(|edge| edge.0.clone()));
        }
        seen.iter().filter_map(|id| self.packages.get(id)).collect()
    }
}

fn edges(dependency: &Value) -> Vec<(String, Kind)> {
    let Some(id) = text(&dependency["pkg"]) else { return Vec::new() };
    let kinds = dependency["dep_kinds"].as_array().map(Vec::as_slice).unwrap_or_default();
    kinds.iter().map(|entry| (id.clone(), kind(&entry["kind"]))).collect()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn kind(value: &Value) -> Kind {
    match value.as_str() {
        Some("dev") => Kind::Dev,
        Some("build") => Kind::Build,
        _ => Kind::Normal,
    }
}

/// Small graphs for the tests of the rules.
#[cfg(test)]
pub(crate) mod planted {
    use super::Workspace;
    use serde_json::{Value, json};

    /// `(name, licence, source, [(dependency, kind)])`; a package without source is a member.
    pub(crate) type Planted<'a> = (&'a str, &'a str, Option<&'a str>, &'a [(&'a str, &'a str)]);

    pub(crate) fn workspace(packages: &[Planted<'_>]) -> Workspace {
        let kind = |kind: &str| if kind == "normal" { Value::Null } else { json!(kind) };
        let members: Vec<_> = packages.iter().filter(|p| p.2.is_none()).map(|p| p.0).collect();
        let list: Vec<_> = packages
            .iter()
            .map(|(name, licence, source, edges)| {
                let declared: Vec<_> =
                    edges.iter().map(|e| json!({"name": e.0, "kind": kind(e.1)})).collect();
                json!({"id": name, "name": name, "version": "1.0.0", "source": source,
                       "license": licence, "dependencies": declared})
            })
            .collect();
        let nodes: Vec<_> = packages
            .iter()
            .map(|(name, _, _, edges)| {
                let deps: Vec<_> = edges
                    .iter()
                    .map(|e| json!({"pkg": e.0, "dep_kinds": [{"kind": kind(e.1)}]}))
                    .collect();
                json!({"id": name, "deps": deps})
            })
            .collect();
        let json = json!({"packages": list, "workspace_members": members,
                          "resolve": {"nodes": nodes}});
        Workspace::from_json(&json).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_asked_kinds_are_followed() {
        let workspace = planted::workspace(&[
            ("a", "MIT", None, &[("b", "normal"), ("c", "dev"), ("d", "build")]),
            ("b", "MIT", Some("r"), &[("e", "normal")]),
            ("c", "MIT", Some("r"), &[]),
            ("d", "MIT", Some("r"), &[]),
            ("e", "MIT", Some("r"), &[("a", "dev")]),
        ]);
        let names = |list: Vec<&Package>| list.iter().map(|p| p.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(workspace.linked_into("a")), ["a", "b", "e"]);
        assert_eq!(names(workspace.shipped()), ["a", "b", "d", "e"]);
        assert_eq!(workspace.members().count(), 1);
    }
}
