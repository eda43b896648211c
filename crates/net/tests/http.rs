//! The real transport against a server of this test: heads, ranges, redirects, broken transfers, a
//! proxy.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test: a panic is its report")]

use net::{Client, FetchError, HttpTransport, Patience, Policy, Settings, Url};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A server that answers each connection's one request by `answer(request head)`, and keeps the heads.
fn serve(answer: fn(&str) -> Vec<u8>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let head = read_head(&stream);
            kept.lock().unwrap().push(head.clone());
            let _ = stream.write_all(&answer(&head));
        }
    });
    (address, heads)
}

fn read_head(stream: &TcpStream) -> String {
    let mut head = String::new();
    let mut reader = BufReader::new(stream);
    while reader.read_line(&mut head).unwrap_or(0) > 2 {}
    head.to_ascii_lowercase()
}

fn client(settings: Settings) -> Client {
    let transport = HttpTransport::new(settings, Duration::from_secs(5), Duration::from_secs(5)).unwrap();
    Client::new(transport, Patience::default())
}

fn policy() -> Policy {
    Policy { attempts: 3, backoff: Duration::from_millis(1), ..Policy::default() }
}

fn head(status: &str, length: usize, more: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n").into_bytes()
}

#[test]
fn resumes_over_the_wire() {
    let (address, heads) = serve(|request| {
        if request.contains("range: bytes=3-") {
            [head("206 Partial Content", 4, "Content-Range: bytes 3-6/7\r\n"), b"4567".to_vec()].concat()
        } else {
            [head("200 OK", 7, "ETag: \"a\"\r\n"), b"123".to_vec()].concat()
        }
    });
    let url = Url::parse(&format!("http://{address}/file")).unwrap();
    let bytes = client(Settings::default()).fetch(&url, &policy()).unwrap();
    assert_eq!(bytes, b"1234567");
    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 2);
    assert!(heads[1].contains("if-range: \"a\""), "{}", heads[1]);
    assert!(heads[0].contains("accept-encoding: identity"), "{}", heads[0]);
}

#[test]
fn redirects_and_missing_files() {
    let (address, _) = serve(|request| {
        if request.starts_with("get /old") {
            head("302 Found", 0, "Location: /new\r\n")
        } else if request.starts_with("get /new") {
            [head("200 OK", 2, ""), b"ok".to_vec()].concat()
        } else {
            head("404 Not Found", 0, "")
        }
    });
    let client = client(Settings::default());
    let url = |path: &str| Url::parse(&format!("http://{address}{path}")).unwrap();
    assert_eq!(client.fetch(&url("/old"), &policy()).unwrap(), b"ok");
    assert!(client.fetch(&url("/gone"), &policy()).unwrap_err().is_missing());
}

#[test]
fn a_refused_connection_is_tried_again_and_named() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = Url::parse(&format!("http://{address}/")).unwrap();
    let error = client(Settings::default()).fetch(&url, &policy()).unwrap_err();
    assert!(matches!(error, FetchError::Network { attempts: 3, .. }), "{error}");
}

#[test]
fn a_proxy_is_asked_and_exceptions_are_not() {
    let (proxy, heads) = serve(|_| head("502 Bad Gateway", 0, ""));
    let (direct, _) = serve(|_| [head("200 OK", 2, ""), b"ok".to_vec()].concat());
    let settings = Settings::from_env(|name| match name {
        "http_proxy" => Some(format!("http://{proxy}")),
        "no_proxy" => Some("127.0.0.1".into()),
        _ => None,
    })
    .unwrap();
    let client = client(settings);
    let url = Url::parse(&format!("http://{direct}/")).unwrap();
    assert_eq!(client.fetch(&url, &policy()).unwrap(), b"ok");
    assert!(heads.lock().unwrap().is_empty());
    assert!(client.fetch(&Url::parse("http://far.example/").unwrap(), &policy()).is_err());
    assert!(heads.lock().unwrap()[0].contains("far.example"));
}
