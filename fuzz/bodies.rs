//! What must hold for any bytes: the bodies of the fuzz targets, which the tests on stable run as well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use tallystick_core::acra;
use tallystick_core::claims;
use tallystick_core::evidence;
use tallystick_core::framing::conversation::{Client, Conversation, Event, HASHES, Limits};
use tallystick_core::framing::{Framing, Lines, Stamp, Stream};
use tallystick_core::hash::sha256;
use tallystick_core::judge::{Expected, Facts, Step, Verification};
use tallystick_core::line::canon::without_tally;
use tallystick_core::line::envelope::added::without;
use tallystick_core::line::envelope::{Envelope, Unwrapper};
use tallystick_core::line::{self, Form, LogId, Position, Proof, Read, Span};
use tallystick_core::scan::summary::{Kind, Summary};
use tallystick_core::scan::take_texts;
use tallystick_core::scan::texts::Merger;
use tallystick_core::scan::{Input, Keys, LogKeys, Mode, scan as core_scan};
use tallystick_core::seal::data_key::DataKey;
use tallystick_core::seal::head::{Head, Mark, Pin};
use tallystick_core::seal::keys::{PublicKey, VerificationKey};
use tallystick_core::seal::public_state::PublicState;
use tallystick_core::seal::slot::{BLOCK, Slot};
use tallystick_core::seal::statement::{CertCache, Statement, control_text, control_text_open};
use tallystick_core::witness::accept::{Decision, accept};
use tallystick_core::witness::content::Content;
use tallystick_core::witness::log::WitnessedLog;
use tallystick_core::witness::note::{Note, NoteKey, NoteSigner};
use tallystick_core::witness::published::Published;
use tallystick_core::witness::receipt::{Answer, Receipt};
use tallystick_core::witness::shown::{Brought, Receipted, read_receipts, read_shown};

/// Keys of the log of spec/vectors, in their text forms.
fn known(name: &str) -> String {
    let keys: serde_json::Value =
        serde_json::from_str(include_str!("../spec/vectors/keys.json")).expect("JSON");
    keys["text"][name].as_str().expect("a key").to_owned()
}

fn public() -> PublicKey {
    static KEY: LazyLock<PublicKey> =
        LazyLock::new(|| PublicKey::parse(&known("public_key")).expect("a public key"));
    KEY.clone()
}

fn log_keys(with_v: bool) -> LogKeys {
    static KEY: LazyLock<String> = LazyLock::new(|| known("verification_key"));
    LogKeys::new(public(), with_v.then(|| VerificationKey::parse(&KEY).expect("a verification key")))
}

/// A line that is read as sealed is what a writer makes of m and the seal; a seal has one spelling.
pub fn line(data: &[u8]) {
    let line = line::trim(data);
    match line::read(data) {
        Read::Sealed(sealed) => {
            let (m, form) = match sealed.m {
                Span::Plain(from, to) => (line[from..to].to_vec(), Form::Plain),
                Span::Json(from, to) => ([&line[from..to], b"}"].concat(), Form::Json),
            };
            assert_eq!(line::form_of(&m), form);
            let Proof::Tag { length, .. } = sealed.seal.proof else {
                panic!("a redacted line was read as sealed")
            };
            assert_eq!(m.len(), length as usize);
            assert_eq!(line::read(&line[sealed.m.start()..]).seal(), Some(sealed.seal));
        }
        Read::Nothing => assert!(data.iter().all(|byte| b"\0 \t\r".contains(byte))),
        Read::Redacted(_) | Read::Misfit(_) | Read::Unsealed => {}
    }
    let _ = line::parse_seal(data);
    claimed(data);
    if let Some(at) = Position::parse(data) {
        assert_eq!(at.to_string().as_bytes(), data);
    }
    if let Some(log) = LogId::parse(data) {
        assert_eq!(log.as_str().as_bytes(), data);
    }
}

