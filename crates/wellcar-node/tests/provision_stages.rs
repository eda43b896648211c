//! The stages as an outside harness runs them: one process a stage, on a directory or on a loop device, looked at
//! with sgdisk and blkid. Needs root; what a machine cannot do is skipped with the reason.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

struct Bench {
    dir: tempfile::TempDir,
    env: Vec<(&'static str, String)>,
}

impl Bench {
    fn new(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("root/etc")).unwrap();
        fs::create_dir_all(dir.path().join("oem")).unwrap();
        let bench = Self { dir, env: Vec::new() };
        bench.config(config);
        bench
    }

    fn config(&self, text: &str) {
        fs::write(self.dir.path().join("config.ign"), text).unwrap();
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.root().join(path)).unwrap()
    }

    fn stage(&self, stage: &str, extra: &[&str]) -> Output {
        let root = if matches!(stage, "mount" | "files" | "umount") { self.root() } else { PathBuf::new() };
        Command::new(env!("CARGO_BIN_EXE_wellcar-node"))
            .args(["provision", "-platform", "file", "-log-to-stdout", "-stage", stage, "-root"])
            .arg(root)
            .args([
                "-config-cache",
                "cache.json",
                "-neednet",
                "neednet",
                "-state-file",
                "state",
                "-report",
                "report.json",
            ])
            .args(extra)
            .current_dir(self.dir.path())
            .env("PATH", search())
            .env("IGNITION_CONFIG_FILE", "config.ign")
            .env("IGNITION_SYSTEM_CONFIG_DIR", self.dir.path().join("system"))
            .env("IGNITION_OEM_LOOKASIDE_DIR", self.dir.path().join("oem"))
            .env("WELLCAR_CMDLINE", self.dir.path().join("cmdline"))
            .env("WELLCAR_DEVICE_TIMEOUT", "5")
            .envs(self.env.iter().cloned())
            .output()
            .unwrap()
    }

    #[track_caller]
    fn good(&self, stage: &str) -> String {
        let out = self.stage(stage, &[]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert!(out.status.success(), "{stage}: {text}{}", String::from_utf8_lossy(&out.stderr));
        assert!(!text.contains("CRITICAL") && !text.contains("panic"), "{text}");
        text
    }

    #[track_caller]
    fn bad(&self, stage: &str, code: i32) -> String {
        let out = self.stage(stage, &[]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.code(), Some(code), "{stage}: {text}");
        assert!(text.starts_with("CRITICAL") || text.contains("\nCRITICAL"), "{text}");
        let report: serde_json::Value =
            serde_json::from_slice(&fs::read(self.dir.path().join("report.json")).unwrap()).unwrap();
        assert_eq!(report["stage"], stage);
        text
    }

    fn tree(&self) -> Vec<String> {
        let mut out = Vec::new();
        let mut todo = vec![self.root()];
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                let shown = path.strip_prefix(self.root()).unwrap().display().to_string();
                let what = if meta.is_symlink() {
                    fs::read_link(&path).unwrap().display().to_string()
                } else if meta.is_dir() {
                    todo.push(path);
                    String::new()
                } else {
                    String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned()
                };
                if shown != "var" && shown != "var/lib" && !shown.starts_with("var/lib/wellcar") {
                    out.push(format!("{shown} {:o} {}:{} {what}", meta.mode(), meta.uid(), meta.gid()));
                }
            }
        }
        out.sort();
        out
    }
}

fn root_user() -> bool {
    let is = rustix::process::getuid().is_root();
    if !is {
        eprintln!("skipped: only root can write owners");
    }
    is
}

