//! Output captured into a file.

use std::time::{Duration, Instant};

use super::{Bench, in_turns};
use crate::board::now;
use crate::instance::{Instance, LONG, milliseconds};
use crate::peer::{Capture, Peer, Plan};
use crate::table::{Goal, Table};

/// Below what s6-log takes before it turns a file over.
const BYTES: u64 = 200 << 20;
const LINES: u64 = BYTES / 100;

/// Lines of 100 bytes, as they are and with a prefix.
pub fn capture(bench: Bench) -> Vec<Table> {
    let method = "A program writes 200 MiB of 100-byte lines in blocks of 64 KiB, whose borders fall inside lines; from its first \
                  write until all is in the file, on a tmpfs. Processor time: all processes but the program. The file is \
                  not turned over.";
    let set = |name: &str, title: &str| {
        [
            Table::new(format!("capture-{name}"), format!("Captured lines, {title}"), "MB/s", method)
                .more_is_better(),
            Table::new(
                format!("capture-{name}-cpu"),
                format!("Captured lines, {title}: processor time of the init and its helpers"),
                "s/GiB",
                method,
            ),
            Table::new(
                format!("capture-{name}-cpu-1"),
                format!("Captured lines, {title}: processor time of PID 1 alone"),
                "s/GiB",
                method,
            ),
        ]
    };
    let mut raw = set("raw", "as they are, into a file");
    raw[0].goals = vec![Goal::LimitAtLeast(1.0), Goal::Ahead(&["s6", "runit", "supervisord"])];
    let mut prefixed = set("prefixed", "with the init's own prefix (a name, a time)");
    prefixed[0].goals = vec![Goal::Times("s6", 1.5)];
    let rounds = bench.options.rounds_by(5);
    let turn = |capture: Capture| move |peer: &Peer| flood(bench, peer, capture);
    in_turns(rounds, &bench.able(|can| can.capture), &mut raw, turn(Capture::Raw));
    in_turns(rounds, &bench.able(|can| can.prefix), &mut prefixed, turn(Capture::Prefixed));
    raw.into_iter().chain(prefixed).collect()
}

fn flood(bench: Bench, peer: &Peer, capture: Capture) -> Result<Vec<f64>, String> {
    let plan = Plan { capture, ..Plan::sleeping(1).mode(format!("flood:{BYTES}")) };
    let instance = Instance::start(peer, &plan, bench.room)?;
    instance.up()?;
    std::thread::sleep(Duration::from_millis(300));
    let file = instance.launch.captured.clone();
    let used = || {
        let (mut all, mut first) = (0, 0);
        for process in instance.own() {
            let cpu = process.usage().cpu;
            all += cpu;
            if process.pid == instance.pid1 {
                first = cpu;
            }
        }
        [all, first]
    };
    let (before, length) = (used(), std::fs::metadata(&file).map_or(0, |file| file.len()));
    instance.board.go();
    // Prefixed lines are longer by an amount that only the init knows: then all is there when the file has ceased to
    // grow after the program's last byte; how long it had to stay still is not counted.
    let still = Duration::from_millis(200);
    let begin = Instant::now();
    let (mut size, mut since, mut end) = (0, Instant::now(), now());
    loop {
        let seen = std::fs::metadata(&file).map_or(0, |file| file.len()).saturating_sub(length);
        if seen > size {
            (size, since, end) = (seen, Instant::now(), now());
        }
        let sent = instance.board.head().sent == BYTES;
        if capture == Capture::Raw && size >= BYTES {
            break;
        }
        if capture == Capture::Prefixed && sent && size >= BYTES && since.elapsed() > still {
            break;
        }
        if begin.elapsed() > LONG || (sent && since.elapsed() > Duration::from_secs(5)) {
            let sent = instance.board.head().sent;
            return Err(instance.blame(&format!("{size} of {sent} bytes came into {}", file.display())));
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    let after = used();
    if capture == Capture::Prefixed {
        let lines = count_lines(&file)?;
        if lines < LINES {
            return Err(format!("{} of {LINES} lines were dropped", LINES - lines));
        }
    }
    let took = milliseconds(instance.board.head().flooded, end) / 1e3;
    let per_gib =
        |index: usize| (after[index] - before[index]) as f64 / 1e9 * (1_u64 << 30) as f64 / BYTES as f64;
    Ok(vec![BYTES as f64 / 1e6 / took, per_gib(0), per_gib(1)])
}

/// Whole lines of the program: they end in the letters that c/probe.c writes.
fn count_lines(file: &std::path::Path) -> Result<u64, String> {
    use std::io::BufRead;
    let mut reader =
        std::io::BufReader::with_capacity(1 << 20, std::fs::File::open(file).map_err(|e| e.to_string())?);
    let (mut line, mut count) = (Vec::new(), 0);
    let end: Vec<u8> = (0..99_u8).map(|index| b'a' + index % 26).collect();
    while reader.read_until(b'\n', &mut line).map_err(|error| error.to_string())? > 0 {
        count += u64::from(line.strip_suffix(b"\n").is_some_and(|line| line.ends_with(&end)));
        line.clear();
    }
    Ok(count)
}
