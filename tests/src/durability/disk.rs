//! A file system in a file. A copy of the file holds what had been written through: what was only in memory is lost with the
//! copy, as it is when the power goes.

use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug)]
pub struct LoopDisk {
    folder: PathBuf,
    image: PathBuf,
    mounted: PathBuf,
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program} {}: {text} (this test mounts file systems: it needs root)", arguments.join(" ")))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of ours")
}

impl LoopDisk {
    pub fn new(folder: &Path, mib: u64) -> Result<Self, String> {
        let disk =
            Self { folder: folder.to_owned(), image: folder.join("disk0"), mounted: folder.join("mounted") };
        std::fs::create_dir_all(&disk.mounted).map_err(|error| error.to_string())?;
        run("truncate", &["-s", &format!("{mib}M"), text(&disk.image)])?;
        run("mkfs.ext4", &["-q", text(&disk.image)])?;
        disk.mount()?;
        Ok(disk)
    }

    fn mount(&self) -> Result<(), String> {
        run("mount", &["-o", "loop", text(&self.image), text(&self.mounted)])
    }

    pub fn mounted(&self) -> &Path {
        &self.mounted
    }

    /// What is mounted from now on is what had reached the disk at this moment. Nobody may be using it.
    pub fn cut_power(&mut self, number: u32) -> Result<(), String> {
        let copy = self.folder.join(format!("disk{}", number + 1));
        run("cp", &["--sparse=always", text(&self.image), text(&copy)])?;
        run("umount", &[text(&self.mounted)])?;
        std::fs::remove_file(&self.image).map_err(|error| error.to_string())?;
        self.image = copy;
        self.mount()
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        let _ = run("umount", &["--lazy", text(&self.mounted)]);
    }
}
