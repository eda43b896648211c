//! The configs in `examples/`: each is rendered; the one of the README is booted and answers.

use crate::{environment, node};
use anyhow::{Context as _, Result, ensure};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;
use wellcar_tests::{Group, Setup, Test, TestMachine};

const HELLO: &str = include_str!("../../examples/hello.yaml");
const OTHERS: [(&str, &str); 2] = [
    ("minimal.yaml", include_str!("../../examples/minimal.yaml")),
    ("butane.yaml", include_str!("../../examples/butane.yaml")),
];

pub fn group() -> Group<TestMachine> {
    let tests = vec![
        Test { name: "hello_answers", run: hello_answers },
        Test { name: "no_failed_units", run: node::no_failed_units },
        Test { name: "others_are_valid", run: others_are_valid },
    ];
    Group { name: "examples", setup, tests, finish: node::console_is_clean }
}

fn setup() -> Result<TestMachine> {
    let setup = Setup { forwards: vec![8080], ..Setup::default() };
    TestMachine::boot(environment()?, setup.config("hello.yaml", HELLO))
}

fn hello_answers(machine: &TestMachine) -> Result<()> {
    // The unit is started; its container listens some moments later.
    machine.ok(
        "for i in $(seq 100); do curl -fs -o /dev/null http://127.0.0.1:8080/ && exit; sleep 1; done; exit 1",
    )?;
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, machine.forwarded(8080)?))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("failed to read the container's answer")?;
    ensure!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "found `{answer}`");
    ensure!(answer.ends_with("\r\n\r\nHello from a container on Wellcar\n"), "found `{answer}`");
    Ok(())
}

fn others_are_valid(_: &TestMachine) -> Result<()> {
    for (name, text) in OTHERS {
        wellcar_tests::machine::compile(vec![(name.to_owned(), text.to_owned())])?;
    }
    Ok(())
}
