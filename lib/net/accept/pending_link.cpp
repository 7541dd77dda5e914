#include "net/accept/pending_link.hpp"

#include <array>
#include <utility>

#include "net/accept/refusals.hpp"

namespace backedpipe {

PendingLink::PendingLink(std::unique_ptr<Transport> transport, Report report)
    : transport_(std::move(transport)),
      report_(std::move(report)),
      timer_(transport_->socket().get_executor()) {}

void PendingLink::start() {
  begin(kHandshakeTimeout);
  shake_hands();
}

void PendingLink::await_hello(const Patience& patience) {
  secured_ = spare_ = true;
  patience_ = patience.within_hello;
  begin(patience.before_hello);
  wait(IoResult::Status::want_read, &PendingLink::hear);
}

void PendingLink::begin(Duration deadline) {
  timer_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(deadline));
  timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
    if (error) return;
    if (self->spare_) {
      return self->finish(Closed{self->patience_ ? "no other session came"
                                                 : "timeout: a HELLO began and was not completed"});
    }
    if (!self->secured_) {
      return self->finish(Failed{"timeout: no complete TLS handshake within 10 s"});
    }
    self->finish(Failed{"timeout: no complete HELLO within 10 s (" +
                        std::to_string(self->handshake_.received_bytes()) + " bytes came)"});
  });
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
      return finish(Closed{"closed during the TLS handshake"});
    case IoResult::Status::failed: {
      if (!transport_->rejected()) {
        const std::string why = result.error.message();
        if (result.error == boost::asio::error::connection_reset) return finish(Closed{why});
        return finish(Failed{why});
      }
      const std::string who = transport_->failure();
      return finish(Failed{std::string(name(Reason::not_authorised)) + ": " +
                           (who.empty() ? "no TLS handshake that we accept" : who) + " (" +
                           result.error.message() + ")"});
    }
  }
  secured_ = true;
  hear();
}

void PendingLink::hear() {
  std::array<std::byte, 512> buffer;
  while (true) {
    const IoResult result = transport_->read(buffer);
    if (result.status == IoResult::Status::want_read) {
      // Something has come on a spare link, even if it is only a part of a TLS record.
      if (const auto patience = std::exchange(patience_, std::nullopt)) begin(*patience);
      return wait(result.status, &PendingLink::hear);
    }
    if (result.status != IoResult::Status::ok) {
      // With TLS, a client that rejects us says so here.
      if (handshake_.received_bytes() == 0 && !transport_->rejected()) {
        return finish(Closed{"closed before saying anything"});
      }
      return finish(Failed{"closed in the middle of the HELLO"});
    }
    ConstBytes input(buffer.data(), result.bytes);
    if (const auto received = handshake_.receive(input); !received) {
      // The session ended while a frame of it was on its way: the client knows that the link cannot
      // be used again.
      if (spare_) return finish(Closed{"something came that is no HELLO"});
      const Reason reason = reason_of(received.error()).value_or(Reason::protocol_error);
      refuse_link(std::move(transport_), {.reason = reason, .text = received.error().message()});
      return finish(Failed{std::string(name(reason)) + ": not a HELLO of this protocol"});
    }
    if (handshake_.complete()) {
      return finish(HeardLink{std::move(transport_), handshake_.hello(), input});
    }
  }
}

void PendingLink::finish(Outcome outcome) {
  if (!report_) return;
  timer_.cancel();
  transport_.reset();
  // A local, because the handler of the outcome may drop the last reference to this link.
  const Report report = std::exchange(report_, nullptr);
  report(std::move(outcome));
}

void PendingLink::wait(IoResult::Status status, void (PendingLink::*then)()) {
  wait_for(transport_->socket(), status,
           [self = shared_from_this(), then](const boost::system::error_code& error) {
             if (!error && self->report_) ((*self).*then)();
           });
}

}  // namespace backedpipe
