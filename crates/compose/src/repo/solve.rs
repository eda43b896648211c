//! The closure of a package list. Greedy and deterministic, no search: each relation takes what is
//! selected already, else its first alternative that exists; where that leaves a choice between
//! providers of a virtual package, `prefer` decides or the choice is an error that lists them.
//! At the end every Conflicts and Breaks is checked, so that a bad choice is seen, not shipped.
//! On Debian's archive this gives what apt gives (debian.md section A).

use super::packages::Package;
use super::relation::{self, Relation, RelationError};
use super::version::Version;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use thiserror::Error;

/// Why a package list has no closure.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SolveError {
    /// A package that is asked for does not exist.
    #[error("failed to find package `{name}`, wanted by {why}")]
    Missing {
        /// The package, or the relation that nothing satisfies.
        name: String,
        /// Who wants it.
        why: String,
    },
    /// Several packages provide what is wanted, and nothing says which to take.
    #[error("failed to choose a provider of `{name}`, wanted by {why}: expected `prefer` to name one of {}", quoted(.candidates))]
    Ambiguous {
        /// The virtual package.
        name: String,
        /// Who wants it.
        why: String,
        /// What provides it.
        candidates: Vec<String>,
    },
    /// `prefer` names a package that does not provide what it should.
    #[error("failed to prefer `{preferred}` for `{name}`: it does not provide it")]
    BadPreference {
        /// The virtual package.
        name: String,
        /// The package that does not provide it.
        preferred: String,
    },
    /// A package's relations are malformed.
    #[error("failed to read the relations of package `{package}`")]
    Relation {
        /// The package.
        package: String,
        /// Why.
        #[source]
        source: RelationError,
    },
    /// Two packages of the closure exclude each other.
    #[error("failed to put packages `{left}` and `{right}` together: `{left}` conflicts with `{relation}`")]
    Conflict {
        /// The package that excludes.
        left: String,
        /// The package that is excluded.
        right: String,
        /// The relation.
        relation: String,
    },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Packages by name.
    pub packages: &'a [String],
    /// Packages that count as installed in any version and are neither selected nor followed.
    pub drop: &'a BTreeSet<String>,
    /// Virtual package → the provider to take.
    pub prefer: &'a BTreeMap<String, String>,
    /// What the list is called in messages and in `why`.
    pub name: &'a str,
}

/// One selected package.
#[derive(Debug, Clone)]
pub struct Choice<'a> {
    /// The package.
    pub package: &'a Package,
    /// The suite it comes from: an index into the suites given to [`Universe::new`].
    pub suite: usize,
    /// The package that first asked for it, or the list's name.
    pub why: String,
}

/// The closure.
#[derive(Debug, Clone, Default)]
pub struct Solution<'a> {
    /// The selected packages by name.
    pub choices: BTreeMap<String, Choice<'a>>,
    /// Names in `drop` that nothing asked for.
    pub unused_drops: Vec<String>,
}

/// All packages that there are: of each name the highest version.
#[derive(Debug)]
pub struct Universe<'a> {
    by_name: HashMap<&'a str, (&'a Package, usize)>,
    providers: HashMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Universe<'a> {
    /// Takes the packages of each suite; of equal versions the one of the earlier suite.
    pub fn new(suites: &'a [Vec<Package>]) -> Self {
        let mut by_name: HashMap<&str, (&Package, usize)> = HashMap::new();
        for (index, packages) in suites.iter().enumerate() {
            for package in packages {
                let better =
                    by_name.get(package.name.as_str()).is_none_or(|(old, _)| package.version > old.version);
                if better {
                    by_name.insert(&package.name, (package, index));
                }
            }
        }
        let mut providers: HashMap<&str, BTreeSet<&str>> = HashMap::new();
        for (package, _) in by_name.values() {
            for provide in &package.provides {
                providers.entry(&provide.name).or_default().insert(&package.name);
            }
        }
        Self { by_name, providers }
    }

    /// The package of this name.
    pub fn get(&self, name: &str) -> Option<&'a Package> {
        self.by_name.get(name).map(|(package, _)| *package)
    }

    /// Solves one request.
    pub fn solve(&self, request: &Request<'_>) -> Result<Solution<'a>, SolveError> {
        let mut run = Run {
            universe: self,
            request,
            selected: BTreeMap::new(),
            queue: VecDeque::new(),
            used: BTreeSet::new(),
        };
        for name in request.packages {
            if self.get(name).is_none() {
                return Err(SolveError::Missing { name: name.clone(), why: format!("`{}`", request.name) });
            }
            run.select(name, request.name);
        }
        run.close()?;
        run.check_conflicts()?;
        let unused_drops = request.drop.iter().filter(|name| !run.used.contains(*name)).cloned().collect();
        Ok(Solution { choices: run.selected, unused_drops })
    }
}

