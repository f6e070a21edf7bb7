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
        // Fields 14 and 15, counted after the name in parentheses; in ticks, of which Linux has 100 a second.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let ticks = stat.rsplit_once(')')?.1.split_whitespace().skip(11).take(2);
        let cpu = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let sockets = descriptors
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count();
        Some(Self { resident: bytes("VmRSS:")?, peak: bytes("VmHWM:")?, cpu, sockets: super::per(sockets) })
    }
}
