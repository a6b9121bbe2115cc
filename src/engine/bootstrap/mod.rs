//! The environment variables of first boot.
//!
//! | variable | meaning |
//! |---|---|
//! | `POSTGRES_USER`, `POLARDB_USER` | a superuser beside `postgres`, which is always there |
//! | `POSTGRES_PASSWORD`, `POLARDB_PASSWORD` | the password of that user, or of `postgres` where none is named |
//! | `POSTGRES_DB`, `POLARDB_DB` | a database to be created, owned by that user; default: the user's name |
//! | `POSTGRES_INITDB_ARGS` | further arguments of initdb, in the quoting of a shell |
//! | `POSTGRES_INITDB_WALDIR` | folder of the write-ahead log |
//! | `POSTGRES_HOST_AUTH_METHOD` | method of `pg_hba.conf` for TCP; default `scram-sha-256` |
//!
//! Each has a twin with `_FILE` at its end that names a file to read the value from. An empty variable counts as unset.
//! With another user than `postgres`, `postgres` gets no password: it is reached through the socket, as root or the
//! engine's user.

mod initdb_args;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::access;
pub use initdb_args::mistakes as initdb_args_mistakes;

/// The longest name of a role or database, in bytes (PostgreSQL's `NAMEDATALEN` less its NUL): it would be cut.
const NAME_MAX: usize = 63;

