//! Butane to Ignition 3: variants `flatcar` and `fcos`. Most keys only change their name, by the
//! table in [`schema`]; what is more than that is here and in the modules below.

mod mounts;
mod nodes;
pub mod schema;

use crate::dataurl::shortest;
use crate::files::{Files, read_local, require};
use crate::out::{From, Object, boolean, list, number, string, strings};
use crate::schema::{Check, KeyPath, Obj, Ty, check};
use crate::yaml::{Entry, Kind, Node};
use ignition::json::Value;
use report::{Report, Reports, Span, codes};

/// A variant of a version: what it may hold and what it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variant {
    /// `flatcar` or `fcos`.
    pub name: &'static str,
    /// The version as it is written.
    pub version: &'static str,
    /// The base schema (see [`schema`]).
    pub base: u8,
    /// The Ignition version it becomes.
    pub ignition: &'static str,
}

const fn variant(name: &'static str, version: &'static str, base: u8, ignition: &'static str) -> Variant {
    Variant { name, version, base, ignition }
}

/// Every variant and version, oldest first.
pub static VARIANTS: [Variant; 12] = [
    variant("flatcar", "1.0.0", 4, "3.3.0"),
    variant("flatcar", "1.1.0", 5, "3.4.0"),
    variant("flatcar", "1.2.0-experimental", 8, "3.7.0-experimental"),
    variant("fcos", "1.0.0", 1, "3.0.0"),
    variant("fcos", "1.1.0", 2, "3.1.0"),
    variant("fcos", "1.2.0", 3, "3.2.0"),
    variant("fcos", "1.3.0", 3, "3.2.0"),
    variant("fcos", "1.4.0", 4, "3.3.0"),
    variant("fcos", "1.5.0", 5, "3.4.0"),
    variant("fcos", "1.6.0", 6, "3.5.0"),
    variant("fcos", "1.7.0", 7, "3.6.0"),
    variant("fcos", "1.8.0-experimental", 8, "3.7.0-experimental"),
];

/// Variants that Butane has and that mean nothing here.
const OTHER_VARIANTS: [&str; 4] = ["openshift", "r4e", "fiot", "rhcos"];

/// Keys that only the variant `fcos` has.
const FEDORA_KEYS: [&str; 2] = ["boot_device", "grub"];

/// Reads `variant` and `version`; what is wrong with them is reported.
pub fn variant_of(root: &Node, reports: &mut Reports) -> Option<&'static Variant> {
    let from = From::new(Some(root));
    let Some((name, name_span)) = from.text("variant") else {
        reports.push(
            Report::error(codes::MISSING_KEY, "a Butane file needs `variant` and `version`")
                .at(root.span)
                .hint("add `variant: flatcar` and `version: 1.1.0`"),
        );
        return None;
    };
    let versions: Vec<&str> = VARIANTS.iter().filter(|v| v.name == name).map(|v| v.version).collect();
    if versions.is_empty() {
        let report = if OTHER_VARIANTS.contains(&name) {
            Report::error(codes::LANGUAGE, format!("the Butane variant `{name}` is for another system"))
        } else {
            Report::error(codes::LANGUAGE, format!("unknown Butane variant `{name}`"))
        };
        reports.push(
            report.at(name_span).path("$.variant").hint("write `variant: flatcar`, or `variant: fcos`"),
        );
        return None;
    }
    let hint = format!("the versions of `{name}` are {}", versions.join(", "));
    let Some((version, span)) = from.text("version") else {
        reports.push(
            Report::error(codes::MISSING_KEY, "a Butane file needs a `version`").at(name_span).hint(hint),
        );
        return None;
    };
    let found = VARIANTS.iter().find(|v| v.name == name && v.version == version);
    if found.is_none() {
        reports.push(
            Report::error(codes::VERSION, format!("Butane's `{name}` has no version `{version}`"))
                .at(span)
                .path("$.version")
                .hint(hint),
        );
    }
    found
}

/// Checks one file against the tables, before files are merged.
pub fn check_file(root: &Node, variant: &Variant, lax: bool, reports: &mut Reports) {
    let how = Check { lax, version: variant.base, foreign: schema::FOREIGN };
    let (own, rest): (Vec<Entry>, Vec<Entry>) = root
        .entries()
        .iter()
        .cloned()
        .partition(|entry| variant.name == "fcos" && FEDORA_KEYS.contains(&&*entry.key));
    for entry in own.iter().filter(|entry| !entry.value.is_null()) {
        // Even a lax reader must not drop what Butane would have used.
        let hint = schema::FOREIGN.iter().find(|(key, _)| *key == &*entry.key).map_or("", |(_, hint)| hint);
        let message = format!("`{}` describes a Fedora CoreOS machine", entry.key);
        reports.push(Report::error(codes::LANGUAGE, message).at(entry.key_span).hint(hint));
    }
    let root = &Node {
        span: root.span,
        kind: if own.is_empty() { root.kind.clone() } else { Kind::Map(rest.into()) },
    };
    check(root, Ty::Obj(&schema::CONFIG), &KeyPath::root(), &how, reports);
}

