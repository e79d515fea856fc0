//! Why the processor cannot start or go on, in words for who runs it.

use rdkafka::error::KafkaError;

use crate::avro::registry::RegistryError;
use crate::enrich::LoadError;

/// Why the processor does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// No broker answered.
    #[error(
        "no broker of `{bootstrap_servers}` answers; check bootstrap.servers, that the broker runs \
         and can be reached from here, and security.protocol and its credentials"
    )]
    Broker {
        /// Who was asked.
        bootstrap_servers: String,
        /// What the client says.
        #[source]
        error: KafkaError,
    },
    /// A topic does not exist and cannot be made, or cannot be used.
    #[error(
        "topic `{topic}` is not usable: {reason}; check its name, create it, or allow this user to"
    )]
    Topic {
        /// The topic.
        topic: String,
        /// Why.
        reason: String,
    },
    /// The patterns of two streams meet a topic.
    #[error(
        "topic `{topic}` is met by both {} and {}; a topic is in one stream, change one of the patterns",
        settings[0],
        settings[1]
    )]
    TopicOfTwoStreams {
        /// The topic.
        topic: String,
        /// What names the streams' topics.
        settings: [String; 2],
    },
    /// `run --shadow` knows one stream.
    #[error(
        "run --shadow compares with a JVM processor, which has no streams; \
         take out sigmill.stream.… and name the topics to compare in data.topic"
    )]
    ShadowOfStreams,
    /// A client cannot be made.
    #[error("the Kafka client ({client}) refuses its settings")]
    Client {
        /// Which.
        client: &'static str,
        /// Why.
        #[source]
        error: KafkaError,
    },
    /// The operating system gives no thread.
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
    /// The port for health and metrics cannot be had.
    #[error("cannot listen on `{address}`; choose another sigmill.admin.listen, or off")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The token of the port cannot be read or made.
    #[error("cannot use the token file `{}`; set sigmill.admin.token.file", path.display())]
    Token {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// The schema of the detections is not in the registry.
    #[error(
        "cannot have the schema of the detections for topic `{topic}`; check schema.registry and its credentials"
    )]
    Schema {
        /// The topic.
        topic: String,
        /// Why.
        #[source]
        error: RegistryError,
    },
    /// A table for joins cannot be loaded.
    #[error("cannot load a table")]
    Table(#[from] LoadError),
    /// A producer or consumer cannot go on.
    #[error("the Kafka client cannot go on: {0}")]
    Fatal(String),
    /// A stop was asked for before the start was done.
    #[error("stopped while starting")]
    Stopped,
}

impl RunError {
    /// The broker or the network is the cause, not the settings.
    pub fn is_broker(&self) -> bool {
        matches!(
            self,
            Self::Broker { .. } | Self::Topic { .. } | Self::Schema { .. } | Self::Fatal(_)
        )
    }
}
