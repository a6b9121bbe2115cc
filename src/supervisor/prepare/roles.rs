//! Roles and the database of a first boot. Passwords go in as verifiers, over standard input.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::child::{self, Breed};
use super::executables::Engine;
use super::halt::{Outcome, Trying, failed, refused, trouble};
use super::keeper::Keeper;
use super::nss::Names;
use super::server::Server;
use super::stage::Stage;
use super::work::{Work, random};
use crate::engine::bootstrap::{Bootstrap, Secret};
use crate::engine::scram;
use crate::engine::sql::{ident_quote, literal};

/// `psql` beside the server, else in `PATH`.
///
/// # Errors
/// Refused when there is none.
pub(super) fn find_psql(work: Work<'_>, engine: &Engine) -> Outcome<PathBuf> {
    let path = work.path_variable();
    std::iter::once(engine.bin_dir.clone())
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join("psql"))
        .find(|file| rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok())
        .ok_or_else(|| {
            refused(
                format!(
                    "first boot needs psql, which is neither in {} nor in PATH",
                    engine.bin_dir.display()
                ),
                "install the engine's client package (postgresql-client)",
            )
        })
}

/// `psql` that stops at the first error.
pub(super) fn psql(mut command: Command) -> Command {
    command.args(["--no-psqlrc", "--no-password", "--quiet", "-v", "ON_ERROR_STOP=1"]);
    command
}

/// Makes what the variables ask for.
pub(super) fn make(
    work: Work<'_>,
    stage: &Stage,
    server: &Server,
    program: &Path,
    keeper: &Keeper,
    names: &Names,
    bootstrap: &Bootstrap,
) -> Outcome<()> {
    let Some(sql) = statements(bootstrap)? else { return Ok(()) };
    let mut command = psql(work.engine_command(program, &names.variables));
    server.connect(&mut command, "postgres", "postgres");
    child::quiet(&mut command);
    command.current_dir(&stage.path).stdin(Stdio::piped());
    let mut running = child::spawn(command, "psql", Breed::Tool, Some(keeper.lock()))?;
    if let Some(mut stdin) = running.stdin() {
        stdin.write_all(sql.as_bytes()).map_err(|error| trouble("write to", "psql", error))?;
    }
    let status = running.wait(work.interrupt, None)?;
    if status.success() {
        return Ok(());
    }
    Err(failed(
        format!("making the roles and the database failed: psql ended with {}", child::describe(status)),
        "see its message above; correct POSTGRES_USER, POSTGRES_DB (or POLARDB_...) and start again",
    ))
}

/// The statements, `None` where nothing is asked for. They hold no password.
fn statements(bootstrap: &Bootstrap) -> Outcome<Option<String>> {
    let mut sql = String::new();
    if let Some(password) = &bootstrap.password {
        sql.push_str(&format!("ALTER ROLE postgres PASSWORD {};\n", verifier(password)?));
    }
    if let Some(role) = &bootstrap.role {
        let name = ident_quote(&role.name);
        sql.push_str(&unless_there("pg_roles", "rolname", &role.name, &format!("CREATE ROLE {name}")));
        sql.push_str(&format!("ALTER ROLE {name} SUPERUSER LOGIN CREATEDB CREATEROLE REPLICATION BYPASSRLS"));
        if let Some(password) = &role.password {
            sql.push_str(&format!(" PASSWORD {}", verifier(password)?));
        }
        sql.push_str(";\n");
    }
    if let Some(database) = &bootstrap.database {
        let name = ident_quote(database);
        sql.push_str(&unless_there("pg_database", "datname", database, &format!("CREATE DATABASE {name}")));
        if let Some(role) = &bootstrap.role {
            sql.push_str(&format!("ALTER DATABASE {name} OWNER TO {};\n", ident_quote(&role.name)));
        }
    }
    if sql.is_empty() {
        return Ok(None);
    }
    // The server's log shows the statements of errors, and all of them where it was told to.
    let silent = "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_min_error_statement = 'panic';\n";
    Ok(Some(format!("\\set VERBOSITY terse\n{silent}{sql}")))
}

/// PolarDB's initdb makes roles and a database of its own.
fn unless_there(catalog: &str, column: &str, name: &str, statement: &str) -> String {
    let (name, statement) = (literal(name), literal(statement));
    format!("SELECT {statement} WHERE NOT EXISTS (SELECT FROM {catalog} WHERE {column} = {name}) \\gexec\n")
}

fn verifier(password: &Secret) -> Outcome<String> {
    let salt: [u8; 16] = random().trying("read", Path::new("/dev/urandom"))?;
    Ok(literal(&scram::verifier(password.expose(), &salt, scram::ITERATIONS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::bootstrap::Role;

    #[test]
    fn nothing_is_asked_for_by_nothing() {
        assert_eq!(statements(&Bootstrap::default()).unwrap(), None);
    }

    #[test]
    fn names_are_quoted_and_passwords_are_verifiers() {
        let bootstrap = Bootstrap {
            role: Some(Role { name: "a\"b'c".into(), password: Some(Secret::new("geheim".into())) }),
            database: Some("d'e".into()),
            ..Bootstrap::default()
        };
        let sql = statements(&bootstrap).unwrap().unwrap();
        assert!(!sql.contains("geheim"));
        assert!(sql.contains("PASSWORD 'SCRAM-SHA-256$4096:"));
        assert!(sql.contains(r#"'CREATE ROLE "a""b''c"' WHERE NOT EXISTS"#), "{sql}");
        assert!(sql.contains("WHERE datname = 'd''e'"), "{sql}");
        assert!(sql.contains(r#"ALTER DATABASE "d'e" OWNER TO "a""b'c";"#), "{sql}");
    }
}