/// What text claims is what the readers of lines and statements find there, and lies within it.
fn claimed(data: &[u8]) {
    let _ = claims::newest_chain(data, b"oedhcsck");
    if let Some((_, chain, time)) = claims::first_opening(data) {
        assert!(chain < 10_u64.pow(10) && time < 10_u64.pow(16));
    }
    if let Some(words) = claims::statement_words(data) {
        assert!(words.len() >= 9 && claims::position(data).is_some());
    }
    let Some(found) = claims::seal_text(data) else { return };
    assert_eq!(claims::position(data), Some((found.seal.log, found.seal.at)));
    assert_eq!(line::parse_seal(&data[found.fields[0].start..found.fields[5].end]), Some(found.seal));
    assert!(
        found.start < found.fields[0].start
            && found.fields.windows(2).all(|two| two[0].end + 1 == two[1].start)
    );
    if let Read::Sealed(sealed) = line::read(data) {
        assert_eq!(sealed.seal, found.seal);
        let (Span::Plain(_, to) | Span::Json(_, to)) = sealed.m;
        // The blank before an empty m is a carrier's.
        assert!(to == found.start || (to == found.start + 1 && sealed.m.start() == to));
    }
}

trait HasSeal {
    fn seal(self) -> Option<line::Seal>;
}

impl HasSeal for Read {
    fn seal(self) -> Option<line::Seal> {
        match self {
            Read::Sealed(sealed) => Some(sealed.seal),
            Read::Redacted(seal) | Read::Misfit(seal) => Some(seal),
            Read::Nothing | Read::Unsealed => None,
        }
    }
}

/// No bytes make a statement of a log but those that its keys signed; the beginning of what an opening begins with is one.
pub fn statement(data: &[u8]) {
    let (with_v, with_p) = (log_keys(true), log_keys(false));
    let begun = line::trim(data);
    if let Some(found) = with_v.broken_opening(begun) {
        assert_eq!(with_p.broken_opening(begun), Some(found));
        assert!(begun.len() < 1024 && with_v.broken_opening(&begun[..begun.len() / 2]).is_some());
    }
    for text in [Some(data), control_text(data), control_text_open(data)].into_iter().flatten() {
        let Some(statement) = Statement::parse(text) else { continue };
        assert!(text.is_ascii());
        let public = public();
        let agrees = statement.agrees(&public, public.log_id(), statement.position());
        if statement.check(&public.root, &mut CertCache::default()).is_ok() && agrees {
            let known = SIGNED.iter().any(|file| contains(file, text));
            assert!(known, "a statement that nobody signed holds");
        }
        let _ = (statement.hash(), statement.next_root(), statement.epoch_root());
    }
}

/// Files in which all statements stand that the keys of the vectors have signed, as far as the corpus goes.
const SIGNED: [&[u8]; 6] = [
    include_bytes!("../spec/vectors/plain.log"),
    include_bytes!("../spec/vectors/json.log"),
    include_bytes!("../spec/vectors/generation.log"),
    include_bytes!("../spec/vectors/defects.json"),
    include_bytes!("../spec/vectors/evidence.json"),
    include_bytes!("../spec/vectors/inputs.json"),
];

fn contains(file: &[u8], text: &[u8]) -> bool {
    file.windows(text.len()).any(|window| window == text)
}

