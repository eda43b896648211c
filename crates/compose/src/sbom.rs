//! The bill of materials of an image: SPDX 2.3 and CycloneDX 1.6, both as JSON. Every file of the tree has
//! an owner: a package of the lock, or Wellcar itself. Nothing in it depends on when or where it was made.

use crate::tree::{Node, Tree};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// A package as the bill names it.
#[derive(Debug, Clone)]
pub struct BillPackage {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture.
    pub architecture: String,
    /// SHA-256 of its archive, hex; empty for our own.
    pub sha256: String,
    /// Source package.
    pub source: String,
}

/// What the bill says of the image as a whole.
#[derive(Debug, Clone)]
pub struct BillHead {
    /// Product name.
    pub name: String,
    /// Product version.
    pub version: String,
    /// The verity root hash of /usr, hex: makes the document's name unique.
    pub root_hash: String,
    /// RFC 3339 time of the package lock: the only time that is the same on every machine.
    pub created: String,
}

/// A file whose owner is in no list of packages.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "failed to write the bill of materials: `{path}` belongs to `{owner}`, which is no package of the lock"
)]
pub struct Stray {
    /// Path.
    pub path: String,
    /// What the tree says owns it.
    pub owner: String,
}

/// Both documents.
#[derive(Debug, Clone)]
pub struct Bills {
    /// SPDX 2.3 JSON.
    pub spdx: Vec<u8>,
    /// CycloneDX 1.6 JSON.
    pub cyclonedx: Vec<u8>,
}

/// Writes the bills; packages without a file in the image are left out.
///
/// # Errors
/// A file that nobody owns.
pub fn bills(tree: &Tree, packages: &[BillPackage], head: &BillHead) -> Result<Bills, Stray> {
    let known: BTreeMap<&str, &BillPackage> =
        packages.iter().map(|package| (package.name.as_str(), package)).collect();
    let mut files: BTreeMap<&str, Vec<FileLine>> = BTreeMap::new();
    for (path, entry) in tree.iter() {
        let Node::File(content) = &entry.node else { continue };
        let Some((name, _)) = known.get_key_value(&*entry.owner) else {
            return Err(Stray { path: path.to_owned(), owner: entry.owner.to_string() });
        };
        files.entry(name).or_default().push(FileLine {
            path: path.to_owned(),
            sha256: hex(&Sha256::digest(content)),
            sha1: hex(&<sha1::Sha1 as sha1::Digest>::digest(content)),
        });
    }
    let shipped: Vec<(&BillPackage, &[FileLine])> =
        files.iter().filter_map(|(name, lines)| Some((*known.get(name)?, lines.as_slice()))).collect();
    Ok(Bills { spdx: bytes(&spdx(&shipped, head)), cyclonedx: bytes(&cyclonedx(&shipped, head)) })
}

struct FileLine {
    path: String,
    sha256: String,
    sha1: String,
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(value: &Value) -> Vec<u8> {
    let mut text = value.to_string().into_bytes();
    text.push(b'\n');
    text
}

fn purl(package: &BillPackage) -> String {
    let plain = |text: &str| text.replace('%', "%25").replace('+', "%2B").replace(':', "%3A");
    if package.sha256.is_empty() {
        format!("pkg:generic/{}@{}", plain(&package.name), plain(&package.version))
    } else {
        format!(
            "pkg:deb/debian/{}@{}?arch={}",
            plain(&package.name),
            plain(&package.version),
            package.architecture
        )
    }
}

/// SPDX identifiers allow letters, digits, `.` and `-`.
fn spdx_id(kind: &str, name: &str) -> String {
    let safe: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '-' })
        .collect();
    let tag = hex(&Sha256::digest(name.as_bytes())[..6]);
    format!("SPDXRef-{kind}-{safe}-{tag}")
}

