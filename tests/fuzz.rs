//! The fuzz targets, on their corpus and on what is near it. `tests/fuzz/README.md` says how to look further.

mod targets;

use std::fs;
use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};

use crate::harness::guests::repository;
use targets::Target;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = repository().join("tests/fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.expect("read").path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has nothing to begin with");
    files.into_iter().map(|file| fs::read(file).expect("read")).collect()
}

/// Something that is near the corpus, or not.
fn mutated(corpus: &[Vec<u8>], random: &mut StdRng) -> Vec<u8> {
    const WORDS: [&str; 14] = [
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ":",
        ",",
        "\0",
        "-1",
        "18446744073709551616",
        "1e999",
        "\u{10ffff}",
        "\\ud800",
    ];
    let mut bytes = corpus[random.random_range(0..corpus.len())].clone();
    for _ in 0..random.random_range(1..=6) {
        let place = random.random_range(0..=bytes.len());
        let rest = bytes.len() - place;
        match random.random_range(0..7) {
            0 if rest > 0 => bytes[place] ^= 1 << random.random_range(0..8),
            1 if rest > 0 => bytes[place] = random.random(),
            2 => bytes.truncate(place),
            3 => drop(bytes.drain(place..place + rest.min(random.random_range(0..16)))),
            4 => drop(bytes.splice(place..place, WORDS[random.random_range(0..WORDS.len())].bytes())),
            5 => {
                let again = bytes[place..place + rest.min(random.random_range(0..64))].to_vec();
                drop(bytes.splice(place..place, again));
            }
            _ => {
                let other = &corpus[random.random_range(0..corpus.len())];
                let part = &other[random.random_range(0..=other.len())..];
                bytes.truncate(place);
                bytes.extend(part);
            }
        }
    }
    if random.random_range(0..50) == 0 {
        bytes.resize(random.random_range(0..256), 0);
        random.fill_bytes(&mut bytes);
    }
    bytes
}

/// What it was is said before the panic goes on.
fn give(name: &str, target: Target, bytes: &[u8]) {
    let given = catch_unwind(|| target(bytes));
    assert!(given.is_ok(), "{name} panics at b\"{}\"", bytes.escape_ascii());
}

#[test]
fn every_target_takes_its_corpus_and_what_is_near_it() {
    for (name, target) in targets::TARGETS {
        let corpus = corpus(name);
        corpus.iter().for_each(|bytes| give(name, target, bytes));
        // The same every time.
        let mut random = StdRng::seed_from_u64(0);
        for _ in 0..500 {
            give(name, target, &mutated(&corpus, &mut random));
        }
    }
}

#[test]
#[ignore = "takes FUZZ_MINUTES for FUZZ_TARGET, or for each"]
fn a_target_for_as_long_as_one_likes() {
    let minutes: u64 = std::env::var("FUZZ_MINUTES").map_or(1, |text| text.parse().expect("minutes"));
    let wanted = std::env::var("FUZZ_TARGET").ok();
    for (name, target) in targets::TARGETS.into_iter().filter(|(name, _)| wanted.as_ref().is_none_or(|it| it == name)) {
        let (corpus, begun, mut executions) = (corpus(name), Instant::now(), 0_u64);
        let mut random = StdRng::seed_from_u64(rand::random());
        while begun.elapsed() < Duration::from_secs(60 * minutes) {
            for _ in 0..1_000 {
                give(name, target, &mutated(&corpus, &mut random));
            }
            executions += 1_000;
        }
        eprintln!("{name}: {executions} executions in {minutes} min, and nothing was found");
    }
}

#[test]
fn every_target_is_one_of_cargo_fuzz_too() {
    let manifest = fs::read_to_string(repository().join("tests/fuzz/Cargo.toml")).expect("a manifest");
    for (name, _) in targets::TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in tests/fuzz/Cargo.toml");
    }
}
