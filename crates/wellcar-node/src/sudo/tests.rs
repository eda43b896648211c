//! Tests of what decides: frames, requests, flags, accounts, environments, plans.

use super::accounts::Accounts;
use super::flags::{self, FlagError, Invocation};
use super::frame::{Decoder, Frame, FrameError, Kind, MAX_REQUEST};
use super::message::{End, MessageError, Request, Word, parse_signal};
use super::plan::{self, Permitted, Plan, PlanError};
use proptest::prelude::*;
use std::path::Path;

const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/bash
# a comment:x:0:0::/:/bin/sh
broken:x:zero:0::/:/bin/sh
short:x:7
core:x:500:500:Administrator:/home/core:/bin/bash
wheely:x:501:501::/home/wheely:
primary:x:502:27::/home/primary:/bin/sh
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
+compat:x:503:27::/:/bin/sh
";
const GROUP: &str = "\
root:x:0:
sudo:x:27:core,broken
wheel:x:10:wheely
docker:x:999:core,nobody
sudoers:x:28:nobody
-sudo:x:65534:
core:x:500:
";

fn words(line: &str) -> Vec<Word> {
    line.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
}

fn asked(line: &str) -> Request {
    match flags::parse(words(line)).unwrap() {
        Invocation::Ask { request, .. } => *request,
        other => panic!("{line}: {other:?}"),
    }
}

fn core() -> Permitted {
    plan::permit(&accounts(), 500, 500).unwrap()
}

fn accounts() -> Accounts {
    Accounts::parse(PASSWD, GROUP)
}

fn planned(line: &str, environment: &[&str]) -> Result<Plan, PlanError> {
    let mut request = asked(line);
    request.cwd = b"/srv".to_vec();
    request.environment = environment.iter().map(|word| word.as_bytes().to_vec()).collect();
    plan::plan(&request, &core(), &accounts())
}

#[test]
fn only_root_and_two_groups_are_permitted() {
    for (uid, gid, may) in [(0, 0, true), (500, 500, true), (501, 501, true), (502, 27, true)] {
        assert_eq!(plan::permit(&accounts(), uid, gid).is_ok(), may, "{uid}");
    }
    // Not by another group, not by a process's own group id, not when unknown.
    for (uid, gid) in [(65534, 65534), (65534, 27), (503, 27), (4711, 27)] {
        assert!(matches!(plan::permit(&accounts(), uid, gid), Err(PlanError::NotAllowed(_))), "{uid}");
    }
    let lost = Accounts::parse("", "");
    assert_eq!(plan::permit(&lost, 0, 0).unwrap().name, "root");
    assert!(plan::permit(&lost, 500, 27).is_err());
}

#[test]
fn flags_are_the_usual_ones() {
    assert_eq!(asked("id -u").command, words("id -u"));
    assert_eq!(asked("-n -- -odd --x").command, words("-odd --x"));
    let request = asked("-nHEu core -gdocker -D /x A=1 --login B= /a=b c=d -i");
    assert!(request.set_home && request.keep_environment && request.login && !request.shell);
    assert_eq!(request.user.as_deref(), Some(b"core".as_slice()));
    assert_eq!(request.group.as_deref(), Some(b"docker".as_slice()));
    assert_eq!(request.directory.as_deref(), Some(b"/x".as_slice()));
    assert_eq!(request.set, words("A=1 B="));
    assert_eq!(request.command, words("/a=b c=d -i"));
    assert_eq!(asked("--user=#5 --preserve-env=A,B x").keep, words("A B"));
    assert!(asked("--preserve-env x").keep_environment);
    assert!(asked("-k -p prompt -S -C 3 x").command == words("x"));
    assert!(asked("-v").check && asked("-l").check && asked("-s").shell);
    let parse = |line| flags::parse(words(line));
    assert_eq!(parse("-k"), Ok(Invocation::Forget));
    assert_eq!(parse("-K"), Ok(Invocation::Forget));
    assert_eq!(parse("--help x"), Ok(Invocation::Help));
    assert_eq!(parse("-V"), Ok(Invocation::Version));
    assert_eq!(parse(""), Err(FlagError::NoCommand));
    assert_eq!(parse("A=1"), Err(FlagError::NoCommand));
    assert_eq!(parse("-is"), Err(FlagError::TwoShells));
    assert_eq!(parse("-u"), Err(FlagError::NoValue("-u".into())));
    assert_eq!(parse("--user"), Err(FlagError::NoValue("--user".into())));
    assert_eq!(parse("--login=x"), Err(FlagError::Value("--login".into())));
    assert_eq!(parse("-nz x"), Err(FlagError::Unknown("-z".into())));
    assert_eq!(parse("--what x"), Err(FlagError::Unknown("--what".into())));
    assert_eq!(parse("- x"), Err(FlagError::Unknown("-".into())));
    assert_eq!(parse("-e file"), Err(FlagError::Unsupported("-e".into())));
    assert_eq!(parse("-R / x"), Err(FlagError::Unsupported("-R".into())));
}