const USERS: &str = r#"{"ignition":{"version":"3.4.0"},
 "passwd":{"groups":[{"name":"db","gid":777}],
  "users":[{"name":"core","sshAuthorizedKeys":["ssh-ed25519 AAAA me"]},
           {"name":"ann","passwordHash":"$6$secret","groups":["docker","db"],"sshAuthorizedKeys":["k1","k2"]}]},
 "storage":{
  "directories":[{"path":"/opt/d","mode":448,"user":{"name":"ann"}}],
  "files":[{"path":"/etc/hostname","contents":{"source":"data:,node1"},"overwrite":true},
           {"path":"/etc/motd","append":[{"source":"data:,more"}]},
           {"path":"/home/ann/f","user":{"name":"ann"},"group":{"name":"db"},"contents":{"source":"data:,hi"}}],
  "links":[{"path":"/etc/localtime","target":"/usr/share/zoneinfo/UTC"},{"path":"/opt/hard","target":"/etc/hostname","hard":true}]},
 "systemd":{"units":[{"name":"hello.service","enabled":true,"contents":"[Install]\nWantedBy=multi-user.target\n","dropins":[{"name":"10.conf","contents":"[Service]\n"}]},
   {"name":"sshd.service","enabled":true},{"name":"echo@a.service","enabled":true},{"name":"echo@b.service","enabled":true},
   {"name":"locksmithd.service","mask":true},{"name":"old.service","enabled":false}]}}"#;

fn with_image(bench: &Bench) {
    let write = |path: &str, text: &str| {
        let path = bench.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\ncore:x:500:500::/home/core:/bin/bash\n");
    write("etc/shadow", "root:*:1::::::\ncore:*:1::::::\n");
    write("etc/group", "root:x:0:\nshadow:x:42:\ndocker:x:233:core\ncore:x:500:\n");
    write("etc/motd", "base\n");
    write("etc/skel/.bashrc", "# skel\n");
    write(
        "usr/lib/systemd/system/ssh.service",
        "[Install]\nWantedBy=multi-user.target\nAlias=sshd.service\n",
    );
    write("usr/lib/systemd/system/echo@.service", "[Install]\nWantedBy=echo.target\n");
    write("usr/lib/systemd/system/old.service", "[Install]\nWantedBy=multi-user.target\n");
    std::os::unix::fs::symlink("ssh.service", bench.root().join("usr/lib/systemd/system/sshd.service"))
        .unwrap();
    let wants = bench.root().join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wants).unwrap();
    std::os::unix::fs::symlink("/usr/lib/systemd/system/old.service", wants.join("old.service")).unwrap();
}

#[test]
fn files_users_and_units_and_a_second_run_changes_nothing() {
    if !root_user() {
        return;
    }
    let bench = Bench::new(USERS);
    with_image(&bench);
    bench.good("fetch-offline");
    assert!(!bench.dir.path().join("neednet").exists());
    bench.good("files");
    assert_eq!(bench.read("etc/motd"), "base\nmore");
    assert_eq!(bench.read("etc/hostname"), "node1");
    assert!(bench.read("etc/passwd").ends_with("ann:x:1000:1000::/home/ann:/bin/bash\n"));
    assert!(bench.read("etc/shadow").contains("\nann:$6$secret:"));
    let group = bench.read("etc/group");
    assert!(group.contains("docker:x:233:core,ann\n") && group.contains("db:x:777:ann\n"));
    assert_eq!(bench.read("home/ann/.ssh/authorized_keys.d/ignition"), "k1\nk2\n");
    assert_eq!(bench.read("home/ann/.bashrc"), "# skel\n");
    let keys = fs::metadata(bench.root().join("home/core/.ssh/authorized_keys.d/ignition")).unwrap();
    assert_eq!((keys.uid(), keys.gid(), keys.permissions().mode() & 0o777), (500, 500, 0o600));
    let shadow = fs::metadata(bench.root().join("etc/gshadow")).unwrap();
    assert_eq!((shadow.gid(), shadow.permissions().mode() & 0o777), (42, 0o640));
    assert_eq!(
        bench.read("etc/systemd/system-preset/20-ignition.preset"),
        "disable old.service\nenable echo@.service a b\nenable hello.service\nenable sshd.service\n"
    );
    let link = |name: &str| fs::read_link(bench.root().join("etc/systemd/system").join(name)).unwrap();
    assert_eq!(link("multi-user.target.wants/hello.service"), Path::new("/etc/systemd/system/hello.service"));
    assert_eq!(link("multi-user.target.wants/ssh.service"), Path::new("/usr/lib/systemd/system/ssh.service"));
    assert_eq!(link("echo.target.wants/echo@b.service"), Path::new("/usr/lib/systemd/system/echo@.service"));
    assert_eq!(link("locksmithd.service"), Path::new("/dev/null"));
    assert!(
        fs::symlink_metadata(bench.root().join("etc/systemd/system/multi-user.target.wants/old.service"))
            .is_err()
    );

    // A power cut left half of it: the next boot finishes to the same tree.
    let whole = bench.tree();
    fs::remove_file(bench.root().join("etc/hostname")).unwrap();
    fs::remove_dir_all(bench.root().join("opt")).unwrap();
    fs::remove_dir_all(bench.root().join("home/core")).unwrap();
    fs::write(bench.root().join("etc/.wellcar-new-0123456789abcdef"), "torn").unwrap();
    fs::remove_file(bench.root().join("etc/.wellcar-new-0123456789abcdef")).unwrap();
    bench.good("files");
    assert_eq!(bench.tree(), whole);
    assert!(!bench.root().join("var/lib/wellcar/provisioned.json").exists(), "done before the last stage");
    bench.good("umount");
    let record: serde_json::Value =
        serde_json::from_str(&bench.read("var/lib/wellcar/provisioned.json")).unwrap();
    assert_eq!(record["finished"], true);
    let text = record.to_string();
    assert!(!text.contains("$6$secret") && !text.contains("AAAA"), "the record holds a secret");
    assert!(!bench.root().join("var/lib/wellcar/provisioning.json").exists());
}

