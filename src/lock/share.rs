//! A lock for a part of the users.

use aws_lc_rs::digest::{SHA256, digest};

/// Accepts about `percent` of all users, the same ones in each process and after each restart, for
/// [`TokenRefresherBuilder::lock_if`](crate::TokenRefresherBuilder::lock_if). From 100 on it
/// accepts everybody. A user accepted at 10 is also accepted at 20.
///
/// ```
/// use tower_token_refresh::lock::share_of_users;
///
/// let few = share_of_users(10);
/// assert_eq!(few("alice"), few("alice"));
/// assert!(share_of_users(100)("alice") && !share_of_users(0)("alice"));
/// ```
pub fn share_of_users(percent: u8) -> impl Fn(&str) -> bool + Send + Sync + 'static {
    move |user| {
        let hash = digest(&SHA256, user.as_bytes());
        let [a, b, c, d, ..] = *hash.as_ref() else { return false };
        let place = (u64::from(u32::from_be_bytes([a, b, c, d])) * 100) >> 32;
        place < u64::from(percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_is_about_a_tenth_and_part_of_a_fifth() {
        let users: Vec<_> = (0..10_000).map(|nth| format!("user-{nth}")).collect();
        let (tenth, fifth) = (share_of_users(10), share_of_users(20));
        let count = users.iter().filter(|user| tenth(user)).count();
        assert!((900..1_100).contains(&count), "{count}");
        assert!(users.iter().filter(|user| tenth(user)).all(|user| fifth(user)));
    }
}
