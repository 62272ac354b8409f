//! References between the modules of a crate, read from its sources.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use syn::{
    Attribute, Expr, Ident, Item, ItemFn, ItemImpl, ItemMod, ItemUse, Macro, Token, UseTree,
    punctuated::Punctuated,
    visit::{self, Visit},
};

/// Names on the path from the crate's root to a module.
type ModulePath = Vec<String>;

/// Longest chain of re-exports that is followed.
const RE_EXPORTS_MAX: usize = 8;

/// A reference from one module to another module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reference {
    pub(super) from: ModulePath,
    pub(super) to: ModulePath,
    /// The reference as the source has it.
    path: Vec<String>,
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, path] = [&self.from, &self.path].map(|names| names.join("::"));
        write!(formatter, "{from} refers to {path}")
    }
}

/// Names and paths in the source of a module.
#[derive(Default)]
struct Module {
    /// Paths that `use` declarations bind, by the names to which they are bound.
    imports: HashMap<String, Vec<String>>,
    /// Paths of `use` declarations, and other paths that begin with `crate`, `self` or `super`.
    paths: BTreeSet<Vec<String>>,
    children: Vec<ItemMod>,
}

type Modules = BTreeMap<ModulePath, Module>;

/// Reads the references of a library crate. `read` returns the text of a file in the source folder.
pub(super) fn references(read: &dyn Fn(&Path) -> Option<String>) -> anyhow::Result<Vec<Reference>> {
    let root = read(Path::new("lib.rs")).context("no file lib.rs")?;
    let mut modules = Modules::new();
    add_module(
        Vec::new(),
        &syn::parse_file(&root)?.items,
        read,
        &mut modules,
    )?;
    let mut references = BTreeSet::new();
    for (from, module) in &modules {
        for path in &module.paths {
            if let Some(to) = resolve(&modules, from, path, RE_EXPORTS_MAX) {
                let (from, path) = (from.clone(), path.clone());
                references.insert(Reference { from, to, path });
            }
        }
    }
    Ok(references.into_iter().collect())
}

/// Adds a module and, recursively, its child modules.
fn add_module(
    path: ModulePath,
    items: &[Item],
    read: &dyn Fn(&Path) -> Option<String>,
    modules: &mut Modules,
) -> anyhow::Result<()> {
    let mut module = Module::default();
    for item in items {
        module.visit_item(item);
    }
    for child in std::mem::take(&mut module.children) {
        let mut child_path = path.clone();
        child_path.push(child.ident.to_string());
        let child_items = if let Some((_, items)) = child.content {
            items
        } else {
            let file: PathBuf = child_path.iter().collect();
            let text = read(&file.with_extension("rs")).or_else(|| read(&file.join("mod.rs")));
            let text = text.with_context(|| format!("no file for {}", child_path.join("::")))?;
            syn::parse_file(&text)
                .with_context(|| format!("cannot parse {}", child_path.join("::")))?
                .items
        };
        add_module(child_path, &child_items, read, modules)?;
    }
    modules.insert(path, module);
    Ok(())
}

/// Returns the innermost module to which a path leads, or `None` if the path leads to another crate.
fn resolve(
    modules: &Modules,
    from: &ModulePath,
    path: &[String],
    re_exports_max: usize,
) -> Option<ModulePath> {
    let mut names = path.iter().map(String::as_str).peekable();
    let mut module = from.clone();
    // The first name of any other path is a name in this module or the name of a crate.
    let mut is_inside_crate = true;
    match *names.peek()? {
        "crate" => {
            module.clear();
            names.next();
        }
        "self" | "super" => {
            while let Some(name) = names.next_if(|name| matches!(*name, "self" | "super")) {
                if name == "super" {
                    module.pop()?;
                }
            }
        }
        _ => is_inside_crate = false,
    }
    while let Some(name) = names.next() {
        module.push(name.to_owned());
        if modules.contains_key(&module) {
            is_inside_crate = true;
            continue;
        }
        module.pop();
        let import = modules.get(&module)?.imports.get(name);
        // A `use` declaration that binds its own first name, as in `use bytes;`, names a crate.
        let Some(import) = import.filter(|import| import.as_slice() != path) else {
            return is_inside_crate.then_some(module);
        };
        let target: Vec<String> = import
            .iter()
            .cloned()
            .chain(names.map(String::from))
            .collect();
        let target = resolve(modules, &module, &target, re_exports_max.checked_sub(1)?);
        // An item that the parent re-exports from another crate belongs to the parent.
        return target.or_else(|| is_inside_crate.then_some(module));
    }
    Some(module)
}

impl Module {
    /// Adds the paths of a `use` declaration.
    fn add_imports(&mut self, tree: &UseTree, mut prefix: Vec<String>) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.add_imports(&path.tree, prefix);
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_imports(tree, prefix.clone());
                }
            }
            UseTree::Glob(_) => drop(self.paths.insert(prefix)),
            UseTree::Name(name) => self.add_import(prefix, &name.ident, &name.ident),
            UseTree::Rename(rename) => self.add_import(prefix, &rename.ident, &rename.rename),
        }
    }

    fn add_import(&mut self, mut path: Vec<String>, name: &Ident, binding: &Ident) {
        if name != "self" {
            path.push(name.to_string());
        }
        let last = path.last().cloned().unwrap_or_default();
        let binding = if binding == "self" {
            last
        } else {
            binding.to_string()
        };
        self.imports.insert(binding, path.clone());
        self.paths.insert(path);
    }
}

impl<'a> Visit<'a> for Module {
    fn visit_item_mod(&mut self, item: &'a ItemMod) {
        if !is_for_tests(&item.attrs) {
            self.children.push(item.clone());
        }
    }

    fn visit_item_use(&mut self, item: &'a ItemUse) {
        if !is_for_tests(&item.attrs) && item.leading_colon.is_none() {
            self.add_imports(&item.tree, Vec::new());
        }
    }

    fn visit_item_fn(&mut self, item: &'a ItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_fn(self, item);
        }
    }

    fn visit_item_impl(&mut self, item: &'a ItemImpl) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_path(&mut self, path: &'a syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|name| name.ident.to_string())
            .collect();
        if matches!(names[0].as_str(), "crate" | "self" | "super") && names.len() > 1 {
            self.paths.insert(names);
        }
        visit::visit_path(self, path);
    }

    /// Visits the arguments of a macro if they are expressions, as those of `format!` are.
    fn visit_macro(&mut self, invocation: &'a Macro) {
        let parser = Punctuated::<Expr, Token![,]>::parse_terminated;
        if let Ok(arguments) = invocation.parse_body_with(parser) {
            let mut paths = Self::default();
            arguments
                .iter()
                .for_each(|argument| paths.visit_expr(argument));
            self.paths.append(&mut paths.paths);
        }
    }
}

/// Returns whether attributes contain `#[cfg(test)]`.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute
                .parse_args::<Ident>()
                .is_ok_and(|name| name == "test")
    })
}
