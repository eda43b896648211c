//! Makes every program of a closure callable from one folder: for each a small script that runs it by the
//! closure's loader. The tests look for their oracles in such a folder (`WELLCAR_ORACLES`).

use super::{Closure, LIBRARIES, LOADER, QEMU_DATA, ToolContext, ToolError, Tools};
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where programs lie in a package.
const PROGRAMS: [&str; 4] = ["usr/bin", "usr/sbin", "bin", "sbin"];

/// Programs outside of `PATH` that tests want by name.
const HIDDEN: [(&str, &str); 1] = [("ignition", "usr/lib/dracut/modules.d/30ignition/ignition")];

/// Writes a script for each program of `closure` to `dir`, and gives the programs' names, sorted.
///
/// # Errors
/// The closure cannot be had, or a script cannot be written.
pub fn write_wrappers(
    closure: Closure,
    dir: &Path,
    context: &ToolContext<'_>,
) -> Result<Vec<String>, ToolError> {
    let root = Tools::unpack(closure, context)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| ToolError::Wrapper { path, source }
    };
    fs::create_dir_all(dir).map_err(failed(dir))?;
    let mut names = Vec::new();
    for (name, program) in programs(&root).map_err(failed(&root))? {
        let path = dir.join(&name);
        write(&path, &script(&root, &name, &program)).map_err(failed(&path))?;
        names.push(name);
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// The programs below `root`: name and place. Scripts and dangling links are left out.
fn programs(root: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    for folder in PROGRAMS {
        let entries = match fs::read_dir(root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string()
                && is_elf(&entry.path())
            {
                found.push((name, entry.path()));
            }
        }
    }
    let hidden = HIDDEN.map(|(name, place)| (name.to_owned(), root.join(place)));
    found.extend(hidden.into_iter().filter(|(name, place)| {
        is_elf(place) && !PROGRAMS.iter().any(|folder| root.join(folder).join(name).exists())
    }));
    Ok(found)
}

/// Whether a file is a program for the loader.
fn is_elf(path: &Path) -> bool {
    use std::io::Read as _;
    let mut magic = [0; 4];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && &magic == b"\x7fELF"
}

/// The script that runs `program` by the loader of `root`, under the name `name`: several programs look at
/// it to see what they are.
fn script(root: &Path, name: &str, program: &Path) -> String {
    let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let path = |path: &Path| quote(&path.to_string_lossy());
    // QEMU looks for its ROMs beside the program that runs, which is the loader.
    let data = if name.starts_with("qemu-system-") { &QEMU_DATA[..] } else { &[] };
    let data: String = data.iter().map(|data| format!(" -L {}", path(&root.join(data)))).collect();
    format!(
        "#!/bin/sh\nexec {} --inhibit-cache --library-path {} --argv0 {} {}{data} \"$@\"\n",
        path(&root.join(LOADER)),
        path(&root.join(LIBRARIES)),
        quote(name),
        path(program),
    )
}

/// Replaces a script in one step: a test may be running it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o755))?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_loader_libraries_and_program() {
        let text = script(Path::new("/c/it's"), "mcopy", Path::new("/c/it's/usr/bin/mcopy"));
        assert_eq!(
            text,
            "#!/bin/sh\nexec '/c/it'\\''s/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2' --inhibit-cache \
             --library-path '/c/it'\\''s/usr/lib/x86_64-linux-gnu' --argv0 'mcopy' '/c/it'\\''s/usr/bin/mcopy' \"$@\"\n"
        );
    }

    #[test]
    fn qemu_is_told_where_its_roms_are() {
        let text = script(Path::new("/c"), "qemu-system-x86_64", Path::new("/c/usr/bin/qemu-system-x86_64"));
        assert!(text.ends_with(
            " '/c/usr/bin/qemu-system-x86_64' -L '/c/usr/share/qemu' -L '/c/usr/share/seabios' \"$@\"\n"
        ));
    }

    #[test]
    fn programs_are_elf_files() {
        let dir = tempfile::tempdir().unwrap();
        let bin = dir.path().join("usr/bin");
        fs::create_dir_all(&bin).unwrap();
        fs::write(bin.join("tool"), b"\x7fELF...").unwrap();
        fs::write(bin.join("script"), b"#!/usr/bin/perl").unwrap();
        std::os::unix::fs::symlink("tool", bin.join("alias")).unwrap();
        std::os::unix::fs::symlink("none", bin.join("dangling")).unwrap();
        let mut names: Vec<_> = programs(dir.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(names, ["alias", "tool"]);
    }
}
