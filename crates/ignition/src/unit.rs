//! The checks of unit files and unit names. The reader is as lenient and as strict as the reference's
//! (`go-systemd`): text before the first section is skipped, a line without `=` is an error.

use std::iter::Peekable;
use std::str::CharIndices;

/// One `Name=value` of a unit file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitOption {
    /// Section name without brackets.
    pub section: String,
    /// Option name.
    pub name: String,
    /// Value; continued lines are kept with their backslashes and newlines.
    pub value: String,
}

/// What is wrong with a unit file, and at which byte.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UnitError {
    /// What is wrong.
    pub message: String,
    /// Byte offset in the unit file.
    pub offset: usize,
}

/// Reads a unit file.
///
/// # Errors
/// The first place that the reference would refuse.
pub fn parse(text: &str) -> Result<Vec<UnitOption>, UnitError> {
    let mut reader = Reader { text, chars: text.char_indices().peekable() };
    let mut options = Vec::new();
    let mut section = String::new();
    let mut inside = false;
    while let Some((at, c)) = reader.chars.next() {
        match c {
            '[' => {
                section = reader.section(at)?;
                inside = true;
            }
            '#' | ';' => reader.skip_comment(),
            c if !inside || c.is_whitespace() => {}
            _ => {
                let name = reader.name(at)?;
                let value = reader.value();
                options.push(UnitOption { section: section.clone(), name, value });
            }
        }
    }
    Ok(options)
}

struct Reader<'a> {
    text: &'a str,
    chars: Peekable<CharIndices<'a>>,
}

impl Reader<'_> {
    /// The rest of the line without its end; the cursor goes to the next line.
    fn line(&mut self) -> String {
        let mut line = String::new();
        for (_, c) in self.chars.by_ref() {
            if c == '\n' {
                break;
            }
            line.push(c);
        }
        if line.ends_with('\r') {
            line.pop();
        }
        line
    }

    fn skip_comment(&mut self) {
        while self.line().ends_with('\\') {}
    }

    fn section(&mut self, start: usize) -> Result<String, UnitError> {
        let mut name = String::new();
        for (_, c) in self.chars.by_ref() {
            if c == ']' {
                let garbage = self.line();
                if garbage.trim().is_empty() {
                    return Ok(name);
                }
                let message = format!("found garbage after section name `{name}`");
                return Err(UnitError { message, offset: start });
            }
            name.push(c);
        }
        Err(UnitError { message: "unable to find end of section".to_owned(), offset: start })
    }

    fn name(&mut self, start: usize) -> Result<String, UnitError> {
        loop {
            match self.chars.next() {
                Some((end, '=')) => return Ok(self.text.get(start..end).unwrap_or("").trim().to_owned()),
                Some((_, '\n' | '\r')) => {
                    let message = "unexpected newline encountered while parsing option name".to_owned();
                    return Err(UnitError { message, offset: start });
                }
                Some(_) => {}
                None => {
                    let message = "unexpected end while parsing option name".to_owned();
                    return Err(UnitError { message, offset: start });
                }
            }
        }
    }

    fn value(&mut self) -> String {
        let mut value = String::new();
        loop {
            let line = self.line();
            if line.trim().is_empty() {
                break;
            }
            value.push_str(&line);
            if !line.ends_with('\\') || self.chars.peek().is_none() {
                break;
            }
            value.push('\n');
        }
        value.trim().to_owned()
    }
}

/// The part of a name from its last dot, as Go's `path.Ext`; empty if there is none.
#[must_use]
pub fn extension(name: &str) -> &str {
    let base = name.rfind('/').and_then(|i| name.get(i..)).unwrap_or(name);
    base.rfind('.').and_then(|i| base.get(i..)).unwrap_or("")
}

/// Whether a unit name has the suffix of a unit type.
#[must_use]
pub fn has_unit_suffix(name: &str) -> bool {
    matches!(
        extension(name),
        ".service"
            | ".socket"
            | ".device"
            | ".mount"
            | ".automount"
            | ".swap"
            | ".target"
            | ".path"
            | ".timer"
            | ".snapshot"
            | ".slice"
            | ".scope"
    )
}

/// Whether enabling does anything: an `[Install]` section with a dependency or an alias.
#[must_use]
pub fn is_installable(options: &[UnitOption]) -> bool {
    options.iter().any(|o| o.section == "Install")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_reference_reads() {
        let text = "junk before\n# c\n[Unit]\nDescription=a b\n; x\n[Service]\nExecStart=/bin/a \\\n  b\n\n";
        let options = parse(text).unwrap();
        assert_eq!(options.len(), 2);
        assert_eq!(options[1].section, "Service");
        assert_eq!(options[1].value, "/bin/a \\\n  b");
        assert!(parse("").unwrap().is_empty());
        assert!(parse("[Install]\nWantedBy=x").is_ok_and(|o| is_installable(&o)));
    }

    #[test]
    fn refuses_what_the_reference_refuses() {
        assert_eq!(parse("[Unit]\nfoo\n").unwrap_err().offset, 7);
        assert!(parse("[Unit]\nfoo").is_err());
        assert!(parse("[Unit").is_err());
        assert!(parse("[Unit] x\n").is_err());
        assert!(has_unit_suffix("a@b.service") && !has_unit_suffix("a.conf") && !has_unit_suffix("a"));
    }
}
