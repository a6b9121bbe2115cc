//! The configuration files: what they are to say (pure), and writing them as a whole.
//!
//! They are made of what initdb or the primary's copy brought, which the stage keeps: so they can be made again, and
//! compared, until the installation is done.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Install, Role, conninfo, markers};
use crate::engine::access;
use crate::engine::conf::{Document, Where};
use crate::engine::defaults::{INITDB_FILE, first_boot_conf};
use crate::manager::cause::Cause;
use crate::manager::site::Site;
use crate::manager::user;

/// `postgresql.conf` as it was brought.
const BASE: &str = "brought.conf";
/// `postgresql.auto.conf` as it was brought.
const BASE_AUTO: &str = "brought.auto.conf";
/// The most bytes of a file that others bring.
const LONGEST: u64 = 4 << 20;
/// PostgreSQL's own where nothing says another.
const DEFAULT_PORT: u16 = 5432;

/// What is read beside the stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Given {
    /// The template of `postgresql.conf`.
    template: Option<String>,
    /// The node's own `pg_hba.conf`.
    hba: Option<String>,
}

/// A file and what it is to say.
type Text = (&'static str, Vec<u8>);

impl Given {
    /// Reads them with this process's own rights.
    ///
    /// # Errors
    /// One is there and cannot be read, or the template is not there.
    pub(super) fn read(install: &Install) -> Result<Self, Cause> {
        let template = match &install.template {
            Some(path) => Some(text_of(path).map_err(|error| Cause::of_file(path, error))?),
            None => None,
        };
        let hba = match text_of(&install.node_hba) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Cause::of_file(&install.node_hba, error)),
        };
        Ok(Given { template, hba })
    }

    /// The `log_directory` of the template.
    pub(super) fn log_directory(&self) -> Option<String> {
        Document::parse(self.template.as_ref()?.as_bytes()).get("log_directory")
    }

    /// What people should know.
    pub(super) fn notes(&self, install: &Install) -> Vec<String> {
        let Some(hba) = &self.hba else { return Vec::new() };
        let mut notes =
            vec![format!("{} takes the place of all rules of pg_hba.conf", install.node_hba.display())];
        if !hba.lines().any(|line| line.trim_start().starts_with("local")) {
            notes.push("it has no rule for sockets: operations on the instance will be refused".to_owned());
        }
        notes
    }
}

fn text_of(path: &Path) -> io::Result<String> {
    let meta = fs::metadata(path)?;
    if !meta.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    if meta.len() > LONGEST {
        return Err(io::Error::other(format!("it has more than {LONGEST} bytes")));
    }
    let text = fs::read_to_string(path)?;
    if text.contains('\0') { Err(io::Error::other("it has a NUL in it")) } else { Ok(text) }
}

/// Keeps what was brought. Called as the engine's user, before anything of it is changed.
///
/// # Errors
/// It cannot be read or written.
pub(super) fn keep(stage: &Path, pgdata: &Path) -> io::Result<()> {
    for (name, kept) in [("postgresql.conf", BASE), ("postgresql.auto.conf", BASE_AUTO)] {
        match fs::copy(pgdata.join(name), stage.join(kept)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && kept == BASE_AUTO => {}
            copied => _ = copied?,
        }
    }
    Ok(())
}

/// What the files are to say, by what the stage keeps. Called as the engine's user.
///
/// # Errors
/// The stage has lost it.
pub(super) fn wanted(
    install: &Install,
    parameters: &[(String, String)],
    given: &Given,
    stage: &Path,
    engine_user: u32,
) -> io::Result<Vec<Text>> {
    let base = fs::read(stage.join(BASE))?;
    let auto = match fs::read(stage.join(BASE_AUTO)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        auto => auto?,
    };
    let name = user::name_of(engine_user);
    // A number is nobody's name; where the engine runs it is given one.
    let name = if name == engine_user.to_string() { access::stand_in(engine_user) } else { name };
    Ok(texts(install, parameters, given, (&base, &auto), Some(&name)))
}

