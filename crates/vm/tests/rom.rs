//! A whole machine with 64 KiB of firmware in place of a system: it greets on the serial line,
//! then waits for a key and resets on `r`. Shows console, control connection and process in
//! their work together, in a second and without any image.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests: a panic is the report")]

use std::path::Path;
use std::time::Duration;
use vm::console::{Mark, TroubleKind};
use vm::{
    Accelerator, Boot, Deadline, Error, Event, Machine, MachineSpec, Mebibytes, Network, OnReset, Qemu,
};

/// The firmware: 16-bit code below the reset vector.
fn rom(greeting: &str) -> Vec<u8> {
    #[rustfmt::skip]
    let code: [u8; 39] = [
        0xbe, 0x00, 0xfe, // mov si, greeting
        0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0x2e, 0xac,       // next: lodsb cs:
        0x84, 0xc0,       // test al, al
        0x74, 0x03,       // jz wait
        0xee,             // out dx, al
        0xeb, 0xf7,       // jmp next
        0xba, 0xfd, 0x03, // wait: mov dx, 0x3fd
        0xec,             // ready: in al, dx
        0xa8, 0x01,       // test al, 1
        0x74, 0xfb,       // jz ready
        0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xec,             // in al, dx
        0x3c, 0x72,       // cmp al, 'r'
        0x75, 0x06,       // jne wait
        0xba, 0xf9, 0x0c, // mov dx, 0xcf9
        0xb0, 0x06,       // mov al, 6
        0xee,             // out dx, al
        0xeb, 0xe8,       // jmp wait
    ];
    let mut rom = vec![0xf4; 64 << 10];
    let mut put = |at: usize, bytes: &[u8]| rom[at..at + bytes.len()].copy_from_slice(bytes);
    put(0xfe00, greeting.as_bytes());
    put(0xfe00 + greeting.len(), &[0]);
    put(0xff20, &code);
    put(0xfff0, &[0xe9, 0x2d, 0xff]);
    rom
}

fn start(dir: &Path, greeting: &str, change: impl FnOnce(&mut MachineSpec)) -> Option<Machine> {
    let program = ["WELLCAR_ORACLES", "PATH"]
        .iter()
        .filter_map(std::env::var_os)
        .find_map(|list| sys::process::find_program("qemu-system-x86_64", &list));
    let Some(program) = program else {
        assert!(std::env::var_os("WELLCAR_REQUIRE_ORACLES").is_none(), "no qemu-system-x86_64");
        println!("skipped: no qemu-system-x86_64");
        return None;
    };
    let file = dir.join("greeting.rom");
    std::fs::write(&file, rom(greeting)).unwrap();
    let mut spec =
        MachineSpec::new(Qemu::installed(program), Accelerator::Tcg { reason: None }, Boot::Rom(file));
    spec.memory = Mebibytes(64);
    spec.cpus = 1;
    spec.network = Network::None;
    change(&mut spec);
    Some(Machine::start(&spec, dir, None).unwrap())
}

#[test]
fn console_control_and_process() {
    let dir = tempfile::tempdir().unwrap();
    let Some(machine) = start(dir.path(), "hello from the ROM\r\n", |spec| spec.ports.push("x".into()))
    else {
        return;
    };
    let deadline = Deadline::seconds(60);
    let console = machine.console();
    assert_eq!(console.wait_for("the ROM", Mark::START, deadline).unwrap(), "hello from the ROM");
    assert_eq!(machine.qmp().status().unwrap(), "running");
    assert!(machine.cpu_time().unwrap() < Duration::from_secs(60));
    assert!(machine.port("x").is_ok());
    assert!(matches!(machine.port("x").unwrap_err(), Error::NoPort { .. }), "a port is given once");

    // A restart nobody announced is trouble; an announced one is not.
    let mark = console.mark();
    console.type_in(b"r").unwrap();
    let error = console.wait_trouble(deadline).unwrap();
    assert_eq!(error.kind(), TroubleKind::Reboot);
    console.expect_boot();
    assert_eq!(console.wait_for("the ROM", mark, deadline).unwrap(), "hello from the ROM");
    assert_eq!((console.boots(), console.trouble()), (2, None));
    let reset = |event: &Event| *event == Event::Reset { guest: true };
    machine.qmp().wait_event("a reset by the guest", deadline, reset).unwrap();

    machine.qmp().quit().unwrap();
    assert!(machine.wait(deadline).unwrap().success());
    assert!(console.is_closed());
    let log = std::fs::read_to_string(machine.console_log()).unwrap();
    assert_eq!(log.matches("hello from the ROM").count(), 2);
}

#[test]
fn a_reset_can_be_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let Some(machine) = start(dir.path(), "up\r\n", |spec| spec.on_reset = OnReset::Exit) else { return };
    machine.console().wait_for("up", Mark::START, Deadline::seconds(60)).unwrap();
    machine.console().type_in(b"r").unwrap();
    machine.wait(Deadline::seconds(60)).unwrap();
}

#[test]
fn a_panic_on_the_console_ends_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let Some(machine) = start(dir.path(), "[    1.0] Kernel panic - not syncing: x\r\n", |_| {}) else {
        return;
    };
    let error = machine.console().wait_for("login:", Mark::START, Deadline::seconds(60)).unwrap_err();
    assert!(error.to_string().contains("the guest's kernel panicked"), "{error}");
}

#[test]
fn a_dropped_machine_is_gone_and_a_detached_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let Some(machine) = start(dir.path(), "up\r\n", |_| {}) else { return };
    let process = Path::new("/proc").join(machine.pid().to_string());
    assert!(process.exists());
    drop(machine);
    assert!(!process.exists());

    let other = tempfile::tempdir().unwrap();
    let Some(machine) = start(other.path(), "up\r\n", |spec| spec.outlive_parent = true) else { return };
    machine.console().wait_for("up", Mark::START, Deadline::seconds(60)).unwrap();
    let detached = machine.detach();
    let process = Path::new("/proc").join(detached.pid.to_string());
    assert!(process.exists());
    // Its control socket is there for whoever ends it.
    use std::io::Write as _;
    let mut control = std::os::unix::net::UnixStream::connect(&detached.control).unwrap();
    control.write_all(b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"quit\"}\n").unwrap();
    let mut answer = String::new();
    let _ = std::io::Read::read_to_string(&mut control, &mut answer);
    assert!(answer.contains("SHUTDOWN") || answer.contains("return"), "{answer}");
}
