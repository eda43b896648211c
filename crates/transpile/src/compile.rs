//! From texts to one Ignition config: what `wellcar config render`, `config check` and `run` call.

use crate::detect::{self, Language};
use crate::engine::{self, Built, Spec};
use crate::files::Files;
use crate::yaml::{self, Entry, Kind, Limits, Node};
use crate::{butane, clc, merge};
use report::{Report, Reports, Severity, SourceId, Sources, Span, codes};

/// A text to compile.
#[derive(Debug, Clone)]
pub struct Input {
    /// The name that reports show: a path, or `-`.
    pub name: String,
    /// Its bytes, read with a limit by the caller.
    pub bytes: Vec<u8>,
}

/// How texts are compiled. The default is strict, without platform and files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// The platform whose dynamic data a Container Linux Config uses (`ec2`, `custom`, ...).
    pub platform: Option<&'a str>,
    /// Unknown keys are warnings, as they are for the reference programs.
    pub lax: bool,
    /// The Ignition version of the result. None: 3.1.0 for a Container Linux Config, as Flatcar
    /// translates it; for Butane and Ignition their own.
    pub spec: Option<Spec>,
    /// Where local files are read.
    pub files: Option<&'a dyn Files>,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// The texts, for showing reports.
    pub sources: Sources,
    /// Everything found, in the order of the texts.
    pub reports: Reports,
    /// The language of the first text, if it was recognised.
    pub language: Option<Language>,
    spec: Option<Spec>,
    built: Option<Built>,
}

impl Outcome {
    /// Whether there is a result.
    pub fn ok(&self) -> bool {
        self.built.is_some()
    }

    /// The result as JSON; none if there were errors.
    pub fn json(&self, pretty: bool) -> Option<String> {
        // The write was tried once before, so it has nothing new to report.
        engine::write(self.built.as_ref()?, self.spec, pretty, &mut Reports::new())
    }

    /// The result as a typed config with the position of every field; none if there were errors or
    /// if Ignition 2.3 was asked for.
    pub fn config(&self) -> Option<&ignition::Config> {
        match self.built.as_ref()? {
            Built::V3(config, _) => Some(config),
            Built::V2(_) => None,
        }
    }
}

/// A text that was read.
struct File {
    language: Language,
    /// The version of its language, for Butane.
    variant: Option<&'static butane::Variant>,
    source: SourceId,
    root: Option<Node>,
}

/// Compiles the first input with the rest as snippets, laid over it in order. Never panics, and does
/// no I/O but through [`Options::files`].
pub fn compile(inputs: Vec<Input>, options: &Options<'_>) -> Outcome {
    let mut sources = Sources::new();
    let mut reports = Reports::new();
    let files: Vec<Option<File>> =
        inputs.into_iter().map(|input| read(input, options, &mut sources, &mut reports)).collect();
    let language = files.first().and_then(|file| file.as_ref().map(|file| file.language));
    let roots: Vec<(SourceId, Node)> =
        files.iter().flatten().filter_map(|file| Some((file.source, file.root.clone()?))).collect();
    // A file that cannot be read must not hide what is wrong with the others.
    let readable: Vec<File> = files.into_iter().flatten().collect();
    let built = build(readable, options, &sources, &mut reports);
    let built = built.filter(|built| {
        !reports.has_errors() && engine::write(built, options.spec, false, &mut reports).is_some()
    });
    let reports = finish(reports, &roots);
    Outcome { built: built.filter(|_| !reports.has_errors()), sources, reports, language, spec: options.spec }
}

fn read(input: Input, options: &Options<'_>, sources: &mut Sources, reports: &mut Reports) -> Option<File> {
    let limits = Limits::default();
    if input.bytes.len() > limits.bytes {
        let source = sources.add(input.name, "");
        let message =
            format!("the text is {} bytes long, more than the limit of {}", input.bytes.len(), limits.bytes);
        reports.push(Report::error(codes::TOO_LARGE, message).at(Span::new(source, 0, 0)));
        return None;
    }
    if let Some((what, hint)) = detect::foreign_bytes(&input.bytes) {
        let source = sources.add(input.name, "");
        reports.push(
            Report::error(codes::LANGUAGE, format!("this is {what}, which cannot be used here"))
                .at(Span::new(source, 0, 0))
                .hint(hint),
        );
        return None;
    }
    let (source, valid) = match String::from_utf8(input.bytes) {
        Ok(text) => (sources.add(input.name, text), None),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.into_bytes();
            (sources.add_bytes(input.name, &bytes), Some((at, bytes.get(at).copied().unwrap_or(0))))
        }
    };
    if let Some((at, byte)) = valid {
        reports.push(
            Report::error(codes::SYNTAX, format!("the byte 0x{byte:02x} is not part of UTF-8 text"))
                .at(Span::new(source, at, at + '\u{fffd}'.len_utf8()))
                .hint("save the file as UTF-8; binary contents belong into a file of their own, with `contents: {local: ...}`"),
        );
        return None;
    }
    let text = sources.text(source);
    if let Some(report) = detect::foreign_text(source, text) {
        reports.push(report);
        return None;
    }
    if detect::is_ignition(text) {
        return Some(File { language: Language::Ignition, variant: None, source, root: None });
    }
    let before = reports.count(Severity::Error);
    let root = yaml::read(source, text, &limits, reports);
    let failed = reports.count(Severity::Error) > before;
    let root = match root {
        Some(root) if !root.is_null() => root,
        _ if failed => return None,
        _ => {
            reports.push(Report::warning(codes::EMPTY, "the config is empty").at(Span::new(source, 0, 0)));
            Node { span: Span::new(source, 0, 0), kind: Kind::Map([].into()) }
        }
    };
    if !clc::is_map(&root) {
        reports.push(
            Report::error(
                codes::LANGUAGE,
                format!("a config is a map of sections, and this is {}", root.describe()),
            )
            .at(root.span)
            .hint("it starts with a section such as `storage:` or `systemd:`"),
        );
        return None;
    }
    let language = match detect::language(&root) {
        Ok(language) => language,
        Err(report) => {
            reports.push(*report);
            return None;
        }
    };
    let variant = match language {
        Language::Butane => {
            let variant = butane::variant_of(&root, reports)?;
            butane::check_file(&root, variant, options.lax, reports);
            Some(variant)
        }
        Language::Clc => {
            clc::check_file(&root, options.lax, reports);
            None
        }
        Language::Ignition => None,
    };
    Some(File { language, variant, source, root: Some(root) })
}

