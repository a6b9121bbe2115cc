//! What is found out before anything is decided.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::Uid;

use super::configure::{self, Given};
use super::stage::{self, Found};
use super::{Install, Role, USER, folders, markers, progress};
use crate::engine::control;
use crate::engine::datadir::{Contents, Entry, EntryKind, Listing, datadir_verdict};
use crate::engine::greeting::listens;
use crate::engine::stage::{JOURNAL, is_first_boots};
use crate::manager::cause::Cause;
use crate::manager::site::{Site, socket_path};
use crate::manager::user;

/// How long the port may take to answer: it is of this machine, or does not matter.
const KNOCK: Duration = Duration::from_millis(200);

/// How things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The data directory.
    pub(super) data_dir: PathBuf,
    /// Whether `ins_install_step` says `done`.
    pub(super) done: bool,
    /// What the data directory is, of stages those of installations alone.
    pub(super) contents: Contents,
    /// The stages of installations.
    pub(super) stages: Vec<Found>,
    /// The stage whose journal says that this database, or what there is of it, came from it.
    pub(super) ours: Option<String>,
    /// What that was to be.
    pub(super) role: Option<String>,
    /// A stage of a first boot, and whether it is complete or its keeper lives.
    pub(super) first_boot: Option<String>,
    /// What listens on a socket or port of the instance.
    pub(super) listens: Option<String>,
    /// Whether there is a pid file.
    pub(super) pid_file: bool,
    /// Whom the data directory is to belong to: the user's id and group, and its name.
    pub(super) user: (u32, u32, String),
    /// Whether it does not, or is open to others.
    pub(super) to_own: bool,
    /// Whether this process may change that.
    pub(super) may_own: bool,
    /// Markers that do not say what they should.
    pub(super) unmarked: Vec<&'static str>,
    /// Whether the lock file is there.
    pub(super) locked: bool,
    /// Whether certificate and key are as given; nothing where none are.
    pub(super) ssl: bool,
    /// Whether the folder of the tablespace is to be made.
    pub(super) tablespace: bool,
    /// Whether the folder of logs, or the link to it, is to be made.
    pub(super) logs: bool,
    /// Whether the configuration of what is ours is not as asked for.
    pub(super) unconfigured: bool,
    /// The parameters, checked.
    pub(super) parameters: Vec<(String, String)>,
    /// What is read beside the volume.
    pub(super) given: Given,
}

impl Seen {
    /// Whether the installation is complete.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// The engine's user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user.2
    }
}

/// Looks.
///
/// # Errors
/// What was asked for can be no installation, or the volume cannot be looked at.
pub(super) fn look(install: &Install, site: &Site) -> Result<Seen, Cause> {
    let parameters = super::plan::checked(install)?;
    let (owner, mode) = owner_and_mode(site)?;
    let user = wanted_user(install, owner)?;
    let euid = Uid::effective();
    if !euid.is_root() && euid.as_raw() != owner.0 {
        let what = format!(
            "{} belongs to {}, and this is {}",
            site.data_dir.display(),
            user::name_of(owner.0),
            user::own()
        );
        return Err(Cause::NotPermitted(what));
    }
    let given = Given::read(install)?;
    let looked: io::Result<Volume> = site.as_owner(|| Volume::look(install, site))?;
    let volume = looked.map_err(|error| Cause::of_file(&site.data_dir, error))?;
    let mut seen = Seen {
        data_dir: site.data_dir.clone(),
        done: volume.done,
        contents: volume.contents,
        stages: volume.stages,
        ours: None,
        role: None,
        first_boot: volume.first_boot,
        listens: None,
        pid_file: volume.pid_file,
        to_own: owner != (user.0, user.1) || mode & 0o7777 != 0o700,
        may_own: euid.is_root() || owner.0 == user.0,
        user,
        unmarked: volume.unmarked,
        locked: site.lock_file.symlink_metadata().is_ok(),
        ssl: true,
        tablespace: false,
        logs: false,
        unconfigured: false,
        parameters,
        given,
    };
    if seen.done {
        return Ok(seen);
    }
    seen.listens = listener(install, site, &seen, &volume.sockets);
    if let Some(ssl) = &install.ssl {
        seen.ssl = ssl.are_in(site)?;
    }
    if let Some(dir) = &install.tablespace_dir {
        seen.tablespace = !folders::is_there(site, dir)?;
    }
    find_ours(install, site, &mut seen)?;
    Ok(seen)
}

