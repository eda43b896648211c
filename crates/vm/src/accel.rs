//! What executes the guest's instructions: KVM where it really runs a guest, otherwise QEMU's
//! own translation (TCG).
//!
//! `/dev/kvm` can be there, open and make a virtual machine and still not run a guest: some
//! hosts abort at a model-specific register, others hang for ever. So KVM is believed only when
//! a guest of our own, 64 KiB of firmware that enters protected mode, turns in a loop and then
//! ends QEMU through its debug port, ran to its end in time with the CPUs a real machine has.

use crate::error::{Error, Result};
use crate::machine::last_words;
use crate::spec::Qemu;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;
use sys::process::Cmd;

/// What executes the guest's instructions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Accelerator {
    /// The host's hardware.
    Kvm,
    /// QEMU's translation.
    Tcg {
        /// Why it is not KVM, where KVM was asked.
        reason: Option<String>,
    },
}

impl Accelerator {
    /// KVM when it proves itself within `limit`, otherwise TCG with the reason.
    ///
    /// # Errors
    /// [`Error::File`] when the guest's firmware cannot be written to `dir`.
    pub fn detect(qemu: &Qemu, dir: &Path, limit: Duration) -> Result<Self> {
        Ok(match probe_kvm(qemu, dir, limit)? {
            Ok(()) => Self::Kvm,
            Err(reason) => Self::Tcg { reason: Some(reason) },
        })
    }

    /// Its name as in QEMU and in `--accel`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg { .. } => "tcg",
        }
    }

    pub(crate) fn arguments(&self) -> [&'static str; 4] {
        match self {
            Self::Kvm => ["-accel", "kvm", "-cpu", "host"],
            Self::Tcg { .. } => ["-accel", "tcg,thread=multi", "-cpu", "max"],
        }
    }
}

/// The debug port's address, and what the guest writes to it.
const DEBUG_PORT: u8 = 0xf4;
const DONE: u8 = 0x2a;
/// QEMU's exit code then: `(value << 1) | 1`.
const DONE_EXIT: i32 = (DONE as i32) << 1 | 1;
const ROM: usize = 64 << 10;

/// The probe's firmware: a 64 KiB ROM that ends at 4 GiB, where an x86 CPU starts.
fn rom() -> Vec<u8> {
    // At offset 0xff00 (linear address 0xffffff00): a GDT with a flat code segment, its
    // descriptor, then the code.
    const TABLE: usize = 0xff00;
    #[rustfmt::skip]
    let table: [u8; 22] = [
        0, 0, 0, 0, 0, 0, 0, 0,
        0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0, // selector 8: code, base 0, limit 4 GiB, 32 bits
        0x0f, 0x00, 0x00, 0xff, 0xff, 0xff, // limit 15, base 0xffffff00
    ];
    #[rustfmt::skip]
    let real: [u8; 24] = [
        0x2e, 0x66, 0x0f, 0x01, 0x16, 0x10, 0xff, // lgdt cs:[0xff10]
        0x0f, 0x20, 0xc0,                         // mov eax, cr0
        0x0c, 0x01,                               // or al, 1
        0x0f, 0x22, 0xc0,                         // mov cr0, eax
        0x66, 0xea, 0x40, 0xff, 0xff, 0xff, 0x08, 0x00, // jmp 8:0xffffff40
        0xf4,                                     // hlt
    ];
    #[rustfmt::skip]
    let protected: [u8; 19] = [
        0xb9, 0x40, 0x42, 0x0f, 0x00, // mov ecx, 1000000
        0x49,                         // dec ecx
        0x75, 0xfd,                   // jnz the line above
        0x0f, 0xa2,                   // cpuid
        0x0f, 0x31,                   // rdtsc
        0xb0, DONE,                   // mov al, DONE
        0xe6, DEBUG_PORT,             // out DEBUG_PORT, al
        0xf4,                         // hlt
        0xeb, 0xfd,                   // jmp the line above
    ];
    let reset: [u8; 3] = [0xe9, 0x2d, 0xff]; // at 0xfff0: jmp 0xff20
    let mut rom = vec![0xf4; ROM];
    for (at, bytes) in
        [(TABLE, &table[..]), (0xff20, &real[..]), (0xff40, &protected[..]), (0xfff0, &reset[..])]
    {
        for (to, from) in rom.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }
    rom
}