#[test]
fn the_environment_is_clean() {
    let plan = planned(
        "X=1 LD_PRELOAD=asked.so env",
        &[
            "PATH=/evil",
            "LANG=C.UTF-8",
            "LC_ALL=../../x",
            "TERM=xterm",
            "SECRET=1",
            "HOME=/home/core",
            "=C:=x",
        ],
    )
    .unwrap();
    let shown: Vec<String> = plan
        .environment
        .iter()
        .map(|(name, value)| format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)))
        .collect();
    assert_eq!(
        shown,
        [
            "HOME=/root",
            "LANG=C.UTF-8",
            "LD_PRELOAD=asked.so",
            "LOGNAME=root",
            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/opt/bin",
            "SHELL=/bin/bash",
            "SUDO_COMMAND=env",
            "SUDO_GID=500",
            "SUDO_UID=500",
            "SUDO_USER=core",
            "TERM=xterm",
            "USER=root",
            "X=1",
        ]
    );
}

#[test]
fn a_kept_environment_is_harmless() {
    let environment = [
        "PATH=/evil",
        "LD_PRELOAD=x",
        "BASH_ENV=x",
        "F=() { :; }",
        "SUDO_UID=0",
        "HOME=/home/core",
        "DOCKER_HOST=tcp://x",
        "A=1",
    ];
    let get = |plan: &Plan, name: &str| {
        plan.environment.get(name.as_bytes()).map(|value| String::from_utf8_lossy(value).into_owned())
    };
    let kept = planned("-E env", &environment).unwrap();
    for (name, value) in [
        ("DOCKER_HOST", Some("tcp://x")),
        ("A", Some("1")),
        ("HOME", Some("/home/core")),
        ("SUDO_UID", Some("500")),
        ("PATH", Some(super::environment::PATH)),
        ("LD_PRELOAD", None),
        ("BASH_ENV", None),
        ("F", None),
    ] {
        assert_eq!(get(&kept, name).as_deref(), value, "{name}");
    }
    assert_eq!(get(&planned("-EH env", &environment).unwrap(), "HOME").as_deref(), Some("/root"));
    let some = planned("--preserve-env=DOCKER_HOST,LD_PRELOAD env", &environment).unwrap();
    assert_eq!(get(&some, "DOCKER_HOST").as_deref(), Some("tcp://x"));
    assert_eq!((get(&some, "A"), get(&some, "LD_PRELOAD")), (None, None));
}

