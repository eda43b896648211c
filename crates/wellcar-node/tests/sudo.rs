//! `sudo` and its server as a node has them, but for systemd: a listener starts one server a
//! connection. Only root can be a server that becomes other users.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use sys::process::{Child, Cmd, Identity, Output};
use sys::terminal::Pty;

const PROGRAM: &str = env!("CARGO_BIN_EXE_wellcar-node");
const LIMIT: Duration = Duration::from_secs(60);

const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh
core:x:500:500:Administrator:/tmp:/bin/sh
wheely:x:501:501::/tmp:/bin/sh
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
";
const GROUP: &str = "root:x:0:\nsudo:x:27:core\nwheel:x:10:wheely\ndocker:x:999:core,nobody\n";

const CORE: u32 = 500;
const NOBODY: u32 = 65_534;

/// A machine with a server.
struct Bench {
    dir: tempfile::TempDir,
    program: PathBuf,
}

impl Bench {
    /// `None` when this machine cannot be one.
    fn new() -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can serve sudo");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        open_to_all(dir.path(), 0o755);
        // Where every user can run it.
        let program = dir.path().join("wellcar-node");
        if std::fs::hard_link(PROGRAM, &program).is_err() {
            std::fs::copy(PROGRAM, &program).unwrap();
        }
        std::fs::write(dir.path().join("passwd"), PASSWD).unwrap();
        std::fs::write(dir.path().join("group"), GROUP).unwrap();
        let bench = Self { dir, program };
        let listener = UnixListener::bind(bench.socket()).unwrap();
        open_to_all(&bench.socket(), 0o666);
        let log = File::create(bench.dir.path().join("log")).unwrap();
        let (program, etc) = (bench.program.clone(), bench.dir.path().to_owned());
        std::thread::spawn(move || {
            let mut servers = Vec::new();
            for connection in listener.incoming() {
                let server = Cmd::new(&program)
                    .args(["sudo-serve", "--etc"])
                    .arg(&etc)
                    .stdin_file(OwnedFd::from(connection.unwrap()).into())
                    .stdout_null()
                    .stderr_file(log.try_clone().unwrap());
                servers.push(server.spawn().unwrap());
            }
        });
        Some(bench)
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("sock")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap()
    }

    /// `sudo` as this user.
    fn sudo(&self, uid: u32, words: &[&str]) -> Cmd {
        Cmd::new(&self.program)
            .arg("sudo-at")
            .arg(self.socket())
            .args(words)
            .identity(&Identity { uid, gid: uid, groups: vec![uid] })
            .timeout(LIMIT)
    }

    fn run(&self, words: &[&str]) -> Output {
        self.sudo(CORE, words).run_any().unwrap()
    }
}

