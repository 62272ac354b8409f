//! The simulator against a fake server. It must detect every fault of the server and report nothing
//! else.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod fake;

use std::path::Path;
use std::time::Duration;

use fake::{Fake, Faults};
use minitwit_simulator::{Outcome, Report, SimulateArgs, ViolationKind, run, simulate};
use tokio_util::sync::CancellationToken;

fn args(url: &str, options: &str) -> SimulateArgs {
    let options = options.split_whitespace();
    SimulateArgs::parse_options([url, "--quiet"].into_iter().chain(options)).unwrap()
}

async fn report(fake: &Fake, options: &str) -> Report {
    simulate(&args(&fake.url(), options), CancellationToken::new())
        .await
        .unwrap()
}

fn violations(report: &Report) -> &[minitwit_simulator::Violation] {
    &report.verification.as_ref().unwrap().violations
}

/// Writes a crowd to a scenario file and returns the options that replay the file.
async fn scenario(folder: &Path, actions: u32) -> String {
    let path = folder.join("scenario.csv");
    let options = format!(
        "--write-scenario {} --actions {actions} --seed 7 --timeout 5s",
        path.display()
    );
    let args = SimulateArgs::parse_options(options.split_whitespace()).unwrap();
    assert_eq!(run(args).await.unwrap(), Outcome::Passed);
    format!("--scenario {} --timeout 5s", path.display())
}

#[tokio::test]
async fn a_correct_server_passes() {
    let fake = Fake::start(Faults::default()).await;
    for options in [
        "--actions 500 --timeout 5s",
        "--actions 500 --concurrency 32 --reads 30 --connection keep-alive --timeout 5s",
        "--actions 500 --rate 1000 --timeout 5s",
        "--for 300ms --rate 500 --timeout 5s --connection keep-alive",
        "--for 300ms --timeout 5s --users 10",
    ] {
        let report = report(&fake, options).await;
        assert!(
            report.passed(),
            "{options}: {:?} {:?}",
            report.causes,
            violations(&report)
        );
        assert_eq!(report.total.errors(), 0, "{options}");
        if options.contains("--actions 500") {
            assert_eq!(report.total.ok, 500, "{options}");
        }
    }
}

#[tokio::test]
async fn a_scenario_can_be_replayed_twice() {
    let folder = tempfile::tempdir().unwrap();
    let options = scenario(folder.path(), 600).await;
    let fake = Fake::start(Faults::default()).await;
    for _ in 0..2 {
        let report = report(&fake, &options).await;
        assert!(
            report.passed(),
            "{:?} {:?}",
            report.causes,
            violations(&report)
        );
        assert_eq!((report.mode, report.total.ok), ("replay", 600));
        assert_eq!(report.verification.unwrap().latest, Some(599));
    }
}

#[tokio::test]
async fn a_run_with_an_earlier_seed_accepts_that_its_names_are_taken() {
    let fake = Fake::start(Faults::default()).await;
    for _ in 0..2 {
        let report = report(&fake, "--actions 300 --seed 5 --timeout 5s").await;
        assert!(report.passed(), "{:?}", violations(&report));
    }
}

#[tokio::test]
async fn lost_messages_are_detected() {
    let folder = tempfile::tempdir().unwrap();
    let replay = scenario(folder.path(), 600).await;
    for options in ["--actions 600 --timeout 5s", &replay] {
        let faults = Faults {
            lose_message: Some(100),
            ..Faults::default()
        };
        let fake = Fake::start(faults).await;
        let report = report(&fake, options).await;
        assert_eq!(report.total.errors(), 0);
        assert_eq!(
            report.count(ViolationKind::Lost),
            2,
            "{:?}",
            violations(&report)
        );
        assert!(!report.passed());
    }
}

#[tokio::test]
async fn doubled_messages_are_detected() {
    let folder = tempfile::tempdir().unwrap();
    let replay = scenario(folder.path(), 600).await;
    for options in ["--actions 600 --timeout 5s", &replay] {
        let faults = Faults {
            double_message: Some(200),
            ..Faults::default()
        };
        let fake = Fake::start(faults).await;
        let report = report(&fake, options).await;
        assert_eq!(
            report.count(ViolationKind::Doubled),
            1,
            "{:?}",
            violations(&report)
        );
        assert_eq!(report.violations(), 1);
        assert!(!report.passed());
    }
}

#[tokio::test]
async fn unfollows_without_effect_are_detected() {
    let faults = Faults {
        lose_unfollow: Some(10),
        ..Faults::default()
    };
    let fake = Fake::start(faults).await;
    let report = report(&fake, "--actions 600 --timeout 5s").await;
    assert!(report.has(ViolationKind::FollowWrong));
    assert_eq!(
        report.count(ViolationKind::FollowWrong),
        report.violations()
    );
}

#[tokio::test]
async fn a_wrong_latest_is_detected() {
    let faults = Faults {
        keep_latest: true,
        ..Faults::default()
    };
    let fake = Fake::start(faults).await;
    let report = report(&fake, "--actions 50 --timeout 5s").await;
    assert_eq!(report.count(ViolationKind::LatestWrong), 1);
    assert_eq!(report.violations(), 1);
}

