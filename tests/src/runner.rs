//! Runs groups of tests: one fixture for each group, tests in their order, the wall time of each
//! printed. Takes the arguments that cargo's own test programs take: filters, `--exact`,
//! `--skip`, `--list`; others are ignored.

use anyhow::Result;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// A test on a fixture.
pub struct Test<F> {
    /// Its name within the group.
    pub name: &'static str,
    /// What it does.
    pub run: fn(&F) -> Result<()>,
}

impl<F> std::fmt::Debug for Test<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Test").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Tests that share a fixture.
pub struct Group<F> {
    /// Its name.
    pub name: &'static str,
    /// Makes the fixture; reported as the test `boot`.
    pub setup: fn() -> Result<F>,
    /// The tests, in their order: one may build on what an earlier one did.
    pub tests: Vec<Test<F>>,
    /// Looks at the fixture after all tests; reported as the test `console`.
    pub finish: fn(&F) -> Result<()>,
}

impl<F> std::fmt::Debug for Group<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Group").field("name", &self.name).field("tests", &self.tests).finish_non_exhaustive()
    }
}

/// A run: what was asked for, and how it goes.
#[derive(Debug, Default)]
pub struct Suite {
    filters: Vec<String>,
    skip: Vec<String>,
    exact: bool,
    list: bool,
    passed: usize,
    failed: Vec<String>,
    filtered: usize,
}

impl Suite {
    /// Reads the arguments, without the program's name.
    pub fn new(args: impl IntoIterator<Item = String>) -> Self {
        let mut suite = Self::default();
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--exact" => suite.exact = true,
                "--list" => suite.list = true,
                "--skip" => suite.skip.extend(args.next()),
                "--format" | "--color" | "--test-threads" | "--logfile" | "-Z" => drop(args.next()),
                other if other.starts_with('-') => {}
                _ => suite.filters.push(arg),
            }
        }
        suite
    }

    /// Whether nothing is to be run.
    #[must_use]
    pub fn only_lists(&self) -> bool {
        self.list
    }

    fn wants(&self, name: &str) -> bool {
        let hit = |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(hit)) && !self.skip.iter().any(hit)
    }

    /// Runs one group. The fixture is made only when one of its tests is wanted.
    pub fn group<F>(&mut self, group: &Group<F>) {
        let full = |name: &str| format!("{}::{name}", group.name);
        let wanted: Vec<_> = group.tests.iter().filter(|test| self.wants(&full(test.name))).collect();
        let boot_wanted = self.wants(&full("boot"));
        if self.list {
            for name in std::iter::once("boot").chain(group.tests.iter().map(|test| test.name)) {
                if self.wants(&full(name)) {
                    say(&format!("{}: test", full(name)));
                }
            }
            return;
        }
        self.filtered += group.tests.len() - wanted.len();
        if wanted.is_empty() && !boot_wanted {
            return;
        }
        let Some(fixture) = self.one(&full("boot"), || (group.setup)()) else {
            for test in wanted {
                say(&format!("test {} ... not run: the machine did not boot", full(test.name)));
                self.failed.push(full(test.name));
            }
            return;
        };
        for test in wanted {
            self.one(&full(test.name), || (test.run)(&fixture));
        }
        self.one(&full("console"), || (group.finish)(&fixture));
    }

    fn one<T>(&mut self, name: &str, run: impl FnOnce() -> Result<T>) -> Option<T> {
        let started = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(run));
        let seconds = started.elapsed().as_secs_f64();
        let error = match result {
            Ok(Ok(value)) => {
                say(&format!("test {name} ... ok ({seconds:.1} s)"));
                self.passed += 1;
                return Some(value);
            }
            Ok(Err(error)) => format!("{error:#}"),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
            }
        };
        say(&format!("test {name} ... FAILED ({seconds:.1} s)"));
        for line in error.lines() {
            say(&format!("    {line}"));
        }
        self.failed.push(name.to_owned());
        None
    }

    /// Prints the result.
    #[must_use]
    pub fn end(self) -> ExitCode {
        if self.list {
            return ExitCode::SUCCESS;
        }
        for name in &self.failed {
            say(&format!("failed: {name}"));
        }
        let word = if self.failed.is_empty() { "ok" } else { "FAILED" };
        say(&format!(
            "\ntest result: {word}. {} passed; {} failed; {} filtered out",
            self.passed,
            self.failed.len(),
            self.filtered
        ));
        if self.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Prints a line now: a test of minutes must show that it runs.
pub fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    fn group(setup: fn() -> Result<u32>) -> Group<u32> {
        let good = Test { name: "good", run: |_| Ok(()) };
        let bad = Test { name: "bad", run: |_| bail!("no") };
        let panics = Test { name: "panics", run: |_| panic!("at the disco") };
        Group { name: "g", setup, tests: vec![good, bad, panics], finish: |_| Ok(()) }
    }

    fn args(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn failures_and_panics_are_counted() {
        let mut suite = Suite::new(args(&[]));
        suite.group(&group(|| Ok(1)));
        assert_eq!((suite.passed, suite.failed.as_slice()), (3, &args(&["g::bad", "g::panics"])[..]));
    }

    #[test]
    fn filters_choose() {
        let mut suite = Suite::new(args(&["g::good", "--exact", "--format", "terse"]));
        suite.group(&group(|| Ok(1)));
        assert_eq!((suite.passed, suite.failed.len(), suite.filtered), (3, 0, 2));
        let mut none = Suite::new(args(&["other"]));
        none.group(&group(|| bail!("never made")));
        assert_eq!((none.passed, none.failed.len(), none.filtered), (0, 0, 3));
    }

    #[test]
    fn without_a_fixture_its_tests_fail() {
        let mut suite = Suite::new(args(&["--skip", "panics"]));
        suite.group(&group(|| bail!("no machine")));
        assert_eq!((suite.passed, suite.failed.len()), (0, 3));
    }
}
