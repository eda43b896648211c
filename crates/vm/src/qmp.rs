//! QEMU's control connection (QMP): commands out, answers and events in, one JSON value a line.

use crate::error::{Error, Result};
use crate::wait::{Deadline, Inbox, Watched};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The longest line we read, in bytes.
const LINE_LIMIT: u64 = 4 << 20;
/// How long QEMU may take to answer: it does so at once unless the host is overloaded.
const ANSWER: Duration = Duration::from_secs(60);

/// Something QEMU told without being asked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The guest was reset; `guest` says that it did so itself.
    Reset {
        /// By the guest itself.
        guest: bool,
    },
    /// The machine is about to end; `guest` says that the guest powered off.
    Shutdown {
        /// By the guest itself.
        guest: bool,
    },
    /// The watchdog expired.
    Watchdog,
    /// A block device had an I/O error.
    BlockError,
    /// Anything else, by its name.
    Other(String),
}

/// Sorts one line of QMP. `None` is what is neither: the greeting, and what we cannot read.
pub(crate) fn sort(line: &str) -> Option<Message> {
    let value: Value = serde_json::from_str(line).ok()?;
    if let Some(name) = value.get("event").and_then(Value::as_str) {
        let guest = value.pointer("/data/guest").and_then(Value::as_bool).unwrap_or(false);
        return Some(Message::Event(match name {
            "RESET" => Event::Reset { guest },
            "SHUTDOWN" => Event::Shutdown { guest },
            "WATCHDOG" => Event::Watchdog,
            "BLOCK_IO_ERROR" => Event::BlockError,
            other => Event::Other(other.to_owned()),
        }));
    }
    (value.get("return").is_some() || value.get("error").is_some()).then_some(Message::Answer(value))
}

#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    Answer(Value),
    Event(Event),
}

#[derive(Debug, Default)]
struct Received {
    answers: Inbox<Value>,
    events: Vec<Event>,
}

/// The control connection of one machine.
#[derive(Debug)]
pub struct Qmp {
    received: Arc<Watched<Received>>,
    writer: Mutex<UnixStream>,
}