/// Merges files of one language as texts, and results of different languages as configs.
fn build(files: Vec<File>, options: &Options<'_>, sources: &Sources, reports: &mut Reports) -> Option<Built> {
    let mut groups: Vec<File> = Vec::new();
    for (index, file) in files.into_iter().enumerate() {
        if index > 0 {
            warn_of_replace(&file, reports);
        }
        match groups.last_mut() {
            Some(last)
                if last.language == file.language && last.variant == file.variant && last.root.is_some() =>
            {
                if let (Some(parent), Some(child)) = (&last.root, &file.root) {
                    let (obj, version) = match file.variant {
                        Some(variant) => (&butane::schema::CONFIG, variant.base),
                        None => (&clc::schema::CONFIG, 0),
                    };
                    last.root = Some(merge::merge(parent, child, obj, version, reports));
                }
            }
            _ => groups.push(file),
        }
    }
    let mut all = true;
    let mut built: Option<Built> = None;
    for file in groups {
        let Some(next) = translate(&file, options, sources, reports) else {
            all = false;
            continue;
        };
        built = match built {
            None => Some(next),
            Some(before) => engine::merge(before, next, reports),
        };
    }
    built.filter(|_| all)
}

fn warn_of_replace(file: &File, reports: &mut Reports) {
    let replace = file.root.as_ref().and_then(|root| root.get("ignition")?.get("config")?.entry("replace"));
    if let Some(entry) = replace.filter(|entry| !entry.value.is_null()) {
        reports.push(
            Report::warning(
                codes::MERGE,
                "`replace` in a snippet makes the machine throw away everything else in this config",
            )
            .at(entry.key_span)
            .hint("use `append` (Container Linux Config) or `merge` (Butane)"),
        );
    }
}

fn translate(file: &File, options: &Options<'_>, sources: &Sources, reports: &mut Reports) -> Option<Built> {
    match (&file.root, file.variant) {
        (Some(root), Some(variant)) => {
            let value = butane::translate(root, variant, options.files, reports);
            engine::from_v3(&value, ignition::Version::find(variant.ignition)?, reports)
        }
        (Some(root), None) => {
            let how = clc::How {
                platform: options.platform,
                files: options.files,
                lax: options.lax,
                exact: options.spec == Some(Spec::V2_3),
            };
            let value = clc::translate(root, &how, reports);
            engine::from_v2(value, options.spec, reports)
        }
        (None, _) => {
            let how = ignition::Options { strict: !options.lax, ..ignition::Options::default() };
            let parsed = ignition::parse(sources, file.source, how);
            reports.append(parsed.reports);
            Some(Built::V3(Box::new(parsed.config?), parsed.version?))
        }
    }
}

/// Gives every report the key path of the text it points to, and puts them in order.
fn finish(mut reports: Reports, roots: &[(SourceId, Node)]) -> Reports {
    for report in reports.iter_mut() {
        let Some(span) = report.span else { continue };
        if let Some((_, root)) = roots.iter().find(|(source, _)| *source == span.source)
            && let Some(path) = path_of(root, span)
        {
            report.path = path;
        }
    }
    reports.sorted()
}

/// The key path of the innermost key or item that holds a place.
fn path_of(root: &Node, span: Span) -> Option<String> {
    let holds =
        |outer: Span| outer.source == span.source && outer.start <= span.start && span.end <= outer.end;
    let mut path = "$".to_owned();
    let mut node = root;
    loop {
        let entries = node.entries();
        let starts = |entry: &Entry| entry.key_span.start.min(entry.value.span.start);
        if let Some(entry) =
            nearest(entries, span.start, starts, |entry| holds(entry.key_span) || holds(entry.value.span))
        {
            path = format!("{path}.{}", entry.key);
            node = &entry.value;
            if holds(entry.key_span) {
                return Some(path);
            }
            continue;
        }
        let items = node.items();
        if let Some(item) = nearest(items, span.start, |item| item.span.start, |item| holds(item.span)) {
            let index = items.iter().position(|other| std::ptr::eq(other, item)).unwrap_or(0);
            path = format!("{path}.{index}");
            node = item;
            continue;
        }
        return (path.len() > 1).then_some(path);
    }
}

/// The element that holds a place. Elements stand in the order of the text, but for those that came
/// through an alias or a merge key; those are looked for only where there are few.
fn nearest<T>(
    list: &[T],
    start: usize,
    starts: impl Fn(&T) -> usize,
    holds: impl Fn(&T) -> bool,
) -> Option<&T> {
    const FEW: usize = 256;
    let after = list.partition_point(|element| starts(element) <= start);
    let sorted = after.checked_sub(1).and_then(|index| list.get(index)).filter(|element| holds(element));
    sorted.or_else(|| list.iter().take(FEW).find(|element| holds(element)))
}