#[test]
fn the_plan_prints_before_it_runs() {
    if !root_user() {
        return;
    }
    let bench = Bench::new(USERS);
    with_image(&bench);
    bench.good("fetch");
    let before = bench.tree();
    let out = bench.stage("files", &["--dry-run"]);
    let golden = "stage files: 18 steps
   1  group db  <- config.ign:2:22 $.passwd.groups.0
   2  user core, 1 ssh keys  <- config.ign:3:12 $.passwd.users.0
   3  user ann in docker,db, 2 ssh keys  <- config.ign:4:12 $.passwd.users.1
   4  directory /opt/d 0700 ann:-  <- config.ign:6:18 $.storage.directories.0
   5  file /etc/hostname - -:- (data, 5 bytes), replacing  <- config.ign:7:12 $.storage.files.0
   6  file /etc/motd - -:- + (data, 4 bytes)  <- config.ign:8:12 $.storage.files.1
   7  link /etc/localtime -> /usr/share/zoneinfo/UTC  <- config.ign:10:12 $.storage.links.0
   8  file /home/ann/f - ann:db (data, 2 bytes)  <- config.ign:9:12 $.storage.files.2
   9  hard link /opt/hard -> /etc/hostname  <- config.ign:10:73 $.storage.links.1
  10  file /etc/systemd/system/hello.service.d/10.conf 0644 0:0 (data, 10 bytes), replacing  <- config.ign:11:125 $.systemd.units.0.dropins.0
  11  file /etc/systemd/system/hello.service 0644 0:0 (data, 37 bytes), replacing  <- config.ign:11:22 $.systemd.units.0
  12  enable hello.service  <- config.ign:11:22 $.systemd.units.0
  13  enable sshd.service  <- config.ign:12:4 $.systemd.units.1
  14  enable echo@a.service  <- config.ign:12:43 $.systemd.units.2
  15  enable echo@b.service  <- config.ign:12:84 $.systemd.units.3
  16  mask locksmithd.service  <- config.ign:13:4 $.systemd.units.4
  17  disable old.service  <- config.ign:13:46 $.systemd.units.5
  18  preset: enable [echo@a.service echo@b.service hello.service sshd.service] disable [old.service]  <- $.systemd.units
";
    assert_eq!(String::from_utf8_lossy(&out.stdout), golden);
    assert_eq!(bench.tree(), before, "a dry run wrote something");
}

