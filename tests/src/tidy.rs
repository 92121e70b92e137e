//! House rules as code. Each rule looks at text and returns what is wrong; `tests/tidy.rs` runs them over the repository and
//! over planted violations.

use std::fmt;
use std::path::{Path, PathBuf};

/// Longest source file in lines.
pub const FILE_LINES_MAX: usize = 800;
/// Longest function in lines, from its `fn` to its closing brace.
pub const FUNCTION_LINES_MAX: usize = 70;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub place: String,
    pub rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.rule)
    }
}

fn violation(place: impl fmt::Display, rule: impl Into<String>) -> Violation {
    Violation { place: place.to_string(), rule: rule.into() }
}

/// What each package may depend on. A package that is pure cannot even name what it must not use.
/// `None`: anything but the packages of the workspace, which are always listed.
struct PackageRule {
    folder: &'static str,
    own: &'static [&'static str],
    others: Option<&'static [&'static str]>,
}

const PACKAGES: &[PackageRule] = &[
    PackageRule {
        folder: "wire",
        own: &[],
        others: Some(&[
            "bytes",
            "flatbuffers",
            "xxhash-rust",
            "thiserror",
            "stringprep",
            "sha2",
            "hmac",
            "pbkdf2",
            "hkdf",
            "subtle",
            "zeroize",
            "base64",
            "base64ct",
            "chacha20poly1305",
        ]),
    },
    PackageRule {
        folder: "store/record",
        own: &["wire"],
        others: Some(&["bytes", "rkyv", "thiserror", "xxhash-rust"]),
    },
    PackageRule {
        folder: "node/shard",
        own: &["wire", "record"],
        others: Some(&["ahash", "bytes", "xxhash-rust", "rand"]),
    },
    PackageRule { folder: "store", own: &["wire", "record"], others: None },
    PackageRule { folder: "client", own: &["wire"], others: None },
    PackageRule { folder: "node", own: &["wire", "record", "store", "shard", "client"], others: None },
    PackageRule { folder: "bench", own: &["wire", "node"], others: None },
    PackageRule { folder: "bench/counts", own: &["wire", "record", "shard"], others: None },
    PackageRule {
        folder: "tests",
        own: &["wire", "record", "store", "shard", "node", "client", "bench"],
        others: None,
    },
];

const WORKSPACE: &[&str] =
    &["wire", "record", "store", "shard", "node", "client", "bench", "counts", "tests"];
/// Only these packages may name these crates.
const RESERVED: &[(&str, &[&str])] = &[
    ("fjall", &["store"]),
    ("rkyv", &["store/record"]),
    ("glommio", &["node"]),
    ("io-uring", &["node"]),
    ("flatbuffers", &["wire"]),
];

/// Checks the dependencies of the package in `folder`.
pub fn check_manifest(folder: &str, manifest: &str) -> Vec<Violation> {
    let place = format!("{folder}/Cargo.toml");
    let Some(rule) = PACKAGES.iter().find(|rule| rule.folder == folder) else {
        return vec![violation(place, "a package that the import directions do not name")];
    };
    let table: toml::Table = match manifest.parse() {
        Ok(table) => table,
        Err(error) => return vec![violation(place, format!("not TOML: {error}"))],
    };
    let names = |section: &str| -> Vec<String> {
        table
            .get(section)
            .and_then(toml::Value::as_table)
            .map(|t| t.keys().cloned().collect())
            .unwrap_or_default()
    };
    let mut found = Vec::new();
    for name in names("dependencies") {
        let own = WORKSPACE.contains(&name.as_str());
        if own && !rule.own.contains(&name.as_str()) {
            found.push(violation(&place, format!("{folder} must not depend on {name}: imports go one way")));
        }
        if !own && rule.others.is_some_and(|others| !others.contains(&name.as_str())) {
            found.push(violation(&place, format!("{folder} is pure and must not depend on {name}")));
        }
        for (reserved, allowed) in RESERVED {
            if name == *reserved && !allowed.contains(&folder) {
                found.push(violation(&place, format!("only {} may depend on {name}", allowed.join(", "))));
            }
        }
    }
    found
}

/// Where `unsafe` may stand.
fn may_be_unsafe(path: &str) -> bool {
    path.starts_with("node/src/ring/") || path.starts_with("node/src/mesh/") || path == "wire/src/verified.rs"
}

fn is_pure(path: &str) -> bool {
    ["wire/", "store/record/", "node/shard/"].iter().any(|folder| path.starts_with(folder))
}

fn is_generated(path: &str) -> bool {
    path.contains("/generated/")
}