fn open_to_all(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn ended(output: &Output) -> (Option<i32>, String, String) {
    let stderr = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    (output.status.code(), output.stdout_text(), stderr)
}

fn done(code: i32, stdout: &str, stderr: &str) -> (Option<i32>, String, String) {
    (Some(code), stdout.to_owned(), stderr.to_owned())
}

fn line(from: &mut impl std::io::Read) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while from.read(&mut byte).unwrap_or(0) == 1 && byte != *b"\n" {
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

fn exit_code(mut child: Child) -> Option<i32> {
    child.wait(Some(LIMIT)).unwrap().expect("ends in time").code()
}

#[test]
fn the_exit_code_is_the_commands() {
    let Some(bench) = Bench::new() else { return };
    assert_eq!(ended(&bench.run(&["-n", "id", "-u"])), done(0, "0", ""));
    assert_eq!(ended(&bench.run(&["sh", "-c", "echo out; echo err >&2; exit 42"])), done(42, "out", "err"));
    assert_eq!(ended(&bench.run(&["sh", "-c", "kill -KILL $$"])), done(137, "", ""));
    assert_eq!(ended(&bench.run(&["-v"])), done(0, "", ""));
    assert_eq!(ended(&bench.run(&["nope"])), done(1, "", "sudo: nope: command not found"));
    assert_eq!(
        ended(&bench.run(&["/etc/passwd"])),
        done(1, "", "sudo: unable to run /etc/passwd: Permission denied (os error 13)")
    );
    assert_eq!(ended(&bench.run(&["-u", "nope", "id"])), done(1, "", "sudo: unknown user nope"));
    let log = bench.log();
    assert!(log.contains("<5>core ran sh as root, arguments: 2\n"), "{log}");
    assert!(!log.contains("echo"), "no arguments: {log}");
}

#[test]
fn others_are_refused() {
    let Some(bench) = Bench::new() else { return };
    let refused = "sudo: nobody may not run commands as another user: not in the group sudo or wheel";
    for words in [["-n", "id"], ["-u", "nobody"], ["-n", "-v"], ["-n", "-l"]] {
        let words = if words[0] == "-u" { vec!["-u", "nobody", "id"] } else { words.to_vec() };
        assert_eq!(ended(&bench.sudo(NOBODY, &words).run_any().unwrap()), done(1, "", refused));
    }
    // A request larger than the socket holds is refused with the same words.
    let long = "x".repeat(100_000);
    let words = ["echo", &long, &long, &long, &long, &long];
    assert_eq!(ended(&bench.sudo(NOBODY, &words).run_any().unwrap()), done(1, "", refused));
    assert!(bench.log().contains("<4>refused: nobody may not"));
    let unknown = bench.sudo(4711, &["id"]).run_any().unwrap();
    assert!(ended(&unknown).2.starts_with("sudo: user 4711 may not"), "{unknown:?}");
    assert_eq!(ended(&bench.sudo(501, &["id", "-u"]).run_any().unwrap()), done(0, "0", ""));
    assert_eq!(ended(&bench.sudo(0, &["id", "-u"]).run_any().unwrap()), done(0, "0", ""));
}

#[test]
fn commands_run_as_other_users_where_and_as_asked() {
    let Some(bench) = Bench::new() else { return };
    let ids = "id -u; id -g; id -G; umask; pwd";
    let output = bench.sudo(CORE, &["-u", "nobody", "sh", "-c", ids]).cwd("/usr").run_any().unwrap();
    assert_eq!(ended(&output), done(0, "65534\n65534\n65534 999\n0022\n/usr", ""));
    let output = bench.sudo(CORE, &["-g", "docker", "sh", "-c", ids]).cwd("/usr").run_any().unwrap();
    assert_eq!(ended(&output), done(0, "500\n999\n999 27 500\n0022\n/usr", ""));
    assert_eq!(ended(&bench.run(&["-D", "/usr/bin", "pwd"])), done(0, "/usr/bin", ""));
    assert_eq!(ended(&bench.run(&["-D", "/no", "pwd"])), done(1, "", "sudo: /no: no such directory"));
    assert_eq!(ended(&bench.run(&["-iu", "core", "pwd; echo $0 '$HOME'"])).0, Some(127), "one word");
    assert_eq!(
        ended(&bench.run(&["-iu", "core", "echo", "$0", "a;b", "$HOME"])),
        done(0, "-sh a;b /tmp", "")
    );
    let output =
        bench.sudo(CORE, &["A=b c", "env"]).env("SECRET", "1").env("TERM", "vt100").run_any().unwrap();
    let (code, text, _) = ended(&output);
    let mut names: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.sort_unstable();
    names.retain(|name| !name.starts_with("LC_") && !name.starts_with("LANG") && *name != "NO_COLOR");
    assert_eq!(code, Some(0));
    assert_eq!(
        names.join(" "),
        "A HOME LOGNAME PATH SHELL SUDO_COMMAND SUDO_GID SUDO_UID SUDO_USER TERM USER"
    );
}

#[test]
fn streams_are_the_clients() {
    let Some(bench) = Bench::new() else { return };
    let bytes: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let output = bench.sudo(CORE, &["cat"]).stdin_bytes(bytes.clone()).run_any().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout == bytes);
}

#[test]
fn long_command_lines_pass() {
    let Some(bench) = Bench::new() else { return };
    let word = "w".repeat(50);
    let mut words = vec!["sh", "-c", "echo $#", "sh"];
    words.resize(words.len() + 20_000, &word);
    assert_eq!(ended(&bench.run(&words)), done(0, "20000", ""));
}

/// Whether this process, and so what it starts, ignores SIGINT, as a shell's background jobs do: a shell
/// in the command cannot trap it then.
fn interrupts_are_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap().trim().to_owned();
    let ignored = u64::from_str_radix(&mask, 16).unwrap() & 2 != 0;
    if ignored {
        println!("skipped: SIGINT is ignored here");
    }
    ignored
}

