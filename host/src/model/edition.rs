//! What hosts have learnt to run, so that hosts of several releases can share a database.
//!
//! A run needs two things of the host that is at it: the contract that its component was built for, and the form in which its history is
//! written. Both go by one number, the edition: it is kept with each version of a component when that is deployed, goes with each of its runs,
//! and a host takes up runs of the editions that it knows, and no others. So a release that adds a contract, or writes histories in
//! another form, adds an edition; hosts of the release before leave alone what was deployed with it.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The form in which this release writes histories, in the table `events` and in the lines of the archive. Whoever changes it adds an edition
/// here, and golden files of the new form: see `tests/golden/README.md`.
pub const HISTORY_FORM: u16 = 1;

/// All editions, the first first. Nothing is ever taken away: runs may be of any of them.
const ALL: [(Contract, u16); 1] = [(Contract { major: 0, minor: 1, patch: 0 }, HISTORY_FORM)];

/// A version of the WIT package `windlass:workflow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contract {
    major: u64,
    minor: u64,
    patch: u64,
}

/// The editions that a host knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Editions(Arc<[(Contract, u16)]>);

/// A text that is no list of editions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("editions are a contract and the form of a history each, as 0.1.0/1,0.2.0/1")]
pub struct NoEditions;

impl Default for Editions {
    /// Those of this release.
    fn default() -> Self {
        Self(Arc::new(ALL))
    }
}

impl Editions {
    /// The number of the last: a host knows it, and all before.
    pub fn newest(&self) -> u16 {
        u16::try_from(self.0.len()).unwrap_or(u16::MAX)
    }

    /// The edition of components that are deployed now and were built for this contract: the last that has it.
    pub fn of(&self, contract: Contract) -> Option<u16> {
        let place = self.0.iter().rposition(|(known, _)| *known == contract)?;
        u16::try_from(place + 1).ok()
    }

    /// Their contracts, for people.
    pub fn contracts(&self) -> String {
        let mut contracts: Vec<_> = self.0.iter().map(|(contract, _)| *contract).collect();
        contracts.sort_unstable();
        contracts.dedup();
        contracts.iter().map(Contract::to_string).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Contract {
    type Err = NoEditions;

    fn from_str(text: &str) -> Result<Self, NoEditions> {
        let mut numbers = text.split('.').map(|number| number.parse::<u64>().map_err(|_| NoEditions));
        let mut next = || numbers.next().unwrap_or(Err(NoEditions));
        let contract = Self { major: next()?, minor: next()?, patch: next()? };
        if numbers.next().is_some() { Err(NoEditions) } else { Ok(contract) }
    }
}

impl FromStr for Editions {
    type Err = NoEditions;

    fn from_str(text: &str) -> Result<Self, NoEditions> {
        let edition = |text: &str| -> Result<(Contract, u16), NoEditions> {
            let (contract, form) = text.split_once('/').ok_or(NoEditions)?;
            Ok((contract.parse()?, form.parse().map_err(|_| NoEditions)?))
        };
        Ok(Self(text.split(',').map(edition).collect::<Result<_, NoEditions>>()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(text: &str) -> Contract {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_deployed_is_of_the_last_edition_that_has_its_contract() {
        let editions: Editions = "0.1.0/1,0.1.1/1,0.1.0/2,0.1.10/2".parse().unwrap();
        assert_eq!(editions.newest(), 4);
        assert_eq!(editions.of(contract("0.1.0")), Some(3));
        assert_eq!(editions.of(contract("0.1.1")), Some(2));
        assert_eq!(editions.of(contract("0.2.0")), None);
        assert_eq!(editions.contracts(), "0.1.0, 0.1.1, 0.1.10");
        assert!(contract("0.1.10") > contract("0.1.9"));
        for wrong in ["", "0.1/1", "0.1.0", "0.1.0/x", "0.1.0.0/1", "0.1.0/1,"] {
            assert_eq!(wrong.parse::<Editions>(), Err(NoEditions), "{wrong}");
        }
    }

    #[test]
    fn the_last_edition_of_this_release_writes_histories_as_it_does() {
        assert_eq!(ALL.last().map(|(_, form)| *form), Some(HISTORY_FORM));
    }
}
