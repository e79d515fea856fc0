//! A Kafka broker inside the process: librdkafka's mock cluster, for the demo and for tests.
//!
//! It listens on loopback, so that other processes can use it, and keeps everything in memory: 5 MiB
//! of each partition at most, older records vanish. Topics are made through it, as it has no admin
//! interface; it does not compact.

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaResult;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, DefaultProducerContext, Producer};

use crate::run_error::RunError;
use crate::sys;

/// A broker that lives as long as this value.
pub struct EmbeddedBroker {
    /// The mock cluster belongs to a client, which is not used for anything else.
    client: BaseProducer<DefaultProducerContext>,
    bootstrap_servers: String,
}

impl EmbeddedBroker {
    /// Starts a cluster of so many brokers.
    ///
    /// # Errors
    /// There is no free port, or no memory.
    pub fn start(broker_count: usize) -> Result<Self, RunError> {
        let mut config = ClientConfig::new();
        config.set("test.mock.num.brokers", broker_count.to_string());
        config.set_log_level(RDKafkaLogLevel::Critical);
        let error = |error| RunError::Client { client: "embedded broker", error };
        let client: BaseProducer<DefaultProducerContext> = config.create().map_err(error)?;
        // A group of one process has nobody to wait for.
        sys::set_group_start_delay(client.client(), 100);
        let cluster = client.client().mock_cluster();
        let bootstrap_servers = cluster.map(|cluster| cluster.bootstrap_servers());
        let bootstrap_servers = bootstrap_servers
            .ok_or_else(|| RunError::Fatal("the client has no embedded broker".into()))?;
        Ok(Self { client, bootstrap_servers })
    }

    /// Where it listens: `host:port`, several with commas.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// It exists.
    pub fn create_topic(&self, name: &str, partition_count: i32) -> KafkaResult<()> {
        self.cluster().create_topic(name, partition_count, 1)
    }

    /// The cluster itself, for faults.
    pub fn cluster(&self) -> MockCluster<'_, DefaultProducerContext> {
        let cluster = self.client.client().mock_cluster();
        cluster.expect("the start made sure that the client has one")
    }
}
