//! The rows of the benchmark's table: what each figure is, what is aimed at, and what two other operators took on the
//! same servers (per set of a role, a policy and a KV entry, with 200 sets).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

/// Figures of one number of bindings, by the row's key.
#[derive(Default)]
pub struct Figures(BTreeMap<&'static str, f64>);

impl Figures {
    pub fn set(&mut self, key: &'static str, value: f64) {
        self.0.insert(key, value);
    }
}

struct Row {
    key: &'static str,
    what: &'static str,
    at_most: Option<f64>,
    /// vault-access-operator 0.12.0; vault-config-operator 0.8.52 with drift detection on.
    peers: [&'static str; 2],
}

const fn row(key: &'static str, what: &'static str, at_most: Option<f64>, peers: [&'static str; 2]) -> Row {
    Row { key, what, at_most, peers }
}

const ROWS: &[Row] = &[
    row("reads", "steady: Vault reads per pass", Some(7.0), ["4-4.5", "2"]),
    row("writes", "steady: Vault writes per pass", Some(0.0), ["0", "1"]),
    row("logins", "steady: logins", Some(0.0), ["0", "2 per pass"]),
    row("kube_writes", "steady: Kubernetes writes per pass", Some(0.0), ["10", "2"]),
    row("jwks", "steady: JWKS fetches", Some(0.0), ["-", "1 per pass"]),
    row("config_reads", "steady: config reads per mount and interval", Some(1.5), ["-", "1"]),
    row("cpu", "steady: CPU per pass, ms", Some(3.0), ["32", "14"]),
    row("create_vault", "create: Vault requests per binding", Some(21.0), ["13", "9"]),
    row("create_kube", "create: Kubernetes writes per binding", Some(3.0), ["24", "9"]),
    row("ready", "create: apply to all ready, s", None, ["27.4", "17.6"]),
    row("bare", "create: a bare client's time at Vault, s", None, ["", ""]),
    row("ratio", "create: ratio of the two", Some(1.5), ["", ""]),
    row("bare_kube", "create: a bare client's at the apiserver, s", None, ["", ""]),
    row("ratio_both", "create: ratio to the sum of both", None, ["", ""]),
    row("start", "start to first Vault request, s", Some(0.3), ["0.41", "0.93"]),
    row("resident", "resident memory, MiB", Some(40.0), ["79", "121"]),
    row("peak", "peak resident memory, MiB", None, ["93", "203"]),
    row("growth", "growth per binding, KiB", Some(12.0), ["", ""]),
    row("rounds", "growth over three rounds, MiB", Some(2.0), ["", ""]),
    row("sockets", "open sockets", None, ["12", "602"]),
    row("repair_nudged", "drift repair with a nudge, s", None, ["", ""]),
    row("repair", "drift repair without, s", None, ["30", "8"]),
    row("delete", "delete to all gone, s", None, ["16", "13"]),
    row("left", "objects left in Vault after delete", Some(0.0), ["200", "0"]),
    row("tokens", "tokens left in Vault after exit", Some(0.0), ["1", "2 per pass"]),
];

#[derive(Default)]
pub struct Report(BTreeMap<usize, Figures>);

impl Report {
    pub fn add(&mut self, size: usize, mut figures: Figures) {
        // Against the smallest number, so that what any first binding needs is not counted as growth.
        if let Some((smallest, base)) = self.0.first_key_value()
            && let (Some(resident), Some(base)) = (figures.0.get("resident"), base.0.get("resident"))
            && size > *smallest
        {
            let growth = (resident - base) * 1024.0 / super::per(size - smallest);
            figures.set("growth", growth);
        }
        self.0.insert(size, figures);
    }

    pub fn table(&self) -> String {
        let mut table = format!("\n{:<45}", "bindings");
        for size in self.0.keys() {
            let _ = write!(table, "{size:>10}");
        }
        let _ = writeln!(table, "{:>10}{:>14}{:>14}", "at most", "VAO (200)", "VCO (200)");
        for row in ROWS {
            let _ = write!(table, "{:<45}", row.what);
            for figures in self.0.values() {
                let value = figures.0.get(row.key).map_or("-".into(), |value| format!("{value:.2}"));
                let _ = write!(table, "{value:>10}");
            }
            let at_most = row.at_most.map_or(String::new(), |aim| aim.to_string());
            let _ = writeln!(table, "{at_most:>10}{:>14}{:>14}", row.peers[0], row.peers[1]);
        }
        table
    }

    pub fn json(&self) -> Value {
        let each = ROWS.iter().map(|row| {
            let values: BTreeMap<String, Option<f64>> =
                self.0.iter().map(|(size, figures)| (size.to_string(), figures.0.get(row.key).copied())).collect();
            let met = row.at_most.map(|aim| values.values().flatten().all(|value| *value <= aim));
            json!({
                "key": row.key, "what": row.what, "values": values, "atMost": row.at_most, "met": met,
                "peers": {"vault-access-operator": row.peers[0], "vault-config-operator": row.peers[1]},
            })
        });
        json!({"rows": each.collect::<Vec<_>>()})
    }
}
