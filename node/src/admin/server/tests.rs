use super::*;
use crate::admin::testing::Whole;
use crate::admin::{AdminClient, AdminError, Replies, ShardAnswer, Shards, Status};
use crate::metrics::{Metrics, Scraper};
use shard::admin::{AdminReply, AdminRequest};
use shard::ownership::Ownership;

/// One shard that refuses everything at once.
struct Refuses(Arc<Replies>);

impl Shards for Refuses {
    fn submit(&self, _: u16, token: u64, _: AdminRequest) -> bool {
        self.0.deliver(token, ShardAnswer::Done(AdminReply::Refused { reason: "not today".into() }));
        true
    }
}

fn desk() -> Desk {
    let replies = Arc::new(Replies::default());
    let status = Status {
        version: "1.2.3".into(),
        process: 1,
        shards: 1,
        store_shards: 2,
        listen: vec![],
        listen_plain: vec![],
        admin_http: None,
        fingerprint: None,
        iterations: 4096,
        registration_open: true,
    };
    let shards = Arc::new(Refuses(replies.clone()));
    let scraper = Scraper::new(shards.clone(), replies.clone(), 1);
    let metrics = Arc::new(Metrics::new(scraper, Arc::new(Whole)));
    Desk::new(shards, replies, Arc::new(Ownership::new(1, 2)), status, metrics)
}

fn bound() -> (tempfile::TempDir, PathBuf, AdminListener) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("admin.sock");
    let listener = AdminListener::bind(&path).unwrap();
    (dir, path, listener)
}

#[test]
fn requests_are_answered_one_after_the_other() {
    let (_dir, path, listener) = bound();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let server = AdminServer::start(listener, desk()).unwrap();
    let mut client = AdminClient::connect(&path).unwrap();
    let Reply::Status(status) = client.ask(&Request::Status).unwrap() else { panic!() };
    assert_eq!(status.version, "1.2.3");
    let refused = client.ask(&Request::ListUsers { after: None, users_max: 1 }).unwrap_err();
    assert!(matches!(&refused, AdminError::Refused(reason) if reason == "not today"), "{refused}");
    client.ask(&Request::Status).unwrap();
    server.stop();
    assert!(!path.exists());
    assert!(matches!(AdminClient::connect(&path).unwrap_err(), AdminError::NotRunning { .. }));
}

#[test]
fn nonsense_is_answered_and_too_much_of_it_ends_the_connection() {
    let (_dir, path, listener) = bound();
    let server = AdminServer::start(listener, desk()).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    let mut input = BufReader::new(stream.try_clone().unwrap());
    let mut answer = |line: &[u8]| {
        stream.write_all(line).unwrap();
        let mut answer = String::new();
        input.read_line(&mut answer).unwrap();
        answer
    };
    assert!(answer(b"{}\n").contains("not a request"));
    assert!(answer(b"\xff\xfe\n").contains("not a request"));
    assert!(answer(b"{\"op\":\"status\"}\n").contains("1.2.3"));
    assert!(answer(&vec![b'['; REQUEST_BYTES_MAX]).contains("one line of at most"));
    let mut rest = Vec::new();
    // Closed with bytes unread, the connection may end with a reset instead of an end of file.
    let _ = input.read_to_end(&mut rest);
    assert!(rest.is_empty());
    server.stop();
}

#[test]
fn connections_are_bounded_and_a_place_is_given_back() {
    let (_dir, path, listener) = bound();
    let server = AdminServer::start(listener, desk()).unwrap();
    let mut clients: Vec<_> = (0..CONNECTIONS_MAX).map(|_| AdminClient::connect(&path).unwrap()).collect();
    clients.iter_mut().for_each(|client| assert!(client.ask(&Request::Status).is_ok()));
    let mut one_more = AdminClient::connect(&path).unwrap();
    assert!(one_more.ask(&Request::Status).is_err());
    drop(clients);
    // The place is free as soon as the peer's thread has seen the end of its connection.
    let until = std::time::Instant::now() + Duration::from_secs(10);
    while AdminClient::connect(&path).unwrap().ask(&Request::Status).is_err() {
        assert!(std::time::Instant::now() < until, "no place is given back");
        thread::yield_now();
    }
    server.stop();
}

#[test]
fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
    let (_dir, path, listener) = bound();
    let server = AdminServer::start(listener, desk()).unwrap();
    let line = AdminListener::bind(&path).unwrap_err().to_string();
    assert!(line.contains("a running node answers") && line.contains("admin.sock"), "{line}");
    AdminClient::connect(&path).unwrap().ask(&Request::Status).unwrap();
    server.stop();

    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "the file outlives its listener");
    AdminListener::bind(&path).unwrap();

    fs::remove_file(&path).unwrap();
    fs::write(&path, "mine").unwrap();
    assert!(AdminListener::bind(&path).unwrap_err().to_string().contains("not a socket"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    let long = path.with_file_name("x".repeat(120));
    assert!(AdminListener::bind(&long).unwrap_err().to_string().contains("shorter path"));
}
