//! An organisation of any size on a real node: imported by the operator, synced by clients, sizes and times printed.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use wire::EventBody;
use wire::encode::Encoder;
use wire::org::OrgPosition;
use wire::scram;

use crate::harness::{Node, NodeBuilder, Protection, RawClient, check};

/// Connections to the admin socket that add users.
const ADDERS: usize = 4;
/// Members of one department.
const DEPARTMENT_MEMBERS: usize = 40;

/// A sync as its client saw it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Synced {
    pub pages: usize,
    pub rows: usize,
    /// Of the frames of the answers.
    pub bytes: usize,
    pub took: Duration,
}

/// What came of an organisation.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub departments: usize,
    pub import: Duration,
    pub again: Duration,
    pub first: Synced,
    pub after_none: Synced,
    pub after_few: Synced,
}

/// Adds accounts `user0`, `user1`, ... as the operator; their password is `password`.
pub fn add_users(data: &Path, count: usize) {
    let salt = [7; 16];
    let keys = scram::stretch("password", &salt, 4_096).expect("good terms").credentials();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let credential = format!(
        r#"{{"salt":"{}","iterations":4096,"stored_key":"{}","server_key":"{}"}}"#,
        hex(&salt),
        hex(&keys.stored_key),
        hex(&keys.server_key)
    );
    std::thread::scope(|scope| {
        for adder in 0..ADDERS {
            let credential = &credential;
            scope.spawn(move || {
                let mut stream = UnixStream::connect(data.join("admin.sock")).expect("the admin socket");
                let mut answers = BufReader::new(stream.try_clone().expect("a socket"));
                for number in (adder..count).step_by(ADDERS) {
                    let request =
                        format!(r#"{{"op":"add_user","name":"user{number}","credential":{credential}}}"#);
                    writeln!(stream, "{request}").expect("a request");
                    let mut answer = String::new();
                    answers.read_line(&mut answer).expect("an answer");

                    assert!(answer.contains("added"), "user{number}: {answer}");
                }
            });
        }
    });
}

/// Imports so many members in departments of some, as a tree, and syncs them, then what changed.
pub fn run(folder: &Path, members: usize) -> Report {
    // Each account is a line of the log: so many nobody reads.
    let mut node = NodeBuilder::new(&folder.join("data")).with(&["--log", "warn"]).start();
    let started = Instant::now();
    add_users(node.data(), members);
    println!("{members} accounts made in {:.1} s", started.elapsed().as_secs_f64());
    let file = folder.join("org.csv");
    let departments = write_file(&file, members);
    let file = file.to_str().expect("a path");
    let import = imported(&node, &["org", "import", file], &format!("members put {members}, removed 0"));
    let again = imported(&node, &["org", "import", file], "members put 0, removed 0");

    let mut reader = RawClient::new_user(node.plain.expect("a plain listener"), Protection::Plain, "reader");
    let mut position = OrgPosition::default();
    let first = sync(&mut reader, &mut position);
    let after_none = sync(&mut reader, &mut position);
    imported(&node, &["org", "join", "user1", "2", "--title", "Deputy"], "user1");
    imported(&node, &["org", "leave", "user2", "2"], "user2");
    imported(&node, &["org", "move", "3", "--name", "Renamed"], "3");
    let after_few = sync(&mut reader, &mut position);

    assert!(node.stop().success(), "{}", node.errors());
    check(node.data()).expect("a clean folder");
    Report { departments, import, again, first, after_none, after_few }
}

/// Department 1 at the top, the others under one another by tens.
fn write_file(path: &Path, members: usize) -> usize {
    let departments = members.div_ceil(DEPARTMENT_MEMBERS) + 1;
    let mut text = String::from("kind,department,parent,name,user,title,order\n");
    for id in 1..=departments {
        let parent = if id == 1 { 0 } else { id.div_ceil(10) - usize::from(id <= 10) };
        let _ = writeln!(text, "department,{id},{},Department {id},,,{id}", parent.max(usize::from(id > 1)));
    }
    for number in 0..members {
        let department = 2 + number / DEPARTMENT_MEMBERS;
        let _ = writeln!(text, "member,{department},,,user{number},Engineer {},{number}", number % 7);
    }
    std::fs::write(path, text).expect("a file");
    departments
}

fn imported(node: &Node, arguments: &[&str], expected: &str) -> Duration {
    let started = Instant::now();
    let output = node.tool(arguments);
    let (out, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains(expected), "{arguments:?}: {out}{errors}");
    started.elapsed()
}

fn sync(client: &mut RawClient, position: &mut OrgPosition) -> Synced {
    let (mut synced, started) = (Synced::default(), Instant::now());
    let mut encoder = Encoder::new();
    loop {
        let at = *position;
        match client.ask(|encoder, request| encoder.sync_org(request, at, 0)) {
            EventBody::OrgSynced(page) => {
                synced.pages += 1;
                synced.rows += page.rows.len();
                synced.bytes += encoder.org_synced(1, &page).len();
                *position = position.behind(&page).expect("pages go on");
                if !page.more {
                    synced.took = started.elapsed();
                    return synced;
                }
            }
            other => panic!("{other:?} instead of a page"),
        }
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Report { departments, import, again, first, after_none, after_few } = self;
        writeln!(
            f,
            "departments {departments}; import {:.1} s, the same again {:.1} s",
            import.as_secs_f64(),
            again.as_secs_f64()
        )?;
        for (name, synced) in
            [("first sync", first), ("nothing changed", after_none), ("three changes", after_few)]
        {
            let Synced { pages, rows, bytes, took } = synced;
            let ms = took.as_secs_f64() * 1e3;
            writeln!(f, "{name}: {rows} rows in {pages} pages, {bytes} bytes, {ms:.0} ms")?;
        }
        Ok(())
    }
}
