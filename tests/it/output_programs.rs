//! What commands write, in each mode of `output`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Builder, Exit, Instance, Output, Process, SOON, Signal, eventually};

/// Numbers its lines, as fast as it can, and never ends.
const FLOOD: &str = "seq -f 'line %.0f of many that nobody reads in time' 1 1000000000";

/// An instance whose engine is locked, with a command named `job`.
fn job(script: &str) -> Builder {
    let builder = Instance::builder()
        .set("program.job.kind", "command")
        .set("program.job.command", vec!["sh", "-c", script])
        .set("program.job.stop_timeout", "2s");
    builder.dir.file("ins_lock", "", 0o644);
    builder
}

fn wait_for(instance: &mut Instance, text: &str) {
    let what = format!("{text} on PID 1's output");
    instance.until(&what, |it| it.log().contains(text));
}

fn writer(instance: &Instance) -> Option<Process> {
    instance.writer()
}

/// The file and the full ones before it, the oldest first.
fn files(file: &Path) -> Vec<String> {
    let name = |number: usize| match number {
        0 => file.to_owned(),
        _ => PathBuf::from(format!("{}.{number}", file.display())),
    };
    let count = (0..).take_while(|&number| name(number).exists()).count();
    (0..count).rev().map(|number| fs::read_to_string(name(number)).unwrap()).collect()
}

#[test]
fn with_its_name_in_front_whatever_it_writes() {
    let script = "echo to stdout; echo to stderr >&2; printf 'odd \\377 byte\\n'
        head -c 20000 /dev/zero | tr '\\0' x; echo; printf 'no end'; exec sleep 1000 >&- 2>&-";
    let mut instance = job(script).start();
    wait_for(&mut instance, "job | no end\n");
    let log = instance.log();
    for line in ["job | to stdout\n", "job | to stderr\n", "job | odd \u{fffd} byte\n"] {
        assert!(log.contains(line), "{line}: {log}");
    }
    let pieces: Vec<&str> = log.lines().filter(|line| line.contains("xxxx")).collect();
    assert_eq!(pieces.len(), 2, "a long line goes in pieces");
    assert!(pieces[0].starts_with("job | x") && pieces[1].starts_with("job + x"));
    assert_eq!(pieces.iter().map(|piece| piece.len() - 6).sum::<usize>(), 20_000);
    instance.stop(Signal::SIGTERM);
}

#[test]
fn as_json_each_line_is_an_object() {
    let script = "echo to stdout; echo 'a \"quoted\" one' >&2; printf 'odd \\377 byte\\n'; exec sleep 1000";
    let mut instance = job(script).set("program.job.output", "json").start();
    wait_for(&mut instance, "odd ");
    let log = instance.log();
    let lines = log.lines().filter(|line| line.starts_with('{'));
    let lines: Vec<serde_json::Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    for text in ["to stdout", "a \"quoted\" one", "odd \u{fffd} byte"] {
        assert!(lines.iter().any(|it| it["program"] == "job" && it["message"] == text), "{text}: {log}");
    }
    instance.stop(Signal::SIGTERM);
}

#[test]
fn inherited_it_is_pid_1s_own_output() {
    let script = "readlink /proc/$$/fd/1 /proc/1/fd/1; exec sleep 1000";
    let mut instance = job(script).set("program.job.output", "inherit").start();
    instance.until("two lines", |it| it.log().lines().filter(|line| line.starts_with('/')).count() == 2);
    let log = instance.log();
    let ends: Vec<&str> = log.lines().filter(|line| line.starts_with('/')).collect();
    assert_eq!(ends[0], ends[1], "{log}");
    instance.stop(Signal::SIGTERM);
}

