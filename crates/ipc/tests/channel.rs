//! Frames over a real stream: whole, late, cut off, and both ways at once.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "the bans are for library code")]

use cofferdam_ipc::{Codec, FrameLimits, FrameReceiver, FrameSender, Stream};

fn channel_pair() -> ((FrameSender, FrameReceiver), (FrameSender, FrameReceiver)) {
    let (host, child) = Stream::pair().unwrap();
    (channel(host), channel(child.into_stream().unwrap()))
}

fn channel(stream: Stream) -> (FrameSender, FrameReceiver) {
    let limits = FrameLimits::default();
    let (reader, writer) = stream.split();
    (FrameSender::new(writer, Codec::Bincode, limits), FrameReceiver::new(reader, Codec::Bincode, limits))
}

#[test]
fn a_frame_arrives_as_it_was_sent() {
    let ((mut sender, _reader), (_writer, mut receiver)) = channel_pair();
    sender.send(7, &("hello", 3u32), b"payload", None).unwrap();
    let mut payload = b"old".to_vec();
    let received = receiver.recv(&mut payload, None).unwrap();
    assert_eq!((received.kind, received.decode::<(String, u32)>().unwrap()), (7, ("hello".to_owned(), 3)));
    assert_eq!(payload, b"payload");
}
