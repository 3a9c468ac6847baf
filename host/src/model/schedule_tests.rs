use proptest::prelude::*;

use super::*;

fn time(text: &str) -> Timestamp {
    serde_json::from_value(text.into()).unwrap()
}

fn spec(json: serde_json::Value) -> ScheduleSpec {
    serde_json::from_value(json).unwrap()
}

fn schedule(spec: ScheduleSpec) -> Schedule {
    Schedule {
        workflow: Name::new("w").unwrap(),
        input: Payload::null(),
        durability: Durability::Output,
        timeout: None,
        tags: Tags::default(),
        priority: Priority::default(),
        concurrency_key: None,
        spec,
        overlap: Overlap::Skip,
        jitter: Duration::ZERO,
        catch_up: Duration::from_secs(3_600),
    }
}

#[test]
fn an_interval_is_counted_from_its_first_tick_and_not_from_whenever_it_was_made() {
    let hourly = spec(serde_json::json!({ "every": "1h" }));
    assert_eq!(hourly.next_after(time("2026-11-28T10:59:59.999999Z")), Some(time("2026-11-28T11:00:00Z")));
    assert_eq!(hourly.next_after(time("2026-11-28T11:00:00Z")), Some(time("2026-11-28T12:00:00Z")));
    let from = spec(serde_json::json!({ "every": "7days", "from": "2026-12-01T08:30:00+01:00" }));
    let ticks: Vec<_> = from.ticks_after(time("2026-01-01T00:00:00Z")).take(2).collect();
    assert_eq!(ticks, [time("2026-12-01T07:30:00Z"), time("2026-12-08T07:30:00Z")]);
}

#[test]
fn what_ticks_once_ticks_once() {
    let once = spec(serde_json::json!({ "at": "2026-12-24T18:00:00Z" }));
    assert_eq!(once.ticks_after(Timestamp::default()).collect::<Vec<_>>(), [time("2026-12-24T18:00:00Z")]);
    assert_eq!(schedule(once).check(time("2026-12-24T18:00:00Z")), Ok(None));
}

#[test]
fn a_spec_is_kept_as_it_was_understood_and_read_back_as_the_same() {
    for (written, kept) in [
        (
            serde_json::json!({ "cron": " 0  9 * * 1-5 " }),
            serde_json::json!({ "cron": "0 9 * * 1-5", "time_zone": "UTC" }),
        ),
        (serde_json::json!({ "every": "90min" }), serde_json::json!({ "every": "1h 30m" })),
        (
            serde_json::json!({ "at": "2026-12-24T18:00:00+02:00" }),
            serde_json::json!({ "at": "2026-12-24T16:00:00.000000Z" }),
        ),
    ] {
        assert_eq!(serde_json::to_value(spec(written)).unwrap(), kept);
        assert_eq!(serde_json::to_value(spec(kept.clone())).unwrap(), kept);
    }
}

#[test]
fn what_cannot_be_a_schedule_is_refused_with_what_is_wrong() {
    let text = |json| serde_json::from_value::<SpecText>(json).unwrap();
    let refused = |json| ScheduleSpec::try_from(text(json)).unwrap_err();
    assert_eq!(refused(serde_json::json!({})), ScheduleError::OneOf);
    assert_eq!(refused(serde_json::json!({ "cron": "* * * * *", "every": "1h" })), ScheduleError::OneOf);
    let goes_with = ScheduleError::GoesWith("time_zone", "cron");
    assert_eq!(refused(serde_json::json!({ "every": "1h", "time_zone": "UTC" })), goes_with);
    assert_eq!(refused(serde_json::json!({ "every": "1h", "at": "2026-12-24T18:00:00Z" })), ScheduleError::OneOf);
    for every in ["999ms", "0s", "11years"] {
        assert_eq!(refused(serde_json::json!({ "every": every })), ScheduleError::Every, "{every}");
    }
    assert!(matches!(refused(serde_json::json!({ "every": "often" })), ScheduleError::Unreadable(_)));

    let now = time("2026-11-28T00:00:00Z");
    let hourly = schedule(spec(serde_json::json!({ "cron": "0 * * * *" })));
    let jitter = |seconds| Schedule { jitter: Duration::from_secs(seconds), ..hourly.clone() }.check(now);
    assert_eq!(jitter(3_600), Err(ScheduleError::Jitter(Duration::from_secs(3_600))));
    assert!(jitter(3_599).is_ok());
    for catch_up in [Duration::from_secs(9), Duration::from_secs(366 * 86_400)] {
        assert_eq!(Schedule { catch_up, ..hourly.clone() }.check(now), Err(ScheduleError::CatchUp));
    }
    assert_eq!(schedule(spec(serde_json::json!({ "cron": "0 0 30 2 *" }))).check(now), Ok(None));
}

