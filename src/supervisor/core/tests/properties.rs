//! Random histories: what no order of events may ever break.

use proptest::collection::vec;
use proptest::prelude::*;

use super::world::World;
use super::*;

/// Some programs that need each other, out of a number.
fn specs(seed: u64) -> Vec<Spec> {
    let mut seed = seed;
    let mut draw = |sides: u64| {
        let drawn = seed % sides;
        seed = (seed / sides).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17) ^ seed;
        usize::try_from(drawn).unwrap()
    };
    let (count, upwards) = (1 + draw(5), draw(2) == 0);
    let spec = |place: usize| {
        let needs = |other: &usize| if upwards { *other < place } else { *other > place };
        let others: Vec<Id> = (0..count).filter(needs).map(Id).collect();
        one_spec(format!("program{place}"), &others, &mut draw)
    };
    (0..count).map(spec).collect()
}

/// A program that may need some of the others.
fn one_spec(name: String, others: &[Id], draw: &mut impl FnMut(u64) -> usize) -> Spec {
    let mut spec = match draw(6) {
        0..=2 => engine(),
        3 | 4 => command("command"),
        _ => Spec { kind: Kind::Oneshot, ..command("oneshot") },
    };
    spec.name = name;
    if spec.kind != Kind::Engine {
        spec.lock_file = spec.lock_file.filter(|_| draw(3) == 0);
        spec.ready_within = [None, Some(ms(500)), Some(ms(20_000))][draw(3)];
    }
    for &other in others {
        match draw(6) {
            0 | 1 => spec.after.push(other),
            2 => spec.requires.push(other),
            3 => {
                spec.after.push(other);
                spec.requires.push(other);
            }
            _ => {}
        }
    }
    spec.bound = draw(3) == 0;
    spec.critical = draw(3) == 0;
    spec.ladder.first = [Rung::Fast, Rung::Smart, Rung::Immediate, Rung::Kill][draw(4)];
    spec.ladder.budget = [ms(45_000), ms(10_000), ms(2_000), ms(0)][draw(4)];
    spec.upkeep = [None, Some(ms(20_000))][draw(2)];
    let restart = &mut spec.restart;
    restart.policy = [Policy::Always, Policy::Always, Policy::OnFailure, Policy::Never][draw(4)];
    restart.min_backoff = [ms(0), ms(700)][draw(2)];
    restart.max_backoff = [ms(30_000), ms(1_000)][draw(2)];
    restart.reset_after = [ms(60_000), ms(2_000)][draw(2)];
    restart.give_up_after = [0, 10, 3][draw(3)];
    restart.on_give_up = [OnGiveUp::Stay, OnGiveUp::Exit][draw(2)];
    spec
}

/// A rung that an operator may name.
fn rung(number: usize) -> Option<Rung> {
    [None, Some(Rung::Smart), Some(Rung::Fast), Some(Rung::Immediate), Some(Rung::Kill)][number]
}

/// A program that comes into the configuration, perhaps under the name of one that has left it.
fn newcomer(world: &World, number: u32) -> Spec {
    let mut seed = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut draw = |sides: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((seed >> 33) % sides).unwrap()
    };
    let programs = &world.state.programs;
    let taken = |name: &str| programs.iter().any(|other| !other.removed && other.spec.name == name);
    let mut names = programs.iter().rev().filter(|program| program.removed).map(|program| &program.spec.name);
    let gone = names.find(|name| !taken(name)).cloned();
    let known: Vec<Id> = (0..programs.len()).map(Id).filter(|_| draw(2) == 0).collect();
    one_spec(gone.unwrap_or_else(|| format!("program{}", programs.len())), &known, &mut draw)
}

