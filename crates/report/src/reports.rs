//! One finding, and the collection of all findings of a run.

use crate::{Code, Span};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The input cannot be used.
    Error,
    /// The input can be used and probably does not mean what its author thinks.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    /// `error`, `warning` or `info`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

/// One finding. Messages must not hold secrets (password hashes, keys, file contents).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// How much it matters.
    pub severity: Severity,
    /// The stable name of its kind.
    pub code: Code,
    /// What is wrong, lower case, without a full stop.
    pub message: String,
    /// Key path, `$.storage.files.0.path`; empty where there is none.
    pub path: String,
    /// Where; `None` for what stands in no input.
    pub span: Option<Span>,
    /// What to do about it.
    pub hints: Vec<String>,
    /// Other places that have to do with it, each with a label.
    pub related: Vec<(Span, String)>,
}

impl Report {
    /// A finding of any severity, without a place.
    pub fn new(severity: Severity, code: Code, message: impl Into<String>) -> Self {
        Self {
            severity,
            code,
            message: message.into(),
            path: String::new(),
            span: None,
            hints: Vec::new(),
            related: Vec::new(),
        }
    }

    /// An error.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, code, message)
    }

    /// A warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Warning, code, message)
    }

    /// A note.
    pub fn info(code: Code, message: impl Into<String>) -> Self {
        Self::new(Severity::Info, code, message)
    }

    /// Sets the place; [`Span::NONE`] clears it.
    pub fn at(mut self, span: Span) -> Self {
        self.span = span.known();
        self
    }

    /// Sets the key path.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Adds what to do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds another place.
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }
}

/// Most findings that are kept; more are counted only. A text of a million mistakes is refused just as well.
pub const MAX_REPORTS: usize = 10_000;

/// Findings in the order in which they were made, the first [`MAX_REPORTS`] of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reports {
    list: Vec<Report>,
    left_out: usize,
    left_out_errors: usize,
}

impl Reports {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, report: Report) {
        if self.list.len() < MAX_REPORTS {
            self.list.push(report);
        } else {
            self.left_out += 1;
            self.left_out_errors += usize::from(report.severity == Severity::Error);
        }
    }

    /// How many were made beyond [`MAX_REPORTS`].
    #[must_use]
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Adds all of another collection.
    pub fn append(&mut self, other: Reports) {
        self.left_out += other.left_out;
        self.left_out_errors += other.left_out_errors;
        self.extend(other.list);
    }

    /// Whether any of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.left_out_errors > 0 || self.count(Severity::Error) > 0
    }

    /// How many have this severity.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|r| r.severity == severity).count()
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// In the order in which they were made.
    pub fn iter(&self) -> std::slice::Iter<'_, Report> {
        self.list.iter()
    }

    /// Mutable, to raise or lower severities.
    pub fn iter_mut(&mut self) -> std::slice::IterMut<'_, Report> {
        self.list.iter_mut()
    }

    /// Keeps those for which `keep` holds.
    pub fn retain(&mut self, keep: impl FnMut(&Report) -> bool) {
        self.list.retain(keep);
    }

    /// Ordered by source, position, severity and code; what has no place comes last; equal ones once.
    #[must_use]
    pub fn sorted(&self) -> Reports {
        let mut list = self.list.clone();
        list.sort_by(|a, b| {
            let place = |r: &Report| r.span.map_or((true, Span::NONE), |s| (false, s));
            place(a)
                .cmp(&place(b))
                .then_with(|| a.severity.cmp(&b.severity))
                .then_with(|| a.code.cmp(&b.code))
                .then_with(|| a.path.cmp(&b.path))
                .then_with(|| a.message.cmp(&b.message))
        });
        list.dedup();
        Reports { list, ..*self }
    }

    /// Turns warnings of these codes into errors (`strict`).
    pub fn raise(&mut self, codes: &[Code]) {
        for report in &mut self.list {
            if report.severity == Severity::Warning && codes.contains(&report.code) {
                report.severity = Severity::Error;
            }
        }
    }
}

impl IntoIterator for Reports {
    type Item = Report;
    type IntoIter = std::vec::IntoIter<Report>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl<'a> IntoIterator for &'a Reports {
    type Item = &'a Report;
    type IntoIter = std::slice::Iter<'a, Report>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl Extend<Report> for Reports {
    fn extend<I: IntoIterator<Item = Report>>(&mut self, iter: I) {
        iter.into_iter().for_each(|r| self.push(r));
    }
}

impl FromIterator<Report> for Reports {
    fn from_iter<I: IntoIterator<Item = Report>>(iter: I) -> Self {
        let mut reports = Self::new();
        reports.extend(iter);
        reports
    }
}

impl From<Report> for Reports {
    fn from(report: Report) -> Self {
        Self { list: vec![report], ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SourceId, codes};

    #[test]
    fn sorted_by_place_and_without_repetition() {
        let at = |n| Span::new(SourceId::NONE, n, n + 1);
        let mut reports = Reports::new();
        reports.push(Report::warning(codes::URL, "late").at(Span { source: SourceId::NONE, ..at(9) }));
        reports.push(Report::error(codes::URL, "none"));
        reports.push(Report::error(codes::URL, "none"));
        assert_eq!(reports.sorted().len(), 2);
        assert!(reports.has_errors());
        reports.retain(|r| r.severity == Severity::Warning);
        assert!(!reports.has_errors());
        reports.raise(&[codes::URL]);
        assert!(reports.has_errors());
    }

    #[test]
    fn a_flood_is_counted_and_stays_an_error() {
        let mut reports = Reports::new();
        for _ in 0..MAX_REPORTS {
            reports.push(Report::warning(codes::UNKNOWN_KEY, "w"));
        }
        reports.push(Report::error(codes::SYNTAX, "e"));
        assert_eq!((reports.len(), reports.left_out(), reports.has_errors()), (MAX_REPORTS, 1, true));
    }
}
