//! A real Apache Kafka on loopback: one KRaft node, fetched by Maven, started and killed by the tests.
//!
//! The tests that run at the same time share one; it ends with the last of them. Where Java or Maven
//! is missing the tests say so and pass, unless `SIGMILL_REQUIRE_KAFKA=1` is set.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

/// Any 16 bytes in URL-safe base64 will do; each test run formats its own storage.
const CLUSTER_ID: &str = "c2lnbWlsbC10ZXN0cy4uLg";
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// A broker that runs.
pub(crate) struct Kafka {
    process: Mutex<Child>,
    jars: PathBuf,
    /// Its data; removed after the process.
    folder: tempfile::TempDir,
    pub(crate) bootstrap_servers: String,
}

impl Kafka {
    /// Runs `tests/broker/kafka/JvmImitation.java`: what stands in for the JVM processor, with Kafka Streams.
    pub(crate) fn imitation(&self, arguments: &[&str]) -> Command {
        let source =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/broker/kafka/JvmImitation.java");
        let mut command = Command::new("java");
        command.args(["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp"]);
        command.arg(self.jars.join("*")).arg(source).arg(&self.bootstrap_servers).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }
}

impl Kafka {
    /// Ends the process, in order or by force, and starts it again with its data at its address.
    pub(crate) fn restart(&self, is_forced: bool) {
        let mut process = self.process.lock().unwrap();
        if is_forced {
            process.kill().unwrap();
        } else {
            let id = process.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        }
        process.wait().unwrap();
        *process = spawn(&self.jars, self.folder.path());
        drop(process);
        let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        self.wait_ready()
            .unwrap_or_else(|why| panic!("Kafka does not come back: {why}\n{}", log()));
    }

    fn wait_ready(&self) -> Result<(), String> {
        let deadline = Instant::now() + START_TIMEOUT;
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg)
            .create()
            .unwrap();
        loop {
            // Answers, and names a broker: the port is open earlier.
            let answer = consumer.fetch_metadata(None, Duration::from_millis(500));
            if answer.is_ok_and(|metadata| !metadata.brokers().is_empty()) {
                return Ok(());
            }
            if let Ok(Some(status)) = self.process.lock().unwrap().try_wait() {
                return Err(format!("ended with {status}"));
            }
            if Instant::now() > deadline {
                return Err("does not answer".to_owned());
            }
        }
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        // It is ours, and its data goes too: there is nothing to shut down in order.
        let mut process = self.process.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// The broker that the running tests share. `None`: this machine has no Java or no Maven.
pub(crate) fn shared() -> Option<Arc<Kafka>> {
    static SHARED: Mutex<Weak<Kafka>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(kafka) = shared.upgrade() {
        return Some(kafka);
    }
    let kafka = Arc::new(own()?);
    *shared = Arc::downgrade(&kafka);
    Some(kafka)
}

/// A broker for one test alone. `None`: this machine has no Java or no Maven.
pub(crate) fn own() -> Option<Kafka> {
    static FETCHING: Mutex<()> = Mutex::new(());
    if let Some(missing) = ["java", "mvn"].into_iter().find(|tool| !is_there(tool)) {
        let required = std::env::var_os("SIGMILL_REQUIRE_KAFKA").is_some_and(|value| value == "1");
        assert!(!required, "SIGMILL_REQUIRE_KAFKA=1 is set, but there is no `{missing}`");
        eprintln!(
            "\n*** SKIPPED: the tests against a real Apache Kafka did not run: no `{missing}` here ***\n"
        );
        return None;
    }
    let jars = {
        let _one = FETCHING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        jars()
    };
    Some(start(&jars))
}

fn is_there(tool: &str) -> bool {
    let mut command = Command::new(tool);
    let command = command.arg("-version").stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The folder of the broker's jars, which Maven fills once.
fn jars() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let jars = target.join("kafka-lib");
    let done = jars.join(".complete");
    let pom = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/broker/kafka/pom.xml");
    let version = fs::read_to_string(&pom).unwrap();
    if fs::read_to_string(&done).is_ok_and(|text| text == version) {
        return jars;
    }
    let _ = fs::remove_dir_all(&jars);
    fs::create_dir_all(&jars).unwrap();
    let output = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(&pom)
        .arg("dependency:copy-dependencies")
        .arg("-DincludeScope=runtime")
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "mvn cannot fetch Kafka:\n{said}");
    fs::write(done, version).unwrap();
    jars
}

