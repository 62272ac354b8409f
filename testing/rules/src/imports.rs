//! Import rules between the modules of a crate.
//!
//! # Import cycles
//!
//! Modules with the same parent are siblings. A module depends on a sibling if the module, or a module
//! below it, contains a `use` declaration or a path that leads to the sibling or below it. Dependencies
//! between siblings must not form a cycle.
//!
//! A reference from a module to a module above or below it is no dependency, so a parent may re-export
//! the items of its children. A path to a re-exported item counts as a reference to the module from
//! which the item is re-exported. Code under `#[cfg(test)]` does not count.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    path::Path,
};

use anyhow::{Context, ensure};

use self::references::{Reference, references};
mod references;

/// Library crates whose modules are checked.
const CRATES: [&str; 2] = ["chassis", "gateway"];

/// Modules of the gateway that must not refer to the modules that handle requests.
const INNER_MODULES: [&str; 2] = ["backend", "render"];
const REQUEST_MODULES: [&str; 2] = ["api", "pages"];

/// Checks all import rules.
pub fn check(workspace: &Path) -> anyhow::Result<String> {
    let mut violations = Vec::new();
    let mut count = 0;
    for name in CRATES {
        let references = read_crate(&workspace.join(name).join("src"))
            .with_context(|| format!("cannot read the modules of {name}"))?;
        let cycles = cycles(&references);
        violations.extend(cycles.iter().map(|cycle| format!("{name}: {cycle}")));
        if name == "gateway" {
            violations.extend(outward(&references));
        }
        count += references.len();
    }
    ensure!(
        violations.is_empty(),
        "refused imports:\n{}",
        violations.join("\n")
    );
    Ok(format!(
        "{count} references between modules of {}",
        CRATES.join(", ")
    ))
}

/// Reads the references between the modules of a crate.
fn read_crate(folder: &Path) -> anyhow::Result<Vec<Reference>> {
    references(&|file: &Path| fs::read_to_string(folder.join(file)).ok())
}

/// Finds a shortest cycle below each parent whose children depend on each other in a circle.
fn cycles(references: &[Reference]) -> Vec<String> {
    // The first reference for each parent, dependent child and required child.
    let mut graphs: BTreeMap<&[String], BTreeMap<&str, BTreeMap<&str, &Reference>>> =
        BTreeMap::new();
    for reference in references {
        let Reference { from, to, .. } = reference;
        let depth = from.iter().zip(to).take_while(|(a, b)| a == b).count();
        if let (Some(child), Some(sibling)) = (from.get(depth), to.get(depth)) {
            let graph = graphs.entry(&from[..depth]).or_default();
            let siblings = graph.entry(child).or_default();
            siblings.entry(sibling).or_insert(reference);
        }
    }
    let shortest = graphs.values().filter_map(|graph| {
        let cycles = graph.keys().filter_map(|start| cycle_through(start, graph));
        cycles.min_by_key(Vec::len)
    });
    shortest.map(|cycle| describe(&cycle)).collect()
}

/// Finds a shortest path of dependencies that leads from a module back to the module.
fn cycle_through<'a>(
    start: &str,
    graph: &BTreeMap<&str, BTreeMap<&str, &'a Reference>>,
) -> Option<Vec<&'a Reference>> {
    let mut paths: BTreeMap<&str, Vec<&Reference>> = BTreeMap::new();
    let mut queue = VecDeque::from([(start, Vec::new())]);
    while let Some((module, path)) = queue.pop_front() {
        for (sibling, reference) in graph.get(module).into_iter().flatten() {
            let mut longer = path.clone();
            longer.push(*reference);
            if *sibling == start {
                return Some(longer);
            }
            if !paths.contains_key(sibling) {
                paths.insert(sibling, longer.clone());
                queue.push_back((sibling, longer));
            }
        }
    }
    None
}

