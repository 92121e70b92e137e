//! As little HTTP as a monitor needs.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take before the test fails.
const ANSWER_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub struct HttpAnswer {
    pub status: u16,
    /// With the status line.
    pub head: String,
    pub body: String,
}

/// One request on a connection of its own.
pub fn http_get(address: SocketAddr, path: &str) -> HttpAnswer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let answer = String::from_utf8(http_exchange(address, request.as_bytes())).expect("text");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    HttpAnswer { status, head: head.into(), body: body.into() }
}

/// All that comes back for these bytes until the other side closes. A reset ends it as well: the other side may have left
/// bytes unread.
pub fn http_exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the node accepts");
    stream.set_read_timeout(Some(ANSWER_MAX)).expect("a socket");
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "after {} bytes", answer.len());
    }
    answer
}