#[test]
fn targets_are_users_and_groups() {
    let ids = |line: &str| planned(line, &[]).map(|plan| (plan.user, plan.identity));
    let identity = |uid, gid, groups: &[u32]| sys::process::Identity { uid, gid, groups: groups.to_vec() };
    assert_eq!(ids("id"), Ok(("root".into(), identity(0, 0, &[0]))));
    assert_eq!(ids("-u core id"), Ok(("core".into(), identity(500, 500, &[500, 27, 999]))));
    assert_eq!(ids("-u #65534 id"), Ok(("nobody".into(), identity(65534, 65534, &[65534, 999, 28]))));
    assert_eq!(ids("-g docker id"), Ok(("core".into(), identity(500, 999, &[500, 27, 999]))));
    assert_eq!(ids("-u root -g #7 id"), Ok(("root".into(), identity(0, 7, &[7, 0]))));
    assert_eq!(ids("-u nope id"), Err(PlanError::User("nope".into())));
    assert_eq!(ids("-u #+0 id"), Err(PlanError::User("#+0".into())));
    assert_eq!(ids("-u #4294967295 id"), Err(PlanError::User("#4294967295".into())));
    assert_eq!(ids("-g nope id"), Err(PlanError::Group("nope".into())));
    assert_eq!(ids("broken"), Ok(("root".into(), identity(0, 0, &[0]))));
}

#[test]
fn shells_get_their_command_in_one_word() {
    let command = |line: &str, environment: &[&str]| {
        let plan = planned(line, environment).unwrap();
        let text = |word: &Word| String::from_utf8_lossy(word).into_owned();
        let cwd = plan.cwd.to_string_lossy().into_owned();
        (plan.program, text(&plan.arg0), plan.args.iter().map(text).collect::<Vec<_>>(), cwd)
    };
    let want = |program: &str, arg0: &str, args: &[&str], cwd: &str| {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        (Path::new(program).to_owned(), arg0.to_owned(), args, cwd.to_owned())
    };
    assert_eq!(command("-i", &["SHELL=/bin/zsh"]), want("/bin/bash", "-bash", &[], "/root"));
    assert_eq!(command("-s", &["SHELL=/bin/zsh"]), want("/bin/zsh", "/bin/zsh", &[], "/srv"));
    assert_eq!(command("-s", &["SHELL=zsh"]), want("/bin/bash", "/bin/bash", &[], "/srv"));
    assert_eq!(command("-iu wheely", &[]), want("/bin/sh", "-sh", &[], "/home/wheely"));
    assert_eq!(
        command("-i echo $HOME a;b 'é' x=1", &[]),
        want("/bin/bash", "-bash", &["-c", r"echo $HOME a\;b \'é\' x\=1"], "/root")
    );
    assert_eq!(command("-i -D sub ls", &[]).3, "/srv/sub");
    let odd = Request { shell: true, command: vec![b"a\nb".to_vec(), Vec::new()], ..Request::default() };
    let plan = plan::plan(&odd, &core(), &accounts()).unwrap();
    assert_eq!(plan.args, [b"-c".to_vec(), b"a'\n'b ''".to_vec()]);
    let nothing = Request { command: vec![Vec::new()], ..Request::default() };
    assert_eq!(plan::plan(&nothing, &core(), &accounts()), Err(PlanError::NoCommand));
}

#[test]
fn frames_that_are_none_are_told_by_their_header() {
    let good = Frame::encode(Kind::Signal, &[1, 2, 3]).unwrap();
    let broken = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        decoder.take().unwrap_err()
    };
    assert_eq!(broken(0, b'w'), FrameError::Magic(*b"wSUD"));
    assert_eq!(broken(4, 2), FrameError::Version(2));
    assert_eq!(broken(5, 9), FrameError::Kind(9));
    assert_eq!(broken(7, 1), FrameError::Reserved([0, 1]));
    assert_eq!(broken(11, 1), FrameError::TooLong { limit: 65_536, found: 0x0100_0003 });
    assert!(Frame::encode(Kind::Request, &vec![0; MAX_REQUEST + 1]).is_none());
}

