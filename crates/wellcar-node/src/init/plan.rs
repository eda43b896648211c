//! The decisions of the first boot, from facts alone: which platform, which stages with which
//! arguments, which device is ROOT, what the resolver is told.

use super::layout::{RUN, SYSROOT};
use std::fmt;
use std::path::{Path, PathBuf};
use sys::block::signature::Content;
use sys::cmdline::CommandLine;

/// Where the machine runs, by the names Ignition gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform(String);

impl Platform {
    /// From the command line (`ignition.platform.id=`, then `flatcar.oem.id=`, then `coreos.oem.id=`),
    /// else QEMU when its firmware interface is there, else metal.
    #[must_use]
    pub fn choose(line: &CommandLine, firmware_config: bool) -> Self {
        let named = ["ignition.platform.id", "flatcar.oem.id", "coreos.oem.id"]
            .into_iter()
            .find_map(|name| line.value(name).filter(|value| !value.is_empty()));
        let id = match named {
            Some("pxe" | "rackspace-onmetal") => "metal",
            Some(id) => id,
            None if firmware_config => "qemu",
            None => "metal",
        };
        Self(id.to_owned())
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A stage of the provisioning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Read the config from where no network is needed.
    FetchOffline,
    /// Fetch what needs the network.
    Fetch,
    /// Kernel arguments.
    Kargs,
    /// Partitions, arrays, volumes, file systems, and ROOT itself.
    Disks,
    /// Mount the config's file systems.
    Mount,
    /// Users, files, units.
    Files,
    /// Unmount them, write the stamp.
    Umount,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 7] =
        [Self::FetchOffline, Self::Fetch, Self::Kargs, Self::Disks, Self::Mount, Self::Files, Self::Umount];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::FetchOffline => "fetch-offline",
            Self::Fetch => "fetch",
            Self::Kargs => "kargs",
            Self::Disks => "disks",
            Self::Mount => "mount",
            Self::Files => "files",
            Self::Umount => "umount",
        }
    }

    /// What the operator reads while it runs.
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Self::FetchOffline => "reading the configuration",
            Self::Fetch => "fetching the configuration",
            Self::Kargs => "checking kernel arguments",
            Self::Disks => "preparing disks",
            Self::Mount => "mounting file systems",
            Self::Files => "writing users, files and units",
            Self::Umount => "finishing",
        }
    }

    /// Its root: the stages before ROOT is mounted look at the machine as it is.
    fn root(self) -> &'static str {
        match self {
            Self::FetchOffline | Self::Fetch | Self::Kargs | Self::Disks => "",
            Self::Mount | Self::Files | Self::Umount => SYSROOT,
        }
    }

    /// Arguments for `wellcar-node`.
    #[must_use]
    pub fn arguments(self, platform: &Platform) -> Vec<String> {
        let mut arguments: Vec<String> =
            ["provision", "--stage", self.name(), "--root", self.root(), "--platform"]
                .map(str::to_owned)
                .into();
        arguments.push(platform.to_string());
        for (flag, file) in [
            ("--config-cache", "ignition.json"),
            ("--state-file", "provision.state"),
            ("--neednet", "neednet"),
        ] {
            arguments.push(flag.to_owned());
            arguments.push(format!("{RUN}/{file}"));
        }
        arguments
    }
}

/// A device that may be ROOT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootDevice {
    /// Its node.
    pub node: PathBuf,
    /// What is on it.
    pub content: Content,
    /// Whether it is an array or a mapped device.
    pub assembled: bool,
}

/// ROOT among the devices: an assembled one first (somebody asked for it), then in the order given.
#[must_use]
pub fn choose_root(devices: &[RootDevice]) -> Option<(&Path, &'static str)> {
    let mountable = |device: &&RootDevice| matches!(device.content, Content::Filesystem { .. });
    let device = devices
        .iter()
        .filter(mountable)
        .find(|device| device.assembled)
        .or_else(|| devices.iter().find(mountable))?;
    match &device.content {
        Content::Filesystem { kind, .. } => Some((&device.node, kind)),
        Content::Luks | Content::Raid | Content::Lvm | Content::Unknown => None,
    }
}

/// The node of a partition by the kernel's rule: a `p` between when the disk's name ends in a digit.
#[must_use]
pub fn partition_node(disk: &Path, number: u32) -> Option<PathBuf> {
    let name = disk.to_str()?;
    let between = if name.ends_with(|c: char| c.is_ascii_digit()) { "p" } else { "" };
    Some(PathBuf::from(format!("{name}{between}{number}")))
}

