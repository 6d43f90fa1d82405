//! What fuzzing calls, and the replay of its corpora as ordinary tests. Each target makes whole frames, lengths and checks of its
//! input, so that every input reaches what lies behind them. `fuzz/` calls these with `--cfg fuzzing`; no other build has them.

pub use crate::child::fuzzing::from_worker;
pub use crate::recorder::fuzzing::recorder;
pub use crate::worker::fuzzing::from_host;

#[cfg(test)]
mod tests {
    use super::{from_host, from_worker, recorder};
    use crate::protocol::{
        Assign, Completed, Failed, Message, Ready, Replies, Returned, SaveState, Start, StartFailed, Stop,
        Stopped, TakeBack, TakeFile, WantFile, WrittenFile,
    };
    use cofferdam_ipc::Codec;
    use cofferdam_pipeline_core::push_entry_len;
    use std::path::Path;

    /// Calls `target` with every file of its corpus, in which the seeds lie as they are made here.
    fn replay(name: &str, target: fn(&[u8]), seeds: &[(&str, Vec<u8>)]) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        for (seed, bytes) in seeds {
            let path = folder.join(seed);
            if std::env::var_os("COFFERDAM_BLESS").is_some() {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, bytes).unwrap();
            }
            assert_eq!(
                std::fs::read(&path).ok().as_ref(),
                Some(bytes),
                "{} (COFFERDAM_BLESS=1 writes it)",
                path.display()
            );
        }
        for entry in std::fs::read_dir(&folder).unwrap() {
            target(&std::fs::read(entry.unwrap().path()).unwrap());
        }
    }

    /// A frame as the targets read it.
    fn frame<M: Message>(codec: Codec, message: &M, payload: &[u8]) -> Vec<u8> {
        let mut encoded = Vec::new();
        codec.encode(message, &mut encoded).unwrap();
        [&[M::KIND, encoded.len() as u8, payload.len() as u8][..], &encoded, payload].concat()
    }

    fn bin<M: Message>(message: &M) -> Vec<u8> {
        frame(Codec::Bincode, message, &[])
    }

    fn entries(texts: &[&[u8]]) -> Vec<u8> {
        texts.iter().fold(Vec::new(), |mut bytes, text| {
            push_entry_len(&mut bytes, text.len());
            bytes.extend_from_slice(text);
            bytes
        })
    }

    /// What [`from_worker`] takes: never cancelled, with this item open in the end.
    fn worker(open: (u8, u8), frames: &[Vec<u8>]) -> Vec<u8> {
        [&[0, 0, open.0, open.1][..], &frames.concat()].concat()
    }

    const NONE_OPEN: (u8, u8) = (0, u8::MAX);

    fn reply(lease: u32, offset: u32, outputs: &[&[u8]]) -> Vec<u8> {
        let count = outputs.len() as u32;
        frame(Codec::Bincode, &Replies { lease, slot: 0, offset, count }, &entries(outputs))
    }

    fn want(number: u32) -> Vec<u8> {
        bin(&WantFile { lease: 1, offset: 0, number })
    }

    fn completed(output: Option<u32>, files: &[u32], outputs: &[&[u8]]) -> Vec<u8> {
        let written = |number: u32| WrittenFile { number, len: 9, crc32: 8 };
        let files = files.iter().copied().map(written).collect();
        let message = Completed { lease: 1, slot: 0, offset: 0, output: output.map(written), files };
        frame(Codec::Bincode, &message, &entries(outputs))
    }

    fn failed(kind: u8) -> Vec<u8> {
        bin(&Failed {
            lease: 1,
            slot: 0,
            offset: 0,
            kind,
            retry_after_ms: u64::MAX,
            message: "why".into(),
            stage: "decode\x1b[2J".into(),
            progress: Some((1, 0)),
            breadcrumbs: vec!["page 1".into(); 9],
        })
    }

    #[test]
    fn the_corpus_of_hostile_workers_is_survived() {
        let ready = bin(&Ready {});
        let start_failed = |kind| bin(&StartFailed { kind, retry_after_ms: 0, message: "no model".into() });
        let state = frame(Codec::Bincode, &SaveState { lease: 1, offset: 0 }, b"page 7");
        let json = |message: Vec<u8>| [&[1, 0, 0, u8::MAX][..], &message].concat();
        let seeds = [
            ("silence", worker(NONE_OPEN, &[])),
            ("ready", worker(NONE_OPEN, std::slice::from_ref(&ready))),
            ("two-results", worker(NONE_OPEN, &[ready.clone(), reply(1, 0, &[b"a"]), reply(2, 0, &[b"b"])])),
            ("death-with-an-open-item", worker((1, 0), std::slice::from_ref(&ready))),
            ("death-with-an-unreadable-recorder", worker((1, 0xfe), std::slice::from_ref(&ready))),
            ("result-before-ready", worker(NONE_OPEN, &[reply(1, 0, &[b"a"])])),
            ("result-twice", worker(NONE_OPEN, &[ready.clone(), reply(1, 0, &[b"a"]), reply(1, 0, &[b"a"])])),
            (
                "more-answers-than-questions",
                worker(NONE_OPEN, &[vec![ready.clone()], vec![failed(1); 5]].concat()),
            ),
            ("result-beyond-the-lease", worker((1, 0), &[ready.clone(), reply(1, 1, &[b"a"])])),
            ("results-beyond-all-offsets", worker((1, 0), &[ready.clone(), reply(1, u32::MAX, &[b"a"])])),
            ("result-of-a-lease-that-never-was", worker((1, 0), &[ready.clone(), reply(9, 0, &[b"a"])])),
            ("fewer-results-than-announced", {
                let short = Replies { lease: 1, slot: 0, offset: 0, count: 2 };
                worker((1, 0), &[ready.clone(), frame(Codec::Bincode, &short, &entries(&[b"a"]))])
            }),
            ("transient-failure", worker(NONE_OPEN, &[ready.clone(), failed(1)])),
            ("rate-limit-without-end", worker(NONE_OPEN, &[ready.clone(), failed(2)])),
            ("fatal-failure", worker(NONE_OPEN, &[ready.clone(), failed(5)])),
            ("interrupted-unasked", worker(NONE_OPEN, &[ready.clone(), failed(6)])),
            ("failure-of-no-kind", worker((1, 0), &[ready.clone(), failed(99)])),
            (
                "files",
                worker(NONE_OPEN, &[ready.clone(), want(0), want(1), completed(None, &[1, 0], &[b"a"])]),
            ),
            ("output-that-is-a-file", {
                worker(NONE_OPEN, &[ready.clone(), want(0), want(1), completed(Some(1), &[0], &[])])
            }),
            ("file-that-does-not-hold-what-was-said", {
                let file = WrittenFile { number: 0, len: 9, crc32: 1 };
                let message = Completed { lease: 1, slot: 0, offset: 0, output: Some(file), files: vec![] };
                worker(NONE_OPEN, &[ready.clone(), want(0), bin(&message)])
            }),
            ("file-that-was-never-given", {
                worker((1, 0), &[ready.clone(), want(0), completed(None, &[7], &[b"a"])])
            }),
            ("file-named-twice", {
                worker((1, 0), &[ready.clone(), want(0), completed(None, &[0, 0], &[b"a"])])
            }),
            ("files-asked-for-twice", worker((1, 0), &[ready.clone(), want(0), want(0)])),
            ("files-before-ready", worker(NONE_OPEN, &[want(0)])),
            ("files-and-no-output", worker((1, 0), &[ready.clone(), want(0), completed(None, &[0], &[])])),
            ("files-of-a-failure", worker(NONE_OPEN, &[ready.clone(), want(0), failed(1), want(0)])),
            ("saved-state", worker((1, 0), &[ready.clone(), state.clone()])),
            ("saved-state-before-ready", worker(NONE_OPEN, &[state])),
            ("items-given-back-unasked", {
                worker(NONE_OPEN, &[ready.clone(), bin(&Returned { lease: 2, from: 0 })])
            }),
            ("start-failed", worker(NONE_OPEN, &[start_failed(1)])),
            ("start-failed-for-good", worker(NONE_OPEN, &[start_failed(5)])),
            ("start-failed-and-ready", worker(NONE_OPEN, &[start_failed(1), ready.clone()])),
            ("goodbye-unasked", worker(NONE_OPEN, &[ready.clone(), bin(&Stopped {})])),
            ("goodbye-when-asked", {
                let mut bytes = worker(NONE_OPEN, &[ready.clone(), bin(&Stopped {})]);
                bytes[1] = 1;
                bytes
            }),
            ("unknown-kind", worker(NONE_OPEN, &[ready.clone(), vec![0x99, 0, 0]])),
            (
                "json",
                json(
                    [
                        frame(Codec::Json, &Ready {}, &[]),
                        frame(Codec::Json, &Returned { lease: 1, from: 0 }, &[]),
                    ]
                    .concat(),
                ),
            ),
            ("json-nested-without-end", json([&[Ready::KIND, 200, 0][..], &[b'['; 200]].concat())),
        ];
        replay("from_worker", from_worker, &seeds);
    }

    fn start() -> Start {
        Start {
            processor: "echo".into(),
            version: 1,
            slot: 0,
            step: 0,
            slots: 1,
            recorder: b"r".to_vec(),
            control: b"c".to_vec(),
            scratch: b"s".to_vec(),
            stack_bytes: 1 << 20,
            reply_flush_ms: 5,
            heartbeat_ms: 100,
            main_thread: false,
            files_above: 1,
        }
    }

    fn assign(lease: u32, count: u32, has_state: bool, items: &[&[u8]]) -> Vec<u8> {
        let message = Assign { lease, attempt: 1, count, step: 0, has_state };
        // An item is bytes: their length, then they.
        let encoded: Vec<_> = items.iter().map(|item| entries(&[item])).collect();
        let items: Vec<_> = encoded.iter().map(Vec::as_slice).collect();
        frame(Codec::Bincode, &message, &entries(&items))
    }

    fn host(frames: &[Vec<u8>]) -> Vec<u8> {
        [&[0][..], &bin(&start()), &frames.concat()].concat()
    }

    #[test]
    fn the_corpus_of_hostile_hosts_is_survived() {
        let work = vec![0, 0, 0];
        let many = vec![assign(1, 1, false, &[b"a"]); 129];
        let back = |lease| bin(&TakeBack { lease });
        let seeds = [
            ("start-alone", host(&[])),
            ("no-start", [&[0][..], &assign(1, 1, false, &[b"a"])].concat()),
            (
                "start-of-another-processor",
                [&[0][..], &bin(&Start { processor: "ocr".into(), ..start() })].concat(),
            ),
            ("start-with-numbers-beyond-all", {
                let numbers = Start { slots: u32::MAX, stack_bytes: u64::MAX, reply_flush_ms: 0, ..start() };
                [&[0][..], &bin(&numbers), &assign(1, 1, false, &[b"a"])].concat()
            }),
            ("lease-of-three", host(&[assign(1, 3, false, &[b"a", b"b", b"c"]), work.clone()])),
            ("failure-and-saved-state", host(&[assign(1, 3, false, &[b"f", b"s", b"c"]), work.clone()])),
            ("written-files", host(&[assign(1, 2, false, &[b"w", b"wide"]), work.clone()])),
            ("no-files", {
                let start = bin(&Start { files_above: 0, ..start() });
                [&[0][..], &start, &assign(1, 1, false, &[b"wide"]), &work].concat()
            }),
            ("file-that-nobody-asked-for", {
                let file = TakeFile { lease: 1, offset: 0, number: 0, path: vec![], refusal: String::new() };
                host(&[bin(&file)])
            }),
            ("saved-state-comes-back", host(&[assign(1, 1, true, &[b"state", b"r"]), work.clone()])),
            ("saved-state-announced-and-missing", host(&[assign(1, 1, true, &[]), work.clone()])),
            ("fewer-items-than-announced", host(&[assign(1, 9, false, &[b"a"]), work.clone()])),
            ("more-items-than-announced", host(&[assign(1, 1, false, &[b"a", b"b"]), work.clone()])),
            ("no-items", host(&[assign(1, 0, false, &[]), work.clone()])),
            ("items-that-do-not-decode", {
                let message = Assign { lease: 1, attempt: 1, count: 1, step: 0, has_state: false };
                host(&[frame(Codec::Bincode, &message, &entries(&[b"\xfd\xff"])), work.clone()])
            }),
            (
                "same-lease-twice",
                host(&[assign(1, 1, false, &[b"a"]), assign(1, 1, false, &[b"b"]), work.clone()]),
            ),
            ("more-leases-than-may-wait", host(&many)),
            ("taken-back", host(&[assign(1, 2, false, &[b"a", b"b"]), back(1), work.clone()])),
            ("taken-back-what-never-was", host(&[back(7)])),
            ("stopped-with-work", host(&[assign(1, 2, false, &[b"a", b"b"]), bin(&Stop {}), work])),
            ("start-twice", host(&[bin(&start())])),
            ("unknown-kind", host(&[vec![0x77, 0, 0]])),
        ];
        replay("from_host", from_host, &seeds);
    }

    /// One write of [`recorder`].
    fn write(at: usize, bytes: &[u8]) -> Vec<u8> {
        [&(at as u16).to_le_bytes()[..], &[bytes.len() as u8], bytes].concat()
    }

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn scribbled(flags: u8, writes: &[Vec<u8>]) -> Vec<u8> {
        [&[flags][..], &writes.concat()].concat()
    }

    #[test]
    fn the_corpus_of_recorders_is_read() {
        use crate::recorder::layout::{
            BREADCRUMBS, MAGIC, MESSAGES, OPEN, PANIC_LOCATION, PANIC_MESSAGE, SIGNAL_NUMBER, STACK_LOW,
            STAGES, VERSION, WORKER_AREA_LEN, backtrace_at,
        };
        const SEALED: u8 = 0x80;
        let area = WORKER_AREA_LEN;
        let open = 1 << 32 | 1;
        // Ticket, tag, length, a check that is put right, the text.
        let cell = |tag: u64, len: u64, text: &[u8]| [&words(&[1, tag, len, 0])[..], text].concat();
        let item = write(area + OPEN.at, &words(&[open, 1, 3, 14]));
        let seeds = [
            ("fresh", scribbled(0, &[])),
            ("open-item", scribbled(0, std::slice::from_ref(&item))),
            ("open-item-with-its-stage", {
                scribbled(SEALED, &[item.clone(), write(area + STAGES.at, &cell(open, 6, b"decode"))])
            }),
            ("stage-of-the-start", scribbled(SEALED, &[write(area + STAGES.at, &cell(0, 4, b"load"))])),
            ("message-that-clears-the-screen", {
                scribbled(
                    SEALED,
                    &[item.clone(), write(area + MESSAGES.at, &cell(open, 7, b"\x1b[2J\x07\0\n"))],
                )
            }),
            ("breadcrumb-that-turns-the-line-around", {
                let crumb = cell(open, 9, "\u{202e}abc\u{2066}".as_bytes());
                scribbled(SEALED, &[item.clone(), write(area + BREADCRUMBS.at, &crumb)])
            }),
            ("message-that-is-no-text", {
                scribbled(SEALED, &[item, write(area + MESSAGES.at, &cell(open, 128, &[0xff; 128]))])
            }),
            ("length-beyond-its-cell", scribbled(0, &[write(area + STAGES.at, &cell(0, u64::MAX, b"x"))])),
            ("panic", {
                let texts = [(PANIC_MESSAGE, &b"boom"[..]), (PANIC_LOCATION, b"a.rs")];
                scribbled(SEALED, &texts.map(|(field, text)| write(field.at, &cell(0, 4, text))))
            }),
            ("backtrace", scribbled(SEALED, &[write(backtrace_at(1), &cell(0, 5, b"0: f\n"))])),
            ("fault-below-the-stack", {
                let signal = write(SIGNAL_NUMBER.at, &words(&[11, 1, 0x7000_0000 - 8, 0x7000_0010]));
                scribbled(0, &[signal, write(STACK_LOW.at, &words(&[0x7000_0000, 0x7080_0000]))])
            }),
            ("numbers-at-their-ends", {
                let signal = write(SIGNAL_NUMBER.at, &words(&[i32::MAX as u64, 1, u64::MAX, u64::MAX]));
                scribbled(0, &[signal, write(STACK_LOW.at, &words(&[1, u64::MAX]))])
            }),
            ("no-magic", scribbled(0, &[write(MAGIC.at, &[0; 8])])),
            ("another-layout", scribbled(0, &[write(VERSION.at, &words(&[2]))])),
            ("three-slots", scribbled(2, &[write(area + 2 * 2048 + OPEN.at, &words(&[open]))])),
        ];
        replay("recorder", recorder, &seeds);
    }
}
