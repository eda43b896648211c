//! The mount and umount stages. What was mounted is remembered in the state file, deepest last; the umount stage
//! takes it down again and, when all is flushed, writes the stamp of a finished first boot into ROOT itself.

use std::path::Path;

use ::provision::record::{DIRECTORY, JOURNAL_PATH, PATH, Record};
use ::provision::{Action, Facts, Origins, Stage, plan};
use ignition::Config;
use sys::rooted::{Durability, Meta, Root};

use super::context::Context;
use super::failure::{Failure, Result, fail};

pub(super) fn mount(context: &Context, config: &Config, origins: &Origins) -> Result<()> {
    let plan = plan(Stage::Mount, config, origins, &Facts::default())
        .map_err(|p| Box::new(Failure::problems(&p)))?;
    if context.flags.dry_run {
        context.print(&plan.to_string());
        return Ok(());
    }
    let mut state = context.state()?;
    let root = Root::open(&context.flags.root).map_err(|e| fail("root")(&e))?;
    for step in &plan.steps {
        let Action::Mount { device, path, format, options } = &step.action else { continue };
        if state.mounts.contains(path) && is_mount(&context.flags.root, path) {
            continue;
        }
        context.log(&step.to_string());
        let made = root
            .mkdir_all(Path::new(path), 0o755)
            .map_err(|e| Box::new(Failure::of("mount", &e).step(step)))?;
        // Remembered before it is done: unmounting what is not mounted does no harm.
        state.made.extend(made.iter().map(|p| p.display().to_string()));
        state.mounts.push(path.clone());
        context.save_state(&state)?;
        root.mount(Path::new(device), format, options, Path::new(path)).map_err(|e| {
            let mut failure = Failure::of("mount", &e).step(step);
            failure.hints.push(
                "every part of the path must be a real directory, and the device hold this file system"
                    .to_owned(),
            );
            Box::new(failure)
        })?;
    }
    context.save_state(&state)
}

fn is_mount(root: &Path, path: &str) -> bool {
    let full = root.join(path.trim_start_matches('/'));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    std::fs::canonicalize(full)
        .is_ok_and(|full| mounts.lines().any(|l| l.split(' ').nth(4) == Some(&full.display().to_string())))
}

pub(super) fn umount(context: &Context) -> Result<()> {
    if context.flags.dry_run {
        return Ok(());
    }
    let mut state = context.state()?;
    let root = Root::open(&context.flags.root).map_err(|e| fail("root")(&e))?;
    // Without a files stage nothing is half done and nothing may be called finished.
    let Some(record) = state.record.take() else { return unmount_all(context, &root, &state.mounts) };
    root.sync(Path::new("/")).map_err(|e| fail("flush")(&e))?;
    let text = Record { finished: true, ..record }.to_json();
    let covered = state.mounts.iter().any(|m| Path::new(PATH).starts_with(m));
    if covered {
        // What runs after the boot sees this one; what counts is the one on ROOT below.
        stamp(&root, &text)?;
    }
    unmount_all(context, &root, &state.mounts)?;
    stamp(&root, &text)?;
    context.log("finished");
    Ok(())
}

fn unmount_all(context: &Context, root: &Root, mounts: &[String]) -> Result<()> {
    for path in mounts.iter().rev() {
        root.sync(Path::new(path)).map_err(|e| fail("flush")(&e))?;
        if root.unmount(Path::new(path)).map_err(|e| fail("umount")(&e))? {
            context.log(&format!("unmounted {path}"));
        }
    }
    Ok(())
}

fn stamp(root: &Root, text: &str) -> Result<()> {
    let meta = Meta { mode: 0o644, uid: 0, gid: 0 };
    root.mkdir_all(Path::new(DIRECTORY), 0o755).map_err(|e| fail("stamp")(&e))?;
    root.sync(Path::new("/")).map_err(|e| fail("flush")(&e))?;
    root.write(Path::new(PATH), meta, Durability::Now, text.as_bytes()).map_err(|e| fail("stamp")(&e))?;
    root.remove_file(Path::new(JOURNAL_PATH)).map_err(|e| fail("stamp")(&e)).map(drop)
}
