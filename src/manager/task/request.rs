//! What is asked for, whole and sound: nothing is begun before all that a task needs was read.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::environment::{Environment, bad};
use super::pairs::{self, Pair, Script, Task, missing_part};
use super::setup::{self, Setup};
use super::{parameters, port, topology};
use crate::control::protocol::Mode;
use crate::engine::conf;
use crate::manager::account::{self, Privilege};
use crate::manager::cause::Cause;
use crate::manager::params::Wish;
use crate::manager::replica::Name;
use crate::manager::ssl::Ssl;
use crate::manager::tablespace;

/// The most that a stop takes, whatever it is given: ClusterManager hangs up after 60 s.
pub const STOP_MAX: Duration = Duration::from_secs(50);
/// The type of a node that has no identifier of its own.
const READ_ONLY: &str = "polardb_mpd_ro";

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Nothing.
    Nothing,
    /// An installation.
    Install(Box<Setup>),
    /// How far that is.
    Progress,
    /// Word for the log agent.
    LogAgent(LogAgent),
    /// Locked, and down.
    Stop(Stop),
    /// The same; the instance has expired.
    Expire(Stop),
    /// Unlocked.
    Start,
    /// Down, and unlocked.
    Restart(Stop),
    /// Down, without a lock file.
    Cleanup(Stop),
    /// The lock against a full disk.
    LockDiskfull,
    /// Its end.
    UnlockDiskfull,
    /// An account.
    MakeAccount(account::Make),
    /// An account's end.
    DropAccount(account::Remove),
    /// `select 1`.
    Health,
    /// A slot.
    CreateSlot(Name),
    /// A slot's end.
    DropSlot(Name),
    /// Parameters.
    Parameters {
        /// By name.
        wishes: BTreeMap<String, Wish>,
        /// Whether the engine is to read them at once.
        reload: bool,
    },
    /// Larger storage.
    Grow,
    /// The system identifier.
    SystemIdentifier,
    /// A tablespace.
    Tablespace(tablespace::Create),
    /// The next segment of the log.
    Switch,
    /// TLS, or none.
    Ssl(Ssl),
    /// A `recovery.conf`.
    Recovery(RecoveryConf),
}

/// A stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// How the engine is asked at first.
    pub mode: Mode,
    /// How long it may take.
    pub within: Duration,
}

/// The files of the log agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogAgent {
    /// `insinfo`.
    pub info: String,
    /// `insname`.
    pub name: String,
}

/// A `recovery.conf`. It may hold a password, so it is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryConf(String);

impl RecoveryConf {
    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RecoveryConf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryConf")
    }
}

/// A request, and what was named beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What is asked for.
    pub request: Request,
    /// The port that the caller means, of a task that talks to the engine.
    pub port: Option<u16>,
}

/// Reads what a caller asks for.
///
/// # Errors
/// It is no task, needs a part that is missing, or a variable that it needs is not as it should be. Nothing of a secret is
/// in it.
pub fn read(script: Script, environment: &Environment) -> Result<Asked, Cause> {
    let pair = pairs::find(script, environment)?;
    let request = request(pair, environment)?;
    let port = if talks(&request) { port::meant(environment)? } else { None };
    Ok(Asked { request, port })
}

/// Whether it is done by SQL, so that the port matters.
fn talks(request: &Request) -> bool {
    matches!(
        request,
        Request::LockDiskfull
            | Request::UnlockDiskfull
            | Request::MakeAccount(_)
            | Request::DropAccount(_)
            | Request::Health
            | Request::CreateSlot(_)
            | Request::DropSlot(_)
            | Request::Parameters { .. }
            | Request::Grow
            | Request::Tablespace(_)
            | Request::Switch
            | Request::Ssl(_)
    )
}

