//! One function for each parser of bytes from outside: it must not panic, and what it accepts must be what it says.
//!
//! `cargo fuzz` calls them with what libFuzzer finds, and `cargo test` with a small corpus and what is near it.

#![allow(dead_code, unreachable_pub, reason = "one target of libFuzzer uses one function")]

use std::net::IpAddr;
use std::sync::LazyLock;

use windlass_host::api::view::EventView;
use windlass_host::api::{
    Backfill, CreateKey, History, MigrateRun, PutNamespace, PutSchedule, RecordedRun, RotateKey, RunCursor, StartRun,
    Terminate, UseVersion, Wait,
};
use windlass_host::history::Replay;
use windlass_host::model::{
    Allows, ApiKey, Event, Failure, HostPattern, HttpGrant, KeyId, Manifest, MasterKeys, Name, Namespace, Payload,
    RunId, RunInfo, ScheduleSpec, SpecText, Target as Url, TargetHost, Timestamp,
};
use windlass_host::sandbox::{CodeCache, Limits, inspect, special};
use windlass_host::store::read_back;

/// Takes bytes, and panics if something is wrong.
pub type Target = fn(&[u8]);

/// All of them.
pub const TARGETS: [(&str, Target); 16] = [
    ("archive", archive),
    ("bodies", bodies),
    ("cache", cache),
    ("cursor", cursor),
    ("failure", failure),
    ("history", history),
    ("host_pattern", host_pattern),
    ("inspect", inspects),
    ("keys", keys),
    ("manifest", manifest),
    ("names", names),
    ("payload", payload),
    ("schedule", schedule),
    ("start", start),
    ("url", url),
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

/// Lines of an exported archive, as `windlass replay` reads them.
pub fn archive(bytes: &[u8]) {
    static MASTERS: LazyLock<MasterKeys> =
        LazyLock::new(|| MasterKeys::parse("BgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgYGBgY=").expect("a key"));
    for masters in [None, Some(&*MASTERS)] {
        let Ok((info, input, events)) = read_back(bytes, None, masters) else { continue };
        assert_eq!(Payload::check(input.as_bytes()), Ok(()));
        deliver(&info, &events);
    }
}

/// A history that is whole is delivered, to a guest that has asked nothing; and is shown as it is.
fn deliver(info: &RunInfo, events: &[Event]) {
    for event in events {
        serde_json::to_string(&EventView::from(event.clone())).expect("JSON");
    }
    if Event::gap(info.origin.seq, events).is_none() {
        let mut replay = Replay::new(info.origin, 10);
        // It asks for nothing, so what answers a call is not what it expects.
        let told = events.iter().take_while(|event| replay.deliver(event).is_ok()).count();
        assert_eq!(replay.next_seq() as usize, info.origin.seq as usize + told);
    }
}

/// Bodies of requests that change something. What is read is said again, and read as the same.
pub fn bodies(bytes: &[u8]) {
    fn body<T: serde::de::DeserializeOwned + serde::Serialize>(bytes: &[u8]) -> Option<T> {
        let read: T = serde_json::from_slice(bytes).ok()?;
        let again = serde_json::to_string(&read).expect("JSON");
        let twice: T = serde_json::from_str(&again).expect("as before");
        assert_eq!(serde_json::to_string(&twice).expect("JSON"), again);
        Some(read)
    }
    body::<Backfill>(bytes);
    body::<CreateKey>(bytes);
    body::<MigrateRun>(bytes);
    body::<RotateKey>(bytes);
    body::<Terminate>(bytes);
    body::<UseVersion>(bytes);
    if let Some(put) = body::<PutSchedule>(bytes) {
        // Accepted or not; that it says so is what matters.
        ScheduleSpec::try_from(put.spec).ok();
    }
    if let Some(put) = body::<PutNamespace>(bytes) {
        put.retention.check().ok(); // as above
        for (name, value) in put.limits {
            if let Some(windlass_host::api::LimitValue::Text(text)) = value {
                windlass_host::model::parse_limit(&name, &text).ok(); // as above
            }
        }
    }
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
    if let Ok(History { run: Some(run), events, .. }) = serde_json::from_slice(bytes)
        && let Ok((info, _)) = run.into_info()
    {
        let events: Result<Vec<Event>, _> = events.into_iter().map(Event::try_from).collect();
        deliver(&info, &events.unwrap_or_default());
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

/// An API key, as it stands in a header.
pub fn keys(bytes: &[u8]) {
    let text = text(bytes);
    if let Ok(key) = text.parse::<ApiKey>() {
        assert_eq!(key.reveal(), text);
        assert!(key.hash().is_of(&key) && !format!("{key:?}").contains(&text[14..]), "its secret is not shown");
    }
    if let Ok(id) = text.parse::<KeyId>() {
        assert_eq!(id.as_str(), text);
    }
    MasterKeys::parse(text).ok();
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

/// Where a request of a step goes: a scheme, an authority, a method, a path and a grant, one a line.
pub fn url(bytes: &[u8]) {
    let mut lines = text(bytes).splitn(5, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (scheme, authority, method, path, grant) = (line(), line(), line(), line(), line());
    let (target, grant) = (Url::parse(scheme, authority).ok(), grant.parse::<HttpGrant>().ok());
    if let Some(target) = &target {
        assert_eq!(target.to_string().parse(), Ok(target.clone()));
        // However others read the authority, they do not find another host in it.
        let plain = authority.bytes().all(|byte| byte.is_ascii_graphic() && !b"@/\\?#%".contains(&byte));
        assert!(plain, "{authority:?} is read as {target}");
        match &target.host {
            TargetHost::Address(address) => is_public_as_a_whole(*address),
            TargetHost::Name(name) => assert!(name.parse::<IpAddr>().is_err(), "{name} is an address"),
        }
    }
    if let Some(grant) = &grant {
        assert_eq!(grant.to_string().parse(), Ok(grant.clone()));
        assert!(grant.includes(grant), "{grant} does not include itself");
    }
    let (Some(target), Some(grant)) = (target, grant) else { return };
    if grant.allows(method, &target, path) == Allows::Yes {
        let granted = grant.to_string();
        let place = granted.rsplit(' ').next().unwrap_or_default();
        if let Some((_, prefix)) = place.split_once('/') {
            let prefix: Vec<_> = prefix.trim_end_matches("/*").split('/').collect();
            for read in [once, twice] {
                let resolved = resolved(path, read);
                let is_below =
                    resolved.len() >= prefix.len() && resolved.iter().zip(&prefix).all(|(is, is_to)| is == is_to);
                assert!(is_below, "{path:?} is not below {place}: {resolved:?}");
            }
        }
    }
}

/// Wherever an IPv4 address hides in an IPv6 address, it is as public as by itself.
fn is_public_as_a_whole(address: IpAddr) {
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
        && special(IpAddr::V4(v4)).is_some()
    {
        assert!(special(address).is_some(), "{address} leads to {v4}");
    }
}

/// What a generous server makes of a path: without escapes, parameters, `.`, `..` and empty segments.
fn resolved(path: &str, read: fn(&str) -> String) -> Vec<String> {
    let mut segments = Vec::new();
    for segment in read(path).split(['/', '\\']) {
        match segment.split(';').next().unwrap_or_default().trim_ascii() {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name.to_owned()),
        }
    }
    segments
}

fn once(text: &str) -> String {
    let digit = |at: usize| text.as_bytes().get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut bytes, mut at) = (Vec::new(), 0);
    while let Some(byte) = text.as_bytes().get(at) {
        let escaped = digit(at + 1).zip(digit(at + 2)).filter(|_| *byte == b'%');
        bytes.push(escaped.map_or(*byte, |(high, low)| u8::try_from(high * 16 + low).unwrap_or_default()));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn twice(text: &str) -> String {
    once(&once(text))
}

/// `wait=…` of a request.
pub fn wait(bytes: &[u8]) {
    if let Ok(Wait(wait)) = serde_json::from_value(text(bytes).into()) {
        assert!(wait <= std::time::Duration::from_secs(60));
    }
}