/// Runs the probe's guest under KVM. The inner error says why KVM cannot be used.
///
/// # Errors
/// [`Error::File`] when the guest's firmware cannot be written to `dir`.
pub fn probe_kvm(qemu: &Qemu, dir: &Path, limit: Duration) -> Result<std::result::Result<(), String>> {
    if let Err(error) = OpenOptions::new().read(true).write(true).open("/dev/kvm") {
        return Ok(Err(format!("`/dev/kvm` cannot be opened: {error}")));
    }
    run_probe(qemu, &Accelerator::Kvm, dir, limit)
}

fn run_probe(
    qemu: &Qemu,
    accelerator: &Accelerator,
    dir: &Path,
    limit: Duration,
) -> Result<std::result::Result<(), String>> {
    let path = dir.join("probe.rom");
    std::fs::write(&path, rom()).map_err(Error::file("write", &path))?;
    let log = dir.join("probe.log");
    let Some((first, rest)) = qemu.command.split_first() else {
        return Ok(Err("the command of QEMU is empty".to_owned()));
    };
    let errors = File::create(&log).map_err(Error::file("create", &log))?;
    let device = format!("isa-debug-exit,iobase={DEBUG_PORT:#x},iosize=4");
    let mut command = Cmd::new(first)
        .args(rest)
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-machine", "q35"])
        .args(accelerator.arguments())
        .args(["-smp", "2", "-m", "16M", "-device", &device, "-bios"])
        .arg(&path)
        .stdout_null()
        .stderr_file(errors);
    if let Some(data) = &qemu.data {
        command = command.arg("-L").arg(data);
    }
    for (name, value) in &qemu.env {
        command = command.env(name, value);
    }
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Err(error.to_string())),
    };
    Ok(match child.wait(Some(limit)) {
        Ok(Some(status)) if status.code() == Some(DONE_EXIT) => Ok(()),
        Ok(Some(status)) => Err(format!("a small guest ended QEMU with {status}: {}", last_words(&log))),
        Ok(None) => Err(format!("a small guest did not come to its end within {} s", limit.as_secs())),
        Err(error) => Err(error.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installed() -> Option<Qemu> {
        let lists = ["WELLCAR_ORACLES", "PATH"];
        let found = lists
            .iter()
            .filter_map(std::env::var_os)
            .find_map(|list| sys::process::find_program("qemu-system-x86_64", &list));
        if found.is_none() {
            assert!(std::env::var_os("WELLCAR_REQUIRE_ORACLES").is_none(), "no qemu-system-x86_64");
            println!("skipped: no qemu-system-x86_64");
        }
        found.map(Qemu::installed)
    }

    #[test]
    fn the_probes_guest_comes_to_its_end() {
        let Some(qemu) = installed() else { return };
        let dir = tempfile::tempdir().unwrap();
        let tcg = Accelerator::Tcg { reason: None };
        assert_eq!(run_probe(&qemu, &tcg, dir.path(), Duration::from_secs(60)).unwrap(), Ok(()));
    }

    #[test]
    fn a_guest_that_hangs_is_no_proof() {
        let dir = tempfile::tempdir().unwrap();
        let qemu =
            Qemu { command: ["sh", "-c", "exec sleep 60"].map(Into::into).to_vec(), env: vec![], data: None };
        let answer = run_probe(&qemu, &Accelerator::Kvm, dir.path(), Duration::from_millis(200)).unwrap();
        assert!(answer.unwrap_err().contains("did not come to its end"));
    }

    #[test]
    fn a_qemu_that_aborts_is_no_proof() {
        let dir = tempfile::tempdir().unwrap();
        let command = ["sh", "-c", "echo error: failed to set MSR 0x345 >&2; kill -ABRT $$"];
        let qemu = Qemu { command: command.map(Into::into).to_vec(), env: vec![], data: None };
        let answer = run_probe(&qemu, &Accelerator::Kvm, dir.path(), Duration::from_secs(60)).unwrap();
        assert!(answer.unwrap_err().ends_with("failed to set MSR 0x345"));
    }
}
