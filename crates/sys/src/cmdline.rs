//! The kernel command line as the kernel splits it: words parted by white space, `name=value`,
//! double quotes around a value or a whole word. Pure; limits are the kernel's (a line is at most
//! 4 KiB on our platforms, longer text is cut by the kernel itself).
//!
//! Reference: `next_arg` in the kernel's `lib/cmdline.c`, and "The kernel's command-line parameters"
//! of its admin guide.

/// A parsed kernel command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandLine {
    words: Vec<(String, Option<String>)>,
}

impl CommandLine {
    /// Takes a line apart. Never fails: every text is a command line to the kernel.
    #[must_use]
    pub fn parse(line: &str) -> Self {
        let mut words = Vec::new();
        let mut rest = line.trim_start();
        while !rest.is_empty() {
            let mut in_quotes = false;
            let end = rest
                .find(|c: char| {
                    if c == '"' {
                        in_quotes = !in_quotes;
                    }
                    c.is_ascii_whitespace() && !in_quotes
                })
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            words.push(split_word(word));
            rest = after.trim_start();
        }
        Self { words }
    }

    /// The value of the last `name=value` with this name: later words win, as for the kernel. Dashes
    /// and underscores in names are the same.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.words.iter().rev().find_map(|(n, v)| v.as_deref().filter(|_| same_name(n, name)))
    }

    /// All values given to this name, in order.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.words.iter().filter(move |(n, _)| same_name(n, name)).filter_map(|(_, v)| v.as_deref())
    }

    /// Whether the name stands there, with or without a value.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.words.iter().any(|(n, _)| same_name(n, name))
    }

    /// Whether a switch is on: the name alone, or with `1`, `yes`, `true` or `on`.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        self.words
            .iter()
            .rfind(|(n, _)| same_name(n, name))
            .is_some_and(|(_, value)| matches!(value.as_deref(), None | Some("1" | "yes" | "true" | "on")))
    }

    /// All words in order, as name and value.
    pub fn words(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.words.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

fn same_name(a: &str, b: &str) -> bool {
    let fold = |c: u8| if c == b'-' { b'_' } else { c };
    a.len() == b.len() && a.bytes().map(fold).eq(b.bytes().map(fold))
}

/// Name and value of one word, quotes around either taken off.
fn split_word(word: &str) -> (String, Option<String>) {
    let whole = word.strip_prefix('"').map(|w| w.strip_suffix('"').unwrap_or(w));
    let Some((name, value)) = whole.unwrap_or(word).split_once('=') else {
        return (whole.unwrap_or(word).to_owned(), None);
    };
    let value = match value.strip_prefix('"') {
        Some(inner) => inner.strip_suffix('"').unwrap_or(inner),
        None => value,
    };
    (name.to_owned(), Some(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::CommandLine;
    use proptest::prelude::*;

    #[test]
    fn words_values_and_quotes() {
        let line = CommandLine::parse(
            " ro usrhash=abc console=tty0 console=ttyS0,115200n8\tx=\"a b\" \"y=c d\" flatcar.first_boot=1 e=\n",
        );
        assert_eq!(line.value("usrhash"), Some("abc"));
        assert_eq!(line.values("console").collect::<Vec<_>>(), ["tty0", "ttyS0,115200n8"]);
        assert_eq!(line.value("console"), Some("ttyS0,115200n8"));
        assert_eq!(line.value("x"), Some("a b"));
        assert_eq!(line.value("y"), Some("c d"));
        assert_eq!(line.value("e"), Some(""));
        assert!(line.contains("ro") && line.is_on("ro") && line.is_on("flatcar.first_boot"));
        assert!(line.is_on("flatcar.first-boot"));
        assert!(!line.is_on("usrhash") && !line.contains("nothing"));
    }

    #[test]
    fn the_last_word_decides_a_switch() {
        assert!(!CommandLine::parse("a=1 a=0").is_on("a"));
        assert!(CommandLine::parse("a=0 a").is_on("a"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_command_line(text in "\\PC{0,200}") {
            let line = CommandLine::parse(&text);
            prop_assert!(line.words().all(|(_, v)| v.is_none_or(|v| v.len() <= text.len())));
        }

        #[test]
        fn plain_words_come_back(words in proptest::collection::vec(("[a-z.]{1,8}", "[a-z0-9,/:=]{0,8}"), 0..8)) {
            let text = words.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join(" ");
            let line = CommandLine::parse(&text);
            let seen: Vec<_> = line.words().map(|(n, v)| (n.to_owned(), v.unwrap().to_owned())).collect();
            prop_assert_eq!(seen, words);
        }
    }
}
