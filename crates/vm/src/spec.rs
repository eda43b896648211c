//! What a machine is, and the QEMU command line that makes it: values in, arguments out.
//! Nothing here starts a process or opens a file.

use crate::accel::Accelerator;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The program, and where its data lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qemu {
    /// The program and the arguments that come before QEMU's own: a QEMU unpacked from packages
    /// is run by its own loader (`ld.so --library-path DIR qemu-system-x86_64`).
    pub command: Vec<OsString>,
    /// Environment variables it needs, such as `QEMU_MODULE_DIR`.
    pub env: Vec<(OsString, OsString)>,
    /// The directory with its ROMs (`-L`), where it is not the one it was built with.
    pub data: Option<PathBuf>,
}

impl Qemu {
    /// The program `path`, installed on the host.
    pub fn installed(path: impl Into<OsString>) -> Self {
        Self { command: vec![path.into()], env: Vec::new(), data: None }
    }
}

/// UEFI firmware: OVMF's two files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// The code, never written.
    pub code: PathBuf,
    /// The variables a new machine starts with: each machine has its own copy.
    pub vars: PathBuf,
    /// Whether the code is the build with System Management Mode, which keeps the variables
    /// from the guest's kernel.
    pub smm: bool,
}

/// How the machine comes to its kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// By UEFI firmware and the boot loader on the disk.
    Uefi(Firmware),
    /// By QEMU itself: faster, for tests that are not about the boot chain.
    Direct {
        /// The kernel (bzImage).
        kernel: PathBuf,
        /// The initramfs.
        initrd: Option<PathBuf>,
        /// The kernel command line.
        cmdline: String,
    },
    /// Firmware of our own: a flat ROM that ends at 4 GiB.
    Rom(PathBuf),
}

/// Memory in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mebibytes(pub u64);

/// When writes of the guest reach the host's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// The guest's flushes are the host's flushes.
    Writeback,
    /// Flushes are ignored: for machines that are thrown away.
    Unsafe,
}

/// A virtio block device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The image file. It is written: give an overlay where it must stay as it is.
    pub path: PathBuf,
    /// How its bytes are laid out.
    pub format: crate::ImageFormat,
    /// When writes reach the host.
    pub cache: Cache,
    /// The guest cannot write.
    pub read_only: bool,
    /// The serial number the guest sees, up to 20 characters.
    pub serial: Option<String>,
    /// A blkdebug rule file: QEMU then gives the guest the I/O errors it describes.
    pub blkdebug: Option<PathBuf>,
}

impl Disk {
    /// A writable disk on `path`.
    pub fn new(path: impl Into<PathBuf>, format: crate::ImageFormat) -> Self {
        Self {
            path: path.into(),
            format,
            cache: Cache::Writeback,
            read_only: false,
            serial: None,
            blkdebug: None,
        }
    }
}

/// A TCP port of 127.0.0.1 that leads into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// The port on the host.
    pub host: u16,
    /// The port in the guest.
    pub guest: u16,
}

/// What the guest reaches by its network card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The host's networks, by address translation.
    Open,
    /// Only the forwarded ports and the host's replies to them.
    ForwardsOnly,
    /// There is no card.
    None,
}

/// What happens when the guest resets itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnReset {
    /// It starts again.
    Reboot,
    /// QEMU ends.
    Exit,
}

/// Where the console's log file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SerialLog {
    /// In the machine's directory.
    Default,
    /// At this path.
    At(PathBuf),
}

/// What a machine is. Make one with [`MachineSpec::new`] and set what differs.
#[derive(Debug, Clone)]
pub struct MachineSpec {
    /// The program.
    pub qemu: Qemu,
    /// What executes the guest's instructions.
    pub accelerator: Accelerator,
    /// How it comes to its kernel.
    pub boot: Boot,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Memory.
    pub memory: Mebibytes,
    /// Block devices; the first is the one to boot from.
    pub disks: Vec<Disk>,
    /// The Ignition config, given by fw_cfg as `opt/org.flatcar-linux/config`.
    pub config: Option<Vec<u8>>,
    /// What the network card reaches.
    pub network: Network,
    /// Ports that lead into the guest.
    pub forwards: Vec<Forward>,
    /// Names of virtio ports, seen as `/dev/virtio-ports/NAME` in the guest.
    pub ports: Vec<String>,
    /// An i6300esb watchdog whose expiry resets the machine.
    pub watchdog: bool,
    /// What happens on a reset.
    pub on_reset: OnReset,
    /// Where the console's log file is.
    pub serial_log: SerialLog,
    /// SMBIOS type 11 strings.
    pub oem_strings: Vec<String>,
    /// The clock's start in seconds since 1970; the host's clock when absent.
    pub clock: Option<u64>,
    /// QEMU goes on when this process ends: for [`Machine::detach`](crate::Machine::detach).
    pub outlive_parent: bool,
}