#[tokio::test]
async fn responses_of_500_are_errors_with_or_without_effect() {
    let faults = Faults {
        fail: Some(50),
        ..Faults::default()
    };
    let fake = Fake::start(faults).await;
    let report = report(&fake, "--actions 500 --timeout 5s").await;
    assert_eq!(report.total.wrong_status[&500], 10);
    assert_eq!(
        violations(&report),
        [],
        "the effect of a request is unknown after a response of 500"
    );
    assert!(!report.passed());
    assert_eq!(report.total.ok, 490);

    for (allowance, passes) in [
        ("--allow-errors", true),
        ("--max-error-percent 2.5", true),
        ("--max-error-percent 1", false),
    ] {
        let options = format!("--actions 500 --timeout 5s {allowance}");
        let report = simulate(&args(&fake.url(), &options), CancellationToken::new()).await;
        assert_eq!(report.unwrap().passed(), passes, "{allowance}");
    }
}

#[tokio::test]
async fn stalls_are_time_outs_with_an_unknown_effect() {
    let stall = Some((100, Duration::from_secs(3)));
    let fake = Fake::start(Faults {
        stall,
        ..Faults::default()
    })
    .await;
    let report = report(&fake, "--actions 500 --timeout 1s").await;
    assert!(
        (4..=5).contains(&report.total.timeouts),
        "{:?}",
        report.causes
    );
    assert_eq!(report.total.errors(), report.total.timeouts);
    assert_eq!(violations(&report), []);
    assert!(!report.error_windows.is_empty() && !report.passed());
    assert!(report.total.latency.unwrap().max_ms >= 1000.0);
}

#[tokio::test]
async fn an_open_loop_does_not_wait_for_a_stalled_server() {
    let stall = Some((1, Duration::from_millis(400)));
    let fake = Fake::start(Faults {
        stall,
        ..Faults::default()
    })
    .await;
    let report = report(&fake, "--for 1s --rate 200 --timeout 5s").await;
    assert!(
        report.passed(),
        "{:?} {:?}",
        report.causes,
        violations(&report)
    );
    // With eight senders in a closed loop, these requests would take ten seconds.
    assert!(report.elapsed_seconds < 4.0, "{}", report.elapsed_seconds);
    assert!(report.total.latency.unwrap().p50_ms >= 400.0);
}

#[tokio::test]
async fn a_restart_loses_no_acknowledged_write() {
    for options in ["--for 1500ms --rate 300", "--for 1500ms --concurrency 16"] {
        let mut fake = Fake::start(Faults::default()).await;
        let args = args(
            &fake.url(),
            &format!("{options} --timeout 1s --allow-errors"),
        );
        let running = tokio::spawn(async move { simulate(&args, CancellationToken::new()).await });
        tokio::time::sleep(Duration::from_millis(500)).await;
        fake.stop();
        tokio::time::sleep(Duration::from_millis(300)).await;
        fake.restart().await;
        let report = running.await.unwrap().unwrap();
        // In the closed loop, each of the sixteen senders pauses after a refused connection, so
        // each gets about six refusals.
        assert!(
            (11..400).contains(&report.total.connection_errors),
            "{:?}",
            report.causes
        );
        assert!(report.passed(), "{:?}", violations(&report));
        let pause = report.longest_pause;
        assert!(
            pause.errors > 10 && pause.to_seconds - pause.from_seconds > 0.25,
            "{pause:?}"
        );
    }
}

#[tokio::test]
async fn a_run_without_a_registered_user_ends() {
    let faults = Faults {
        reject_registrations: true,
        ..Faults::default()
    };
    let fake = Fake::start(faults).await;
    let report = report(&fake, "--actions 500").await;
    assert_eq!(report.total.wrong_status[&503], report.total.sent);
    assert!(!report.passed());
}

#[tokio::test]
async fn a_stopped_run_is_verified() {
    let fake = Fake::start(Faults::default()).await;
    let stop = CancellationToken::new();
    let args = args(&fake.url(), "--for 1h --rate 100 --timeout 5s");
    let stopper = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stopper.cancel();
    });
    let report = simulate(&args, stop).await.unwrap();
    assert!(report.stopped && report.passed());
    assert!(report.total.sent < 1_000);
}

#[tokio::test]
async fn a_run_that_is_not_possible_reports_the_cause() {
    let outcome = |args| async { run(args).await.unwrap() };
    assert_eq!(
        outcome(args("http://127.0.0.1:1", "")).await,
        Outcome::NotRun
    );
    assert_eq!(
        outcome(args("https://127.0.0.1", "")).await,
        Outcome::NotRun
    );

    let fake = Fake::start(Faults::default()).await;
    let wrong = args(&fake.url(), "--credentials nobody:nothing");
    let error = simulate(&wrong, CancellationToken::new())
        .await
        .unwrap_err();
    assert!(
        format!("{error:#}").contains("are the --credentials right?"),
        "{error:#}"
    );

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.csv");
    std::fs::write(&path, "0\t0\t0\ttweet\ta\tb\n1\t0\t0\tdance\ta\tb\n").unwrap();
    let bad = args(&fake.url(), &format!("--scenario {}", path.display()));
    let error = simulate(&bad, CancellationToken::new()).await.unwrap_err();
    assert!(
        format!("{error:#}").contains("line 2: no command named \"dance\""),
        "{error:#}"
    );
}

#[tokio::test]
async fn credentials_can_be_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    std::fs::write(&path, "simulator:super_safe!\n").unwrap();
    let fake = Fake::start(Faults::default()).await;
    let options = format!(
        "--actions 30 --timeout 5s --credentials a:b --credentials-file {}",
        path.display()
    );
    assert!(report(&fake, &options).await.passed());
}

#[tokio::test]
async fn a_report_is_one_json_document() {
    let fake = Fake::start(Faults::default()).await;
    let report = report(&fake, "--actions 50 --timeout 5s --seed 1").await;
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["total"]["ok"], 50);
    assert_eq!(json["verification"]["violations"], serde_json::json!([]));
    assert!(json["total"]["latency_ms"]["p99_9"].is_number());
}
