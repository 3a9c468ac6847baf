//! One function for each parser of bytes from outside: it must not panic, and what it accepts must be what it says.
//!
//! `cargo fuzz` calls them with what libFuzzer finds, and `cargo test` with a small corpus and what is near it.

#![allow(dead_code, unreachable_pub, reason = "one target of libFuzzer uses one function")]

use std::sync::LazyLock;

use windlass_host::api::view::EventView;
use windlass_host::api::{RecordedRun, RunCursor, StartRun, Wait};
use windlass_host::model::{
    Event, Failure, HostPattern, Manifest, Name, Namespace, Payload, RunId, ScheduleSpec, SpecText, Timestamp,
};
use windlass_host::sandbox::{CodeCache, Limits, inspect};

/// Takes bytes, and panics if something is wrong.
pub type Target = fn(&[u8]);

/// All of them.
pub const TARGETS: [(&str, Target); 12] = [
    ("cache", cache),
    ("cursor", cursor),
    ("failure", failure),
    ("history", history),
    ("host_pattern", host_pattern),
    ("inspect", inspects),
    ("manifest", manifest),
    ("names", names),
    ("payload", payload),
    ("schedule", schedule),
    ("start", start),
    ("wait", wait),
];

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// A file of machine code: whatever it holds, it is not what this host wrote.
pub fn cache(bytes: &[u8]) {
    static CACHE: LazyLock<CodeCache> = LazyLock::new(|| {
        let folder = std::env::temp_dir().join(format!("windlass-fuzz-{}", std::process::id()));
        let cache = CodeCache::open(&folder).expect("a folder");
        std::fs::remove_dir_all(folder).expect("removed");
        cache
    });
    assert_eq!(CACHE.verified("name", bytes), None);
}

/// `cursor` of a list of runs.
pub fn cursor(bytes: &[u8]) {
    if let Ok(cursor) = text(bytes).parse::<RunCursor>() {
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
    }
}

/// A failure, as the database and histories have it.
pub fn failure(bytes: &[u8]) {
    if let Ok(failure) = serde_json::from_slice::<Failure>(bytes) {
        let again = serde_json::to_vec(&failure).expect("JSON");
        assert_eq!(serde_json::from_slice::<Failure>(&again).expect("as before"), failure);
    }
}

/// A history in a file, as `windlass replay` reads it: a run, or an event.
pub fn history(bytes: &[u8]) {
    if let Ok(run) = serde_json::from_slice::<RecordedRun>(bytes) {
        run.into_info().ok();
    }
    let event = serde_json::from_slice::<EventView>(bytes).ok().and_then(|view| Event::try_from(view).ok());
    if let Some(event) = event {
        let document = serde_json::to_string(&EventView::from(event)).expect("JSON");
        let again =
            Event::try_from(serde_json::from_str::<EventView>(&document).expect("as before")).expect("as before");
        assert_eq!(serde_json::to_string(&EventView::from(again)).expect("JSON"), document);
    }
}

/// A host that a step asks for or that is granted: a host, a line break, a pattern.
pub fn host_pattern(bytes: &[u8]) {
    let (host, pattern) = text(bytes).split_once('\n').unwrap_or_default();
    if let Ok(pattern) = pattern.parse::<HostPattern>() {
        assert_eq!(pattern.to_string().parse(), Ok(pattern.clone()), "{pattern}");
        let is_any = pattern.matches(host, 80, 80);
        assert!(
            !is_any || !host.contains(['/', '@', '#', '?', ' ']),
            "{host:?} is no host, and {pattern} lets it through"
        );
    }
}

/// The bytes of an upload, before anything is compiled.
pub fn inspects(bytes: &[u8]) {
    static LIMITS: LazyLock<Limits> = LazyLock::new(Limits::default);
    // Accepted or not; that it says so is what matters.
    inspect(bytes, &LIMITS).ok();
}

/// What a component says of itself, as it is stored.
pub fn manifest(bytes: &[u8]) {
    let manifest = serde_json::from_slice::<Manifest>(bytes).ok();
    if let Some(manifest) = manifest.filter(|manifest| manifest.check().is_ok()) {
        let again = serde_json::to_vec(&manifest).expect("JSON");
        let again: Manifest = serde_json::from_slice(&again).expect("as before");
        // But for the last digit of a number.
        assert_eq!(again.check(), Ok(()));
        assert!(again.name == manifest.name && again.workflows == manifest.workflows);
    }
}

/// Names, namespaces, ids and times.
pub fn names(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(name) = Name::new(text) {
        assert!(&*name == text && text.len() <= 128 && text.is_ascii() && !text.contains(char::is_control));
    }
    if let Ok(namespace) = Namespace::new(text) {
        assert!(&*namespace == text && text.len() <= 63 && !text.contains(['/', '.', '%']));
    }
    if let Ok(run_id) = text.parse::<RunId>() {
        assert_eq!(run_id.to_string().parse(), Ok(run_id));
    }
    if let Ok(time) = serde_json::from_value::<Timestamp>(text.into()) {
        let again = serde_json::to_value(time).expect("JSON");
        assert_eq!(serde_json::from_value::<Timestamp>(again).expect("as before"), time);
    }
}

/// A payload.
pub fn payload(bytes: &[u8]) {
    if let Ok(payload) = Payload::new(bytes.to_vec(), 1 << 20) {
        let document = serde_json::to_string(&payload).expect("JSON");
        assert_eq!(document, payload.as_str().trim_matches([' ', '\t', '\r', '\n']));
        // What others do with it.
        drop(serde_json::from_str::<serde_json::Value>(&document));
    }
}

/// When a schedule ticks: a cron pattern, a line break and a time zone; or JSON.
pub fn schedule(bytes: &[u8]) {
    let text = text(bytes);
    let (cron, time_zone) = text.split_once('\n').unwrap_or((text, "UTC"));
    let plain = SpecText { cron: Some(cron.to_owned()), time_zone: Some(time_zone.to_owned()), ..SpecText::default() };
    for spec in [ScheduleSpec::try_from(plain).ok(), serde_json::from_str(text).ok()].into_iter().flatten() {
        let again = serde_json::to_string(&spec).expect("JSON");
        assert_eq!(serde_json::from_str::<ScheduleSpec>(&again).expect("as before"), spec);
        for after in [0, 1_774_747_799_000_001, 1_792_886_400_000_000, 253_402_300_799_999_999, i64::MAX] {
            let after = Timestamp::from_micros(after);
            let ticks: Vec<_> = std::iter::once(after).chain(spec.ticks_after(after).take(3)).collect();
            assert!(ticks.windows(2).all(|two| two[0] < two[1]), "{spec}: {ticks:?}");
        }
    }
}

/// The body of `POST …/runs`.
pub fn start(bytes: &[u8]) {
    if let Ok(start) = serde_json::from_slice::<StartRun>(bytes) {
        let again = serde_json::to_vec(&start).expect("JSON");
        let again: StartRun = serde_json::from_slice(&again).expect("as before");
        assert_eq!((again.workflow, again.input, again.timeout), (start.workflow, start.input, start.timeout));
    }
}

/// `wait=…` of a request.
pub fn wait(bytes: &[u8]) {
    if let Ok(Wait(wait)) = serde_json::from_value(text(bytes).into()) {
        assert!(wait <= std::time::Duration::from_secs(60));
    }
}
