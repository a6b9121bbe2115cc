use proptest::prelude::*;

use super::*;

/// Variables, and words that the messages about them must hold.
type Mistake<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

/// Files: `/empty`, `/secret`, `/name`, `/lines`, `/nul`; every other path is absent.
fn read_file(path: &Path) -> io::Result<String> {
    match path.to_str() {
        Some("/empty") => Ok("\n".to_owned()),
        Some("/secret") => Ok("hunter2\n".to_owned()),
        Some("/name") => Ok("alice\n".to_owned()),
        Some("/lines") => Ok("hunter2\nhunter3\n".to_owned()),
        Some("/nul") => Ok("hunter2\0".to_owned()),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

fn read(env: &[(&str, &str)]) -> Result<Bootstrap, Vec<String>> {
    let env: Vec<(String, String)> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    bootstrap(&env, &read_file)
}

fn secret(text: &str) -> Option<Secret> {
    Some(Secret::new(text.to_owned()))
}

fn role(name: &str, password: Option<Secret>) -> Option<Role> {
    Some(Role { name: name.to_owned(), password })
}

#[test]
fn nothing_is_asked() {
    assert_eq!(read(&[]), Ok(Bootstrap::default()));
    let empty = [
        ("POSTGRES_USER", ""),
        ("POLARDB_PASSWORD", ""),
        ("POSTGRES_DB_FILE", ""),
        ("POSTGRES_INITDB_ARGS", ""),
    ];
    assert_eq!(read(&empty), Ok(Bootstrap::default()));
}

#[test]
fn who_gets_the_password() {
    let database = |name: &str| Some(name.to_owned());
    let table: [(&[(&str, &str)], Bootstrap); 7] = [
        (&[("POSTGRES_PASSWORD", "p")], Bootstrap { password: secret("p"), ..Bootstrap::default() }),
        (
            &[("POSTGRES_USER", "postgres"), ("POLARDB_PASSWORD", "p"), ("POSTGRES_DB", "postgres")],
            Bootstrap { password: secret("p"), ..Bootstrap::default() },
        ),
        (
            &[("POSTGRES_USER", "alice"), ("POSTGRES_PASSWORD", "p")],
            Bootstrap {
                role: role("alice", secret("p")),
                database: database("alice"),
                ..Bootstrap::default()
            },
        ),
        (
            &[("POLARDB_USER", "alice"), ("POLARDB_DB", "shop")],
            Bootstrap { role: role("alice", None), database: database("shop"), ..Bootstrap::default() },
        ),
        (
            &[("POLARDB_USER", "alice"), ("POSTGRES_USER", "alice"), ("POLARDB_DB", "postgres")],
            Bootstrap { role: role("alice", None), ..Bootstrap::default() },
        ),
        (
            &[
                ("POSTGRES_USER_FILE", "/name"),
                ("POSTGRES_PASSWORD_FILE", "/secret"),
                ("POSTGRES_PASSWORD", ""),
            ],
            Bootstrap {
                role: role("alice", secret("hunter2")),
                database: database("alice"),
                ..Bootstrap::default()
            },
        ),
        (
            &[("POSTGRES_DB", "Äpfel; \"DROP\"")],
            Bootstrap { database: database("Äpfel; \"DROP\""), ..Bootstrap::default() },
        ),
    ];
    for (env, expected) in table {
        assert_eq!(read(env), Ok(expected), "{env:?}");
    }
}

#[test]
fn the_other_variables() {
    let made = read(&[
        ("POSTGRES_INITDB_ARGS", "--encoding=UTF8 --locale C -A 'md5' -k --icu-locale='de x'"),
        ("POSTGRES_INITDB_WALDIR", "/wal"),
        ("POSTGRES_HOST_AUTH_METHOD", "trust"),
    ])
    .unwrap();
    assert_eq!(
        made.initdb_args,
        ["--encoding=UTF8", "--locale", "C", "-A", "md5", "-k", "--icu-locale=de x"]
    );
    assert_eq!((made.wal_dir, made.auth_method), (Some(PathBuf::from("/wal")), Some("trust".to_owned())));
}

#[test]
fn mistakes() {
    let long = "ä".repeat(32);
    let table: [Mistake<'_>; 19] = [
        (
            &[("POSTGRES_USER", "a"), ("POLARDB_USER", "b")],
            &["POSTGRES_USER and POLARDB_USER", "\"a\"", "\"b\""],
        ),
        (
            &[("POSTGRES_PASSWORD", "hunter1"), ("POLARDB_PASSWORD_FILE", "/secret")],
            &["POLARDB_PASSWORD_FILE", "differ"],
        ),
        (&[("POSTGRES_DB", "x"), ("POSTGRES_DB_FILE", "/name")], &["POSTGRES_DB and POSTGRES_DB_FILE"]),
        (&[("POSTGRES_PASSWORD_FILE", "/absent")], &["POSTGRES_PASSWORD_FILE", "/absent", "not found"]),
        (&[("POSTGRES_PASSWORD_FILE", "/empty")], &["POSTGRES_PASSWORD_FILE", "/empty", "is empty"]),
        (&[("POSTGRES_PASSWORD_FILE", "/nul")], &["POSTGRES_PASSWORD_FILE", "NUL"]),
        (&[("POSTGRES_USER_FILE", "/lines")], &["POSTGRES_USER_FILE", "line end"]),
        (&[("POSTGRES_USER", "a\nb")], &["POSTGRES_USER", "line end"]),
        (&[("POSTGRES_USER", &long)], &["POSTGRES_USER", "64 bytes", "63"]),
        (&[("POSTGRES_USER", "pg_alice")], &["POSTGRES_USER", "keeps for itself"]),
        (&[("POSTGRES_USER", "public")], &["POSTGRES_USER", "keeps for itself"]),
        (&[("POSTGRES_DB", "template0")], &["POSTGRES_DB", "keeps for itself"]),
        (
            &[("POLARDB_USER", "template1")],
            &["POLARDB_USER (the database is named after the user)", "keeps for itself"],
        ),
        (
            &[("POSTGRES_HOST_AUTH_METHOD", "peer")],
            &["POSTGRES_HOST_AUTH_METHOD", "\"peer\"", "scram-sha-256"],
        ),
        (&[("POSTGRES_HOST_AUTH_METHOD_FILE", "/secret")], &["POSTGRES_HOST_AUTH_METHOD_FILE"]),
        (&[("POSTGRES_INITDB_WALDIR", "wal")], &["POSTGRES_INITDB_WALDIR", "absolute", "\"wal\""]),
        (&[("POSTGRES_INITDB_ARGS", "--locale='C")], &["POSTGRES_INITDB_ARGS", "quote"]),
        (
            &[("POSTGRES_INITDB_ARGS", "--pwfile=/hunter2")],
            &["POSTGRES_INITDB_ARGS", "--pwfile", "POSTGRES_PASSWORD"],
        ),
        (
            &[("POSTGRES_DB_FILE", "/absent"), ("POSTGRES_INITDB_WALDIR", "wal")],
            &["POSTGRES_DB_FILE", "POSTGRES_INITDB_WALDIR"],
        ),
    ];
    for (env, expected) in table {
        let told = read(env).unwrap_err().join("\n");
        for words in expected {
            assert!(told.contains(words), "{env:?}: {words} is not in: {told}");
        }
        assert!(!told.contains("hunter"), "{told}");
    }
}

#[test]
fn a_mistake_is_told_once() {
    assert_eq!(read(&[("POSTGRES_USER", "a\nb")]).unwrap_err().len(), 1);
}

#[test]
fn a_password_is_not_printed() {
    let made = read(&[("POSTGRES_USER", "alice"), ("POSTGRES_PASSWORD", "hunter2")]).unwrap();
    let printed = format!("{made:?}");
    assert!(printed.contains("***") && !printed.contains("hunter2"), "{printed}");
    assert_eq!(made.role.unwrap().password.unwrap().expose(), "hunter2");
}

#[test]
fn what_initdb_is_told_by_us() {
    let args = |text: &str| initdb_args::split("ARGS", text);
    let data_dir = "data_dir in supervisor.toml";
    let table = [
        ("-D /x", data_dir),
        ("-D/x", data_dir),
        ("-kD /x", data_dir),
        ("--pgdata /x", data_dir),
        ("--pgd=/x", data_dir),
        ("/x", data_dir),
        ("-k /x", data_dir),
        ("--no-locale /x", data_dir),
        ("--locale C /x", data_dir),
        ("--locale=C /x", data_dir),
        ("-- /x", data_dir),
        ("''", data_dir),
        ("-U bob", "POSTGRES_USER"),
        ("--user=bob", "POSTGRES_USER"),
        ("-W", "POSTGRES_PASSWORD"),
        ("-kW", "POSTGRES_PASSWORD"),
        ("--pwprompt", "POSTGRES_PASSWORD"),
        ("--pwfile /x", "POSTGRES_PASSWORD"),
        ("-X /x", "POSTGRES_INITDB_WALDIR"),
        ("--waldir=/x", "POSTGRES_INITDB_WALDIR"),
        ("--some-flag-to-come --waldir=/x", "POSTGRES_INITDB_WALDIR"),
    ];
    for (text, instead) in table {
        let told = args(text).unwrap_err();
        assert!(told.iter().any(|error| error.contains(instead)), "{text}: {told:?}");
    }
    for text in
        ["", "-E UTF8", "-EUTF8", "-k -g -N", "--wal-segsize=16", "--wal-segsize 16", "-e aes-256", "-c x=1"]
    {
        assert!(args(text).is_ok(), "{text}: {:?}", args(text));
    }
}

proptest! {
    #[test]
    fn any_values(values in proptest::collection::vec("\\PC{0,12}|[-'\"\\\\ a-zUDWX=/\n\0]{0,12}", 9)) {
        let names = [
            "POSTGRES_USER", "POLARDB_USER", "POSTGRES_PASSWORD", "POSTGRES_DB", "POLARDB_DB", "POSTGRES_INITDB_ARGS",
            "POSTGRES_INITDB_WALDIR", "POSTGRES_HOST_AUTH_METHOD", "POSTGRES_PASSWORD_FILE",
        ];
        let env: Vec<(&str, &str)> = names.into_iter().zip(values.iter().map(String::as_str)).collect();
        if let Err(errors) = read(&env) {
            prop_assert!(!errors.is_empty());
        }
    }
}
