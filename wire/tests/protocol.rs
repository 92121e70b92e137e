//! PROTOCOL.md says what the code says. `UPDATE=1 cargo test -p wire protocol` writes the generated sections anew.

#[test]
#[expect(clippy::disallowed_methods, reason = "a test that keeps a file current reads and writes it")]
fn protocol_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/PROTOCOL.md");
    let written = std::fs::read_to_string(path).expect("PROTOCOL.md");
    let current = wire::document::with_sections(&written);
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(path, &current).expect("PROTOCOL.md is written");
        return;
    }
    let line = written.lines().zip(current.lines()).find(|(written, current)| written != current);
    assert!(written == current, "run `UPDATE=1 cargo test -p wire protocol`; the first difference: {line:?}");
}

/// A command, event or refusal that the text never explains is one that nobody can use.
#[test]
fn every_command_event_and_refusal_is_explained() {
    let text = include_str!("../PROTOCOL.md");
    let prose: String = text
        .split("<!-- begin ")
        .map(|part| part.split_once("<!-- end ").map_or(part, |(_, rest)| rest))
        .collect();
    let names = wire::Command::ALL.iter().map(|command| command.row().name);
    for name in names.chain(wire::Event::ALL.iter().map(|event| event.name())) {
        let is_explained = ["`", "{"].iter().any(|end| prose.contains(&format!("`{name}{end}")));
        assert!(is_explained, "{name} is not explained");
    }
    for refusal in wire::Refusal::ALL {
        assert!(prose.contains(&format!("`{}`", refusal.name())), "{} is not explained", refusal.name());
    }
}

/// A client looks up in one table what to do about a refusal: each stands there, and once.
#[test]
fn the_table_says_what_to_do_about_each_refusal() {
    let text = include_str!("../PROTOCOL.md");
    let (_, rest) = text.split_once("<!-- end refusals -->").expect("the refusals");
    let (table, _) = rest.split_once("\n## ").expect("a section behind them");
    let rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| ")).collect();
    for refusal in wire::Refusal::ALL {
        let count =
            rows.iter().map(|row| row.matches(&format!("`{}`", refusal.name())).count()).sum::<usize>();
        assert_eq!(count, 1, "{}", refusal.name());
    }
}
