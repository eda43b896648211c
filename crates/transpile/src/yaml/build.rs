//! Builds the tree from the parser's events, with the limits of [`Limits`].

use super::{Entry, Kind, Limits, Node, Scalar, Tag};
use granit_parser::{ErrorKind, Event, Marker, Options, Parser, ScalarStyle, ScanError};
use report::{Report, Reports, SourceId, Span, codes};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Reads the first document of `text`. None when there is no value at all (an empty text) or when
/// an error, which `reports` then holds, leaves nothing to go on with.
pub fn read(source: SourceId, text: &str, limits: &Limits, reports: &mut Reports) -> Option<Node> {
    if let Err(report) = check_text(source, text, limits) {
        reports.push(*report);
        return None;
    }
    let bom = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let body = &text[bom..];
    let mut builder = Builder {
        source,
        base: bom,
        limits,
        reports,
        stack: Vec::new(),
        anchors: HashMap::new(),
        root: None,
        nodes: 0,
        alias_nodes: 0,
        alias_bytes: 0,
    };
    let mut options = Options::default();
    options.flow_nesting_limit = limits.depth;
    options.block_nesting_limit = limits.depth;
    // As libyaml, and so go-yaml, does it.
    options.block_scalar_eof_without_line_feed = true;
    let mut parser = Parser::new_from_str_with_options(body, options);
    let mut documents = 0_usize;
    while let Some(next) = parser.next_event() {
        let (event, span) = match next {
            Ok(next) => next,
            Err(error) => {
                let at = builder.place(error.marker());
                let report = syntax_error(&error, at, body, bom).at(Span::new(source, at, at));
                builder.reports.push(report);
                return None;
            }
        };
        let span = builder.span(&span);
        match event {
            Event::DocumentStart(..) => {
                documents += 1;
                if documents > 1 {
                    builder.reports.push(
                        Report::error(
                            codes::SYNTAX,
                            "a second document starts here, and only the first one would count",
                        )
                        .at(Span::new(source, span.start, span.start))
                        .hint("put it into a file of its own and pass it with `--snippet`"),
                    );
                    return builder.root;
                }
            }
            event => {
                if let Err(report) = builder.event(event, span) {
                    builder.reports.push(*report);
                    return None;
                }
            }
        }
    }
    builder.root
}

/// What must hold for the text as a whole.
fn check_text(source: SourceId, text: &str, limits: &Limits) -> Step {
    if text.len() > limits.bytes {
        return Err(Box::new(
            Report::error(
                codes::TOO_LARGE,
                format!("the text is {} bytes long, more than the limit of {}", text.len(), limits.bytes),
            )
            .at(Span::new(source, 0, 0)),
        ));
    }
    let bad =
        text.char_indices().find(|(_, c)| c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}'));
    if let Some((at, c)) = bad {
        let name = if c == '\0' {
            "a NUL".to_owned()
        } else {
            format!("the control character U+{:04X}", u32::from(c))
        };
        let report =
            Report::error(codes::SYNTAX, format!("the text holds {name}, which YAML does not allow"))
                .at(Span::new(source, at, at + c.len_utf8()));
        return Err(Box::new(if c == '\0' {
            report.hint("is this a text file, and is it UTF-8?")
        } else {
            report.hint("write it as an escape inside double quotes")
        }));
    }
    Ok(())
}

fn syntax_error(error: &ScanError, at: usize, body: &str, bom: usize) -> Report {
    // The builder's place is absolute already; the hint looks at the text there.
    let (code, message) = match error.kind() {
        ErrorKind::RecursionLimitExceeded => (codes::TOO_DEEP, "the text is nested too deeply".to_owned()),
        _ => (codes::SYNTAX, error.info()),
    };
    let mut report = Report::error(code, lower_first(&message));
    let line_start = body[..at.saturating_sub(bom).min(body.len())].rfind('\n').map_or(0, |i| i + 1);
    let line = body[line_start..].lines().next().unwrap_or_default();
    if let Some(hint) = syntax_hint(line, body) {
        report = report.hint(hint);
    }
    report
}

/// What usually lies behind a YAML syntax error on this line.
fn syntax_hint(line: &str, body: &str) -> Option<&'static str> {
    let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
    if line[..indent].contains('\t') {
        Some("indent with spaces: YAML does not allow tabs there")
    } else if line.contains("${")
        || line.contains("{{")
        || line.contains("{%")
        || line.trim_start().starts_with('%')
    {
        Some("this looks like a template: render it first")
    } else if line.contains('`') || line.contains('@') && line.contains(": @") {
        Some("quote the value: it starts with a character that is reserved in YAML")
    } else if line.matches(": ").count() > 1 {
        Some("quote the value: it holds `: `, which starts a map in YAML")
    } else if body.contains("\n\t") {
        Some("some lines are indented with tabs, which YAML does not allow")
    } else {
        None
    }
}

