//! The demo's table: one row a job.

use super::Published;
use comfy_table::{ContentArrangement, Table, presets::UTF8_NO_BORDERS};
use serde_json::Value;
use std::collections::BTreeMap;

/// What the columns mean.
pub const LEGEND: &str = "\
times are the Acurast chain's (UTC); amounts are ether, rounded (`job show` has every wei); locked is the account's, shared by its jobs
reserved is what was ever held for the job, all of it charged or released by now; margin is what was charged less what the signing key paid";

/// The table of all jobs of the manifest, in its order.
pub fn render(manifest: &Value, jobs: &[Value], published: &Published) -> Table {
    let known: BTreeMap<&str, &Value> = jobs.iter().filter_map(|job| Some((job["job_key"].as_str()?, job))).collect();
    let mut table = Table::new();
    table.load_preset(UTF8_NO_BORDERS).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "job",
        "path",
        "states",
        "executions",
        "root tx",
        "delivery tx",
        "locked",
        "reserved",
        "spent",
        "refunded",
        "margin",
        "receipts",
        "reputation",
    ]);
    for planned in manifest["jobs"].as_array().into_iter().flatten() {
        let key = planned["job_key"].as_str().unwrap_or_default();
        let path = planned["kind"].as_str().unwrap_or_default().to_owned();
        let Some(job) = known.get(key) else {
            table.add_row([short(key), path, "UNKNOWN TO THE RELAYER".to_owned()]);
            continue;
        };
        let escrow = |field: &str| ether(&job["escrow"][field]);
        table.add_row([
            name(job),
            path,
            states(job),
            executions(job),
            transactions(job, |assignment| vec![&assignment["root"]]),
            transactions(job, |assignment| {
                assignment["known"].as_array().into_iter().flatten().map(|known| &known["fulfillment"]).collect()
            }),
            escrow("locked"),
            ether(&job["reserved_ever"]),
            ether(&job["spent"]),
            escrow("refunded"),
            margin(job),
            published.receipts.get(key).copied().unwrap_or_default().to_string(),
            published.reputation.get(key).copied().unwrap_or_default().to_string(),
        ]);
    }
    table
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn short(hex: &str) -> String {
    hex.get(..8).unwrap_or(hex).to_owned()
}

fn name(job: &Value) -> String {
    let id = text(&job["job"]);
    let (origin, rest) = id.split_once(":0x").unwrap_or((&id, ""));
    let (account, number) = rest.split_once('/').unwrap_or((rest, ""));
    format!("{origin}:{}…/{number}", account.get(..4).unwrap_or(account))
}

/// The Acurast life cycle with the times at which each state began.
fn states(job: &Value) -> String {
    let at = |block: &Value| block["timestamp"].as_str().and_then(|ms| ms.parse::<u64>().ok()).map(clock);
    let states = [("OPEN", "opened"), ("MATCHED", "matched"), ("ASSIGNED", "assigned"), ("removed", "removed"), ("DONE", "done")];
    let mut shown: Vec<String> = states.iter().filter_map(|(name, field)| Some(format!("{name} {}", at(&job[*field])?))).collect();
    if job["closed"] == true {
        shown.push("closed".to_owned());
    }
    shown.join(" → ")
}

/// Hours, minutes and seconds of a day.
fn clock(ms: u64) -> String {
    let seconds = ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// How many executions had each outcome.
fn executions(job: &Value) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for assignment in job["assignments"].as_array().into_iter().flatten() {
        for known in assignment["known"].as_array().into_iter().flatten() {
            let count = known["executions"].as_str().and_then(|count| count.parse().ok()).unwrap_or(1);
            *counts.entry(known["outcome"].as_str().unwrap_or("open").to_owned()).or_default() += count;
        }
    }
    if counts.is_empty() {
        return "–".to_owned();
    }
    counts.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect::<Vec<_>>().join(", ")
}

fn transactions<'a>(job: &'a Value, of: impl Fn(&'a Value) -> Vec<&'a Value>) -> String {
    let settlements = job["assignments"].as_array().into_iter().flatten().flat_map(of);
    let mut hashes: Vec<String> = settlements.filter_map(|settlement| settlement["tx"].as_str().map(short)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    if hashes.is_empty() { "–".to_owned() } else { hashes.join(" ") }
}

fn margin(job: &Value) -> String {
    match (ether(&job["margin_gain"]), ether(&job["margin_loss"])) {
        (gain, loss) if loss == NOTHING => gain,
        (gain, loss) if gain == NOTHING => format!("-{loss}"),
        (gain, loss) => format!("{gain} - {loss}"),
    }
}

const NOTHING: &str = "0";
const WEI_PER_MICROETHER: u128 = 1_000_000_000_000;
const MICROETHER_PER_ETHER: u128 = 1_000_000;

/// An amount of wei in ether with six decimals, rounded to the nearest.
fn ether(wei: &Value) -> String {
    let Ok(wei) = text(wei).parse::<u128>() else { return text(wei) };
    if wei == 0 {
        return NOTHING.to_owned();
    }
    let micro = wei.saturating_add(WEI_PER_MICROETHER / 2) / WEI_PER_MICROETHER;
    format!("{}.{:06}", micro / MICROETHER_PER_ETHER, micro % MICROETHER_PER_ETHER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_is_one_row_with_its_states_outcomes_and_money() {
        let manifest = json!({ "jobs": [{ "job_key": "0xab", "kind": "success" }, { "job_key": "0xcd", "kind": "lost" }] });
        let job = json!({
            "job": "ethereum20:0x0165878a594ca255338adfa4d48449f69242eb8f/21", "job_key": "0xab", "closed": true,
            "opened": { "timestamp": "3661000" }, "done": { "timestamp": "7322000" },
            "assignments": [{ "root": { "tx": "0x1111111111" }, "known": [
                { "outcome": "fulfilled", "executions": "1", "fulfillment": { "tx": "0x2222222222" } },
                { "outcome": "missed", "executions": "2", "fulfillment": null },
            ] }],
            "reserved_ever": "9000000000000000", "spent": "7", "margin_gain": "0", "margin_loss": "3600000000000", "escrow": { "locked": "50000000000000000000", "refunded": "0" },
        });
        let text = render(&manifest, &[job], &Published::default()).to_string();
        for part in [
            "ethereum20:0165…/21",
            "OPEN 01:01:01 → DONE 02:02:02 → closed",
            "1 fulfilled, 2 missed",
            "0x111111",
            "0x222222",
            "0.009000",
            "50.000000",
            "-0.000004",
            "UNKNOWN TO THE RELAYER",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
