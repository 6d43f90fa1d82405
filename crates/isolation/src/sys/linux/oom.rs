//! What the kernel says about processes that it ended for want of memory.

use std::fs;
use std::path::Path;

/// How many processes were ended for that reason so far, in this process's control group if there is one for memory, else on
/// the whole machine; `None` when nobody tells.
pub(crate) fn kills() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let of_group = groups.lines().find_map(|line| {
        let file = counter_of(line)?;
        field(&fs::read_to_string(file).ok()?, "oom_kill")
    });
    of_group.or_else(|| field(&fs::read_to_string("/proc/vmstat").ok()?, "oom_kill"))
}

/// The file with the counter of a line of `/proc/self/cgroup`: `4:memory:/a/b` in version 1, `0::/a/b` in version 2.
fn counter_of(line: &str) -> Option<std::path::PathBuf> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
    let group = group.trim_start_matches('/');
    if controllers.is_empty() {
        Some(Path::new("/sys/fs/cgroup").join(group).join("memory.events"))
    } else if controllers.split(',').any(|controller| controller == "memory") {
        Some(Path::new("/sys/fs/cgroup/memory").join(group).join("memory.oom_control"))
    } else {
        None
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_name_their_counter() {
        let path = |line| counter_of(line).map(|path| path.to_str().unwrap().to_owned());
        assert_eq!(path("0::/user/app").as_deref(), Some("/sys/fs/cgroup/user/app/memory.events"));
        let old = Some("/sys/fs/cgroup/memory/app/memory.oom_control");
        assert_eq!(path("7:cpuset,memory:/app").as_deref(), old);
        assert_eq!(path("3:cpu:/app"), None);
        assert_eq!(path("nonsense"), None);
    }

    #[test]
    fn the_counter_is_found_among_others() {
        assert_eq!(field("low 0\noom 3\noom_kill 2\noom_group_kill 1\n", "oom_kill"), Some(2));
        assert_eq!(field("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n", "oom_kill"), Some(5));
        assert_eq!(field("oom 3\n", "oom_kill"), None);
    }

    #[test]
    fn this_machine_tells() {
        assert!(kills().is_some());
    }
}
