//! `os/`, the distribution as data: the typed form of its TOML files. Unknown keys are errors, so a typo in
//! `os/` fails the build instead of changing the image in silence.

use crate::pattern::Patterns;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A file of `os/` that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum DistributionError {
    /// The TOML does not parse, or a key or value is not what the schema has.
    #[error("failed to read `os/{file}`")]
    Syntax {
        /// The file below `os/`.
        file: &'static str,
        /// What the parser says, with line and column.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A file is missing.
    #[error("failed to find `os/{0}`")]
    Missing(&'static str),
}

/// Everything `os/` says about the image's files (the package lists belong to [`crate::repo`]).
#[derive(Debug)]
pub struct Distribution {
    /// `image.toml`.
    pub image: Image,
    /// `files.toml`.
    pub files: Files,
    /// `binaries.toml`.
    pub binaries: Binaries,
    /// `units.toml`.
    pub units: Units,
    /// `users.toml`.
    pub users: Users,
    /// `links.toml`.
    pub links: BTreeMap<String, String>,
    /// `modules.toml`.
    pub modules: InitramfsModules,
    /// `os/tree`: our own files, path below the root to content and permission bits.
    pub tree: BTreeMap<String, (Vec<u8>, u32)>,
}

impl Distribution {
    /// Reads the distribution from the files of `os/`, given as path below `os/` → content and mode.
    ///
    /// # Errors
    /// A missing file, or one that does not fit the schema.
    pub fn read(os: &BTreeMap<String, (Vec<u8>, u32)>) -> Result<Self, DistributionError> {
        fn parse<T: serde::de::DeserializeOwned>(
            os: &BTreeMap<String, (Vec<u8>, u32)>,
            file: &'static str,
        ) -> Result<T, DistributionError> {
            let (bytes, _) = os.get(file).ok_or(DistributionError::Missing(file))?;
            toml::from_slice(bytes)
                .map_err(|source| DistributionError::Syntax { file, source: Box::new(source) })
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Links {
            links: BTreeMap<String, String>,
        }
        Ok(Self {
            image: parse(os, "image.toml")?,
            files: parse(os, "files.toml")?,
            binaries: parse(os, "binaries.toml")?,
            units: parse(os, "units.toml")?,
            users: parse(os, "users.toml")?,
            links: parse::<Links>(os, "links.toml")?.links,
            modules: parse(os, "modules.toml")?,
            tree: os
                .iter()
                .filter_map(|(path, file)| Some((path.strip_prefix("tree/")?.to_owned(), file.clone())))
                .collect(),
        })
    }
}

/// `image.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Names and version.
    pub product: Product,
    /// The partitions, in the order of their numbers.
    pub partition: Vec<Partition>,
    /// The kernel.
    pub kernel: Kernel,
    /// Limits that fail the build.
    pub budget: Budget,
    /// What the image may hold of sensitive things.
    pub audit: Audit,
}

/// Names and version of the product.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Product {
    /// os-release `ID`.
    pub id: String,
    /// os-release `NAME`.
    pub name: String,
    /// os-release `PRETTY_NAME`, without the version.
    pub pretty_name: String,
    /// The product's id in release metadata.
    pub product_id: String,
    /// `YYYY.MM.N`.
    pub version: String,
    /// os-release `HOME_URL`.
    pub home_url: String,
    /// os-release `ID_LIKE`.
    pub id_like: String,
}

/// One partition of the disk.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Number in the table.
    pub number: u32,
    /// Label in the table.
    pub label: String,
    /// Type GUID, text form.
    #[serde(rename = "type")]
    pub type_guid: String,
    /// Size in MiB.
    pub mib: u64,
}

/// The kernel's part of `image.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Words of the command line, `usrhash=` not among them.
    pub cmdline: Vec<String>,
}

/// Limits; exceeding one fails the build.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Budget {
    /// The EROFS image of /usr, MiB.
    pub usr_mib: u64,
    /// The UKI, MiB.
    pub uki_mib: u64,
    /// What the ESP of a fresh image holds, MiB.
    pub esp_used_mib: u64,
    /// Packages that have files in the image.
    pub packages: usize,
    /// Programs in /usr/bin and /usr/sbin.
    pub path_binaries: usize,
}

/// Allow-lists of sensitive things.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Audit {
    /// Files that may carry setuid or setgid.
    pub privileged_files: Vec<String>,
    /// Files whose setuid or setgid bit is taken away.
    pub strip_privileges: Vec<String>,
    /// Listening sockets of a default boot, for the VM tests and `wellcar-node check os`.
    pub listening: Vec<String>,
}

/// `files.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Files {
    /// Files left out.
    pub drop: Vec<DropRule>,
    /// Directories of which only named files stay.
    pub keep: Vec<KeepRule>,
    /// Shared libraries.
    pub libraries: Libraries,
}

/// Files left out, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DropRule {
    /// The reason.
    #[expect(dead_code, reason = "the reason is for the reader of os/, and the schema demands it")]
    why: String,
    /// Patterns of whole paths.
    pub paths: Vec<String>,
}

/// A place of which only some files stay, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeepRule {
    /// The reason.
    #[expect(dead_code, reason = "the reason is for the reader of os/, and the schema demands it")]
    why: String,
    /// The place.
    pub within: String,
    /// What stays of it.
    pub paths: Vec<String>,
}

/// Shared libraries that stay although no program names them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Libraries {
    /// Patterns of file names.
    pub keep: Vec<String>,
    /// Directories of plug-ins, kept as they come.
    pub plugins: Vec<String>,
}

/// `binaries.toml`: package → programs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binaries {
    /// Shipped.
    pub keep: BTreeMap<String, Vec<String>>,
    /// Left out.
    pub drop: BTreeMap<String, Vec<String>>,
}

/// `units.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Units {
    /// Unit → units that it wants at every boot.
    pub enable: BTreeMap<String, Vec<String>>,
    /// Name → unit that it stands for.
    pub alias: BTreeMap<String, String>,
    /// Units left out.
    pub remove: Vec<RemoveRule>,
}

/// Units left out, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveRule {
    /// The reason.
    #[expect(dead_code, reason = "the reason is for the reader of os/, and the schema demands it")]
    why: String,
    /// Patterns below `usr/lib/systemd/system`.
    pub units: Vec<String>,
}

impl Units {
    /// The patterns of units that are left out.
    #[must_use]
    pub fn removed(&self) -> Patterns {
        Patterns::new(self.remove.iter().flat_map(|rule| &rule.units))
    }
}

/// `users.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Users {
    /// Group → number.
    pub groups: BTreeMap<String, u32>,
    /// The users.
    pub user: Vec<User>,
}

/// One user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name.
    pub name: String,
    /// Number.
    pub uid: u32,
    /// Number of the primary group.
    pub gid: u32,
    /// GECOS.
    pub comment: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// Groups besides the primary one.
    #[serde(default)]
    pub groups: Vec<String>,
}

/// `modules.toml`: the kernel modules of the initramfs, in the order in which they are loaded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitramfsModules {
    /// The modules.
    pub initramfs: Vec<InitramfsModule>,
}

/// One kernel module of the initramfs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InitramfsModule {
    /// Name, as in modules.dep without `.ko`.
    pub name: String,
    /// `key=value` words.
    #[serde(default)]
    pub params: Vec<String>,
    /// Whether a kernel without it is fine.
    #[serde(default)]
    pub optional: bool,
    /// The reason.
    #[expect(dead_code, reason = "the reason is for the reader of os/, and the schema demands it")]
    why: String,
}
