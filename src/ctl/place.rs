//! Where the supervisor, the data and the logs are.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cli::PlaceArgs;
use super::failure::{Exit, Failure};
use crate::config::{self, Config, Kind, Source};
use crate::control::client::{Client, Trouble};
use crate::control::protocol::{Op, SOCKET, Status};
use crate::manager::Site;

/// How long one answer may take; it takes milliseconds on a machine that is well.
const ANSWER: Duration = Duration::from_secs(5);
/// Where the socket is unless something says otherwise.
const RUN_DIR: &str = "/run/polardb";
/// Where the journal is unless something says otherwise.
const LOG_DIR: &str = "/log";

/// Where things are.
#[derive(Debug)]
pub(crate) struct Place {
    args: PlaceArgs,
    /// What the configuration says, as far as there is one that can be read.
    config: Option<Config>,
    socket: PathBuf,
}

/// A data volume, and the lock file that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    /// The program's name, where a configuration tells it.
    pub(crate) name: Option<String>,
    /// The data directory.
    pub(crate) data_dir: PathBuf,
    /// The lock file.
    pub(crate) lock_file: PathBuf,
}

impl Volume {
    fn of(data_dir: PathBuf, lock_file: Option<PathBuf>) -> Self {
        let lock_file = lock_file.unwrap_or_else(|| data_dir.join("ins_lock"));
        Volume { name: None, data_dir, lock_file }
    }

    /// What people call it.
    pub(crate) fn title(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.data_dir.display().to_string())
    }
}

/// What is in reach.
#[derive(Debug)]
pub(crate) enum Reach {
    /// A supervisor.
    Supervisor(Client),
    /// The data alone; and why no supervisor is, unless none was asked for.
    Volumes(Vec<Volume>, Option<String>),
}

impl Place {
    /// By the command line, the environment and the configuration.
    ///
    /// # Errors
    /// The configuration that `--config` names cannot be read.
    pub(crate) fn find(args: PlaceArgs) -> Result<Self, Failure> {
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let config = match &args.config {
            Some(file) => Some(config::load(Source::File(file), &environment).map_err(|mistakes| {
                Failure::failed("bad_configuration", format!("reading the configuration:\n{mistakes}"))
            })?),
            // A supervisor that runs has one that is good; mistakes of another one are not ours to tell.
            None => config::load(Source::Default, &environment).ok(),
        };
        let run_dir =
            std::env::var_os("POLAR_SUPERVISOR_RUN_DIR").filter(|dir| !dir.is_empty()).map(PathBuf::from);
        let run_dir = run_dir.or_else(|| Some(config.as_ref()?.supervisor.run_dir.clone()));
        let socket = args.socket.clone();
        let socket = socket.unwrap_or_else(|| run_dir.unwrap_or_else(|| RUN_DIR.into()).join(SOCKET));
        Ok(Place { args, config, socket })
    }

    /// Connects to the supervisor; `tried` is what it is for.
    ///
    /// # Errors
    /// Nobody is there, or not for this user.
    pub(crate) fn connect(&self, tried: &str) -> Result<Client, Failure> {
        self.try_connect().map_err(|trouble| Failure::of_trouble(tried, trouble))
    }

    fn try_connect(&self) -> Result<Client, Trouble> {
        Client::connect(&self.socket, ANSWER)
    }

    /// The supervisor, or else the data of `program` (of all engines without one).
    ///
    /// # Errors
    /// Neither is in reach.
    pub(crate) fn reach(&self, tried: &str, program: Option<&str>) -> Result<Reach, Failure> {
        if self.args.data_dir.is_some() && self.args.socket.is_none() {
            return Ok(Reach::Volumes(self.volumes(program)?, None));
        }
        // The supervisor of a container that has an engine's data and no engine has nothing to say of it.
        if self.args.socket.is_none() && program.is_none() && self.manages() {
            return Ok(Reach::Volumes(self.volumes(None)?, None));
        }
        match self.try_connect() {
            Ok(client) => Ok(Reach::Supervisor(client)),
            Err(trouble @ Trouble::Unreachable { .. }) => match self.volumes(program) {
                Ok(volumes) if volumes.iter().all(|volume| volume.data_dir.is_dir()) => {
                    Ok(Reach::Volumes(volumes, Some(trouble.to_string())))
                }
                Ok(volumes) => {
                    let mut failure = Failure::of_trouble(tried, trouble);
                    let places: Vec<String> =
                        volumes.iter().map(|volume| volume.data_dir.display().to_string()).collect();
                    failure.message.push_str(&format!(
                        "; the data volume alone would do, but there is no folder {}: --data-dir DIR",
                        places.join(", ")
                    ));
                    Err(failure)
                }
                Err(_) => Err(Failure::of_trouble(tried, trouble)),
            },
            Err(trouble) => Err(Failure::of_trouble(tried, trouble)),
        }
    }

