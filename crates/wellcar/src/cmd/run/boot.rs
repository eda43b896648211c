//! Follows a machine's console from power-on until SSH answers, and tells what it sees.

use crate::failure::Failure;
use crate::ui::Ui;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant};
use vm::console::{Mark, TroubleKind};
use vm::{Console, Deadline, Machine, Trouble};

/// How long to wait for a line before SSH is asked again.
const BEAT: Duration = Duration::from_secs(1);
/// How long the console must be silent for a report on it to be over.
const REPORT_SILENCE: Duration = Duration::from_secs(3);
/// The most lines of a report or of a console's end that are shown.
const SHOWN: usize = 60;

/// Before what stage 1 says on the console.
const STAGE1: &str = "wellcar: ";
/// The beginning of a failure's message of stage 1. The kernel's log may have shown it before.
const MESSAGE: &str = "*** Wellcar";

/// Steps of a boot, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Loader,
    Kernel,
    Systemd,
    Login,
}

impl Step {
    fn text(self) -> &'static str {
        match self {
            Self::Loader => "the firmware found the boot loader",
            Self::Kernel => "the kernel starts",
            Self::Systemd => "systemd starts the units",
            Self::Login => "the console asks for a login",
        }
    }

    /// The step that a line of the console is the sign of.
    fn of(line: &str) -> Option<Self> {
        let has = |text: &str| line.contains(text);
        if has("BdsDxe: starting ") {
            Some(Self::Loader)
        } else if has("EFI stub: ") || has("Linux version ") {
            Some(Self::Kernel)
        } else if has("Welcome to ") || has("running in system mode") {
            Some(Self::Systemd)
        } else if line.trim_end().ends_with(" login:") {
            Some(Self::Login)
        } else {
            None
        }
    }
}

/// Why a machine did not come up.
#[derive(Debug)]
pub enum BootFailure {
    /// It said so on its console; `report` is what it said.
    Guest { trouble: Trouble, report: String },
    /// It ended before SSH answered.
    Ended { tail: String },
    /// SSH did not answer in time.
    Silent { allowed: Duration, tail: String },
}

impl BootFailure {
    /// The failure of the command; the console's words come first, as they are.
    #[expect(clippy::print_stderr, reason = "the guest's report goes to the operator's terminal as it is")]
    pub fn into_failure(self, log: Option<&Path>) -> Failure {
        let (shown, error) = match self {
            Self::Guest { trouble, report } => {
                (report, anyhow::anyhow!("failed to boot the machine: {trouble}"))
            }
            Self::Ended { tail } => {
                (tail, anyhow::anyhow!("failed to boot the machine: it ended before SSH answered"))
            }
            Self::Silent { allowed, tail } => {
                (tail, anyhow::anyhow!("failed to reach SSH on the machine within {} s", allowed.as_secs()))
            }
        };
        eprintln!("--- the machine's console ---");
        for line in shown.lines() {
            eprintln!("| {line}");
        }
        eprintln!("---");
        let hint = log.map(|log| format!("the whole console is in `{}`", log.display()));
        Failure::Work { error, hint }
    }
}

/// Follows the boot until the SSH server greets on `port`.
pub fn until_ssh(machine: &Machine, port: u16, limit: Duration, ui: Ui) -> Result<(), BootFailure> {
    let started = Instant::now();
    let say = |text: &str| ui.say(&format!("{:6.1} s  {text}", started.elapsed().as_secs_f64()));
    let console = machine.console();
    // A unit that failed is told, but the machine may be of use all the same.
    console.tolerate(TroubleKind::FailedUnit);
    console.tolerate(TroubleKind::Reboot);
    let deadline = Deadline::after(limit);
    let mut mark = Mark::START;
    let mut reached = None;
    let mut boots = 1;
    let mut asked = Instant::now();
    say("power on");
    loop {
        let line = console.next_line(&mut mark, Deadline::after(BEAT));
        if let Some(line) = &line {
            if let Some(step) = Step::of(line)
                && reached < Some(step)
            {
                say(step.text());
                reached = Some(step);
            }
            // Stage 1 tells what it does in lines of its own.
            if let Some(text) = line.strip_prefix(STAGE1) {
                say(text);
            }
            if let Some(Trouble::FailedUnit(unit)) = vm::console::judge(line) {
                say(&format!("warning: {unit}"));
            }
        }
        if console.boots() > boots {
            boots = console.boots();
            reached = None;
            say("the machine restarted");
        }
        if let Some(trouble) = console.trouble() {
            let report = report(console, &trouble);
            return Err(BootFailure::Guest { trouble, report });
        }
        if line.is_none() && console.is_closed() {
            return Err(BootFailure::Ended { tail: console.tail(SHOWN) });
        }
        // A quiet boot may print nothing at all, so SSH is asked from the beginning.
        if line.is_none() || asked.elapsed() > BEAT {
            if vm::ssh::answers(port, BEAT) {
                say("SSH answers");
                return Ok(());
            }
            asked = Instant::now();
        }
        if deadline.passed() {
            return Err(BootFailure::Silent { allowed: limit, tail: console.tail(SHOWN) });
        }
    }
}

/// What the guest says about its trouble: from the line that names it until it is silent, or
/// starts again.
fn report(console: &Console, trouble: &Trouble) -> String {
    let mut mark = Mark::START;
    let mut lines: Vec<String> = Vec::new();
    let boots = console.boots();
    while let Some(line) = console.next_line(&mut mark, Deadline::after(REPORT_SILENCE)) {
        let is_start = vm::console::judge(&line).as_ref() == Some(trouble);
        if line.starts_with(MESSAGE) {
            lines.clear();
            lines.push(line);
        } else if is_start || !lines.is_empty() {
            lines.push(line);
        }
        if lines.len() >= SHOWN || console.boots() > boots {
            break;
        }
    }
    lines.join("\n")
}

/// Types at the console what comes on standard input.
pub fn forward_input(console: Console) {
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(count) = std::io::stdin().lock().read(&mut buffer) {
            let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
            if console.type_in(bytes).is_err() {
                break;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_boot() {
        for (line, step) in [
            ("BdsDxe: starting Boot0001 \"UEFI Misc Device\" from PciRoot(0x0)", Some(Step::Loader)),
            ("EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path", Some(Step::Kernel)),
            ("[    0.000000] Linux version 6.12.0 (x)", Some(Step::Kernel)),
            ("Welcome to Wellcar 2026.11.1!", Some(Step::Systemd)),
            ("localhost login: ", Some(Step::Login)),
            ("[  OK  ] Started x", None),
        ] {
            assert_eq!(Step::of(line), step, "{line}");
        }
        assert!(Step::Kernel < Step::Systemd && None < Some(Step::Loader));
    }
}
