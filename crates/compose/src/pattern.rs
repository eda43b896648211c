//! Path patterns of `os/files.toml`: `*` stands for any run of characters within a name, `**` for any
//! run of names, `{a,b}` for one of several words, `[a-z]` for one character. Patterns match whole paths.

/// A compiled list of patterns.
#[derive(Debug, Clone, Default)]
pub struct Patterns {
    items: Vec<Vec<char>>,
}

impl Patterns {
    /// Compiles patterns; braces are expanded here, so that matching needs no alternatives.
    pub fn new<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Self {
        let mut items = Vec::new();
        for pattern in patterns {
            for plain in expand(pattern.as_ref()) {
                items.push(plain.chars().collect());
            }
        }
        Self { items }
    }

    /// Whether a pattern matches the whole path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        self.items.iter().any(|item| matches(item, &path))
    }
}

/// Expands the first brace group, and the rest by recursion: at most a few dozen words by hand.
fn expand(pattern: &str) -> Vec<String> {
    let Some(open) = pattern.find('{') else { return vec![pattern.to_owned()] };
    let Some(close) = pattern[open..].find('}').map(|at| open + at) else { return vec![pattern.to_owned()] };
    pattern[open + 1..close]
        .split(',')
        .flat_map(|word| expand(&format!("{}{}{}", &pattern[..open], word, &pattern[close + 1..])))
        .collect()
}

fn matches(pattern: &[char], path: &[char]) -> bool {
    match pattern {
        [] => path.is_empty(),
        ['*', '*', rest @ ..] => (0..=path.len()).any(|skip| matches(rest, &path[skip..])),
        ['*', rest @ ..] => {
            let reach = path.iter().position(|&c| c == '/').unwrap_or(path.len());
            (0..=reach).any(|skip| matches(rest, &path[skip..]))
        }
        ['[', rest @ ..] => {
            let Some(close) = rest.iter().position(|&c| c == ']') else { return false };
            let Some((&first, path_rest)) = path.split_first() else { return false };
            in_class(&rest[..close], first) && matches(&rest[close + 1..], path_rest)
        }
        [c, rest @ ..] => path.first() == Some(c) && matches(rest, &path[1..]),
    }
}

fn in_class(class: &[char], c: char) -> bool {
    let mut at = 0;
    while at < class.len() {
        if at + 2 < class.len() && class[at + 1] == '-' {
            if (class[at]..=class[at + 2]).contains(&c) {
                return true;
            }
            at += 3;
        } else {
            if class[at] == c {
                return true;
            }
            at += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        let patterns = Patterns::new(["usr/share/doc/**", "etc/*.d/x", "a/{b,c}/**", "n[0-9]"]);
        for yes in ["usr/share/doc/a/b", "etc/init.d/x", "a/b/z", "a/c/d/e", "n7"] {
            assert!(patterns.matches(yes), "{yes}");
        }
        for no in ["usr/share/docs", "etc/a/b.d/x", "a/d/z", "nx", "n77"] {
            assert!(!patterns.matches(no), "{no}");
        }
    }
}