/// The same, pure.
fn texts(
    install: &Install,
    parameters: &[(String, String)],
    given: &Given,
    (base, auto): (&[u8], &[u8]),
    engine_user: Option<&str>,
) -> Vec<Text> {
    let mut texts = Vec::new();
    let conf = match &install.role {
        Role::Standby(primary) => {
            let mut settings = parameters.to_vec();
            settings.retain(|(name, _)| name != "port");
            settings.extend(port(install, parameters).map(|port| ("port".to_owned(), port)));
            let pass_file = conninfo::pass_file(primary);
            let words = conninfo::words(primary, pass_file.as_ref().map(|_| conninfo::PASS_FILE));
            settings.push(("primary_conninfo".to_owned(), words));
            let slot = primary.slot.as_ref().map(ToString::to_string).unwrap_or_default();
            settings.push(("primary_slot_name".to_owned(), slot));
            let brought = given.template.as_ref().map_or(base, |text| text.as_bytes());
            // The primary's own would win over ours.
            let mut of_auto = Document::parse(auto);
            settings.iter().for_each(|(name, _)| _ = of_auto.unset(name));
            texts.push(("postgresql.auto.conf", of_auto.bytes()));
            texts.extend(pass_file.map(|text| (conninfo::PASS_FILE, text.into_bytes())));
            texts.push(("standby.signal", Vec::new()));
            with(Document::parse(brought), &settings)
        }
        _ => {
            let brought = String::from_utf8_lossy(base);
            let template = given.template.as_deref();
            let of_template = || Document::parse(template.unwrap_or_default().as_bytes()).get("port");
            let number = port(install, parameters).or_else(of_template).and_then(|port| port.parse().ok());
            let (conf, picks) = first_boot_conf(&brought, template, number.unwrap_or(DEFAULT_PORT));
            texts.push((INITDB_FILE, picks.into_bytes()));
            let mut settings = parameters.to_vec();
            settings.retain(|(name, _)| name != "port");
            with(Document::parse(conf.as_bytes()), &settings)
        }
    };
    texts.push(("postgresql.conf", conf));
    let hba = given.hba.clone().unwrap_or_else(|| access::hba(access::DEFAULT_METHOD));
    texts.push(("pg_hba.conf", hba.into_bytes()));
    texts.push(("pg_ident.conf", access::ident(engine_user).into_bytes()));
    texts
}

/// The port that is asked for.
pub(super) fn port(install: &Install, parameters: &[(String, String)]) -> Option<String> {
    let of_parameters = || parameters.iter().find(|(name, _)| name == "port").map(|(_, value)| value.clone());
    install.port.map(|port| port.to_string()).or_else(of_parameters)
}

fn with(mut conf: Document, settings: &[(String, String)]) -> Vec<u8> {
    for (name, value) in settings {
        conf.set(name, value, Where::AtEnd);
    }
    conf.bytes()
}

/// Whether a file says something else. Called as the engine's user; `places`: where it may be, the first one counts.
pub(super) fn differs(texts: &[Text], places: [&Path; 2]) -> bool {
    texts.iter().any(|(name, wanted)| {
        let found = places.iter().map(|place| place.join(name)).find(|path| path.symlink_metadata().is_ok());
        found.is_none_or(|path| fs::read(path).ok().as_ref() != Some(wanted))
    })
}

/// Writes them into a database. Their unfinished forms are made in `stage`, so that none is left beside them.
///
/// # Errors
/// One could not be written.
pub(super) fn write(site: &Site, texts: &[Text], stage: &Path, pgdata: &Path) -> Result<(), Cause> {
    let written: Result<(), (PathBuf, io::Error)> = site.as_owner(|| {
        for (name, text) in texts {
            let path = pgdata.join(name);
            if fs::read(&path).ok().as_ref() == Some(text) {
                continue;
            }
            markers::replace(&path, &stage.join("unfinished.conf"), text, 0o600)
                .map_err(|error| (path, error))?;
        }
        Ok(())
    })?;
    written.map_err(|(path, error)| Cause::of_file(&path, error))
}

