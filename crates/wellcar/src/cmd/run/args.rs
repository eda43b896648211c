//! The command line of `wellcar run`.

use std::path::PathBuf;
use vm::Forward;

const EXAMPLES: &str = "\
Examples:
  wellcar run
        a node without a config of its own, and a session in it
  wellcar run examples/hello.yaml --port 8080:8080
        a node with a container that answers on http://127.0.0.1:8080
  wellcar run node.yaml --snippet proxy.yaml --snippet keys.yaml --cpus 4 --memory 4G
        a config with snippets, in a larger machine
  wellcar run node.yaml --detach
        leave the machine running; prints how to log in and how to stop it
  wellcar run node.yaml --keep node.qcow2
        keep the machine's disk: run it again and it boots a second time
";

/// Arguments of `wellcar run`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Container Linux Config, Butane or Ignition JSON of the node; `-` is standard input
    pub config: Option<PathBuf>,

    /// Merge this file into the config; may be given more than once
    #[arg(long = "snippet", value_name = "FILE")]
    pub snippets: Vec<PathBuf>,

    /// Directory for the config's local files
    #[arg(long, value_name = "DIR")]
    pub files_dir: Option<PathBuf>,

    /// Disk image to boot (raw or qcow2); without it the image is built if there is none
    #[arg(long, value_name = "IMG")]
    pub image: Option<PathBuf>,

    /// Forward 127.0.0.1:HOST to port GUEST of the machine; may be given more than once
    #[arg(long = "port", value_name = "HOST:GUEST", value_parser = parse_forward)]
    pub ports: Vec<Forward>,

    /// Memory of the machine
    #[arg(long, value_name = "SIZE", default_value = "2G", value_parser = Size::parse)]
    pub memory: Size,

    /// CPUs of the machine
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=255))]
    pub cpus: u32,

    /// Size of the machine's disk; a larger image keeps its own size
    #[arg(long, value_name = "SIZE", default_value = "16G", value_parser = Size::parse)]
    pub disk: Size,

    /// What executes the machine's instructions; `auto` is KVM when it proves that it runs a guest
    #[arg(long, value_enum, default_value_t = Accel::Auto)]
    pub accel: Accel,

    /// How the machine boots: by UEFI firmware as real ones do, or the kernel directly (faster)
    #[arg(long, value_enum, default_value_t = FirmwareKind::Uefi)]
    pub firmware: FirmwareKind,

    /// Log in with this private key (its public half is in FILE.pub) instead of a fresh one
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Option<PathBuf>,

    /// Keep the machine's disk in this file, and boot from it when it is there already
    #[arg(long, value_name = "DISK")]
    pub keep: Option<PathBuf>,

    /// Leave the machine running and print how to log in and how to stop it
    #[arg(long, conflicts_with = "console")]
    pub detach: bool,

    /// Show the machine's console instead of logging in by SSH
    #[arg(long)]
    pub console: bool,

    /// Seconds until SSH must answer
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub timeout: u64,
}

/// What executes the machine's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Accel {
    /// KVM when it proves itself, otherwise TCG
    Auto,
    /// The host's hardware
    Kvm,
    /// QEMU's own translation
    Tcg,
}

/// How the machine boots.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum FirmwareKind {
    /// OVMF, systemd-boot, unified kernel image
    Uefi,
    /// Kernel and initramfs given by QEMU
    Direct,
}

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(u64);

impl Size {
    /// Reads `2G`, `512M`, `1024K`; a number alone is MiB.
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected a size such as 2G or 512M".to_owned();
        let text = text.trim_end_matches("iB").trim_end_matches('B');
        let (digits, shift) = match text.char_indices().last() {
            Some((at, unit)) if !unit.is_ascii_digit() => {
                let shift = match unit.to_ascii_uppercase() {
                    'K' => 10,
                    'M' => 20,
                    'G' => 30,
                    'T' => 40,
                    _ => return Err(wrong()),
                };
                (text.get(..at).unwrap_or_default(), shift)
            }
            _ => (text, 20),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        let bytes = number.checked_mul(1 << shift).ok_or_else(wrong)?;
        if !(64 << 20..=64 << 40).contains(&bytes) {
            return Err("expected a size from 64M to 64T".to_owned());
        }
        Ok(Self(bytes))
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// In MiB.
    pub fn mebibytes(self) -> u64 {
        self.0 >> 20
    }
}

fn parse_forward(text: &str) -> Result<Forward, String> {
    let wrong = || "expected HOST:GUEST, two port numbers from 1 to 65535".to_owned();
    let (host, guest) = text.split_once(':').ok_or_else(wrong)?;
    let port = |text: &str| text.parse().ok().filter(|port| *port != 0).ok_or_else(wrong);
    Ok(Forward { host: port(host)?, guest: port(guest)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, mebibytes) in [("2G", 2048), ("2048", 2048), ("512M", 512), ("65536k", 64), ("1GiB", 1024)]
        {
            assert_eq!(Size::parse(text).map(Size::mebibytes), Ok(mebibytes), "{text}");
        }
        for text in ["", "G", "1", "2X", "-1G", "99999999999T", "1.5G", "1é"] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn forwards() {
        assert_eq!(parse_forward("8080:80"), Ok(Forward { host: 8080, guest: 80 }));
        for text in ["8080", "0:80", "80:", ":80", "1:2:3", "70000:1", "a:b"] {
            assert!(parse_forward(text).is_err(), "{text}");
        }
    }
}
