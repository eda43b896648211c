//! The network of the first boot, only when the config has to be fetched: systemd-networkd of the
//! verified /usr with DHCP on every wired interface, or what `ip=` on the command line says.

use super::{plan, service};
use anyhow::{Context as _, Result};
use std::path::Path;
use std::time::Duration;
use sys::process::{Child, Cmd};

const NETWORKD: &str = "/usr/lib/systemd/systemd-networkd";
const WAIT_ONLINE: &str = "/usr/lib/systemd/systemd-networkd-wait-online";
const GENERATOR: &str = "/usr/lib/systemd/systemd-network-generator";
/// How long the first interface may take to be routable.
const ONLINE: Duration = Duration::from_secs(120);
const GRACE: Duration = Duration::from_secs(5);

/// After all other files, so that `ip=` and the image's own come first.
const FALLBACK: &str = "/run/systemd/network/zzz-first-boot.network";
const FALLBACK_TEXT: &str = "[Match]\nType=ether\nKind=!*\n\n[Network]\nDHCP=yes\n";

/// The running network; dropping it stops networkd and removes what it left.
#[derive(Debug)]
pub struct Network {
    networkd: Child,
}

impl Network {
    /// Starts networkd, waits until an interface is routable and tells the resolver.
    ///
    /// # Errors
    /// When networkd does not start, or nothing is routable in time.
    pub fn start() -> Result<Self> {
        for dir in ["/run/systemd", "/run/systemd/network", "/run/systemd/resolve"] {
            super::layout::make_dir(Path::new(dir), 0o755)?;
        }
        make_machine_id()?;
        // Without `ip=` it writes nothing.
        let _ = Cmd::new(GENERATOR).timeout(ONLINE).run();
        std::fs::write(FALLBACK, FALLBACK_TEXT).with_context(|| format!("failed to write `{FALLBACK}`"))?;
        let networkd = service::start(NETWORKD, ONLINE)?;
        let network = Self { networkd };
        Cmd::new(WAIT_ONLINE)
            .args(["--any", "--operational-state=routable"])
            .arg(format!("--timeout={}", ONLINE.as_secs()))
            .timeout(ONLINE + GRACE)
            .run()
            .context("failed to get a network: no interface became routable")?;
        write_resolv_conf()?;
        Ok(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.networkd.stop(GRACE);
        let _ = std::fs::remove_file(FALLBACK);
        for dir in ["/run/systemd/netif", "/run/systemd/resolve"] {
            let _ = std::fs::remove_dir_all(dir);
        }
    }
}

/// DHCP names the client by the machine's id, which is made later, in the first real boot. This one lives
/// in the memory of the first boot only.
fn make_machine_id() -> Result<()> {
    let uuid = sys::file::read_text(Path::new("/proc/sys/kernel/random/uuid"), 64)
        .context("failed to make an id")?;
    let id: String = uuid.trim().chars().filter(|c| *c != '-').collect();
    sys::file::replace(Path::new("/etc/machine-id"), format!("{id}\n").as_bytes(), 0o444)
        .context("failed to write `/etc/machine-id`")
}

/// /etc/resolv.conf is a link into /run/systemd/resolve; both names it may have are written.
fn write_resolv_conf() -> Result<()> {
    let dir = Path::new("/run/systemd/netif/links");
    let mut links = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("failed to list `{}`", dir.display()))? {
        let path = entry?.path();
        links.push(
            sys::file::read_text(&path, 1 << 20)
                .with_context(|| format!("failed to read `{}`", path.display()))?,
        );
    }
    let text = plan::resolv_conf(&links);
    for name in ["stub-resolv.conf", "resolv.conf"] {
        let path = Path::new("/run/systemd/resolve").join(name);
        std::fs::write(&path, &text).with_context(|| format!("failed to write `{}`", path.display()))?;
    }
    Ok(())
}
