//! Who needs whom: the order in which programs start and stop, and what holds in it at the moment.
//!
//! All of it follows from the programs; it is kept beside them so that an event costs what it touches, and not what
//! there is. An edge that would close a circle is left out: the later one of its programs then waits for nobody.

use std::collections::BTreeSet;

use super::ladder::Rung;
use super::model::{Id, Phase, Program, State, Time};
use super::search;
use super::settle::{may_run, program_deadline};
use super::spec::Kind;

/// What one program needs of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// To be up first, as far as it is to run.
    After,
    /// To be up, in any case.
    Up,
    /// To be gone: it is the one that had the name before.
    Gone,
}

/// One program among the others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    /// Whom it needs.
    needs: Vec<(usize, Need)>,
    /// Who needs it.
    needed_by: Vec<usize>,
    /// Its place in the order of the starts.
    rank: usize,
    /// Who waits for its end before being stopped.
    stops_before: Vec<usize>,
    /// What runs of it may run on.
    wanted: bool,
    /// Who requires it has it: it is up and stays so, or it has completed.
    serves: bool,
    /// It will be up, if all goes well.
    expected: bool,
    /// Something of it runs.
    runs: bool,
    /// It, or one that stops before it, is on its way down.
    leaving: bool,
    /// How many that are leaving stop before it.
    held_by: usize,
    /// When it has to be looked at although nothing happens.
    due: Option<Time>,
}

/// The order among all programs, and what is to be looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Links {
    nodes: Vec<Node>,
    /// What an event has touched.
    touched: BTreeSet<usize>,
    due: BTreeSet<(Time, usize)>,
    running: usize,
    overdue: bool,
    /// The programs need each other otherwise than this says.
    stale: bool,
}

impl Links {
    pub(super) fn touch(&mut self, id: Id) {
        if id.0 < self.nodes.len() {
            self.touched.insert(id.0);
        }
    }

    pub(super) fn touch_all(&mut self) {
        self.touched = (0..self.nodes.len()).collect();
    }

    /// Whether something is left to be looked at.
    pub(super) fn is_touched(&self) -> bool {
        !self.touched.is_empty()
    }

    /// A program has come or gone, or needs others than before: all are ordered afresh before anything is decided.
    pub(super) fn reorder(&mut self) {
        self.stale = true;
    }

    /// Whether nothing runs.
    pub(super) fn at_rest(&self) -> bool {
        self.running == 0
    }

    /// Whether something that stops before it is not down yet.
    pub(super) fn held(&self, id: Id) -> bool {
        self.nodes.get(id.0).is_some_and(|node| node.held_by > 0)
    }

    /// Whether what runs of it may run on.
    pub(super) fn wanted(&self, id: Id) -> bool {
        self.nodes.get(id.0).is_some_and(|node| node.wanted)
    }

    /// Whom its start waits for.
    pub(super) fn unmet(&self, id: Id) -> impl Iterator<Item = (Id, Need)> {
        let needs = self.nodes.get(id.0).map_or(&[][..], |node| &node.needs);
        needs.iter().filter(|(other, need)| !self.met(*other, *need)).map(|&(other, need)| (Id(other), need))
    }

    /// Who is leaving before it is stopped.
    pub(super) fn holders(&self, id: Id) -> impl Iterator<Item = Id> {
        let nodes = self.nodes.iter().enumerate();
        let holds = move |node: &Node| node.leaving && node.stops_before.contains(&id.0);
        nodes.filter(move |(_, node)| holds(node)).map(|(place, _)| Id(place))
    }

    /// Whom it requires, or only starts after.
    pub(super) fn needs(&self, id: Id) -> impl Iterator<Item = Id> {
        let needs = self.nodes.get(id.0).map_or(&[][..], |node| &node.needs);
        needs.iter().filter(|(_, need)| *need != Need::Gone).map(|&(other, _)| Id(other))
    }

