//! `polarctl explain`: every condition that holds a program up or down, the supervisor's and those that can be seen
//! from here.

use super::evidence;
use super::failure::Failure;
use super::lock_file;
use super::place::{Place, statuses};
use super::screen::{Colour, Screen, harmless};
use crate::control::protocol::{Condition, Effect, Explanation, Op, Status};

/// Explains a program, or all.
///
/// # Errors
/// The supervisor did not tell.
pub(crate) fn run(place: &Place, screen: Screen, program: Option<&str>) -> Result<(), Failure> {
    let tried = "asking for an explanation";
    let mut client = place.supervisor(tried)?;
    let op = Op::Explain { program: program.map(str::to_owned) };
    let mut all: Vec<Explanation> = client.ask(&op).map_err(|trouble| Failure::of_trouble(tried, trouble))?;
    let mut seen = statuses(&mut client, tried, program)?;
    for explanation in &mut all {
        if let Some(status) = seen.iter_mut().find(|status| status.name == explanation.name) {
            add(explanation, status);
        }
    }
    match all.as_slice() {
        [one] if screen.json && program.is_some() => screen.document(one)?,
        _ if screen.json => screen.document(&all)?,
        _ => {
            let texts: Vec<String> = all.iter().map(|explanation| in_words(screen, explanation)).collect();
            screen.text(&texts.join("\n"))?;
        }
    }
    Ok(())
}

/// Adds what can be seen from here.
fn add(explanation: &mut Explanation, status: &mut Status) {
    if let Some(lock) = &mut status.lock {
        lock_file::fill_in(lock);
        let words = lock_file::in_words(lock);
        match explanation.conditions.iter_mut().find(|condition| condition.name == "lock") {
            Some(known) => known.text.push_str(&format!("; {words}")),
            None => explanation.conditions.push(Condition {
                name: "lock".to_owned(),
                effect: Effect::Blocks,
                text: format!("{} exists, {words}", lock.file),
            }),
        }
    }
    if let Some(engine) = &status.engine {
        for seen in evidence::of_engine(engine, status) {
            merge(&mut explanation.conditions, seen);
        }
    }
    explanation.conditions.sort_by_key(|condition| condition.effect);
}

/// Where the supervisor has noted something of the same name at a start, the worse of both counts: what it has seen there
/// and cannot see again, or what has become of it.
fn merge(conditions: &mut Vec<Condition>, seen: Condition) {
    match conditions.iter_mut().find(|known| known.name == seen.name) {
        Some(known) if known.effect < seen.effect => {}
        Some(known) => *known = seen,
        None => conditions.push(seen),
    }
}

fn in_words(screen: Screen, explanation: &Explanation) -> String {
    let mut text = format!("{}\n", harmless(&explanation.summary));
    let width = explanation.conditions.iter().map(|condition| condition.name.chars().count()).max();
    let width = width.unwrap_or(0);
    for condition in &explanation.conditions {
        let (word, colour) = match condition.effect {
            Effect::Blocks => ("blocks ", Colour::Red),
            Effect::Warns => ("warns  ", Colour::Yellow),
            Effect::Allows => ("allows ", Colour::Green),
            Effect::Unknown => ("unknown", Colour::Grey),
        };
        let (word, name) = (screen.paint(colour, word), harmless(&condition.name));
        text.push_str(&format!("  {word}  {name:width$}  {}\n", harmless(&condition.text)));
    }
    if !explanation.last_lines.is_empty() {
        text.push_str("  the last lines that it wrote:\n");
        for line in &explanation.last_lines {
            text.push_str(&format!("    {}\n", harmless(line)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::screen::PLAIN;
    use crate::ctl::status::tests::running;

    #[test]
    fn what_blocks_comes_first() {
        let condition =
            |name: &str, effect, text: &str| Condition { name: name.into(), effect, text: text.into() };
        let mut explanation = Explanation {
            name: "pfsd".into(),
            state: "down".into(),
            summary: "pfsd is down: it is locked".into(),
            conditions: vec![
                condition("operator", Effect::Allows, "wants it up"),
                condition("keeper", Effect::Unknown, "no answer"),
            ],
            last_lines: vec!["FATAL:\u{1b}[2J no".into()],
        };
        merge(&mut explanation.conditions, condition("operator", Effect::Unknown, "better known"));
        merge(&mut explanation.conditions, condition("keeper", Effect::Allows, "known after all"));
        let lock = crate::control::protocol::Lock { file: "/nowhere/ins_lock".into(), ..Default::default() };
        let mut status = Status { lock: Some(lock), ..running("pfsd", "command") };
        add(&mut explanation, &mut status);
        let expected = "\
pfsd is down: it is locked
  blocks   lock      /nowhere/ins_lock exists, with no word of who made it
  allows   operator  wants it up
  allows   keeper    known after all
  the last lines that it wrote:
    FATAL:\u{fffd}[2J no
";
        assert_eq!(in_words(PLAIN, &explanation), expected);
    }
}
