//! What librdkafka can do and rdkafka does not wrap: the only unsafe code of the crate.

#![allow(unsafe_code)]

use rdkafka::bindings::{
    rd_kafka_handle_mock_cluster, rd_kafka_mock_group_initial_rebalance_delay_ms,
};
use rdkafka::client::{Client, ClientContext};

/// Lets the groups of an embedded broker begin after `milliseconds` instead of three seconds. Does
/// nothing to a client that is not an embedded broker.
pub(crate) fn set_group_start_delay<C: ClientContext>(client: &Client<C>, milliseconds: i32) {
    // SAFETY: the pointer of a living client is valid; the call only reads its configuration.
    let cluster = unsafe { rd_kafka_handle_mock_cluster(client.native_ptr()) };
    if !cluster.is_null() {
        // SAFETY: the cluster belongs to the client and lives as long, and `client` is borrowed here.
        unsafe { rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, milliseconds) };
    }
}
