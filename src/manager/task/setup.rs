//! An installation, as callers ask for it.

use std::path::PathBuf;

use super::environment::{Environment, bad};
use super::{parameters, port, topology};
use crate::manager::cause::Cause;
use crate::manager::install::{Install, Role, Storage};
use crate::manager::ssl::{Given, Pem};

/// Where the predecessor says that an installation is under way, unless `PG_SET_INSTALL_STEP_LOCK` names another file.
pub const STEP_LOCK: &str = "/tmp/set_install_step_lock";
/// What the other nodes and ClusterManager's probe need, and the predecessor's template has. The engine's supervisor sees to
/// the socket in the data directory.
const LISTEN: (&str, &str) = ("listen_addresses", "*");

/// An installation that a caller asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// What is to be made; the folder of log files is not its caller's to say.
    pub install: Install,
    /// The file by which others see that it is under way.
    pub step_lock: PathBuf,
}

pub(super) fn read(environment: &Environment) -> Result<Setup, Cause> {
    let mut given = match environment.object("mycnf_dict")? {
        Some(object) if is_postgres(environment)? => parameters::pairs("mycnf_dict", &object)?,
        _ => Vec::new(),
    };
    if !given.iter().any(|(name, _)| name.eq_ignore_ascii_case(LISTEN.0)) {
        given.push((LISTEN.0.to_owned(), LISTEN.1.to_owned()));
    }
    let storage = storage(environment)?;
    let install = Install {
        // What is of a later version needs no more of its variables.
        role: role(environment, storage)?,
        storage,
        dma: environment.text("dma_role")?.is_some(),
        tde: environment.text("tde_enable")? == Some("true"),
        port: port::of_port(environment)?.map_or_else(|| port::meant(environment), |port| Ok(Some(port)))?,
        parameters: given,
        logic_id: environment.text("logic_ins_id")?.map(str::to_owned),
        lock: environment.says_yes("lock_install_ins", false)?,
        tablespace_dir: tablespace_dir(environment)?,
        ssl: ssl(environment)?,
        ..Install::default()
    };
    let step_lock = environment.text("PG_SET_INSTALL_STEP_LOCK")?.unwrap_or(STEP_LOCK).into();
    Ok(Setup { install, step_lock })
}

/// Parameters of another database than PostgreSQL are none of ours.
fn is_postgres(environment: &Environment) -> Result<bool, Cause> {
    Ok(environment.text("db_type")?.is_none_or(|kind| kind == "pgsql"))
}

fn storage(environment: &Environment) -> Result<Storage, Cause> {
    let named = match environment.text("storage_type")? {
        None | Some("polarstore") => Storage::PolarStore,
        Some("fcsan") => Storage::FcSan,
        Some("local") => Storage::Local,
        Some(_) => return Err(bad("storage_type", "is none of polarstore, fcsan and local")),
    };
    Ok(if environment.says_yes("on_pfs", true)? { named } else { Storage::Local })
}

fn role(environment: &Environment, storage: Storage) -> Result<Role, Cause> {
    Ok(match environment.required("service_type")? {
        "polardb_mpd_rw" => Role::ReadWrite,
        "polardb_mpd_ro" => Role::ReadOnly,
        "polardb_mpd_datamax" => Role::DataMax,
        "polardb_mpd_standby" => match environment.text("standby_rebuild_type")? {
            Some("rw") => Role::ReadWrite,
            Some("ro") => Role::ReadOnly,
            // It is refused for its storage, whatever its primary is.
            _ if storage != Storage::Local => Role::ReadWrite,
            _ => Role::Standby(topology::primary(environment, topology::own_slot(environment)?)?),
        },
        _ => {
            let what =
                "is none of polardb_mpd_rw, polardb_mpd_ro, polardb_mpd_standby and polardb_mpd_datamax";
            return Err(bad("service_type", what));
        }
    })
}

/// The folder of the tablespace that is made later; whoever wants none names none.
fn tablespace_dir(environment: &Environment) -> Result<Option<PathBuf>, Cause> {
    let Some(object) = environment.object("create_tablespace_env")? else { return Ok(None) };
    let path = object.get("tablespace_path").and_then(serde_json::Value::as_str);
    let absolute = path.filter(|path| path.starts_with('/'));
    let path = absolute.ok_or_else(|| bad("create_tablespace_env", "has no absolute tablespace_path"))?;
    Ok(Some(path.into()))
}

