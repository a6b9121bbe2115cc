//! Where results go: standard output as a table or as JSON, colours and a progress line on a terminal only.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use super::cli::Form;

/// Where results go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Screen {
    /// For programs.
    pub(crate) json: bool,
    colour: bool,
    /// Standard output is a terminal.
    pub(crate) terminal: bool,
    /// Standard error is a terminal, for people.
    pub(crate) progress: bool,
}

/// Colours of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Colour {
    /// As it should be.
    Green,
    /// On its way, or to be looked at.
    Yellow,
    /// Not as it should be.
    Red,
    /// Of less weight.
    Grey,
}

impl Screen {
    /// The screen of this process.
    pub(crate) fn new(form: Form) -> Self {
        let json = form == Form::Json;
        let terminal = io::stdout().is_terminal();
        // https://no-color.org: any value but an empty one.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Screen {
            json,
            colour: terminal && !plain && !json,
            terminal,
            progress: io::stderr().is_terminal() && !json,
        }
    }

    /// Prints text as it is.
    pub(crate) fn text(self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }

    /// Prints one document.
    pub(crate) fn document(self, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        text.push('\n');
        self.text(&text)
    }

    /// Prints one of many documents, in a line of its own.
    pub(crate) fn line(self, value: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_string(value).map_err(io::Error::other)?;
        text.push('\n');
        self.text(&text)
    }

    /// Whether nobody reads our output any more: a pipe whose other end is closed.
    pub(crate) fn reader_gone(self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let stdout = io::stdout();
        let mut polled = [PollFd::new(&stdout, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&at_once)).is_ok_and(|count| count > 0)
            && polled.iter().any(|polled| polled.revents().intersects(PollFlags::ERR | PollFlags::HUP))
    }

    /// Colours a text, on a terminal.
    pub(crate) fn paint(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Green => 32,
            Colour::Yellow => 33,
            Colour::Red => 31,
            Colour::Grey => 90,
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Says on standard error what a person should know beside the result.
    pub(crate) fn note(self, text: &str) {
        // Texts of others may be in it; what has several lines keeps them. Nobody there to read it is no failure.
        let text = text.lines().map(harmless).collect::<Vec<_>>().join("\n");
        let _ = writeln!(io::stderr().lock(), "polarctl: {text}");
    }

    /// Shows how far it is, in place of what was shown before; an empty text takes it away.
    pub(crate) fn progress(self, text: &str) {
        if self.progress {
            let mut err = io::stderr().lock();
            let _ = write!(err, "\r\x1b[K{text}").and_then(|()| err.flush());
        }
    }
}

/// Text of others, without what would command a terminal.
pub(crate) fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Text of others in one line, cut where it is longer than people read.
pub(crate) fn brief(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return harmless(text);
    }
    let cut: String = text.chars().take(longest).collect();
    format!("{}... ({} bytes)", harmless(&cut), text.len())
}

/// Columns that are as wide as their widest cell, two blanks between.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<(String, Option<Colour>)>>,
}

impl Table {
    /// A table with its head.
    pub(crate) fn new(head: &[&str]) -> Self {
        Table { rows: vec![head.iter().map(|cell| ((*cell).to_owned(), Some(Colour::Grey))).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<(String, Option<Colour>)>) {
        self.rows.push(cells.into_iter().map(|(text, colour)| (harmless(&text), colour)).collect());
    }

    /// The whole table.
    pub(crate) fn render(&self, screen: Screen) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|(text, _)| text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut pending = 0;
            for ((cell, colour), width) in row.iter().zip(&widths) {
                text.push_str(&" ".repeat(pending));
                match colour {
                    Some(colour) if !cell.is_empty() => text.push_str(&screen.paint(*colour, cell)),
                    _ => text.push_str(cell),
                }
                pending = width.saturating_sub(cell.chars().count()) + 2;
            }
            // No blanks at the end of a line.
            while text.ends_with(' ') {
                text.pop();
            }
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
pub(crate) const PLAIN: Screen = Screen { json: false, colour: false, terminal: false, progress: false };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table() {
        let mut table = Table::new(&["NAME", "STATE", "X"]);
        table.row(vec![
            ("a".into(), None),
            ("running\x1b".into(), Some(Colour::Green)),
            (String::new(), None),
        ]);
        assert_eq!(table.render(PLAIN), "NAME  STATE     X\na     running\u{fffd}\n");
        let coloured = table.render(Screen { colour: true, ..PLAIN });
        assert!(coloured.contains("a     \x1b[32mrunning\u{fffd}\x1b[0m\n"), "{coloured:?}");
    }
}