/// The line without its comment, and without what stands in string literals.
fn code_of(line: &str) -> String {
    let mut code = String::with_capacity(line.len());
    let mut chars = line.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => {
                chars.next();
            }
            '"' => quoted = !quoted,
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            '\'' if !quoted && chars.clone().nth(1) == Some('\'') => {
                chars.nth(1);
            }
            _ if !quoted => code.push(c),
            _ => {}
        }
    }
    code
}

fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !is_part(before) && !is_part(after)
    })
}

/// Checks one Rust source file.
pub fn check_source(path: &str, text: &str) -> Vec<Violation> {
    if is_generated(path) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > FILE_LINES_MAX {
        found.push(violation(
            path,
            format!("{} lines; split it by meaning (at most {FILE_LINES_MAX})", lines.len()),
        ));
    }
    for (index, line) in lines.iter().enumerate() {
        let place = format!("{path}:{}", index + 1);
        let code = code_of(line);
        if has_word(&code, "unsafe") && !code.contains("unsafe_op_in_unsafe_fn") {
            if !may_be_unsafe(path) {
                found.push(violation(&place, "unsafe outside the ring, the mesh and Verified"));
            } else if !explains_safety(&lines, index) {
                found.push(violation(&place, "unsafe without its SAFETY reason"));
            }
        }
        if is_pure(path) && (has_word(&code, "async") || code.contains(".await")) {
            found.push(violation(&place, "async in a pure package"));
        }
        for word in ["todo!", "unimplemented!", "dbg!"] {
            if code.contains(word) {
                found.push(violation(&place, format!("{word} is work left undone")));
            }
        }
        for word in [concat!("FIX", "ME"), concat!("X", "XX")] {
            if has_word(line, word) {
                found.push(violation(&place, format!("{word} is work left undone")));
            }
        }
        if code.contains("#[ignore") {
            found.push(violation(&place, "an ignored test proves nothing"));
        }
    }
    found.extend(check_functions(path, &lines));
    found
}

/// `SAFETY:` (or `# Safety` for a function) stands in the comment above, or on the line itself.
fn explains_safety(lines: &[&str], index: usize) -> bool {
    let says = |line: &str| line.contains("SAFETY:") || line.contains("# Safety");
    if says(lines[index]) {
        return true;
    }
    lines[..index]
        .iter()
        .rev()
        .take(12)
        .take_while(|line| {
            let line = line.trim_start();
            line.starts_with("//") || line.starts_with("#[") || !line.ends_with(['}', ';', '{'])
        })
        .any(|line| says(line))
}

/// Lengths of functions, by the indentation that rustfmt gives their first and last lines.
fn check_functions(path: &str, lines: &[&str]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = code_of(line);
        let trimmed = code.trim_start();
        let is_function = has_word(trimmed, "fn")
            && ["fn ", "pub ", "pub(", "const ", "async ", "unsafe ", "extern "]
                .iter()
                .any(|p| trimmed.starts_with(p))
            && trimmed.contains('(');
        if !is_function {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let end = lines[start..].iter().position(|line| {
            let own = line.len() - line.trim_start().len();
            own == indent && (line.trim_start().starts_with('}') || line.trim_end().ends_with(';'))
        });
        let length = end.map_or(1, |end| end + 1);
        if length > FUNCTION_LINES_MAX {
            let rule = format!("a function of {length} lines; at most {FUNCTION_LINES_MAX}");
            found.push(violation(format!("{path}:{}", start + 1), rule));
        }
    }
    found
}

/// Words that have no place in any text file of the repository: they speak of where it was written, not of Ringtalk.
pub fn check_words(path: &str, text: &str) -> Vec<Violation> {
    // Put together from halves, so that this file does not hold them.
    let banned = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("sub", "agent"),
        concat!("crates-io", ".proxy"),
        concat!("static.", "crates.io"),
        concat!("index.", "crates.io"),
        concat!("pypi", ".org"),
        concat!("deb.", "debian.org"),
    ];
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for word in banned {
            if line.contains(word) {
                found.push(violation(
                    format!("{path}:{}", index + 1),
                    format!("{word:?} does not belong here"),
                ));
            }
        }
    }
    found
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the root").to_owned()
}

/// Files of the repository below its root, build output left out, as paths relative to it.
pub fn files() -> Vec<String> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a readable folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            if path.is_dir() {
                if !["target", ".git", "data", "__pycache__", ".venv"].contains(&name.as_str()) {
                    folders.push(path);
                }
            } else {
                found.push(path.strip_prefix(&root).expect("below the root").to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
