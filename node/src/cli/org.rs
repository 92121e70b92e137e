//! `ringtalk org import|export|show|add|move|remove|join|leave`: the directory of the organisation of a running node.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use wire::UserId;
use wire::org::{Department, Member, OrgItem};

use super::{EXIT_FAILED, Failure, Reach, complain, print};
use crate::admin::AdminClient;
use crate::org::{self, Directory, Format, Plan, Rest};

/// Wrong lines that are told; the rest is counted.
const FINDINGS_TOLD_MAX: usize = 100;

#[derive(Args, Debug)]
pub(super) struct OrgArgs {
    #[command(subcommand)]
    act: OrgAct,
}

#[derive(Subcommand, Debug)]
enum OrgAct {
    /// Make the directory as a file says; all of it is checked first
    Import(ImportArgs),
    /// Print the whole directory as a file that imports to the same
    Export(ExportArgs),
    /// Show the departments, or one with its members
    Show(ShowArgs),
    /// Add a department
    Add(AddArgs),
    /// Move a department under another one, or give it another name or order
    Move(MoveArgs),
    /// Remove a department
    Remove(RemoveArgs),
    /// Put a user into a department, or change his title there
    Join(JoinArgs),
    /// Take a user out of a department
    Leave(LeaveArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormatName {
    Csv,
    Json,
}

#[derive(Args, Debug)]
struct ImportArgs {
    /// The file: CSV, or JSON when its name ends so; - is standard input
    file: PathBuf,
    /// csv or json, whatever the file's name is
    #[arg(long)]
    format: Option<FormatName>,
    /// Remove what the file does not name
    #[arg(long)]
    replace: bool,
    /// Check the file and say what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
struct ExportArgs {
    #[arg(long, default_value = "csv")]
    format: FormatName,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
struct ShowArgs {
    /// Number of a department
    department: Option<u32>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
struct AddArgs {
    name: String,
    /// Its number [default: one more than the highest]
    #[arg(long)]
    id: Option<u32>,
    /// The department it stands under [default: 0, the top]
    #[arg(long, default_value_t = 0)]
    parent: u32,
    /// Its place among its neighbours
    #[arg(long, default_value_t = 0)]
    order: u32,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
struct MoveArgs {
    department: u32,
    /// 0: to the top
    #[arg(long)]
    parent: Option<u32>,
    #[arg(long)]
    order: Option<u32>,
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
struct RemoveArgs {
    department: u32,
    /// With its members and all departments under it
    #[arg(long)]
    branch: bool,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
struct JoinArgs {
    user: String,
    department: u32,
    #[arg(long, default_value = "")]
    title: String,
    /// His place among the members
    #[arg(long, default_value_t = 0)]
    order: u32,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Args, Debug)]
struct LeaveArgs {
    user: String,
    department: u32,
    #[command(flatten)]
    reach: Reach,
}

pub(super) fn run(args: OrgArgs) -> Result<ExitCode, Failure> {
    match args.act {
        OrgAct::Import(args) => import(&args),
        OrgAct::Export(args) => export(&args),
        OrgAct::Show(args) => show(&args),
        OrgAct::Add(args) => add(args),
        OrgAct::Move(args) => change(args),
        OrgAct::Remove(args) => remove(&args),
        OrgAct::Join(args) => join(args),
        OrgAct::Leave(args) => leave(&args),
    }
}

fn import(args: &ImportArgs) -> Result<ExitCode, Failure> {
    let is_json = args.file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
    let format = match args.format {
        Some(FormatName::Json) => Format::Json,
        None if is_json => Format::Json,
        Some(FormatName::Csv) | None => Format::Csv,
    };
    let text = read_file(&args.file)?;
    let mut node = connect(&args.reach)?;
    let rest = if args.replace { Rest::Goes } else { Rest::Stays };
    let planned = match org::parse(&text, format) {
        Err(findings) => Err(findings),
        Ok(file) => {
            let names = file.members.iter().map(|(_, member)| member.user.as_str());
            let users = org::find_users(&mut node, names).map_err(Failure::new)?;
            let now = org::read(&mut node).map_err(Failure::new)?;
            org::plan(&now, &file, &users, rest).map(|plan| (now.position.over, plan))
        }
    };
    let (version, Plan { edits }) = match planned {
        Ok(planned) => planned,
        Err(findings) => {
            let name = args.file.display();
            for finding in findings.iter().take(FINDINGS_TOLD_MAX) {
                complain(&format!("{name}: {finding}"));
            }
            let count = findings.len();
            complain(&format!("{count} findings in {name}; nothing was done: mend the file and try again"));
            return Ok(ExitCode::from(EXIT_FAILED));
        }
    };
    let [put, gone, joined, left] = Plan { edits: edits.clone() }.counts();
    let counts = format!("departments put {put}, removed {gone}; members put {joined}, removed {left}");
    if args.dry_run {
        print(&format!("nothing was done; it would be: {counts}\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let version = org::apply(&mut node, version, edits).map_err(Failure::new)?;
    print(&format!("{counts}; the directory is at version {version}\n"));
    Ok(ExitCode::SUCCESS)
}

fn read_file(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(path)
    };
    read.map_err(|error| Failure::new(format!("{}: {error}; give a file in UTF-8", path.display())))
}

fn export(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let directory = directory(&args.reach)?.1;
    let mut out = Vec::new();
    let written = match args.format {
        FormatName::Csv => org::write_csv(&directory, &mut out),
        FormatName::Json => org::write_json(&directory, &mut out),
    };
    written.map_err(Failure::new)?;
    print(&String::from_utf8_lossy(&out));
    Ok(ExitCode::SUCCESS)
}

fn show(args: &ShowArgs) -> Result<ExitCode, Failure> {
    let directory = directory(&args.reach)?.1;
    let mut text = String::new();
    match args.department {
        None => {
            let (departments, members) = (directory.departments.len(), directory.members.len());
            let version = directory.position.over;
            let _ = writeln!(text, "version {version}, departments {departments}, members {members}");
            show_under(&directory, 0, 0, &mut text);
        }
        Some(id) => {
            let department = department(&directory, id)?;
            let _ = writeln!(text, "{id}  {} (under {})", department.name, department.parent);
            show_under(&directory, id, 1, &mut text);
            let mut members: Vec<_> = directory.members.values().filter(|it| it.department == id).collect();
            members.sort_by_key(|member| (member.order, &member.name));
            for Member { user, order, name, title, .. } in members {
                let _ = writeln!(text, "{order:>6}  {name}  {title}  (user {})", user.0);
            }
        }
    }
    print(&text);
    Ok(ExitCode::SUCCESS)
}

fn show_under(directory: &Directory, parent: u32, depth: usize, text: &mut String) {
    for department in directory.under(parent) {
        let range = (department.id, UserId(0))..=(department.id, UserId(u64::MAX));
        let members = directory.members.range(range).count();
        let (id, name) = (department.id, &department.name);
        let _ = writeln!(text, "{:indent$}{id}  {name}  ({members})", "", indent = 2 * depth);
        show_under(directory, id, depth + 1, text);
    }
}

fn add(args: AddArgs) -> Result<ExitCode, Failure> {
    let (mut node, now) = directory(&args.reach)?;
    let highest = now.departments.last_key_value().map_or(0, |(id, _)| *id);
    let id = args.id.unwrap_or(highest.saturating_add(1));
    if now.departments.contains_key(&id) {
        return Err(Failure::new(format!(
            "department {id} is there already; `ringtalk org move` changes it"
        )));
    }
    let department = Department { id, parent: args.parent, order: args.order, name: args.name };
    edit(&mut node, &now, vec![OrgItem::Department(department)])?;
    print(&format!("department {id} added\n"));
    Ok(ExitCode::SUCCESS)
}

fn change(args: MoveArgs) -> Result<ExitCode, Failure> {
    let (mut node, now) = directory(&args.reach)?;
    let mut department = department(&now, args.department)?.clone();
    department.parent = args.parent.unwrap_or(department.parent);
    department.order = args.order.unwrap_or(department.order);
    department.name = args.name.unwrap_or(department.name);
    edit(&mut node, &now, vec![OrgItem::Department(department)])?;
    print(&format!("department {} changed\n", args.department));
    Ok(ExitCode::SUCCESS)
}

fn remove(args: &RemoveArgs) -> Result<ExitCode, Failure> {
    let (mut node, now) = directory(&args.reach)?;
    department(&now, args.department)?;
    let edits = if args.branch {
        org::branch(&now, args.department)
    } else {
        vec![OrgItem::DepartmentGone(args.department)]
    };
    let rows = edits.len();
    edit(&mut node, &now, edits)?;
    print(&format!("department {} removed, {rows} rows of the directory in all\n", args.department));
    Ok(ExitCode::SUCCESS)
}

fn join(args: JoinArgs) -> Result<ExitCode, Failure> {
    let (mut node, now) = directory(&args.reach)?;
    let (name, user) = find(&mut node, &args.user)?;
    let JoinArgs { department, title, order, .. } = args;
    let member = Member { department, user, order, name: name.clone(), title };
    edit(&mut node, &now, vec![OrgItem::Member(member)])?;
    print(&format!("{name} is in department {department}\n"));
    Ok(ExitCode::SUCCESS)
}

fn leave(args: &LeaveArgs) -> Result<ExitCode, Failure> {
    let (mut node, now) = directory(&args.reach)?;
    let (name, user) = find(&mut node, &args.user)?;
    let department = args.department;
    if !now.members.contains_key(&(department, user)) {
        return Err(Failure::new(format!("{name} is not in department {department}")));
    }
    edit(&mut node, &now, vec![OrgItem::MemberGone { department, user }])?;
    print(&format!("{name} has left department {department}\n"));
    Ok(ExitCode::SUCCESS)
}

fn find(node: &mut AdminClient, name: &str) -> Result<(String, UserId), Failure> {
    let found = org::find_users(node, [name].into_iter()).map_err(Failure::new)?;
    found.into_iter().next().ok_or_else(|| Failure::new(format!("there is no user {name:?}")))
}

fn department(directory: &Directory, id: u32) -> Result<&Department, Failure> {
    let found = directory.departments.get(&id);
    found.ok_or_else(|| Failure::new(format!("department {id} is not there; `ringtalk org show` lists all")))
}

fn edit(node: &mut AdminClient, now: &Directory, edits: Vec<OrgItem>) -> Result<u64, Failure> {
    org::apply(node, now.position.over, edits).map_err(Failure::new)
}

fn connect(reach: &Reach) -> Result<AdminClient, Failure> {
    AdminClient::connect(&reach.socket()?).map_err(Failure::new)
}

fn directory(reach: &Reach) -> Result<(AdminClient, Directory), Failure> {
    let mut node = connect(reach)?;
    let now = org::read(&mut node).map_err(Failure::new)?;
    Ok((node, now))
}