    /// Whether who requires it has it.
    pub(super) fn serves(&self, id: Id) -> bool {
        self.nodes.get(id.0).is_some_and(|node| node.serves)
    }

    /// Whether one that it requires, and is bound to, is not up.
    fn misses_one(&self, id: Id, unbound: &[Id]) -> bool {
        self.unmet(id).any(|(other, need)| need == Need::Up && !unbound.contains(&other))
    }

    fn met(&self, other: usize, need: Need) -> bool {
        let Some(other) = self.nodes.get(other) else { return true };
        match need {
            Need::After => other.serves || !other.expected,
            Need::Up => other.serves,
            Need::Gone => !other.runs,
        }
    }

    /// When a program has to be looked at next.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.due.first().map(|&(at, _)| at)
    }
}

/// Orders the programs.
pub(super) fn link(state: &mut State) {
    let programs = &state.programs;
    let mut nodes: Vec<Node> = vec![Node::default(); programs.len()];
    for (place, needs) in acyclic(wishes(programs)).into_iter().enumerate() {
        for &(other, _) in &needs {
            if let Some(other) = nodes.get_mut(other) {
                other.needed_by.push(place);
            }
        }
        if let Some(node) = nodes.get_mut(place) {
            node.needs = needs;
        }
    }
    for (rank, place) in ranked(&nodes).into_iter().enumerate() {
        if let Some(node) = nodes.get_mut(place) {
            node.rank = rank;
        }
    }
    order_stops(programs, &mut nodes);
    state.links = Links { nodes, overdue: state.links.overdue, ..Links::default() };
    state.links.touch_all();
}

/// Whom each program is to need, as configured; nobody needs one that has left the configuration.
fn wishes(programs: &[Program]) -> Vec<Vec<(usize, Need)>> {
    let known = |id: &&Id| programs.get(id.0).is_some_and(|other| !other.removed);
    let of = |(place, program): (usize, &Program)| {
        let requires = program.spec.requires.iter().filter(known).map(|id| (id.0, Need::Up));
        let after = program.spec.after.iter().filter(known).map(|id| (id.0, Need::After));
        let gone = program.heir_of.iter().map(|id| (id.0, Need::Gone));
        let mut needs: Vec<(usize, Need)> = Vec::new();
        let mut seen = BTreeSet::from([place]);
        for (other, need) in requires.chain(after).chain(gone) {
            if seen.insert(other) {
                needs.push((other, need));
            }
        }
        needs
    };
    programs.iter().enumerate().map(of).collect()
}

/// The same without the edges that close a circle, found by walking along the needs from each program.
fn acyclic(mut wishes: Vec<Vec<(usize, Need)>>) -> Vec<Vec<(usize, Need)>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        Unseen,
        OnTheWay,
        Done,
    }
    let mut marks = vec![Mark::Unseen; wishes.len()];
    let mark_of = |marks: &[Mark], place: usize| marks.get(place).copied().unwrap_or(Mark::Done);
    for begin in 0..wishes.len() {
        if mark_of(&marks, begin) != Mark::Unseen {
            continue;
        }
        let mut way = vec![(begin, 0)];
        while let Some((place, next)) = way.pop() {
            if let Some(mark) = marks.get_mut(place) {
                *mark = Mark::OnTheWay;
            }
            let other = wishes.get(place).and_then(|needs| needs.get(next)).map(|&(other, _)| other);
            match other {
                None => {
                    if let Some(mark) = marks.get_mut(place) {
                        *mark = Mark::Done;
                    }
                }
                Some(other) if mark_of(&marks, other) == Mark::OnTheWay => {
                    if let Some(needs) = wishes.get_mut(place) {
                        needs.remove(next);
                    }
                    way.push((place, next));
                }
                Some(other) => {
                    way.push((place, next + 1));
                    if mark_of(&marks, other) == Mark::Unseen {
                        way.push((other, 0));
                    }
                }
            }
        }
    }
    wishes
}