/// Certificate and key, where both are given.
pub(super) fn ssl(environment: &Environment) -> Result<Option<Given>, Cause> {
    let pem = |name: &str| {
        let bytes = environment.bytes(name)?;
        bytes.map(|bytes| Pem::of(bytes.to_vec(), &format!("the variable {name}"))).transpose()
    };
    let (certificate, key) = (pem("ssl_cert")?, pem("ssl_key")?);
    Ok(certificate.zip(key).map(|(certificate, key)| Given { certificate, key, authority: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<Setup, Cause> {
        let mut environment = Environment::default();
        variables.iter().for_each(|(name, value)| environment.set(name, *value));
        read(&environment)
    }

    /// As the operator sends it for local storage.
    const LOCAL: [(&str, &str); 8] = [
        ("storage_type", "local"),
        ("cluster_custins_info", ""),
        ("service_type", "polardb_mpd_rw"),
        ("port", r#"{"1001":{"access_port":[3001],"link":[1],"perf_port":[2]}}"#),
        ("ins_id", "1001"),
        ("logic_ins_id", "1000"),
        ("mycnf_dict", r#"{"log_directory":"'log'","max_connections":"100","port":"5432"}"#),
        ("create_tablespace_env", r#"{"tablespace_name":"polar_tmp","tablespace_path":"/log/pg_tmp"}"#),
    ];

    #[test]
    fn as_the_operator_sends_it() {
        let setup = of(&LOCAL).unwrap();
        let install = &setup.install;
        assert_eq!(
            (&install.role, install.storage, install.port),
            (&Role::ReadWrite, Storage::Local, Some(3001))
        );
        assert_eq!(install.logic_id.as_deref(), Some("1000"));
        assert_eq!(install.tablespace_dir, Some("/log/pg_tmp".into()));
        assert!(!install.lock && !install.dma && !install.tde && install.ssl.is_none());
        let names: Vec<&str> = install.parameters.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["log_directory", "max_connections", "port", "listen_addresses"]);
        assert_eq!(setup.step_lock, PathBuf::from(STEP_LOCK));
        let with = |more: &[(&str, &str)]| of(&[&LOCAL[..], more].concat()).unwrap().install;
        assert_eq!(with(&[("create_tablespace_env", "")]).tablespace_dir, None, "it is no error");
        assert!(with(&[("lock_install_ins", "True")]).lock);
        assert_eq!(with(&[("db_type", "mysql")]).parameters.len(), 1);
        assert_eq!(with(&[("storage_type", "")]).storage, Storage::PolarStore, "the predecessor's default");
        assert_eq!(with(&[("storage_type", "fcsan"), ("on_pfs", "False")]).storage, Storage::Local);
        assert!(with(&[("dma_role", "master")]).dma && with(&[("tde_enable", "true")]).tde);
        let given = with(&[("mycnf_dict", r#"{"LISTEN_ADDRESSES":"'127.0.0.1'"}"#)]).parameters;
        assert_eq!(given.iter().filter(|(name, _)| name.eq_ignore_ascii_case("listen_addresses")).count(), 1);
    }

    #[test]
    fn what_is_refused() {
        for (variable, value) in [
            ("mycnf_dict", "{"),
            ("mycnf_dict", r#"{"a":null}"#),
            ("port", "{"),
            ("service_type", "polardb_mpd"),
            ("storage_type", "tape"),
            ("create_tablespace_env", "{\"tablespace_path\":\"relative\"}"),
            ("create_tablespace_env", "{"),
        ] {
            let cause = of(&[&LOCAL[..], &[(variable, value)]].concat()).unwrap_err();
            assert_eq!(cause.code(), "bad_variable", "{variable} {value}");
        }
        assert_eq!(of(&LOCAL[..2]).unwrap_err().code(), "missing_variable");
        let standby = [&LOCAL[..], &[("service_type", "polardb_mpd_standby")]].concat();
        assert_eq!(of(&standby).unwrap_err().code(), "missing_variable", "it has a primary");
        let rebuilt =
            |kind| of(&[&standby[..], &[("standby_rebuild_type", kind)]].concat()).unwrap().install.role;
        assert_eq!((rebuilt("rw"), rebuilt("ro")), (Role::ReadWrite, Role::ReadOnly));
    }
}