#[test]
fn requests_are_read_exactly() {
    let request = Request { command: words("a b"), terminal: true, ..Request::default() };
    let bytes = request.encode();
    assert_eq!(Request::parse(&bytes), Ok(request));
    for end in 0..bytes.len() {
        assert!(matches!(Request::parse(&bytes[..end]), Err(MessageError::Short(_))), "{end}");
    }
    assert_eq!(Request::parse(&[&bytes[..], b"x"].concat()), Err(MessageError::Long(1)));
    assert_eq!(Request::parse(&[&[0x80], &bytes[1..]].concat()), Err(MessageError::Flags(0x80)));
    let nul = Request { command: vec![vec![b'a', 0]], ..Request::default() };
    assert_eq!(Request::parse(&nul.encode()), Err(MessageError::Nul("the command")));
    // A list that says it is longer than what is there is not allocated.
    assert_eq!(Request::parse(&[0, 255, 255, 255, 255, 0, 0]), Err(MessageError::Short("user")));
    assert_eq!(
        Request::parse(&[0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        Err(MessageError::Many { what: "user", found: 2 })
    );
}

#[test]
fn an_end_becomes_an_exit_code() {
    for (end, code) in [
        (End::Code(0), 0),
        (End::Code(255), 255),
        (End::Signal(9), 137),
        (End::Code(-1), 1),
        (End::Signal(i32::MAX), 1),
    ] {
        assert_eq!(End::parse(&end.encode()), Ok(end));
        assert_eq!(end.exit_code(), code);
    }
    assert_eq!(End::parse(&[2, 0, 0, 0, 0]), Err(MessageError::End(2)));
    assert_eq!(parse_signal(&15_i32.to_le_bytes()), Ok(Some(rustix::process::Signal::TERM)));
    assert_eq!(parse_signal(&(-1_i32).to_le_bytes()), Ok(None));
}

fn word() -> impl Strategy<Value = Word> {
    prop::collection::vec(1_u8.., 0..12)
}

fn list() -> impl Strategy<Value = Vec<Word>> {
    prop::collection::vec(word(), 0..5)
}

prop_compose! {
    fn any_request()(
        flags in any::<[bool; 7]>(),
        (user, group, directory) in (prop::option::of(word()), prop::option::of(word()), prop::option::of(word())),
        cwd in word(),
        (keep, set, command, environment) in (list(), list(), list(), list()),
    ) -> Request {
        let [check, login, shell, keep_environment, set_home, background, terminal] = flags;
        Request {
            check, login, shell, keep_environment, set_home, background, terminal,
            user, group, directory, cwd, keep, set, command, environment,
        }
    }
}

proptest! {
    #[test]
    fn any_request_survives_the_socket(request in any_request(), cut in 1_usize..40) {
        let bytes = Frame::encode(Kind::Request, &request.encode()).unwrap();
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for part in bytes.chunks(cut) {
            decoder.push(part);
            frames.extend(decoder.take().unwrap());
        }
        prop_assert_eq!(frames.len(), 1);
        prop_assert_eq!(frames[0].kind, Kind::Request);
        prop_assert_eq!(Request::parse(&frames[0].payload), Ok(request));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), head in any::<bool>()) {
        let mut decoder = Decoder::default();
        if head {
            decoder.push(b"WSUD\x01");
        }
        decoder.push(&bytes);
        while let Ok(Some(_)) = decoder.take() {}
        let _ = Request::parse(&bytes);
        let _ = End::parse(&bytes);
        let _ = parse_signal(&bytes);
    }

    #[test]
    fn any_broken_request_is_refused_or_planned(request in any_request(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = request.encode();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(request) = Request::parse(&bytes) {
            let _ = plan::plan(&request, &core(), &accounts());
        }
    }

    #[test]
    fn any_words_are_a_command_line_or_not(words in list()) {
        let _ = flags::parse(words);
    }

    #[test]
    fn no_list_of_accounts_makes_it_panic(passwd in "[a-z:0-9,#+\n-]{0,200}", group in "[a-z:0-9,#+\n-]{0,200}", uid: u32) {
        let accounts = Accounts::parse(&passwd, &group);
        let _ = plan::permit(&accounts, uid, uid);
    }
}