fn spdx(shipped: &[(&BillPackage, &[FileLine])], head: &BillHead) -> Value {
    let image = "SPDXRef-Image";
    let mut packages = vec![json!({
        "SPDXID": image, "name": head.name, "versionInfo": head.version,
        "downloadLocation": "NOASSERTION", "filesAnalyzed": false,
        "checksums": [{"algorithm": "SHA256", "checksumValue": head.root_hash}],
        "comment": "the checksum is the dm-verity root hash of /usr",
    })];
    let mut files = Vec::new();
    let mut relations = vec![json!({
        "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": image
    })];
    for (package, lines) in shipped {
        let id = spdx_id("Package", &package.name);
        let mut value = json!({
            "SPDXID": id, "name": package.name, "versionInfo": package.version,
            "downloadLocation": "NOASSERTION", "filesAnalyzed": false, "licenseConcluded": "NOASSERTION",
            "sourceInfo": format!("built from source package {}", package.source),
            "externalRefs": [{
                "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl(package)
            }],
        });
        if !package.sha256.is_empty() {
            value["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": package.sha256}]);
        }
        packages.push(value);
        relations.push(json!({
            "spdxElementId": image, "relationshipType": "CONTAINS", "relatedSpdxElement": id
        }));
        for line in *lines {
            let file = spdx_id("File", &line.path);
            files.push(json!({
                "SPDXID": file, "fileName": format!("./{}", line.path),
                "checksums": [
                    {"algorithm": "SHA1", "checksumValue": line.sha1},
                    {"algorithm": "SHA256", "checksumValue": line.sha256},
                ],
            }));
            relations.push(json!({
                "spdxElementId": id, "relationshipType": "CONTAINS", "relatedSpdxElement": file
            }));
        }
    }
    json!({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("{} {}", head.name, head.version),
        "documentNamespace": format!("urn:wellcar:sbom:{}:{}", head.version, head.root_hash),
        "creationInfo": {"created": head.created, "creators": ["Tool: wellcar"]},
        "packages": packages, "files": files, "relationships": relations,
    })
}

fn cyclonedx(shipped: &[(&BillPackage, &[FileLine])], head: &BillHead) -> Value {
    let components: Vec<Value> = shipped
        .iter()
        .map(|(package, lines)| {
            let files: Vec<Value> = lines
                .iter()
                .map(|line| {
                    json!({
                        "type": "file", "name": line.path,
                        "hashes": [{"alg": "SHA-256", "content": line.sha256}],
                    })
                })
                .collect();
            let mut value = json!({
                "type": "library", "bom-ref": purl(package), "name": package.name,
                "version": package.version, "purl": purl(package), "components": files,
            });
            if !package.sha256.is_empty() {
                value["hashes"] = json!([{"alg": "SHA-256", "content": package.sha256}]);
            }
            value
        })
        .collect();
    let h = &head.root_hash;
    let serial = format!(
        "urn:uuid:{}-{}-5{}-a{}-{}",
        h.get(0..8).unwrap_or_default(),
        h.get(8..12).unwrap_or_default(),
        h.get(13..16).unwrap_or_default(),
        h.get(17..20).unwrap_or_default(),
        h.get(20..32).unwrap_or_default()
    );
    json!({
        "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "serialNumber": serial,
        "metadata": {
            "timestamp": head.created,
            "component": {"type": "operating-system", "name": head.name, "version": head.version},
        },
        "components": components,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Entry;
    use std::sync::Arc;

    #[test]
    fn a_stray_file_fails() {
        let mut tree = Tree::new();
        let bash: Arc<str> = "bash".into();
        tree.put("usr/bin/bash", Entry::file(&b"x"[..], 0o755, &bash));
        let packages = [BillPackage {
            name: "bash".into(),
            version: "1:5+2".into(),
            architecture: "amd64".into(),
            sha256: "ab".into(),
            source: "bash".into(),
        }];
        let head = BillHead {
            name: "wellcar".into(),
            version: "1".into(),
            root_hash: "0123456789abcdef0123456789abcdef".into(),
            created: "2026-01-01T00:00:00Z".into(),
        };
        let bills = bills(&tree, &packages, &head).unwrap();
        let text = String::from_utf8(bills.spdx).unwrap();
        assert!(text.contains("pkg:deb/debian/bash@1%3A5%2B2?arch=amd64"), "{text}");
        tree.put("usr/bin/stray", Entry::file(&b"x"[..], 0o755, &"nobody".into()));
        assert_eq!(
            super::bills(&tree, &packages, &head).unwrap_err(),
            Stray { path: "usr/bin/stray".into(), owner: "nobody".into() }
        );
    }
}
