//! What `os/` asks for: the suites packages may come from (`suites.toml`), the packages of the image
//! (`packages.toml`) and the closures of build tools (`tools.toml`).

use super::relation::is_name;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use thiserror::Error;

/// Why a file of `os/` cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpecError {
    /// It is not TOML of this shape.
    #[error("failed to parse `{file}`")]
    Parse {
        /// The file.
        file: &'static str,
        /// Why, with line and column.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A name in it is malformed.
    #[error("failed to read `{file}`: `{name}` is not a package name")]
    Name {
        /// The file.
        file: &'static str,
        /// The name.
        name: String,
    },
    /// A name stands twice, or in two lists that exclude each other.
    #[error("failed to read `{file}`: `{name}` stands twice")]
    Twice {
        /// The file.
        file: &'static str,
        /// The name.
        name: String,
    },
    /// A suite's fields contradict each other.
    #[error("failed to read `{file}`: {what}")]
    Suite {
        /// The file.
        file: &'static str,
        /// What is wrong.
        what: String,
    },
}

/// Which archive a suite or a package is fetched from: each has its own mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Archive {
    /// The main archive.
    Main,
    /// The archive of security updates.
    Security,
}

impl Archive {
    /// The word for it in the lock file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Security => "security",
        }
    }
}

impl fmt::Display for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One suite that packages may come from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    /// Its codename, the folder below `dists/`.
    pub name: String,
    /// Where it lies.
    pub archive: Archive,
    /// What its Release file must name as `Origin`: another one is refused, whoever signed it.
    pub origin: String,
    /// The component that is used.
    pub component: String,
    /// The key files in `os/keys/` that may sign it.
    pub keys: Vec<String>,
}

/// `suites.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suites {
    /// The Debian architecture.
    pub architecture: String,
    /// The suites; where two have the same version of a package, the earlier one is taken.
    pub suite: Vec<Suite>,
}

/// `packages.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// The packages that are asked for by name.
    pub packages: Vec<String>,
    /// Packages that count as installed and are not: nobody in the image needs them.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Which package to take for a virtual one that several provide.
    #[serde(default)]
    pub prefer: BTreeMap<String, String>,
}

/// One closure of `tools.toml`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolSet {
    /// The packages that are asked for by name.
    pub packages: Vec<String>,
    /// What it does not need.
    #[serde(default)]
    pub drop: Vec<String>,
}

/// `tools.toml`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolsSpec {
    /// What no closure needs.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Which package to take for a virtual one that several provide.
    #[serde(default)]
    pub prefer: BTreeMap<String, String>,
    /// The closures by name.
    pub sets: BTreeMap<String, ToolSet>,
}

fn parse<T: for<'a> Deserialize<'a>>(file: &'static str, text: &str) -> Result<T, SpecError> {
    toml::from_str(text).map_err(|source| SpecError::Parse { file, source: Box::new(source) })
}

fn check_names<'a>(file: &'static str, names: impl IntoIterator<Item = &'a String>) -> Result<(), SpecError> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        if !is_name(name) {
            return Err(SpecError::Name { file, name: name.clone() });
        }
        if !seen.insert(name) {
            return Err(SpecError::Twice { file, name: name.clone() });
        }
    }
    Ok(())
}

impl Suites {
    /// Reads `suites.toml`.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let file = "suites.toml";
        let suites: Self = parse(file, text)?;
        let word = |text: &str| {
            !text.is_empty()
                && !text.starts_with('.')
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let mut names = std::collections::BTreeSet::new();
        for suite in &suites.suite {
            let wrong =
                |what: &str| SpecError::Suite { file, what: format!("suite `{}` {what}", suite.name) };
            if !word(&suite.name) || !word(&suite.component) || suite.origin.is_empty() {
                return Err(wrong("has a malformed `name`, `component` or `origin`"));
            }
            if suite.keys.is_empty() || !suite.keys.iter().all(|key| word(key)) {
                return Err(wrong("needs `keys`, each a file name"));
            }
            if !names.insert(&suite.name) {
                return Err(wrong("stands twice"));
            }
        }
        if suites.suite.is_empty() || !word(&suites.architecture) {
            return Err(SpecError::Suite {
                file,
                what: "expected an `architecture` and at least one `suite`".into(),
            });
        }
        Ok(suites)
    }
}

impl ImageSpec {
    /// Reads `packages.toml`.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let file = "packages.toml";
        let spec: Self = parse(file, text)?;
        check_names(file, spec.packages.iter().chain(&spec.drop))?;
        Ok(spec)
    }
}

impl ToolsSpec {
    /// Reads `tools.toml`.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let file = "tools.toml";
        let spec: Self = parse(file, text)?;
        for (name, set) in &spec.sets {
            check_names(file, [name])?;
            check_names(file, set.packages.iter().chain(&set.drop))?;
            check_names(file, set.packages.iter().chain(&spec.drop))?;
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_named() {
        let message = |text: &str| ImageSpec::parse(text).unwrap_err().to_string();
        assert_eq!(message("packages = ['aa', 'aa']"), "failed to read `packages.toml`: `aa` stands twice");
        assert_eq!(
            message("packages = ['aa']\ndrop = ['aa']"),
            "failed to read `packages.toml`: `aa` stands twice"
        );
        assert_eq!(
            message("packages = ['a b']"),
            "failed to read `packages.toml`: `a b` is not a package name"
        );
        assert!(message("packages = []\nx = 1").starts_with("failed to parse `packages.toml`"));
        let suite = "architecture='amd64'\n[[suite]]\nname='s'\narchive='main'\norigin='D'\ncomponent='main'\nkeys=['k.asc']\n";
        assert!(Suites::parse(suite).is_ok());
        assert!(Suites::parse(&suite.replace("k.asc", "../k")).is_err());
        assert!(Suites::parse(&suite.replace("name='s'", "name='..'")).is_err());
        assert!(Suites::parse(&suite.replace("keys=['k.asc']", "keys=[]")).is_err());
    }
}