fn request(pair: &Pair, environment: &Environment) -> Result<Request, Cause> {
    Ok(match pair.task {
        Task::Nothing => Request::Nothing,
        Task::Missing(part) => return Err(missing_part(part)),
        Task::Install => Request::Install(Box::new(setup::read(environment)?)),
        Task::Progress => Request::Progress,
        Task::LogAgent => Request::LogAgent(log_agent(environment)?),
        Task::Stop => Request::Stop(stop(environment)?),
        Task::Expire => Request::Expire(stop(environment)?),
        Task::Start => Request::Start,
        Task::Restart => Request::Restart(stop(environment)?),
        Task::Cleanup => Request::Cleanup(stop(environment)?),
        Task::LockDiskfull => Request::LockDiskfull,
        Task::UnlockDiskfull => Request::UnlockDiskfull,
        Task::MakeAccount => Request::MakeAccount(account(environment)?),
        Task::DropAccount => Request::DropAccount(account::Remove {
            name: environment.required("srv_opr_user_name")?.to_owned(),
        }),
        Task::Health => Request::Health,
        Task::CreateSlot => Request::CreateSlot(topology::slot(environment)?),
        Task::DropSlot => Request::DropSlot(topology::slot(environment)?),
        Task::Parameters => params(environment)?,
        Task::Grow => Request::Grow,
        Task::SystemIdentifier if environment.text("service_type")? == Some(READ_ONLY) => {
            return Err(bad("service_type", "is polardb_mpd_ro: ask the primary, whose number it is"));
        }
        Task::SystemIdentifier => Request::SystemIdentifier,
        Task::Tablespace => Request::Tablespace(tablespace(environment)?),
        Task::Switch => Request::Switch,
        Task::EnableSsl => {
            environment.required("ssl_cert")?;
            environment.required("ssl_key")?;
            Request::Ssl(Ssl { on: true, given: setup::ssl(environment)? })
        }
        Task::DisableSsl => Request::Ssl(Ssl { on: false, given: None }),
        Task::Recovery => Request::Recovery(recovery(environment)?),
    })
}

fn stop(environment: &Environment) -> Result<Stop, Cause> {
    let mode = match environment.text("shutdown_mode")?.map(str::trim) {
        None | Some("fast") => Mode::Fast,
        Some("smart") => Mode::Smart,
        Some("immediate") => Mode::Immediate,
        Some(_) => return Err(bad("shutdown_mode", "is none of smart, fast and immediate")),
    };
    let mut within = STOP_MAX;
    for name in ["shutdown_timeout", "srv_opr_timeout"] {
        // What is no number is no reason to let an engine run.
        let seconds = environment.text(name)?.and_then(|text| text.trim().parse::<u64>().ok());
        within = seconds.map_or(within, |seconds| within.min(Duration::from_secs(seconds.max(1))));
    }
    Ok(Stop { mode, within })
}

fn account(environment: &Environment) -> Result<account::Make, Cause> {
    let name = environment.required("srv_opr_user_name")?.to_owned();
    let privilege = environment.required("srv_opr_privilege")?.trim().parse::<u8>().ok();
    let privilege = privilege.and_then(|number| Privilege::of_number(number).ok()).ok_or_else(|| {
        let what = "is none of 1 (normal), 6 (polar_superuser), 7 (superuser) and 15 (replication superuser)";
        bad("srv_opr_privilege", what)
    })?;
    let password = topology::as_password(environment.required("srv_opr_password")?)?;
    Ok(account::Make { name, privilege: Some(privilege), password: Some(password), create: true })
}

fn params(environment: &Environment) -> Result<Request, Cause> {
    let object = environment.required_object("params")?;
    let pairs = parameters::of_all_nodes(parameters::pairs("params", &object)?);
    let pairs = crate::manager::install::checked_parameters(&pairs)?;
    let wishes = pairs.into_iter().map(|(name, value)| (name, Wish::Set(value))).collect();
    Ok(Request::Parameters { wishes, reload: environment.says_yes("reload_instance", true)? })
}

fn tablespace(environment: &Environment) -> Result<tablespace::Create, Cause> {
    let variable = "create_tablespace_env";
    let object = environment.required_object(variable)?;
    let word = |key: &str| {
        let found = object.get(key).and_then(serde_json::Value::as_str).filter(|text| !text.is_empty());
        found.map(str::to_owned).ok_or_else(|| bad(variable, &format!("has no {key}")))
    };
    Ok(tablespace::Create { name: word("tablespace_name")?, location: word("tablespace_path")?, owner: None })
}

