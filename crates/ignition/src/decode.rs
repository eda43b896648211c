//! From positioned JSON to the model: types, unknown keys, and which version knows which key.

use crate::json::{Kind, Value};
use crate::model::{Opt, Resource};
use crate::node::Node;
use crate::version::Version;
use report::{Report, Reports, Spanned, codes};
use std::any::TypeId;
use std::fmt::Write as _;

enum Step {
    Key(&'static str),
    Index(usize),
}

/// Reads the model out of JSON and collects what is wrong with it.
pub struct Decoder<'a> {
    version: Version,
    reports: &'a mut Reports,
    path: Vec<Step>,
}

impl std::fmt::Debug for Decoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Decoder({} at {})", self.version, self.path())
    }
}

impl<'a> Decoder<'a> {
    /// A decoder for one version.
    pub(crate) fn new(version: Version, reports: &'a mut Reports) -> Self {
        Self { version, reports, path: Vec::new() }
    }

    fn path(&self) -> String {
        let mut out = String::from("$");
        for step in &self.path {
            let _ = match step {
                Step::Key(key) => write!(out, ".{key}"),
                Step::Index(index) => write!(out, ".{index}"),
            };
        }
        out
    }

    fn wrong(&mut self, value: &Value, wanted: &str) {
        let message = format!("expected {wanted}, found {}", describe(&value.kind));
        let report = Report::error(codes::WRONG_TYPE, message).at(value.span).path(self.path());
        self.reports.push(report);
    }

    pub(crate) fn string(&mut self, value: &Value, into: &mut Opt<String>) {
        match &value.kind {
            Kind::Null => *into = None,
            Kind::String(s) => *into = Some(Spanned::new(s.clone(), value.span)),
            Kind::Bool(_) | Kind::Number(_) | Kind::Array(_) | Kind::Object(_) => {
                self.wrong(value, "a string");
            }
        }
    }

    pub(crate) fn boolean(&mut self, value: &Value, into: &mut Opt<bool>) {
        match &value.kind {
            Kind::Null => *into = None,
            Kind::Bool(b) => *into = Some(Spanned::new(*b, value.span)),
            Kind::String(_) | Kind::Number(_) | Kind::Array(_) | Kind::Object(_) => {
                self.wrong(value, "`true` or `false`");
            }
        }
    }

    pub(crate) fn integer(&mut self, value: &Value, into: &mut Opt<i64>) {
        match &value.kind {
            Kind::Null => *into = None,
            Kind::Number(n) => match n.parse() {
                Ok(number) => *into = Some(Spanned::new(number, value.span)),
                Err(_) => self.wrong(value, "a whole number of at most 64 bits"),
            },
            Kind::Bool(_) | Kind::String(_) | Kind::Array(_) | Kind::Object(_) => {
                self.wrong(value, "a whole number");
            }
        }
    }