#[test]
fn signals_are_passed_on() {
    let Some(bench) = Bench::new() else { return };
    if interrupts_are_ignored() {
        return;
    }
    let script = "trap 'exit 9' TERM; trap 'exit 8' INT; echo ready; while :; do sleep 1; done";
    for (signal, code) in [(rustix::process::Signal::TERM, 9), (rustix::process::Signal::INT, 8)] {
        let mut client = bench.sudo(CORE, &["sh", "-c", script]).stdout_piped().spawn().unwrap();
        let mut out = client.take_stdout().unwrap();
        assert_eq!(line(&mut out), "ready");
        client.signal(signal).unwrap();
        assert_eq!(exit_code(client), Some(code));
    }
    // What `nohup` ignores stays ignored; the end of this test is the end of the pipe.
    let (reader, writer) = std::io::pipe().unwrap();
    let script = "trap '' HUP; exec \"$@\"";
    let socket = bench.socket();
    let mut client = Cmd::new("sh")
        .args(["-c", script, "sh"])
        .arg(&bench.program)
        .arg("sudo-at")
        .arg(&socket)
        .args(["sh", "-c", "echo ready; read end; exit 5"])
        .stdin_file(OwnedFd::from(reader).into())
        .stdout_piped()
        .spawn()
        .unwrap();
    let mut out = client.take_stdout().unwrap();
    assert_eq!(line(&mut out), "ready");
    client.signal(rustix::process::Signal::HUP).unwrap();
    drop(writer);
    assert_eq!(exit_code(client), Some(5));
}

#[test]
fn a_command_ends_with_its_client() {
    let Some(bench) = Bench::new() else { return };
    let script = "trap 'echo hung up; exit' HUP; echo ready; while :; do sleep 1; done";
    let mut client = bench.sudo(CORE, &["sh", "-c", script]).stdout_piped().spawn().unwrap();
    let mut out = client.take_stdout().unwrap();
    assert_eq!(line(&mut out), "ready");
    client.kill().unwrap();
    assert_eq!(line(&mut out), "hung up");
    assert_eq!(line(&mut out), "", "the end");
    // One that does not listen is killed.
    let script = "trap '' HUP; echo ready; while :; do sleep 1; done";
    let mut client = bench.sudo(CORE, &["sh", "-c", script]).stdout_piped().spawn().unwrap();
    let mut out = client.take_stdout().unwrap();
    assert_eq!(line(&mut out), "ready");
    client.kill().unwrap();
    assert_eq!(line(&mut out), "", "the end");
}

#[test]
fn a_command_in_the_background_goes_on() {
    let Some(bench) = Bench::new() else { return };
    let (reader, writer) = std::io::pipe().unwrap();
    let mut client = bench
        .sudo(CORE, &["-b", "sh", "-c", "read word; echo $word"])
        .stdin_file(OwnedFd::from(reader).into())
        .stdout_piped()
        .spawn()
        .unwrap();
    let mut out = client.take_stdout().unwrap();
    assert_eq!(exit_code(client), Some(0));
    File::from(OwnedFd::from(writer)).write_all(b"later\n").unwrap();
    assert_eq!(line(&mut out), "later");
}

#[test]
fn nonsense_ends_the_connection() {
    let Some(bench) = Bench::new() else { return };
    let huge = b"WSUD\x01\x01\x00\x00\xff\xff\xff\xff".as_slice();
    let empty = b"WSUD\x01\x01\x00\x00\x00\x00\x00\x00".as_slice();
    let early = b"WSUD\x01\x02\x00\x00\x04\x00\x00\x00\x0f\x00\x00\x00".as_slice();
    for bytes in [b"GET / HTTP/1.1\r\n\r\n".as_slice(), huge, empty, early, b"WSUD"] {
        let mut connection = UnixStream::connect(bench.socket()).unwrap();
        connection.write_all(bytes).unwrap();
        connection.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        assert_eq!(answer, b"", "{bytes:02x?}");
    }
    // A request without its streams, and one with too many.
    let payload = [0; 33];
    let frame = [b"WSUD\x01\x01\x00\x00\x21\x00\x00\x00".as_slice(), &payload].concat();
    for count in [0, 4] {
        let mut connection = UnixStream::connect(bench.socket()).unwrap();
        let null = File::open("/dev/null").unwrap();
        sys::handover::send(&connection, &frame, &vec![null.as_fd(); count]).unwrap();
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        assert_eq!(answer, b"", "{count} streams");
    }
    let log = bench.log();
    assert!(log.contains("streams with the request") && !log.contains("panicked"), "{log}");
    assert_eq!(ended(&bench.run(&["id", "-u"])), done(0, "0", ""));
}

