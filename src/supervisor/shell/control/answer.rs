//! What the shell answers. A change is on its way when it is answered; the status shows its end.

use std::time::{Duration, Instant};

use rustix::process::geteuid;
use tokio::sync::mpsc::Receiver;

use super::wire::{error_line, ok_line, refusal};
use super::{Answer, Asked, Peer};
use crate::control::protocol::{Code, Line, Mode, Op, Refusal, Reloaded};
use crate::supervisor::core::{Event, Id, Rung, Wish};
use crate::supervisor::shell::Shell;
use crate::supervisor::shell::program::{Program, socket_user};

/// So many requests are answered before everything else has its turn.
const PER_TURN: u32 = 16;
/// And no further one after this.
const SLICE: Duration = Duration::from_millis(5);
/// How much of a name that does not exist is repeated, in characters.
const NAME_MAX: usize = 100;

impl Shell {
    /// Answers some of the requests that wait.
    pub(in crate::supervisor::shell) fn answer_some(&mut self) {
        let begin = Instant::now();
        for _ in 0..PER_TURN {
            let Some(Asked { op, peer, reply }) = self.control.asks.pop_front() else { return };
            let answer = self.answer(op, peer).unwrap_or_else(|refusal| Answer::Line(error_line(refusal)));
            // Who asked may have gone.
            let _ = reply.send(answer);
            if begin.elapsed() > SLICE {
                return;
            }
        }
    }

    fn answer(&mut self, op: Op, peer: Peer) -> Result<Answer, Refusal> {
        match op {
            Op::Status { program } => {
                let ids = self.named(program.as_deref())?;
                Ok(Answer::Line(ok_line(self.statuses(&ids))))
            }
            Op::Supervisor {} => Ok(Answer::Line(ok_line(self.supervisor()))),
            Op::Explain { program } => {
                let ids = self.named(program.as_deref())?;
                Ok(Answer::Line(ok_line(self.explanations(&ids))))
            }
            Op::Start { program } => {
                let ids = self.to_change(program.as_deref(), peer, "start")?;
                self.not_while_ending("started")?;
                Ok(self.wish(&ids, Wish::Up, "start", peer))
            }
            Op::Stop { program, mode } => {
                let ids = self.to_change(program.as_deref(), peer, "stop")?;
                Ok(self.wish(&ids, Wish::Down(mode.map(rung)), "stop", peer))
            }
            Op::Restart { program, mode } => {
                let ids = self.to_change(program.as_deref(), peer, "restart")?;
                self.not_while_ending("restarted")?;
                Ok(self.wish(&ids, Wish::Restart(mode.map(rung)), "restart", peer))
            }
            Op::Reload {} => {
                self.may_change(peer, "reload the configuration")?;
                self.not_while_ending("reloaded")?;
                let done = self
                    .reload_for(&format!("asked for by {peer}"))
                    .map_err(|mistakes| refusal(Code::BadConfiguration, mistakes))?;
                Ok(Answer::Line(ok_line(done)))
            }
            Op::Events { last, follow } => Ok(Answer::Events { last, follow }),
            Op::Logs { program, last, follow } => {
                let ids = self.named(Some(&program))?;
                let (past, more) = self.lines_of(&ids, last, follow);
                Ok(Answer::Lines { past, more })
            }
        }
    }

    /// Reads the configuration again, and remembers who asked for it.
    ///
    /// # Errors
    /// What is wrong with it, for people; then nothing has changed.
    pub(in crate::supervisor::shell) fn reload_for(&mut self, who: &str) -> Result<Reloaded, String> {
        let result = self.reload();
        // Whoever has removed the socket's file can have it back by this.
        self.control.look(socket_user(&self.programs));
        let text = match &result {
            Ok(done) if done.said.is_empty() => format!("reloaded ({who}): nothing of it has changed"),
            Ok(done) => format!("reloaded ({who}): {}", done.said.join("; ")),
            Err(mistakes) => {
                // One line of the journal, whatever the number of mistakes.
                let mistakes: Vec<String> = mistakes.0.iter().map(ToString::to_string).collect();
                format!("not reloaded ({who}), nothing has changed: {}", mistakes.join("; "))
            }
        };
        self.control.history.borrow_mut().note(self.moment(), None, "reload", text);
        result.map_err(|mistakes| {
            format!("the configuration was read again and has mistakes, so nothing has changed: {mistakes}; correct it and reload")
        })
    }

