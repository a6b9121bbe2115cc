//! The configuration files that we write into a data directory.
//!
//! `postgresql.conf` includes [`DEFAULTS_FILE`] at its very top, and that file includes [`INITDB_FILE`] at its own. The
//! last line wins in PostgreSQL, so what initdb picked gives way to the defaults of `supervisor.toml`, and those to
//! whatever people and managers write into `postgresql.conf`.

use std::collections::BTreeMap;

use super::conf::{Line, is_parameter_name, parse_line, quote};

/// The defaults, written at every start from `supervisor.toml`.
pub const DEFAULTS_FILE: &str = "polar_supervisor.conf";
/// What initdb picked for this machine, written once at first boot.
pub const INITDB_FILE: &str = "polar_initdb.conf";

/// The collector's settings: callers find log files in `pg_log` and prune them by this pattern.
const STOCK: [(&str, &str); 4] = [
    ("logging_collector", "on"),
    ("log_directory", "pg_log"),
    ("log_filename", "postgresql-%Y-%m-%d_%H%M%S.log"),
    ("password_encryption", "scram-sha-256"),
];

/// Text of [`DEFAULTS_FILE`]. `picks`: there is an [`INITDB_FILE`] (a database that somebody else made has none, and the
/// engine complains of an include that is missing). `stock`: a stock PostgreSQL, which gets the collector's settings that PolarDB brings of
/// its own. `socket_dirs`: the folders of the sockets; none leaves the engine's own default. `parameters` win over all
/// of these; a name that is none is left out with a comment, so that it cannot smuggle in a line.
pub fn defaults_file(
    picks: bool,
    stock: bool,
    socket_dirs: &[String],
    parameters: &BTreeMap<String, String>,
) -> String {
    let mut text = "\
# Generated at every start: changes made here are lost.
# These are defaults; what postgresql.conf or ALTER SYSTEM says wins. Change them in supervisor.toml,
# [program.NAME.parameters].

"
    .to_owned();
    if picks {
        text.push_str(&format!(
            "# What initdb picked for this machine.\ninclude_if_exists {}\n",
            quote(INITDB_FILE)
        ));
    }
    let mut add = |name: &str, value: &str| text.push_str(&format!("{name} = {}\n", quote(value)));
    if stock {
        for (name, value) in STOCK {
            add(name, value);
        }
    }
    if !socket_dirs.is_empty() {
        let dirs: Vec<String> = socket_dirs.iter().map(|dir| list_item(dir)).collect();
        add("unix_socket_directories", &dirs.join(", "));
    }
    for (name, value) in parameters {
        if is_parameter_name(name) {
            add(name, value);
        }
    }
    for name in parameters.keys().filter(|name| !is_parameter_name(name)) {
        text.push_str(&format!("# left out, for it is no name of a parameter: {name:?}\n"));
    }
    text
}

/// An item of a list of folders: a comma or a space inside needs double quotes (`SplitDirectoriesString`).
fn list_item(dir: &str) -> String {
    if dir.contains([',', '"', ' ', '\t']) {
        format!("\"{}\"", dir.replace('"', "\"\""))
    } else {
        dir.to_owned()
    }
}

/// Splits the configuration of a first boot into `postgresql.conf` and [`INITDB_FILE`].
///
/// All that initdb set goes to the second, so that `supervisor.toml` can override it. `postgresql.conf` is the template
/// where there is one, whose settings stay in place (they are an operator's word), else initdb's own file with its
/// settings commented out. Either begins with the include of [`DEFAULTS_FILE`] and a line `port=N`, in exactly this form
/// because callers search for it, and has no other port.
pub fn first_boot_conf(initdb_conf: &str, template: Option<&str>, port: u16) -> (String, String) {
    let mut picks = "# What initdb picked for this machine. Written once, at first boot.\n".to_owned();
    for line in initdb_conf.lines() {
        if is_active(line) && !sets_port(line) {
            picks.push_str(line.trim_end());
            picks.push('\n');
        }
    }

    let mut conf = format!("{}port={port}\n", include_lines());
    for line in template.unwrap_or(initdb_conf).lines() {
        let line = line.trim_end();
        let reason = if sets_port(line) {
            Some("port: see the top of this file".to_owned())
        } else if includes_defaults(line) {
            Some("included at the top of this file".to_owned())
        } else if template.is_none() && is_active(line) {
            Some(format!("a pick of initdb: in {INITDB_FILE}"))
        } else {
            None
        };
        match reason {
            Some(reason) => conf.push_str(&format!("#{line}\t# ({reason})\n")),
            None => conf.push_str(&format!("{line}\n")),
        }
    }
    (conf, picks)
}

