//! Files with an organisation: CSV and JSON.

use std::fmt;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use wire::org::Department;

use super::Finding;
use super::copy::Directory;

/// Columns of a CSV file. The first three must be there.
const COLUMNS: [&str; 7] = ["kind", "department", "name", "parent", "user", "title", "order"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Csv,
    Json,
}

/// Where something stands in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Line {
    /// Of a CSV file, from 1.
    Csv(u64),
    /// Of a JSON file: a place in one of its lists, from 0.
    Department(usize),
    Member(usize),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Csv(line) => write!(f, "line {line}"),
            Line::Department(index) => write!(f, "departments[{index}]"),
            Line::Member(index) => write!(f, "members[{index}]"),
        }
    }
}

/// A member as a file names him.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedMember {
    pub department: u32,
    /// As it stands in the file.
    pub user: String,
    pub title: String,
    pub order: u32,
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    pub departments: Vec<(Line, Department)>,
    pub members: Vec<(Line, NamedMember)>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct JsonFile {
    #[serde(default)]
    departments: Vec<JsonDepartment>,
    #[serde(default)]
    members: Vec<JsonMember>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct JsonDepartment {
    id: u32,
    #[serde(default)]
    parent: u32,
    name: String,
    #[serde(default)]
    order: u32,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct JsonMember {
    department: u32,
    user: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    order: u32,
}

/// Reads a file.
///
/// # Errors
/// All lines that cannot be read.
pub fn parse(text: &str, format: Format) -> Result<File, Vec<Finding>> {
    match format {
        Format::Csv => parse_csv(text.trim_start_matches('\u{feff}')),
        Format::Json => parse_json(text),
    }
}

fn parse_json(text: &str) -> Result<File, Vec<Finding>> {
    let file: JsonFile = serde_json::from_str(text).map_err(|error| {
        vec![Finding { at: Some(Line::Csv(error.line() as u64)), what: error.to_string() }]
    })?;
    let department = |(index, it): (usize, JsonDepartment)| {
        let JsonDepartment { id, parent, name, order } = it;
        (Line::Department(index), Department { id, parent, order, name })
    };
    let member = |(index, it): (usize, JsonMember)| {
        let JsonMember { department, user, title, order } = it;
        (Line::Member(index), NamedMember { department, user, title, order })
    };
    Ok(File {
        departments: file.departments.into_iter().enumerate().map(department).collect(),
        members: file.members.into_iter().enumerate().map(member).collect(),
    })
}

fn parse_csv(text: &str) -> Result<File, Vec<Finding>> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers = match reader.headers() {
        Ok(headers) => headers.clone(),
        Err(error) => return Err(vec![of_csv(&error)]),
    };
    let mut findings = Vec::new();
    for (index, name) in headers.iter().enumerate() {
        if !COLUMNS.contains(&name) || headers.iter().position(|other| other == name) != Some(index) {
            findings.push(at(1, format!("the column {name:?} is not known, or there twice")));
        }
    }
    let missing = COLUMNS[..3].iter().filter(|name| !headers.iter().any(|header| header == **name));
    findings.extend(missing.map(|name| at(1, format!("the column {name:?} is missing"))));
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut file = File::default();
    for record in reader.records() {
        let read = record.map_err(|error| of_csv(&error)).and_then(|record| {
            let line = record.position().map_or(0, csv::Position::line);
            read_record(&mut file, &headers, &record, line).map_err(|what| at(line, what))
        });
        findings.extend(read.err());
    }
    if findings.is_empty() { Ok(file) } else { Err(findings) }
}

fn read_record(
    file: &mut File,
    headers: &csv::StringRecord,
    record: &csv::StringRecord,
    line: u64,
) -> Result<(), String> {
    let field = |name: &str| {
        let index = headers.iter().position(|header| header == name);
        index.and_then(|index| record.get(index)).unwrap_or_default()
    };
    let number = |name: &str| match field(name) {
        "" => Ok(0),
        text => text.parse::<u32>().map_err(|_| format!("{name} {text:?} is not a number")),
    };
    let empty = |names: &[&str], kind: &str| {
        let set = names.iter().find(|name| !field(name).is_empty());
        set.map_or(Ok(()), |name| Err(format!("a {kind} has no {name}")))
    };
    let (department, order) = (number("department")?, number("order")?);
    match field("kind") {
        "department" => {
            empty(&["user", "title"], "department")?;
            let (parent, name) = (number("parent")?, field("name").to_owned());
            file.departments.push((Line::Csv(line), Department { id: department, parent, order, name }));
        }
        "member" => {
            empty(&["name", "parent"], "member")?;
            let (user, title) = (field("user").to_owned(), field("title").to_owned());
            file.members.push((Line::Csv(line), NamedMember { department, user, title, order }));
        }
        other => return Err(format!("kind {other:?} is neither department nor member")),
    }
    Ok(())
}

fn at(line: u64, what: String) -> Finding {
    Finding { at: Some(Line::Csv(line)), what }
}

fn of_csv(error: &csv::Error) -> Finding {
    Finding { at: error.position().map(|position| Line::Csv(position.line())), what: error.to_string() }
}

/// Writes the whole directory as a file that imports to the same.
pub fn write_csv(directory: &Directory, out: impl Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(out);
    writer.write_record(COLUMNS)?;
    for department in directory.from_the_top() {
        let Department { id, parent, order, name } = department;
        let numbers = [id, parent, order].map(u32::to_string);
        writer.write_record(["department", &numbers[0], name, &numbers[1], "", "", &numbers[2]])?;
    }
    for member in directory.members.values() {
        let (department, order) = (member.department.to_string(), member.order.to_string());
        writer.write_record(["member", &department, "", "", &member.name, &member.title, &order])?;
    }
    writer.flush()
}

/// The same as JSON.
pub fn write_json(directory: &Directory, out: impl Write) -> io::Result<()> {
    let departments = directory.from_the_top().into_iter().cloned().map(|department| {
        let Department { id, parent, order, name } = department;
        JsonDepartment { id, parent, name, order }
    });
    let members = directory.members.values().cloned().map(|member| JsonMember {
        department: member.department,
        user: member.name,
        title: member.title,
        order: member.order,
    });
    let file = JsonFile { departments: departments.collect(), members: members.collect() };
    serde_json::to_writer_pretty(out, &file).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "kind,department,parent,name,user,title,order\n\
        department,1,,\"Example, Ltd\",,,\n\
        department,12,1,Research,,,2\n\
        member,12,,,ann,\"Head of \"\"it\"\"\",1\n";

    #[test]
    fn a_csv_file_is_read_with_its_lines() {
        let file = parse(CSV, Format::Csv).expect("readable");
        assert_eq!(file.departments[0].1.name, "Example, Ltd");
        assert_eq!((file.departments[1].0, file.departments[1].1.parent), (Line::Csv(3), 1));
        assert_eq!((file.members[0].0, &file.members[0].1.title[..]), (Line::Csv(4), "Head of \"it\""));
        let marked = format!("\u{feff}{CSV}");
        assert_eq!(parse(&marked, Format::Csv), Ok(file));
    }

    #[test]
    fn each_wrong_line_is_told() {
        let wrong = "kind,department,name,user\nteam,1,x,\ndepartment,one,x,\nmember,1,x,ann\ndepartment,1\n";
        let found = parse(wrong, Format::Csv).expect_err("unreadable");
        let lines: Vec<_> = found.iter().map(|finding| finding.at).collect();
        assert_eq!(lines, [2, 3, 4, 5].map(|line| Some(Line::Csv(line))), "{found:?}");
        let columns = parse("kind,department,name,colour,name\n", Format::Csv).expect_err("columns");
        assert_eq!(columns.len(), 2, "{columns:?}");
        assert_eq!(parse("department,name\n", Format::Csv).expect_err("no kind").len(), 1);
        assert_eq!(parse("{\n\"people\":[]}", Format::Json).expect_err("json")[0].at, Some(Line::Csv(2)));
    }
}
