//! Connections that write last: before bytes go out, every other connection that has something to
//! read has its turn.
//!
//! A write to a process that sleeps wakes it, which costs as much as the write itself. Where many
//! requests are under way, whoever writes after each read wakes its peer for one message, and the
//! peer is asleep again before the next. Written together, the first message wakes it and the others
//! find it at work. Where nothing else is ready, the write follows at once, and so does an answer to
//! what was read a moment ago.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::TryFutureExt;
use futures::future::MapOk;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::runtime::Handle;
use tower::Service;

/// Bytes of a head with a small body, such as a challenge in both versions of the protocol.
const SHORT: usize = 2048;

/// A connection of which every first write after a flush goes to the end of the scheduler's queue,
/// where the runtime has one thread. With more of them, one that rests would be woken to take over
/// what waits for its turn, and that costs more than a peer's wake.
pub(crate) struct WritesLast<T> {
    stream: T,
    has_turn: bool,
    has_just_read: bool,
    is_only_thread: bool,
}

impl<T> WritesLast<T> {
    /// For the runtime that this is called in; outside of one it writes at once.
    pub(crate) fn new(stream: T) -> Self {
        let threads = Handle::try_current().map(|runtime| runtime.metrics().num_workers());
        Self {
            stream,
            has_turn: false,
            has_just_read: false,
            is_only_thread: threads.is_ok_and(|threads| threads == 1),
        }
    }

    fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        // An answer that is known at once is not worth a second look at its connection.
        if self.has_turn || self.has_just_read || !self.is_only_thread {
            return Poll::Ready(());
        }
        self.has_turn = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The bytes of all slices in one, if they fit into `short`.
fn together<'a>(slices: &[IoSlice<'_>], short: &'a mut [u8; SHORT]) -> Option<&'a [u8]> {
    let length = slices.iter().map(|slice| slice.len()).sum();
    let mut left = short.get_mut(..length)?;
    for slice in slices {
        let (here, rest) = left.split_at_mut(slice.len());
        here.copy_from_slice(slice);
        left = rest;
    }
    short.get(..length)
}

impl<T: Read + Unpin> Read for WritesLast<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        self.has_just_read = read.is_ready();
        read
    }
}

