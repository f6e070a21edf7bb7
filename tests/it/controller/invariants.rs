//! What must hold of every status at every moment: kstatus' and Flux's published checks, and that nothing in it is a
//! secret. Written against the raw JSON, as a GitOps tool sees it.

use serde_json::Value;

/// The invariants that a status breaks. A status that the controller has not touched yet breaks none.
pub(crate) fn broken(generation: i64, status: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    let empty = Vec::new();
    let conditions = status["conditions"].as_array().unwrap_or(&empty);
    let observed = status["observedGeneration"].as_i64().unwrap_or(-1);
    if conditions.is_empty() {
        if observed != -1 {
            broken.push("observedGeneration without conditions".to_owned());
        }
        return broken;
    }
    let mut check = |holds: bool, rule: &str| {
        if !holds {
            broken.push(rule.to_owned());
        }
    };
    let is = |type_: &str, value: &str| conditions.iter().any(|c| c["type"] == type_ && c["status"] == value);
    let has = |type_: &str| conditions.iter().any(|c| c["type"] == type_);
    let ready = is("Ready", "True");
    check(has("Ready"), "FAIL0002 Ready is always there");
    check(!(ready && (is("Reconciling", "True") || is("Stalled", "True"))), "FAIL0001/3 nothing abnormal while ready");
    check(!is("Stalled", "True") || is("Ready", "False"), "FAIL0004 stalled is not ready");
    check(!(is("Stalled", "True") && is("Reconciling", "True")), "FAIL0005 not both");
    check(observed <= generation, "FAIL0006 observedGeneration is not from the future");
    // FAIL0007, ready only in the present generation, cannot be asked of every write: the spec may change while the
    // status of the one before is on its way. kstatus goes by observedGeneration then, so it must tell the truth.
    check(!is("Ready", "Unknown") || is("Reconciling", "True"), "FAIL0011 unknown only while reconciling");
    for type_ in ["Reconciling", "Stalled"] {
        check(!has(type_) || is(type_, "True"), "WARN abnormal conditions only while true");
    }
    for condition in conditions {
        let type_ = condition["type"].as_str().unwrap_or_default();
        let seen = condition["observedGeneration"].as_i64().unwrap_or(-1);
        check(seen >= 1 && seen <= generation, &format!("{type_} has an observedGeneration"));
        if type_ == "Ready" && ready {
            check(seen == observed, "FAIL0008 Ready speaks of the observed generation");
        }
        let reason = condition["reason"].as_str().unwrap_or_default();
        check(
            reason.starts_with(|c: char| c.is_ascii_uppercase()) && reason.chars().all(|c| c.is_ascii_alphanumeric()),
            &format!("{type_} has a CamelCase reason"),
        );
        let message = condition["message"].as_str().unwrap_or_default();
        check(message.len() <= 1024 && !message.chars().any(char::is_control), &format!("{type_}: short, one line"));
        check(condition["lastTransitionTime"].is_string(), &format!("{type_} has a transition time"));
    }
    check(!status.to_string().contains("s3cr3t"), "no secret in a status");
    broken
}