impl MachineSpec {
    /// A machine of 2 CPUs and 2 GiB with a network card and a watchdog, without disks.
    #[must_use]
    pub fn new(qemu: Qemu, accelerator: Accelerator, boot: Boot) -> Self {
        Self {
            qemu,
            accelerator,
            boot,
            cpus: 2,
            memory: Mebibytes(2048),
            disks: Vec::new(),
            config: None,
            network: Network::Open,
            forwards: Vec::new(),
            ports: Vec::new(),
            watchdog: true,
            on_reset: OnReset::Reboot,
            serial_log: SerialLog::Default,
            oem_strings: Vec::new(),
            clock: None,
            outlive_parent: false,
        }
    }
}

/// Files and sockets of one machine, all in one short directory of its own.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) console: PathBuf,
    pub(crate) console_log: PathBuf,
    pub(crate) qmp: PathBuf,
    /// A second QMP socket that QEMU listens on, for whoever comes later.
    pub(crate) control: PathBuf,
    pub(crate) vars: PathBuf,
    pub(crate) config: PathBuf,
    dir: PathBuf,
}

impl Places {
    pub(crate) fn new(dir: &Path, log: &SerialLog) -> Self {
        Self {
            console: dir.join("console.sock"),
            console_log: match log {
                SerialLog::Default => dir.join("console.log"),
                SerialLog::At(path) => path.clone(),
            },
            qmp: dir.join("qmp.sock"),
            control: dir.join("control.sock"),
            vars: dir.join("vars.fd"),
            config: dir.join("config.ign"),
            dir: dir.to_owned(),
        }
    }

    pub(crate) fn port(&self, index: usize) -> PathBuf {
        self.dir.join(format!("port{index}.sock"))
    }
}

/// One `-option a=b,c=d` value: commas inside values are doubled, as QEMU wants it.
struct Options(OsString);

impl Options {
    fn new(first: &str) -> Self {
        Self(first.into())
    }

    fn set(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        if !self.0.is_empty() {
            self.0.push(",");
        }
        self.0.push(key);
        self.0.push("=");
        self.0.push(double_commas(value.as_ref()));
        self
    }
}

fn double_commas(value: &OsStr) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut out = Vec::with_capacity(value.len());
    for &byte in value.as_bytes() {
        out.push(byte);
        if byte == b',' {
            out.push(byte);
        }
    }
    OsString::from_vec(out)
}

/// QEMU's arguments, without the program itself.
pub(crate) fn arguments(spec: &MachineSpec, places: &Places) -> Vec<OsString> {
    let mut args = Args(Vec::new());
    args.words(["-name", "wellcar", "-nodefaults", "-no-user-config", "-display", "none", "-vga", "none"]);
    if let Some(data) = &spec.qemu.data {
        args.pair("-L", data);
    }
    let smm = matches!(&spec.boot, Boot::Uefi(firmware) if firmware.smm);
    args.pair("-machine", if smm { "q35,smm=on" } else { "q35" });
    args.words(spec.accelerator.arguments());
    args.pair("-smp", spec.cpus.to_string());
    args.pair("-m", format!("{}M", spec.memory.0));
    boot(&mut args, &spec.boot, places);
    for (index, disk) in spec.disks.iter().enumerate() {
        block_device(&mut args, index, disk);
    }
    if spec.config.is_some() {
        let value = Options::new("").set("name", "opt/org.flatcar-linux/config").set("file", &places.config);
        args.pair("-fw_cfg", value.0);
    }
    network(&mut args, spec);
    args.words(["-object", "rng-random,id=rng0,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng0"]);
    if spec.watchdog {
        args.words(["-device", "i6300esb", "-action", "watchdog=reset"]);
    }
    if spec.on_reset == OnReset::Exit {
        args.words(["-action", "reboot=shutdown"]);
    }
    let console = socket("console", &places.console, false).set("logfile", &places.console_log);
    args.pair("-chardev", console.0);
    args.words(["-serial", "chardev:console"]);
    args.pair("-chardev", socket("qmp", &places.qmp, false).0);
    args.words(["-mon", "chardev=qmp,mode=control"]);
    args.pair("-chardev", socket("control", &places.control, true).0);
    args.words(["-mon", "chardev=control,mode=control"]);
    if !spec.ports.is_empty() {
        args.words(["-device", "virtio-serial-pci"]);
    }
    for (index, name) in spec.ports.iter().enumerate() {
        args.pair("-chardev", socket(&format!("port{index}"), &places.port(index), false).0);
        let device = Options::new("virtserialport").set("chardev", format!("port{index}")).set("name", name);
        args.pair("-device", device.0);
    }
    for text in &spec.oem_strings {
        args.pair("-smbios", Options::new("type=11").set("value", text).0);
    }
    if let Some(seconds) = spec.clock {
        args.pair("-rtc", format!("base={},clock=vm", civil(seconds)));
    }
    args.0
}

