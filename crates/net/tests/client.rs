//! The rules of a fetch over a scripted transport: limits, retries, resumption, redirects.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test: a panic is its report")]

use net::{
    Client, FetchError, Memory, Policy, Reply, Request, Scheme, Transport, TransportError, Url, Waiter,
};
use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the next request meets.
enum Step {
    Reply(Reply),
    Fail,
    Permanent,
}

#[derive(Default)]
struct State {
    steps: VecDeque<Step>,
    requests: Vec<String>,
    waits: Vec<Duration>,
}

#[derive(Clone, Default)]
struct Script(Arc<Mutex<State>>);

impl Transport for Script {
    fn get(&self, request: &Request<'_>) -> Result<Reply, TransportError> {
        let mut state = self.0.lock().unwrap();
        let headers = request.headers.len();
        state.requests.push(format!("{} {} {:?} {headers}", request.url, request.from, request.if_range));
        match state.steps.pop_front().expect("no more requests are expected") {
            Step::Reply(reply) => Ok(reply),
            Step::Fail => Err(TransportError::Connection("refused".into())),
            Step::Permanent => Err(TransportError::Permanent("certificate".into())),
        }
    }
}

impl Waiter for Script {
    fn wait(&self, duration: Duration) -> bool {
        let mut state = self.0.lock().unwrap();
        state.waits.push(duration);
        state.waits.len() < 20
    }
}

/// A body that breaks off.
struct Broken(&'static [u8]);

impl Read for Broken {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::Error::other("reset")),
            count => Ok(count),
        }
    }
}

fn reply(status: u16, from: u64, body: impl Read + Send + 'static) -> Reply {
    Reply {
        status,
        from,
        length: None,
        version: Some("\"v1\"".into()),
        location: None,
        retry_after: None,
        body: Box::new(body),
    }
}

fn ok(body: &'static str) -> Step {
    Step::Reply(reply(200, 0, body.as_bytes()))
}

fn redirect(to: &str) -> Step {
    Step::Reply(Reply { location: Some(to.into()), ..reply(302, 0, io::empty()) })
}

fn run(url: &str, policy: &Policy, steps: Vec<Step>) -> (Result<String, FetchError>, Script) {
    let script = Script::default();
    script.0.lock().unwrap().steps = steps.into();
    let client = Client::new(script.clone(), script.clone());
    let result =
        client.fetch(&Url::parse(url).unwrap(), policy).map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(script.0.lock().unwrap().steps.is_empty(), "every step is used");
    (result, script)
}

const URL: &str = "https://a.example/f";

#[test]
fn an_interrupted_transfer_goes_on_where_it_was() {
    let steps = vec![
        Step::Fail,
        Step::Reply(reply(200, 0, Broken(b"one "))),
        Step::Reply(reply(206, 4, Broken(b"two "))),
        Step::Reply(Reply { length: Some(5), ..reply(206, 8, &b"three"[..]) }),
    ];
    let (result, script) = run(URL, &Policy::default(), steps);
    assert_eq!(result.unwrap(), "one two three");
    let state = script.0.lock().unwrap();
    assert_eq!(state.requests[3], "https://a.example/f 8 Some(\"\\\"v1\\\"\") 0");
    assert_eq!(state.waits.len(), 3);
}

#[test]
fn a_server_without_ranges_starts_again() {
    let steps = vec![Step::Reply(reply(200, 0, Broken(b"one "))), ok("all")];
    assert_eq!(run(URL, &Policy::default(), steps).0.unwrap(), "all");
    let steps =
        vec![Step::Reply(reply(200, 0, Broken(b"one "))), Step::Reply(reply(206, 2, &b"xx"[..])), ok("all")];
    assert_eq!(run(URL, &Policy::default(), steps).0.unwrap(), "all");
    let steps =
        vec![Step::Reply(reply(200, 0, Broken(b"one "))), Step::Reply(reply(416, 0, io::empty())), ok("all")];
    assert_eq!(run(URL, &Policy::default(), steps).0.unwrap(), "all");
}