/// One thing that people or the machine do, out of a number.
fn one_move(world: &mut World, number: u32) {
    let part = |shift: u32, sides: u32| usize::try_from((number >> shift) % sides).unwrap();
    let id = Id(part(8, u32::try_from(world.bodies.len()).unwrap()));
    match part(0, 32) {
        0..4 => world.tell(Event::Lock(id, Lock::Present)),
        4..9 => world.tell(Event::Lock(id, Lock::Absent)),
        9 | 10 => world.tell(Event::Operator(id, Wish::Down(rung(part(12, 5))))),
        11 => world.tell(Event::Operator(id, Wish::Up)),
        12 => world.tell(Event::Operator(id, Wish::Restart(rung(part(12, 5))))),
        13..15 => world.hurt(id, End::Signal(9)),
        15 => world.hurt(id, End::Code(0)),
        16..18 => world.tell_stale(part(12, 64)),
        18 if part(24, 4) == 3 => world.tell(Event::Stop),
        19 if part(24, 4) == 3 => world.tell(Event::Quit),
        20 => {
            let spec = world.state.programs[id.0].spec.clone();
            world.tell(Event::Respec(id, Box::new(spec), part(12, 2) == 0));
        }
        27 => world.tell(Event::Unwell(id, world.run_of(id), "no answer".into())),
        28 if world.state.programs[id.0].spec.kind == Kind::Engine => {
            world.tell(Event::Standby(id, world.run_of(id), part(12, 2) == 0));
        }
        29 if part(24, 4) == 3 => world.tell(Event::Remove(id)),
        30 if part(24, 2) == 0 && world.laws.finished.is_none() && world.bodies.len() < 8 => {
            world.tell(Event::Add(Box::new(newcomer(world, number))));
        }
        31 => {
            let all = (0..world.bodies.len()).map(Id);
            let wish = [Wish::Down(None), Wish::Restart(None), Wish::Up][part(12, 3)];
            world.tell(Event::Together(all.map(|id| Event::Operator(id, wish)).collect()));
        }
        21 => world.tell(Event::Lock(id, Lock::Unknown)),
        23..26 => world.tell(Event::PidFile(id, true)),
        26 => world.tell(Event::PidFile(id, false)),
        22 if world.laws.shutdown.is_none() => world.sleep(ms([3, 500, 5_000, 61_000][part(24, 4)])),
        _ => {}
    }
    world.pass(ms([0, 0, 1, 40, 150, 1_100, 6_000, 70_000][part(16, 8)]));
}

fn world(seed: u64, dice: Vec<u16>) -> World {
    let timeout = ms([50_000, 20_000, 4_000, 0][usize::try_from(seed >> 60).unwrap() % 4]);
    let mut world = World::new(specs(seed), timeout, dice);
    for place in 0..world.bodies.len() {
        world.tell(Event::Lock(Id(place), Lock::Absent));
    }
    world
}

/// Once nothing goes wrong any more, everything that is wanted comes up, and a shutdown ends.
fn comes_to_rest(world: &mut World) {
    world.calm_down();
    let programs: Vec<Id> =
        (0..world.bodies.len()).map(Id).filter(|id| !world.state.programs[id.0].removed).collect();
    if world.laws.shutdown.is_none() {
        // Twice: what was on its way down for a failure may give up at its end, and even end PID 1.
        for _ in 0..2 {
            for &id in &programs {
                world.tell(Event::Lock(id, Lock::Absent));
                if !world.state.programs[id.0].operator_up || world.laws.done(id) {
                    world.tell(Event::Operator(id, Wish::Up));
                }
            }
            world.pass(ms(300_000));
        }
        for id in programs.into_iter().filter(|_| world.laws.shutdown.is_none()) {
            let program = &world.state.programs[id.0];
            let up = matches!(program.phase, Phase::Up { .. });
            let done = program.completed && program.phase == Phase::Down;
            assert!(up || done, "{id:?} does not come up: {:?}", world.state);
        }
        if world.laws.shutdown.is_none() {
            world.tell(Event::Stop);
        }
    }
    let since = world.laws.shutdown.unwrap();
    world.pass(world.state.stop_timeout);
    let (end, _) = world.laws.finished.expect("a shutdown ends");
    assert!(end <= since + world.state.stop_timeout, "a shutdown ends in time");
    let before = world.state.clone();
    for event in [Event::Tick, Event::Stop, Event::Quit, Event::Lock(ENGINE, Lock::Present)] {
        world.tell(event);
    }
    assert_eq!(world.state, before, "nothing changes after the end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_iters: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn the_laws_hold_in_random_histories(
        seed in any::<u64>(),
        moves in vec(any::<u32>(), 0..60),
        dice in vec(any::<u16>(), 1..48),
    ) {
        let mut world = world(seed, dice);
        for number in moves {
            one_move(&mut world, number);
        }
        comes_to_rest(&mut world);
    }
}