fn describe(cycle: &[&Reference]) -> String {
    let edges: Vec<String> = cycle.iter().map(|edge| format!("  {edge}")).collect();
    format!(
        "import cycle of {} modules\n{}",
        cycle.len(),
        edges.join("\n")
    )
}

/// Finds references from the gateway's inner modules to the modules that handle requests.
fn outward(references: &[Reference]) -> Vec<String> {
    let is_in = |module: &[String], names: &[&str]| {
        module
            .first()
            .is_some_and(|name| names.contains(&name.as_str()))
    };
    let refused = references
        .iter()
        .filter(|edge| is_in(&edge.from, &INNER_MODULES) && is_in(&edge.to, &REQUEST_MODULES));
    refused.map(|edge| format!("gateway: {edge}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cycles in a crate that consists of these files.
    fn cycles_in(files: &[(&str, &str)]) -> Vec<String> {
        cycles(&references_in(files))
    }

    fn references_in(files: &[(&str, &str)]) -> Vec<Reference> {
        references(&|path: &Path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| String::from(*text))
        })
        .unwrap()
    }

    #[test]
    fn siblings_that_import_each_other_are_refused() {
        let cycles = cycles_in(&[
            ("lib.rs", "mod a; mod b; mod c;"),
            ("a.rs", "use crate::{c::Z, b::{self, X}}; pub struct Y;"),
            ("b.rs", "pub struct X; fn f() -> super::a::Y { todo!() }"),
            ("c.rs", "pub struct Z;"),
        ]);
        let expected =
            "import cycle of 2 modules\n  a refers to crate::b\n  b refers to super::a::Y";
        assert_eq!(cycles, [expected]);
    }

    #[test]
    fn a_cycle_between_modules_below_siblings_is_refused() {
        let cycles = cycles_in(&[
            (
                "lib.rs",
                "mod a { pub mod inner { use crate::c::Z; } } mod b; mod c;",
            ),
            ("b.rs", "fn f() { println!(\"{}\", crate::a::inner::f()); }"),
            ("c.rs", "mod deep;"),
            ("c/deep.rs", "fn f() { use crate::b; }"),
        ]);
        assert_eq!(cycles.len(), 1);
        assert!(
            cycles[0].contains("c::deep refers to crate::b"),
            "{cycles:?}"
        );
    }

    #[test]
    fn a_module_and_its_children_may_refer_to_each_other() {
        let cycles = cycles_in(&[
            ("lib.rs", "mod a; pub use a::X;"),
            ("a.rs", "mod inner; pub use inner::X; pub struct Y;"),
            ("a/inner.rs", "use super::Y; use crate::a; pub struct X;"),
        ]);
        assert_eq!(cycles, Vec::<String>::new());
    }

    #[test]
    fn a_re_export_by_the_parent_does_not_hide_a_cycle() {
        let cycles = cycles_in(&[
            ("lib.rs", "mod a; mod b; pub use a::X; pub use b::Y as Z;"),
            ("a.rs", "use crate::Z; pub struct X;"),
            ("b.rs", "use super::X; pub struct Y;"),
        ]);
        assert_eq!(cycles.len(), 1);
    }

    #[test]
    fn code_for_tests_does_not_count() {
        let cycles = cycles_in(&[
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::Y; pub struct X;"),
            (
                "b.rs",
                "pub struct Y; #[cfg(test)] mod tests { use crate::a::X; }",
            ),
        ]);
        assert_eq!(cycles, Vec::<String>::new());
    }

    #[test]
    fn inner_modules_of_the_gateway_do_not_refer_to_request_handlers() {
        let references = references_in(&[
            ("lib.rs", "mod api; mod backend; mod pages;"),
            ("api.rs", "use crate::backend::X;"),
            ("backend.rs", "use crate::pages::*; pub struct X;"),
            ("pages.rs", ""),
        ]);
        assert_eq!(
            outward(&references),
            ["gateway: backend refers to crate::pages"]
        );
    }
}
