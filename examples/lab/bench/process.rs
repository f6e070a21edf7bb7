//! What a process costs, as Linux tells it. Elsewhere these rows of the table stay empty.

use std::fs;

/// Bytes, seconds and numbers of one process at one moment.
pub struct Usage {
    pub resident: f64,
    pub peak: f64,
    pub cpu: f64,
    pub sockets: f64,
}

impl Usage {
    pub fn of(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let bytes = |field: &str| -> Option<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(field))?;
            Some(line.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0)
        };
        // Of each thread the nanoseconds on a CPU; `stat` would count in ticks of 10 ms, longer than some passes.
        let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let nanoseconds = threads.filter_map(|thread| {
            let schedule = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            schedule.split_whitespace().next()?.parse::<f64>().ok()
        });
        let cpu = nanoseconds.sum::<f64>() / 1e9;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let sockets = descriptors
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count();
        Some(Self { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")?, cpu, sockets: super::per(sockets) })
    }
}