impl<T: Write + Unpin> Write for WritesLast<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(cx));
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(cx));
        // Where the kernel is given a list, it looks at it before it copies.
        let mut short = [0_u8; SHORT];
        match together(slices, &mut short) {
            Some(bytes) => Pin::new(&mut self.stream).poll_write(cx, bytes),
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.has_turn = false;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<T: Connection> Connection for WritesLast<T> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

/// A connector whose connections write last.
#[derive(Clone, Debug)]
pub(crate) struct ToWriteLast<C>(pub(crate) C);

impl<C, Address> Service<Address> for ToWriteLast<C>
where
    C: Service<Address>,
{
    type Response = WritesLast<C::Response>;
    type Error = C::Error;
    type Future = MapOk<C::Future, fn(C::Response) -> WritesLast<C::Response>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, address: Address) -> Self::Future {
        self.0.call(address).map_ok(WritesLast::new)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    use super::*;

    type Order = Arc<Mutex<Vec<String>>>;

    /// Notes what is written; takes `at_once` bytes of each write.
    struct Noted {
        name: &'static str,
        at_once: usize,
        has_to_read: bool,
        order: Order,
    }

    fn poll_read(stream: &mut WritesLast<Noted>, cx: &mut Context<'_>) -> bool {
        let mut bytes = [0; 1];
        let mut into = hyper::rt::ReadBuf::new(&mut bytes);
        Pin::new(stream).poll_read(cx, into.unfilled()).is_ready()
    }

    impl Read for Noted {
        fn poll_read(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            _into: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            if self.has_to_read { Poll::Ready(Ok(())) } else { Poll::Pending }
        }
    }

    impl Write for Noted {
        fn poll_write(
            self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let length = bytes.len().min(self.at_once);
            let text = String::from_utf8_lossy(&bytes[..length]);
            self.order.lock().unwrap().push(format!("{} writes {text}", self.name));
            Poll::Ready(Ok(length))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn send(stream: &mut WritesLast<Noted>, text: &str) {
        let mut left = text.as_bytes();
        while !left.is_empty() {
            // As a connection that is served does: each look at it is one for a request, too.
            let written = std::future::poll_fn(|cx| {
                poll_read(stream, cx);
                Pin::new(&mut *stream).poll_write(cx, left)
            });
            left = &left[written.await.unwrap()..];
        }
        std::future::poll_fn(|cx| Pin::new(&mut *stream).poll_flush(cx)).await.unwrap();
    }

    async fn reads_and_writes(name: &'static str, order: Order) {
        let noted = Noted { name, at_once: 2, has_to_read: false, order: order.clone() };
        let mut stream = WritesLast::new(noted);
        for text in ["abc", "de"] {
            order.lock().unwrap().push(format!("{name} reads"));
            send(&mut stream, text).await;
        }
    }

    #[tokio::test]
    async fn those_that_are_ready_read_before_one_writes_and_a_message_is_written_in_one_go() {
        let order = Order::default();
        let tasks: Vec<_> =
            ["1", "2"].map(|name| tokio::spawn(reads_and_writes(name, order.clone()))).into();
        for task in tasks {
            task.await.unwrap();
        }
        let seen = order.lock().unwrap();
        let of = |range: std::ops::Range<usize>| {
            let mut found = seen[range].to_vec();
            found.sort();
            found
        };
        assert_eq!(of(0..2), ["1 reads", "2 reads"]);
        let messages =
            ["1 reads", "1 writes ab", "1 writes c", "2 reads", "2 writes ab", "2 writes c"];
        assert_eq!(of(2..8), messages);
        assert_eq!(of(8..10), ["1 writes de", "2 writes de"]);
    }

    #[tokio::test]
    async fn alone_it_writes_without_waiting_for_anything() {
        let order = Order::default();
        reads_and_writes("1", order.clone()).await;
        assert_eq!(order.lock().unwrap().len(), 5);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn with_more_threads_than_one_nothing_waits() {
        assert!(writes_at_once(false));
    }

    #[tokio::test]
    async fn what_is_known_as_soon_as_it_was_asked_is_written_at_once() {
        assert!(writes_at_once(true));
        assert!(!writes_at_once(false));
    }

    fn writes_at_once(after_a_read: bool) -> bool {
        let order = Order::default();
        let noted = Noted { name: "1", at_once: 9, has_to_read: after_a_read, order };
        let (mut stream, cx) = (WritesLast::new(noted), &mut Context::from_waker(Waker::noop()));
        assert_eq!(poll_read(&mut stream, cx), after_a_read);
        Pin::new(&mut stream).poll_write(cx, b"a").is_ready()
    }

    #[test]
    fn short_slices_become_one_and_long_ones_stay() {
        let mut short = [0; SHORT];
        let of = |lengths: &[usize], short: &mut [u8; SHORT]| {
            let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(lengths.iter().sum()).collect();
            let mut left = &bytes[..];
            let slices = lengths.iter().map(|length| {
                let (here, rest) = left.split_at(*length);
                left = rest;
                IoSlice::new(here)
            });
            let slices: Vec<_> = slices.collect();
            together(&slices, short).map(|found| found == bytes)
        };
        for lengths in [&[][..], &[0, 3], &[3, 0, 5], &[SHORT], &[1, SHORT - 1]] {
            assert_eq!(of(lengths, &mut short), Some(true), "{lengths:?}");
        }
        for lengths in [&[SHORT + 1][..], &[SHORT, 1], &[1 << 20, 1 << 20]] {
            assert_eq!(of(lengths, &mut short), None, "{lengths:?}");
        }
    }
}
