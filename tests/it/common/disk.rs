//! Disks that fill, freeze or turn read-only.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::builder::Builder;
use super::command::{Done, finish};
use super::instance::Instance;
use super::wait::SOON;

/// What a disk is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// A file with an ext4 on a loop device, of so many MiB.
    Ext4(u32),
    /// A tmpfs of so many MiB and so many inodes.
    Tmpfs(u32, u32),
}

impl Builder {
    /// Puts the data directory on a disk of its own, mounted in the instance's mount namespace: the kernel unmounts it,
    /// and frees a loop device, when the last process of the instance has ended. What is on an ext4 outlives that.
    pub fn disk(self, disk: Disk) -> Self {
        let data = self.dir.path("data");
        let line = match disk {
            Disk::Ext4(size) => {
                let image = self.dir.path("disk");
                File::create(&image).unwrap().set_len(u64::from(size) << 20).unwrap();
                let mut mkfs = Command::new("mkfs.ext4");
                mkfs.args(["-q", "-F", "-m0", "-E", "lazy_itable_init=1"]).arg(&image);
                finish(mkfs, SOON).success();
                format!("mount -o loop {} {}", image.display(), data.display())
            }
            Disk::Tmpfs(size, inodes) => {
                format!("mount -t tmpfs -o size={size}m,nr_inodes={inodes},mode=755 disk {}", data.display())
            }
        };
        self.setup(line)
    }
}

impl Instance {
    /// Runs a line of shell as root in the instance's mount namespace.
    pub fn as_root(&self, line: &str) -> String {
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.pid1().to_string(), "-m", "--wdns=/", "--", "sh", "-ec", line]);
        command.env("DATA", self.path("data"));
        finish(command, SOON).success()
    }

    /// A path as the instance sees it, from outside.
    pub fn inside(&self, relative: &str) -> PathBuf {
        let path = self.path(relative);
        Path::new(&format!("/proc/{}/root", self.pid1())).join(path.strip_prefix("/").unwrap())
    }
}

/// A disk that is frozen, as a storage that hangs: every write waits. Thawed when dropped.
#[derive(Debug)]
pub struct Frozen(File);

impl Frozen {
    /// Freezes the disk of the data directory.
    pub fn data_of(instance: &Instance) -> Self {
        // The mount point cannot be seen from here but by PID 1's root; the handle outlives PID 1.
        Self::of(&instance.inside("data"))
    }

    /// Freezes the disk on which a folder lies.
    pub fn of(folder: &Path) -> Self {
        let frozen = Self(File::open(folder).expect("a folder"));
        frozen.fsfreeze("-f").success();
        frozen
    }

    fn fsfreeze(&self, how: &str) -> Done {
        let mut command = Command::new("fsfreeze");
        command.arg(how).arg(format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()));
        finish(command, SOON)
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.fsfreeze("-u");
    }
}
