//! The node's program where none is named: the one beside this program, as new as the sources.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Under `cargo run` the node is built first, since cargo has built this program only. Without cargo it is taken as it is.
pub(crate) fn node() -> Result<PathBuf> {
    let own = std::env::current_exe().context("this program's path")?;
    let folder = own.parent().unwrap_or(Path::new("."));
    let path = folder.join("ringtalk");
    if let (Some(cargo), Some(arguments)) = (std::env::var_os("CARGO"), build_arguments(folder)) {
        eprintln!("building the node, if its sources have changed");
        let status = Command::new(cargo).args(arguments).status().context("running cargo")?;
        if !status.success() {
            bail!("the node does not build");
        }
    }
    if !path.exists() {
        bail!("{} is not built: run `cargo build --release`, or give --node", path.display());
    }
    Ok(path)
}

/// Builds into the folder this program is in; `None` if that is no folder of cargo's.
fn build_arguments(folder: &Path) -> Option<Vec<OsString>> {
    let profile = match folder.file_name()?.to_str()? {
        "debug" => "dev",
        "release" => "release",
        _ => return None,
    };
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.join("Cargo.toml");
    let text = |arguments: &[&str]| arguments.iter().map(OsString::from).collect::<Vec<_>>();
    // Both, as `cargo run` has built it: dependencies have the same features then and need not be built again.
    let mut arguments =
        text(&["build", "--quiet", "-p", "node", "-p", "bench", "--profile", profile, "--manifest-path"]);
    arguments.push(manifest.into());
    arguments.extend(text(&["--target-dir"]));
    arguments.push(folder.parent()?.into());
    Some(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_node_is_built_into_the_folder_of_this_program() {
        let arguments = build_arguments(Path::new("/somewhere/target/release")).unwrap();
        let has = |wanted: &[&str]| arguments.windows(wanted.len()).any(|part| part == wanted);
        assert!(has(&["--profile", "release"]) && has(&["--target-dir", "/somewhere/target"]));
        assert!(build_arguments(Path::new("/usr/local/bin")).is_none());
    }
}