    /// Whether no engine is configured, and the data of another container's is here.
    fn manages(&self) -> bool {
        let engine = |config: &Config| config.programs.iter().any(|program| program.kind.engine().is_some());
        self.config.as_ref().is_some_and(|config| !engine(config)) && usual().is_dir()
    }

    /// The data volumes by the command line, the configuration, the environment.
    fn volumes(&self, program: Option<&str>) -> Result<Vec<Volume>, Failure> {
        if let Some(data_dir) = &self.args.data_dir {
            let absolute = std::path::absolute(data_dir)
                .map_err(|error| Failure::of_file("finding the data directory", data_dir, &error))?;
            if !absolute.is_dir() {
                let text = format!(
                    "--data-dir: {} is no folder that this user can reach; give the place where the data volume is mounted",
                    absolute.display()
                );
                return Err(Failure::failed("no_data_dir", text));
            }
            return Ok(vec![Volume::of(absolute, self.args.lock_file.clone())]);
        }
        let Some(config) = &self.config else { return Ok(vec![Volume::of(usual(), None)]) };
        if program.is_none() && self.manages() {
            return Ok(vec![Volume::of(usual(), None)]);
        }
        let engines = config.programs.iter().filter_map(|program| {
            let engine = program.kind.engine()?;
            Some(Volume {
                name: Some(program.name.clone()),
                data_dir: engine.data_dir.clone(),
                lock_file: engine.lock_file.clone(),
            })
        });
        let wanted: Vec<Volume> = engines
            .filter(|volume| program.is_none_or(|name| volume.name.as_deref() == Some(name)))
            .collect();
        if wanted.is_empty() {
            let what =
                program.map_or_else(|| "an engine".to_owned(), |name| format!("an engine named {name}"));
            let text = format!(
                "the configuration has no program that is {what}; polarctl status lists the programs"
            );
            return Err(Failure::failed("unknown_program", text));
        }
        Ok(wanted)
    }

    /// The instance that an operation is for: by the command line, the configuration, the environment.
    ///
    /// # Errors
    /// There is none of this name, or several and none is named.
    pub(crate) fn instance(&self, tried: &str, program: Option<&str>) -> Result<Site, Failure> {
        let mut all = self.instances(tried, program)?;
        match (all.pop(), all.is_empty()) {
            (Some(site), true) => Ok(site),
            _ => {
                let names: Vec<String> = self.volumes(program)?.iter().map(Volume::title).collect();
                let text =
                    format!("{tried}: there are several engines; name one: --program {}", names.join("|"));
                Err(Failure::new(Exit::Usage, "usage", text))
            }
        }
    }

    /// The same, of all that are meant.
    ///
    /// # Errors
    /// There is none of this name.
    pub(crate) fn instances(&self, tried: &str, program: Option<&str>) -> Result<Vec<Site>, Failure> {
        let volumes = self.volumes(program).map_err(|mut failure| {
            failure.message = format!("{tried}: {}", failure.message);
            failure
        })?;
        Ok(volumes.into_iter().map(|volume| self.site(volume)).collect())
    }