#[test]
fn failures_name_the_place_and_leave_the_target_alone() {
    if !root_user() {
        return;
    }
    let v = r#""ignition":{"version":"3.4.0"}"#;
    let file = |rest: &str| format!("{{{v},\"storage\":{{\"files\":[{{\"path\":\"/etc/motd\",{rest}}}]}}}}");
    let hash = format!("sha256-{}", "0".repeat(64));
    let cases = [
        (file(r#""contents":{"source":"data:,x"}"#), 1, "a file is there already"),
        (
            file(&format!(
                r#""overwrite":true,"contents":{{"source":"data:,x","verification":{{"hash":"{hash}"}}}}"#
            )),
            3,
            "failed to verify",
        ),
        (
            file(r#""overwrite":true,"contents":{"source":"data:,x","compression":"gzip"}"#),
            3,
            "failed to decompress",
        ),
        (
            file(r#""user":{"name":"nobody-here"},"append":[{"source":"data:,x"}]"#),
            3,
            "failed to find user `nobody-here`",
        ),
        (
            format!(r#"{{{v},"storage":{{"links":[{{"path":"/h","target":"/nope","hard":true}}]}}}}"#),
            3,
            "its target `/nope` is not there",
        ),
        (
            format!(r#"{{{v},"storage":{{"directories":[{{"path":"/etc/motd"}}]}}}}"#),
            1,
            "a file is there already",
        ),
        (
            format!(r#"{{{v},"passwd":{{"users":[{{"name":"ann","groups":["nope"]}}]}}}}"#),
            1,
            "there is no such group",
        ),
        (format!(r#"{{{v},"passwd":{{"users":[{{"name":"toor","uid":0}}]}}}}"#), 1, "`root` has it"),
        (format!(r#"{{{v},"passwd":{{"users":[{{"name":"../x"}}]}}}}"#), 1, "account name"),
    ];
    for (config, code, message) in cases {
        let bench = Bench::new(&config);
        with_image(&bench);
        bench.good("fetch");
        let before = bench.tree();
        let text = bench.bad("files", code);
        assert!(text.contains(message) && text.contains("config.ign:1:"), "{text}");
        assert_eq!(bench.tree(), before, "{config}: the target was touched");
        bench.good("umount");
        assert!(!bench.root().join("var/lib/wellcar/provisioned.json").exists(), "done over a failure");
    }
}

#[test]
fn a_corrected_config_after_a_failed_one() {
    if !root_user() {
        return;
    }
    let v = r#""ignition":{"version":"3.4.0"}"#;
    let bench = Bench::new(&format!(
        r#"{{{v},"storage":{{"files":[{{"path":"/a","contents":{{"source":"data:,1"}}}},{{"path":"/b/c","user":{{"name":"nope"}},"contents":{{"source":"data:,2"}}}}]}}}}"#
    ));
    bench.good("fetch");
    bench.bad("files", 3);
    bench.config(&format!(
        r#"{{{v},"storage":{{"files":[{{"path":"/b/c","contents":{{"source":"data:,3"}}}}]}}}}"#
    ));
    bench.good("fetch");
    bench.good("files");
    assert_eq!(bench.read("b/c"), "3");
    assert!(!bench.root().join("a").exists(), "the wrong config's file is still there");
}

#[test]
fn sources_merging_and_foreign_user_data() {
    if !root_user() {
        return;
    }
    let v = r#""ignition":{"version":"3.4.0"}"#;
    let child =
        format!(r#"{{{v},"storage":{{"files":[{{"path":"/a","contents":{{"source":"data:,child"}}}}]}}}}"#);
    let escaped: String = child.bytes().map(|b| format!("%{b:02x}")).collect();
    let parent = format!(
        r#"{{"ignition":{{"version":"3.4.0","config":{{"merge":[{{"source":"data:,{escaped}"}}]}}}},"storage":{{"files":[{{"path":"/a","contents":{{"source":"data:,parent"}}}},{{"path":"/b","contents":{{"source":"data:,b"}}}}]}}}}"#
    );
    let bench = Bench::new(&parent);
    bench.good("fetch");
    bench.good("files");
    assert_eq!((bench.read("a"), bench.read("b")), ("child".to_owned(), "b".to_owned()));

    // /oem/config.ign comes before the platform, the command line before both.
    fs::write(bench.dir.path().join("oem/config.ign"), "").unwrap();
    assert!(bench.good("fetch").contains("oem/config.ign"));
    fs::write(bench.dir.path().join("cmdline"), "quiet ignition.config.url=oem:///other.ign\n").unwrap();
    fs::write(
        bench.dir.path().join("oem/other.ign"),
        r#"{"ignition":{"version":"3.4.0","config":{"merge":[{"source":"oem:///other.ign"}]}}}"#,
    )
    .unwrap();
    assert!(bench.bad("fetch", 3).contains("levels deep"));
    fs::write(bench.dir.path().join("cmdline"), "ignition.config.url=http://192.0.2.1/x\n").unwrap();
    bench.good("fetch-offline");
    assert!(bench.dir.path().join("neednet").exists());

    for text in ["#cloud-config\n", "#!/bin/sh\n", "Content-Type: multipart/mixed; boundary=x\n", "", " \n"] {
        let bench = Bench::new(text);
        bench.good("fetch");
        assert_eq!(bench.good("files"), "");
        bench.good("umount");
        assert!(bench.root().join("var/lib/wellcar/provisioned.json").exists());
    }
    for text in ["{", "{}", "[]", "{\"ignition\":{\"version\":\"9.0.0\"}}", "\u{0}", "variant: flatcar\n"] {
        Bench::new(text).bad("fetch", 1);
    }
}

#[test]
fn outside_account_tools_can_be_named() {
    if !root_user() {
        return;
    }
    let mut bench = Bench::new(
        r#"{"ignition":{"version":"3.4.0"},"passwd":{"users":[{"name":"ann","uid":1234,"groups":["docker"],"noCreateHome":true}]}}"#,
    );
    with_image(&bench);
    let tool = bench.dir.path().join("useradd-stub");
    fs::write(&tool, "#!/bin/sh\necho \"$@\" > \"$2/args\"\necho 'ann:x:1234:100::/home/ann:/bin/sh' >> \"$2/etc/passwd\"\n").unwrap();
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).unwrap();
    bench.env.push(("WELLCAR_USERADD", tool.display().to_string()));
    bench.good("fetch");
    bench.good("files");
    let args = bench.read("args");
    assert!(args.ends_with("--password * --uid 1234 --groups docker --no-create-home ann\n"), "{args}");
}

/// A loop device over a sparse image; taken down when dropped.
struct Loop(String);

impl Loop {
    fn new(image: &Path) -> Option<Self> {
        let out = Command::new("losetup").args(["-fP", "--show"]).arg(image).output().ok()?;
        if !out.status.success() {
            eprintln!("skipped: no loop device");
            return None;
        }
        Some(Self(String::from_utf8_lossy(&out.stdout).trim().to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).output();
    }
}

/// Where programs are looked for: the tests' own first.
fn search() -> String {
    ["WELLCAR_ORACLES", "PATH"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .collect::<Vec<_>>()
        .join(":")
}

fn has(tools: &[&str]) -> bool {
    for tool in tools {
        if Command::new(tool).arg("--version").env("PATH", search()).output().is_err() {
            assert!(std::env::var_os("WELLCAR_REQUIRE_ORACLES").is_none_or(|v| v != "1"), "no {tool}");
            eprintln!("skipped: no {tool}");
            return false;
        }
    }
    true
}

fn output(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).env("PATH", search()).output().unwrap();
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn image(bench: &Bench, bytes: u64) -> PathBuf {
    let path = bench.dir.path().join("disk.img");
    fs::File::options().create(true).truncate(false).write(true).open(&path).unwrap().set_len(bytes).unwrap();
    path
}

#[test]
fn a_disk_is_partitioned_formatted_mounted_and_filled() {
    if !root_user() || !has(&["sgdisk", "blkid", "mkfs.ext4", "partx"]) {
        return;
    }
    let bench = Bench::new("");
    let Some(disk) = Loop::new(&image(&bench, 400 << 20)) else { return };
    let d = &disk.0;
    bench.config(&format!(
        r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{
        "disks":[{{"device":"{d}","wipeTable":true,"partitions":[{{"number":9,"label":"ROOT","sizeMiB":100}},{{"number":1,"label":"data","sizeMiB":64}},{{"label":"rest","sizeMiB":0}}]}}],
        "filesystems":[{{"device":"{d}p1","format":"ext4","label":"data","path":"/var/data","mountOptions":["noatime"]}},{{"device":"{d}p9","format":"ext4","label":"ROOT"}}],
        "files":[{{"path":"/var/data/f","contents":{{"source":"data:,x"}}}}]}}}}"#
    ));
    bench.good("fetch");
    bench.good("disks");
    let table = output("sgdisk", &["-p", d]);
    assert!(
        table.contains("206848          337919   64.0 MiB    8300  data") && table.contains("rest"),
        "{table}"
    );
    assert!(output("sgdisk", &["-v", d]).contains("No problems found"));
    assert_eq!(output("blkid", &["-p", "-s", "LABEL", "-o", "value", &format!("{d}p9")]).trim(), "ROOT");
    let uuid = output("blkid", &["-p", "-s", "UUID", "-o", "value", &format!("{d}p1")]);
    bench.good("disks");
    assert_eq!(
        uuid,
        output("blkid", &["-p", "-s", "UUID", "-o", "value", &format!("{d}p1")]),
        "a second run made it anew"
    );
    bench.good("mount");
    bench.good("mount");
    bench.good("files");
    assert_eq!(bench.read("var/data/f"), "x");
    bench.good("umount");
    assert!(!bench.root().join("var/data/f").exists(), "still mounted");
    assert!(bench.root().join("var/lib/wellcar/provisioned.json").exists());

    // What is there and does not match is refused, without a change.
    bench.config(&format!(
        r#"{{"ignition":{{"version":"3.4.0"}},"storage":{{"filesystems":[{{"device":"{d}p1","format":"xfs"}}]}}}}"#
    ));
    bench.good("fetch");
    assert!(bench.bad("disks", 1).contains("expected xfs, found ext4 label `data`"));
    assert_eq!(uuid, output("blkid", &["-p", "-s", "UUID", "-o", "value", &format!("{d}p1")]));
}

#[test]
fn root_is_made_and_fills_the_disk() {
    if !root_user() || !has(&["sgdisk", "blkid", "mkfs.ext4", "partx"]) {
        return;
    }
    let mut bench = Bench::new("");
    let path = image(&bench, 300 << 20);
    let file = path.display().to_string();
    output(
        "sgdisk",
        &["-n1:2048:+20M", "-c1:EFI-SYSTEM", "-n3:0:+10M", "-c3:USR-A", "-n9:0:+8M", "-c9:ROOT", &file],
    );
    let guid = |disk: &str| {
        output("sgdisk", &["-p", disk]).lines().find(|l| l.contains("identifier")).unwrap().to_owned()
    };
    let (old, slot) = (guid(&file), output("sgdisk", &["-i3", &file]));
    image(&bench, 1 << 30);
    let Some(disk) = Loop::new(&path) else { return };
    bench.env.push(("WELLCAR_SYSTEM_DISK", disk.0.clone()));
    bench.good("fetch");
    bench.good("disks");
    let d = &disk.0;
    let root = output("sgdisk", &["-i9", d]);
    assert!(root.contains("Last sector: 2095103"), "{root}");
    assert_eq!(output("sgdisk", &["-i3", d]), slot, "a slot's entry was touched");
    assert!(output("sgdisk", &["-v", d]).contains("No problems found"));
    let new = guid(d);
    assert_ne!(new, old, "the disk GUID is not unique");
    let uuid = output("blkid", &["-p", "-s", "UUID", "-s", "LABEL", "-o", "value", &format!("{d}p9")]);
    assert!(uuid.contains("ROOT"));
    bench.good("disks");
    assert_eq!(uuid, output("blkid", &["-p", "-s", "UUID", "-s", "LABEL", "-o", "value", &format!("{d}p9")]));
    assert_eq!(guid(d), new, "the second boot changed the disk");
}
