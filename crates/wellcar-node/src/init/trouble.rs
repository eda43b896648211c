//! What stage 1 says, and how it ends when it cannot go on: a message on every console and in the
//! kernel log, a pause in which it can be read, a restart. Never a shell.

use anyhow::Error;
use std::time::Duration;
use sys::console::{self, Level};
use sys::wait::{Deadline, rest_until};

/// How long a message stays on the screen before the restart; the kernel's `panic=10`.
const PAUSE: Duration = Duration::from_secs(10);

/// Writes a line to the kernel log.
pub fn note(level: Level, text: &str) {
    console::log(level, "wellcar", text);
}

/// The message of a boot that failed.
fn message(error: &Error) -> String {
    let mut text = format!("\n*** Wellcar cannot boot ***\n{error}\n");
    for cause in error.chain().skip(1) {
        text.push_str(&format!("  because: {cause}\n"));
    }
    text.push_str(&format!(
        "This counts as a failed try of this version. The machine restarts in {} s; after three failed\n\
         tries the boot loader takes the other version, where there is one.\n",
        PAUSE.as_secs()
    ));
    text
}

/// Tells why the boot failed and restarts the machine.
pub fn give_up(error: &Error) -> ! {
    tell(&message(error));
    restart()
}

/// Tells a text on every console and in the kernel log.
pub fn tell(text: &str) {
    note(Level::Error, text.trim());
    console::write_all(text);
}

/// Waits until the message can have been read and restarts the machine.
pub fn restart() -> ! {
    let _ = rest_until(&Deadline::after(Some(PAUSE)));
    let error = sys::power::reboot();
    note(Level::Error, &format!("failed to restart the machine: {error}"));
    // The end of process 1 is a kernel panic, and with `panic=` that restarts too.
    std::process::exit(1)
}

/// Makes a programming error end like any other failure.
pub fn catch_panics() {
    std::panic::set_hook(Box::new(|info| {
        give_up(&anyhow::anyhow!("failed in the program itself: {info}"));
    }));
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn the_message_has_every_cause_and_what_happens_next() {
        let error = anyhow::anyhow!("no such device").context("failed to mount ROOT");
        let text = message(&error);
        assert!(text.contains("failed to mount ROOT\n  because: no such device\n"), "{text}");
        assert!(text.contains("restarts in 10 s"), "{text}");
    }
}