fn lower_first(message: &str) -> String {
    let mut chars = message.chars();
    match chars.next() {
        Some(first) if message.chars().nth(1).is_some_and(char::is_lowercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => message.to_owned(),
    }
}

/// A finished node with what it costs to copy it.
#[derive(Clone)]
struct Built {
    node: Node,
    nodes: usize,
    bytes: usize,
    depth: usize,
}

enum Frame {
    List {
        start: Span,
        anchor: usize,
        items: Vec<Node>,
        cost: Cost,
    },
    Map {
        start: Span,
        anchor: usize,
        entries: Vec<Entry>,
        merges: Vec<(Span, Built)>,
        key: Option<Key>,
        cost: Cost,
    },
}

#[derive(Default, Clone, Copy)]
struct Cost {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Cost {
    fn add(&mut self, built: &Built) {
        self.nodes += built.nodes;
        self.bytes += built.bytes;
        self.depth = self.depth.max(built.depth);
    }
}

enum Key {
    Name(Arc<str>, Span),
    Merge(Span),
    /// A list or map as key: reported already, the value is read and dropped.
    Bad,
}

struct Builder<'a> {
    source: SourceId,
    base: usize,
    limits: &'a Limits,
    reports: &'a mut Reports,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Built>,
    root: Option<Node>,
    nodes: usize,
    alias_nodes: usize,
    alias_bytes: usize,
}

type Step = Result<(), Box<Report>>;

impl Builder<'_> {
    fn place(&self, marker: &Marker) -> usize {
        self.base + marker.byte_offset().unwrap_or(0)
    }

    fn span(&self, span: &granit_parser::Span) -> Span {
        let range = span.byte_range().unwrap_or(0..0);
        Span::new(self.source, self.base + range.start, self.base + range.end)
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Step {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.count(span)?;
                let tag = match tag
                    .as_ref()
                    .map(|tag| (tag.core_suffix().map(str::to_owned), tag.suffix().to_owned()))
                {
                    Some((Some(core), _)) if core == "str" => Tag::Str,
                    Some((Some(core), _)) if core == "binary" => Tag::Binary,
                    Some((None, suffix)) if suffix == "!" || suffix.is_empty() => Tag::Str,
                    _ => Tag::None,
                };
                let bytes = text.len();
                let text: Arc<str> = match text {
                    Cow::Borrowed(text) => text.into(),
                    Cow::Owned(text) => text.into(),
                };
                let scalar = Scalar { text, plain: style == ScalarStyle::Plain, tag };
                let node = Node { span, kind: Kind::Scalar(scalar) };
                self.done(Built { node, nodes: 1, bytes, depth: 1 }, anchor, false)
            }
            Event::Alias(id) => {
                let Some(built) = self.anchors.get(&id).cloned() else {
                    return Err(Box::new(
                        Report::error(codes::SYNTAX, "an alias stands inside the value it names").at(span),
                    ));
                };
                self.charge(built.nodes, built.bytes, span)?;
                self.done(built, 0, true)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.count(span)?;
                self.stack.push(Frame::List {
                    start: span,
                    anchor,
                    items: Vec::new(),
                    cost: Cost::default(),
                });
                self.check_depth(self.stack.len(), span)
            }
            Event::MappingStart(_, anchor, _) => {
                self.count(span)?;
                self.stack.push(Frame::Map {
                    start: span,
                    anchor,
                    entries: Vec::new(),
                    merges: Vec::new(),
                    key: None,
                    cost: Cost::default(),
                });
                self.check_depth(self.stack.len(), span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            _ => Ok(()),
        }
    }

    fn count(&mut self, span: Span) -> Step {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            return Err(Box::new(
                Report::error(
                    codes::TOO_LARGE,
                    format!("the text holds more than {} values", self.limits.nodes),
                )
                .at(span),
            ));
        }
        Ok(())
    }

    fn charge(&mut self, nodes: usize, bytes: usize, span: Span) -> Step {
        self.alias_nodes += nodes;
        self.alias_bytes += bytes;
        if self.alias_nodes > self.limits.alias_nodes || self.alias_bytes > self.limits.alias_bytes {
            return Err(Box::new(
                Report::error(
                    codes::TOO_LARGE,
                    format!(
                        "aliases multiply the text beyond {} values or {} bytes",
                        self.limits.alias_nodes, self.limits.alias_bytes
                    ),
                )
                .at(span),
            ));
        }
        Ok(())
    }

    fn check_depth(&self, depth: usize, span: Span) -> Step {
        if depth > self.limits.depth {
            return Err(Box::new(
                Report::error(
                    codes::TOO_DEEP,
                    format!("the text is nested more than {} levels deep", self.limits.depth),
                )
                .at(span),
            ));
        }
        Ok(())
    }

    fn close(&mut self, end: Span) -> Step {
        match self.stack.pop() {
            Some(Frame::List { start, anchor, items, cost }) => {
                let span = Span::new(self.source, start.start, end.end.max(start.end));
                let node = Node { span, kind: Kind::List(items.into()) };
                self.done(
                    Built { node, nodes: cost.nodes + 1, bytes: cost.bytes, depth: cost.depth + 1 },
                    anchor,
                    false,
                )
            }
            Some(Frame::Map { start, anchor, mut entries, merges, mut cost, .. }) => {
                self.merge(&mut entries, merges, &mut cost)?;
                let span = Span::new(self.source, start.start, end.end.max(start.end));
                let node = Node { span, kind: Kind::Map(entries.into()) };
                self.done(
                    Built { node, nodes: cost.nodes + 1, bytes: cost.bytes, depth: cost.depth + 1 },
                    anchor,
                    false,
                )
            }
            None => Ok(()),
        }
    }

    /// Puts a finished node where it belongs.
    fn done(&mut self, built: Built, anchor: usize, alias: bool) -> Step {
        self.check_depth(self.stack.len() + built.depth.saturating_sub(1), built.node.span)?;
        if anchor != 0 {
            self.anchors.insert(anchor, built.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(built.node),
            Some(Frame::List { items, cost, .. }) => {
                cost.add(&built);
                items.push(built.node);
            }
            Some(Frame::Map { entries, merges, key, cost, .. }) => match key.take() {
                None => {
                    let span = built.node.span;
                    *key = Some(match built.node.kind {
                        Kind::Scalar(scalar)
                            if &*scalar.text == "<<" && scalar.plain && scalar.tag == Tag::None && !alias =>
                        {
                            Key::Merge(span)
                        }
                        Kind::Scalar(scalar) => Key::Name(scalar.text, span),
                        Kind::List(_) | Kind::Map(_) => {
                            self.reports.push(
                                Report::error(codes::WRONG_TYPE, "a list or map stands where a key must be")
                                    .at(span)
                                    .hint("if this is a template (`{{ ... }}`), render it first; if it is text, quote it"),
                            );
                            Key::Bad
                        }
                    });
                }
                Some(Key::Name(name, key_span)) => {
                    cost.add(&built);
                    entries.push(Entry { key: name, key_span, value: built.node });
                }
                Some(Key::Merge(span)) => merges.push((span, built)),
                Some(Key::Bad) => {}
            },
        }
        Ok(())
    }

    /// Finds duplicate keys, then applies merge keys: written keys win, then earlier sources.
    fn merge(&mut self, entries: &mut Vec<Entry>, merges: Vec<(Span, Built)>, cost: &mut Cost) -> Step {
        let mut seen: HashMap<Arc<str>, Span> = HashMap::with_capacity(entries.len());
        for entry in entries.iter() {
            if let Some(first) = seen.get(&entry.key) {
                self.reports.push(
                    Report::error(
                        codes::DUPLICATE_KEY,
                        format!("the key `{}` is given twice in this map", short(&entry.key)),
                    )
                    .at(entry.key_span)
                    .related(*first, "first given here")
                    .hint("remove one of them, or merge their values under one key"),
                );
            } else {
                seen.insert(entry.key.clone(), entry.key_span);
            }
        }
        for window in merges.windows(2) {
            self.reports.push(
                Report::error(codes::DUPLICATE_KEY, "the merge key `<<` is given twice in this map")
                    .at(window[1].0)
                    .related(window[0].0, "first given here")
                    .hint("write one `<<` with a list: `<<: [*a, *b]`"),
            );
        }
        for (span, built) in merges {
            let sources: Vec<Node> = match &built.node.kind {
                Kind::Map(_) => vec![built.node.clone()],
                Kind::List(items) if items.iter().all(|item| matches!(item.kind, Kind::Map(_))) => {
                    items.to_vec()
                }
                Kind::List(_) | Kind::Scalar(_) => {
                    self.reports.push(
                        Report::error(
                            codes::WRONG_TYPE,
                            format!(
                                "`<<` wants a map or a list of maps, and this is {}",
                                built.node.describe()
                            ),
                        )
                        .at(span),
                    );
                    continue;
                }
            };
            // A merged map is not nested any deeper than it was; its own level is replaced.
            cost.nodes += built.nodes;
            cost.bytes += built.bytes;
            cost.depth = cost.depth.max(built.depth.saturating_sub(1));
            for source in sources {
                for entry in source.entries() {
                    if !seen.contains_key(&entry.key) {
                        self.charge(1, entry.key.len(), span)?;
                        seen.insert(entry.key.clone(), entry.key_span);
                        entries.push(entry.clone());
                    }
                }
            }
        }
        Ok(())
    }
}

fn short(text: &str) -> String {
    if text.chars().count() <= 40 {
        text.to_owned()
    } else {
        format!("{}...", text.chars().take(40).collect::<String>())
    }
}
