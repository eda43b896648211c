//! Tests of child processes with programs every machine has.

use super::{Cmd, Identity, ProcessError, find_program};
use std::fs::File;
use std::io::Read as _;
use std::time::{Duration, Instant};

fn sh(script: &str) -> Cmd {
    Cmd::new("sh").arg("-c").arg(script)
}

#[test]
fn output_and_input_pass_through() {
    let big = vec![b'x'; 300_000];
    let output = Cmd::new("cat").stdin_bytes(big.clone()).run().unwrap();
    assert_eq!(output.stdout, big);
    assert!(output.stderr.is_empty());
}

#[test]
fn failure_names_command_status_and_last_words() {
    let error = sh("echo first >&2; echo 'no such thing' >&2; exit 3").run().unwrap_err();
    assert_eq!(error.code(), Some(3));
    assert_eq!(
        error.to_string(),
        "failed to run `sh -c 'echo first >&2; echo '\\''no such thing'\\'' >&2; exit 3'`: exit status: 3: \
         first\nno such thing"
    );
}

#[test]
fn missing_program_is_told_apart() {
    let error = Cmd::new("no-such-program-here").run().unwrap_err();
    assert!(error.is_not_found(), "{error}");
}

#[test]
fn time_limit_kills_the_whole_group() {
    let begin = Instant::now();
    let error =
        sh("echo started >&2; sleep 60 & wait").timeout(Duration::from_millis(300)).run().unwrap_err();
    assert!(begin.elapsed() < Duration::from_secs(20));
    let ProcessError::TimedOut { stderr, .. } = error else { panic!("{error}") };
    assert_eq!(stderr, "started");
}

#[test]
fn output_limit_holds() {
    let error = sh("yes").output_limit(100_000).timeout(Duration::from_secs(30)).run().unwrap_err();
    assert!(matches!(error, ProcessError::TooMuchOutput { limit: 100_000, .. }), "{error}");
}

#[test]
fn grandchild_with_open_pipe_does_not_hold_us() {
    let begin = Instant::now();
    let output = sh("echo done; sleep 50 &").run().unwrap();
    assert_eq!(output.stdout_text(), "done");
    assert!(begin.elapsed() < Duration::from_secs(20));
}

#[test]
fn dropped_child_is_dead() {
    let mut child = sh("echo $$; exec sleep 60").stdout_piped().spawn().unwrap();
    let mut byte = [0];
    child.take_stdout().unwrap().read_exact(&mut byte).unwrap();
    let id = child.id();
    assert!(child.try_wait().unwrap().is_none());
    drop(child);
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
}

#[test]
fn stop_asks_then_kills() {
    use std::os::unix::process::ExitStatusExt as _;
    let mut polite =
        sh("trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done").stdout_piped().spawn().unwrap();
    let mut byte = [0];
    polite.take_stdout().unwrap().read_exact(&mut byte).unwrap();
    assert_eq!(polite.stop(Duration::from_secs(20)).unwrap().code(), Some(7));
    let mut deaf =
        sh("trap '' TERM; echo ready; while :; do sleep 0.05; done").stdout_piped().spawn().unwrap();
    deaf.take_stdout().unwrap().read_exact(&mut byte).unwrap();
    assert_eq!(deaf.stop(Duration::from_millis(200)).unwrap().signal(), Some(9));
}

#[test]
fn environment_and_directory_are_set() {
    let output =
        sh("echo $A-$HOME-$(pwd)").env_clear().env("PATH", "/usr/bin:/bin").env("A", "b").cwd("/").run();
    assert_eq!(output.unwrap().stdout_text(), "b--/");
}

#[test]
fn programs_are_found_in_a_path_list() {
    let found = find_program("sh", "/nonexistent:/usr/bin:/bin".as_ref()).unwrap();
    assert!(found.ends_with("sh"));
    assert!(find_program("sh", "/nonexistent".as_ref()).is_none());
}

#[test]
fn a_terminal_session_has_its_terminal() {
    let pty = crate::terminal::Pty::open().unwrap();
    let out = File::from(pty.slave.try_clone().unwrap());
    let mut child = Cmd::new("sh")
        .args(["-c", "echo said > /dev/tty; exit 7"])
        .arg0("a-name")
        .stdin_file(File::from(pty.slave))
        .stdout_file(out)
        .terminal_session()
        .spawn()
        .unwrap();
    let status = child.wait(Some(Duration::from_secs(30))).unwrap().unwrap();
    assert_eq!(status.code(), Some(7));
    let mut text = [0; 64];
    let count = File::from(pty.master).read(&mut text).unwrap();
    assert_eq!(&text[..count], b"said\r\n");
}

#[test]
fn another_user_has_that_users_groups_and_a_folder_it_can_enter() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only root can run as another user");
        return;
    }
    let hidden = tempfile::tempdir().unwrap();
    std::fs::set_permissions(hidden.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let identity = Identity { uid: 65_534, gid: 65_533, groups: vec![65_531, 65_532] };
    let run = |dir: &std::path::Path| {
        let script = "id -u; id -g; id -G; pwd";
        Cmd::new("sh").args(["-c", script]).identity(&identity).cwd_or_root(dir).run().unwrap().stdout_text()
    };
    assert_eq!(run(hidden.path()), "65534\n65533\n65533 65531 65532\n/");
    assert_eq!(run("/usr".as_ref()).lines().last(), Some("/usr"));
    assert_eq!(run("/not/there".as_ref()).lines().last(), Some("/"));
}
