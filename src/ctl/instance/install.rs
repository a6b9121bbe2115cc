//! `install`: an installation, as it is called and shown.

use serde_json::json;

use super::account::read_password;
use super::desk::{Desk, of_cause};
use super::ssl::given;
use crate::ctl::cli::install::{InstallArgs, PrimaryArgs, RoleArg, StorageArg};
use crate::ctl::cli::instance::{DoArgs, InstanceArgs};
use crate::ctl::failure::Failure;
use crate::manager::account::Password;
use crate::manager::install::{Install, Primary, Role, Storage};
use crate::manager::replica::{Kind, Name};
use crate::manager::{Cause, params};

/// Where a password is taken from that no option names, as libpq does.
const PASSWORD: &str = "PGPASSWORD";

/// Does it.
///
/// # Errors
/// It was not done.
pub(crate) fn run(desk: &mut Desk<'_>, args: &InstallArgs) -> Result<(), Failure> {
    let role = match args.role {
        RoleArg::Rw => "rw",
        RoleArg::Standby => "standby",
        RoleArg::Ro => "ro",
        RoleArg::Datamax => "datamax",
    };
    let install = asked(args, desk).map_err(|cause| {
        desk.record("install", &Err(&cause), role);
        of_cause("install", &cause)
    })?;
    let instance = InstanceArgs { program: args.program.clone(), timeout: args.timeout };
    let change = DoArgs { instance, dry_run: args.dry_run };
    desk.change(
        &install,
        role,
        &change,
        |seen| json!({ "role": role, "user": seen.user(), "done": seen.is_done() }),
    )
}

fn asked(args: &InstallArgs, desk: &Desk<'_>) -> Result<Install, Cause> {
    let role = match args.role {
        RoleArg::Rw => Role::ReadWrite,
        RoleArg::Standby => Role::Standby(primary(&args.primary)?),
        RoleArg::Ro => Role::ReadOnly,
        RoleArg::Datamax => Role::DataMax,
    };
    let storage = match args.storage {
        StorageArg::Local => Storage::Local,
        StorageArg::Fcsan => Storage::FcSan,
        StorageArg::Polarstore => Storage::PolarStore,
    };
    let parameters: Result<Vec<_>, Cause> =
        args.parameters.iter().map(|text| params::assignment(text)).collect();
    Ok(Install {
        role,
        storage,
        dma: args.dma,
        tde: args.tde,
        user: args.user.clone(),
        port: args.port,
        parameters: parameters?,
        template: args.template.clone(),
        initdb_args: args.initdb_args.clone(),
        node_hba: args.hba_file.clone(),
        log_dir: desk.log_dir().to_owned(),
        logic_id: args.logic_id.clone(),
        lock: args.lock,
        tablespace_dir: args.tablespace_dir.clone(),
        ssl: given(&args.ssl)?,
    })
}

fn primary(args: &PrimaryArgs) -> Result<Primary, Cause> {
    let Some(host) = args.primary_host.clone() else {
        return Err(Cause::invalid(
            "usage",
            "a standby has a primary",
            "say where that is: --primary-host HOST",
        ));
    };
    let slot = match (&args.custins_id, &args.unique_name) {
        (Some(id), Some(name)) => Some(Name::new(Kind::Standby, id, name)?),
        _ => None,
    };
    let password = match read_password(&args.password)? {
        None => of_environment()?,
        password => password,
    };
    Ok(Primary { host, port: args.primary_port, user: args.primary_user.clone(), password, slot })
}

fn of_environment() -> Result<Option<Password>, Cause> {
    use std::os::unix::ffi::OsStrExt;
    let found = std::env::var_os(PASSWORD).filter(|text| !text.is_empty());
    found.map(|text| Password::read(text.as_bytes())).transpose()
}
