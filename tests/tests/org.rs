//! The directory of the organisation on the real node: imported and edited by the operator, kept by clients.

use std::path::Path;
use std::time::Duration;

use client::transport::Security;
use client::{Client, ClientOptions, Event, Events};
use tests::harness::{Node, NodeBuilder, Terminal, binary, check};
use tests::organisation::{add_users, run};
use wire::{ConversationId, Notices, UserName};

/// How long an answer or an event may take before the test fails.
const WAIT_MAX: Duration = Duration::from_secs(60);

const FILE: &str = "kind,department,parent,name,user,title,order\n\
    department,1,,Example Ltd,,,\n\
    department,20,1,Sales,,,2\n\
    department,10,1,Research,,,1\n\
    member,10,,,user0,Head,1\n\
    member,10,,,User1,,2\n\
    member,20,,,user0,,\n";

fn tool(node: &Node, arguments: &[&str]) -> (bool, String) {
    let output = node.tool(arguments);
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

/// It is done, and says this.
fn done(node: &Node, arguments: &[&str], expected: &str) {
    let (success, text) = tool(node, arguments);
    assert!(success && text.contains(expected), "{arguments:?}: {text}");
}

async fn open(folder: &Path, node: &Node) -> Client {
    let address = node.plain.expect("a plain listener").to_string().parse().expect("an address");
    let options = ClientOptions::new(folder.join("user0"), address, Security::Plain);
    let client = Client::open(options).await.expect("a client");
    let name = UserName::parse("user0").expect("a name");
    client.login(&name, "password").await.expect("logged in");
    client
}

async fn told(events: &mut Events, since: u64) {
    let next = async {
        while !matches!(events.next().await, Some(Event::OrgChanged { version }) if version > since) {}
    };
    tokio::time::timeout(WAIT_MAX, next).await.expect("the event comes in time");
}

/// Waits for a notice of this department.
async fn heard(events: &mut Events, department: u32, text: &str) {
    let of = ConversationId::of_notices(Notices::Department(department));
    let next = async {
        loop {
            let event = events.next().await.expect("an event");
            if matches!(event, Event::Message { conversation, entry } if conversation == of && entry.body == text)
            {
                return;
            }
        }
    };
    tokio::time::timeout(WAIT_MAX, next).await.expect("the notice comes in time");
}

async fn names(client: &Client, department: u32) -> Vec<String> {
    let members = client.members(department).await.expect("members");
    members.into_iter().map(|member| format!("{} {}", member.name, member.title)).collect()
}

#[test]
fn a_directory_is_imported_edited_and_kept_by_clients() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut node = NodeBuilder::new(&folder.path().join("data")).start();
    add_users(node.data(), 3);
    let path = folder.path().join("org.csv");
    let file = path.to_str().expect("a path").to_owned();
    std::fs::write(&path, FILE.replace("User1", "nobody").replace("20,1,Sales", "20,7,Sales"))
        .expect("a file");
    let (success, text) = tool(&node, &["org", "import", &file]);
    assert!(!success && text.contains("line 3: ") && text.contains("line 6: "), "{text}");
    done(&node, &["org", "show"], "departments 0, members 0");
    std::fs::write(&path, FILE).expect("a file");
    done(&node, &["org", "import", &file, "--dry-run"], "departments put 3, removed 0; members put 3");
    done(&node, &["org", "show"], "departments 0, members 0");
    done(&node, &["org", "import", &file], "departments put 3, removed 0; members put 3");
    done(
        &node,
        &["org", "import", &file, "--replace"],
        "departments put 0, removed 0; members put 0, removed 0",
    );

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = open(folder.path(), &node).await;
        let mut events = client.events();
        let first = client.sync_org().await.expect("synced");
        assert_eq!((first.departments, first.members, first.rows), (3, 3, 6));
        assert_eq!(names(&client, 10).await, ["user0 Head", "user1 "]);
        let departments = client.departments().await.expect("departments");
        assert_eq!(departments.iter().map(|it| it.id).collect::<Vec<_>>(), [1, 10, 20], "by order");
        let (success, text) = tool(&node, &["notice", "department", "30", "to nobody"]);
        assert!(!success && text.contains("no such department"), "{text}");
        done(&node, &["notice", "department", "1", "to all below", "--id", "4"], "notice 4 stored, seq 1");
        heard(&mut events, 1, "to all below").await;
        done(&node, &["org", "add", "Robots", "--parent", "10"], "department 21 added");
        done(&node, &["org", "join", "user2", "21", "--title", "Builder"], "user2");
        done(&node, &["org", "leave", "user1", "10"], "has left");
        told(&mut events, first.version).await;
        let changed = client.sync_org().await.expect("synced");
        assert!((changed.rows, changed.members) == (3, 3) && changed.version > first.version, "{changed:?}");
        client.close().await.expect("closed");

        node.kill();
        node.restart();
        let client = open(folder.path(), &node).await;
        let me = client.me().expect("an account").user;
        assert_eq!(client.places_of(me).await.expect("places").len(), 2, "the copy is on this device");
        assert_eq!(client.sync_org().await.expect("synced").rows, 0, "it asks for changes only");
        done(&node, &["org", "move", "21", "--parent", "20", "--order", "5"], "department 21 changed");
        let (success, text) = tool(&node, &["org", "remove", "20"]);
        assert!(!success && text.contains("departments under it"), "{text}");
        let (success, text) = tool(&node, &["org", "move", "1", "--parent", "21"]);
        assert!(!success && text.contains("under itself"), "{text}");
        done(&node, &["org", "remove", "20", "--branch"], "4 rows");
        let after = client.sync_org().await.expect("synced");
        assert_eq!((after.departments, after.members, after.rows), (2, 1, 4), "what is gone comes as such");
        client.close().await.expect("closed");
    });
    exports_import_to_the_same(&node, folder.path());
    a_terminal_shows_it(&node, folder.path());
    drop(runtime);
    assert!(node.stop().success(), "{}", node.errors());
    check(node.data()).expect("a clean folder");
}

