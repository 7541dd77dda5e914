#include "net/accept/pending_link.hpp"

#include <utility>

#include "net/link/graceful_close.hpp"

namespace backedpipe {

void refuse_link(std::unique_ptr<Transport> transport, const Refused& refused) {
  const std::vector<std::byte> answer = encode(refused);
  const std::array<ConstBytes, 1> pieces{ConstBytes(answer)};
  // A few bytes into an empty send buffer: if they do not fit now, the peer is gone.
  transport->write(pieces);
  close_gracefully(std::move(transport));
}

PendingLink::PendingLink(std::unique_ptr<Transport> transport, Heard heard, Over over)
    : transport_(std::move(transport)),
      heard_(std::move(heard)),
      over_(std::move(over)),
      timer_(transport_->socket().get_executor()) {}

void PendingLink::start() {
  begin(kHandshakeTimeout);
  shake_hands();
}

void PendingLink::await_hello(Duration how_long) {
  secured_ = spare_ = true;
  begin(how_long);
  wait(IoResult::Status::want_read, &PendingLink::hear);
}

void PendingLink::begin(Duration deadline) {
  timer_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(deadline));
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error) return;
    if (self->spare_) return self->finish(End::closed, "no other session came");
    self->finish(End::failed, self->secured_
                                  ? "timeout: no complete HELLO within 10 s (" +
                                        std::to_string(self->handshake_.received_bytes()) +
                                        " bytes came)"
                                  : "timeout: no complete TLS handshake within 10 s");
  });
}

void PendingLink::evict() {
  finish(End::evicted);
}

void PendingLink::shake_hands() {
  const IoResult result = transport_->handshake();
  switch (result.status) {
    case IoResult::Status::ok:
      break;
    case IoResult::Status::want_read:
    case IoResult::Status::want_write:
      return wait(result.status, &PendingLink::shake_hands);
    case IoResult::Status::closed:
      return finish(End::closed, "closed during the TLS handshake");
    case IoResult::Status::failed: {
      if (!transport_->rejected()) {
        const bool reset = result.error == boost::asio::error::connection_reset;
        return finish(reset ? End::closed : End::failed, result.error.message());
      }
      const std::string who = transport_->failure();
      return finish(End::failed, std::string(name(Reason::not_authorised)) + ": " +
                                     (who.empty() ? "no TLS handshake that we accept" : who) +
                                     " (" + result.error.message() + ")");
    }
  }
  secured_ = true;
  hear();
}

void PendingLink::hear() {
  std::array<std::byte, 512> buffer;
  while (true) {
    const IoResult result = transport_->read(buffer);
    if (result.status == IoResult::Status::want_read)
      return wait(result.status, &PendingLink::hear);
    if (result.status != IoResult::Status::ok) {
      // With TLS its verdict on us comes here.
      if (handshake_.received_bytes() == 0 && !transport_->rejected()) {
        return finish(End::closed, "closed before saying anything");
      }
      return finish(End::failed, "closed in the middle of the HELLO");
    }
    ConstBytes input(buffer.data(), result.bytes);
    if (const auto received = handshake_.receive(input); !received) {
      // A frame that was on its way when the session ended: the client knows that the link is of no
      // use any more.
      if (spare_) return finish(End::closed, "something came that is no HELLO");
      const Reason reason = reason_of(received.error()).value_or(Reason::protocol_error);
      const auto self = shared_from_this();
      const std::string failure = std::string(name(reason)) + ": not a HELLO of this protocol";
      refuse_link(std::move(transport_), {.reason = reason, .text = received.error().message()});
      return finish(End::failed, failure);
    }
    if (!handshake_.complete()) continue;
    const auto self = shared_from_this();
    const Refused refused = heard_(transport_, handshake_.hello(), input);
    if (transport_) refuse_link(std::move(transport_), refused);
    return finish(End::heard);
  }
}

void PendingLink::finish(End end, const std::string& why) {
  if (!over_) return;
  timer_.cancel();
  const Over over = std::exchange(over_, nullptr);
  heard_ = nullptr;
  transport_.reset();
  over(end, why);
}

void PendingLink::wait(IoResult::Status status, void (PendingLink::*then)()) {
  wait_for(transport_->socket(), status,
           [self = shared_from_this(), then](const boost::system::error_code& error) {
             if (!error && self->over_) ((*self).*then)();
           });
}

}  // namespace backedpipe
