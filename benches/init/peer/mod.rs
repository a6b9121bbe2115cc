//! The inits, each with the files that it wants.

mod dinit;
mod monit;
mod ours;
mod runit;
mod s6;
mod simple;
mod supervisord;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::options::Options;
use crate::tools::Tools;

/// The name of the minimal C init.
pub const LIMIT: &str = "limit";
/// The name of our own.
pub const OURS: &str = "polar-supervisor";

/// What an init is to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// How many programs.
    pub count: usize,
    /// What each does: a mode of c/probe.c.
    pub mode: String,
    /// Seconds that a program has to end; `None`: the init's default.
    pub stop_timeout: Option<u32>,
    /// Where the programs' output goes.
    pub capture: Capture,
}

impl Plan {
    /// So many programs that wait, everything else at its default.
    pub fn sleeping(count: usize) -> Self {
        Self { count, mode: "sleep".into(), stop_timeout: None, capture: Capture::Default }
    }

    pub fn mode(self, mode: impl Into<String>) -> Self {
        Self { mode: mode.into(), ..self }
    }
}

/// Where the programs' output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capture {
    /// Where the init sends it when nothing is said.
    Default,
    /// Into a file, as it is.
    Raw,
    /// Into a file, each line with the init's own prefix (a name, a time).
    Prefixed,
}

/// What the files of an instance are made from.
#[derive(Debug)]
pub struct Setting<'a> {
    pub folder: &'a Path,
    pub board: &'a Path,
    pub tools: &'a Tools,
    pub plan: &'a Plan,
}

impl Setting<'_> {
    /// The command line of a program.
    pub fn probe(&self) -> Vec<String> {
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        vec![text(&self.tools.probe), text(self.board), self.plan.mode.clone()]
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes a file into the instance's folder.
    pub fn write(&self, name: &str, text: &str, mode: u32) -> String {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).unwrap();
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
        self.path(name)
    }
}

/// How an init is asked to end all.
#[derive(Debug, Clone)]
pub enum Ask {
    Signal(Signal),
    /// By its own client.
    Command(Vec<String>),
}

/// How an init is started.
#[derive(Debug, Clone)]
pub struct Launch {
    pub argv: Vec<OsString>,
    pub ask: Ask,
    /// A file for PID 1's standard output; `None`: its log.
    pub stdout: Option<PathBuf>,
    /// The file that captured output ends up in.
    pub captured: PathBuf,
}

impl Launch {
    pub fn new<W: Into<OsString>>(argv: impl IntoIterator<Item = W>) -> Self {
        Self {
            argv: argv.into_iter().map(Into::into).collect(),
            ask: Ask::Signal(Signal::TERM),
            stdout: None,
            captured: PathBuf::new(),
        }
    }
}

/// What an init is able to do; it takes part in the measures of that.
#[derive(Debug, Clone, Copy, Default)]
pub struct Can {
    /// Start again what has died.
    pub restart: bool,
    /// Keep many programs.
    pub many: bool,
    /// End what ignores SIGTERM after a time.
    pub kill: bool,
    /// Ask its programs to end before it ends.
    pub stop: bool,
    /// Keep output in a file as it is.
    pub capture: bool,
    /// And with a prefix to each line.
    pub prefix: bool,
}

impl Can {
    pub const ALL: Self =
        Self { restart: true, many: true, kill: true, stop: true, capture: true, prefix: true };
}

/// An init.
#[derive(Debug, Clone)]
pub struct Peer {
    pub name: &'static str,
    /// What it calls itself, and its version.
    pub version: String,
    /// Its executables: those that run while it keeps programs.
    pub binaries: Vec<PathBuf>,
    /// How it was set up, for the reader.
    pub note: &'static str,
    pub can: Can,
    /// Why it takes no part at all.
    pub absent: Option<String>,
    pub tools: Tools,
    pub prepare: fn(&Peer, &Setting) -> Result<Launch, String>,
    /// The client that shows all programs, given the instance's folder.
    pub status: Option<fn(&Peer, &Path) -> Vec<OsString>>,
}

/// All inits, the limit first.
pub fn all(tools: &Tools, options: &Options) -> Vec<Peer> {
    let mut peers = vec![simple::limit(tools), ours::whole(tools, options), ours::exec(tools, options)];
    peers.extend(simple::all(tools));
    peers.extend([
        dinit::peer(tools),
        runit::peer(tools),
        s6::peer(tools),
        supervisord::peer(tools),
        monit::peer(tools),
    ]);
    let wanted = |name: &str| options.peers.is_empty() || options.peers.iter().any(|peer| peer == name);
    peers.retain(|peer| peer.name == LIMIT || wanted(peer.name));
    peers
}

/// An init that the distribution packages.
fn packaged(tools: &Tools, name: &'static str, package: &str, programs: &[&str]) -> Peer {
    let find = |program: &&str| {
        let folders = ["/usr/bin", "/bin", "/usr/sbin", "/sbin"];
        folders.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists())
    };
    let binaries: Vec<PathBuf> = programs.iter().filter_map(find).collect();
    let query = Command::new("dpkg-query").args(["-W", "-f", "${Version}", package]).output();
    let version = query.ok().filter(|done| done.status.success());
    let version = version.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned());
    let absent = (binaries.len() < programs.len())
        .then(|| format!("not on this machine: the distribution has no package '{package}'"));
    Peer {
        name,
        version: version.filter(|text| !text.is_empty()).unwrap_or_else(|| "not packaged".into()),
        binaries,
        note: "",
        can: Can::default(),
        absent,
        tools: tools.clone(),
        prepare: |_, _| Err("no files".into()),
        status: None,
    }
}
