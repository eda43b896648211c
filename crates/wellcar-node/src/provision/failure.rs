//! How a stage fails: what, in which step, where in the config, why, and what to do; as text for a console and
//! as JSON for the next boot.

use std::error::Error;
use std::fmt::Write as _;

use ::provision::{Origin, Problem, Stage};
use report::Exit;
use serde::Serialize;

/// A failed stage.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Failure {
    pub(super) stage: Option<Stage>,
    pub(super) code: String,
    /// What was being done, if a step was.
    pub(super) step: Option<String>,
    pub(super) message: String,
    pub(super) causes: Vec<String>,
    pub(super) source: Option<String>,
    pub(super) line: Option<usize>,
    pub(super) column: Option<usize>,
    pub(super) path: Option<String>,
    pub(super) hints: Vec<String>,
    /// More findings of the same kind, already rendered.
    pub(super) text: String,
    #[serde(skip)]
    pub(super) exit: Exit,
}

impl Failure {
    pub(super) fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            stage: None,
            code: code.to_owned(),
            step: None,
            message: message.into(),
            causes: Vec::new(),
            source: None,
            line: None,
            column: None,
            path: None,
            hints: Vec::new(),
            text: String::new(),
            exit: Exit::Failed,
        }
    }

    /// From an error and all its causes.
    pub(super) fn of(code: &str, error: &(dyn Error + 'static)) -> Self {
        let mut out = Self::new(code, error.to_string());
        let mut next = error.source();
        while let Some(cause) = next {
            out.causes.push(cause.to_string());
            next = cause.source();
        }
        out
    }

    /// A config that is read and cannot be used: `rendered` is what the compiler's own reports say.
    pub(super) fn invalid(reports: &report::Reports, sources: &report::Sources) -> Self {
        let first = reports.iter().find(|r| r.severity == report::Severity::Error);
        let mut out = Self::new(
            first.map_or("syntax", |r| r.code.id()),
            first.map_or_else(|| "failed to read the config".to_owned(), |r| r.message.clone()),
        );
        if let Some(report) = first {
            out.path = Some(report.path.clone()).filter(|p| !p.is_empty());
            out.hints.clone_from(&report.hints);
            if let Some(span) = report.span {
                let at = sources.line_column(span.source, span.start);
                out.source = Some(sources.name(span.source).to_owned());
                (out.line, out.column) = (Some(at.line), Some(at.column));
            }
        }
        out.text = report::text(reports, sources);
        out.exit = Exit::InvalidInput;
        out
    }

    /// From the planner's problems: the first in full, the others in the text.
    pub(super) fn problems(problems: &[Problem]) -> Self {
        let Some(first) = problems.first() else { return Self::new("plan", "failed to plan the stage") };
        let mut out = Self::new(first.code.id(), first.message.clone()).at(&first.origin);
        out.hints.clone_from(&first.hints);
        out.exit = Exit::InvalidInput;
        for problem in problems.iter().skip(1) {
            let _ = writeln!(out.text, "also: {} ({})", problem.message, problem.origin);
        }
        out
    }

    pub(super) fn at(mut self, origin: &Origin) -> Self {
        if self.path.is_none() {
            self.path = Some(origin.path.clone());
        }
        if let (Some(place), None) = (&origin.place, &self.source) {
            self.source = Some(place.source.clone());
            (self.line, self.column) = (Some(place.line), Some(place.column));
        }
        self
    }

    pub(super) fn step(mut self, step: &::provision::Step) -> Self {
        self.step = Some(step.action.to_string());
        self.at(&step.origin)
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The report for people.
    pub(super) fn render(&self) -> String {
        let mut out = String::new();
        let stage = self.stage.map_or("?", Stage::as_str);
        let _ = writeln!(out, "CRITICAL: provisioning failed in stage {stage} [{}]", self.code);
        let mut row = |name: &str, value: &str| {
            for (i, line) in value.lines().enumerate() {
                let _ = writeln!(out, "  {:<6} {line}", if i == 0 { name } else { "" });
            }
        };
        if let Some(step) = &self.step {
            row("step", step);
        }
        row("error", &self.message);
        for cause in &self.causes {
            row("cause", cause);
        }
        let place = match (&self.source, self.line, self.column) {
            (Some(source), Some(line), Some(column)) => Some(format!("{source}:{line}:{column}")),
            (source, ..) => source.clone(),
        };
        let place = [place, self.path.clone()].into_iter().flatten().collect::<Vec<_>>().join("  ");
        row("where", &place);
        for hint in &self.hints {
            row("do", hint);
        }
        if !self.text.is_empty() {
            out.push('\n');
            out.push_str(&self.text);
        }
        out
    }

    /// The report for machines; its `text` is the rendered one.
    pub(super) fn to_json(&self) -> String {
        let whole = Self { text: self.render(), ..self.clone() };
        serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
    }
}

pub(super) type Result<T> = std::result::Result<T, Box<Failure>>;

/// Makes a boxed failure of any error.
pub(super) fn fail(code: &'static str) -> impl Fn(&(dyn Error + 'static)) -> Box<Failure> {
    move |error| Box::new(Failure::of(code, error))
}