    /// The engine of a volume as it is started without a supervisor, and the supervisor's folder: as it is configured, and
    /// for a data directory that the configuration does not name as if nothing were.
    ///
    /// # Errors
    /// None that a mistake of ours does not cause.
    pub(crate) fn engine(&self, volume: &Volume) -> Result<(config::Program, PathBuf), Failure> {
        let of = |config: &Config, ours: &dyn Fn(&config::Postgres) -> bool| {
            let found = config.programs.iter().find(|program| program.kind.engine().is_some_and(ours));
            found.map(|program| (program.clone(), config.supervisor.run_dir.clone()))
        };
        let configured =
            self.config.as_ref().and_then(|config| of(config, &|engine| engine.data_dir == volume.data_dir));
        let built_in = || of(&config::read("built-in defaults", None, &[]).ok()?, &|_| true);
        let found = configured.or_else(built_in);
        let no_engine = || Failure::failed("unknown_program", "the built-in defaults have no engine");
        let (mut program, run_dir) = found.ok_or_else(no_engine)?;
        let Kind::Postgres(engine) = &mut program.kind else { return Err(no_engine()) };
        engine.data_dir.clone_from(&volume.data_dir);
        engine.lock_file.clone_from(&volume.lock_file);
        engine.init = config::Init::Never;
        engine.bin_dir = self.site(volume.clone()).bin_dir;
        Ok((program, run_dir))
    }

    /// The instance of a volume.
    pub(crate) fn site(&self, volume: Volume) -> Site {
        let mut site = Site::new(volume.data_dir);
        site.lock_file = volume.lock_file;
        let programs = self.config.iter().flat_map(|config| &config.programs);
        let mut engines = programs.filter_map(|program| program.kind.engine());
        // What is configured tells of another data directory's server nothing but where the executables are.
        if let Some(engine) = engines.clone().find(|engine| engine.data_dir == site.data_dir) {
            site.socket_dirs = engine.socket_dir.clone();
            site.port = Some(engine.port);
            site.bin_dir = engine.bin_dir.clone();
        } else {
            site.bin_dir = engines.find_map(|engine| engine.bin_dir.clone());
        }
        site
    }

    /// The supervisor's socket.
    pub(crate) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Where the configuration has health and metrics served.
    pub(crate) fn listen(&self) -> Option<std::net::SocketAddr> {
        Some(self.config.as_ref()?.serve.as_ref()?.listen)
    }

    /// The folder of the supervisor's own files of logs.
    pub(crate) fn log_dir(&self) -> &Path {
        self.config.as_ref().map_or(Path::new(LOG_DIR), |config| &config.supervisor.log_dir)
    }

    /// Fails where a verb cannot do without a supervisor.
    ///
    /// # Errors
    /// As [`Place::connect`].
    pub(crate) fn supervisor(&self, tried: &str) -> Result<Client, Failure> {
        if self.args.data_dir.is_some() && self.args.socket.is_none() {
            let text = format!(
                "{tried}: --data-dir is for what goes by the data volume alone; leave it out, or give --socket too"
            );
            return Err(Failure::new(Exit::Usage, "usage", text));
        }
        self.connect(tried)
    }
}

/// The data directory where nothing is configured.
fn usual() -> PathBuf {
    let data_dir = std::env::var_os("PGDATA").filter(|dir| !dir.is_empty());
    data_dir.map_or_else(|| "/data".into(), PathBuf::from)
}

/// The statuses of a program, or of all engines.
///
/// # Errors
/// The supervisor did not tell, or there is no engine.
pub(crate) fn engines_or(
    client: &mut Client,
    tried: &str,
    program: Option<&str>,
) -> Result<Vec<Status>, Failure> {
    let mut all = statuses(client, tried, program)?;
    if program.is_none() {
        all.retain(is_engine);
        if all.is_empty() {
            let text = format!("{tried}: no engine (kind postgres) is configured; name the program");
            return Err(Failure::failed("unknown_program", text));
        }
    }
    Ok(all)
}

/// The statuses of a program, or of all.
///
/// # Errors
/// The supervisor did not tell.
pub(crate) fn statuses(
    client: &mut Client,
    tried: &str,
    program: Option<&str>,
) -> Result<Vec<Status>, Failure> {
    let op = Op::Status { program: program.map(str::to_owned) };
    client.ask(&op).map_err(|trouble| Failure::of_trouble(tried, trouble))
}

/// Whether it is of kind `postgres`.
pub(crate) fn is_engine(status: &Status) -> bool {
    status.kind == "postgres"
}
