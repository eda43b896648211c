//! The systemd generator: `flatcar.autologin[=tty]` on the kernel command line logs `core` in on a console
//! (systemd.generator(7): three output folders as arguments; the first is for ordinary units).

use std::path::Path;

/// The drop-in for a console that logs in by itself.
const DROP_IN: &str = "[Service]\nExecStart=\nExecStart=-/usr/sbin/agetty --autologin core --noreset --noclear --keep-baud 115200,57600,38400,9600 - ${TERM}\n";

/// The units whose getty logs in by itself, from the words of the command line.
#[must_use]
pub fn units(line: &sys::cmdline::CommandLine, active_consoles: &str) -> Vec<String> {
    let mut terminals: Vec<String> = Vec::new();
    for (name, value) in line.words() {
        if !matches!(name, "flatcar.autologin" | "coreos.autologin") {
            continue;
        }
        match value {
            Some(tty) if is_terminal_name(tty) => terminals.push(tty.to_owned()),
            Some(_) => {}
            None => terminals.extend(active_consoles.split_whitespace().map(str::to_owned)),
        }
    }
    terminals.sort();
    terminals.dedup();
    terminals
        .into_iter()
        .map(|tty| {
            let virtual_terminal = tty.strip_prefix("tty").is_some_and(|rest| rest.parse::<u32>().is_ok());
            if virtual_terminal {
                format!("getty@{tty}.service")
            } else {
                format!("serial-getty@{tty}.service")
            }
        })
        .collect()
}

fn is_terminal_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Runs the generator; gives the exit code.
pub fn run(args: &[std::ffi::OsString]) -> u8 {
    let Some(dir) = args.first() else { return 2 };
    let read = |path: &str| sys::file::read_text(Path::new(path), 64 << 10).unwrap_or_default();
    let line = sys::cmdline::CommandLine::parse(&read("/proc/cmdline"));
    let mut failed = 0;
    for unit in units(&line, &read("/sys/class/tty/console/active")) {
        let folder = Path::new(dir).join(format!("{unit}.d"));
        let made = std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::write(folder.join("50-autologin.conf"), DROP_IN));
        if let Err(error) = made {
            sys::console::log(
                sys::console::Level::Warning,
                "wellcar",
                &format!("autologin for {unit}: {error}"),
            );
            failed = 1;
        }
    }
    failed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles_from_the_command_line() {
        let of = |line: &str| units(&sys::cmdline::CommandLine::parse(line), "tty0 ttyS0");
        assert!(of("quiet").is_empty());
        assert_eq!(of("flatcar.autologin=ttyS0"), ["serial-getty@ttyS0.service"]);
        assert_eq!(of("flatcar.autologin"), ["getty@tty0.service", "serial-getty@ttyS0.service"]);
        assert!(of("flatcar.autologin=../x").is_empty());
    }
}
