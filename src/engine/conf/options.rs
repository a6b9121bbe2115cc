//! The command line options of a postmaster that set parameters (PostgreSQL, `PostmasterMain`).

/// Letters that take an argument.
const WITH_ARGUMENT: &str = "BCDNSWcdfhkoprtv";

/// Name and value of each parameter that the options set, in their order.
pub(super) fn settings(options: &[String], warnings: &mut Vec<String>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut words = options.iter();
    while let Some(word) = words.next() {
        if let Some(long) = word.strip_prefix("--") {
            long_option(long, word, &mut found, warnings);
        } else if let Some(letters) = word.strip_prefix('-') {
            let mut letters = letters.chars();
            while let Some(letter) = letters.next() {
                if !WITH_ARGUMENT.contains(letter) {
                    found.extend(flag(letter));
                    continue;
                }
                let argument = match letters.as_str() {
                    "" => words.next().map(String::as_str),
                    attached => Some(attached),
                };
                let Some(argument) = argument else {
                    warnings.push(format!("the engine option -{letter} lacks its argument"));
                    break;
                };
                if letter == 'c' {
                    long_option(argument, word, &mut found, warnings);
                } else if let Some(name) = named(letter) {
                    found.push((name.to_owned(), argument.to_owned()));
                }
                break;
            }
        }
    }
    found
}

/// `name=value`, in which a hyphen in the name stands for an underscore.
fn long_option(text: &str, word: &str, found: &mut Vec<(String, String)>, warnings: &mut Vec<String>) {
    match text.split_once('=') {
        Some((name, value)) => found.push((name.replace('-', "_"), value.to_owned())),
        None => warnings.push(format!("the engine option {word} has no value")),
    }
}

fn flag(letter: char) -> Option<(String, String)> {
    let (name, value) = match letter {
        'F' => ("fsync", "off"),
        'i' => ("listen_addresses", "*"),
        'l' => ("ssl", "on"),
        _ => return None,
    };
    Some((name.to_owned(), value.to_owned()))
}

fn named(letter: char) -> Option<&'static str> {
    Some(match letter {
        'B' => "shared_buffers",
        'N' => "max_connections",
        'S' => "work_mem",
        'h' => "listen_addresses",
        'k' => "unix_socket_directories",
        'p' => "port",
        _ => return None,
    })
}