/// A socket QEMU connects to before the guest starts, or (`listen`) listens on.
fn socket(id: &str, path: &Path, listen: bool) -> Options {
    let options = Options::new("socket").set("id", id).set("path", path);
    if listen { options.set("server", "on").set("wait", "off") } else { options.set("server", "off") }
}

fn boot(args: &mut Args, boot: &Boot, places: &Places) {
    match boot {
        Boot::Uefi(firmware) => {
            let flash = |unit: &str, path: &Path, read_only: &str| {
                Options::new("if=pflash")
                    .set("unit", unit)
                    .set("format", "raw")
                    .set("readonly", read_only)
                    .set("file", path)
                    .0
            };
            args.pair("-drive", flash("0", &firmware.code, "on"));
            args.pair("-drive", flash("1", &places.vars, "off"));
            if firmware.smm {
                args.words(["-global", "driver=cfi.pflash01,property=secure,value=on"]);
            }
        }
        Boot::Direct { kernel, initrd, cmdline } => {
            args.pair("-kernel", kernel);
            if let Some(initrd) = initrd {
                args.pair("-initrd", initrd);
            }
            args.pair("-append", cmdline);
        }
        Boot::Rom(path) => args.pair("-bios", path),
    }
}

fn block_device(args: &mut Args, index: usize, disk: &Disk) {
    let id = format!("disk{index}");
    let mut drive = Options::new("if=none").set("id", &id).set("format", disk.format.name());
    drive = drive.set(
        "cache",
        match disk.cache {
            Cache::Writeback => "writeback",
            Cache::Unsafe => "unsafe",
        },
    );
    if disk.read_only {
        drive = drive.set("readonly", "on");
    }
    drive = match &disk.blkdebug {
        None => drive.set("file", &disk.path),
        Some(rules) => drive
            .set("file.driver", "blkdebug")
            .set("file.config", rules)
            .set("file.image.driver", "file")
            .set("file.image.filename", &disk.path)
            .set("werror", "report")
            .set("rerror", "report"),
    };
    args.pair("-drive", drive.0);
    let mut device = Options::new("virtio-blk-pci").set("drive", &id);
    if let Some(serial) = &disk.serial {
        device = device.set("serial", serial);
    }
    // Index 0 is that of QEMU's own kernel loader.
    device = device.set("bootindex", (index + 1).to_string());
    args.pair("-device", device.0);
}

fn network(args: &mut Args, spec: &MachineSpec) {
    if spec.network == Network::None {
        return;
    }
    let mut user = Options::new("user").set("id", "net0");
    if spec.network == Network::ForwardsOnly {
        user = user.set("restrict", "on");
    }
    for forward in &spec.forwards {
        user = user.set("hostfwd", format!("tcp:127.0.0.1:{}-:{}", forward.host, forward.guest));
    }
    args.pair("-netdev", user.0);
    // No option ROM: nothing boots from the network, and the firmware is faster.
    args.words(["-device", "virtio-net-pci,netdev=net0,romfile="]);
}

struct Args(Vec<OsString>);

impl Args {
    fn pair(&mut self, option: &str, value: impl AsRef<OsStr>) {
        self.0.push(option.into());
        self.0.push(value.as_ref().to_owned());
    }

