//! What enabling a unit means: the symlinks that its `[Install]` section asks for (systemd.unit(5)).

use std::collections::BTreeMap;

/// A link below `/etc/systemd/system`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstallLink {
    /// Name relative to `/etc/systemd/system`, such as `multi-user.target.wants/x.service`.
    pub name: String,
    /// What it points to, an absolute path.
    pub target: String,
}

/// An `[Install]` section.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Install {
    /// `WantedBy=`
    pub wanted_by: Vec<String>,
    /// `RequiredBy=`
    pub required_by: Vec<String>,
    /// `UpheldBy=`
    pub upheld_by: Vec<String>,
    /// `Alias=`
    pub alias: Vec<String>,
    /// `Also=`
    pub also: Vec<String>,
    /// `DefaultInstance=`
    pub default_instance: Option<String>,
}

impl Install {
    /// Reads the section from a unit's text; drop-ins do not count, as for systemctl. Never fails: a line
    /// that systemd would not understand is passed over.
    #[must_use]
    pub fn parse(unit: &str) -> Self {
        let mut out = Self::default();
        let mut inside = false;
        let mut lines = unit.lines();
        while let Some(line) = lines.next() {
            let mut line = line.trim().to_owned();
            if line.starts_with(['#', ';']) {
                continue;
            }
            while line.ends_with('\\') {
                line.pop();
                let Some(next) = lines.next() else { break };
                let next = next.trim();
                if next.starts_with(['#', ';']) {
                    line.push('\\');
                    continue;
                }
                line.push(' ');
                line.push_str(next);
            }
            if line.starts_with('[') {
                inside = line == "[Install]";
                continue;
            }
            let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
            let list = match key.trim() {
                "WantedBy" => &mut out.wanted_by,
                "RequiredBy" => &mut out.required_by,
                "UpheldBy" => &mut out.upheld_by,
                "Alias" => &mut out.alias,
                "Also" => &mut out.also,
                "DefaultInstance" => {
                    out.default_instance = Some(value.trim().to_owned()).filter(|v| !v.is_empty());
                    continue;
                }
                _ => continue,
            };
            if value.trim().is_empty() {
                list.clear();
            }
            list.extend(value.split_whitespace().map(|w| w.trim_matches('"').to_owned()));
        }
        out
    }

    /// Nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a name can be a unit's: no slash, no control character, a known suffix.
#[must_use]
pub fn is_unit_name(name: &str) -> bool {
    const SUFFIXES: [&str; 11] = [
        ".service",
        ".socket",
        ".device",
        ".mount",
        ".automount",
        ".swap",
        ".target",
        ".path",
        ".timer",
        ".slice",
        ".scope",
    ];
    name.len() <= 255
        && !name.starts_with(['.', '@'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b))
        && SUFFIXES.iter().any(|s| name.len() > s.len() && name.ends_with(s))
}

/// `a@b.service` → (`a@.service`, `b`); no `@` → `None`.
#[must_use]
pub fn split_instance(name: &str) -> Option<(String, &str)> {
    let (prefix, rest) = name.split_once('@')?;
    let (instance, suffix) = rest.rsplit_once('.')?;
    Some((format!("{prefix}@.{suffix}"), instance))
}

/// The links that enable `name`, whose unit file (or template) is `path` with the text `unit`; sorted.
///
/// Specifiers in the section (`%i`, `%n`, `%p`, `%j`) are replaced where they name the unit itself; an entry with
/// another specifier is passed over.
#[must_use]
pub fn links(name: &str, path: &str, unit: &str) -> Vec<InstallLink> {
    let install = Install::parse(unit);
    let mut full = name.to_owned();
    if let Some((template, "")) = split_instance(name) {
        match &install.default_instance {
            Some(instance) => full = template.replacen("@.", &format!("@{instance}."), 1),
            None => return Vec::new(),
        }
    }
    let mut out = BTreeMap::new();
    let groups =
        [(&install.wanted_by, "wants"), (&install.required_by, "requires"), (&install.upheld_by, "upholds")];
    for (list, kind) in groups {
        for by in list {
            if let Some(by) = expand(by, &full).filter(|by| is_unit_name(by)) {
                out.insert(format!("{by}.{kind}/{full}"), path.to_owned());
            }
        }
    }
    for alias in &install.alias {
        if let Some(alias) = expand(alias, &full).filter(|a| is_unit_name(a) && *a != full) {
            out.insert(alias, path.to_owned());
        }
    }
    out.into_iter().map(|(name, target)| InstallLink { name, target }).collect()
}

fn expand(text: &str, unit: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let stem = unit.rsplit_once('.').map_or(unit, |(s, _)| s);
    let (prefix, instance) = stem.split_once('@').unwrap_or((stem, ""));
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match chars.next()? {
            '%' => out.push('%'),
            'n' => out.push_str(unit),
            'N' => out.push_str(stem),
            'p' => out.push_str(prefix),
            'i' => out.push_str(instance),
            'j' => out.push_str(prefix.rsplit_once('-').map_or(prefix, |(_, last)| last)),
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(name: &str, unit: &str) -> Vec<String> {
        links(name, "/p", unit).into_iter().map(|l| l.name).collect()
    }

    #[test]
    fn wants_requires_and_aliases() {
        let unit = "[Unit]\nWantedBy=no.target\n[Install]\nWantedBy=multi-user.target \\\n  b.target\n# WantedBy=x.target\nRequiredBy=c.target\nAlias=d.service\n";
        assert_eq!(
            shown("a.service", unit),
            [
                "b.target.wants/a.service",
                "c.target.requires/a.service",
                "d.service",
                "multi-user.target.wants/a.service"
            ]
        );
        assert_eq!(shown("a.service", "[Service]\nExecStart=/bin/true\n"), [""; 0]);
        assert_eq!(shown("a.service", "[Install]\nWantedBy=x.target\nWantedBy=\n"), [""; 0]);
    }

    #[test]
    fn templates() {
        let unit = "[Install]\nWantedBy=multi-user.target\nAlias=alias-%i.service\n";
        assert_eq!(shown("e@x.service", unit), ["alias-x.service", "multi-user.target.wants/e@x.service"]);
        assert_eq!(shown("e@.service", unit), [""; 0]);
        let unit = "[Install]\nWantedBy=getty.target\nDefaultInstance=tty1\n";
        assert_eq!(shown("getty@.service", unit), ["getty.target.wants/getty@tty1.service"]);
        assert_eq!(split_instance("e@x.service"), Some(("e@.service".to_owned(), "x")));
        assert_eq!(split_instance("e.service"), None);
    }

    #[test]
    fn names_that_leave_the_directory_are_no_units() {
        for name in ["../x.service", "a/b.service", "x", ".service", "a\0.service", "a.service\n", ""] {
            assert!(!is_unit_name(name), "{name:?}");
        }
        assert!(is_unit_name("dev-disk-by\\x2dlabel-x.device"));
        assert_eq!(shown("a.service", "[Install]\nWantedBy=../../x.target\nAlias=/etc/y.service\n"), [""; 0]);
    }

    proptest! {
        #[test]
        fn never_panics_or_leaves(name in "[a-z@.%/]{0,20}service", unit in "(\\[Install\\]\n)?[A-Za-z=%@./\\\\\n ]{0,200}") {
            for link in links(&name, "/p", &unit) {
                prop_assert!(!link.name.contains("../"));
            }
        }
    }
}
