//! `sigmill match --settings`: tables, joins and levels, by the recipes that are shipped.

use std::path::Path;

use serde_json::Value;

use crate::sandbox::Sandbox;

/// A folder with the recipes and their sample tables.
fn recipes() -> Sandbox {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/enrichment");
    let read = |path: &Path| std::fs::read(path).unwrap();
    let mut sandbox =
        Sandbox::new().file("e.properties", read(&config.join("enrichment.properties")));
    for entry in std::fs::read_dir(config.join("tables")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("tables/{}", path.file_name().unwrap().to_str().unwrap());
        sandbox = sandbox.file(&name, read(&path));
    }
    sandbox
}

fn rule(title: &str, detection: &str) -> String {
    format!(
        "title: {title}\nid: {title}\nlevel: high\nlogsource: {{product: windows}}\n\
         detection:\n  s: {{{detection}}}\n  condition: s\n---\n"
    )
}

const EVENTS: &str = r#"{"Computer":"DC01.corp.example","EventID":1,"TargetUserName":"ALICE","SourceIp":"10.20.30.4"}
{"Computer":"lab-042.corp.example","EventID":1,"TargetUserName":"bob","SourceIp":"10.20.99.4"}
{"Computer":"nobody","EventID":1,"DestinationIp":"203.0.113.67"}
{"Computer":"nobody","EventID":3,"DestinationIp":"203.0.113.80"}
{"Computer":"nobody","EventID":22,"QueryName":"a.b.EVIL.example."}
{"Computer":"nobody","EventID":22,"QueryName":"notevil.example"}
{"Computer":"nobody","EventID":7,"Hashes":"SHA1=00,MD5=BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB,IMPHASH=11"}
{"Computer":"nobody","EventID":7,"Hashes":"SHA256=0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"}
{"Computer":"nobody","EventID":3,"DestinationIp":"198.51.100.1"}
{"Computer":"nobody","EventID":3,"DestinationIp":"203.0.113.99"}
"#;

#[test]
fn rules_see_what_the_recipes_join() {
    let rules = [
        rule("zone-dc", "source.net.zone: domain controllers"),
        rule("zone-servers", "source.net.zone|endswith: servers"),
        rule("misp", "ti.misp.event|exists: true"),
        rule("threatfox", "ti.threatfox.malware: cobalt strike"),
        rule("threatfox-dns", "ti.threatfox.dns.confidence|gte: 75"),
        rule("stix", "ti.stix.labels: apt, ti.stix.confidence: 85"),
        rule("misp-file", "ti.misp.file.event: 102"),
        rule("admin", "user.title|contains: ADMIN"),
        rule("not-critical", "EventID: 1, asset.criticality: unknown"),
        // Keywords and paths look at the record alone.
        "title: keyword\nid: keyword\nlogsource: {product: x}\n\
         detection: {k: ['Cobalt Strike', apt], condition: k}\n---\n"
            .to_owned(),
        rule("path", "$.asset.owner|exists: true"),
    ];
    let sandbox = recipes().file("rules/r.yml", rules.concat()).file("e.ndjson", EVENTS);
    let found = sandbox.run("match --settings e.properties --rules rules e.ndjson");
    assert_eq!(found.status, 0, "{}", found.stderr);
    let expected = [
        "0\tadmin",
        "0\tzone-dc",
        "1\tzone-servers",
        "2\tmisp",
        "2\tnot-critical",
        "3\tthreatfox",
        "4\tthreatfox-dns",
        "6\tstix",
        "7\tmisp-file",
    ];
    assert_eq!(found.stdout.lines().collect::<Vec<_>>(), expected, "{}", found.stderr);
    for said in ["table `asset`: 3 rows, version ", "table `misp-ip`: 2 rows, version "] {
        assert!(found.stderr.contains(said), "{}", found.stderr);
    }
}

#[test]
fn detections_tell_what_was_joined_and_from_where() {
    let sandbox = recipes().file("rules/r.yml", rule("one", "EventID: 1")).file("e.ndjson", EVENTS);
    let found = sandbox.run("match --settings e.properties --rules rules --format json e.ndjson");
    let lines: Vec<Value> =
        found.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3, "{}{}", found.stdout, found.stderr);
    let joined = &lines[0]["joined"];
    assert_eq!(joined[0]["join"], "asset");
    assert_eq!(joined[0]["table"], "asset");
    assert_eq!(joined[0]["version"].as_str().unwrap().len(), 16);
    assert_eq!(joined[0]["key"], "dc01.corp.example");
    assert_eq!(joined[0]["fields"]["asset.owner"], "identity team");
    assert_eq!(joined[1]["fields"]["user.title"], "Domain administrator");
    // Nobody asked for a zone.
    assert_eq!(joined.as_array().unwrap().len(), 2);
    // An administrator on a critical host; a developer in a lab; a host that no table knows.
    let levels: Vec<(&Value, &Value)> =
        lines.iter().map(|line| (&line["level"], &line["ruleLevel"])).collect();
    let text = |text: &str| Value::from(text);
    let (critical, high, medium) = (text("critical"), text("high"), text("medium"));
    assert_eq!(levels, [(&critical, &high), (&medium, &high), (&high, &Value::Null)]);
    assert_eq!(lines[2].get("joined"), None);
    // The record is as it came.
    assert_eq!(
        lines[0]["event"],
        serde_json::from_str::<Value>(EVENTS.lines().next().unwrap()).unwrap()
    );
}

