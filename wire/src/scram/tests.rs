use super::*;

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const CLIENT_FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                            p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
const CERTIFICATE: &[u8] = &[0xc4; 32];

fn keys() -> ClientKeys {
    let salt = ServerSide::salt();
    stretch("pencil", &salt, 4_096).expect("allowed terms")
}

/// A login of "user" with "pencil", each step at hand.
struct ServerSide {
    exchange: Exchange,
    credentials: Credentials,
}

impl ServerSide {
    fn salt() -> Vec<u8> {
        use base64::Engine;
        base64::engine::general_purpose::STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").expect("RFC 7677's salt")
    }

    fn new(client_first: &str) -> Self {
        let client_first = ClientFirst::parse(client_first).expect("a client-first-message");
        assert_eq!(client_first.name, "user");
        let exchange = server_first(&client_first, &Self::salt(), 4_096, SERVER_NONCE);
        Self { exchange, credentials: keys().credentials() }
    }

    fn verify(&self, client_final: &str, binding: &[u8]) -> Result<Proven, ScramError> {
        verify(&self.exchange, client_final, &self.credentials, binding)
    }
}

fn start(flag: BindingFlag) -> ClientStart {
    ClientStart::with_flag(flag, "user", CLIENT_NONCE.to_owned())
}

fn prove(flag: BindingFlag, binding: &[u8]) -> ClientProved {
    start(flag)
        .handle_server_first(SERVER_FIRST)
        .expect("a good server-first-message")
        .prove(&keys(), binding)
}

