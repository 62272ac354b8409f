//! Full names of all rpcs, by their declared level of idempotency.
//!
//! A full name has the form `minitwit.message.v1.MessageService/ListTimelines`.

include!(concat!(env!("OUT_DIR"), "/methods.rs"));

/// Returns whether the contract declares an rpc, given by its full name, to have no side effects. Such a
/// call can be sent to two replicas at once.
pub fn is_read(method: &str) -> bool {
    READS.contains(&method)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPECTED_READS: [&str; 15] = [
        "minitwit.follower.v1.FollowerService/CheckFollows",
        "minitwit.follower.v1.FollowerService/CountFollows",
        "minitwit.follower.v1.FollowerService/ListFollows",
        "minitwit.follower.v1.OperatorService/ExportFollows",
        "minitwit.message.v1.MessageService/CountMessages",
        "minitwit.message.v1.MessageService/GetMessages",
        "minitwit.message.v1.MessageService/ListTimelines",
        "minitwit.message.v1.ModerationService/ListFlagged",
        "minitwit.message.v1.OperatorService/ExportMessages",
        "minitwit.message.v1.OperatorService/ListFlagged",
        "minitwit.user.v1.ApiClientService/GetLatest",
        "minitwit.user.v1.DeletionService/ListDeletions",
        "minitwit.user.v1.OperatorService/ExportUsers",
        "minitwit.user.v1.OperatorService/ListDeletions",
        "minitwit.user.v1.UserService/LookupUsers",
    ];

    const EXPECTED_WRITES: [&str; 23] = [
        "minitwit.follower.v1.DeletionService/DeleteFollows",
        "minitwit.follower.v1.FollowerService/SetFollows",
        "minitwit.follower.v1.OperatorService/DeleteFollows",
        "minitwit.follower.v1.OperatorService/ImportFollows",
        "minitwit.message.v1.DeletionService/DeleteMessages",
        "minitwit.message.v1.MessageService/CreateMessages",
        "minitwit.message.v1.MessageService/SetFlags",
        "minitwit.message.v1.OperatorService/DeleteMessages",
        "minitwit.message.v1.OperatorService/ImportMessages",
        "minitwit.user.v1.ApiClientService/SetLatest",
        "minitwit.user.v1.DeletionService/ConcludeDeletions",
        "minitwit.user.v1.DeletionService/DeleteUsers",
        "minitwit.user.v1.DeletionService/LeaseDeletions",
        "minitwit.user.v1.OperatorService/ConcludeDeletions",
        "minitwit.user.v1.OperatorService/DeleteUsers",
        "minitwit.user.v1.OperatorService/ImportUsers",
        "minitwit.user.v1.OperatorService/LeaseDeletions",
        "minitwit.user.v1.OperatorService/ResetPasswords",
        "minitwit.user.v1.OperatorService/SetModerators",
        "minitwit.user.v1.UserService/ChangePasswords",
        "minitwit.user.v1.UserService/EndSessions",
        "minitwit.user.v1.UserService/RegisterUsers",
        // A failed check is counted, so this rpc has a side effect.
        "minitwit.user.v1.UserService/VerifyPasswords",
    ];

    fn sorted(methods: &[&'static str]) -> Vec<&'static str> {
        let mut methods = methods.to_vec();
        methods.sort_unstable();
        methods
    }
    #[test]
    fn every_rpc_is_a_declared_read_or_an_expected_write() {
        assert_eq!(sorted(READS), EXPECTED_READS);
        assert_eq!(sorted(WRITES), EXPECTED_WRITES);
    }

    #[test]
    fn an_rpc_is_a_read_by_its_full_name_only() {
        assert!(is_read("minitwit.message.v1.MessageService/ListTimelines"));
        assert!(!is_read("minitwit.message.v1.MessageService/SetFlags"));
        assert!(!is_read("ListTimelines"));
        assert!(!is_read("example.v1.ListService/ListTimelines"));
    }
}