#[test]
fn the_jitter_of_a_tick_is_its_own_and_always_the_same() {
    let jitter = Duration::from_secs(60);
    let ticks: Vec<_> =
        spec(serde_json::json!({ "every": "5m" })).ticks_after(Timestamp::default()).take(1_000).collect();
    let late: Vec<_> = ticks.iter().map(|tick| due_at("n", "s", *tick, jitter).since(*tick)).collect();
    assert!(late.iter().all(|late| *late < jitter));
    // Over the whole of it.
    assert!(late.iter().any(|late| late.as_secs() < 3) && late.iter().any(|late| late.as_secs() > 56));
    assert_eq!(due_at("n", "s", ticks[7], jitter), due_at("n", "s", ticks[7], jitter));
    assert_ne!(due_at("n", "s", ticks[7], jitter), due_at("n", "other", ticks[7], jitter));
    assert_eq!(due_at("n", "s", ticks[7], Duration::ZERO), ticks[7]);
}

#[test]
fn a_tick_is_one_run_and_its_key_says_of_what() {
    let tick = time("2026-12-24T18:00:00Z");
    let (key, run_id) = run_of_tick("n", "nightly", tick);
    assert_eq!(key, "schedule/nightly/2026-12-24T18:00:00.000000Z");
    assert_eq!(run_id, RunId::from_key("n", &key));
}

const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu"];

fn any_spec() -> impl Strategy<Value = ScheduleSpec> {
    let field = |from: u32, to: u32| {
        prop_oneof![
            Just("*".to_owned()),
            (from..=to).prop_map(|one| one.to_string()),
            (from..=to, from..=to).prop_map(|(one, other)| format!("{one},{other}")),
            (2_u32..7).prop_map(|step| format!("*/{step}")),
        ]
    };
    let cron = (field(0, 59), field(0, 23), field(0, 6), proptest::sample::select(&ZONES[..])).prop_map(
        |(minute, hour, day, zone)| ScheduleSpec::Cron(Cron::new(&format!("{minute} {hour} * * {day}"), zone).unwrap()),
    );
    let every = (1_000_000_u64..100_000_000_000, 0_i64..4_000_000_000_000_000).prop_map(|(every, from)| {
        ScheduleSpec::Every { every: Duration::from_micros(every), from: Timestamp::from_micros(from) }
    });
    prop_oneof![4 => cron, 1 => every]
}

/// From whichever moment one looks, the ticks are the same, each once: what all hosts agree on.
#[test]
fn ticks_ascend_and_do_not_depend_on_when_one_looks() {
    // From a month before the clocks are put forward to a month after they are put back, in 2026.
    let times = 1_770_000_000_000_000_i64..1_796_000_000_000_000;
    let config = ProptestConfig { cases: 300, ..ProptestConfig::default() };
    proptest!(config, |(spec in any_spec(), after in times, between in 0.0_f64..1.0)| {
        let after = Timestamp::from_micros(after);
        let ticks: Vec<_> = spec.ticks_after(after).take(40).collect();
        prop_assert!(ticks.iter().all(|tick| *tick > after));
        for two in ticks.windows(2) {
            prop_assert!(two[0] < two[1]);
            // Never as late as the next one.
            let between = two[0].after(two[1].since(two[0]).mul_f64(between * 0.999));
            prop_assert_eq!(spec.next_after(between), Some(two[1]), "{} after {}", &spec, between);
        }
    });
}
