use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::*;
use crate::admin::testing::{Failing, Whole, metrics};

fn started(monitor: &Arc<Monitor>) -> (SocketAddr, HttpServer) {
    let listener = HttpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (listener.address, HttpServer::start(listener, monitor.clone()).unwrap())
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

/// What comes back for these bytes, until the end. A reset ends it as well: bytes may have been left unread.
fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn get(address: SocketAddr, path: &str) -> (String, String) {
    let answer = exchange(address, format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head in {answer:?}"));
    (head.to_lowercase(), body.to_owned())
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

#[test]
fn a_node_is_ready_between_its_start_and_its_stop() {
    let (monitor, store) = (Arc::new(Monitor::default()), Arc::new(Failing::default()));
    let (address, server) = started(&monitor);
    let ready = || {
        let (head, body) = get(address, "/ready");
        (status(&head).to_owned(), body)
    };
    assert_eq!(ready(), ("503".to_owned(), "starting\n".to_owned()));
    assert_eq!(status(&get(address, "/health").0), "200");
    assert!(get(address, "/metrics").1.contains("process_cpu_seconds_total "));
    monitor.serving(metrics(&[], store.clone()));
    assert_eq!(ready(), ("200".to_owned(), "ok\n".to_owned()));
    *store.0.lock().unwrap() = Some("store shard 1: the disk is gone".into());
    assert_eq!(ready(), ("503".to_owned(), "store shard 1: the disk is gone\n".to_owned()));
    let (head, body) = get(address, "/health");
    assert_eq!((status(&head), body.as_str()), ("503", "store shard 1: the disk is gone\n"));
    *store.0.lock().unwrap() = None;
    monitor.stopping();
    assert_eq!(ready(), ("503".to_owned(), "stopping\n".to_owned()));
    assert_eq!(status(&get(address, "/health").0), "200");
    server.stop();
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn figures_are_told_and_a_silent_shard_is_down() {
    let monitor = Arc::new(Monitor::default());
    monitor.serving(metrics(&[1], Arc::new(Whole)));
    let (address, server) = started(&monitor);
    let (head, body) = get(address, "/metrics?name=x");
    assert_eq!(status(&head), "200");
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    for line in [
        "# TYPE ringtalk_messages_accepted counter",
        "ringtalk_messages_accepted_total{shard=\"2\"} 0",
        "ringtalk_shard_up{shard=\"0\"} 1",
        "ringtalk_shard_up{shard=\"1\"} 0",
    ] {
        assert!(body.lines().any(|told| told == line), "{line} is not in {body}");
    }
    assert!(!body.contains("ringtalk_messages_accepted_total{shard=\"1\"}"));
    assert!(body.ends_with("# EOF\n"));
    let (head, body) = get(address, "/ready");
    assert_eq!((status(&head), body.as_str()), ("503", "shard 1 does not answer (1 of them do not)\n"));
    server.stop();
}

#[test]
fn other_requests_are_refused() {
    let monitor = Arc::new(Monitor::default());
    let (address, server) = started(&monitor);
    assert_eq!(status(&get(address, "/").0), "404");
    assert_eq!(status(&get(address, "/metrics/").0), "404");
    for (bytes, expected) in [
        (&b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"[..], "HTTP/1.1 405"),
        (b"DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 405"),
        (b"GET http://else.where/health HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200"),
        (b"GET /health HTTP/1.0\r\n\r\n", "HTTP/1.0 200"),
        (b"GET /health HTTP/7.5\r\n\r\n", "HTTP/1.1 400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS client", "HTTP/1.1 400"),
        (b"GET /health\0 HTTP/1.1\r\n\r\n", "HTTP/1.1 400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
    ] {
        let answer = exchange(address, bytes);
        let as_expected = if expected.is_empty() { answer.is_empty() } else { answer.starts_with(expected) };
        assert!(as_expected, "{:?}: {answer:?}", String::from_utf8_lossy(bytes));
    }
    let head = exchange(address, b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head:?}");
    let mut long = b"GET /health HTTP/1.1\r\nX: ".to_vec();
    long.resize(REQUEST_BYTES_MAX * 2, b'x');
    let answer = exchange(address, &long);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer:?}");
    let mut many = b"GET /health HTTP/1.1\r\n".to_vec();
    (0..2_000).for_each(|_| many.extend_from_slice(b"a:\r\n"));
    let answer = exchange(address, &many);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer:?}");
    assert_eq!(status(&get(address, "/health").0), "200", "it still serves");
    server.stop();
}

#[test]
fn a_connection_serves_one_request() {
    let (address, server) = started(&Arc::new(Monitor::default()));
    let twice = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n".repeat(2);
    let answer = exchange(address, &twice);
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer:?}");
    assert!(answer.to_lowercase().contains("connection: close"));
    server.stop();
}

#[test]
fn connections_and_their_time_are_bounded() {
    let monitor = Arc::new(Monitor::default());
    let (address, server) = started(&monitor);
    let begin = Instant::now();
    let mut silent: Vec<_> = (0..CONNECTIONS_MAX).map(|_| connect(address)).collect();
    let mut one_more = connect(address);
    let _ = one_more.write_all(b"GET /health HTTP/1.1\r\n\r\n");
    let mut answer = Vec::new();
    let _ = one_more.read_to_end(&mut answer);
    assert!(answer.is_empty(), "it found a place: {:?}", String::from_utf8_lossy(&answer));
    // Those that say nothing, or never finish, are closed and give their places back.
    for (number, stream) in silent.iter_mut().enumerate() {
        if number % 2 == 0 {
            let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\n");
        }
    }
    for stream in &mut silent {
        let _ = stream.read_to_end(&mut Vec::new());
    }
    assert!(begin.elapsed() < CONNECTION_MAX + Duration::from_secs(30));
    let (_, body) = get(address, "/metrics");
    assert!(body.contains("ringtalk_admin_http_connections_refused_total 1\n"), "{body}");
    server.stop();
}

#[test]
fn an_address_in_use_is_told() {
    let taken = HttpListener::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    assert_eq!(HttpListener::bind(taken.address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}