fn log_agent(environment: &Environment) -> Result<LogAgent, Cause> {
    let line = |name: &str| match environment.text(name)? {
        Some(text) if text.contains(char::is_control) => {
            Err(bad(name, "has a line end or another control character in it"))
        }
        text => Ok(text.unwrap_or_default().to_owned()),
    };
    environment.required("ins_name")?;
    let mut info = "[insinfo]\n".to_owned();
    for (key, variable) in [
        ("base_collect_path", "base_collect_path"),
        ("pod_collect_path", "pod_collect_path"),
        ("ins_name", "ins_name"),
        ("port", "access_port"),
        ("container_mount_path", "container_mount_path"),
        ("host_mount_path", "host_mount_path"),
    ] {
        info.push_str(&format!("{key} = {}\n", line(variable)?));
    }
    Ok(LogAgent { info, name: line("ins_name")? })
}

fn recovery(environment: &Environment) -> Result<RecoveryConf, Cause> {
    let variable = "recovery_conf";
    let object = environment.required_object(variable)?;
    let mut text = String::new();
    for (name, value) in crate::manager::install::checked_parameters(&parameters::pairs(variable, &object)?)?
    {
        text.push_str(&format!("{name} = {}\n", conf::quote(&value)));
    }
    Ok(RecoveryConf(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::pairs::PAIRS;
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Asked, Cause> {
        let mut environment = Environment::default();
        variables.iter().for_each(|(name, value)| environment.set(name, *value));
        read(Script::Main, &environment)
    }

    fn action<'a>(kind: &'a str, action: &'a str) -> [(&'a str, &'a str); 2] {
        [("srv_opr_type", kind), ("srv_opr_action", action)]
    }

    #[test]
    fn a_stop_ends_before_its_caller_does() {
        let stop = |variables: &[(&str, &str)]| {
            let all = [&[("srv_opr_action", "lock_stop_instance")][..], variables].concat();
            match of(&all)?.request {
                Request::Stop(stop) => Ok((stop.mode, stop.within.as_secs())),
                other => panic!("{other:?}"),
            }
        };
        let stop = |variables: &[(&str, &str)]| -> Result<_, Cause> { stop(variables) };
        assert_eq!(stop(&[]).unwrap(), (Mode::Fast, 50));
        for (text, seconds) in
            [("300", 50), ("20", 20), ("0", 1), ("-1", 50), ("soon", 50), (" 7 ", 7), ("3.5", 50)]
        {
            assert_eq!(stop(&[("shutdown_timeout", text)]).unwrap().1, seconds, "{text}");
        }
        assert_eq!(
            stop(&[("shutdown_mode", "immediate"), ("srv_opr_timeout", "9")]).unwrap(),
            (Mode::Immediate, 9)
        );
        assert_eq!(stop(&[("shutdown_mode", "slow")]).unwrap_err().code(), "bad_variable");
        // Whatever else ClusterManager's environment holds.
        assert!(stop(&[("srv_opr_host_ip", "{"), ("cluster_custins_info", "{"), ("port", "{")]).is_ok());
    }

    #[test]
    fn accounts() {
        let account = |privilege: &str, password: &str| {
            let own = [
                ("srv_opr_user_name", "a'b"),
                ("srv_opr_privilege", privilege),
                ("srv_opr_password", password),
            ];
            of(&[&action("account", "create")[..], &own].concat())
        };
        match account("15", "it's").unwrap().request {
            Request::MakeAccount(make) => assert_eq!((make.name.as_str(), make.create), ("a'b", true)),
            other => panic!("{other:?}"),
        }
        for privilege in ["18", "x", "-1", "1000"] {
            assert_eq!(account(privilege, "p").unwrap_err().code(), "bad_variable", "{privilege}");
        }
        for missing in [account("", "p"), account("1", "")] {
            assert_eq!(missing.unwrap_err().code(), "missing_variable");
        }
    }

    #[test]
    fn parameters_and_a_recovery_conf() {
        let params = |text: &str| of(&[&action("update_conf", "update")[..], &[("params", text)]].concat());
        match params(r#"{"Work_Mem":"'8MB'","polar_hostid":"2","max_conn":"7"}"#).unwrap().request {
            Request::Parameters { wishes, reload: true } => {
                assert_eq!(wishes, BTreeMap::from([("work_mem".to_owned(), Wish::Set("8MB".to_owned()))]));
            }
            other => panic!("{other:?}"),
        }
        for wrong in ["{", "[]", "{\"a b\":\"1\"}", "{\"include\":\"/etc/passwd\"}", "{\"a\":\"'x\"}"] {
            assert!(params(wrong).is_err(), "{wrong}");
        }
        let conf = r#"{"standby_mode":"'on'","primary_conninfo":"'host=a password=it''s'"}"#;
        let asked =
            of(&[&action("hostins_ops", "build_recovery")[..], &[("recovery_conf", conf)]].concat()).unwrap();
        let Request::Recovery(conf) = &asked.request else { panic!("{asked:?}") };
        let read = crate::engine::recovery_conf::read(conf.text().as_bytes(), 15, false).unwrap();
        assert_eq!(read.settings.last(), Some(&("primary_conninfo", "host=a password=it's".to_owned())));
        assert!(!format!("{asked:?}").contains("it's"));
    }

    #[test]
    fn the_log_agent() {
        let with = |name: &str| {
            let own = [("ins_name", name), ("access_port", "3001"), ("base_collect_path", "/sys/fs/cgroup/")];
            of(&[&action("hostins_ops", "setup_logagent_config")[..], &own].concat())
        };
        match with("pc-1").unwrap().request {
            Request::LogAgent(agent) => {
                assert_eq!(agent.name, "pc-1");
                assert!(
                    agent
                        .info
                        .starts_with("[insinfo]\nbase_collect_path = /sys/fs/cgroup/\npod_collect_path = \n")
                );
                assert!(agent.info.contains("\nport = 3001\n"), "{}", agent.info);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(with("a\n[other]").unwrap_err().code(), "bad_variable");
    }

    const VARIABLES: [&str; 26] = [
        "srv_opr_host_ip",
        "srv_opr_hosts",
        "port",
        "ins_id",
        "cust_ins_id",
        "custins_id",
        "logic_ins_id",
        "cluster_custins_info",
        "service_type",
        "storage_type",
        "on_pfs",
        "mycnf_dict",
        "params",
        "slot_unique_name",
        "create_tablespace_env",
        "ssl_key",
        "ssl_cert",
        "shutdown_mode",
        "shutdown_timeout",
        "srv_opr_user_name",
        "srv_opr_password",
        "srv_opr_privilege",
        "ro_custins_current",
        "current_ins",
        "ins_topology_4_replication",
        "recovery_conf",
    ];

    proptest! {
        #[test]
        fn whatever_the_variables_hold_it_is_read_or_refused(
            pair in 0..PAIRS.len(),
            values in prop::collection::vec((0..VARIABLES.len(), prop_oneof![
                ".{0,40}".prop_map(String::into_bytes),
                "[{}\\[\\]\",:a-z0-9_']{0,60}".prop_map(String::into_bytes),
                prop::collection::vec(any::<u8>(), 0..40),
                Just(br#"{"access_port":[3001],"custins_id":7,"slot_unique_name":"a","polardb_mpd_rw":{"7":{}}}"#.to_vec()),
                Just(b"polardb_mpd_standby".to_vec()),
                Just(b"local".to_vec()),
            ]), 0..12),
        ) {
            let mut environment = Environment::default();
            environment.set("srv_opr_type", PAIRS[pair].kind.unwrap_or_default());
            environment.set("srv_opr_action", PAIRS[pair].action);
            for (name, value) in values {
                environment.set(VARIABLES[name], value);
            }
            environment.set("srv_opr_password", "a secret of 21 bytes.");
            match read(PAIRS[pair].script, &environment) {
                Ok(asked) => {
                    prop_assert!(asked.port != Some(0));
                    let shown = format!("{asked:?}");
                    prop_assert!(!shown.contains("a secret of 21 bytes."));
                }
                Err(cause) => {
                    let text = cause.to_string();
                    prop_assert!(!text.contains('\n') && text.len() < 2000, "{}", text);
                }
            }
        }
    }
}