    fn words(&mut self, words: impl IntoIterator<Item = impl Into<OsString>>) {
        self.0.extend(words.into_iter().map(Into::into));
    }
}

/// `YYYY-MM-DDThh:mm:ss` of a time in seconds since 1970 (proleptic Gregorian calendar, UTC).
fn civil(seconds: u64) -> String {
    let time = Duration::from_secs(seconds);
    let (days, rest) = (time.as_secs() / 86_400, time.as_secs() % 86_400);
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageFormat;

    fn line(spec: &MachineSpec) -> String {
        let places = Places::new(Path::new("/m"), &spec.serial_log);
        let words: Vec<_> =
            arguments(spec, &places).iter().map(|word| word.to_string_lossy().into_owned()).collect();
        words.join(" ")
    }

    #[test]
    fn a_uefi_machine() {
        let firmware = Firmware { code: "/f/code.fd".into(), vars: "/f/vars.fd".into(), smm: false };
        let mut spec = MachineSpec::new(
            Qemu::installed("qemu"),
            Accelerator::Tcg { reason: None },
            Boot::Uefi(firmware),
        );
        spec.disks.push(Disk::new("/d/a,b.qcow2", ImageFormat::Qcow2));
        spec.config = Some(b"{}".to_vec());
        spec.forwards.push(Forward { host: 2222, guest: 22 });
        spec.ports.push("io.wellcar.test".into());
        assert_eq!(
            line(&spec),
            "-name wellcar -nodefaults -no-user-config -display none -vga none -machine q35 \
             -accel tcg,thread=multi -cpu max -smp 2 -m 2048M \
             -drive if=pflash,unit=0,format=raw,readonly=on,file=/f/code.fd \
             -drive if=pflash,unit=1,format=raw,readonly=off,file=/m/vars.fd \
             -drive if=none,id=disk0,format=qcow2,cache=writeback,file=/d/a,,b.qcow2 \
             -device virtio-blk-pci,drive=disk0,bootindex=1 \
             -fw_cfg name=opt/org.flatcar-linux/config,file=/m/config.ign \
             -netdev user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22 -device virtio-net-pci,netdev=net0,romfile= \
             -object rng-random,id=rng0,filename=/dev/urandom -device virtio-rng-pci,rng=rng0 \
             -device i6300esb -action watchdog=reset \
             -chardev socket,id=console,path=/m/console.sock,server=off,logfile=/m/console.log \
             -serial chardev:console -chardev socket,id=qmp,path=/m/qmp.sock,server=off \
             -mon chardev=qmp,mode=control \
             -chardev socket,id=control,path=/m/control.sock,server=on,wait=off -mon chardev=control,mode=control \
             -device virtio-serial-pci \
             -chardev socket,id=port0,path=/m/port0.sock,server=off -device virtserialport,chardev=port0,name=io.wellcar.test"
        );
    }

    #[test]
    fn a_direct_machine_with_faults() {
        let boot =
            Boot::Direct { kernel: "/k".into(), initrd: Some("/i".into()), cmdline: "a=b,c quiet".into() };
        let mut spec = MachineSpec::new(Qemu::installed("qemu"), Accelerator::Kvm, boot);
        spec.network = Network::ForwardsOnly;
        spec.on_reset = OnReset::Exit;
        spec.clock = Some(2_051_222_400);
        spec.disks.push(Disk { blkdebug: Some("/rules".into()), ..Disk::new("/d", ImageFormat::Raw) });
        let line = line(&spec);
        for part in [
            "-accel kvm -cpu host",
            "-kernel /k -initrd /i -append a=b,c quiet",
            "file.driver=blkdebug,file.config=/rules,file.image.driver=file,file.image.filename=/d,werror=report",
            "user,id=net0,restrict=on",
            "-action reboot=shutdown",
            "-rtc base=2035-01-01T00:00:00,clock=vm",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
    }

    #[test]
    fn dates() {
        assert_eq!(civil(0), "1970-01-01T00:00:00");
        assert_eq!(civil(951_782_399), "2000-02-28T23:59:59");
        assert_eq!(civil(951_782_400), "2000-02-29T00:00:00");
        assert_eq!(civil(4_294_967_296), "2106-02-07T06:28:16");
    }
}