/// One solving.
struct Run<'u, 'a, 'r> {
    universe: &'u Universe<'a>,
    request: &'r Request<'r>,
    selected: BTreeMap<String, Choice<'a>>,
    queue: VecDeque<&'a Package>,
    used: BTreeSet<String>,
}

impl<'a> Run<'_, 'a, '_> {
    fn select(&mut self, name: &str, why: &str) {
        let Some((package, suite)) = self.universe.by_name.get(name).copied() else { return };
        if self.selected.contains_key(name) {
            return;
        }
        self.selected.insert(name.to_owned(), Choice { package, suite, why: why.to_owned() });
        self.queue.push_back(package);
    }

    /// Follows relations until nothing is left. Those with a choice wait for those without, so that
    /// as many as possible find their answer selected already.
    fn close(&mut self) -> Result<(), SolveError> {
        let mut open: VecDeque<(&'a Package, Vec<Relation>)> = VecDeque::new();
        loop {
            while let Some(package) = self.queue.pop_front() {
                for group in relations(package, &package.depends)? {
                    if group.len() == 1 && self.is_real(&group) {
                        self.satisfy(package, &group)?;
                    } else {
                        open.push_back((package, group));
                    }
                }
            }
            match open.pop_front() {
                Some((package, group)) => self.satisfy(package, &group)?,
                None => return Ok(()),
            }
        }
    }

    /// Whether the group is one relation to an existing package.
    fn is_real(&self, group: &[Relation]) -> bool {
        group.iter().all(|relation| self.universe.by_name.contains_key(relation.name.as_str()))
    }

    fn satisfy(&mut self, package: &Package, group: &[Relation]) -> Result<(), SolveError> {
        let why = || format!("package `{}`", package.name);
        for relation in group {
            if let Some(dropped) = self.dropped(relation) {
                self.used.insert(dropped);
                return Ok(());
            }
        }
        for relation in group {
            if self.providers(relation).iter().any(|name| self.selected.contains_key(*name)) {
                return Ok(());
            }
        }
        for relation in group {
            let candidates = self.providers(relation);
            let chosen = match (self.request.prefer.get(&relation.name), candidates.as_slice()) {
                (_, []) => continue,
                // A package of the very name goes before those that provide it.
                (None, [only]) => *only,
                (None, [first, ..]) if *first == relation.name => *first,
                (None, several) => {
                    return Err(SolveError::Ambiguous {
                        name: relation.name.clone(),
                        why: why(),
                        candidates: several.iter().map(|name| (*name).to_owned()).collect(),
                    });
                }
                (Some(preferred), several) => {
                    several.iter().find(|name| *name == preferred).copied().ok_or_else(|| {
                        SolveError::BadPreference {
                            name: relation.name.clone(),
                            preferred: preferred.clone(),
                        }
                    })?
                }
            };
            self.select(chosen, &package.name);
            return Ok(());
        }
        let name = group.iter().map(ToString::to_string).collect::<Vec<_>>().join(" | ");
        Err(SolveError::Missing { name, why: why() })
    }

    /// A dropped package that stands for this relation: by its own name or by what it provides.
    fn dropped(&self, relation: &Relation) -> Option<String> {
        if self.request.drop.contains(&relation.name) {
            return Some(relation.name.clone());
        }
        self.providers(relation).into_iter().find(|name| self.request.drop.contains(*name)).map(str::to_owned)
    }

    /// The packages that satisfy a relation: the one of that name first, then those that provide it,
    /// by name.
    fn providers(&self, relation: &Relation) -> Vec<&'a str> {
        if !matches!(relation.architecture.as_deref(), None | Some("any" | "amd64" | "all" | "native")) {
            return Vec::new();
        }
        let mut found = Vec::new();
        if let Some((package, _)) = self.universe.by_name.get(relation.name.as_str())
            && relation.accepts(&package.version)
        {
            found.push(package.name.as_str());
        }
        for name in self.universe.providers.get(relation.name.as_str()).into_iter().flatten() {
            let Some((package, _)) = self.universe.by_name.get(name) else { continue };
            if package.name != relation.name
                && package.provides.iter().any(|provide| provides(provide, relation))
            {
                found.push(name);
            }
        }
        found
    }

    fn check_conflicts(&self) -> Result<(), SolveError> {
        for (name, choice) in &self.selected {
            for relation in relations(choice.package, &choice.package.conflicts)?.into_iter().flatten() {
                for other in self.providers(&relation) {
                    if other != name && self.selected.contains_key(other) {
                        return Err(SolveError::Conflict {
                            left: name.clone(),
                            right: other.to_owned(),
                            relation: relation.to_string(),
                        });
                    }
                }
            }
        }
        Ok(())
    }
}