#[test]
fn the_vector_of_rfc_7677() {
    let client = start(BindingFlag::Unsupported);
    assert_eq!(client.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let server = ServerSide::new(client.message());
    assert_eq!(server.exchange.server_first, SERVER_FIRST);
    let client = client.handle_server_first(SERVER_FIRST).expect("taken");
    assert_eq!((client.salt(), client.iterations()), (&ServerSide::salt()[..], 4_096));
    let client = client.prove(&keys(), &[]);
    assert_eq!(client.message(), CLIENT_FINAL);
    let proven = server.verify(CLIENT_FINAL, &[]).expect("the right proof");
    assert_eq!(proven.server_final, SERVER_FINAL);
    assert_eq!(proven.client_key, keys().client_key);
    assert_eq!(client.handle_server_final(SERVER_FINAL), Ok(proven.session_key));
}

#[test]
fn with_channel_binding_both_sides_must_see_the_same_certificate() {
    let client = prove(BindingFlag::EndPoint, CERTIFICATE);
    let server = ServerSide::new(start(BindingFlag::EndPoint).message());
    let proven = server.verify(client.message(), CERTIFICATE).expect("the same certificate");
    assert_eq!(server.verify(client.message(), &[0; 32]).map(|_| ()), Err(ScramError::Binding));
    assert_eq!(server.verify(client.message(), &[]).map(|_| ()), Err(ScramError::Binding));
    let unbound = prove(BindingFlag::Unsupported, &[]);
    assert_eq!(server.verify(unbound.message(), CERTIFICATE).map(|_| ()), Err(ScramError::Binding));
    assert_eq!(client.handle_server_final(&proven.server_final), Ok(proven.session_key));
    // A client that binds to nothing on a connection without TLS is no good either.
    let empty = prove(BindingFlag::EndPoint, &[]);
    assert_eq!(server.verify(empty.message(), &[]).map(|_| ()), Err(ScramError::Binding));
}

#[test]
fn the_session_key_depends_on_the_nonces() {
    let first = ServerSide::new("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let one = first.verify(CLIENT_FINAL, &[]).expect("the right proof").session_key;
    let client = ClientStart::with_flag(BindingFlag::Unsupported, "user", "other".to_owned());
    let second = ServerSide::new(client.message());
    let proved =
        client.handle_server_first(&second.exchange.server_first).expect("taken").prove(&keys(), &[]);
    let two = second.verify(proved.message(), &[]).expect("the right proof").session_key;
    assert_ne!(one, two);
}

#[test]
fn every_changed_character_of_the_proof_message_is_noticed() {
    let server = ServerSide::new("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    for at in 0..CLIENT_FINAL.len() {
        for replacement in ["A", "=", ","] {
            let mut changed = CLIENT_FINAL.to_owned();
            changed.replace_range(at..=at, replacement);
            if changed != CLIENT_FINAL {
                assert!(server.verify(&changed, &[]).is_err(), "{changed}");
            }
        }
        assert!(server.verify(&CLIENT_FINAL[..at], &[]).is_err());
    }
}

#[test]
fn a_proof_serves_for_its_own_exchange_only() {
    let later = ClientFirst::parse("n,,n=user,r=rOprNGfwEbeRWgbNEkqO").expect("well-formed");
    let exchange = server_first(&later, &ServerSide::salt(), 4_096, "another");
    let credentials = keys().credentials();
    assert_eq!(verify(&exchange, CLIENT_FINAL, &credentials, &[]).map(|_| ()), Err(ScramError::Nonce));
    // The nonce swapped in does not help: the proof covers it.
    let swapped = CLIENT_FINAL.replace(SERVER_NONCE, "another");
    assert_eq!(verify(&exchange, &swapped, &credentials, &[]).map(|_| ()), Err(ScramError::Proof));
}

#[test]
fn a_wrong_password_and_a_name_without_account_look_alike() {
    let server = ServerSide::new("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let wrong = stretch("pencils", &ServerSide::salt(), 4_096).expect("allowed terms");
    let challenged = start(BindingFlag::Unsupported).handle_server_first(SERVER_FIRST).expect("taken");
    let proof = challenged.prove(&wrong, &[]);
    assert_eq!(server.verify(proof.message(), &[]).map(|_| ()), Err(ScramError::Proof));
    let fake = fake_credentials(b"secret", "user");
    assert_eq!(verify(&server.exchange, CLIENT_FINAL, &fake, &[]).map(|_| ()), Err(ScramError::Proof));
    assert_eq!(fake_salt(b"secret", "user"), fake_salt(b"secret", "user"));
    assert_ne!(fake_salt(b"secret", "user"), fake_salt(b"secret", "user2"));
    assert_ne!(fake_salt(b"secret", "user"), fake_salt(b"other", "user"));
}

#[test]
fn the_client_leaves_a_node_that_cannot_prove_itself() {
    for bad in ["v=AAAA", "", "e=other-error", "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5="] {
        assert!(prove(BindingFlag::Unsupported, &[]).handle_server_final(bad).is_err(), "{bad}");
    }
    let proved = prove(BindingFlag::Unsupported, &[]);
    let other = SERVER_FINAL.replacen('6', "7", 1);
    assert_eq!(proved.handle_server_final(&other), Err(ScramError::Server));
}

#[test]
fn the_client_refuses_bad_terms() {
    for (bad, error) in [
        (SERVER_FIRST.replace("4096", "4095"), ScramError::Iterations(4_095)),
        (SERVER_FIRST.replace("4096", "10000001"), ScramError::Iterations(10_000_001)),
        (SERVER_FIRST.replace("4096", "99999999999"), ScramError::Malformed),
        (SERVER_FIRST.replace("4096", "04096"), ScramError::Malformed),
        (SERVER_FIRST.replace("s=W22ZaJ0SNY7soEsUEjb6gQ==", "s="), ScramError::Salt),
        (SERVER_FIRST.replace("r=rOpr", "r=rOpx"), ScramError::Nonce),
        (format!("r={CLIENT_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"), ScramError::Nonce),
        (format!("m=x,{SERVER_FIRST}"), ScramError::Malformed),
        (format!("{SERVER_FIRST},m=x"), ScramError::Malformed),
    ] {
        let taken = start(BindingFlag::Unsupported).handle_server_first(&bad).map(|_| ());
        assert_eq!(taken, Err(error), "{bad}");
    }
    let extended = format!("{SERVER_FIRST},z=later");
    assert!(start(BindingFlag::Unsupported).handle_server_first(&extended).is_ok());
    assert!(stretch("pencil", &[1; 16], 4_095).is_err());
    assert!(stretch("pencil", &[1; 65], 4_096).is_err());
}

#[test]
fn the_mechanism_is_the_strongest_and_hiding_it_is_noticed() {
    let choose = |offered: &[&str], binding_possible| {
        ClientStart::new(offered, binding_possible, "user", "n".to_owned()).map(|(mechanism, start)| {
            (mechanism, ClientFirst::parse(start.message()).expect("well-formed").flag)
        })
    };
    let both = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"];
    assert_eq!(choose(&both, true), Ok((Mechanism::Sha256Plus, BindingFlag::EndPoint)));
    assert_eq!(choose(&both, false), Ok((Mechanism::Sha256, BindingFlag::Unsupported)));
    assert_eq!(choose(&both[1..], true), Ok((Mechanism::Sha256, BindingFlag::NotOffered)));
    assert_eq!(choose(&["PLAIN"], true), Err(ScramError::Mechanism));

    use BindingFlag::{EndPoint, NotOffered, Unsupported};
    for (mechanism, flag, plus_offered, expected) in [
        (Mechanism::Sha256Plus, EndPoint, true, Ok(())),
        (Mechanism::Sha256Plus, EndPoint, false, Err(ScramError::Mechanism)),
        (Mechanism::Sha256Plus, Unsupported, true, Err(ScramError::Mechanism)),
        (Mechanism::Sha256Plus, NotOffered, true, Err(ScramError::Mechanism)),
        (Mechanism::Sha256, EndPoint, true, Err(ScramError::Mechanism)),
        (Mechanism::Sha256, Unsupported, true, Ok(())),
        (Mechanism::Sha256, Unsupported, false, Ok(())),
        (Mechanism::Sha256, NotOffered, false, Ok(())),
        (Mechanism::Sha256, NotOffered, true, Err(ScramError::Downgrade)),
    ] {
        assert_eq!(check_mechanism(mechanism, flag, plus_offered), expected, "{mechanism:?} {flag:?}");
    }
}

#[test]
fn client_first_messages_that_are_not_well_formed() {
    for (bad, error) in [
        ("", ScramError::Malformed),
        ("n", ScramError::Malformed),
        ("n,,", ScramError::Malformed),
        ("x,,n=user,r=abc", ScramError::Malformed),
        ("p=tls-unique,,n=user,r=abc", ScramError::Mechanism),
        ("n,a=other,n=user,r=abc", ScramError::OtherUser),
        ("n,,n=,r=abc", ScramError::Malformed),
        ("n,,n=user,r=", ScramError::Malformed),
        ("n,,n=user", ScramError::Malformed),
        ("n,,r=abc,n=user", ScramError::Malformed),
        ("n,,n=user,r=a\u{7f}c", ScramError::Malformed),
        ("n,,n=us=er,r=abc", ScramError::Malformed),
        ("n,,n=us=2,r=abc", ScramError::Malformed),
        ("n,,m=x,n=user,r=abc", ScramError::Malformed),
        ("n,,n=user,r=abc,", ScramError::Malformed),
    ] {
        assert_eq!(ClientFirst::parse(bad).map(|_| ()), Err(error), "{bad:?}");
    }
    let odd = ClientStart::with_flag(BindingFlag::Unsupported, "a=b,c", "abc".to_owned());
    assert_eq!(odd.message(), "n,,n=a=3Db=2Cc,r=abc");
    assert_eq!(ClientFirst::parse(odd.message()).expect("well-formed").name, "a=b,c");
}

#[test]
fn passwords_are_prepared() {
    let keys = |password| stretch(password, &[9; 16], 4_096).expect("allowed terms");
    assert_eq!(keys("I\u{ad}X"), keys("IX"), "RFC 4013's first example");
    assert_eq!(keys("\u{2168}"), keys("IX"), "and its fourth");
    assert_ne!(keys("user"), keys("USER"));
    assert_ne!(keys("\u{7}"), keys(""), "what SASLprep refuses is used as it is");
    assert_eq!(format!("{:?}", keys("secret")), "ClientKeys(..)");
}