    /// What a program has written and (with `follow`) will write.
    fn lines_of(&self, ids: &[Id], last: Option<usize>, follow: bool) -> (Vec<Line>, Option<Receiver<Line>>) {
        let outlet = ids.first().and_then(|id| self.programs.get(id.0)).map(|program| &program.outlet);
        let past = outlet.map(|outlet| outlet.lines(last)).unwrap_or_default();
        (past, outlet.filter(|_| follow).map(|outlet| outlet.follow()))
    }

    /// An operator's word for these programs.
    fn wish(&mut self, ids: &[Id], wish: Wish, word: &str, peer: Peer) -> Answer {
        for id in ids {
            log::info!(target: self.name(*id), "{word}, asked for by an operator ({peer})");
            let text = format!("{word}, asked for by {peer}");
            self.control.history.borrow_mut().note(self.moment(), Some(self.name(*id)), "operator", text);
            self.events.push_back(Event::Operator(*id, wish));
        }
        Answer::Line(ok_line(()))
    }

    /// The program of this name, or all.
    fn named(&self, name: Option<&str>) -> Result<Vec<Id>, Refusal> {
        let known = self.known();
        let Some(name) = name else { return Ok(known) };
        // One that has left the configuration and still ends may share its name with its heir, which comes later.
        match known.iter().rev().find(|id| self.name(**id) == name) {
            Some(id) => Ok(vec![*id]),
            None => Err(self.unknown(&known, name)),
        }
    }

    fn unknown(&self, known: &[Id], name: &str) -> Refusal {
        let name: String = name.chars().take(NAME_MAX).collect();
        let names: Vec<&str> = known.iter().map(|id| self.name(*id)).collect();
        let there = if names.is_empty() { "none".into() } else { names.join(", ") };
        refusal(
            Code::UnknownProgram,
            format!(
                "there is no program {name:?}; the configuration has: {there}; after a change of it: polarctl reload"
            ),
        )
    }

    /// The program of this name, or all engines, where this peer may change them.
    fn to_change(&self, name: Option<&str>, peer: Peer, word: &str) -> Result<Vec<Id>, Refusal> {
        self.may_change(peer, &format!("{word} a program"))?;
        let mut ids = self.named(name)?;
        if name.is_none() {
            let known = ids.clone();
            ids.retain(|id| self.programs.get(id.0).is_some_and(|program| program.engine().is_some()));
            if ids.is_empty() {
                let names: Vec<&str> = known.iter().map(|id| self.name(*id)).collect();
                return Err(refusal(
                    Code::UnknownProgram,
                    format!("no engine is configured to {word}; name a program: {}", names.join(", ")),
                ));
            }
        }
        Ok(ids)
    }

    /// The programs that the configuration has, and those that it had and that still run.
    fn known(&self) -> Vec<Id> {
        let places = self.state.programs.iter().enumerate();
        let known = places.filter(|(_, program)| !program.removed || program.run().is_some());
        known.map(|(place, _)| Id(place)).collect()
    }

    fn may_change(&self, peer: Peer, what: &str) -> Result<(), Refusal> {
        // One that has left the configuration counts as long as it runs.
        let counts = |program: &&Program| !program.removed || program.main.is_some();
        let engines = self.programs.iter().filter(counts).filter(|program| program.engine().is_some());
        let mut users: Vec<u32> = engines.map(|program| program.user.uid).collect();
        users.extend([0, geteuid().as_raw()]);
        users.sort_unstable();
        users.dedup();
        if users.contains(&peer.uid) {
            return Ok(());
        }
        let users: Vec<String> = users.iter().map(u32::to_string).collect();
        Err(refusal(
            Code::NotPermitted,
            format!(
                "uid {} may look, but not {what}: that is for root and the engine's user (uid {}); run it as one of them",
                peer.uid,
                users.join(", ")
            ),
        ))
    }

    fn not_while_ending(&self, what: &str) -> Result<(), Refusal> {
        if !self.is_ending() {
            return Ok(());
        }
        Err(refusal(
            Code::ShuttingDown,
            format!(
                "nothing is {what}, for the supervisor is ending; start the container again when it has ended"
            ),
        ))
    }
}

fn rung(mode: Mode) -> Rung {
    match mode {
        Mode::Smart => Rung::Smart,
        Mode::Fast => Rung::Fast,
        Mode::Immediate => Rung::Immediate,
    }
}