/// The text of resolv.conf from networkd's link files: every `DNS=` and `DOMAINS=` line's words.
#[must_use]
pub fn resolv_conf(links: &[String]) -> String {
    let words = |key: &str| -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        for value in links.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix(key)) {
            // A server may carry a port or a name (`192.0.2.1:53#name`) that resolv.conf cannot.
            let plain =
                value.split_ascii_whitespace().map(|word| word.split(['#', '%']).next().unwrap_or(word));
            for word in plain {
                if !word.is_empty() && !all.iter().any(|known| known == word) {
                    all.push(word.to_owned());
                }
            }
        }
        all
    };
    let mut text = String::new();
    for server in words("DNS=").iter().take(3) {
        text.push_str(&format!("nameserver {server}\n"));
    }
    let domains = words("DOMAINS=");
    if !domains.is_empty() {
        text.push_str(&format!("search {}\n", domains.join(" ")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Platform, RootDevice, Stage, choose_root, partition_node, resolv_conf};
    use std::path::{Path, PathBuf};
    use sys::block::signature::Content;
    use sys::cmdline::CommandLine;

    #[test]
    fn the_platform_is_named_or_seen() {
        let choose = |line: &str, fw| Platform::choose(&CommandLine::parse(line), fw).to_string();
        assert_eq!(choose("flatcar.oem.id=ec2 ignition.platform.id=aws", true), "aws");
        assert_eq!(choose("flatcar.oem.id=qemu", false), "qemu");
        assert_eq!(choose("coreos.oem.id=pxe", true), "metal");
        assert_eq!(choose("ignition.platform.id=", true), "qemu");
        assert_eq!(choose("quiet", false), "metal");
    }

    #[test]
    fn stages_have_their_roots() {
        let platform = Platform::choose(&CommandLine::default(), true);
        let line = |stage: Stage| stage.arguments(&platform).join(" ");
        assert_eq!(
            line(Stage::FetchOffline),
            "provision --stage fetch-offline --root  --platform qemu --config-cache \
             /run/wellcar/ignition.json --state-file /run/wellcar/provision.state --neednet /run/wellcar/neednet"
        );
        assert!(line(Stage::Files).contains("--stage files --root /sysroot "));
        let rooted = Stage::ALL.iter().skip_while(|s| **s != Stage::Mount);
        assert!(rooted.map(|s| line(*s)).all(|l| l.contains("--root /sysroot")));
    }

    #[test]
    fn an_assembled_root_goes_before_a_plain_one() {
        let device =
            |node: &str, content: Content, assembled| RootDevice { node: node.into(), content, assembled };
        let ext4 = || Content::Filesystem { kind: "ext4", label: "ROOT".into() };
        let xfs = Content::Filesystem { kind: "xfs", label: "ROOT".into() };
        let devices = [
            device("/dev/vda9", ext4(), false),
            device("/dev/md0", Content::Unknown, true),
            device("/dev/dm-1", xfs, true),
        ];
        assert_eq!(choose_root(&devices), Some((Path::new("/dev/dm-1"), "xfs")));
        assert_eq!(choose_root(&devices[..2]), Some((Path::new("/dev/vda9"), "ext4")));
        assert_eq!(choose_root(&devices[1..2]), None);
    }

    #[test]
    fn partitions_have_the_kernels_names() {
        assert_eq!(partition_node(Path::new("/dev/vda"), 6), Some(PathBuf::from("/dev/vda6")));
        assert_eq!(partition_node(Path::new("/dev/nvme0n1"), 6), Some(PathBuf::from("/dev/nvme0n1p6")));
    }

    #[test]
    fn the_resolver_gets_servers_and_domains() {
        let links = vec![
            "ADMIN_STATE=configured\nDNS=10.0.2.3 fe80::1%2\nDOMAINS=example.org\n".to_owned(),
            "DNS=10.0.2.3 192.0.2.1#dns.example\n".to_owned(),
        ];
        assert_eq!(
            resolv_conf(&links),
            "nameserver 10.0.2.3\nnameserver fe80::1\nnameserver 192.0.2.1\nsearch example.org\n"
        );
        assert_eq!(resolv_conf(&[]), "");
    }
}
