//! What the numbers were measured on.

use std::fs;
use std::process::Command;

/// Key and value, for people.
pub fn facts() -> Vec<(&'static str, String)> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key)).unwrap_or_default();
        line.split_once([':', '='])
            .map_or("unknown".into(), |(_, value)| value.trim().trim_matches('"').to_owned())
    };
    let said = |program: &str, arguments: &[&str]| {
        let done = Command::new(program).args(arguments).output();
        let done = done.ok().filter(|done| done.status.success());
        let text = done.map(|done| String::from_utf8_lossy(&done.stdout).trim().to_owned());
        text.filter(|text| !text.is_empty()).unwrap_or_else(|| "unknown".into())
    };
    let cpus = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let memory = memory
        .trim_end_matches(" kB")
        .parse::<u64>()
        .map_or(memory.clone(), |kib| format!("{:.1} GiB", kib as f64 / (1 << 20) as f64));
    let load = read("/proc/loadavg");
    vec![
        ("Processor", format!("{}, {cpus} of them", field(&read("/proc/cpuinfo"), "model name"))),
        ("Memory", memory),
        ("Kernel", read("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("Virtual machine", said("systemd-detect-virt", &[])),
        ("Distribution", field(&read("/etc/os-release"), "PRETTY_NAME")),
        ("C compiler", said("gcc", &["--version"]).lines().next().unwrap_or_default().to_owned()),
        ("Load average at the end", load.split(' ').take(3).collect::<Vec<_>>().join(" ")),
        ("Measured", said("date", &["-u", "+%Y-%m-%d %H:%M UTC"])),
    ]
}
