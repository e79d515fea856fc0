//! What librdkafka can do and rdkafka does not wrap: the only unsafe code of the crate.

#![allow(unsafe_code)]

use std::ffi::CString;

use rdkafka::bindings::{
    rd_kafka_get_watermark_offsets, rd_kafka_handle_mock_cluster,
    rd_kafka_mock_group_initial_rebalance_delay_ms,
};
use rdkafka::client::{Client, ClientContext};
use rdkafka::types::RDKafkaRespErr;

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

/// The offset behind the last record of a partition, as the last answer to a fetch said; asks nobody.
pub(crate) fn known_end<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut begin, mut end) = (-1, -1);
    // SAFETY: the pointer of a living client is valid, `topic` ends with a nul, and both offsets are
    // written before the call returns.
    let error = unsafe {
        rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &mut begin,
            &mut end,
        )
    };
    (error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && end >= 0).then_some(end)
}
