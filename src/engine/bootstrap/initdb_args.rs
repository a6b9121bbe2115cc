//! `POSTGRES_INITDB_ARGS`: split as a shell would, and searched for what first boot says itself.

const DATA_DIR: &str = "data_dir in supervisor.toml, or PGDATA";
/// Options that first boot gives, and what to use instead. The letter is the short form.
const OURS: [(&str, Option<char>, &str); 5] = [
    ("pgdata", Some('D'), DATA_DIR),
    ("username", Some('U'), "POSTGRES_USER: the bootstrap role is always postgres"),
    ("pwfile", None, "POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE"),
    ("pwprompt", Some('W'), "POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE"),
    ("waldir", Some('X'), "POSTGRES_INITDB_WALDIR"),
];
/// Short options of initdb 11 to 18 and PolarDB that take no argument.
const FLAGS: &str = "dgknNsSVW?";
/// Long ones. All others take an argument, which may be a word of its own.
const LONG_FLAGS: [&str; 14] = [
    "allow-group-access",
    "data-checksums",
    "debug",
    "discard-caches",
    "help",
    "no-clean",
    "no-data-checksums",
    "no-instructions",
    "no-locale",
    "no-sync",
    "noclean",
    "nosync",
    "show",
    "sync-only",
];

/// An argument that is first boot's own.
struct Ours {
    /// The option without its argument, which may be a secret.
    option: String,
    instead: &'static str,
}

/// The arguments in `text`; `variable` is where it comes from, for messages.
pub(super) fn split(variable: &str, text: &str) -> Result<Vec<String>, Vec<String>> {
    let Ok(args) = shell_words::split(text) else {
        return Err(vec![format!("{variable} has a quote that is not closed")]);
    };
    let errors = mistakes(variable, &args);
    if errors.is_empty() { Ok(args) } else { Err(errors) }
}

/// What is wrong with arguments for initdb; `variable` is where they come from.
pub fn mistakes(variable: &str, args: &[String]) -> Vec<String> {
    let mut errors = Vec::new();
    let mut words = args.iter().peekable();
    while let Some(word) = words.next() {
        let (ours, takes_next) = match word.strip_prefix("--") {
            Some("") => (Some(operand()), false),
            Some(long) => long_option(long),
            None => match word.strip_prefix('-') {
                Some(letters) if !letters.is_empty() => short_options(letters),
                _ => (Some(operand()), false),
            },
        };
        if let Some(Ours { option, instead }) = ours {
            errors.push(format!("{variable} must not hold {option}: use {instead}"));
        }
        // An option of some other version may take none although it is not in the lists here; what looks like an option
        // is then looked at as one.
        if takes_next {
            words.next_if(|next| !next.starts_with('-'));
        }
    }
    errors
}

/// A word that belongs to no option (also all that follows a bare `--`) is the data directory to initdb.
fn operand() -> Ours {
    Ours { option: "a word that belongs to no option".to_owned(), instead: DATA_DIR }
}

/// Whether `--text` is one of ours, and whether the next word is its argument.
fn long_option(text: &str) -> (Option<Ours>, bool) {
    let (name, has_value) = match text.split_once('=') {
        Some((name, _)) => (name, true),
        None => (text, false),
    };
    if LONG_FLAGS.contains(&name) {
        return (None, false);
    }
    // getopt takes any abbreviation that is no other option's too.
    let ours = OURS.iter().find(|(long, _, _)| long.starts_with(name));
    let ours = ours.map(|(long, _, instead)| Ours { option: format!("--{long}"), instead });
    (ours, !has_value)
}

/// The same for letters behind one hyphen: flags may be strung together, the rest is an argument.
fn short_options(letters: &str) -> (Option<Ours>, bool) {
    let mut rest = letters.chars();
    while let Some(letter) = rest.next() {
        if let Some((_, _, instead)) = OURS.iter().find(|(_, short, _)| *short == Some(letter)) {
            let takes_next = rest.as_str().is_empty() && !FLAGS.contains(letter);
            return (Some(Ours { option: format!("-{letter}"), instead }), takes_next);
        }
        if !FLAGS.contains(letter) {
            return (None, rest.as_str().is_empty());
        }
    }
    (None, false)
}