#[test]
fn into_files_to_the_last_line_before_the_end() {
    let script = "trap 'echo the last line; exit 0' TERM
        seq -f 'line %.0f' 1 20000; echo begun > \"$BEGUN\"; while :; do sleep 0.05; done";
    let builder = job(script).set("program.job.output.file", "job.log");
    let begun = builder.dir.path("run/begun").to_str().unwrap().to_owned();
    let mut instance = builder
        .set("program.job.output.size", "64KiB")
        .set("program.job.output.keep", 20)
        .set("program.job.environment.BEGUN", begun)
        .start();
    instance.until("all lines", |it| it.path("run/begun").exists());
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    let files = files(&instance.path("log/job.log"));
    assert!(files.len() > 3 && files.iter().all(|file| file.len() <= 64 * 1024));
    let wanted: String = (1..=20_000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(files.concat(), wanted + "the last line\n");
    assert!(!instance.log().contains("line 1"), "{}", instance.log());
}

#[test]
fn a_dead_writer_is_replaced_and_the_program_does_not_notice() {
    let script = "i=0; while :; do i=$((i+1)); echo line $i || exit 1; done";
    let mut instance = job(script).set("program.job.output.file", "job.log").start();
    let file = instance.path("log/job.log");
    let size = |path: &Path| fs::metadata(path).map_or(0, |found| found.len());
    for _ in 0..3 {
        let before = size(&file);
        instance.until("more lines", |_| size(&file) > before + 1000);
        let first = eventually("the writer", SOON, || writer(&instance));
        first.signal(Signal::SIGKILL);
        instance.until("another writer", |it| writer(it).is_some_and(|it| it.pid != first.pid));
    }
    let before = size(&file);
    instance.until("more lines", |_| size(&file) > before + 1000);
    let log = instance.log();
    assert_eq!(log.matches("the writer of log files has died").count(), 3, "{log}");
    assert_eq!(log.matches("job: started").count(), 1, "{log}");
    instance.stop(Signal::SIGTERM);
    let text = fs::read_to_string(&file).unwrap();
    let numbers: Vec<u64> =
        text.lines().filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect();
    let steps = numbers.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    // Each death tears one line and loses those that were in hand.
    assert!(steps <= 6, "{steps}");
}

#[test]
fn moved_files_are_opened_again_on_sigusr2() {
    let script = "while :; do echo a line; sleep 0.05; done";
    let mut instance = job(script).set("program.job.output.file", "job.log").start();
    let file = instance.path("log/job.log");
    instance.until("a line", |_| fs::read(&file).is_ok_and(|text| !text.is_empty()));
    fs::rename(&file, instance.path("log/moved")).unwrap();
    instance.signal(Signal::SIGUSR2);
    instance.until("another file", |_| fs::read(&file).is_ok_and(|text| !text.is_empty()));
    assert!(instance.log().contains("log files are opened again"));
    instance.stop(Signal::SIGTERM);
}

#[test]
fn a_grandchild_that_holds_the_pipe_delays_no_restart() {
    let script = "setsid sleep 1000 & echo a run; exit 1";
    for output in ["prefix", "file"] {
        let builder =
            job(script).set("program.job.kill_reach", "main").set("program.job.restart.max_backoff", "100ms");
        let builder = builder.set("program.job.restart.give_up_after", 0);
        let mut instance = match output {
            "file" => builder.set("program.job.output.file", "job.log"),
            _ => builder.set("program.job.output", output),
        }
        .start();
        let runs = |it: &Instance| match output {
            "file" => fs::read_to_string(it.path("log/job.log")).unwrap_or_default().matches("a run").count(),
            _ => it.log().matches("job | a run").count(),
        };
        instance.until("many runs", |it| runs(it) >= 12);
        wait_for(&mut instance, "processes of more than 8 runs still have its output open");
        let sleepers = |it: &Instance| it.processes().iter().filter(|it| it.name == "sleep").count();
        assert!(sleepers(&instance) >= 8, "they were left alone");
        let pipes = Process::read(instance.pid1())
            .unwrap()
            .descriptors()
            .values()
            .filter(|to| to.to_str().is_some_and(|to| to.starts_with("pipe:")))
            .count();
        assert!(pipes < 30, "{pipes}");
        instance.stop(Signal::SIGTERM);
    }
}

#[test]
fn a_flood_that_nobody_reads_holds_nobody_up_and_is_counted() {
    let mut instance = job(FLOOD).output(Output::FullPipe).start();
    fs::remove_file(instance.lock()).unwrap();
    instance.ready();
    instance.drain();
    let mut text = String::new();
    while !text.contains(" lines were dropped: nobody read them") {
        assert_eq!(instance.sql("select 1"), "1");
        text.push_str(&instance.read_pipe());
    }
    assert!(text.contains("job | line "), "{text}");
    assert_eq!(instance.sql("select 1"), "1");
    instance.stop(Signal::SIGTERM);
    assert_eq!(instance.cluster_state(), "shut down");
}

#[test]
fn pid_1_does_not_see_what_goes_into_a_file() {
    let mut instance = job(FLOOD).set("program.job.output.file", "job.log").start();
    let file = instance.path("log/job.log");
    instance.until("several full files", |_| PathBuf::from(format!("{}.3", file.display())).exists());
    let ticks = |pid: i32| -> u64 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let (before, name) =
        (ticks(instance.pid1()), |number| PathBuf::from(format!("{}.{number}", file.display())));
    instance.until("more of them", |_| name(8).exists());
    assert!(ticks(instance.pid1()) - before <= 2, "PID 1 worked");
    assert!(files(&file).len() <= 16);
    instance.stop(Signal::SIGTERM);
}
