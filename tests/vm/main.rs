//! The VM tests: boots the image under test and checks from inside what the contract promises.
//!
//! `WELLCAR_TEST_IMAGE=out/wellcar.raw cargo test -p wellcar-tests --test vm`; without an image
//! nothing is run. See `wellcar_tests::environment` for the other variables.

#![forbid(unsafe_code)]

mod contract;
mod examples;
mod faults;
mod life;
mod node;

use std::process::ExitCode;
use std::sync::OnceLock;
use wellcar_tests::environment::{self, Environment};
use wellcar_tests::{Suite, runner};

static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();

/// What the tests run with; the groups' functions have no arguments to get it by.
fn environment() -> anyhow::Result<&'static Environment> {
    ENVIRONMENT.get().ok_or_else(|| anyhow::anyhow!("the environment was not found"))
}

fn main() -> ExitCode {
    let mut suite = Suite::new(std::env::args().skip(1));
    if !suite.only_lists() {
        match Environment::find() {
            Ok(Some(found)) => {
                runner::say(&format!(
                    "image `{}`, accelerator {}",
                    found.image.display(),
                    found.accelerator.name()
                ));
                let _ = ENVIRONMENT.set(found);
            }
            Ok(None) => {
                runner::say(&format!("skipped: {} names no image", environment::IMAGE));
                let required = std::env::var_os(environment::REQUIRE).is_some_and(|value| value == "1");
                return if required { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            }
            Err(error) => {
                runner::say(&format!("error: {error:#}"));
                return ExitCode::FAILURE;
            }
        }
    }
    suite.group(&node::group());
    suite.group(&life::group());
    suite.group(&examples::group());
    suite.group(&faults::wrong_config());
    suite.group(&faults::turned_bit());
    suite.group(&faults::overwritten_slot());
    suite.end()
}