/// Makes sure that a `postgresql.conf` includes [`DEFAULTS_FILE`] before it says anything else; `None`: it does.
///
/// An include further down (a program that sorts the file moves it) would override what stands above it: it is commented
/// out and the one at the top takes its place.
pub fn with_include(conf: &str) -> Option<String> {
    let mut active = conf.split('\n').filter(|line| parse_line(line) != Line::Blank);
    if active.next().is_some_and(includes_defaults) && !active.any(includes_defaults) {
        return None;
    }
    let mut text = include_lines();
    for line in conf.split_inclusive('\n') {
        if includes_defaults(line.trim_end_matches('\n')) {
            text.push('#');
        }
        text.push_str(line);
    }
    Some(text)
}

fn include_lines() -> String {
    format!(
        "# Defaults of supervisor.toml; every setting below this line wins over them.\ninclude_if_exists {}\n",
        quote(DEFAULTS_FILE)
    )
}

fn is_active(line: &str) -> bool {
    matches!(parse_line(line), Line::Setting { .. } | Line::Include { .. })
}

fn sets_port(line: &str) -> bool {
    matches!(parse_line(line), Line::Setting { name, .. } if name.eq_ignore_ascii_case("port"))
}

fn includes_defaults(line: &str) -> bool {
    match parse_line(line) {
        Line::Include { path, .. } => path.trim_start_matches("./") == DEFAULTS_FILE,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::conf;

    const INITDB: &str = "\
# comment
#port = 5432\t\t\t\t# (change requires restart)
max_connections = 100\t\t\t# (change requires restart)
port = 5432
shared_buffers = 128MB\t\t\t# min 128kB
#include_dir = '...'
";

    fn parameters(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// What an engine makes of these files.
    fn served(conf: &str, initdb: &str, defaults: &str) -> conf::Settings {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("postgresql.conf", conf), (INITDB_FILE, initdb), (DEFAULTS_FILE, defaults)] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let (settings, warnings) = conf::read(dir.path(), &[]);
        assert_eq!(warnings, Vec::<String>::new());
        settings
    }

    #[test]
    fn what_wins() {
        let (conf, initdb) = first_boot_conf(INITDB, None, 5433);
        let asked = parameters(&[("shared_buffers", "256MB"), ("log_directory", "log"), ("work_mem", "8MB")]);
        let dirs = ["/data".to_owned(), "/var/run/post gres,ql".to_owned()];
        let defaults = defaults_file(true, true, &dirs, &asked);
        let settings = served(&(conf + "work_mem = 16MB\n"), &initdb, &defaults);
        let table = [
            ("max_connections", "100"),
            ("shared_buffers", "256MB"),
            ("work_mem", "16MB"),
            ("port", "5433"),
            ("logging_collector", "on"),
            ("log_directory", "log"),
            ("log_filename", "postgresql-%Y-%m-%d_%H%M%S.log"),
            ("password_encryption", "scram-sha-256"),
            ("unix_socket_directories", "/data, \"/var/run/post gres,ql\""),
        ];
        for (name, value) in table {
            assert_eq!(settings.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn defaults_of_polardb_are_its_own() {
        let text = defaults_file(true, false, &[], &BTreeMap::new());
        let active: Vec<&str> = text.lines().filter(|line| parse_line(line) != Line::Blank).collect();
        assert_eq!(active, ["include_if_exists 'polar_initdb.conf'"]);
    }

    #[test]
    fn a_parameter_cannot_bring_another() {
        let asked = parameters(&[("a\nport", "1"), ("b", "2\nport = 3")]);
        let settings = served(&with_include("").unwrap(), "", &defaults_file(true, false, &[], &asked));
        assert_eq!((settings.get("port"), settings.get("b")), (None, Some("2\nport = 3")));
    }

    #[test]
    fn the_first_conf() {
        let (conf, initdb) = first_boot_conf(INITDB, None, 5433);
        let active: Vec<&str> = conf.lines().filter(|line| parse_line(line) != Line::Blank).collect();
        assert_eq!(active, ["include_if_exists 'polar_supervisor.conf'", "port=5433"]);
        assert!(
            conf.contains("#max_connections = 100\t\t\t# (change requires restart)\t# (a pick of initdb"),
            "{conf}"
        );
        assert!(conf.contains("# comment\n#port = 5432\t"), "{conf}");
        let active: Vec<&str> = initdb.lines().filter(|line| parse_line(line) != Line::Blank).collect();
        assert_eq!(
            active,
            [
                "max_connections = 100\t\t\t# (change requires restart)",
                "shared_buffers = 128MB\t\t\t# min 128kB"
            ]
        );
    }

    #[test]
    fn a_template_is_the_operators_word() {
        let template =
            "include 'polar_supervisor.conf'\nPort=3000\nshared_buffers = 6GB\ninclude_dir 'conf.d'";
        let (conf, initdb) = first_boot_conf(INITDB, Some(template), 5433);
        let active: Vec<&str> = conf.lines().filter(|line| parse_line(line) != Line::Blank).collect();
        assert_eq!(
            active,
            [
                "include_if_exists 'polar_supervisor.conf'",
                "port=5433",
                "shared_buffers = 6GB",
                "include_dir 'conf.d'"
            ]
        );
        assert!(initdb.contains("max_connections = 100"));
        assert!(!conf.contains("max_connections"));
    }

    #[test]
    fn the_include_is_at_the_top() {
        let fine = [
            "include 'polar_supervisor.conf'\nport = 1\n",
            "# first\n\n include_if_exists = ./polar_supervisor.conf",
            &first_boot_conf(INITDB, None, 1).0,
        ];
        for conf in fine {
            assert_eq!(with_include(conf), None, "{conf}");
        }
        for conf in
            ["", "port = 1", "port = 1\ninclude 'polar_supervisor.conf'\nwork_mem = 1MB\n", "# none\r\n"]
        {
            let text = with_include(conf).unwrap();
            assert!(
                text.lines().find(|line| parse_line(line) != Line::Blank).is_some_and(includes_defaults),
                "{text}"
            );
        }
        // A second include would take back what stands between the two.
        let twice =
            with_include("include polar_supervisor.conf\na = 1\ninclude polar_supervisor.conf").unwrap();
        assert!(
            twice.ends_with("#include polar_supervisor.conf\na = 1\n#include polar_supervisor.conf"),
            "{twice}"
        );
        let moved = with_include("a = 1\ninclude 'polar_supervisor.conf'\r\nb = 2").unwrap();
        assert!(moved.ends_with("a = 1\n#include 'polar_supervisor.conf'\r\nb = 2"), "{moved}");
    }

    proptest! {
        #[test]
        fn the_include_is_added_once(
            lines in proptest::collection::vec(
                prop_oneof![Just("include 'polar_supervisor.conf'".to_owned()), "[a-c =#']{0,6}", Just("x = 1".to_owned())],
                0..6,
            )
        ) {
            let conf = lines.join("\n");
            if let Some(text) = with_include(&conf) {
                prop_assert_eq!(with_include(&text), None);
            }
            let (conf, _) = first_boot_conf("", Some(&conf), 1);
            prop_assert_eq!(with_include(&conf), None);
        }
    }
}