/// The `log_directory` of a database with these files; `None`: the engine's own default, or the supervisor's. Called as
/// the engine's user.
pub(super) fn log_directory(pgdata: &Path) -> Option<String> {
    crate::engine::conf::read(pgdata, &[]).0.get("log_directory").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manager::account::Password;
    use crate::manager::install::Primary;
    use crate::manager::replica::{Kind, Name};

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn text<'a>(texts: &'a [Text], name: &str) -> &'a str {
        let found = texts.iter().find(|(found, _)| *found == name);
        std::str::from_utf8(&found.unwrap_or_else(|| panic!("{name}")).1).unwrap()
    }

    const BROUGHT: &[u8] = b"#port = 5432\nshared_buffers = 128MB\n";

    #[test]
    fn of_a_primary() {
        let install = Install { port: Some(3001), ..Install::default() };
        let parameters = pairs(&[("work_mem", "8MB"), ("log_directory", "log"), ("port", "7")]);
        let texts = texts(&install, &parameters, &Given::default(), (BROUGHT, b""), Some("polar"));
        let conf = text(&texts, "postgresql.conf");
        assert!(conf.contains("\nport=3001\n") && !conf.contains("\nport=7"), "{conf}");
        assert!(conf.ends_with("work_mem=8MB\nlog_directory=log\n"), "{conf}");
        assert!(text(&texts, INITDB_FILE).contains("shared_buffers = 128MB"));
        assert!(text(&texts, "pg_hba.conf").contains("peer map=polar"));
        assert!(text(&texts, "pg_hba.conf").contains("scram-sha-256"));
        assert!(text(&texts, "pg_ident.conf").contains("polar    polar         postgres"));
        assert!(!texts.iter().any(|(name, _)| *name == "standby.signal"));
    }

    #[test]
    fn where_the_port_comes_from() {
        let of = |port, parameters: &[(&str, &str)], template: Option<&str>| {
            let given = Given { template: template.map(str::to_owned), hba: None };
            let install = Install { port, ..Install::default() };
            let texts = texts(&install, &pairs(parameters), &given, (BROUGHT, b""), None);
            Document::parse(text(&texts, "postgresql.conf").as_bytes()).get("port").unwrap()
        };
        assert_eq!(of(Some(1), &[("port", "2")], Some("port=3")), "1");
        assert_eq!(of(None, &[("port", "2")], Some("port=3")), "2");
        assert_eq!(of(None, &[], Some("port=3")), "3");
        assert_eq!(of(None, &[], None), "5432");
    }

    #[test]
    fn of_a_standby() {
        let primary = Primary {
            host: "10.0.0.1".to_owned(),
            port: 3001,
            user: "replicator".to_owned(),
            password: Some(Password::read(&b"secret"[..]).unwrap()),
            slot: Some(Name::new(Kind::Standby, "7", "a").unwrap()),
        };
        let install = Install { role: Role::Standby(primary), port: Some(3002), ..Install::default() };
        let brought = b"include_if_exists 'polar_supervisor.conf'\nport=3001\nmax_connections = 50\n";
        let auto = b"primary_conninfo = 'host=old'\nport = 1\nwork_mem = '4MB'\n";
        let given = Given { template: None, hba: Some("local all all peer\n".to_owned()) };
        let texts = texts(&install, &[], &given, (brought, auto), None);
        let conf = Document::parse(text(&texts, "postgresql.conf").as_bytes());
        assert_eq!(conf.get("port").as_deref(), Some("3002"));
        assert_eq!(conf.get("max_connections").as_deref(), Some("50"));
        assert_eq!(conf.get("primary_slot_name").as_deref(), Some("standby_7_a"));
        let conninfo = conf.get("primary_conninfo").unwrap();
        assert!(conninfo.contains("application_name=standby_7_a passfile=ins_passfile"), "{conninfo}");
        assert_eq!(text(&texts, "postgresql.auto.conf"), "work_mem = '4MB'\n");
        assert_eq!(text(&texts, "standby.signal"), "");
        assert_eq!(text(&texts, "pg_hba.conf"), "local all all peer\n");
        let shown: String = texts.iter().map(|(_, text)| String::from_utf8_lossy(text)).collect();
        assert_eq!(shown.matches("secret").count(), 1, "in its file alone");
        assert!(text(&texts, conninfo::PASS_FILE).ends_with(":secret\n"));
    }

    #[test]
    fn a_parameter_makes_no_second_line() {
        let hostile = "'\\\n\u{1f418}%'\nport = 9\r\n# ''";
        let parameters = pairs(&[("search_path", hostile)]);
        let texts = texts(&Install::default(), &parameters, &Given::default(), (BROUGHT, b""), None);
        let conf = Document::parse(text(&texts, "postgresql.conf").as_bytes());
        assert_eq!(conf.get("search_path").as_deref(), Some(hostile));
        assert_eq!(conf.get("port").as_deref(), Some("5432"));
    }
}
