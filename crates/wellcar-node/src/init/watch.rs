//! The watchdog during stage 1: armed as soon as a driver offers one, fed after each step, left armed
//! for systemd.

use super::decide::WATCHDOG;
use super::trouble::note;
use std::path::Path;
use sys::console::Level;
use sys::watchdog::Watchdog;

const DEVICE: &str = "/dev/watchdog0";
/// The driver that needs no hardware: only taken when there is none.
pub const SOFTWARE: &str = "softdog";

/// A watchdog that may be there.
#[derive(Debug)]
pub struct Watch {
    wanted: bool,
    armed: Option<Watchdog>,
}

impl Watch {
    /// Not armed yet; never armed when not wanted.
    #[must_use]
    pub fn new(wanted: bool) -> Self {
        Self { wanted, armed: None }
    }

    /// Whether a module is of no use: the software watchdog beside an armed one, or when none is wanted.
    #[must_use]
    pub fn makes_superfluous(&self, module: &str) -> bool {
        module == SOFTWARE && (self.armed.is_some() || !self.wanted)
    }

    /// Arms the watchdog if there is one now. A watchdog that refuses is told and left: a boot without
    /// it is better than none.
    pub fn try_arm(&mut self) {
        if !self.wanted || self.armed.is_some() || !Path::new(DEVICE).exists() {
            return;
        }
        match Watchdog::arm(Path::new(DEVICE), WATCHDOG) {
            Ok(watchdog) => {
                note(Level::Info, &format!("watchdog armed, {} s", watchdog.timeout().as_secs()));
                self.armed = Some(watchdog);
            }
            Err(error) => {
                self.wanted = false;
                note(
                    Level::Warning,
                    &format!("going on without a watchdog: {:#}", anyhow::Error::new(error)),
                );
            }
        }
    }

    /// Feeds it.
    pub fn feed(&self) {
        if let Some(Err(error)) = self.armed.as_ref().map(Watchdog::feed) {
            note(Level::Warning, &format!("{:#}", anyhow::Error::new(error)));
        }
    }
}