fn start(jars: &Path) -> Kafka {
    // Between finding a free port and binding it another process may take it.
    for attempt in 1.. {
        match try_start(jars) {
            Ok(kafka) => return kafka,
            Err(log) if attempt < 3 => eprintln!("Kafka did not start, trying again:\n{log}"),
            Err(log) => panic!("Kafka does not start:\n{log}"),
        }
    }
    unreachable!("the loop ends by itself")
}

fn try_start(jars: &Path) -> Result<Kafka, String> {
    let folder = tempfile::tempdir().unwrap();
    let (client, controller) = free_ports();
    let properties = folder.path().join("server.properties");
    fs::write(&properties, server_properties(folder.path(), client, controller)).unwrap();
    let log4j = folder.path().join("log4j.properties");
    let lines = "log4j.rootLogger=WARN, out\nlog4j.appender.out=org.apache.log4j.ConsoleAppender\n\
                 log4j.appender.out.layout=org.apache.log4j.PatternLayout\n\
                 log4j.appender.out.layout.ConversionPattern=%d %p %c %m%n\n";
    fs::write(&log4j, lines).unwrap();
    let format = java(jars, folder.path(), "-Xmx256m")
        .args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID, "--config"])
        .arg(&properties)
        .output()
        .unwrap();
    if !format.status.success() {
        return Err(String::from_utf8_lossy(&format.stderr).into_owned());
    }
    let process = Mutex::new(spawn(jars, folder.path()));
    let bootstrap_servers = format!("127.0.0.1:{client}");
    let kafka = Kafka { process, jars: jars.to_owned(), folder, bootstrap_servers };
    match kafka.wait_ready() {
        Ok(()) => Ok(kafka),
        Err(why) => {
            let log = fs::read_to_string(kafka.folder.path().join("log")).unwrap_or_default();
            Err(format!("{why}\n{log}"))
        }
    }
}

fn java(jars: &Path, folder: &Path, heap: &str) -> Command {
    let mut command = Command::new("java");
    command
        .arg(heap)
        .arg("-XX:+UseSerialGC")
        .arg("-XX:TieredStopAtLevel=1")
        .arg(format!("-Dlog4j.configuration=file:{}", folder.join("log4j.properties").display()))
        .arg("-cp")
        .arg(jars.join("*"))
        .stdin(Stdio::null());
    command
}

fn spawn(jars: &Path, folder: &Path) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).unwrap();
    java(jars, folder, "-Xmx512m")
        .arg("kafka.Kafka")
        .arg(folder.join("server.properties"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn free_ports() -> (u16, u16) {
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    // Both at once, so that they differ.
    let (a, b) = (bind(), bind());
    (a.local_addr().unwrap().port(), b.local_addr().unwrap().port())
}

fn server_properties(folder: &Path, client: u16, controller: u16) -> String {
    format!(
        "process.roles=broker,controller\n\
         node.id=1\n\
         controller.quorum.voters=1@127.0.0.1:{controller}\n\
         listeners=PLAINTEXT://127.0.0.1:{client},CONTROLLER://127.0.0.1:{controller}\n\
         advertised.listeners=PLAINTEXT://127.0.0.1:{client}\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n\
         log.dirs={}\n\
         num.partitions=2\n\
         log.retention.ms=-1\n\
         auto.create.topics.enable=false\n\
         offsets.topic.num.partitions=2\n\
         offsets.topic.replication.factor=1\n\
         transaction.state.log.num.partitions=2\n\
         transaction.state.log.replication.factor=1\n\
         transaction.state.log.min.isr=1\n\
         broker.session.timeout.ms=3000\n\
         broker.heartbeat.interval.ms=500\n\
         group.initial.rebalance.delay.ms=0\n",
        folder.join("data").display()
    )
}