fn relations(package: &Package, text: &str) -> Result<Vec<Vec<Relation>>, SolveError> {
    relation::parse(text).map_err(|source| SolveError::Relation { package: package.name.clone(), source })
}

/// Whether what a package provides satisfies a relation: a versioned relation needs a versioned
/// `Provides` (Debian policy 7.5).
fn provides(provide: &Relation, relation: &Relation) -> bool {
    let version: Option<&Version> = provide.constraint.as_ref().map(|(_, version)| version);
    provide.name == relation.name
        && match (&relation.constraint, version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(version)) => relation.accepts(version),
        }
}

#[cfg(test)]
mod tests {
    use super::super::packages;
    use super::*;

    fn index(entries: &[(&str, &str, &str)]) -> Vec<Package> {
        let text: Vec<String> = entries
            .iter()
            .map(|(name, version, more)| {
                format!(
                    "Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: pool/{name}.deb\nSize: 1\n\
                     SHA256: {}\n{more}\n",
                    "a".repeat(64)
                )
            })
            .collect();
        packages::read(text.join("\n").as_bytes(), "amd64").unwrap()
    }

    fn solve(
        suites: &[Vec<Package>],
        want: &[&str],
        drop: &[&str],
        prefer: &[(&str, &str)],
    ) -> Result<String, String> {
        let packages: Vec<String> = want.iter().map(ToString::to_string).collect();
        let drop = drop.iter().map(ToString::to_string).collect();
        let prefer = prefer.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        let universe = Universe::new(suites);
        let request = Request { packages: &packages, drop: &drop, prefer: &prefer, name: "list" };
        let solution = universe.solve(&request).map_err(|error| error.to_string())?;
        let words = solution
            .choices
            .iter()
            .map(|(name, c)| format!("{name}={}@{}<{}", c.package.version, c.suite, c.why));
        Ok(words
            .chain(solution.unused_drops.iter().map(|name| format!("!{name}")))
            .collect::<Vec<_>>()
            .join(" "))
    }

    #[test]
    fn alternatives_and_what_is_selected_already() {
        let suites = [index(&[
            ("top", "1", "Depends: first | second, dep (>= 2)"),
            ("first", "1", ""),
            ("second", "1", ""),
            ("dep", "2", "Pre-Depends: second"),
        ])];
        assert_eq!(solve(&suites, &["top"], &[], &[]).unwrap(), "dep=2@0<top second=1@0<dep top=1@0<list");
    }

    #[test]
    fn virtual_packages() {
        let suites = [index(&[
            ("top", "1", "Depends: awk, mta (>= 2)"),
            ("mawk", "1", "Provides: awk"),
            ("gawk", "1", "Provides: awk"),
            ("exim", "1", "Provides: mta (= 3)"),
            ("nullmail", "1", "Provides: mta"),
        ])];
        assert_eq!(
            solve(&suites, &["top"], &[], &[]).unwrap_err(),
            "failed to choose a provider of `awk`, wanted by package `top`: expected `prefer` to name one of `gawk`, `mawk`"
        );
        assert_eq!(
            solve(&suites, &["top"], &[], &[("awk", "mawk")]).unwrap(),
            "exim=1@0<top mawk=1@0<top top=1@0<list"
        );
        assert_eq!(solve(&suites, &["top"], &["gawk", "xx"], &[]).unwrap(), "exim=1@0<top top=1@0<list !xx");
        assert!(solve(&suites, &["top"], &[], &[("awk", "exim")]).unwrap_err().contains("does not provide"));
    }

    #[test]
    fn the_highest_version_wins_and_keeps_its_origin() {
        let suites = [
            index(&[("aa", "1.0-1", ""), ("bb", "2", "")]),
            index(&[("aa", "1.0-1+deb13u1", ""), ("bb", "2", "")]),
        ];
        assert_eq!(solve(&suites, &["aa", "bb"], &[], &[]).unwrap(), "aa=1.0-1+deb13u1@1<list bb=2@0<list");
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        let suites = [index(&[
            ("top", "1", "Depends: gone | dep (>> 1)"),
            ("dep", "1", ""),
            ("left", "1", "Breaks: right (<< 2)"),
            ("right", "1", ""),
            ("self", "1", "Conflicts: vv\nProvides: vv"),
            ("odd", "1", "Depends: dep (>= "),
        ])];
        let message = |want: &[&str]| solve(&suites, want, &[], &[]).unwrap_err();
        assert_eq!(message(&["none"]), "failed to find package `none`, wanted by `list`");
        assert_eq!(message(&["top"]), "failed to find package `gone | dep (>> 1)`, wanted by package `top`");
        assert!(
            message(&["left", "right"]).starts_with("failed to put packages `left` and `right` together")
        );
        assert_eq!(message(&["odd"]), "failed to read the relations of package `odd`");
        assert!(solve(&suites, &["self"], &[], &[]).is_ok());
    }
}
