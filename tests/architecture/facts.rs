//! [`Facts`]: what the checks want to know of one file, collected in one pass over its syntax tree.

use syn::{
    Attribute, Expr, ImplItem, ImplItemFn, Item, ItemFn, ItemMacro, ItemMod, ItemUse, Lit, Macro, Meta, Signature,
    TraitItem, UseTree, Visibility,
    visit::{self, Visit},
};

/// The macros whose calls are kept: those that count, and those that log what an operator must see.
const RECORDED: [&str; 5] = ["counter", "gauge", "histogram", "error", "warn"];

#[derive(Default, Debug)]
pub(crate) struct Facts {
    pub(crate) modules: Vec<Module>,
    pub(crate) imports: Vec<Import>,
    pub(crate) calls: Vec<Call>,
    /// The names of functions that are tests, also those inside of macros (`proptest!`).
    pub(crate) tests: Vec<String>,
    /// Whether a function has a body here.
    pub(crate) has_bodies: bool,
    pub(crate) public_functions: Vec<PublicFunction>,
}

/// A module that is declared here and stands in a file of its own.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) name: String,
    /// Its `#[path]`.
    pub(crate) path: Option<String>,
}

/// One name of a `use` declaration.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) path: Vec<String>,
    pub(crate) is_reexport: bool,
}

/// One call of a macro that counts or logs.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: String,
    /// Its string literals.
    pub(crate) texts: Vec<String>,
    pub(crate) tokens: String,
}

/// A documented public function or method.
#[derive(Debug)]
pub(crate) struct PublicFunction {
    pub(crate) name: String,
    /// The first line of its documentation.
    pub(crate) summary: String,
}

impl Facts {
    pub(crate) fn of(file: &syn::File) -> Self {
        let mut facts = Self { has_bodies: file.items.iter().any(has_body), ..Self::default() };
        for item in &file.items {
            if let Item::Mod(ItemMod { attrs, ident, content: None, .. }) = item {
                facts.modules.push(Module { name: ident.to_string(), path: value(attrs, "path").next() });
            }
        }
        facts.visit_file(file);
        facts
    }

    fn function(&mut self, visibility: &Visibility, attributes: &[Attribute], signature: &Signature) {
        if let (Visibility::Public(_), Some(summary)) = (visibility, value(attributes, "doc").next()) {
            let summary = summary.trim().to_owned();
            self.public_functions.push(PublicFunction { name: signature.ident.to_string(), summary });
        }
    }

    fn import(&mut self, prefix: &[String], tree: &UseTree, is_reexport: bool) {
        let below = |name: &dyn ToString| [prefix, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&below(&path.ident), &path.tree, is_reexport),
            UseTree::Name(name) => self.imports.push(Import { path: below(&name.ident), is_reexport }),
            UseTree::Rename(name) => self.imports.push(Import { path: below(&name.ident), is_reexport }),
            UseTree::Glob(_) => self.imports.push(Import { path: below(&"*"), is_reexport }),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(prefix, tree, is_reexport)),
        }
    }
}

impl Visit<'_> for Facts {
    fn visit_item_mod(&mut self, module: &ItemMod) {
        // Unit tests are neither the product's imports nor its functions; their names count all the same.
        if module.attrs.iter().any(|attribute| attribute.path().is_ident("cfg")) && module.ident == "tests" {
            let mut inner = Self::default();
            visit::visit_item_mod(&mut inner, module);
            self.tests.append(&mut inner.tests);
        } else {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        self.import(&[], &item.tree, !matches!(item.vis, Visibility::Inherited));
    }

    fn visit_item_fn(&mut self, item: &ItemFn) {
        if item.attrs.iter().any(is_test) {
            self.tests.push(item.sig.ident.to_string());
        }
        self.function(&item.vis, &item.attrs, &item.sig);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &ImplItemFn) {
        self.function(&item.vis, &item.attrs, &item.sig);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_item_macro(&mut self, item: &ItemMacro) {
        let tokens = item.mac.tokens.to_string();
        let mut words = tokens.split_whitespace();
        while words.any(|word| word == "fn") {
            self.tests.extend(words.next().map(|name| name.trim_end_matches('(').to_owned()));
        }
    }

    fn visit_macro(&mut self, call: &Macro) {
        let name = call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        if RECORDED.contains(&&*name) {
            let tokens = call.tokens.to_string();
            let texts = tokens.split('"').skip(1).step_by(2).map(str::to_owned).collect();
            self.calls.push(Call { name, texts, tokens });
        }
    }
}

fn is_test(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|segment| segment.ident == "test")
}

/// The texts of the attributes `#[name = "text"]`.
fn value(attributes: &[Attribute], name: &str) -> impl Iterator<Item = String> {
    attributes.iter().filter_map(move |attribute| {
        let Meta::NameValue(pair) = &attribute.meta else { return None };
        match &pair.value {
            Expr::Lit(literal) if pair.path.is_ident(name) => match &literal.lit {
                Lit::Str(text) => Some(text.value()),
                _ => None,
            },
            _ => None,
        }
    })
}

fn has_body(item: &Item) -> bool {
    match item {
        Item::Fn(_) => true,
        Item::Impl(block) => block.items.iter().any(|item| matches!(item, ImplItem::Fn(_))),
        Item::Trait(item) => {
            item.items.iter().any(|item| matches!(item, TraitItem::Fn(method) if method.default.is_some()))
        }
        Item::Mod(module) => module.content.iter().flat_map(|(_, items)| items).any(has_body),
        _ => false,
    }
}
