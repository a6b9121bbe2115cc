//! How often the kernel has killed for memory in our cgroup.

use std::fs;
use std::sync::{Mutex, PoisonError};

/// The place that told last: PID 1 stays in its cgroup, and each start and end of a program asks.
static PLACE: Mutex<Option<String>> = Mutex::new(None);

/// The counter of kills for memory, of cgroup v2 (`memory.events`) or v1 (`memory.oom_control`); `None`: not readable.
pub(crate) fn kills() -> Option<u64> {
    let read = |place: &String| counter(&fs::read_to_string(place).ok()?);
    let mut known = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kills) = known.as_ref().and_then(read) {
        return Some(kills);
    }
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let (kills, place) = places(&own).into_iter().find_map(|place| Some((read(&place)?, place)))?;
    *known = Some(place);
    Some(kills)
}

/// In a container the cgroup's own directory is mounted at the root of the hierarchy; outside it is below.
fn places(own: &str) -> Vec<String> {
    let path = |matches: fn(&str) -> bool| {
        own.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            matches(controllers).then(|| path.trim_end_matches('/').to_owned())
        })
    };
    let v2 = path(str::is_empty).unwrap_or_default();
    let v1 = path(|controllers| controllers.split(',').any(|name| name == "memory")).unwrap_or_default();
    vec![
        format!("/sys/fs/cgroup{v2}/memory.events"),
        "/sys/fs/cgroup/memory.events".into(),
        format!("/sys/fs/cgroup/memory{v1}/memory.oom_control"),
        "/sys/fs/cgroup/memory/memory.oom_control".into(),
    ]
}

fn counter(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found_in_both_versions() {
        assert_eq!(counter("low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(counter("oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"), Some(7));
        assert_eq!(counter("oom_kill_disable 0\n"), None);
    }

    #[test]
    fn our_own_cgroup_comes_first() {
        let v1 = places("9:memory:/docker/abc\n1:name=systemd:/\n0::/\n");
        assert_eq!(v1.first().map(String::as_str), Some("/sys/fs/cgroup/memory.events"));
        assert_eq!(
            v1.get(2).map(String::as_str),
            Some("/sys/fs/cgroup/memory/docker/abc/memory.oom_control")
        );
        let v2 = places("0::/kubepods/pod1\n");
        assert_eq!(v2.first().map(String::as_str), Some("/sys/fs/cgroup/kubepods/pod1/memory.events"));
    }
}