/// A key, head or pin has one spelling (but for Bech32m's upper case), and bad ones are told by an error.
pub fn text(data: &[u8]) {
    if let Ok(pin) = Pin::parse(data) {
        assert_eq!(words(pin.to_text().as_bytes()), words(data));
    }
    if let Ok(head) = Head::parse(data) {
        assert_eq!(words(&head.to_text()), words(data));
        // A forged head may not cost more than the walk to its chain; the walk itself has a test of its own.
        let at = words(data)[2].rsplitn(2, |byte| *byte == b'.').nth(1).and_then(Position::parse);
        if at.is_some_and(|at| at.chain < 1 << 12) {
            let key = log_keys(true).secret.expect("V");
            let _ = head.holds(&key);
        }
    }
    if let Some(mark) = Mark::parse(data) {
        assert_eq!(mark.to_text().as_bytes(), data);
    }
    let _ = DataKey::parse(data).is_ok();
    if let Ok(state) = PublicState::parse(data) {
        let _ = state.public_file().is_ok();
        assert_eq!(PublicState::version_of(data).ok(), Some(state.version), "its first lines say it, too");
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(key) = PublicKey::parse(text) {
        assert_eq!(key.to_text().expect("a valid key"), text.trim().to_ascii_lowercase());
    }
    if let Ok(key) = VerificationKey::parse(text) {
        assert_eq!(*key.to_text().expect("a valid key"), text.trim().to_ascii_lowercase());
    }
}

/// A slot has one spelling, also where somebody who may write the file mended its checksum.
pub fn slot(data: &[u8]) {
    assert!(Slot::parse(data).is_none() || data.len() == BLOCK);
    let mut block = data[..data.len().min(BLOCK)].to_vec();
    block.resize(BLOCK, 0);
    for mended in [false, true] {
        if mended {
            let sum = sha256(&[&block[..96]]);
            block[96..128].copy_from_slice(&sum);
        }
        if let Some(slot) = Slot::parse(&block) {
            assert_eq!(*slot.to_block(), block);
        }
    }
}

fn words(text: &[u8]) -> Vec<&[u8]> {
    text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect()
}

/// The RFC 8785 form of an object is its own RFC 8785 form.
pub fn canon(data: &[u8]) {
    let Some((form, _)) = without_tally(data) else { return };
    assert!(serde_json::from_slice::<serde_json::Value>(data).is_ok(), "what is no JSON was read");
    assert!(serde_json::from_slice::<serde_json::Value>(&form).is_ok(), "the form is no JSON");
    let comma = if form.len() > 2 { "," } else { "" };
    let text = [b"{\"tally\":\"\"", comma.as_bytes(), &form[1..]].concat();
    assert_eq!(without_tally(&text), Some((form, String::new())));
}

/// Lines come out of an envelope the same, however the file was cut; the first byte chooses the kind.
pub fn envelope(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let kinds =
        ["docker", "cri", "journal-export", "journal-json", "json", "rfc3164", "rfc5424", "prefix:any"];
    let kind = kinds[usize::from(*first) % kinds.len()];
    let fields = ["a.b", "r[].v[][1]", "[].a.b"];
    let field = (kind == "json").then_some(fields[usize::from(*first) / kinds.len() % fields.len()]);
    let envelope = Envelope::parse(kind, field).expect("a kind that exists");
    let _ = envelope.is_prefix(data);
    let names = [b"a".to_vec(), b"date".to_vec()];
    if let Some(text) = without(data, &names) {
        assert!(text.len() < data.len() && without(&text, &names).is_none());
    }
    if let Some(text) = envelope.unescaped(data) {
        assert!(text.len() < data.len());
    }
    if Unwrapper::new(&envelope).is_some() {
        assert_eq!(unwrapped(&envelope, data, |_| true), unwrapped(&envelope, data, |_| false));
        assert_eq!(unwrapped(&envelope, data, |end| end % 3 == 0), unwrapped(&envelope, data, |_| false));
    }
}

type Line = (u64, u64, bool);

fn unwrapped(envelope: &Envelope, data: &[u8], cut: impl Fn(usize) -> bool) -> (Vec<u8>, Vec<Line>) {
    let mut unwrapper = Unwrapper::new(envelope).expect("it unwraps");
    let (mut text, mut origins, mut lines, mut start) = (Vec::new(), Vec::new(), 0, 0);
    for end in ends(data).filter(|end| *end < data.len() && cut(*end)).chain([data.len()]) {
        let got = unwrapper.feed(&data[start..end], end == data.len());
        assert_eq!(ends(&got.data).count(), got.origins.len());
        text.extend_from_slice(&got.data);
        origins.extend(
            got.origins.iter().map(|o| (lines + u64::from(o.line), start as u64 + o.offset, o.wrapped)),
        );
        lines += u64::from(got.lines);
        start = end;
    }
    (text, origins)
}

fn ends(data: &[u8]) -> impl Iterator<Item = usize> {
    data.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1)
}

