//! What requests got, and the row of the table that a test prints.

use std::{collections::BTreeMap, fmt};

use support::providers::Refreshes;

use crate::wire::Answer;

#[derive(Debug, Default)]
pub struct Answers(pub Vec<Answer>);

impl Answers {
    /// All of them are 200 and show the same token, which is given.
    pub fn assert_all_served(&self) -> &str {
        let token = &self.0.first().expect("there are answers").body;
        let served = |answer: &&Answer| answer.status == 200 && answer.body == *token;
        assert_eq!(self.0.iter().filter(served).count(), self.0.len(), "{self}");
        token
    }

    pub fn count(&self, status: u16) -> usize {
        self.0.iter().filter(|answer| answer.status == status).count()
    }
}

/// The statuses, each with its number: `498 x 200, 2 x 503`.
impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut statuses = BTreeMap::<u16, usize>::new();
        for answer in &self.0 {
            *statuses.entry(answer.status).or_default() += 1;
        }
        let statuses: Vec<_> =
            statuses.into_iter().map(|(status, count)| format!("{count} x {status}")).collect();
        f.write_str(&statuses.join(", "))
    }
}

/// Prints a row. `recovery`: the seconds until the user was served again, or knew better.
pub fn row(scene: &str, store: impl fmt::Debug, posts: Refreshes, got: &Answers, recovery: f64) {
    let Refreshes { granted, refused } = posts;
    println!("| {scene} | {store:?} | {granted} | {refused} | {got} | {recovery:.1} |");
}
