//! Figures of the real node over HTTP: what they say is true, how they are written is right, and what is written about
//! them (docs/metrics.md, docs/grafana.json) fits.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpListener};

use serde_json::Value;
use tests::harness::{
    Exposition, HttpAnswer, Node, NodeBuilder, Protection, RawClient, http_exchange, http_get,
};
use tests::tidy;
use wire::decode::EventBody;

const MESSAGES: u64 = 60;

fn start(folder: &tempfile::TempDir) -> Node {
    NodeBuilder::new(&folder.path().join("data")).with(&["--shards", "2"]).start()
}

fn http(node: &Node) -> SocketAddr {
    node.http.expect("it tells where")
}

fn scrape(node: &Node) -> Exposition {
    let HttpAnswer { status, head, body } = http_get(http(node), "/metrics");
    assert_eq!(status, 200, "{head}");
    assert!(
        head.to_lowercase().contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    Exposition::parse(&body).unwrap_or_else(|wrong| panic!("{wrong}\n{body}"))
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn document(name: &str) -> String {
    std::fs::read_to_string(tidy::root().join("docs").join(name)).expect("it is there")
}

/// Users who have talked: how many messages, and how many of them another session was sent.
fn talk(node: &Node) -> (RawClient, RawClient) {
    let plain = node.plain.expect("a plain listener");
    let mut ann = RawClient::new_user(plain, Protection::Plain, "ann");
    let mut bob = RawClient::new_user(plain, Protection::Plain, "bob");
    for counter in 1..=MESSAGES {
        let answer = ann.send_text(bob.user, counter, counter - 1, &format!("message {counter}"));
        assert!(matches!(answer, EventBody::Sent(_)), "{answer:?}");
    }
    let mut seen = 0;
    while seen < MESSAGES {
        seen += u64::from(matches!(bob.next_event(), EventBody::Message(_)));
    }
    (ann, bob)
}

#[test]
fn figures_are_what_happened() {
    let folder = folder();
    let node = start(&folder);
    let before = scrape(&node);
    assert_eq!(before.sum("ringtalk_messages_accepted_total", &[]), Some(0.0));
    assert_eq!(before.sum("ringtalk_shard_up", &[]), Some(2.0));
    let (mut ann, bob) = talk(&node);
    let again = ann.send_text(bob.user, MESSAGES, MESSAGES - 1, &format!("message {MESSAGES}"));
    assert!(matches!(again, EventBody::Sent(_)), "{again:?}");
    let skipped = ann.send_text(bob.user, MESSAGES + 9, MESSAGES + 8, "one that names no one before it");
    assert!(matches!(skipped, EventBody::Refused(_)), "{skipped:?}");

    let after = scrape(&node);
    let count =
        |name: &str, labels: &[(&str, &str)]| after.sum(name, labels).unwrap_or_else(|| panic!("no {name}"));
    assert_eq!(count("ringtalk_messages_accepted_total", &[]), MESSAGES as f64);
    assert_eq!(count("ringtalk_messages_delivered_total", &[]), MESSAGES as f64);
    assert_eq!(count("ringtalk_messages_repeated_total", &[]), 1.0);
    assert_eq!(count("ringtalk_refusals_total", &[("code", "out_of_order")]), 1.0);
    assert_eq!(count("ringtalk_refusals_total", &[]), 1.0);
    assert_eq!(count("ringtalk_sessions", &[]), 2.0);
    assert_eq!(count("ringtalk_connections_accepted_total", &[]), 2.0);
    assert_eq!(count("ringtalk_logins_total", &[]), 2.0);
    // The chat; and the notices for all, and adverts, which every shard follows.
    assert_eq!(count("ringtalk_table_entries", &[("table", "conversations")]), 3.0);
    assert_eq!(count("ringtalk_table_entries", &[("table", "followed")]), 2.0 * 2.0);
    assert!(count("ringtalk_table_bytes", &[("table", "tail_turns")]) > 0.0);
    // Each message was one commit at least: it was answered before the next was sent.
    assert!(count("ringtalk_commit_latency_seconds_count", &[]) >= MESSAGES as f64);
    assert!(count("ringtalk_commit_batch_operations_sum", &[]) >= MESSAGES as f64);
    assert!(count("ringtalk_store_commits_total", &[]) >= MESSAGES as f64);
    assert!(count("ringtalk_store_sync_seconds_count", &[]) >= MESSAGES as f64);
    assert!(count("ringtalk_frames_received_total", &[]) >= (MESSAGES + 2) as f64);
    assert!(count("ringtalk_frames_sent_total", &[]) >= (2 * MESSAGES + 2) as f64);
    assert!(
        count("ringtalk_received_bytes_total", &[]) > 0.0 && count("ringtalk_sent_bytes_total", &[]) > 0.0
    );
    assert_eq!(count("ringtalk_output_queue_bytes", &[]), 0.0);
    assert!(count("process_open_fds", &[]) > 2.0 && count("process_resident_memory_bytes", &[]) > 1e6);

    // Every counter has only risen, and none has gone.
    for (name, family) in before.0.iter().filter(|(_, family)| family.kind != "gauge") {
        for (sample, labels, value) in &family.samples {
            let later = after.0[name].samples.iter().find(|(other, own, _)| other == sample && own == labels);
            assert!(
                later.is_some_and(|(.., later)| later >= value),
                "{sample} {labels:?}: {value}, then {later:?}"
            );
        }
    }
    drop((ann, bob));
}

#[test]
fn the_terminal_shows_the_same_figures() {
    let folder = folder();
    let node = start(&folder);
    let clients = talk(&node);
    let output = node.tool(&["stats", "--json"]);
    assert!(output.status.success());
    let told: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let scraped = scrape(&node);
    assert_eq!(told["ringtalk_messages_accepted_total"], MESSAGES);
    assert_eq!(told["ringtalk_sessions"], 2);
    let told: BTreeSet<&str> = told.as_object().expect("figures").keys().map(|key| plain(key)).collect();
    let only_over_http = ["ringtalk_admin_http_connections_refused_total"];
    for name in scraped.names().into_iter().filter(|name| !only_over_http.contains(name)) {
        assert!(name.ends_with("_bucket") || told.contains(name), "{name} is not shown");
    }
    assert!(told.iter().all(|name| scraped.names().contains(name)));
    drop(clients);
}

/// The name of a figure without its labels.
fn plain(key: &str) -> &str {
    key.split('{').next().expect("a first part")
}

#[test]
fn the_documentation_lists_every_figure() {
    let folder = folder();
    let scraped = scrape(&start(&folder));
    let text = document("metrics.md");
    // | `name` | kind | labels | what it means |
    let rows: BTreeSet<Vec<&str>> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|line| line.trim_end_matches(" |").splitn(4, " | ").map(|cell| cell.trim_matches('`')).collect())
        .filter(|row: &Vec<&str>| row.len() == 4)
        .collect();
    let mut expected = BTreeSet::new();
    for (name, family) in &scraped.0 {
        let name = if family.kind == "counter" { format!("{name}_total") } else { name.clone() };
        let labels: BTreeSet<&str> =
            family.samples.iter().flat_map(|(_, labels, _)| labels.keys()).map(String::as_str).collect();
        let labels: Vec<_> = labels.into_iter().filter(|label| *label != "le").collect();
        expected.insert(vec![name, family.kind.clone(), labels.join(", "), family.help.clone()]);
    }
    let rows: BTreeSet<Vec<String>> =
        rows.into_iter().map(|row| row.into_iter().map(str::to_owned).collect()).collect();
    let lines = |rows: Vec<&Vec<String>>| -> String {
        rows.iter().map(|row| format!("| `{}` | {} |\n", row[0], row[1..].join(" | "))).collect()
    };
    let there = scraped.names();
    for name in names(&text) {
        let known = there.contains(name) || scraped.0.contains_key(name);
        assert!(known, "{name} is in metrics.md and not in a scrape");
    }
    let missing = lines(expected.difference(&rows).collect());
    let surplus = lines(rows.difference(&expected).collect());
    assert!(missing.is_empty() && surplus.is_empty(), "missing:\n{missing}\nsurplus:\n{surplus}");
}

/// Every string under a key of this name, however deep.
fn strings<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == key => found.push(text),
                    _ => strings(value, key, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| strings(value, key, found)),
        _ => {}
    }
}