/// The programs in an order in which each one stands after all that it needs.
fn ranked(nodes: &[Node]) -> Vec<usize> {
    let mut missing: Vec<usize> = nodes.iter().map(|node| node.needs.len()).collect();
    let free = missing.iter().enumerate().filter(|(_, missing)| **missing == 0);
    let mut order: Vec<usize> = free.map(|(place, _)| place).collect();
    let mut next = 0;
    while let Some(&place) = order.get(next) {
        next += 1;
        for &later in nodes.get(place).map_or(&[][..], |node| &node.needed_by) {
            if let Some(missing) = missing.get_mut(later) {
                *missing = missing.saturating_sub(1);
                if *missing == 0 {
                    order.push(later);
                }
            }
        }
    }
    order
}

/// Down in the reverse of the way up; but of several engines a primary goes before the standbys, which would lose what
/// it streams last. Where something between them needs both, its needs go before that.
fn order_stops(programs: &[Program], nodes: &mut [Node]) {
    let engine = |place: usize| programs.get(place).filter(|it| it.spec.kind == Kind::Engine && !it.removed);
    let standby = |place: usize| engine(place).is_some_and(|it| it.standby == Some(true));
    let primary = |place: usize| engine(place).is_some_and(|it| it.standby != Some(true));
    for place in 0..nodes.len() {
        let Some(node) = nodes.get_mut(place) else { continue };
        let needs = node.needs.iter().map(|&(other, _)| other);
        node.stops_before = needs.filter(|&other| !(standby(place) && primary(other))).collect();
    }
    let standbys: Vec<usize> = (0..nodes.len()).filter(|&place| standby(place)).collect();
    if standbys.is_empty() {
        return;
    }
    for place in (0..nodes.len()).filter(|&place| primary(place)) {
        for &last in &standbys {
            if !stops_after(nodes, last, place)
                && let Some(node) = nodes.get_mut(place)
                && !node.stops_before.contains(&last)
            {
                node.stops_before.push(last);
            }
        }
    }
}

/// Whether `first` has to be down before `second` is stopped, if only by way of others.
fn stops_after(nodes: &[Node], first: usize, second: usize) -> bool {
    let mut way = vec![first];
    let mut seen = BTreeSet::new();
    while let Some(place) = way.pop() {
        if place == second {
            return true;
        }
        if seen.insert(place) {
            way.extend(nodes.get(place).map_or(&[][..], |node| &node.stops_before));
        }
    }
    false
}

/// What has to be looked at in this step: what the event has touched, and what is due.
pub(super) fn take_work(state: &mut State, overdue: bool) -> BTreeSet<usize> {
    if state.links.stale {
        link(state);
    }
    let now = state.now;
    let links = &mut state.links;
    if std::mem::replace(&mut links.overdue, overdue) != overdue {
        links.touch_all();
    }
    while let Some((_, place)) = links.due.first().copied().filter(|&(at, _)| at <= now) {
        links.due.pop_first();
        if let Some(node) = links.nodes.get_mut(place) {
            node.due = None;
        }
        links.touched.insert(place);
    }
    std::mem::take(&mut links.touched)
}

/// What could not be finished is looked at in a step of its own, which is due at once.
pub(super) fn give_back(state: &mut State, work: BTreeSet<usize>) {
    state.links.touched.extend(work);
}

