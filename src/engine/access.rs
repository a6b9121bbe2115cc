//! Who may connect after first boot: `pg_hba.conf` and `pg_ident.conf`.

/// The methods of `pg_hba.conf` that work on a `host` line without further options. `peer` needs a socket, `cert` needs
/// TLS, `ldap` and `radius` need options: whoever wants those edits `pg_hba.conf`.
const HOST_METHODS: [&str; 8] =
    ["gss", "ident", "md5", "pam", "password", "reject", "scram-sha-256", "trust"];

/// The method for TCP where nothing else is asked for.
pub const DEFAULT_METHOD: &str = "scram-sha-256";

/// Whether a word is an authentication method that [`hba`] can use for TCP.
pub fn is_auth_method(word: &str) -> bool {
    HOST_METHODS.contains(&word)
}

/// The methods that [`is_auth_method`] takes, for messages.
pub fn auth_methods() -> String {
    HOST_METHODS.join(", ")
}

/// Text of `pg_hba.conf`; `host_auth_method` is the method for TCP.
pub fn hba(host_auth_method: &str) -> String {
    format!(
        "\
# Written at first boot and never again: edit it, then reload the engine.

# Sockets: the operating system says who connects, and the map \"polar\" of pg_ident.conf says which role that user may
# be. No password is needed, so health checks, backups and an operator in the container can always connect.
# TYPE  DATABASE     USER  ADDRESS  METHOD
local   all          all            peer map=polar
local   replication  all            peer map=polar

# TCP, from anywhere: a container cannot know the addresses of its network.
host    all          all   all      {host_auth_method}
host    replication  all   all      {host_auth_method}
"
    )
}

/// What an engine's user is called that has no entry in a `/etc/passwd` in which `postgres` is another one's name.
pub fn stand_in(uid: u32) -> String {
    format!("postgres{uid}")
}

/// Text of `pg_ident.conf`: the map that [`hba`] names. `engine_user`: the name of the user that the engine runs as,
/// where it has one.
pub fn ident(engine_user: Option<&str>) -> String {
    let mut text = "\
# Written at first boot and never again: edit it, then reload the engine.

# Which user of the operating system may be which role on a socket.
# MAP    SYSTEM-USER  ROLE

# Both could read and change every file of the database anyway.
polar    root         postgres
"
    .to_owned();
    // A name that begins with a slash would be read as a regular expression, quoted or not.
    if let Some(user) = engine_user
        && !["root", "postgres"].contains(&user)
        && !user.starts_with('/')
        && !user.contains(char::is_control)
    {
        text.push_str(&format!("polar    {}         postgres\n", quoted(user)));
    }
    text.push_str("\n# Everybody is the role of the same name.\npolar    /^(.*)$      \\1\n");
    text
}

/// Plain names as they are; in double quotes, all else is taken literally.
fn quoted(name: &str) -> String {
    if name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') && name != "all" {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('"', "\"\""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<String> {
        let active = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        active.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn who_may_connect() {
        assert_eq!(
            rules(&hba("md5")),
            [
                "local all all peer map=polar",
                "local replication all peer map=polar",
                "host all all all md5",
                "host replication all all md5",
            ]
        );
    }

    #[test]
    fn who_is_who() {
        let identity = r"polar /^(.*)$ \1";
        assert_eq!(rules(&ident(None)), ["polar root postgres", identity]);
        assert_eq!(rules(&ident(Some("postgres"))), ["polar root postgres", identity]);
        assert_eq!(
            rules(&ident(Some("polardb"))),
            ["polar root postgres", "polar polardb postgres", identity]
        );
        assert_eq!(
            rules(&ident(Some("a b\"c"))),
            ["polar root postgres", "polar \"a b\"\"c\" postgres", identity]
        );
        for odd in ["/.*", "a\nb"] {
            assert_eq!(rules(&ident(Some(odd))), ["polar root postgres", identity]);
        }
    }

    #[test]
    fn methods() {
        assert!(["scram-sha-256", "md5", "trust", "reject"].iter().all(|word| is_auth_method(word)));
        assert!(
            !["", "peer", "cert", "SCRAM-SHA-256", "md5 map=x", "trust\nhost"]
                .iter()
                .any(|word| is_auth_method(word))
        );
        assert!(is_auth_method(DEFAULT_METHOD));
    }
}