#[test]
fn one_join_uses_what_another_lays_and_several_rows_are_one_list() {
    let settings = "sigmill.table.owner.file=o.csv\nsigmill.table.owner.key=owner\n\
                    sigmill.table.asset.file=a.ndjson\nsigmill.table.asset.key=site, host\n\
                    sigmill.table.asset.columns=who.name as owner, n\n\
                    sigmill.table.asset.duplicates=all\n\
                    sigmill.join.mail.table=owner\nsigmill.join.mail.fields=asset.owner\n\
                    sigmill.join.mail.several=all\n\
                    sigmill.join.asset.table=asset\nsigmill.join.asset.fields=s, h\n\
                    sigmill.joins=asset, mail\n";
    let sandbox = Sandbox::new()
        .file("e.properties", settings)
        .file("o.csv", "owner,mail\nann,a@x\nbob,b@x\n\"c\"x,d\n1,2,3\n")
        .file(
            "a.ndjson",
            "{\"site\":1,\"host\":\"H\",\"who\":{\"name\":\"Ann\"},\"n\":[1,2]}\nnope\n\
             {\"site\":1,\"host\":\"h\",\"who\":{\"name\":\"bob\"},\"n\":2}\n{\"site\":2}\n",
        )
        .file("rules/r.yml", rule("r", "owner.mail: 'b@x', asset.n: 1"))
        .file("e.ndjson", "{\"s\":1,\"h\":\"h\"}\n{\"s\":\"2\",\"h\":\"h\"}\n{\"h\":\"h\"}\n");
    let found = sandbox.run("match --settings e.properties --rules rules --format json e.ndjson");
    let lines: Vec<Value> =
        found.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{}{}", found.stdout, found.stderr);
    let joined = &lines[0]["joined"];
    assert_eq!(joined[0]["key"], "1, h");
    assert_eq!(joined[2]["fields"]["owner.mail"], serde_json::json!(["a@x", "b@x"]));
    for said in [
        "2 cannot be read: line 4: there is text behind a closing quote; line 5: it has 3 fields",
        "2 cannot be read: line 2: it is no JSON",
        "line 4: it has no text `site`, `host`",
    ] {
        assert!(found.stderr.contains(said), "{}", found.stderr);
    }
}

#[test]
fn what_is_wrong_with_settings_and_tables_is_named() {
    let fails = |settings: &str, table: &str, expected: &str| {
        let sandbox = Sandbox::new()
            .file("rules/r.yml", rule("r", "a: b"))
            .file("e.ndjson", "{}\n")
            .file("t.csv", table)
            .file("e.properties", settings);
        let found = sandbox.run("match --settings e.properties --rules rules e.ndjson");
        assert_eq!(found.status, 3, "{}", found.stderr);
        assert!(found.stderr.contains(expected), "{expected}\n{}", found.stderr);
    };
    let table = "sigmill.table.t.file=t.csv\nsigmill.table.t.key=k\n";
    fails(table, "a,b\n", "table `t`: `t.csv` has no column `k`; its header is: a, b");
    fails(table, "", "has no header");
    fails(
        &format!("{table}sigmill.table.t.max.bytes=10\n"),
        "k,v\na,b\nc,d\n",
        "more than 10 bytes",
    );
    fails(
        &format!("{table}sigmill.table.t.math=cidr\n"),
        "",
        "e.properties:3: sigmill.table.t.math",
    );
    fails(
        &format!("{table}sigmill.table.t.match=near\n"),
        "",
        "expected exact, cidr, domain, hashes",
    );
    fails("sigmill.table.t.file=t.csv\n", "", "Missing required property sigmill.table.t.key");
    fails(
        "sigmill.table.t.file=nope.csv\nsigmill.table.t.key=k\n",
        "",
        "`nope.csv` cannot be read",
    );
    fails("sigmill.table.t.file=t.txt\n", "", "set sigmill.table.t.format");
    fails("sigmill.join.j.table=t\nsigmill.join.j.fields=a\n", "", "there is no such table");
    fails(
        &format!("{table}sigmill.join.j.table=t\n"),
        "",
        "Missing required property sigmill.join.j.fields",
    );
    fails(
        &format!("{table}sigmill.join.j.table=t\nsigmill.join.j.fields=a\nsigmill.joins=i\n"),
        "",
        "there is no join `i`",
    );
    fails("sigmill.level.l.field=a\nsigmill.level.l.map=x:up\n", "", "`x:up` is none");
    fails("sigmill.table.t=1\n", "", "it names none");
}