/// A witness.
static SIGNER: LazyLock<NoteSigner> =
    LazyLock::new(|| NoteSigner::new("w.example", &mut [7; 32]).expect("a signer"));

/// Evidence that holds says nothing but what was sealed, with P and with V.
pub fn evidence(data: &[u8]) {
    let _ = evidence::claimed_log(data);
    let witnesses = std::slice::from_ref(SIGNER.key());
    for with_v in [false, true] {
        if let Ok(shown) = evidence::check(
            data,
            &log_keys(with_v),
            evidence::Trusted { witnesses, ..evidence::Trusted::default() },
        ) {
            assert_eq!(shown.log, public().log_id());
            assert!(data.ends_with(&[shown.line, b"\n"].concat()));
        }
    }
}

/// What is found in some lines does not depend on where they were cut and in which order they were merged.
pub fn scan(data: &[u8]) {
    // Made once, so that what a mutated chain number makes them walk is walked once.
    static KEYS: LazyLock<[Arc<Keys>; 2]> = LazyLock::new(|| {
        [false, true].map(|with_v| {
            let mut keys = Keys::default();
            keys.add(log_keys(with_v)).expect("one key");
            Arc::new(keys)
        })
    });
    for keys in &*KEYS {
        let whole = found(keys, &[part(data, 0, 0)]);
        let cuts: Vec<usize> = ends(data).collect();
        let half = cuts.get(cuts.len() / 2).copied().unwrap_or(data.len());
        let mut parts = [part(&data[..half], 0, 0), part(&data[half..], 1, half as u64)];
        let (text, part_text) = (texts(keys, &[part(data, 0, 0)]), texts(keys, &parts));
        assert_eq!(part_text, text);
        assert_eq!(found(keys, &parts), whole);
        parts.reverse();
        assert_eq!(found(keys, &parts), whole);
        assert_eq!(texts(keys, &parts), text);
    }
}

fn part(data: &[u8], chunk: u32, offset: u64) -> Input<'_> {
    Input { data, file: 0, chunk, offset, cut: false, origins: None, envelope: None }
}

type Bad = (Kind, u64, u64, Option<Position>, Option<Position>);
type Duplicates = Vec<(Position, Position, bool, bool)>;
type Found = (Vec<Bad>, Duplicates, Chains, u64);
type Chains = Vec<(u32, Position, Position, u64, u64, usize, usize)>;

