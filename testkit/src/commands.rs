//! The bodies of commands that clients send, for [`send_command`] and [`write_command`].
//! RTMP 1.0 §7.2.
//!
//! [`send_command`]: tailwater_rtmp::ControlLayer::send_command
//! [`write_command`]: tailwater_rtmp::command::write_command

use tailwater_rtmp::amf0::Encoder;

/// A command without an answer of its own, up to its arguments.
fn begin<'a, 'b>(amf: &'a mut Encoder<'b>, name: &str) -> &'a mut Encoder<'b> {
    amf.string(name).number(0.0).null()
}

/// Connects to `app`, with nothing else said.
pub fn connect(app: &str) -> impl FnOnce(&mut Encoder<'_>) {
    move |amf| {
        amf.string("connect").number(1.0).begin_object();
        amf.string_property("app", app).end_object();
    }
}

/// Makes a message stream.
pub fn create_stream() -> impl FnOnce(&mut Encoder<'_>) {
    |amf| _ = amf.string("createStream").number(9.0).null()
}

/// Gives a message stream back.
pub fn delete_stream(msid: u32) -> impl FnOnce(&mut Encoder<'_>) {
    move |amf| _ = begin(amf, "deleteStream").number(f64::from(msid))
}

/// Ends what is published or played on a message stream.
pub fn close_stream() -> impl FnOnce(&mut Encoder<'_>) {
    |amf| _ = begin(amf, "closeStream")
}

/// Publishes `stream`.
pub fn publish(stream: &str) -> impl FnOnce(&mut Encoder<'_>) {
    move |amf| _ = begin(amf, "publish").string(stream).string("live")
}

/// Plays `stream`.
pub fn play(stream: &str) -> impl FnOnce(&mut Encoder<'_>) {
    of_stream("play", stream)
}

/// The command `name` about `stream`, such as `FCUnpublish`.
pub fn of_stream(name: &str, stream: &str) -> impl FnOnce(&mut Encoder<'_>) {
    move |amf| _ = begin(amf, name).string(stream)
}

/// Goes over to `stream`.
pub fn switch(stream: &str) -> impl FnOnce(&mut Encoder<'_>) {
    move |amf| {
        begin(amf, "play2").begin_object();
        amf.string_property("streamName", stream).end_object();
    }
}

/// Pauses, or goes on.
pub fn pause(on: bool) -> impl FnOnce(&mut Encoder<'_>) {
    move |amf| _ = begin(amf, "pause").boolean(on).number(0.0)
}

/// Goes to this time, in milliseconds.
pub fn seek(time: f64) -> impl FnOnce(&mut Encoder<'_>) {
    move |amf| _ = begin(amf, "seek").number(time)
}

/// The command `name` with a flag: `receiveAudio`, `receiveVideo`.
pub fn flag(name: &str, on: bool) -> impl FnOnce(&mut Encoder<'_>) {
    move |amf| _ = begin(amf, name).boolean(on)
}