/// Words of an expression that are names of figures.
fn names(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("ringtalk_") || word.starts_with("process_"))
}

#[test]
fn the_dashboard_shows_what_there_is() {
    let dashboard: Value = serde_json::from_str(&document("grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    for panel in panels {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "an id is there twice");
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert!(panel["gridPos"].is_object());
        if panel["type"] != "row" {
            assert!(panel["targets"].as_array().is_some_and(|targets| !targets.is_empty()), "{panel}");
        }
    }
    let mut expressions = Vec::new();
    strings(&dashboard, "expr", &mut expressions);
    strings(&dashboard, "query", &mut expressions);
    let wanted: BTreeSet<&str> = expressions.iter().flat_map(|expression| names(expression)).collect();
    let folder = folder();
    let scraped = scrape(&start(&folder));
    let there = scraped.names();
    for name in &wanted {
        assert!(there.contains(name), "{name} is on the dashboard and not in a scrape");
    }
    // One of each thing that it is to show.
    for name in [
        "ringtalk_sessions",
        "ringtalk_messages_accepted_total",
        "ringtalk_messages_delivered_total",
        "ringtalk_commit_latency_seconds_bucket",
        "ringtalk_store_sync_seconds_bucket",
        "ringtalk_refusals_total",
        "ringtalk_lane_depth",
        "ringtalk_lane_full_total",
        "process_resident_memory_bytes",
        "ringtalk_table_entries",
    ] {
        assert!(wanted.contains(name), "{name} is not on the dashboard");
    }
    assert!(expressions.iter().any(|expression| expression.contains("by (shard)")));
}

#[test]
fn a_node_that_serves_is_healthy_and_ready_until_it_stops() {
    let folder = folder();
    let mut node = start(&folder);
    for path in ["/health", "/ready"] {
        let HttpAnswer { status, body, .. } = http_get(http(&node), path);
        assert_eq!((status, body.as_str()), (200, "ok\n"), "{path}");
    }
    assert!(node.stop().success());
    assert!(std::net::TcpStream::connect(http(&node)).is_err(), "it still listens");
}

#[test]
fn hostile_requests_are_answered_or_closed_and_the_node_goes_on() {
    let folder = folder();
    let mut node = start(&folder);
    let address = http(&node);
    let long = |length| [b"GET /".as_slice(), &vec![b'a'; length], b" HTTP/1.1\r\n\r\n"].concat();
    for bytes in [
        b"\0\0\0\0\0\0\0\0".to_vec(),
        vec![0xff; 100_000],
        b"GET".repeat(50_000),
        b"\r\n".repeat(50_000),
        long(7_000),
        long(70_000),
        [b"GET /metrics HTTP/1.1\r\n".as_slice(), &b"x: y\r\n".repeat(20_000)].concat(),
        b"GET /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n".to_vec(),
        b"GET /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n".to_vec(),
        b"POST /metrics HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf".to_vec(),
        b"GET /../../etc/passwd HTTP/1.1\r\n\r\n".to_vec(),
        b"CONNECT ringtalk:7470 HTTP/1.1\r\n\r\n".to_vec(),
        b"OPTIONS * HTTP/1.1\r\n\r\n".to_vec(),
    ] {
        let answer = http_exchange(address, &bytes);
        let head = String::from_utf8_lossy(&answer[..answer.len().min(64)]).into_owned();
        let served = head.starts_with("HTTP/1.1 200");
        let named = bytes.starts_with(b"GET /metrics");
        assert!(answer.is_empty() || head.starts_with("HTTP/1.1 4") || served && named, "{head}");
    }
    assert!(node.is_running());
    assert_eq!(http_get(address, "/ready").status, 200);
    drop(talk(&node));
    assert_eq!(scrape(&node).sum("ringtalk_messages_accepted_total", &[]), Some(MESSAGES as f64));
}

#[test]
fn where_it_listens_is_the_operators_choice() {
    let folder = folder();
    let data = |name: &str| folder.path().join(name);
    let node = |name: &str, option: &str| {
        let mut builder = NodeBuilder::new(&data(name));
        builder.more.retain(|argument| argument != "--admin-http" && argument != "127.0.0.1:0");
        builder.with(&["--admin-http", option])
    };
    assert_eq!(node("off", "off").start().http, None);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    let refused = node("taken", &address).try_start().expect_err("the port is taken");
    assert!(refused.contains(&address) && refused.contains("--admin-http"), "{refused}");
    // Two nodes that nobody gave an address: one of them has none, and serves.
    let mut builder = NodeBuilder::new(&data("first"));
    builder.more.retain(|argument| argument != "--admin-http" && argument != "127.0.0.1:0");
    let first = builder.start();
    builder.data = data("second");
    let mut second = builder.start();
    assert!(second.http.is_none() || first.http.is_none(), "both have {:?}", first.http);
    let default = [first.http, second.http].into_iter().flatten().all(|http| http.ip().is_loopback());
    assert!(default, "{:?} {:?}", first.http, second.http);
    assert!(second.stop().success());
}
