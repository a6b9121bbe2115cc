//! Sidecars in trouble beside an engine, those of examples/sidecars.toml: what an operator is shown of each, while the
//! database serves.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::common::{Builder, Exit, Instance, SOON, Signal, finish};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/sidecars.toml");
const POLARCTL: &str = env!("CARGO_BIN_EXE_polarctl");

/// The size of the example's log file, and how many full ones are kept.
const FULL: u64 = 1 << 20;
const KEEP: usize = 2;

struct Operated {
    instance: Instance,
    /// Where `[serve]` listens.
    http: u16,
    /// Holds that port, which no other test takes.
    _claim: Builder,
    /// Queries that the database has answered.
    answered: usize,
}

impl Operated {
    /// All that is in the example, beside the usual engine; served on a port of this test's own.
    fn start() -> Self {
        let claim = Instance::builder();
        let http = claim.port.number();
        let mut builder = Instance::builder().with_database();
        let example: toml::Table = toml::from_str(&fs::read_to_string(EXAMPLE).unwrap()).unwrap();
        for (name, program) in example["program"].as_table().unwrap() {
            builder = builder.set(&format!("program.{name}"), program.clone());
        }
        assert!(example["serve"]["listen"].is_str());
        // As in the image: polarctl beside PID 1's own executable.
        let mount = format!("touch \"$DIR/bin/polarctl\" && mount --bind '{POLARCTL}' \"$DIR/bin/polarctl\"");
        let builder = builder.set("serve.listen", format!("127.0.0.1:{http}")).setup(mount);
        let mut instance = builder.start();
        instance.ready();
        instance.sql("create table looks (n int)");
        Self { instance, http, _claim: claim, answered: 0 }
    }

    /// Waits for a condition; the database answers at each look.
    fn until(&mut self, what: &str, mut look: impl FnMut(&Self) -> bool) {
        let begin = std::time::Instant::now();
        loop {
            assert_eq!(self.instance.exit(), None, "{}", self.instance.log());
            self.instance.sql("insert into looks values (1)");
            self.answered += 1;
            if look(self) {
                return;
            }
            assert!(begin.elapsed() < crate::common::BOOT, "waited in vain: {what}");
        }
    }

    /// Standard output of polarctl with the words of this line.
    fn ctl(&self, line: &str) -> String {
        let mut command = Command::new(POLARCTL);
        command.arg("--socket").arg(self.instance.path("run/supervisor.sock"));
        command.args(line.split_whitespace()).env_clear();
        finish(command, SOON).success()
    }

    fn json(&self, line: &str) -> Value {
        let text = self.ctl(&format!("--output json {line}"));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}: {text}"))
    }

    /// What `explain` says under this name: its effect and its text.
    fn condition(&self, program: &str, name: &str) -> Option<(String, String)> {
        let explanation = self.json(&format!("explain {program}"));
        let conditions = explanation["conditions"].as_array().unwrap().iter();
        let found = conditions.into_iter().find(|condition| condition["name"] == name)?.clone();
        let word = |key: &str| found[key].as_str().unwrap().to_owned();
        Some((word("effect"), word("text")))
    }

    /// Whether `explain` has a condition of this effect whose text holds all of this.
    fn explains(&self, program: &str, name: &str, effect: &str, parts: &[&str]) -> bool {
        self.condition(program, name)
            .is_some_and(|(is, text)| is == effect && parts.iter().all(|part| text.contains(part)))
    }

    /// Status and body of a GET; `None`: nobody answers.
    fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        stream.set_read_timeout(Some(SOON)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// The value of a series of a program: `program_ends_total`, with the labels that follow its name.
    fn metric(&self, series: &str, program: &str, labels: &str) -> Option<f64> {
        let (_, page) = self.get("/metrics")?;
        let series = format!("polar_{series}{{program=\"{program}\"{labels}}} ");
        page.lines().find_map(|line| line.strip_prefix(&series))?.parse().ok()
    }

    /// The table of docs/operations.md names each metric, and no other.
    fn metrics_are_documented(&self) {
        let manual = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");
        let manual = fs::read_to_string(manual).unwrap();
        let (_, section) = manual.split_once("\n## Health and metrics\n").unwrap();
        let (section, _) = section.split_once("\n## ").unwrap();
        let words = section.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let told: BTreeSet<String> =
            words.filter(|word| word.starts_with("polar_")).map(str::to_owned).collect();
        let (_, page) = self.get("/metrics").unwrap();
        let families = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
        let there: BTreeSet<String> = families
            .map(|(name, kind)| match kind {
                "counter" => format!("{name}_total"),
                "info" => format!("{name}_info"),
                _ => name.to_owned(),
            })
            .collect();
        assert_eq!(told, there);
    }

    fn log_file(&self, number: usize) -> PathBuf {
        let name = if number == 0 { "log/flood.log".to_owned() } else { format!("log/flood.log.{number}") };
        self.instance.path(&name)
    }
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().map(|meta| meta.ino())
}

