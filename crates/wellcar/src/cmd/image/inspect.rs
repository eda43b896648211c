//! `wellcar image inspect`: what an image is made of and what takes the space, from the manifest beside it.

use crate::failure::Failure;
use crate::image::output::{Manifest, PackageSize};
use crate::ui::mebibytes;
use anyhow::Context as _;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The largest manifest that is read, in bytes.
const LARGEST: u64 = 16 << 20;

/// Arguments of `wellcar image inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  wellcar image inspect out/wellcar-2026.11.0.raw --html sizes.html")]
pub struct Args {
    /// The image, or its manifest.
    #[arg(value_name = "IMG")]
    image: PathBuf,
    /// Print the manifest as JSON.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write a treemap of the packages to this file.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Runs the command.
pub fn run(args: &Args) -> Result<(), Failure> {
    let path = manifest_of(&args.image)?;
    let size =
        std::fs::metadata(&path).with_context(|| format!("failed to read `{}`", path.display()))?.len();
    if size > LARGEST {
        let error = anyhow::anyhow!(
            "failed to read `{}`: expected at most {LARGEST} bytes, found {size}",
            path.display()
        );
        return Err(Failure::work(error, "name the image or the `wellcar-VERSION.json` beside it"));
    }
    let bytes = std::fs::read(&path).with_context(|| format!("failed to read `{}`", path.display()))?;
    let manifest: Manifest = serde_json::from_slice(&bytes)
        .with_context(|| format!("failed to read `{}` as a manifest", path.display()))?;
    if let Some(html) = &args.html {
        std::fs::write(html, treemap(&manifest))
            .with_context(|| format!("failed to write `{}`", html.display()))?;
    }
    let text = match args.format {
        Format::Json => format!("{}\n", serde_json::to_string_pretty(&manifest)?),
        Format::Text => table(&manifest),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

/// The manifest itself, or the one beside an image of its name.
fn manifest_of(image: &Path) -> Result<PathBuf, Failure> {
    let name = image.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.ends_with(".json") {
        return Ok(image.to_owned());
    }
    let stem = [".raw.zst", ".raw", ".qcow2", ".vhd", ".efi"].iter().find_map(|end| name.strip_suffix(end));
    let beside = stem.map(|stem| image.with_file_name(format!("{stem}.json"))).filter(|path| path.is_file());
    beside.ok_or_else(|| {
        Failure::work(
            anyhow::anyhow!("failed to find the manifest of `{}`", image.display()),
            "it is the `wellcar-VERSION.json` that `wellcar image build` puts beside the image",
        )
    })
}

/// Packages by size, the largest first.
fn by_size(manifest: &Manifest) -> Vec<&PackageSize> {
    let mut packages: Vec<&PackageSize> = manifest.packages.iter().collect();
    packages.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(a.name.cmp(&b.name)));
    packages
}

fn table(manifest: &Manifest) -> String {
    let total: u64 = manifest.packages.iter().map(|package| package.bytes).sum();
    let mut text = String::new();
    let _ = writeln!(text, "version        {}", manifest.version);
    let _ = writeln!(text, "kernel         {}", manifest.kernel);
    let _ = writeln!(text, "root hash      {}", manifest.root_hash);
    let _ = writeln!(
        text,
        "/usr           {} as EROFS, {} of files",
        mebibytes(manifest.usr_bytes),
        mebibytes(total)
    );
    let _ = writeln!(text, "packages       {}", manifest.packages.len());
    let _ = writeln!(text, "programs       {} in PATH", manifest.path_binaries);
    let _ = writeln!(text, "setuid, setgid {}", manifest.privileged.len());
    for artifact in &manifest.artifacts {
        let _ = writeln!(text, "{:<14} {} {}", mebibytes(artifact.size), artifact.sha256, artifact.file);
    }
    let _ = writeln!(text, "\n      size  share  files  package");
    for package in by_size(manifest) {
        let share = package.bytes as f64 * 100.0 / total.max(1) as f64;
        let _ = writeln!(
            text,
            "{:>10} {share:>5.1}% {:>6}  {} {}",
            mebibytes(package.bytes),
            package.files,
            package.name,
            package.version
        );
    }
    text
}

/// A treemap as one HTML page without scripts: slices, halved by weight.
fn treemap(manifest: &Manifest) -> String {
    let mut boxes = String::new();
    place(&by_size(manifest), [0.0, 0.0, 100.0, 100.0], &mut boxes);
    format!(
        "<!doctype html><meta charset=utf-8><title>Wellcar {v}</title><style>body{{margin:0;font:12px sans-serif}}\
         #map{{position:relative;width:100vw;height:100vh}}#map div{{position:absolute;box-sizing:border-box;\
         border:1px solid #fff;background:#7aa6c2;overflow:hidden;padding:2px}}</style><div id=map>{boxes}</div>\n",
        v = manifest.version
    )
}

fn place(packages: &[&PackageSize], [x, y, width, height]: [f64; 4], out: &mut String) {
    let total: u64 = packages.iter().map(|package| package.bytes).sum();
    match packages {
        [] => {}
        [package] => {
            let label = format!("{} {}", package.name, mebibytes(package.bytes));
            let _ = write!(
                out,
                "<div style=\"left:{x:.3}%;top:{y:.3}%;width:{width:.3}%;height:{height:.3}%\" title=\"{label}\">{label}</div>"
            );
        }
        _ => {
            let (mut half, mut count) = (0, 0);
            while count + 1 < packages.len() && (count == 0 || half + packages[count].bytes <= total / 2) {
                half += packages[count].bytes;
                count += 1;
            }
            let part = if total == 0 { 0.5 } else { half as f64 / total as f64 };
            let (first, rest) = packages.split_at(count);
            if width >= height {
                place(first, [x, y, width * part, height], out);
                place(rest, [x + width * part, y, width * (1.0 - part), height], out);
            } else {
                place(first, [x, y, width, height * part], out);
                place(rest, [x, y + height * part, width, height * (1.0 - part)], out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_treemap_has_a_box_for_each_package() {
        let package =
            |name: &str, bytes| PackageSize { name: name.into(), version: "1".into(), bytes, files: 1 };
        let list = [package("a", 50), package("b", 30), package("c", 0)];
        let mut out = String::new();
        place(&list.iter().collect::<Vec<_>>(), [0.0, 0.0, 100.0, 100.0], &mut out);
        assert_eq!(out.matches("<div").count(), 3);
    }
}