fn a_terminal_shows_it(node: &Node, folder: &Path) {
    let address = node.tls.expect("a TLS listener").to_string();
    let data = folder.join("terminal").display().to_string();
    let arguments =
        ["chat", &address, "--user", "user0", "--data", &data, "--pin", &node.fingerprint, "--peer", "user1"];
    let password = [("RINGTALK_PASSWORD", "password")];
    let mut terminal = Terminal::start(&binary(), &arguments, &password, 30, 100);
    terminal.wait_for("connected");
    terminal.line("/org");
    terminal.wait_for("Example Ltd");
    terminal.line("/org research");
    terminal.wait_for("user0, Head");
    terminal.line("/org user0");
    terminal.wait_for("Example Ltd / Research");
    terminal.line("/quit");
    terminal.wait();
}

fn exports_import_to_the_same(node: &Node, folder: &Path) {
    for format in ["csv", "json"] {
        let exported = node.tool(&["org", "export", "--format", format]);
        let path = folder.join(format!("exported.{format}"));
        std::fs::write(&path, exported.stdout).expect("a file");
        let path = path.to_str().expect("a path");
        let nothing = "departments put 0, removed 0; members put 0, removed 0";
        done(node, &["org", "import", path, "--replace"], nothing);
    }
    done(node, &["org", "show", "10"], "user0  Head");
}

/// `cargo run --release -p tests --bin org` does the same with 100,000.
#[test]
fn a_larger_one_comes_in_pages_and_then_only_what_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = run(folder.path(), 1_500);
    println!("{report}");
    assert_eq!(report.first.rows, 1_500 + report.departments);
    assert_eq!(report.first.pages, report.first.rows.div_ceil(512));
    assert_eq!((report.after_none.rows, report.after_none.pages), (0, 1));
    assert_eq!((report.after_few.rows, report.after_few.pages), (3, 1));
    assert!(report.after_few.bytes * 100 < report.first.bytes);
}