/// Translates a checked tree into the variant's version of Ignition.
pub fn translate(root: &Node, variant: &Variant, files: Option<&dyn Files>, reports: &mut Reports) -> Value {
    let mut butane = Butane { reports, files, variant: *variant };
    butane.config(root)
}

struct Butane<'a> {
    reports: &'a mut Reports,
    files: Option<&'a dyn Files>,
    variant: Variant,
}

impl Butane<'_> {
    fn config(&mut self, root: &Node) -> Value {
        let from = From::new(Some(root));
        let mut out = self.object(root, &schema::CONFIG);
        let version_span = from.node("version").map_or(Span::NONE, |node| node.span);
        let version = string(self.variant.ignition, version_span);
        match out.get_mut("ignition").and_then(members) {
            Some(members) => members.push(ignition::json::Member {
                key: report::Spanned::new("version".to_owned(), version_span),
                value: version,
            }),
            None => {
                let mut ignition = Object::new();
                ignition.put("version", version);
                out.put("ignition", ignition.finish(version_span));
            }
        }
        self.mount_units(from, &mut out);
        self.trees(from, &mut out);
        self.quadlets(from, &mut out);
        out.finish(root.span)
    }

    /// Translates the members of an object that only change their name, and the sugar of some.
    fn object(&mut self, node: &Node, obj: &'static Obj) -> Object {
        let mut out = Object::new();
        for entry in node.entries() {
            let Some(field) = obj.field(&entry.key, self.variant.base) else { continue };
            if field.out.is_empty() || entry.value.is_null() {
                continue;
            }
            if let Some(value) = self.value(entry, field.ty) {
                out.put_at(field.out, entry.key_span, value);
            }
        }
        if std::ptr::eq(obj, &schema::RESOURCE) {
            self.resource(node, &mut out);
        } else if std::ptr::eq(obj, &schema::UNIT) || std::ptr::eq(obj, &schema::DROPIN) {
            self.contents_local(node, &mut out);
        } else if std::ptr::eq(obj, &schema::USER) {
            self.local_keys(node, &mut out);
        } else if std::ptr::eq(obj, &schema::FILE) || std::ptr::eq(obj, &schema::DIRECTORY) {
            self.check_mode(node, std::ptr::eq(obj, &schema::DIRECTORY));
        } else if std::ptr::eq(obj, &schema::LUKS) && self.variant.name == "flatcar" {
            self.check_luks(node);
        }
        out
    }

    /// What Butane's `flatcar` variant refuses.
    fn check_luks(&mut self, node: &Node) {
        let unsupported = [
            ("clevis", "Clevis, which this version of the variant does not have", self.variant.base < 6),
            ("cex", "a crypto card of s390x", true),
        ];
        for (key, what, refused) in unsupported {
            if let Some(entry) = node.entry(key).filter(|entry| refused && !entry.value.is_null()) {
                self.reports.push(
                    Report::error(codes::LUKS, format!("`{key}` needs {what}"))
                        .at(entry.key_span)
                        .hint("use `key_file`"),
                );
            }
        }
    }

    fn value(&mut self, entry: &Entry, ty: Ty) -> Option<Value> {
        let node = &entry.value;
        match ty {
            Ty::Str => node.text().map(|text| string(&**text, node.span)),
            Ty::Bool => node.scalar()?.to_bool().map(|value| boolean(value, node.span)),
            Ty::Int | Ty::Uint => node.scalar()?.to_int().map(|value| number(value, node.span)),
            Ty::List(_) => {
                let items = strings(node.items());
                (!items.is_empty()).then(|| list(items, node.span))
            }
            Ty::Keyed(obj, _) => {
                let items: Vec<Value> =
                    node.items().iter().map(|item| self.object(item, obj).finish(item.span)).collect();
                (!items.is_empty()).then(|| list(items, node.span))
            }
            Ty::Obj(obj) => matches!(node.kind, Kind::Map(_)).then(|| {
                if std::ptr::eq(obj, &schema::IGNITION_CONFIG) {
                    self.check_configs(node);
                }
                self.object(node, obj).finish(node.span)
            }),
            Ty::Any => None,
        }
    }

    /// Configs that are given here, to be merged or used instead, must be valid ones.
    fn check_configs(&mut self, node: &Node) {
        let from = From::new(Some(node));
        let resources = from.items("merge").iter().chain(from.node("replace"));
        for resource in resources {
            let Some((text, span)) = From::new(Some(resource)).pointer("inline") else { continue };
            let mut sources = report::Sources::new();
            let id = sources.add("inline", text);
            let parsed = ignition::parse(&sources, id, ignition::Options::default());
            if let Some(error) =
                parsed.reports.iter().find(|report| report.severity == report::Severity::Error)
            {
                let line = error.span.map_or(1, |span| sources.line_column(id, span.start).line);
                self.reports.push(
                    Report::error(
                        codes::VALUE,
                        format!("this is no valid Ignition config: {} (line {line} of it)", error.message),
                    )
                    .at(span)
                    .hint("what is merged must be Ignition JSON"),
                );
            }
        }
    }

    /// `inline` and `local` become a data URL.
    fn resource(&mut self, node: &Node, out: &mut Object) {
        let from = From::new(Some(node));
        let given: Vec<(&str, &str, Span)> = ["local", "inline", "source"]
            .into_iter()
            .filter_map(|key| from.pointer(key).map(|(text, span)| (key, text, span)))
            .collect();
        if let [(_, _, first), (_, _, second), ..] = given[..] {
            self.reports.push(
                Report::error(codes::CONFLICT, "only one of `inline`, `local` and `source` can be given")
                    .at(second)
                    .related(first, "given here"),
            );
            return;
        }
        let (bytes, span) = match given.first() {
            Some(("inline", text, span)) => (text.as_bytes().to_vec(), *span),
            Some(("local", path, span)) => match read_local(self.files, path, *span, self.reports) {
                Some(bytes) => (bytes, *span),
                None => return,
            },
            _ => return,
        };
        self.put_contents(&bytes, span, out);
    }

    /// Puts a data URL and the compression it has, unless the user compressed the bytes already.
    fn put_contents(&mut self, bytes: &[u8], span: Span, out: &mut Object) {
        let compressed = matches!(out.get_mut("compression"), Some(Value { kind: ignition::json::Kind::String(text), .. }) if !text.is_empty());
        let (url, compression) = shortest(bytes, !compressed);
        if !compressed {
            match out.get_mut("compression") {
                Some(value) => *value = string(compression, span),
                None => out.put("compression", string(compression, span)),
            }
        }
        out.put("source", string(url, span));
    }

    fn contents_local(&mut self, node: &Node, out: &mut Object) {
        let from = From::new(Some(node));
        if self.variant.base < 5 {
            return;
        }
        let Some((path, span)) = from.text("contents_local") else { return };
        if let Some((_, first)) = from.pointer("contents") {
            self.reports.push(
                Report::error(codes::CONFLICT, "only one of `contents` and `contents_local` can be given")
                    .at(span)
                    .related(first, "given here"),
            );
            return;
        }
        if let Some(text) = self.local_text(path, span) {
            out.put("contents", string(text, span));
        }
    }

    fn local_text(&mut self, path: &str, span: Span) -> Option<String> {
        let bytes = read_local(self.files, path, span, self.reports)?;
        match String::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                self.reports.push(
                    Report::error(
                        codes::LOCAL_FILE,
                        format!("the local file `{path}` is not UTF-8 text: byte {at} does not fit"),
                    )
                    .at(span),
                );
                None
            }
        }
    }

    fn local_keys(&mut self, node: &Node, out: &mut Object) {
        let from = From::new(Some(node));
        if self.variant.base < 5 || from.items("ssh_authorized_keys_local").is_empty() {
            return;
        }
        let span = from.node("ssh_authorized_keys_local").map_or(node.span, |node| node.span);
        if require(self.files, span, self.reports).is_none() {
            return;
        }
        let mut keys = Vec::new();
        for item in from.items("ssh_authorized_keys_local") {
            let Some(path) = item.text() else { continue };
            let Some(text) = self.local_text(path, item.span) else { continue };
            keys.extend(
                text.split('\n')
                    .map(|line| line.strip_suffix('\r').unwrap_or(line))
                    .filter(|line| !line.is_empty())
                    .map(|line| string(line, item.span)),
            );
        }
        match out.get_mut("sshAuthorizedKeys") {
            Some(Value { kind: ignition::json::Kind::Array(items), .. }) => items.extend(keys),
            _ => out.put_list("sshAuthorizedKeys", keys, span),
        }
    }

    fn check_mode(&mut self, node: &Node, directory: bool) {
        if let Some((mode, span)) = From::new(Some(node)).int("mode")
            && nodes::looks_decimal(mode, directory)
        {
            self.reports.push(
                Report::warning(
                    codes::MODE,
                    format!("the mode {mode} is decimal, and would be usual as an octal number"),
                )
                .at(span)
                .hint(format!("write `mode: 0{mode}`")),
            );
        }
    }
}

/// The members of an object.
fn members(value: &mut Value) -> Option<&mut Vec<ignition::json::Member>> {
    match &mut value.kind {
        ignition::json::Kind::Object(members) => Some(members),
        _ => None,
    }
}

/// The items of a list.
fn items(value: &mut Value) -> Option<&mut Vec<Value>> {
    match &mut value.kind {
        ignition::json::Kind::Array(items) => Some(items),
        _ => None,
    }
}
