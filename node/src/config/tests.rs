use clap::{Args as _, Command};

use super::*;

const ALLOWED: &[usize] = &[0, 1, 4];

fn config(options: Options) -> Config {
    Config::new(options, ALLOWED).expect("good options")
}

fn error(options: Options) -> String {
    Config::new(options, ALLOWED).expect_err("wrong options").to_string()
}

#[test]
fn without_options_a_node_serves_this_machine_with_tls() {
    let config = config(Options::default());
    assert_eq!(config.listen_tls, [LISTEN_DEFAULT.parse::<SocketAddr>().unwrap()]);
    assert!(config.listen_plain.is_empty());
    assert_eq!(config.register, Register::Open);
    assert_eq!(config.executors, [Executor::Pinned(0), Executor::Pinned(1), Executor::Pinned(4)]);
    assert_eq!(config.store_shards_if_new, 8);
    assert_eq!(config.admin_socket, PathBuf::from("data/admin.sock"));
    assert_eq!(config.idle_desktop, Duration::from_secs(120));
    assert_eq!(config.ticket_lifetime, Duration::from_secs(168 * 3600));
}

#[test]
fn registration_is_closed_as_soon_as_others_can_connect() {
    let listen = vec!["127.0.0.1:7470".to_owned(), "0.0.0.0:7471".to_owned()];
    assert_eq!(config(Options { listen, ..Options::default() }).register, Register::Closed);
    let plain = vec!["[::1]:7470".to_owned()];
    let config = config(Options { listen_plain: plain, ..Options::default() });
    assert_eq!((config.register, config.listen_tls.len()), (Register::Open, 0));
}

#[test]
fn a_wrong_option_is_named_with_its_value_and_its_cure() {
    let cases: [(Options, &str, &str, &str); 13] = [
        (Options { idle_mobile: Some(0), ..Options::default() }, "idle-mobile", "0", "10 to 86400"),
        (Options { iterations: Some(1), ..Options::default() }, "iterations", "1", "4096 to"),
        (Options { store_shards: Some(3), ..Options::default() }, "store-shards", "3", "power of two"),
        (Options { store_shards: Some(128), ..Options::default() }, "store-shards", "128", "1 to 64"),
        (Options { cores: Some("2".into()), ..Options::default() }, "cores", "2", "only 0-1,4"),
        (Options { cores: Some("x".into()), ..Options::default() }, "cores", "x", "such as 0,2"),
        (Options { shards: Some(65), ..Options::default() }, "shards", "65", "1 to 64"),
        (Options { listen: vec!["7470".into()], ..Options::default() }, "listen", "7470", "127.0.0.1:7470"),
        (Options { advertise: vec!["host".into()], ..Options::default() }, "advertise", "host", ":7470"),
        (Options { cert: Some("c.pem".into()), ..Options::default() }, "cert", "c.pem", "--key"),
        (Options { key: Some("k.pem".into()), ..Options::default() }, "key", "k.pem", "--cert"),
        (Options { admin_http: Some("on".into()), ..Options::default() }, "admin-http", "on", "or off"),
        (Options { log: Some("a=b=c".into()), ..Options::default() }, "log", "a=b=c", "debug"),
    ];
    for (options, option, value, mend) in cases {
        let line = error(options);
        assert!(line.starts_with(&format!("option --{option}: {value} ")), "{line}");
        assert!(line.contains(mend) && !line.contains('\n'), "{line}");
    }
    let both = Options { shards: Some(2), cores: Some("0".into()), ..Options::default() };
    assert!(error(both).contains("one of the two"));
    let address = || vec!["127.0.0.1:7470".to_owned()];
    let twice = Options { listen: address(), listen_plain: address(), ..Options::default() };
    assert!(error(twice).contains("given twice"));
}

#[test]
fn executors_follow_cores_or_shards() {
    let cores = Options { cores: Some("4,0".into()), ..Options::default() };
    assert_eq!(config(cores).executors, [Executor::Pinned(0), Executor::Pinned(4)]);
    let shards = config(Options { shards: Some(12), ..Options::default() });
    assert_eq!(shards.executors, [Executor::Anywhere; 12]);
    assert_eq!((shards.shards(), shards.store_shards_if_new), (12, 32));
    let most = config(Options { shards: Some(64), ..Options::default() });
    assert_eq!(most.store_shards_if_new, 64);
}

#[test]
fn figures_are_told_to_this_machine_unless_an_address_is_named() {
    let http = |text: Option<&str>| {
        config(Options { admin_http: text.map(Into::into), ..Options::default() }).admin_http
    };
    let default = http(None);
    assert!(matches!(default, AdminHttp::Default(address) if address.ip().is_loopback()));
    assert_eq!(http(Some("off")), AdminHttp::Off);
    let named = "0.0.0.0:80".parse().unwrap();
    assert_eq!(http(Some("0.0.0.0:80")), AdminHttp::At(named));
}

#[test]
fn the_command_line_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringtalk.toml");
    let text = "idle-mobile = 30\nrate-messages = 7\nlisten = [\"127.0.0.1:1\"]\nregister = \"closed\"\ncores = \"0\"\n";
    std::fs::write(&path, text).unwrap();
    let flags =
        Options { idle_mobile: Some(60), listen: vec!["127.0.0.1:2".to_owned()], ..Options::default() };
    let config = config(flags.over(Options::from_file(&path).unwrap()));
    assert_eq!(config.idle_mobile, Duration::from_secs(60));
    assert_eq!(config.messages_per_second, 7);
    assert_eq!(config.listen_tls, ["127.0.0.1:2".parse::<SocketAddr>().unwrap()]);
    assert_eq!(config.register, Register::Closed);
    assert_eq!(config.executors, [Executor::Pinned(0)]);
}

#[test]
fn a_wrong_file_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ringtalk.toml");
    for (text, expected) in [
        ("idle-mobile = 30\nidle-mobiel = 3\n", "line 2: unknown field `idle-mobiel`"),
        ("idle-mobile = \"long\"\n", "line 1: invalid type"),
        ("[", "line 1: "),
    ] {
        std::fs::write(&path, text).unwrap();
        let line = Options::from_file(&path).unwrap_err().to_string();
        assert!(line.contains(expected) && line.contains("ringtalk.toml") && !line.contains('\n'), "{line}");
    }
    let line = Options::from_file(&folder.path().join("none.toml")).unwrap_err().to_string();
    assert!(line.contains("none.toml"), "{line}");
    std::fs::write(&path, "#".repeat(FILE_BYTES_MAX as usize + 1)).unwrap();
    assert!(Options::from_file(&path).unwrap_err().to_string().contains("shorten"));
}

#[test]
fn every_number_is_documented_with_its_bounds() {
    let command = Options::augment_args(Command::new("ringtalk"));
    for bounds in BOUNDS {
        let argument = command.get_arguments().find(|argument| argument.get_long() == Some(bounds.option));
        let argument = argument.unwrap_or_else(|| panic!("{} has no flag", bounds.option));
        let help = argument.get_help().expect("a doc comment").to_string();
        let range = format!("{} to {}", bounds.min, bounds.max);
        assert!(help.contains(&range), "{}: {help}", bounds.option);
        assert!(help.contains(bounds.unit), "{}: {help}", bounds.option);
        if bounds.option != "shards" {
            assert!(help.contains(&format!("[default: {}]", bounds.default)), "{}: {help}", bounds.option);
        }
    }
}