/// A password: nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Keeps a text from being printed.
    pub fn new(text: String) -> Secret {
        Secret(text)
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The superuser beside `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// Its name, never `postgres`.
    pub name: String,
    /// Its password.
    pub password: Option<Secret>,
}

/// What the variables ask of a first boot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bootstrap {
    /// The password of `postgres`.
    pub password: Option<Secret>,
    /// The superuser beside it.
    pub role: Option<Role>,
    /// The database to create, never `postgres`.
    pub database: Option<String>,
    /// Further arguments of initdb.
    pub initdb_args: Vec<String>,
    /// Folder of the write-ahead log, absolute.
    pub wal_dir: Option<PathBuf>,
    /// Method of `pg_hba.conf` for TCP.
    pub auth_method: Option<String>,
}

/// Reads the variables of first boot. `read_file` reads what a `_FILE` variable names.
///
/// # Errors
/// Every mistake, one message each: none ever holds a password or what a file contains.
pub fn bootstrap(
    env: &[(String, String)],
    read_file: &dyn Fn(&Path) -> io::Result<String>,
) -> Result<Bootstrap, Vec<String>> {
    let mut variables = Variables { env, read_file, errors: Vec::new() };
    let user = variables.either("USER", true);
    let password = variables.either("PASSWORD", false);
    let database = variables.either("DB", true);
    let initdb_args = variables.one("POSTGRES_INITDB_ARGS");
    let wal_dir = variables.one("POSTGRES_INITDB_WALDIR");
    let auth_method = variables.one("POSTGRES_HOST_AUTH_METHOD");
    let mut errors = variables.errors;

    let role = user.filter(|user| user.text != "postgres");
    let role_error = role.as_ref().and_then(role_name_error);
    let named_well = role_error.is_none();
    errors.extend(role_error);
    if let Some(password) = &password
        && password.text.contains('\0')
    {
        errors.push(format!("{} holds a NUL character, which no password can have", password.variable));
    }
    // One mistake is said once: a database is not named after a user whose name is wrong already.
    let database = database.or_else(|| {
        let role = role.as_ref().filter(|_| named_well)?;
        let variable = format!("{} (the database is named after the user)", role.variable);
        Some(Value { variable, text: role.text.clone() })
    });
    if let Some(database) = &database {
        errors.extend(database_name_error(database));
    }
    let initdb_args =
        initdb_args.map(|args| initdb_args::split(&args.variable, &args.text)).unwrap_or(Ok(Vec::new()));
    let initdb_args = initdb_args.unwrap_or_else(|mut refused| {
        errors.append(&mut refused);
        Vec::new()
    });
    if let Some(dir) = &wal_dir
        && (!dir.text.starts_with('/') || dir.text.contains(char::is_control))
    {
        errors.push(format!("{} must be an absolute path, not {}", dir.variable, dir.shown()));
    }
    if let Some(method) = &auth_method
        && !access::is_auth_method(&method.text)
    {
        let (variable, text, allowed) = (&method.variable, method.shown(), access::auth_methods());
        errors.push(format!(
            "{variable} is {text}, which is no method for a host line without options; allowed: {allowed}; for others \
             edit pg_hba.conf after first boot"
        ));
    }
    if !errors.is_empty() {
        return Err(errors);
    }

    let password = password.map(|password| Secret(password.text));
    let (password, role) = match role {
        Some(role) => (None, Some(Role { name: role.text, password })),
        None => (password, None),
    };
    Ok(Bootstrap {
        password,
        role,
        database: database.map(|database| database.text).filter(|name| name != "postgres"),
        initdb_args,
        wal_dir: wal_dir.map(|dir| PathBuf::from(dir.text)),
        auth_method: auth_method.map(|method| method.text),
    })
}

fn role_name_error(role: &Value) -> Option<String> {
    let (variable, name) = (&role.variable, &role.text);
    let shown = role.shown();
    name_error(role).or_else(|| {
        let reserved = name.starts_with("pg_") || ["public", "none"].contains(&name.as_str());
        reserved.then(|| {
            format!("{variable} is {shown}, a name that PostgreSQL keeps for itself; choose another")
        })
    })
}

fn database_name_error(database: &Value) -> Option<String> {
    let (variable, name) = (&database.variable, &database.text);
    let shown = database.shown();
    name_error(database).or_else(|| {
        let template = ["template0", "template1"].contains(&name.as_str());
        template.then(|| {
            format!("{variable} is {shown}, a database that PostgreSQL keeps for itself; choose another")
        })
    })
}

fn name_error(value: &Value) -> Option<String> {
    let Value { variable, text } = value;
    if text.contains(char::is_control) {
        return Some(format!("{variable} holds a line end or another control character: {}", value.shown()));
    }
    let length = text.len();
    (length > NAME_MAX).then(|| {
        format!("{variable} is {length} bytes long; the longest name that PostgreSQL keeps is {NAME_MAX}")
    })
}

/// A value, and the variable that it came from.
struct Value {
    variable: String,
    text: String,
}

impl Value {
    /// For messages. What a file says is not shown: somebody may have named the file of a password by mistake.
    fn shown(&self) -> String {
        if self.variable.contains("_FILE") {
            "what the file says".to_owned()
        } else {
            format!("{:?}", self.text)
        }
    }
}

struct Variables<'a> {
    env: &'a [(String, String)],
    read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    errors: Vec<String>,
}

impl Variables<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        // Of a name that stands twice, programs see the first.
        let found = self.env.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A variable or its `_FILE` twin.
    fn one(&mut self, name: &str) -> Option<Value> {
        let twin = format!("{name}_FILE");
        let direct = self.get(name).map(str::to_owned);
        let Some(path) = self.get(&twin).map(str::to_owned) else {
            return direct.map(|text| Value { variable: name.to_owned(), text });
        };
        if direct.is_some() {
            self.errors.push(format!("both {name} and {twin} are set; set one of them"));
            return None;
        }
        match (self.read_file)(Path::new(&path)) {
            Ok(content) => {
                // Editors and `echo` end a file with a line end that is no part of the value.
                let text = content.trim_end_matches(['\r', '\n']).to_owned();
                if text.is_empty() {
                    self.errors.push(format!("{twin} names {path}, which is empty; fill it or unset {twin}"));
                    return None;
                }
                Some(Value { variable: twin, text })
            }
            Err(error) => {
                self.errors.push(format!("{twin} names {path}, which cannot be read: {error}"));
                None
            }
        }
    }

    /// The same thing under PostgreSQL's and PolarDB's name. `printable`: the values may stand in a message.
    fn either(&mut self, name: &str, printable: bool) -> Option<Value> {
        let postgres = self.one(&format!("POSTGRES_{name}"));
        let polardb = self.one(&format!("POLARDB_{name}"));
        if let (Some(one), Some(other)) = (&postgres, &polardb)
            && one.text != other.text
        {
            let shown =
                if printable { format!(" ({} and {})", one.shown(), other.shown()) } else { String::new() };
            self.errors.push(format!(
                "{} and {} are two names of one thing but differ{shown}; set one of them",
                one.variable, other.variable
            ));
        }
        postgres.or(polardb)
    }
}

#[cfg(test)]
mod tests;
