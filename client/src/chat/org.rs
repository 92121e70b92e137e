//! What the interactive client tells of the directory of the organisation.

use std::collections::HashMap;

use wire::name::UserName;
use wire::org::{Department, Member};

use super::text;
use crate::client::Client;
use crate::error::Error;

/// Lines that are told; the rest is counted.
const LINES_MAX: usize = 1_000;

/// Brings the copy up to date and tells of its top, of the departments with this in their name, or of the user with this
/// name.
///
/// # Errors
/// In a sentence.
pub async fn tell(client: &Client, name: &str) -> Result<Vec<String>, String> {
    let told = |error: Error| format!("Directory: {error}.");
    let copy = match client.sync_org().await {
        Ok(copy) => Some(copy),
        Err(Error::NotConnected | Error::ConnectionLost) => None,
        Err(error) => return Err(told(error)),
    };
    let departments = client.departments().await.map_err(told)?;
    let mut lines = Vec::new();
    match copy {
        _ if departments.is_empty() => lines.push("There is no directory of departments here.".into()),
        None => lines.push("Not connected: this is how the directory was.".into()),
        Some(copy) if name.is_empty() => {
            lines.push(format!("{} departments, {} members:", copy.departments, copy.members));
        }
        Some(_) => {}
    }
    if name.is_empty() {
        lines.extend(departments.iter().filter(|it| it.parent == 0).map(|it| shown(&it.name)));
    } else {
        lines.extend(found(client, &departments, name).await.map_err(told)?);
    }
    let left = lines.len().saturating_sub(LINES_MAX);
    lines.truncate(LINES_MAX);
    if left > 0 {
        lines.push(format!("and {left} more: write more of the name."));
    }
    Ok(lines)
}

async fn found(client: &Client, departments: &[Department], name: &str) -> Result<Vec<String>, Error> {
    let wanted = name.to_lowercase();
    let mut lines = Vec::new();
    for department in departments.iter().filter(|it| it.name.to_lowercase().contains(&wanted)) {
        lines.push(format!("{}:", path(departments, department)));
        let under = departments.iter().filter(|it| it.parent == department.id);
        lines.extend(under.map(|it| format!("  {}", shown(&it.name))));
        let members = client.members(department.id).await?;
        lines.extend(members.iter().map(|member| format!("  {}", person(member))));
        if lines.len() > LINES_MAX {
            return Ok(lines);
        }
    }
    if let Ok(user) = UserName::parse(name)
        && let Ok(user) = client.find_user(&user).await
    {
        for member in client.places_of(user.id).await? {
            let place = departments.iter().find(|it| it.id == member.department);
            let place = place.map_or_else(String::new, |department| path(departments, department));
            lines.push(format!("{}: {place}", person(&member)));
        }
    }
    if lines.is_empty() {
        lines.push(format!("Neither a department nor a member is called `{}`.", shown(name)));
    }
    Ok(lines)
}

fn person(member: &Member) -> String {
    let (name, title) = (shown(&member.name), shown(&member.title));
    if title.is_empty() { name } else { format!("{name}, {title}") }
}

/// The names from the top down.
fn path(departments: &[Department], department: &Department) -> String {
    let by_id: HashMap<u32, &Department> = departments.iter().map(|it| (it.id, it)).collect();
    let (mut names, mut at) = (vec![shown(&department.name)], department.parent);
    while let Some(above) = by_id.get(&at).filter(|_| names.len() < 64) {
        names.push(shown(&above.name));
        at = above.parent;
    }
    names.reverse();
    names.join(" / ")
}

fn shown(text: &str) -> String {
    text::for_screen(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_from_the_top_and_ends_even_in_a_circle() {
        let department = |id, parent, name: &str| Department { id, parent, order: 0, name: name.to_owned() };
        let all = [department(1, 0, "Ltd"), department(2, 1, "Research"), department(3, 2, "Robots")];
        assert_eq!(path(&all, &all[2]), "Ltd / Research / Robots");
        let circle = [department(1, 2, "a"), department(2, 1, "b")];
        assert!(path(&circle, &circle[0]).len() < 1_000);
    }
}