impl Qmp {
    /// Takes a fresh connection; `on_event` is called for each event as it comes.
    pub(crate) fn start(stream: UnixStream, on_event: impl Fn(&Event) + Send + 'static) -> Result<Self> {
        let reader = stream.try_clone().map_err(socket("open"))?;
        let received = Arc::new(Watched::new(Received::default()));
        let shared = Arc::clone(&received);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(reader);
            loop {
                let mut line = String::new();
                match reader.by_ref().take(LINE_LIMIT).read_line(&mut line) {
                    Ok(1..) => {}
                    _ => break,
                }
                match sort(&line) {
                    Some(Message::Event(event)) => {
                        on_event(&event);
                        shared.change(|received| received.events.push(event));
                    }
                    Some(Message::Answer(answer)) => {
                        shared.change(|received| received.answers.items.push_back(answer));
                    }
                    None => {}
                }
            }
            shared.change(|received| received.answers.closed = true);
        });
        let qmp = Self { received, writer: Mutex::new(stream) };
        qmp.execute("qmp_capabilities", &Value::Null)?;
        Ok(qmp)
    }

    /// Executes a command and gives what it returns. `arguments` is an object or null.
    ///
    /// # Errors
    /// [`Error::Qmp`] when QEMU refuses, [`Error::Socket`], [`Error::Ended`] or
    /// [`Error::Timeout`] when it does not answer.
    pub fn execute(&self, command: &str, arguments: &Value) -> Result<Value> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut request = json!({ "execute": command });
        if !arguments.is_null() {
            request["arguments"] = arguments.clone();
        }
        // One write: QEMU answers in order, and the lock is held until the answer is here.
        writer.write_all(format!("{request}\n").as_bytes()).map_err(socket("write"))?;
        let what = || format!("an answer to QMP command `{command}`");
        let deadline = Deadline::after(ANSWER);
        let answer = self.received.wait(deadline, |received| match received.answers.items.pop_front() {
            Some(answer) => Some(Ok(answer)),
            None => received.answers.closed.then(|| Err(Error::Ended { what: what() })),
        });
        let answer = answer.unwrap_or_else(|| Err(Error::Timeout { what: what(), allowed: ANSWER }))?;
        match (answer.get("return"), answer.get("error")) {
            (Some(value), None) => Ok(value.clone()),
            _ => Err(Error::Qmp {
                command: command.to_owned(),
                answer: answer
                    .pointer("/error/desc")
                    .and_then(Value::as_str)
                    .unwrap_or("no reason")
                    .to_owned(),
            }),
        }
    }

    /// The machine's state in QEMU's words: `running`, `paused`, `shutdown` ...
    ///
    /// # Errors
    /// As for [`Qmp::execute`].
    pub fn status(&self) -> Result<String> {
        let answer = self.execute("query-status", &Value::Null)?;
        Ok(answer.get("status").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// Presses the power button.
    ///
    /// # Errors
    /// As for [`Qmp::execute`].
    pub fn power_button(&self) -> Result<()> {
        self.execute("system_powerdown", &Value::Null).map(drop)
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// As for [`Qmp::execute`].
    pub fn reset(&self) -> Result<()> {
        self.execute("system_reset", &Value::Null).map(drop)
    }

    /// Ends QEMU.
    ///
    /// # Errors
    /// As for [`Qmp::execute`].
    pub fn quit(&self) -> Result<()> {
        self.execute("quit", &Value::Null).map(drop)
    }

    /// All events until now.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.received.lock().events.clone()
    }

    /// Waits for an event for which `wanted` holds, counting from the machine's start.
    ///
    /// # Errors
    /// [`Error::Ended`] and [`Error::Timeout`].
    pub fn wait_event(
        &self,
        what: &str,
        deadline: Deadline,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event> {
        let what = || format!("{what} from QEMU");
        let event = self.received.wait(deadline, |received| {
            match received.events.iter().find(|event| wanted(event)) {
                Some(event) => Some(Ok(event.clone())),
                None => received.answers.closed.then(|| Err(Error::Ended { what: what() })),
            }
        });
        event.unwrap_or_else(|| Err(Error::Timeout { what: what(), allowed: deadline.allowed() }))
    }
}

fn socket(verb: &'static str) -> impl FnOnce(std::io::Error) -> Error {
    move |source| Error::Socket { verb, channel: "QMP connection", source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_sorted() {
        assert_eq!(sort(r#"{"QMP": {"version": {}}}"#), None);
        assert_eq!(
            sort(r#"{"event": "RESET", "data": {"guest": true}}"#),
            Some(Message::Event(Event::Reset { guest: true }))
        );
        assert_eq!(sort(r#"{"event": "POWERDOWN"}"#), Some(Message::Event(Event::Other("POWERDOWN".into()))));
        assert_eq!(sort(r#"{"return": {}}"#), Some(Message::Answer(json!({"return": {}}))));
    }

    #[test]
    fn a_refused_command_is_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || {
            let mut lines = BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut out = theirs;
            out.write_all(b"{\"QMP\": {}}\n").unwrap();
            let first = lines.next().unwrap().unwrap();
            out.write_all(b"{\"return\": {}}\n").unwrap();
            lines.next().unwrap().unwrap();
            out.write_all(b"{\"event\": \"STOP\"}\n{\"error\": {\"desc\": \"not now\"}}\n").unwrap();
            first
        });
        let qmp = Qmp::start(ours, |_| {}).unwrap();
        assert_eq!(qmp.quit().unwrap_err().to_string(), "failed to execute QMP command `quit`: not now");
        assert_eq!(server.join().unwrap(), r#"{"execute":"qmp_capabilities"}"#);
        assert_eq!(qmp.events(), [Event::Other("STOP".into())]);
        assert!(matches!(qmp.quit().unwrap_err(), Error::Socket { .. } | Error::Ended { .. }));
    }

    proptest! {
        #[test]
        fn no_line_makes_the_reader_panic(line in ".{0,200}") {
            let _ = sort(&line);
        }
    }
}