    fn items<'v>(&mut self, value: &'v Value) -> Option<&'v [Value]> {
        match &value.kind {
            Kind::Null => Some(&[]),
            Kind::Array(items) => Some(items),
            Kind::Bool(_) | Kind::Number(_) | Kind::String(_) | Kind::Object(_) => {
                self.wrong(value, "a list");
                None
            }
        }
    }

    pub(crate) fn strings(&mut self, value: &Value, into: &mut Vec<Spanned<String>>) {
        let Some(items) = self.items(value) else { return };
        into.clear();
        for (index, item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            let mut one = None;
            self.string(item, &mut one);
            into.push(one.unwrap_or_else(|| Spanned::new(String::new(), item.span)));
            self.path.pop();
        }
    }

    pub(crate) fn objects<T: Node>(&mut self, value: &Value, into: &mut Vec<T>) {
        let Some(items) = self.items(value) else { return };
        into.clear();
        for (index, item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            let mut one = T::default();
            one.set_span(item.span);
            self.object(item, &mut one);
            into.push(one);
            self.path.pop();
        }
    }

    /// Reads an object into `into`; a second object for the same key adds to the first, as in Go.
    pub(crate) fn object<T: Node>(&mut self, value: &Value, into: &mut T) {
        let members = match &value.kind {
            Kind::Null => return,
            Kind::Object(members) => members,
            Kind::Bool(_) | Kind::Number(_) | Kind::String(_) | Kind::Array(_) => {
                return self.wrong(value, "an object");
            }
        };
        into.set_span(value.span);
        for member in members {
            let name = member.key.value.as_str();
            let known = |f: &crate::node::FieldInfo| f.since <= self.version && self.allows::<T>(f.key);
            let fields = T::fields();
            let exact = fields.iter().position(|f| f.key == name);
            let index = match exact {
                Some(index) if fields.get(index).is_some_and(known) => Some(index),
                Some(index) => {
                    self.too_new(&member.key, fields.get(index).map_or(Version::NEWEST, |f| f.since));
                    continue;
                }
                None => fields.iter().position(|f| f.key.eq_ignore_ascii_case(name) && known(f)),
            };
            let Some((index, field)) = index.and_then(|i| fields.get(i).map(|f| (i, f))) else {
                self.unknown(&member.key, fields);
                continue;
            };
            if exact.is_none() {
                let message = format!("unused key {name}: keys are case sensitive");
                self.unused(&member.key, message, format!("write `{}`", field.key));
            }
            self.path.push(Step::Key(field.key));
            into.decode_field(index, &member.value, self);
            self.path.pop();
        }
    }

    /// 3.0 had `compression` only for files.
    fn allows<T: Node>(&self, key: &str) -> bool {
        self.version > Version::V3_0
            || key != "compression"
            || TypeId::of::<T>() != TypeId::of::<Resource>()
            || matches!(self.path.first(), Some(Step::Key("storage")))
    }

    fn too_new(&mut self, key: &Spanned<String>, since: Version) {
        let since = since.max(Version::V3_1);
        let message = format!("unused key {}: spec {} does not know it", key.value, self.version);
        self.unused(key, message, format!("set `ignition.version` to `{since}` or later"));
    }

    fn unknown(&mut self, key: &Spanned<String>, fields: &'static [crate::node::FieldInfo]) {
        if self.reports.len() >= report::MAX_REPORTS {
            return self.unused(key, String::new(), String::new());
        }
        let message = format!("unused key {}", key.value);
        let near = fields.iter().map(|f| f.key).find(|k| distance(k, &key.value) <= 2);
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None if fields.is_empty() => String::new(),
            None => {
                let list: Vec<_> = fields.iter().filter(|f| f.since <= self.version).map(|f| f.key).collect();
                format!("known keys here: {}", list.join(", "))
            }
        };
        self.unused(key, message, hint);
    }

    fn unused(&mut self, key: &Spanned<String>, message: String, hint: String) {
        let mut report = Report::warning(codes::UNKNOWN_KEY, message).at(key.span).path(format!(
            "{}.{}",
            self.path(),
            key.value
        ));
        if !hint.is_empty() {
            report = report.hint(hint);
        }
        self.reports.push(report);
    }
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Number(n) if n.len() <= 24 => format!("the number {n}"),
        Kind::Bool(b) => format!("`{b}`"),
        Kind::Null | Kind::Number(_) | Kind::String(_) | Kind::Array(_) | Kind::Object(_) => {
            kind.name().to_owned()
        }
    }
}

/// Edit distance (Levenshtein) of two keys, ignoring case; long keys are not compared.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut left = i + 1;
        let mut diagonal = i;
        for (j, y) in b.iter().enumerate() {
            let up = row.get(j + 1).copied().unwrap_or(usize::MAX);
            let best = (diagonal + usize::from(x != y)).min(up + 1).min(left + 1);
            diagonal = up;
            if let Some(cell) = row.get_mut(j) {
                *cell = left;
            }
            left = best;
        }
        if let Some(cell) = row.last_mut() {
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}
