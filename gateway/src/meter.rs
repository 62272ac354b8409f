//! Counters of the operators, whose names the course defines.

use metrics::Counter;

/// Counters of the operators, with the names that the course's dashboards use.
#[derive(Clone)]
pub(crate) struct Counters {
    pub(crate) api_requests: Counter,
    pub(crate) api_errors: Counter,
    pub(crate) api_successes: Counter,
    pub(crate) register: Counter,
    pub(crate) login: Counter,
    pub(crate) follow: Counter,
    pub(crate) unfollow: Counter,
    pub(crate) post: Counter,
    pub(crate) get: Counter,
}

impl Default for Counters {
    /// Registers each counter, so each exists with the value 0 from the start.
    fn default() -> Self {
        Self {
            api_requests: metrics::counter!("minitwit_api_requests_total"),
            api_errors: metrics::counter!("minitwit_api_requests_error_total"),
            api_successes: metrics::counter!("minitwit_api_requests_success_total"),
            register: metrics::counter!("minitwit_register_user_total"),
            login: metrics::counter!("minitwit_login_user_total"),
            follow: metrics::counter!("minitwit_follow_user_total"),
            unfollow: metrics::counter!("minitwit_unfollow_user_total"),
            post: metrics::counter!("minitwit_post_message_total"),
            get: metrics::counter!("minitwit_get_messages_total"),
        }
    }
}