#[test]
fn each_trouble_is_shown_and_the_database_serves_all_along() {
    let mut it = Operated::start();

    // One that crashes: it pauses, and it is said how it ends, how often, and what it said.
    let mut status = Value::Null;
    it.until("a pause after some failures", |it| {
        status = it.json("status crasher");
        status["state"] == "backoff" && status["failures"].as_u64() >= Some(6)
    });
    assert_eq!((&status["last_exit"]["code"], &status["pid"]), (&3.into(), &Value::Null), "{status}");
    let row = |text: &str, name: &str| -> String {
        let mut rows = text.lines().filter(|line| line.split(' ').next() == Some(name));
        rows.next().unwrap_or_else(|| panic!("no row of {name} in {text}")).to_owned()
    };
    assert!(row(&it.ctl("status"), "crasher").contains("exit 3 (failure, "));
    it.until("why it pauses, by explain", |it| {
        it.explains(
            "crasher",
            "backoff",
            "blocks",
            &["failures in a row: ", "started again in ", "never gives up"],
        )
    });
    assert!(
        it.explains("crasher", "last_exit", "warns", &["exit status 3"]),
        "{}",
        it.ctl("explain crasher")
    );
    assert!(it.ctl("explain crasher").contains("no queue at 10.0.0.7:5672"));
    assert!(
        it.ctl("events")
            .lines()
            .any(|line| line.contains("crasher") && line.ends_with("failed (exit status 3)"))
    );
    let journal = it.instance.path("log/events.jsonl");
    it.until("its ends, in the journal", |_| {
        fs::read_to_string(&journal)
            .is_ok_and(|text| text.contains("\"program\":\"crasher\",\"event\":\"exit\""))
    });
    it.until("its ends, in the metrics", |it| {
        let failures = it.metric("program_failures_in_a_row", "crasher", "");
        let ends = it.metric("program_ends_total", "crasher", ",class=\"failure\"");
        failures >= Some(6.0)
            && ends >= failures
            && it.metric("program_last_exit_code", "crasher", ",class=\"failure\"") == Some(3.0)
            && it.metric("program_state", "crasher", ",state=\"backoff\"") == Some(1.0)
            && it.metric("program_backoff_seconds", "crasher", "") > Some(0.0)
    });

    // One that never gets ready, and one that waits for it by name.
    let never = it.json("status never");
    assert_eq!((&never["state"], &never["ready"]), (&"starting".into(), &false.into()), "{never}");
    assert!(never["pid"].is_i64(), "{never}");
    let said = [
        "not ready for ",
        "counts as a failure in ",
        "once 127.0.0.1:1 takes a connection",
        "Connection refused",
    ];
    assert!(it.explains("never", "readiness", "warns", &said), "{}", it.ctl("explain never"));
    let dependent = it.json("status dependent");
    assert_eq!(
        (&dependent["state"], &dependent["reason"]),
        (&"down".into(), &"dependency".into()),
        "{dependent}"
    );
    let said = ["requires never, which is starting for "];
    assert!(it.explains("dependent", "dependencies", "blocks", &said), "{}", it.ctl("explain dependent"));
    let table = it.ctl("status");
    assert!(
        row(&table, "never").contains(" starting ") && row(&table, "dependent").contains(" dependency "),
        "{table}"
    );
    it.until("both, in the metrics", |it| {
        it.metric("program_ready", "never", "") == Some(0.0)
            && it.metric("program_state", "never", ",state=\"starting\"") == Some(1.0)
            && it.metric("program_downtime_seconds_total", "never", ",cause=\"starting\"") > Some(0.0)
            && it.metric("program_reason", "dependent", ",reason=\"dependency\"") == Some(1.0)
    });

    // One that floods its output: into a file that is turned over, of which no more than some are kept.
    it.until("full files", |it| (1..=KEEP).all(|number| it.log_file(number).exists()));
    let first = inode(&it.log_file(KEEP));
    it.until("the oldest to make room", |it| {
        let oldest = inode(&it.log_file(KEEP));
        oldest.is_some() && oldest != first
    });
    for number in 0..=KEEP {
        // One that is about to be renamed may be missing for a moment.
        if let Ok(meta) = fs::metadata(it.log_file(number)) {
            assert!(meta.len() <= FULL, "{}: {} bytes", it.log_file(number).display(), meta.len());
        }
    }
    assert!(!it.log_file(KEEP + 1).exists());
    let flood = it.json("status flood");
    assert_eq!((&flood["state"], &flood["restarts"]), (&"running".into(), &0.into()), "{flood}");
    assert_eq!(flood["output_file"].as_str(), it.log_file(0).to_str());
    let (_, output) = it.condition("flood", "output").expect("where its output goes");
    assert!(output.contains(it.log_file(0).to_str().unwrap()), "{output}");
    it.until("its lines, by logs", |it| {
        it.ctl("logs flood -n 2") == "a line that nobody asked for\n".repeat(2).trim_end()
    });
    assert!(it.metric("program_output_dropped_lines_total", "flood", "").is_some());

    // And the engine: nothing of this has touched it.
    it.until("ready, by the probes", |it| it.get("/readyz").is_some_and(|(status, _)| status == 200));
    assert_eq!(it.get("/livez").unwrap().0, 200);
    assert!(it.ctl("health").contains("ready"));
    let engine = it.json("status engine");
    assert_eq!((&engine["state"], &engine["restarts"]), (&"running".into(), &0.into()), "{engine}");
    assert_eq!(it.metric("program_restarts_total", "engine", ""), Some(0.0));
    it.metrics_are_documented();
    assert_eq!(it.instance.sql("select count(*) from looks"), it.answered.to_string());
    assert_eq!(it.instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(it.instance.log().matches("engine: started, process").count(), 1);
}