/// What the volume shows, as the engine's user sees it.
struct Volume {
    done: bool,
    contents: Contents,
    stages: Vec<Found>,
    first_boot: Option<String>,
    pid_file: bool,
    sockets: Vec<PathBuf>,
    unmarked: Vec<&'static str>,
}

impl Volume {
    fn look(install: &Install, site: &Site) -> io::Result<Self> {
        let data_dir = site.data_dir.as_path();
        let mut listing = Listing { lock_file_name: lock_file_name(site), ..Listing::default() };
        let mut sockets = Vec::new();
        for entry in fs::read_dir(data_dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = kind(&entry.file_type()?);
            if kind == EntryKind::Socket {
                sockets.push(entry.path());
            }
            listing.entries.push(Entry { name, kind });
        }
        let stages = stage::find(data_dir)?;
        let complete = stages.iter().find(|stage| stage.complete);
        listing.complete_stage = complete.map(|stage| stage.name.clone());
        let mut unmarked = Vec::new();
        for (name, text) in markers::wanted(install) {
            if markers::read(data_dir, name)?.as_ref() != Some(&text) {
                unmarked.push(name);
            }
        }
        Ok(Volume {
            done: markers::read(data_dir, markers::STEP)?.is_some_and(|text| progress::is_done(&text)),
            contents: datadir_verdict(&listing),
            stages,
            first_boot: first_boot(data_dir)?,
            pid_file: data_dir.join("postmaster.pid").symlink_metadata().is_ok(),
            sockets,
            unmarked,
        })
    }
}

fn kind(found: &fs::FileType) -> EntryKind {
    use std::os::unix::fs::FileTypeExt;
    match found {
        kind if kind.is_symlink() => EntryKind::Link,
        kind if kind.is_dir() => EntryKind::Dir,
        kind if kind.is_file() => EntryKind::File,
        kind if kind.is_socket() => EntryKind::Socket,
        _ => EntryKind::Other,
    }
}

fn lock_file_name(site: &Site) -> Option<String> {
    let name = site.lock_file.file_name()?.to_string_lossy().into_owned();
    (site.lock_file.parent() == Some(site.data_dir.as_path())).then_some(name)
}

/// What the stages of first boots mean, if anything: one that is complete is to be gone on with by the supervisor that
/// has made it; another one is under way where somebody keeps the data directory. What a dead one has left is in nobody's
/// way. Called as the engine's user.
///
/// # Errors
/// The data directory cannot be read.
pub(super) fn first_boot(data_dir: &Path) -> io::Result<Option<String>> {
    for entry in fs::read_dir(data_dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !is_first_boots(&name) || !entry.file_type()?.is_dir() {
            continue;
        }
        if entry.path().join(JOURNAL).symlink_metadata().is_ok() {
            return Ok(Some(format!(
                "a first boot by a supervisor got as far as {name}, which is complete,"
            )));
        }
        if stage::is_held(&stage::open(data_dir)?)? {
            return Ok(Some(format!("a supervisor keeps its first boot {name}")));
        }
    }
    Ok(None)
}

fn owner_and_mode(site: &Site) -> Result<((u32, u32), u32), Cause> {
    let meta = fs::metadata(&site.data_dir).map_err(|error| Cause::of_file(&site.data_dir, error))?;
    if !meta.is_dir() {
        let what = format!("{} is no folder", site.data_dir.display());
        return Err(Cause::invalid("usage", what, "give the place where the data volume is mounted"));
    }
    Ok(((meta.uid(), meta.gid()), meta.mode()))
}

