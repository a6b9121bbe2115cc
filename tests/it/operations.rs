//! docs/operations.md quotes the log: each quoted line must be one that the program can write.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The fixed parts of one string of the source: what stands between its placeholders.
type Fixed = Vec<String>;

#[test]
fn each_quoted_log_line_is_of_the_program() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut strings = BTreeSet::new();
    collect(&root.join("src"), &mut strings);
    let page = fs::read_to_string(root.join("docs/operations.md")).expect("read the page");
    let lines = quoted(&page);
    assert!(lines.len() > 50, "the page quotes {} lines", lines.len());
    let strangers: Vec<String> = lines
        .iter()
        .filter_map(|line| {
            let words = strange_words(&message(line), &strings).join(" ");
            (!words.is_empty()).then(|| format!("{line}\n    the program does not say: {words}"))
        })
        .collect();
    assert!(strangers.is_empty(), "quoted in docs/operations.md:\n{}", strangers.join("\n"));
}

#[test]
fn a_line_that_the_program_does_not_write_is_found() {
    let strings = BTreeSet::from([vec!["gave up: ".to_owned(), "; ending with status ".to_owned()]]);
    assert_eq!(strange_words("gave up: /data; ending with status 78", &strings), [""; 0]);
    assert_eq!(strange_words("gave up: all hope; ending with status 78", &strings), ["all", "hope"]);
    assert_eq!(strange_words("has given up: /data; ending with status 78", &strings).len(), 6);
    let line = "2026-11-21T03:24:17.024Z ERROR engine: gave up: /data: No such thing (os error 2); ending with status 7";
    assert_eq!(message(line), "gave up: /data: ; ending with status 7");
    let line = "2026-11-21T06:37:38.488Z INFO  polar-supervisor: flood: added";
    assert_eq!(message(line), ": added");
}

/// The lines of the page's `log` boxes.
fn quoted(page: &str) -> Vec<&str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in page.lines() {
        match line {
            "```log" => inside = true,
            "```" => inside = false,
            _ if inside => lines.push(line),
            _ => {}
        }
    }
    lines
}

/// What follows time, level and program, and the name of a program that PID 1 tells of; a line from before the log has
/// begun stands alone. The words of others that
/// follow are theirs: the engine's own line, a process's title, a cause that the system names.
fn message(line: &str) -> String {
    let stamped = line.split_once("Z ").filter(|(time, _)| time.starts_with("20"));
    let message = match stamped {
        Some((_, text)) => match text.split_once(": ") {
            Some((own, text)) if own.ends_with(" polar-supervisor") => of_program(text),
            Some((_, text)) => text,
            None => text,
        },
        None => line,
    };
    let message = message.split(" UTC [").next().unwrap_or_default();
    let message =
        message.split_once(", postgres: ").map_or(message.to_owned(), |(ours, _)| format!("{ours}, "));
    match message.split_once(" (os error ") {
        Some((before, after)) => {
            let ours = before.rsplit_once(": ").map_or("", |(ours, _)| ours);
            format!("{ours}: {}", after.split_once(')').map_or("", |(_, after)| after))
        }
        None => message,
    }
}

/// `engine: changed: port` tells of a program: what follows its name, with the colon.
fn of_program(text: &str) -> &str {
    let named = text.split_once(": ").filter(|(name, _)| name.bytes().all(|byte| byte.is_ascii_lowercase()));
    named.map_or(text, |(name, _)| &text[name.len()..])
}

/// Plain words of a message that no string of the source accounts for: values are numbers, paths, names in quotes or
/// brackets, the engine's user, and what else has no letters alone.
fn strange_words<'a>(message: &'a str, strings: &BTreeSet<Fixed>) -> Vec<&'a str> {
    let mut known = vec![false; message.len()];
    for parts in strings {
        let mut spans = Vec::new();
        let mut from = 0;
        for part in parts {
            let Some(at) = message[from..].find(part.as_str()) else {
                spans.clear();
                break;
            };
            spans.push(from + at..from + at + part.len());
            from += at + part.len();
        }
        spans.into_iter().for_each(|span| known[span].fill(true));
    }
    let start = |word: &str| word.as_ptr() as usize - message.as_ptr() as usize;
    let (mut quotes, mut brackets) = (0, 0);
    let mut strange = Vec::new();
    for word in message.split_whitespace() {
        let value =
            quotes % 2 == 1 || brackets > 0 || word.starts_with(['"', '(', '`']) || word.contains('/');
        quotes += word.matches('"').count();
        brackets += i32::try_from(word.matches('(').count()).unwrap();
        brackets -= i32::try_from(word.matches(')').count()).unwrap();
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let plain = bare.len() > 1
            && bare != "postgres"
            && bare.chars().all(|c| c.is_ascii_alphabetic() || c == '\'');
        if plain && !value && !known[start(bare)..start(bare) + bare.len()].iter().all(|known| *known) {
            strange.push(bare);
        }
    }
    strange
}

/// The strings of all source files, without the tests in them.
fn collect(folder: &Path, strings: &mut BTreeSet<Fixed>) {
    for entry in fs::read_dir(folder).expect("list src").flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "tests" {
            collect(&path, strings);
        } else if path.extension().is_some_and(|end| end == "rs") && name != "tests.rs" {
            let text = fs::read_to_string(&path).expect("read a source file");
            let code: String = text
                .split("#[cfg(test)]\nmod tests")
                .next()
                .unwrap_or_default()
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .flat_map(|line| [line, "\n"])
                .collect();
            strings.extend(literals(&code).iter().map(String::as_str).map(fixed).filter(tells));
        }
    }
}

/// Short strings would account for anything.
fn tells(parts: &Fixed) -> bool {
    parts.iter().map(String::len).sum::<usize>() >= 5
}

/// The contents of the string literals, without the line ends that a backslash takes away.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code.chars().peekable();
    while let Some(character) = rest.next() {
        // A character literal such as '"' opens no string.
        if character == '\'' && rest.peek() == Some(&'"') {
            rest.nth(1);
            continue;
        }
        if character != '"' {
            continue;
        }
        let mut literal = String::new();
        while let Some(character) = rest.next() {
            match character {
                '"' => break,
                '\\' => match rest.next() {
                    Some('\n') => while rest.next_if(|next| next.is_whitespace()).is_some() {},
                    Some('n') => literal.push('\n'),
                    Some(other) => literal.push(other),
                    None => {}
                },
                _ => literal.push(character),
            }
        }
        found.push(literal);
    }
    found
}

/// What stands between the placeholders.
fn fixed(literal: &str) -> Fixed {
    let mut parts = Vec::new();
    for piece in literal.split('}') {
        parts.push(piece.split('{').next().unwrap_or_default().to_owned());
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}