#[test]
fn attempts_without_progress_end() {
    let steps = || (0..5).map(|_| Step::Fail).collect();
    let (result, script) = run(URL, &Policy::default(), steps());
    assert_eq!(result.unwrap_err().to_string(), "failed to fetch `https://a.example/f` in 5 attempts");
    let waits = script.0.lock().unwrap().waits.clone();
    assert_eq!(waits.len(), 4);
    assert!(waits.iter().all(|wait| *wait <= Policy::default().backoff_cap));
    let steps = vec![Step::Permanent];
    assert!(matches!(run(URL, &Policy::default(), steps).0, Err(FetchError::Network { attempts: 1, .. })));
    let busy = Step::Reply(Reply { retry_after: Some(Duration::from_secs(3)), ..reply(503, 0, io::empty()) });
    let (result, script) = run(URL, &Policy::default(), vec![busy, ok("x")]);
    assert_eq!(result.unwrap(), "x");
    assert_eq!(script.0.lock().unwrap().waits, [Duration::from_secs(3)]);
}

#[test]
fn limits_hold_with_and_without_a_length() {
    let policy = Policy { max_bytes: 4, ..Policy::default() };
    let declared = Step::Reply(Reply { length: Some(5), ..reply(200, 0, io::empty()) });
    for step in [declared, ok("12345")] {
        assert!(matches!(run(URL, &policy, vec![step]).0, Err(FetchError::TooLarge { limit: 4, .. })));
    }
    assert_eq!(run(URL, &policy, vec![ok("1234")]).0.unwrap(), "1234");
    let short = || Step::Reply(Reply { length: Some(3), ..reply(200, 0, &b"12"[..]) });
    let rest = Step::Reply(reply(206, 2, &b"3"[..]));
    assert_eq!(run(URL, &policy, vec![short(), rest]).0.unwrap(), "123");
}

#[test]
fn redirects_are_followed_with_care() {
    let policy = Policy { headers: vec![("Token".into(), "x".into())], ..Policy::default() };
    let (result, script) = run(URL, &policy, vec![redirect("/g"), redirect("https://b.example/h"), ok("x")]);
    assert_eq!(result.unwrap(), "x");
    let requests = script.0.lock().unwrap().requests.clone();
    assert_eq!(requests[1], "https://a.example/g 0 None 1");
    assert_eq!(requests[2], "https://b.example/h 0 None 0", "headers stay with the first host");
    for target in ["http://a.example/g", "file:///etc/passwd"] {
        assert!(matches!(run(URL, &policy, vec![redirect(target)]).0, Err(FetchError::Downgrade { .. })));
    }
    let open = Policy { allow_file: true, ..Policy::default() };
    assert!(matches!(
        run("http://a.example/", &open, vec![redirect("file:///etc/passwd")]).0,
        Err(FetchError::Downgrade { .. })
    ));
    assert_eq!(run("http://a.example/", &open, vec![redirect(URL), ok("x")]).0.unwrap(), "x");
    let loops = (0..=Policy::default().redirects).map(|_| redirect(URL)).collect();
    assert!(matches!(run(URL, &policy, loops).0, Err(FetchError::Redirects { .. })));
    assert!(matches!(run(URL, &policy, vec![redirect("gopher://x")]).0, Err(FetchError::Location { .. })));
}

#[test]
fn other_answers_are_errors_at_once() {
    let (result, _) = run(URL, &Policy::default(), vec![Step::Reply(reply(404, 0, io::empty()))]);
    let error = result.unwrap_err();
    assert!(error.is_missing());
    assert_eq!(error.to_string(), "failed to fetch `https://a.example/f`: expected status 200, found 404");
    assert!(matches!(
        run(URL, &Policy::default(), vec![Step::Reply(reply(403, 0, io::empty()))]).0,
        Err(FetchError::Status { status: 403, .. })
    ));
}

#[test]
fn files_only_where_they_are_allowed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a b"), "text").unwrap();
    let url = format!("file://{}/a%20b", folder.path().display());
    assert_eq!(Url::parse(&url).unwrap().scheme(), Scheme::File);
    assert!(matches!(run(&url, &Policy::default(), vec![]).0, Err(FetchError::Scheme { .. })));
    let open = Policy { allow_file: true, ..Policy::default() };
    assert_eq!(run(&url, &open, vec![]).0.unwrap(), "text");
    assert!(run(&format!("{url}x"), &open, vec![]).0.unwrap_err().is_missing());
    assert!(run(&format!("file://{}", folder.path().display()), &open, vec![]).0.unwrap_err().is_missing());
    let client = Client::new(Script::default(), Script::default());
    let mut resumed = Memory(b"te".to_vec());
    client.fetch_to(&Url::parse(&url).unwrap(), &open, &mut resumed, &mut |_| {}).unwrap();
    assert_eq!(resumed.0, b"text");
}
