//! From (stage, config, facts) to a plan, or to all problems at once.

use std::fmt;

use ignition::model::Config;
use report::Code;

use crate::facts::Facts;
use crate::origin::{Origin, Origins};
use crate::stage::Stage;
use crate::step::Step;
use crate::{disks, files, users};

/// The steps of one stage, in order.
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Plan {
    /// The stage.
    pub stage: Stage,
    /// What it does.
    pub steps: Vec<Step>,
}

/// Why a config cannot be carried out on this machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// What asks for it.
    pub origin: Origin,
    /// Stable name of the kind.
    pub code: Code,
    /// What is wrong: lower case, without secrets.
    pub message: String,
    /// What to do about it.
    pub hints: Vec<String>,
}

impl Problem {
    pub(crate) fn new(origin: Origin, code: Code, message: impl Into<String>) -> Self {
        Self { origin, code, message: message.into(), hints: Vec::new() }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// Plans one stage. `origins` says where the entries of `config` came from.
///
/// The fetch stages have no steps. The disks stage is planned with what `facts` says now; the executor plans it
/// phase by phase (see [`crate::plan_phase`]), because a file system can only be looked at once its partition is there.
///
/// # Errors
/// All problems that can be seen from the facts.
pub fn plan(stage: Stage, config: &Config, origins: &Origins, facts: &Facts) -> Result<Plan, Vec<Problem>> {
    let mut problems = Vec::new();
    let steps = match stage {
        Stage::FetchOffline | Stage::Fetch | Stage::Umount => Vec::new(),
        Stage::Kargs => {
            files::refuse_kernel_arguments(config, origins, facts, &mut problems);
            Vec::new()
        }
        Stage::Disks => disks::all(config, origins, facts, &mut problems),
        Stage::Mount => disks::mounts(config, origins, &mut problems),
        Stage::Files => {
            let mut steps = users::plan(config, origins, facts, &mut problems);
            steps.extend(files::plan(config, origins, facts, &mut problems));
            steps
        }
    };
    if problems.is_empty() { Ok(Plan { stage, steps }) } else { Err(problems) }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "stage {}: {} steps", self.stage, self.steps.len())?;
        for (i, step) in self.steps.iter().enumerate() {
            writeln!(f, "{:4}  {step}", i + 1)?;
        }
        Ok(())
    }
}