/// The engine's user: who is asked for, else whom the data directory belongs to, else the usual one.
fn wanted_user(install: &Install, owner: (u32, u32)) -> Result<(u32, u32, String), Cause> {
    let wanted = match &install.user {
        None if owner.0 != 0 => return Ok((owner.0, owner.1, user::name_of(owner.0))),
        None => USER,
        Some(name) => name.as_str(),
    };
    let refuse = |what: &str| {
        let shown: String = wanted.chars().take(60).collect();
        let next = "name an ordinary user that is in /etc/passwd here: --user NAME";
        Err(Cause::invalid("no_user", format!("the engine's user {shown:?} {what}"), next))
    };
    let Some(uid) = user::uid_of(wanted) else { return refuse("is not known here") };
    if uid == 0 {
        return refuse("is root, and an engine never runs as root");
    }
    // Of a number without a line in /etc/passwd.
    let gid = user::gid_of(uid).unwrap_or(uid);
    Ok((uid, gid, user::name_of(uid)))
}

/// What listens where the instance would, without asking anything of a process: it may be in another container.
fn listener(install: &Install, site: &Site, seen: &Seen, sockets: &[PathBuf]) -> Option<String> {
    let told = site.seen().ok().and_then(|seen| seen.pid_file);
    let of_files = site.sockets(told.as_ref()).into_iter().map(|(dir, port)| socket_path(&dir, port));
    // A folder that other instances use, too, tells of this one only where its own pid file names it.
    let of_files = of_files.filter(|socket| told.is_some() || socket.starts_with(&site.data_dir));
    let found = site.as_owner(|| of_files.chain(sockets.iter().cloned()).find(|socket| listens(socket)));
    if let Ok(Some(socket)) = found {
        return Some(socket.display().to_string());
    }
    let port = configure::port(install, &seen.parameters)?.parse().ok()?;
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    TcpStream::connect_timeout(&address, KNOCK).is_ok().then(|| format!("TCP port {port} of this machine"))
}

/// Whether what is there came from a stage of ours, and whether it is configured as asked for.
fn find_ours(install: &Install, site: &Site, seen: &mut Seen) -> Result<(), Cause> {
    let found: io::Result<()> = site.as_owner(|| {
        let Some((name, journal)) =
            seen.stages.iter().find_map(|stage| Some((stage.name.clone(), stage.journal.clone()?)))
        else {
            return Ok(());
        };
        let folder = site.data_dir.join(&name);
        let pgdata = folder.join("pgdata");
        let places = [site.data_dir.as_path(), pgdata.as_path()];
        let control = places.iter().find_map(|place| fs::read(place.join("global/pg_control")).ok());
        let control = control.and_then(|bytes| control::parse(&bytes).ok());
        if control.is_none_or(|control| control.system_identifier != journal.system_identifier) {
            return Ok(());
        }
        let texts = configure::wanted(install, &seen.parameters, &seen.given, &folder, seen.user.0)?;
        seen.unconfigured = configure::differs(&texts, places);
        seen.ours = Some(name);
        seen.role = Some(journal.role);
        Ok(())
    })?;
    found.map_err(|error| Cause::of_file(&site.data_dir, error))?;
    seen.logs = logs_missing(install, site, seen)?;
    Ok(())
}

/// Whether the folder of logs is to be made: where the engine logs into the folder that is a link.
fn logs_missing(install: &Install, site: &Site, seen: &Seen) -> Result<bool, Cause> {
    let of_parameters = seen.parameters.iter().find(|(name, _)| name == "log_directory");
    let linked = match (of_parameters, &seen.contents) {
        (Some((_, value)), _) => value == folders::LINKED,
        (None, Contents::Database) => {
            site.as_owner(|| configure::log_directory(&site.data_dir))?.as_deref() == Some(folders::LINKED)
        }
        (None, _) => seen.given.log_directory().as_deref() == Some(folders::LINKED),
    };
    if !linked {
        return Ok(false);
    }
    let target = folders::logs_of(&install.log_dir);
    let link = site.as_owner(|| fs::read_link(site.data_dir.join(folders::LINKED)).ok())?;
    Ok(link.as_ref() != Some(&target) || !folders::is_there(site, &target)?)
}

/// The role that a journal has.
pub(super) fn role_of(install: &Install) -> &'static str {
    match install.role {
        Role::Standby(_) => "standby",
        _ => "rw",
    }
}
