//! The words in which every front end speaks about its input: named sources, byte spans, values that keep
//! their span, findings with a stable code, a key path and hints, and three renderings of them (text, JSON,
//! SARIF 2.1.0). No I/O: texts come in as strings, renderings go out as strings.
#![forbid(unsafe_code)]

pub mod codes;
mod exit;
mod render;
mod reports;
mod secrets;
mod source;

pub use codes::Code;
pub use exit::Exit;
pub use render::{json, json_lines, sarif, text};
pub use reports::{MAX_REPORTS, Report, Reports, Severity};
pub use source::{LineColumn, SourceId, Sources, Span, Spanned};