/// The facts about some parts of an input, which the verification is given in their order.
fn facts(keys: &Arc<Keys>, parts: &[Input<'_>]) -> Facts {
    let mut verification = Verification::new(keys.clone());
    loop {
        match verification.next_pass() {
            Step::Pass(mut pass) => {
                let mode = pass.mode().clone();
                for part in parts {
                    pass.merge(core_scan(keys, part, &mode));
                }
                verification = pass.finish();
            }
            Step::Complete(complete) => return complete.finish(&Expected::default(), &BTreeSet::new()),
        }
    }
}

/// What facts say that does not name a chunk. Disorder across a cut is reported by the caller of the core.
fn found(keys: &Arc<Keys>, parts: &[Input<'_>]) -> Found {
    let with_v = keys.logs()[0].secret.is_some();
    let facts = facts(keys, parts);
    let duplicates = facts.duplicates().iter().map(|d| (d.from, d.to, d.one_file, d.fork)).collect();
    let bad = facts.events().iter().filter(|event| event.kind != Kind::Reordered);
    let bad = bad.map(|e| (e.kind, e.place.offset, e.count, e.first, e.last)).collect();
    let chains = facts.chains(0, with_v).map(|(number, chain)| {
        let gaps = facts.gaps(0, Position::new(number, 0, 0), None).len();
        let contradictions = chain.altered.len() + chain.clashes.len();
        (number, chain.first.0, chain.last.0, chain.lines, chain.checkpoints, contradictions, gaps)
    });
    (bad, duplicates, chains.collect(), facts.unsealed())
}

/// The texts of the lines that hold.
fn texts(keys: &Arc<Keys>, parts: &[Input<'_>]) -> Vec<u8> {
    let mode = Mode::Texts { holding: facts(keys, parts).holding(keys).into(), marked: false };
    let mut merger = Merger::default();
    for part in parts {
        merger.add(take_texts(keys, part, &mode));
    }
    merger.take(None, usize::MAX)
}

/// The stored form of what is found in some bytes.
#[must_use]
pub fn stored(data: &[u8]) -> Vec<u8> {
    let mut keys = Keys::default();
    keys.add(log_keys(false)).expect("one key");
    core_scan(&keys, &part(data, 0, 0), &Mode::All).to_bytes().expect("a summary")
}

/// A summary that is read from its stored form is stored again as it was.
pub fn summary(data: &[u8]) {
    if let Ok(mut remembered) = Summary::from_memory(data, 3, 2) {
        // What is unpacked need not be what was packed; it is once it was packed here.
        let stored = remembered.to_memory().expect("a summary of one file");
        let mut again = Summary::from_memory(&stored, 7, 0).expect("a summary that was remembered");
        assert_eq!(again.to_memory().expect("a summary of one file"), stored);
    }
    let Ok(read) = Summary::from_bytes(data) else { return };
    let stored = read.to_bytes().expect("a summary that was read");
    let again = Summary::from_bytes(&stored).expect("a summary that was stored");
    assert_eq!(again.to_bytes().expect("a summary that was read"), stored);
}

/// Audit logs of Acra that its key wrote, in three forms.
const ACRA: [&[u8]; 3] = [
    include_bytes!("../tests/acra/data/plaintext.log"),
    include_bytes!("../tests/acra/data/cef.log"),
    include_bytes!("../tests/acra/data/json.log"),
];

/// What is found in an audit log of Acra does not depend on blocks and threads; each line fits or is told of; and only
/// lines that the key wrote are found to be as they were.
pub fn acra(data: &[u8]) {
    static LINES: LazyLock<BTreeSet<&[u8]>> =
        LazyLock::new(|| ACRA.iter().flat_map(|log| log.split(|byte| *byte == b'\n')).collect());
    let found = judged(data, &[data.len()], 1);
    let lines = data.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    assert_eq!(found.lines, lines.clone().count() as u64);
    let mut told = BTreeMap::new();
    for event in &found.events {
        // Lines of these do fit.
        let fits =
            [acra::What::MarkerAdded, acra::What::MarkerGone, acra::What::Rewritten].contains(&event.what);
        *told.entry(fits).or_insert(0) += event.count;
    }
    assert_eq!(found.good + told.get(&false).unwrap_or(&0), found.lines);
    assert_eq!(found.good, found.chains.iter().map(|chain| chain.lines).sum::<u64>());
    if found.events.is_empty() {
        for line in lines {
            assert!(LINES.contains(line.trim_ascii_end()), "a line that nobody wrote fits");
        }
    }
    let cuts: Vec<usize> = ends(data).collect();
    let half = cuts.get(cuts.len() / 2).copied().unwrap_or(data.len());
    for (blocks, threads) in [(vec![half, data.len()], 1), (vec![data.len()], 3), (vec![half, data.len()], 2)]
    {
        let other = judged(data, &blocks, threads);
        assert_eq!(
            (&other.events, &other.chains),
            (&found.events, &found.chains),
            "{blocks:?}, {threads} threads"
        );
    }
}

fn judged(data: &[u8], blocks: &[usize], threads: usize) -> acra::Judged {
    let text = include_str!("../tests/acra/data/key.hex").trim();
    let mut key = [0; 32];
    for (byte, at) in key.iter_mut().zip((0..64).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).expect("digits");
    }
    let mut judge = acra::judge(&acra::Key::take(&mut key), acra::Form::Auto);
    judge.least = 100; // so that there is more than one part
    let (mut start, mut line) = (0, 0);
    for end in blocks {
        line += judge.feed(&data[start..*end], 0, line, start as u64, threads);
        start = *end;
    }
    judge.finish()
}

/// A witness that knows nothing of a log but its public key keeps what it accepts, and says the same when it is shown
/// all again.
fn shown_to_a_witness(shown: &[Brought<'_>]) {
    let steps: Vec<_> = shown.iter().map(|one| (one.receipted.text, &one.proof[..])).collect();
    let mut log = WitnessedLog::new(public());
    let outcomes = log.show(&[], &steps);
    assert!(outcomes.len() <= steps.len());
    if let (Some((Decision::Newer | Decision::SignOfLife, _)), true) =
        (outcomes.last(), outcomes.len() == steps.len())
    {
        let newest = steps[steps.len() - 1];
        assert_eq!(log.show(&[newest.0], &[newest]), [(Decision::Same, None)]);
    }
    for (decision, against) in outcomes {
        assert_eq!(matches!(decision, Decision::Fork(_)), against.is_some());
    }
}

/// What witnesses are shown and say has one spelling; no bytes are signed but those that were, and whatever a witness is
/// shown, it accepts nothing twice and nothing that contradicts what it accepted.
pub fn witness(data: &[u8]) {
    if let Ok(found) = read_receipts(data) {
        let texts: Vec<_> = found.iter().filter_map(|one| Statement::parse_shown(one.text)).collect();
        assert_eq!(texts.len(), found.len());
        for (one, other) in texts.iter().flat_map(|one| texts.iter().map(move |other| (one, other))) {
            let (there, back) = (accept(&[*one], other, &[]), accept(&[*other], one, &[]));
            assert_eq!(matches!(there, Decision::Fork(_)), matches!(back, Decision::Fork(_)));
            if one.hash() == other.hash() {
                assert_eq!(there, Decision::Same);
            }
        }
        for one in found.iter().flat_map(|one| &one.receipts) {
            assert!(Note::parse(one.note).is_some());
            assert!(one.proof.is_none_or(|proof| Published::parse(proof).is_some()));
        }
    }
    if let Ok(shown) = read_shown(data) {
        shown_to_a_witness(&shown);
    } else {
        let completed = |one: &Receipted<'_>| one.receipts.iter().any(|one| one.proof.is_some());
        let found = read_receipts(data).is_ok_and(|found| !found.iter().any(completed));
        assert!(!found, "what a file of receipts holds can be shown");
    }
    if let Some(note) = Note::parse(data) {
        if note.is_signed_by(SIGNER.key()) {
            assert_eq!(SIGNER.sign(std::str::from_utf8(note.text).expect("ASCII")).as_bytes(), data);
        }
        if let Some(receipt) = Receipt::parse(note.text) {
            assert_eq!(Note::parse(receipt.sign(&SIGNER).as_bytes()).expect("a note").text, note.text);
        }
        if let Some(answer) = Answer::parse(note.text) {
            let signed = answer.sign(&SIGNER).expect("an answer");
            assert_eq!(Note::parse(signed.as_bytes()).expect("a note").text, note.text);
        }
    }
    if let Some(content) = Content::parse(data) {
        assert_eq!(content.to_string().as_bytes(), data);
    }
    if let Some(key) = std::str::from_utf8(data).ok().and_then(|text| NoteKey::parse(text).ok()) {
        assert_eq!(key.to_text().as_bytes(), data);
    }
    if let Some(statement) = Statement::parse_shown(data) {
        assert!(Statement::parse(data).is_none() || !data.starts_with(b"tallystick/v1 head "));
        let holds = statement.check(&public().root, &mut CertCache::default()).is_ok();
        assert!(!holds || SHOWN.contains(&sha256(&[data])), "forged: {}", String::from_utf8_lossy(data));
    }
}

/// The texts in spec/vectors/witnesses.json and the statements of the logs beside it.
static SHOWN: LazyLock<BTreeSet<[u8; 32]>> = LazyLock::new(|| {
    let cases = include_str!("../spec/vectors/witnesses.json").replace("\\n", "\n").replace('"', "\n");
    let all = [&cases, include_str!("../spec/vectors/generation.log")].concat();
    let said = |line: &str| {
        let line =
            line.trim_start_matches("text ").trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        sha256(&[line.split(" tally=").next().unwrap_or(line).as_bytes()])
    };
    all.split('\n').map(said).collect()
});

fn ends_in(data: &[u8]) -> usize {
    data.split(|byte| *byte == b'\n').count() - 1
}

/// However a stream is cut into pieces, its lines are the same, none of them is too long, and no byte is lost.
pub fn framing(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else { return };
    let framing = [Framing::Lines, Framing::Syslog][usize::from(first % 2)];
    let limit = 1 + usize::from(first / 2);
    let cut = |piece: usize, stamp: Option<&Stamp>| {
        let (mut stream, mut lines) = (Stream::new(framing, limit), Lines::default());
        let mut parts = 0;
        for part in data.chunks(piece) {
            stream.feed(part, stamp, &mut lines);
            assert!(stream.pending() <= limit.max(10));
            if piece == 2 {
                parts += stream.splits.iter().map(|split| split.parts - 1).sum::<u64>();
                stream = Stream::resume(framing, limit, stream.left()); // as after an upgrade in place
            }
        }
        stream.finish(stamp, &mut lines);
        assert_eq!(stream.pending(), 0);
        assert_eq!(ends_in(&lines.bytes) as u64, lines.count);
        parts += stream.splits.iter().map(|split| split.parts - 1).sum::<u64>();
        (lines.bytes, parts)
    };
    let whole = cut(data.len().max(1), None);
    assert!([1, 2, 7].iter().all(|piece| cut(*piece, None) == whole));
    let (whole, _) = whole;
    assert!(whole.split(|byte| *byte == b'\n').all(|line| line.len() <= 2 * limit + 2));
    if framing == Framing::Lines {
        let (ends, sent) = (ends_in(data), data.last());
        let expected = ends as u64 + u64::from(sent.is_some_and(|byte| *byte != b'\n'));
        let (bytes, parts) = cut(3, None);
        assert_eq!(ends_in(&bytes) as u64, expected + parts);
    }
    let stamp = Stamp { plain: b"[uid=7] ".to_vec(), json: b"{\"uid\":7}".to_vec() };
    for line in cut(5, Some(&stamp)).0.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if line.starts_with(b"{") {
            let line = line.strip_suffix(b"\r\r").unwrap_or(line);
            let value: serde_json::Value = serde_json::from_slice(line).expect("JSON");
            assert_eq!(value["origin"]["uid"], 7, "a sender took the place of the agent");
        } else {
            assert!(line.starts_with(b"[uid=7] "));
        }
    }
}

/// A conversation goes the same way in pieces of any size; its numbers have no gap, and each line has its hashes.
pub fn conversation(data: &[u8]) {
    let limits = Limits { line: 64, window: 8 };
    let talk = |piece: usize| {
        let (mut talk, mut client, mut known) =
            (Conversation::new(limits), Client::new(limits.window), false);
        for part in data.chunks(piece) {
            if piece == 11 && talk.run.lines.count == 0 {
                let left = talk.left(); // as after an upgrade in place
                talk = Conversation::new(limits);
                talk.feed(&left);
            }
            talk.feed(part);
            loop {
                match talk.step(known.then_some(&mut client), None) {
                    Event::Idle => break,
                    Event::Hello { .. } => known = true,
                    Event::Refused(refusal, number) => {
                        return (client.taken(), talk.run.lines.bytes, Some((refusal, number)));
                    }
                }
            }
            assert!(talk.pending() < limits.frame() + 4);
        }
        assert_eq!(talk.run.lines.count, client.taken());
        assert_eq!(talk.run.hashes.len() as u64, client.taken() * HASHES as u64);
        assert!(client.hashes().count() as u64 <= client.taken().min(limits.window as u64));
        (client.taken(), talk.run.lines.bytes, None)
    };
    let whole = talk(data.len().max(1));
    assert_eq!(talk(1), whole);
    assert_eq!(talk(11), whole);
}