/// Learns what has changed in some programs, and adds those to `work` for which that makes a difference.
pub(super) fn refresh(state: &mut State, places: &BTreeSet<usize>, work: &mut BTreeSet<usize>) {
    let rank = |state: &State, place: usize| state.links.nodes.get(place).map_or(0, |node| node.rank);
    let mut up: BTreeSet<(usize, usize)> = places.iter().map(|&place| (rank(state, place), place)).collect();
    let mut down = places.clone();
    while let Some((_, place)) = up.pop_first() {
        let Some((changed, matters)) = refresh_one(state, place) else { continue };
        if changed {
            work.insert(place);
            down.insert(place);
        }
        if matters {
            let later = state.links.nodes.get(place).map(|node| node.needed_by.clone()).unwrap_or_default();
            work.extend(&later);
            up.extend(later.into_iter().map(|later| (rank(state, later), later)));
        }
    }
    while let Some(place) = down.pop_last() {
        let going = going(state, place);
        let Some(node) = state.links.nodes.get_mut(place) else { continue };
        let leaving = going || node.held_by > 0;
        if std::mem::replace(&mut node.leaving, leaving) == leaving {
            continue;
        }
        for earlier in node.stops_before.clone() {
            let Some(earlier_node) = state.links.nodes.get_mut(earlier) else { continue };
            let held_by = if leaving {
                earlier_node.held_by.saturating_add(1)
            } else {
                earlier_node.held_by.saturating_sub(1)
            };
            earlier_node.held_by = held_by;
            work.insert(earlier);
            down.insert(earlier);
        }
    }
}

/// Whether anything is different in a program, and whether that matters to those that need it.
fn refresh_one(state: &mut State, place: usize) -> Option<(bool, bool)> {
    let (links, program) = (&state.links, state.programs.get_mut(place)?);
    program.unbound.retain(|&other| !links.serves(other));
    let program = state.programs.get(place)?;
    let own = may_run(state, program);
    let runs = program.run().is_some();
    let lacks = program.spec.bound && state.links.misses_one(Id(place), &program.unbound);
    let wanted = own && !program.bounce && !lacks;
    let done = program.completed && !program.removed;
    let stays = wanted && program.fault.is_none();
    let serves = (stays && matches!(program.phase, Phase::Up { .. })) || (done && !runs);
    let hopes = |other: usize| state.links.nodes.get(other).is_some_and(|other| other.expected);
    let node = state.links.nodes.get(place)?;
    let expected =
        serves || done || (own && node.needs.iter().all(|&(other, need)| need != Need::Up || hopes(other)));
    let matters = (node.serves, node.expected, node.runs) != (serves, expected, runs);
    let changed = matters || node.wanted != wanted;
    let (was, node) = (node.runs, state.links.nodes.get_mut(place)?);
    (node.wanted, node.serves, node.expected, node.runs) = (wanted, serves, expected, runs);
    match (was, runs) {
        (false, true) => state.links.running += 1,
        (true, false) => state.links.running = state.links.running.saturating_sub(1),
        _ => {}
    }
    Some((changed, matters))
}

/// Whether it is on its way down, so that what stops after it has to wait. At a shutdown all is, to the last process;
/// before that nothing waits for one that could not even be killed.
fn going(state: &State, place: usize) -> bool {
    let Some(program) = state.programs.get(place) else { return false };
    if state.shutdown.is_some() {
        return program.run().is_some() || search::due(state, program).is_some_and(|at| at <= state.now);
    }
    match &program.phase {
        Phase::Down | Phase::Failed | Phase::Searching { .. } => false,
        Phase::Preparing { .. } | Phase::Starting { .. } | Phase::Up { .. } => !state.links.wanted(Id(place)),
        Phase::Stopping { sent, .. } => *sent != Rung::Kill,
        Phase::Draining { sent, .. } => *sent != Some(Rung::Kill),
    }
}

/// Notes when these programs have to be looked at again.
pub(super) fn note_deadlines(state: &mut State, places: &BTreeSet<usize>) {
    for &place in places {
        let due = program_deadline(state, Id(place));
        let Some(node) = state.links.nodes.get_mut(place) else { continue };
        let before = std::mem::replace(&mut node.due, due);
        if before != due {
            before.map(|at| state.links.due.remove(&(at, place)));
            due.map(|at| state.links.due.insert((at, place)));
        }
    }
}