/// A client at a terminal of its own.
fn at_terminal(bench: &Bench, words: &[&str]) -> (Child, File, OwnedFd) {
    let pty = Pty::open().unwrap();
    let size = rustix::termios::Winsize { ws_row: 17, ws_col: 71, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&pty.master, size).unwrap();
    // The terminal's owner can read and write it.
    let owner = Some(rustix::fs::Uid::from_raw(CORE));
    rustix::fs::fchown(&pty.slave, owner, None).unwrap();
    let slave = || File::from(pty.slave.try_clone().unwrap());
    let client = bench
        .sudo(CORE, words)
        .stdin_file(slave())
        .stdout_file(slave())
        .stderr_file(slave())
        .terminal_session()
        .spawn()
        .unwrap();
    (client, File::from(pty.master), pty.slave)
}

fn is_raw(terminal: &OwnedFd) -> bool {
    let attributes = rustix::termios::tcgetattr(terminal).unwrap();
    !attributes.local_modes.contains(rustix::termios::LocalModes::ICANON)
}

#[test]
fn a_terminal_is_carried_over() {
    let Some(bench) = Bench::new() else { return };
    let script = "test -t 2 && stty size </dev/tty; stat -c %u $(tty); read word; echo got $word; exit 3";
    let (client, mut master, slave) = at_terminal(&bench, &["-u", "nobody", "sh", "-c", script]);
    assert_eq!(line(&mut master), "17 71\r");
    assert_eq!(line(&mut master), "65534\r", "the terminal is the command's user's");
    assert!(is_raw(&slave));
    master.write_all(b"hello\r").unwrap();
    assert_eq!(line(&mut master), "hello\r", "the echo");
    assert_eq!(line(&mut master), "got hello\r");
    assert_eq!(exit_code(client), Some(3));
    assert!(!is_raw(&slave), "as it was");

    // A large output arrives whole, and the last of it too.
    let (client, mut master, slave) = at_terminal(&bench, &["sh", "-c", "seq 1 50000; exit 4"]);
    for number in 1..=50_000 {
        assert_eq!(line(&mut master), format!("{number}\r"));
    }
    assert_eq!(exit_code(client), Some(4));
    assert!(!is_raw(&slave));
}

#[test]
fn keys_and_window_changes_reach_the_command() {
    let Some(bench) = Bench::new() else { return };
    if interrupts_are_ignored() {
        return;
    }
    let script = "trap 'stty size' WINCH; trap 'echo stopped; exit 6' INT; echo ready; \
                  while :; do sleep 0.1; done";
    let (client, mut master, slave) = at_terminal(&bench, &["sh", "-c", script]);
    assert_eq!(line(&mut master), "ready\r");
    let size = rustix::termios::Winsize { ws_row: 30, ws_col: 90, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&master, size).unwrap();
    // The first change may be the one that gave the terminal its size.
    let mut seen = line(&mut master);
    while seen != "30 90\r" {
        assert_eq!(seen, "17 71\r");
        seen = line(&mut master);
    }
    master.write_all(b"\x03").unwrap();
    assert_eq!(line(&mut master), "^Cstopped\r");
    assert_eq!(exit_code(client), Some(6));
    assert!(!is_raw(&slave));

    // A terminal that is closed ends the command.
    let (mut client, mut master, slave) =
        at_terminal(&bench, &["sh", "-c", "echo ready; while :; do sleep 0.1; done"]);
    assert_eq!(line(&mut master), "ready\r");
    drop((master, slave));
    assert!(client.wait(Some(LIMIT)).unwrap().is_some());
}
